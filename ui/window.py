"""What Furrow adds to QGIS' window: its dock, the model manager, a page of settings."""

from __future__ import annotations

from typing import Optional

from qgis.gui import QgisInterface
from qgis.PyQt.QtCore import QObject, Qt
from qgis.PyQt.QtWidgets import QAction, QApplication

from ..models.segmenters.embeddings.embedding_store import EmbeddingStore
from ..qgis_io.field_journal import FieldJournal
from ..qgis_io.places import places
from ..qgis_io.texts import tr
from .form_help import own_icon
from .models.model_manager import ModelManager
from .preferences import cache_path, read_preferences
from .settings_page import SettingsFactory
from .workplace import Workplace, journal_folder


class FurrowWindow(QObject):
    """Started by `initGui`, closed by `unload`."""

    def __init__(self, iface: QgisInterface) -> None:
        super().__init__()
        self._iface = iface
        self.workplace: Optional[Workplace] = None
        self.models: Optional[ModelManager] = None
        """The model manager while it is open."""
        self._action = self._make_action()
        self._models_action = self._make_models_action()
        self._settings = SettingsFactory(
            self._cache_size, self._clear_cache, self._on_settings, self.show_models
        )
        iface.registerOptionsWidgetFactory(self._settings)
        iface.initializationCompleted.connect(self._look_for_unsaved)

    def show_dock(self, visible: bool = True) -> Workplace:
        """Show or hide the dock; the first time it is made."""
        if self.workplace is None:
            self.workplace = Workplace(self._iface, read_preferences(), self)
            dock = self.workplace.dock
            self._iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
            dock.visibilityChanged.connect(self._on_visible)
            dock.models_wanted.connect(self.show_models)
        self.workplace.dock.setUserVisible(visible)
        self._on_visible(visible)
        return self.workplace

    def show_models(self) -> ModelManager:
        """Open the model manager, or bring it to the front, also in front of QGIS' settings."""
        if self.models is None:
            self.models = ModelManager(places(), parent=self._iface.mainWindow())
            self.models.changed.connect(self._on_models)
            self.models.finished.connect(self._on_models_closed)
        if QApplication.activeModalWidget() is not None and not self.models.isModal():
            self.models.hide()  # what is shown already does not become modal
            self.models.setWindowModality(Qt.WindowModality.ApplicationModal)
        self.models.show()
        self.models.raise_()
        self.models.activateWindow()
        return self.models

    def close(self) -> None:
        """Take all of it back."""
        if self.models is not None:
            self.models.shut_down()
        if self.workplace is not None:
            self.workplace.dock.visibilityChanged.disconnect(self._on_visible)
            self.workplace.close()
            self.workplace = None
        self._iface.initializationCompleted.disconnect(self._look_for_unsaved)
        self._iface.unregisterOptionsWidgetFactory(self._settings)
        self._iface.removeToolBarIcon(self._action)
        for action in (self._action, self._models_action):
            self._iface.pluginMenu().removeAction(action)
            action.deleteLater()
        self.deleteLater()

    def _make_action(self) -> QAction:
        action = QAction(own_icon("furrow"), tr("Click fields with Furrow"), self)
        action.setObjectName("FurrowDockAction")
        action.setCheckable(True)
        action.toggled.connect(self.show_dock)
        self._iface.addToolBarIcon(action)
        self._iface.pluginMenu().addAction(action)  # a menu of its own would stay after unloading
        return action

    def _make_models_action(self) -> QAction:
        action = QAction(own_icon("furrow"), tr("Models of Furrow…"), self)
        action.setObjectName("FurrowModelsAction")
        action.triggered.connect(lambda: self.show_models())
        self._iface.pluginMenu().addAction(action)
        return action

    def _look_for_unsaved(self) -> None:
        """QGIS has started: the dock shows itself where it has fields to give back."""
        if FieldJournal(journal_folder()).recoverable():
            self.show_dock()

    def _on_visible(self, visible: bool) -> None:
        # A dock behind another one in tabs is not visible, but it is not closed either.
        shown = visible or self.workplace.dock.isUserVisible()
        self._action.blockSignals(True)
        self._action.setChecked(shown)
        self._action.blockSignals(False)

    def _on_models(self) -> None:
        if self.workplace is not None:
            self.workplace.use(read_preferences())
            self.workplace.follow_models()

    def _on_models_closed(self) -> None:
        manager, self.models = self.models, None
        manager.deleteLater()

    def _on_settings(self) -> None:
        if self.workplace is not None:
            self.workplace.use(read_preferences())

    def _store(self) -> EmbeddingStore:
        if self.workplace is not None:
            return self.workplace.store
        preferences = read_preferences()
        return EmbeddingStore(cache_path(preferences), 0, preferences.disk_mb * 10**6)

    def _cache_size(self) -> int:
        return self._store().size()[1]

    def _clear_cache(self) -> None:
        if self.workplace is not None:
            self.workplace.clear_store()
        else:
            self._store().clear()
