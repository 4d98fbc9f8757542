"""Furrow's page in QGIS' settings (Settings, Options, Furrow)."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Optional

from qgis.gui import QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt import uic
from qgis.PyQt.QtWidgets import QAbstractSpinBox, QComboBox, QWidget

from ..core.downloads import in_words
from ..models.segmenters.registry import Registry
from ..qgis_io.places import places
from ..qgis_io.texts import tr
from .form_help import forbid_sideways_scrolling, own_icon
from .models.model_manager import ModelManager
from .preferences import LIMITS, Preferences, cache_path, read_preferences, write_preferences

FORM = Path(__file__).with_name("settings_page.ui")
_NUMBERS = ("window", "web_metres", "simplify", "memory_mb", "disk_mb")


class SettingsPage(QgsOptionsPageWidget):
    """All preferences, each with a line of help, and what the stored windows take."""

    def __init__(
        self,
        cache_size: Callable[[], int],
        clear_cache: Callable[[], None],
        applied: Callable[[], None],
        open_models: Callable[[], ModelManager],
        parent: Optional[QWidget] = None,
    ) -> None:
        """Show the preferences of the profile.

        :param cache_size: bytes that the stored windows take on disk.
        :param clear_cache: deletes them.
        :param applied: called after the preferences have been written.
        :param open_models: shows the model manager.
        """
        super().__init__(parent)
        self._cache_size = cache_size
        self._clear_cache = clear_cache
        self._applied = applied
        self._open_models = open_models
        uic.loadUi(str(FORM), self)
        self._prepare()
        stored = read_preferences()
        self._default = stored.model
        self.show_preferences(stored)
        self.clear_cache_button.clicked.connect(self._on_clear)
        self.models_button.clicked.connect(self._on_models)
        self._show_size()
        forbid_sideways_scrolling(self.area)

    def show_preferences(self, shown: Preferences) -> None:
        """Fill the page."""
        _choose(self.model_combo, shown.model)
        _choose(self.new_layer_combo, shown.new_layer)
        for name in _NUMBERS:
            self._number(name).setValue(getattr(shown, name))
        self.hover_box.setChecked(shown.hover)
        self.share_edges_box.setChecked(shown.share_edges)
        self.cache_folder_box.setFilePath(shown.cache_folder)

    def preferences(self) -> Preferences:
        """What the page shows."""
        return Preferences(
            model=self.model_combo.currentData(),
            cache_folder=self.cache_folder_box.filePath().strip(),
            hover=self.hover_box.isChecked(),
            share_edges=self.share_edges_box.isChecked(),
            new_layer=self.new_layer_combo.currentData(),
            **{name: self._number(name).value() for name in _NUMBERS},
        )

    def apply(self) -> None:
        """Write the preferences; QGIS calls this when the user presses OK."""
        write_preferences(self.preferences())
        self._applied()

    def _prepare(self) -> None:
        defaults = Preferences()
        for name in _NUMBERS:
            box = self._number(name)
            low, high = (type(getattr(defaults, name))(limit) for limit in LIMITS[name])
            box.setRange(low, high)
            box.setClearValue(getattr(defaults, name))
        self._offer_models()
        self.new_layer_combo.addItem(tr("temporary"), "memory")
        self.new_layer_combo.addItem(tr("in a GeoPackage"), "geopackage")
        self.cache_folder_box.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.cache_folder_box.lineEdit().setPlaceholderText(str(cache_path(defaults)))

    def _offer_models(self) -> None:
        self.model_combo.clear()
        self.model_combo.addItem(tr("The best that can run here"), "")
        for model in Registry(places()).models():
            self.model_combo.addItem(model.title, model.id)

    def _on_models(self) -> None:
        self._open_models().changed.connect(self._follow_models)

    def _follow_models(self) -> None:
        """Offer what there is now; choose what the manager has made the default."""
        default, chosen = read_preferences().model, self.model_combo.currentData()
        self._offer_models()
        _choose(self.model_combo, chosen if default == self._default else default)
        self._default = default

    def _number(self, name: str) -> QAbstractSpinBox:
        return getattr(self, f"{name}_box")

    def _on_clear(self) -> None:
        self._clear_cache()
        self._show_size()

    def _show_size(self) -> None:
        size = self._cache_size()
        text = tr("They take {size} on disk now.").format(size=in_words(size))
        self.cache_size_label.setText(text if size else tr("There are none on disk now."))
        self.clear_cache_button.setEnabled(size > 0)


class SettingsFactory(QgsOptionsWidgetFactory):
    """Makes the page each time QGIS opens its settings."""

    def __init__(
        self,
        cache_size: Callable[[], int],
        clear_cache: Callable[[], None],
        applied: Callable[[], None],
        open_models: Callable[[], ModelManager],
    ) -> None:
        """Keep what the page needs, see there."""
        super().__init__()
        self._calls = (cache_size, clear_cache, applied, open_models)
        self.setTitle("Furrow")
        self.setIcon(own_icon("furrow"))

    def createWidget(self, parent: Optional[QWidget] = None) -> SettingsPage:
        """The page."""
        return SettingsPage(*self._calls, parent)


def _choose(combo: QComboBox, value: str) -> None:
    """Show an entry by its value, the first where there is none."""
    combo.setCurrentIndex(max(0, combo.findData(value)))
