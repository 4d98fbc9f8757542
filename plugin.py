"""What QGIS starts and stops: the Processing provider, the window, the translations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication, QTranslator

from .algorithms.provider import FurrowProvider
from .models.dependencies import own_packages
from .models.segmenters.checkpoints import worker_client
from .qgis_io.message_log import MessageLogHandler, start_logging, stop_logging
from .qgis_io.places import places

if TYPE_CHECKING:
    from qgis.gui import QgisInterface

    from .ui.preview_layer import PreviewLayers
    from .ui.window import FurrowWindow

TRANSLATIONS = Path(__file__).resolve().parent / "i18n"


class FurrowPlugin:
    """The plugin as QGIS sees it. Everything that starting makes, `unload` takes back."""

    def __init__(self, iface: Optional[QgisInterface]) -> None:
        """Keep `iface`, which is None under `qgis_process`, and prepare the user's language."""
        self.iface = iface
        self._provider: Optional[FurrowProvider] = None
        self._window: Optional[FurrowWindow] = None
        self._previews: Optional[PreviewLayers] = None
        self._translator = _install_translator()
        self._log: Optional[MessageLogHandler] = None

    def initProcessing(self) -> None:
        """Register the algorithms; `qgis_process` calls this alone, without `initGui`."""
        if self._provider is None:
            self._log = start_logging()
            own_packages.activate(places().packages)
            self._provider = FurrowProvider()
            QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        """Start inside the QGIS window."""
        self.initProcessing()
        if self.iface is not None and self._window is None:
            # Not at the top: qgis_process loads the plugin too, and has no use for widgets.
            from .ui.preview_layer import PreviewLayers
            from .ui.window import FurrowWindow

            self._window = FurrowWindow(self.iface)
            self._previews = PreviewLayers(self._provider.preview, self.iface.mapCanvas())

    @property
    def window(self) -> Optional[FurrowWindow]:
        """What the plugin added to QGIS' window; None without one."""
        return self._window

    def unload(self) -> None:
        """Take back everything; a second call finds nothing to do."""
        if self._previews is not None:
            self._previews.close()
            self._previews = None
        if self._window is not None:
            self._window.close()
            self._window = None
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None
            worker_client.stop_all()
            own_packages.deactivate(places().packages)
        if self._log is not None:
            stop_logging(self._log)
            self._log = None
        if self._translator is not None:
            QCoreApplication.removeTranslator(self._translator)
            self._translator = None


def _install_translator() -> Optional[QTranslator]:
    """Install the translation into QGIS' language where the plugin has one."""
    locale = QgsApplication.locale()
    for name in (locale, locale[:2]):
        path = TRANSLATIONS / f"furrow_{name}.qm"
        translator = QTranslator()
        if path.is_file() and translator.load(str(path)):
            QCoreApplication.installTranslator(translator)
            return translator
    return None
