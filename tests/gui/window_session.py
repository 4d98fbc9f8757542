"""What scripted sessions in the real QGIS window share: waiting, mouse and keys, the verdict.

Run by scripts that `qgis --code` runs. A session writes a list of problems to the path in
FURROW_PROBLEMS and ends QGIS: 0 right, 1 problems, 2 the script itself failed.
"""

from __future__ import annotations

import os
import time
import traceback
from pathlib import Path
from typing import Callable

from qgis import utils
from qgis.core import Qgis, QgsApplication, QgsPointXY, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QCoreApplication, QEvent, QPoint, Qt
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication
from qgis.utils import iface

PROBLEMS = Path(os.environ["FURROW_PROBLEMS"])
SCREENS = Path(os.environ["FURROW_SCREENS"])
SECONDS = 30


class Session:
    """One run in the window; collects what goes wrong."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.canvas = iface.mapCanvas()
        # QGIS would open a dialog and wait.
        utils.showException = self._on_exception
        QgsApplication.messageLog().messageReceived.connect(self._on_message)

    def _on_exception(self, kind, value, trace, *_, **__) -> None:  # noqa: ANN001
        self.problems.append("".join(traceback.format_exception(kind, value, trace)))

    def _on_message(self, text: str, tag: str, level: Qgis.MessageLevel) -> None:
        if level == Qgis.MessageLevel.Critical:
            self.problems.append(f"log: {tag}: {text}")

    def expect(self, fine: bool, otherwise: str) -> None:
        """Note a problem where something is not as it should be."""
        if not fine:
            self.problems.append(otherwise)

    def plugin(self):  # noqa: ANN201
        """The plugin, loaded and started."""
        utils.updateAvailablePlugins()
        if "furrow" not in utils.plugins:
            utils.loadPlugin("furrow")
            utils.startPlugin("furrow")
        return utils.plugins["furrow"]

    def show(self, width: int = 1400, height: int = 900) -> None:
        """The window in its size."""
        window = iface.mainWindow()
        window.showNormal()
        window.setGeometry(0, 0, width, height)
        settle()

    def add_image(self, path: Path) -> QgsRasterLayer:
        """A raster layer in the project, wholly in view."""
        layer = QgsRasterLayer(str(path), path.stem)
        QgsProject.instance().addMapLayer(layer)
        self.canvas.setDestinationCrs(layer.crs())
        self.zoom_to(layer.extent())
        return layer

    def zoom_to(self, extent) -> None:  # noqa: ANN001
        """Show a rectangle of the map."""
        self.canvas.setExtent(extent)
        self.canvas.refresh()
        self.canvas.waitWhileRendering()
        settle()

    def pixel(self, place: QgsPointXY) -> QPoint:
        """Where a place of the map is on the canvas."""
        point = self.canvas.getCoordinateTransform().transform(place)
        return QPoint(round(point.x()), round(point.y()))

    def move(self, place: QgsPointXY) -> None:
        """The cursor over a place."""
        QTest.mouseMove(self.canvas.viewport(), self.pixel(place))
        settle()

    def click(self, place: QgsPointXY, button=Qt.MouseButton.LeftButton) -> None:  # noqa: ANN001
        """A click on a place."""
        QTest.mouseClick(self.canvas.viewport(), button, pos=self.pixel(place))

    def key(self, key: Qt.Key) -> None:
        """A key pressed over the canvas."""
        QTest.keyClick(self.canvas, key)

    def wait(self, seconds: float) -> None:
        """Let QGIS run for a while."""
        end = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() > end, "time to pass")

    def picture(self, name: str) -> None:
        """The window as a file."""
        settle()
        self.canvas.waitWhileRendering()
        settle()
        SCREENS.mkdir(parents=True, exist_ok=True)
        iface.mainWindow().grab().save(str(SCREENS / f"{name}.png"))


def settle() -> None:
    """Let QGIS work off what is due, objects to delete included."""
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Let QGIS run until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited in vain for {what}")
        QApplication.processEvents()
        time.sleep(0.002)


def run(script: Callable[[Session], None]) -> None:
    """Run a session, report, and end QGIS."""
    status = 2
    try:
        session = Session()
        script(session)
        PROBLEMS.write_text("\n".join(session.problems), encoding="utf-8")
        status = 1 if session.problems else 0
    except BaseException:  # noqa: BLE001 - QGIS would go on running and the caller would wait
        PROBLEMS.write_text(traceback.format_exc(), encoding="utf-8")
    finally:
        os._exit(status)
