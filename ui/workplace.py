"""The dock, the map tool and what stands behind them, put together."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsGeometry,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.gui import QgisInterface, QgsMapTool
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QObject, Qt, QTimer

from ..models.segmenters.embeddings.embedding_store import EmbeddingStore
from ..models.segmenters.registry import Model, Registry
from ..qgis_io.field_journal import FieldJournal
from ..qgis_io.places import places, profile_folder
from ..qgis_io.texts import tr
from .clicking.encoding import WindowEncoder
from .clicking.field_keeping import FieldKeeping
from .clicking.field_tool import FieldTool
from .clicking.labelling import Labelling, ShownField
from .crop_classes import CropClass, CropClasses
from .dock import FurrowDock, ModelChoice
from .image_choice import ImageChoice
from .messages import Messages
from .preferences import Preferences, ProjectState, cache_path, read_project, write_project
from .sample_runs import SampleOrder, SampleRuns
from .season.season_panel import SeasonPanel

_MEGABYTE = 10**6


class Workplace(QObject):
    """One dock with its tool. Made when the dock is first shown, closed with the plugin."""

    def __init__(
        self, iface: QgisInterface, preferences: Preferences, parent: Optional[QObject] = None
    ) -> None:
        super().__init__(parent)
        self._iface, self._canvas = iface, iface.mapCanvas()
        self._preferences = preferences
        self._project = QgsProject.instance()
        self._loading = True  # until the project is read: what it holds must not be overwritten
        self._closed = False
        self._emptied = QTimer(self)
        self._emptied.setSingleShot(True)
        self._emptied.timeout.connect(self._after_emptying)
        self._tool_before: Optional[QgsMapTool] = None
        self.messages = Messages(iface.messageBar())
        self.store = _store(preferences)
        self.encoder = WindowEncoder(self.store, self)
        self.labelling = Labelling(self._canvas, self.encoder, self)
        self.choice = ImageChoice(self._canvas, self)
        self.classes = CropClasses(self)
        self.season = SeasonPanel()
        self.tool = FieldTool(self._canvas, self.labelling)
        self.dock = FurrowDock(self.classes, model_choices(), iface.mainWindow())
        self.dock.set_season_panel(self.season)
        self.journal = FieldJournal(journal_folder())
        self.fields = FieldKeeping(self.dock, self.classes, self.journal, self.messages, self)
        self.samples = SampleRuns(self.messages, self)
        self._connect_dock()
        self._connect_rest()
        self._connect_project()
        self.use(preferences)
        self._load_project()
        self.fields.offer_recovery()

    # --- start and end ---

    def use(self, preferences: Preferences) -> None:
        """Work with these preferences from now on."""
        if _limits(preferences) != _limits(self._preferences):
            self.encoder.cancel()
            self.encoder.store = self.store = _store(preferences)
        self._preferences = preferences
        self.labelling.previews = preferences.hover
        self.labelling.simplify = preferences.simplify
        self.fields.editor.share_edges = preferences.share_edges
        self.dock.set_share_edges(preferences.share_edges)
        self.fields.into_geopackage = preferences.new_layer == "geopackage"
        self.choice.web_metres = preferences.web_metres
        self._look_again()

    def follow_models(self) -> None:
        """Models came or went: offer those that there are now, and look again with ours."""
        self.dock.set_models(model_choices())
        self._look_again()

    def close(self) -> None:
        """Take everything back; no task runs on after this. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._canvas.mapTool() is self.tool:
            self._toggle_tool(False)
        self._canvas.mapToolSet.disconnect(self._on_tool)
        self._project.readProject.disconnect(self._load_project)
        self._project.readMapLayer.disconnect(self._on_layer_read)
        self._project.cleared.disconnect(self._on_cleared)
        self._project.removeAll.disconnect(self._on_emptying)
        self._project.layersWillBeRemoved.disconnect(self._on_layers_going)
        self._emptied.stop()
        self.samples.close()
        self.labelling.look_at(None, self._preferences.window)
        self.labelling.close()
        self.encoder.close()
        self.season.shut_down()
        self.fields.close()
        self.journal.close()
        self.messages.close()
        self._iface.removeDockWidget(self.dock)
        for thing in (self.dock, self.tool, self):
            thing.deleteLater()

    def clear_store(self) -> None:
        """Drop all encoded windows, in memory and on disk."""
        self.encoder.cancel()
        self.store.clear()
        self.messages.info(tr("The stored windows were deleted."))

    def _connect_dock(self) -> None:
        dock, labelling = self.dock, self.labelling
        dock.image_changed.connect(self.choice.set_layer)
        dock.look_changed.connect(self.choice.set_look)
        dock.model_changed.connect(self.choice.set_model)
        dock.class_changed.connect(self._set_class)
        dock.tool_toggled.connect(self._toggle_tool)
        dock.accept_wanted.connect(labelling.accept)
        dock.clear_wanted.connect(labelling.clear)
        dock.undo_wanted.connect(labelling.undo)
        dock.next_mask_wanted.connect(lambda: labelling.turn(1))
        dock.cancel_wanted.connect(self.encoder.cancel)
        dock.clear_store_wanted.connect(self.clear_store)
        dock.samples_wanted.connect(self._make_samples)

    def _connect_rest(self) -> None:
        labelling = self.labelling
        labelling.keep = self._keep
        labelling.shown.connect(self._show_season)
        labelling.said.connect(self.dock.set_status)
        labelling.warned.connect(self.messages.warn)
        labelling.class_wanted.connect(self._choose_class)
        self.encoder.working.connect(self._show_engine)
        self.encoder.failed.connect(self._show_failure)
        self.choice.changed.connect(self._look_again)
        self.choice.warned.connect(self.messages.warn)
        self.fields.kept.connect(self._remember_season)
        self.fields.target_changed.connect(self._save_project)
        self.classes.changed.connect(self._on_classes)
        self.season.split_wanted.connect(self._split)
        self.season.message.connect(self.messages.warn)
        self.season.series_changed.connect(self._save_project)
        self.season.opened.connect(labelling.refresh)

    def _connect_project(self) -> None:
        self._canvas.mapToolSet.connect(self._on_tool)
        self._project.readProject.connect(self._load_project)
        self._project.readMapLayer.connect(self._on_layer_read)
        self._project.cleared.connect(self._on_cleared)
        self._project.removeAll.connect(self._on_emptying)
        self._project.layersWillBeRemoved.connect(self._on_layers_going)

    # --- the image ---

    def _look_again(self) -> None:
        """The image, its look or the engine is another one."""
        look = self.choice.look
        offered = self.choice.offered()
        self.dock.set_looks(offered, look.look.value if look else "")
        if look is not None and look.bands is not None:
            self.dock.set_bands(look.bands)
        self.dock.set_model(self.choice.engine.id)
        self.labelling.look_at(self.choice.view(), self._preferences.window)
        self._show_engine(0)
        self._save_project()

    def _show_engine(self, waiting: int) -> None:
        if waiting:
            text = tr("Preparing the image: {} window(s) left").format(waiting)
            self.dock.set_engine_state(text, "working")
        elif not self.choice.ready:
            self.dock.set_engine_state(self.choice.advice, "missing")
        elif self.choice.layer is None:
            self.dock.set_engine_state(tr("Choose an image."), "ready")
        else:
            self.dock.set_engine_state(tr("Ready: click fields."), "ready")
        if self.store.trouble:
            self.messages.warn(self.store.trouble)

    def _show_failure(self, window: object, reason: str) -> None:
        if window is None:
            self.dock.set_engine_state(reason, "missing")

    # --- fields ---

    def _keep(self, field: ShownField) -> bool:
        return self.fields.keep(field, self._class, self.choice.engine.id)

    def _split(self, shapes: Sequence[QgsGeometry], crs: QgsCoordinateReferenceSystem) -> None:
        """Two fields in place of the one that is drawn."""
        field = self.labelling.current
        if field is None:
            self.messages.info(tr("Click the field first, then split it."))
            return
        crop, model = self._class, self.choice.engine.id
        if self.fields.keep_parts(field, shapes, crs, crop, model):
            self.labelling.clear()

    def _remember_season(self, field: ShownField) -> None:
        self.season.add_to_class(self._class.name, field.shape, field.crs)

    def _show_season(self, field: Optional[ShownField]) -> None:
        if not self.season.isVisible():
            return
        if field is None:
            self.season.set_field(None, QgsCoordinateReferenceSystem(), "", "", None)
            return
        crop = self._class
        self.season.set_field(field.shape, field.crs, crop.name, crop.colour, field.mask.date)

    def _make_samples(self, kind: str) -> None:
        layer = self.fields.target
        if layer is None:
            self.messages.warn(tr("There are no fields yet; click some first."))
            return
        order = SampleOrder(
            self.season.series_folder(), layer, self.fields.class_column, self.choice.engine.id
        )
        self.samples.make(kind, order)

    # --- classes and the tool ---

    @property
    def _class(self) -> CropClass:
        """The class of the next field; there is always one, even where no row is chosen."""
        return self.dock.current_class() or self.classes.all()[0]

    def _set_class(self, crop: CropClass) -> None:
        self.labelling.colour = crop.colour
        self.labelling.refresh()
        self._save_project()

    def _choose_class(self, number: int) -> None:
        crop = self.classes.by_shortcut(number)
        if crop is not None:
            self.dock.choose_class(crop.name)
            self._set_class(crop)

    def _on_classes(self) -> None:
        if not self._loading:
            self.classes.save(self._project)
        crop = self.dock.current_class()
        if crop is not None:
            self._set_class(crop)

    def _toggle_tool(self, active: bool) -> None:
        if active:
            before = self._canvas.mapTool()
            self._tool_before = None if before is self.tool else before
            self._canvas.setMapTool(self.tool)
            self._canvas.setFocus(Qt.FocusReason.OtherFocusReason)
            return
        self._canvas.unsetMapTool(self.tool)
        before, self._tool_before = self._tool_before, None
        if before is not None and not sip.isdeleted(before):
            self._canvas.setMapTool(before)

    def _on_tool(self, tool: Optional[QgsMapTool], before: Optional[QgsMapTool] = None) -> None:
        self.dock.set_tool(tool is self.tool)

    # --- the project ---

    def _load_project(self) -> None:
        """Take up what the project holds; called again for each project."""
        self._loading = True
        self._emptied.stop()
        state = read_project(self._project)
        self.fields.editor.forget_target()
        self.season.clear()
        self.season.set_series(state.series_folder)
        self.classes.load(self._project)
        if state.class_name:
            self.dock.choose_class(state.class_name)
        self._load_image(state)
        target = self._project.mapLayer(state.target_layer)
        target = target if isinstance(target, QgsVectorLayer) else None
        self.dock.set_target(target)
        self.fields.set_target(target)
        if target is not None and state.mapping:
            self.fields.set_mapping(state.mapping.get("class", ""), state.mapping.get("code", ""))
        crop = self.dock.current_class()
        if crop is not None:
            self.labelling.colour = crop.colour
        self._loading = False

    def _load_image(self, state: ProjectState) -> None:
        image = self._project.mapLayer(state.image_layer)
        if isinstance(image, QgsRasterLayer):
            self.dock.set_image(image)
        self.choice.set_model(state.model or self._preferences.model)
        self.choice.set_layer(self.dock.image())
        if isinstance(image, QgsRasterLayer):
            self.choice.set_look(state.look, state.bands)

    def _save_project(self, *_: object) -> None:
        """Keep the dock's settings in the project, where they differ from what it holds."""
        if self._loading:
            return
        crop, target, image = self.dock.current_class(), self.fields.target, self.choice.layer
        look = self.choice.look
        state = ProjectState(
            image_layer=image.id() if image is not None else "",
            look=look.look.value if look else ProjectState().look,
            bands=look.bands if look else None,
            model=self.choice.engine.id,
            target_layer=target.id() if target is not None else "",
            class_name=crop.name if crop is not None else "",
            series_folder=self.season.series_folder(),
            mapping=self.fields.mapping,
        )
        if state != read_project(self._project):
            write_project(self._project, state)

    def _on_emptying(self) -> None:
        """All layers go, as a rule with the project: the next one must not get its settings."""
        self._loading = True
        self._emptied.start(0)

    def _on_cleared(self) -> None:
        """A new project, or one is about to be read: what the dock shows meanwhile is not kept."""
        self._load_project()
        self._on_emptying()

    def _on_layer_read(self, *_: object) -> None:
        """The project is being read, amid dialogs perhaps: `readProject` comes when it has been."""
        if self._emptied.isActive():
            self._emptied.stop()

    def _after_emptying(self) -> None:
        self._loading = False

    def _on_layers_going(self, ids: Sequence[str]) -> None:
        if self.choice.layer is not None and self.choice.layer.id() in ids:
            self.choice.set_layer(None)


def model_choices() -> List[ModelChoice]:
    """The models of the registry as the dock lists them: the default first, then what can run."""
    registry = Registry(places())
    choices = [_choice(registry.model(model_id)) for model_id in registry.ids()]
    return sorted(choices, key=lambda choice: not choice.ready)


def journal_folder() -> Path:
    """Where unsaved fields are kept, in the user's profile."""
    return profile_folder() / "unsaved"


def _limits(preferences: Preferences) -> Tuple[Path, int, int]:
    """What a store depends on: folder, megabytes in memory and on disk."""
    return cache_path(preferences), preferences.memory_mb, preferences.disk_mb


def _store(preferences: Preferences) -> EmbeddingStore:
    folder, memory, disk = _limits(preferences)
    return EmbeddingStore(folder if disk else None, memory * _MEGABYTE, disk * _MEGABYTE)


def _choice(model: Model) -> ModelChoice:
    licence, size = model.licence, model.entry.bytes
    facts = tr("{name}: {limits}").format(name=licence.name, limits=licence.limits)
    return ModelChoice(model.id, model.title, facts, size, model.ready, model.advice)
