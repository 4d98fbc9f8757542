"""The dock Furrow: what the user chooses and presses while clicking fields.

It holds widgets only. Signals tell what the user wants, setters show how things are and emit
nothing; whoever made the dock connects the two.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, Sequence, Tuple

from qgis.core import (
    QgsFieldProxyModel,
    QgsMapLayer,
    QgsMapLayerProxyModel,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.gui import QgsDockWidget
from qgis.PyQt import uic
from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QFileDialog,
    QToolButton,
    QWidget,
)

from ..qgis_io.texts import tr
from .band_row import BandRow, Bands
from .class_table import ClassButtons, ClassTable, Totals, connect_buttons
from .crop_classes import CropClass, CropClasses
from .form_help import (
    forbid_sideways_scrolling,
    id_of,
    leave_lost_layer,
    set_icons,
    show_layer,
)
from .model_choice import ModelChoice
from .models.model_part import ModelPart

FORM = Path(__file__).with_name("dock.ui")
BANDS = "bands"
"""The look whose bands the user chooses."""
MODES = ("new", "add", "cut", "merge")


class FurrowDock(QgsDockWidget):
    """The tabs Label and Season."""

    image_changed = pyqtSignal(object)
    """The raster layer, or None."""
    look_changed = pyqtSignal(str, object)
    """The look, and the bands (red, green, blue) where it is "bands", else None."""
    model_changed = pyqtSignal(str)
    models_wanted = pyqtSignal()
    """The user wants to see all models, to get one or to remove one."""
    class_changed = pyqtSignal(object)
    """The current CropClass: another one, or the same with other values."""
    target_changed = pyqtSignal(object)
    """The polygon layer, or None for a new one at the first field."""
    mapping_changed = pyqtSignal(str, str)
    """Class column and code column; empty where there is none."""
    new_geopackage_wanted = pyqtSignal(str)
    tool_toggled = pyqtSignal(bool)
    mode_changed = pyqtSignal(str)
    """One of MODES."""
    share_edges_changed = pyqtSignal(bool)
    accept_wanted = pyqtSignal()
    clear_wanted = pyqtSignal()
    undo_wanted = pyqtSignal()
    next_mask_wanted = pyqtSignal()
    cancel_wanted = pyqtSignal()
    clear_store_wanted = pyqtSignal()
    samples_wanted = pyqtSignal(str)
    """"generate", "clean" or "dialog"."""

    def __init__(
        self,
        classes: CropClasses,
        models: Sequence[ModelChoice],
        parent: Optional[QWidget] = None,
    ) -> None:
        """Fill the dock; the first of `models` is chosen."""
        super().__init__(parent)
        self._classes = classes
        self._silent = 0
        self._image_id = self._target_id = ""
        self.ask_path: Callable[[], str] = self._ask_path
        """How the path of a new GeoPackage is chosen; returns an empty text for none."""
        uic.loadUi(str(FORM), self)
        self._add_parts()
        self._model = ModelPart(self)
        self._model.set_choices(models)
        self._modes = QButtonGroup(self)
        for mode in MODES:
            self._modes.addButton(self._mode_button(mode))
        self._prepare()
        self._connect()

    def image(self) -> Optional[QgsRasterLayer]:
        """The layer on which fields are clicked."""
        return self.image_combo.currentLayer()

    def set_image(self, layer: Optional[QgsMapLayer]) -> None:
        """Show the layer on which fields are clicked."""
        with self._quietly():
            show_layer(self.image_combo, layer)
            self._on_image()

    def set_looks(self, names: Sequence[Tuple[str, str]], current: str) -> None:
        """Offer looks as (id, label) pairs and show one of them."""
        with self._quietly():
            self.look_combo.clear()
            for place, (look, text) in enumerate(names):
                self.look_combo.addItem(text, look)
                self.look_combo.setItemData(place, text, Qt.ItemDataRole.ToolTipRole)
            self.look_combo.setCurrentIndex(max(0, self.look_combo.findData(current)))
            self._follow_look()

    def look(self) -> Tuple[str, Bands]:
        """The look, and the bands (red, green, blue) where it is "bands"."""
        look = self.look_combo.currentData() or ""
        return look, self._bands.bands() if look == BANDS else None

    def set_bands(self, bands: Bands) -> None:
        """Show bands as red, green and blue; those that the image lacks stay as they are."""
        self._bands.set_bands(bands)

    def model(self) -> str:
        """Id of the chosen model."""
        return self._model.current()

    def set_model(self, model_id: str) -> None:
        """Show a model; an unknown id changes nothing."""
        with self._quietly():
            self._model.choose(model_id)

    def set_models(self, models: Sequence[ModelChoice]) -> None:
        """Offer other models; where the chosen one is gone, the first one is chosen and told."""
        self._model.set_choices(models)

    def set_engine_state(self, text: str, kind: str, progress: Optional[float] = None) -> None:
        """Say how the model is, see :meth:`.model_part.ModelPart.set_state`."""
        self._model.set_state(text, kind, progress)

    def current_class(self) -> Optional[CropClass]:
        """The class that the next field gets."""
        return self.table.current()

    def choose_class(self, name: str) -> None:
        """Make a class the current one; an unknown name changes nothing."""
        self.table.choose(name)

    def set_totals(self, totals: Totals) -> None:
        """Show the number of fields and the hectares of each class, by its name."""
        self.table.set_totals(totals)

    def target(self) -> Optional[QgsVectorLayer]:
        """The layer that takes the fields; None for a new one at the first field."""
        return self.target_combo.currentLayer()

    def set_target(self, layer: Optional[QgsMapLayer]) -> None:
        """Show the layer that takes the fields."""
        with self._quietly():
            show_layer(self.target_combo, layer)
            self._on_target()

    def mapping(self) -> Tuple[str, str]:
        """Class column and code column; empty where there is none."""
        return self.class_column_combo.currentField(), self.code_column_combo.currentField()

    def ask_geopackage(self) -> str:
        """The path of a new GeoPackage that the user names; empty for none."""
        path = self.ask_path()
        return path if not path or path.lower().endswith(".gpkg") else f"{path}.gpkg"

    def set_mapping(self, class_column: str, code_column: str) -> None:
        """Show the columns; those that the target layer lacks are shown as none."""
        with self._quietly():
            self.class_column_combo.setField(class_column)
            self.code_column_combo.setField(code_column)

    def set_tool(self, on: bool) -> None:
        """Show whether fields are being clicked."""
        with self._quietly():
            self.click_button.setChecked(on)

    def mode(self) -> str:
        """One of MODES."""
        return next(mode for mode in MODES if self._mode_button(mode).isChecked())

    def share_edges(self) -> bool:
        """Whether a new field takes over the edges of its neighbours."""
        return self.share_edges_box.isChecked()

    def set_share_edges(self, on: bool) -> None:
        """Show whether a new field takes over the edges of its neighbours."""
        with self._quietly():
            self.share_edges_box.setChecked(on)

    def set_status(self, text: str) -> None:
        """Say how the field stands: clicks, score, area, which mask."""
        self.status_label.setText(text)

    def set_season_panel(self, widget: QWidget) -> None:
        """Put a widget into the tab Season; the one that was there is deleted."""
        former = self.season_layout.takeAt(0)
        if former is not None:
            former.widget().deleteLater()
        self.season_layout.addWidget(widget)

    def _add_parts(self) -> None:
        self._bands = BandRow(self.image_group)
        self.image_layout.addWidget(self._bands, 2, 0, 1, 2)
        last = self.look_combo
        for combo in self._bands.combos:
            QWidget.setTabOrder(last, combo)
            last = combo
        QWidget.setTabOrder(last, self.model_combo)
        QWidget.setTabOrder(self.model_combo, self.models_button)
        self.table = ClassTable(self._classes, self.classes_group)
        self.classes_layout.insertWidget(0, self.table)
        QWidget.setTabOrder(self.clear_store_button, self.table)
        QWidget.setTabOrder(self.table, self.add_class_button)

    def _prepare(self) -> None:
        set_icons(self)
        self._prepare_layers()
        self._follow_image()
        self._follow_target()
        self.mapping_group.setEnabled(False)
        forbid_sideways_scrolling(self.setup_area)
        self._follow_look()

    def _prepare_layers(self) -> None:
        kinds = QgsMapLayerProxyModel.Filter
        self.image_combo.setFilters(kinds.RasterLayer)
        self.target_combo.setFilters(kinds.PolygonLayer | kinds.WritableLayer)
        self.target_combo.setAllowEmptyLayer(True, tr("New temporary layer at the first field"))
        show_layer(self.target_combo, None)
        columns = QgsFieldProxyModel.Filter
        self.class_column_combo.setFilters(columns.String)
        self.code_column_combo.setFilters(columns.Numeric | columns.String)
        for combo in (self.class_column_combo, self.code_column_combo):
            combo.setAllowEmptyFieldName(True)

    def _connect(self) -> None:
        self._connect_choices()
        self._connect_classes()
        self.accept_button.clicked.connect(self.accept_wanted)
        self.clear_button.clicked.connect(self.clear_wanted)
        self.undo_button.clicked.connect(self.undo_wanted)
        self.next_mask_button.clicked.connect(self.next_mask_wanted)
        self.cancel_button.clicked.connect(self.cancel_wanted)
        self.clear_store_button.clicked.connect(self.clear_store_wanted)
        self.generate_button.clicked.connect(lambda: self.samples_wanted.emit("generate"))
        self.clean_button.clicked.connect(lambda: self.samples_wanted.emit("clean"))
        self.processing_button.clicked.connect(lambda: self.samples_wanted.emit("dialog"))
        self.geopackage_button.clicked.connect(self._on_geopackage)
        self.click_button.toggled.connect(lambda on: self._tell(self.tool_toggled, on))
        self._modes.buttonToggled.connect(self._on_mode)
        self.share_edges_box.toggled.connect(
            lambda on: self._tell(self.share_edges_changed, on)
        )  # fmt: skip

    def _connect_choices(self) -> None:
        # QGIS tells of layers that are chosen, Qt also of those that go.
        for signal in (self.image_combo.layerChanged, self.image_combo.currentIndexChanged):
            signal.connect(self._on_image)
        for signal in (self.target_combo.layerChanged, self.target_combo.currentIndexChanged):
            signal.connect(self._on_target)
        self.look_combo.currentIndexChanged.connect(self._on_look)
        self._bands.bands_changed.connect(self._on_look)
        self._model.chosen.connect(lambda model_id: self._tell(self.model_changed, model_id))
        self._model.manager_wanted.connect(self.models_wanted)
        for combo in (self.class_column_combo, self.code_column_combo):
            combo.fieldChanged.connect(self._on_mapping)

    def _connect_classes(self) -> None:
        self.table.class_changed.connect(self.class_changed)
        self.table.refused.connect(self.set_status)
        buttons = ClassButtons(
            self.add_class_button, self.remove_class_button, self.up_button, self.down_button,
            self.import_button,
        )  # fmt: skip
        connect_buttons(buttons, self.table)

    def _on_image(self) -> None:
        leave_lost_layer(self.image_combo, self._image_id)
        if self._follow_image():
            self._tell(self.image_changed, self.image())

    def _on_look(self) -> None:
        self._follow_look()
        self._tell(self.look_changed, *self.look())

    def _on_target(self) -> None:
        leave_lost_layer(self.target_combo, self._target_id)
        if self._follow_target():
            self._tell(self.target_changed, self.target())

    def _on_mapping(self) -> None:
        self._tell(self.mapping_changed, *self.mapping())

    def _on_mode(self, button: QAbstractButton, on: bool) -> None:
        if on:
            self._tell(self.mode_changed, self.mode())

    def _on_geopackage(self) -> None:
        path = self.ask_geopackage()
        if path:
            self.new_geopackage_wanted.emit(path)

    def _follow_image(self) -> bool:
        """Offer the bands of the image; whether it is another one than before."""
        layer = self.image()
        if id_of(layer) == self._image_id:
            return False
        self._image_id = id_of(layer)
        self._bands.set_layer(layer)
        return True

    def _follow_look(self) -> None:
        self._bands.setVisible(self.look_combo.currentData() == BANDS)

    def _follow_target(self) -> bool:
        """Offer the columns of the target layer; whether it is another one than before."""
        layer = self.target()
        if id_of(layer) == self._target_id:
            return False
        self._target_id = id_of(layer)
        with self._quietly():
            for combo in (self.class_column_combo, self.code_column_combo):
                combo.setLayer(layer)
                combo.setField("")
        self.mapping_group.setEnabled(layer is not None)
        return True

    def _mode_button(self, mode: str) -> QToolButton:
        return getattr(self, f"{mode}_button")

    def _ask_path(self) -> str:
        path, _ = QFileDialog.getSaveFileName(
            self,
            tr("New GeoPackage for fields"),
            QgsProject.instance().homePath(),
            tr("GeoPackage (*.gpkg)"),
        )
        return path

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """What is set inside is not what the user wants: nobody is told.

        The widgets' own signals stay on; Qt and QGIS need them among themselves.
        """
        self._silent += 1
        try:
            yield
        finally:
            self._silent -= 1

    def _tell(self, signal: Any, *values: Any) -> None:
        if not self._silent:
            signal.emit(*values)
