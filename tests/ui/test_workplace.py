"""The dock and what stands behind it in a window of its own: projects, tasks, start and end."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsPointXY,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.gui import QgsMapCanvas, QgsMapToolPan, QgsMessageBar
from qgis.PyQt.QtCore import (
    QCoreApplication,
    QEvent,
    QModelIndex,
    QObject,
    Qt,
    pyqtSignal,
)
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import (
    QApplication,
    QDialog,
    QDockWidget,
    QMainWindow,
    QMenu,
    QPushButton,
    QToolBar,
)

from furrow.qgis_io.field_journal import FieldJournal
from furrow.qgis_io.field_layers import new_geopackage_layer, new_memory_layer
from furrow.tests.core.series_files import shorten, write_image
from furrow.tests.ui.waiting import wait_until
from furrow.ui.class_table import FIELDS
from furrow.ui.clicking.encoding import View
from furrow.ui.crop_classes import CropClass
from furrow.ui.engines import Engine
from furrow.ui.preferences import KEY, SCOPE, Preferences, read_project
from furrow.ui.window import FurrowWindow
from furrow.ui.workplace import Workplace


def settle() -> None:
    """Work off what is due, objects to delete included."""
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QgsApplication.processEvents()


class Iface(QObject):
    """As much of QGIS' window as the plugin uses, of real parts."""

    initializationCompleted = pyqtSignal()  # noqa: N815 - QGIS' name

    def __init__(self) -> None:
        super().__init__()
        self.window = QMainWindow()
        self.canvas = QgsMapCanvas(self.window)
        self.canvas.setObjectName("theMapCanvas")
        self.window.setCentralWidget(self.canvas)
        self.bar = QgsMessageBar(self.window)
        self.menu = QMenu(self.window)
        self.tools = QToolBar(self.window)
        self.factories: List[Any] = []
        self.window.resize(1000, 700)
        self.window.show()

    def mapCanvas(self) -> QgsMapCanvas:
        return self.canvas

    def messageBar(self) -> QgsMessageBar:
        return self.bar

    def mainWindow(self) -> QMainWindow:
        return self.window

    def pluginMenu(self) -> QMenu:
        return self.menu

    def addDockWidget(self, area: Any, dock: QDockWidget) -> None:
        self.window.addDockWidget(area, dock)

    def removeDockWidget(self, dock: QDockWidget) -> None:
        self.window.removeDockWidget(dock)

    def addToolBarIcon(self, action: Any) -> None:
        self.tools.addAction(action)

    def removeToolBarIcon(self, action: Any) -> None:
        self.tools.removeAction(action)

    def registerOptionsWidgetFactory(self, factory: Any) -> None:
        self.factories.append(factory)

    def unregisterOptionsWidgetFactory(self, factory: Any) -> None:
        self.factories.remove(factory)

    def messages(self) -> List[str]:
        """What the message bar shows, the newest first."""
        return [item.text() for item in self.bar.items()]


@pytest.fixture
def iface(qgis_app: Any) -> Any:
    QgsProject.instance().clear()
    made = Iface()
    yield made
    QgsProject.instance().clear()
    settle()
    made.window.close()


@pytest.fixture
def preferences(tmp_path: Path) -> Preferences:
    return Preferences(model="classical", cache_folder=str(tmp_path / "store"))


@pytest.fixture
def raised(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Exceptions that would reach the user; there must be none."""
    found: List[Any] = []
    monkeypatch.setattr("sys.excepthook", lambda *error: found.append(error))
    yield found
    assert not found


@pytest.fixture
def open_place(iface: Iface, preferences: Preferences, raised: Any) -> Any:
    """Makes docks; closes those that are left."""
    made: List[Workplace] = []

    def open_one(wanted: Preferences = preferences) -> Workplace:
        place = Workplace(iface, wanted)
        iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, place.dock)
        made.append(place)
        return place

    yield open_one
    QgsProject.instance().clear()
    for place in made:
        place.close()
    settle()
    assert QgsApplication.taskManager().countActiveTasks() == 0


@pytest.fixture
def image(iface: Iface, shared_data: Path) -> QgsRasterLayer:
    return add_image(iface, shared_data)


def add_image(iface: Iface, shared_data: Path) -> QgsRasterLayer:
    layer = QgsRasterLayer(str(shared_data / "denmark" / "s2_rgb.tif"), "Denmark")
    QgsProject.instance().addMapLayer(layer)
    iface.canvas.setDestinationCrs(layer.crs())
    iface.canvas.setLayers([layer])
    iface.canvas.setExtent(layer.extent())
    return layer


def use_image(place: Workplace, image: QgsRasterLayer) -> None:
    """As when the user chooses it in the dock."""
    place.dock.image_combo.setLayer(image)
    if place.choice.layer is not image:
        place.choice.set_layer(image)


def click(iface: Iface, place: QgsPointXY) -> None:
    point = iface.canvas.getCoordinateTransform().transform(place)
    spot = point.toQPointF().toPoint()
    QTest.mouseClick(iface.canvas.viewport(), Qt.MouseButton.LeftButton, pos=spot)


def keep_field(iface: Iface, place: Workplace, spot: QgsPointXY) -> None:
    click(iface, spot)
    wait_until(lambda: place.labelling.current is not None
               and place.labelling._offer.missing is None)  # fmt: skip
    QTest.keyClick(iface.canvas, Qt.Key.Key_Return)


def canvas_items(iface: Iface) -> int:
    return len(iface.canvas.scene().items())


def test_the_first_field_makes_a_layer_that_undo_empties(
    iface: Iface, image: QgsRasterLayer, open_place: Any
) -> None:
    place = open_place()
    use_image(place, image)
    place.dock.click_button.click()
    assert iface.canvas.mapTool() is place.tool
    keep_field(iface, place, image.extent().center())
    layer = place.fields.target
    assert layer.featureCount() == 1 and place.dock.target() is layer
    assert read_project(QgsProject.instance()).target_layer == layer.id()
    layer.undoStack().undo()
    assert layer.featureCount() == 0 and not layer.undoStack().canUndo()
    layer.undoStack().redo()
    wait_until(lambda: place.dock.table.model() is not None and layer.featureCount() == 1)
    place.dock.click_button.click()
    assert iface.canvas.mapTool() is not place.tool


def test_a_project_brings_all_back(
    iface: Iface, image: QgsRasterLayer, open_place: Any, shared_data: Path, tmp_path: Path
) -> None:
    place = open_place()
    project = QgsProject.instance()
    for name in ("A first", "Z last"):
        project.addMapLayer(QgsRasterLayer(image.source(), name))
    use_image(place, image)
    place.choice.set_look("bands", (3, 1, 2))
    place.choice.set_model("classical")
    place.classes.add("maize", 7, "#e69f00")
    place.dock.table.choose("maize", tell=True)
    target = QgsVectorLayer("Polygon?crs=EPSG:4326&field=name:string&field=crop:string"
                            "&field=number:integer", "mine", "memory")  # fmt: skip
    other = new_geopackage_layer(tmp_path / "fields.gpkg", image.crs(), "Fields")
    project.addMapLayers([target, other])
    place.dock.target_combo.setLayer(other)
    place.fields.set_mapping("model", "code")
    place.season.set_series(str(shared_data / "tervuren" / "series"))
    path = str(tmp_path / "project.qgz")
    assert project.write(path)
    saved = read_project(project)

    project.clear()
    assert place.choice.layer is None and place.fields.target is None
    assert place.season.series_folder() == ""
    assert [crop.name for crop in place.classes.all()] != ["field", "maize"]
    assert not project.isDirty() and project.readEntry(SCOPE, KEY, "")[0] == ""

    assert project.read(path)
    assert read_project(project) == saved
    image_id, target_id = image_and_target(place)
    assert (image_id, target_id) == (saved.image_layer, saved.target_layer)
    assert place.dock.image().id() == image_id and place.dock.target().id() == target_id
    assert place.choice.look.look.value == "bands" and place.choice.look.bands == (3, 1, 2)
    assert place.dock.look() == ("bands", (3, 1, 2))
    assert place.choice.engine.id == place.dock.model() == "classical"
    assert place.dock.current_class() == CropClass("maize", 7, "#e69f00", 2)
    assert place.fields.class_column == "model"
    assert place.dock.mapping() == ("model", "code")
    assert place.season.series_folder() == str(shared_data / "tervuren" / "series")
    assert not project.isDirty()


def image_and_target(place: Workplace) -> Any:
    return place.choice.layer.id(), place.fields.target.id()


def test_a_dock_that_opens_later_takes_up_what_the_project_holds(
    iface: Iface, image: QgsRasterLayer, open_place: Any, tmp_path: Path
) -> None:
    first = open_place()
    use_image(first, image)
    first.choice.set_look("true_colour")
    first.classes.add("maize")
    first.dock.table.choose("maize", tell=True)
    layer = new_geopackage_layer(tmp_path / "fields.gpkg", image.crs(), "Fields")
    QgsProject.instance().addMapLayer(layer)
    first.dock.target_combo.setLayer(layer)
    saved = read_project(QgsProject.instance())
    first.close()
    settle()
    QgsProject.instance().setDirty(False)
    second = open_place()
    assert read_project(QgsProject.instance()) == saved
    assert image_and_target(second) == (image.id(), layer.id())
    assert second.dock.current_class().name == "maize"
    assert not QgsProject.instance().isDirty()


def test_opening_the_dock_leaves_a_project_as_it_is(iface: Iface, open_place: Any) -> None:
    open_place()
    assert not QgsProject.instance().isDirty()


def test_the_image_goes_while_it_is_prepared(
    iface: Iface, image: QgsRasterLayer, open_place: Any
) -> None:
    place = open_place()
    use_image(place, image)
    place.dock.click_button.click()
    click(iface, image.extent().center())
    assert place.encoder.busy
    QgsProject.instance().removeMapLayer(image.id())
    assert place.choice.layer is None and place.labelling.current is None
    wait_until(lambda: QgsApplication.taskManager().countActiveTasks() == 0)
    QTest.mouseMove(iface.canvas.viewport())
    QTest.keyClick(iface.canvas, Qt.Key.Key_Return)
    settle()
    assert place.labelling.current is None


def test_the_project_goes_while_it_is_prepared_and_the_next_one_works(
    iface: Iface, image: QgsRasterLayer, open_place: Any, shared_data: Path
) -> None:
    place = open_place()
    use_image(place, image)
    place.dock.click_button.click()
    click(iface, image.extent().center())
    QgsProject.instance().clear()
    settle()
    assert place.choice.layer is None
    again = add_image(iface, shared_data)
    use_image(place, again)
    keep_field(iface, place, again.extent().center())
    assert place.fields.target.featureCount() == 1


def test_the_target_goes_and_the_next_field_makes_another(
    iface: Iface, image: QgsRasterLayer, open_place: Any
) -> None:
    place = open_place()
    use_image(place, image)
    place.dock.click_button.click()
    keep_field(iface, place, image.extent().center())
    gone = place.fields.target.id()
    QgsProject.instance().removeMapLayer(gone)
    settle()
    assert place.fields.target is None and place.dock.target() is None
    keep_field(iface, place, image.extent().center())
    assert place.fields.target.id() != gone


def test_closing_amid_a_task_leaves_nothing(
    iface: Iface, image: QgsRasterLayer, preferences: Preferences, raised: Any
) -> None:
    before = canvas_items(iface)
    pan = QgsMapToolPan(iface.canvas)
    iface.canvas.setMapTool(pan)
    place = Workplace(iface, preferences)
    iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, place.dock)
    use_image(place, image)
    place.dock.click_button.click()
    click(iface, image.extent().center())
    started = time.monotonic()
    place.close()
    assert time.monotonic() - started < 5
    place.close()
    settle()
    assert canvas_items(iface) == before
    assert iface.canvas.mapTool() is pan
    assert not iface.window.findChildren(QDockWidget)
    wait_until(lambda: QgsApplication.taskManager().countActiveTasks() == 0)
    del place
    QgsProject.instance().removeMapLayer(image.id())
    iface.canvas.setMapTool(QgsMapToolPan(iface.canvas))
    QgsProject.instance().clear()
    settle()


def test_the_tool_before_may_be_gone(
    iface: Iface, image: QgsRasterLayer, open_place: Any
) -> None:
    place = open_place()
    pan = QgsMapToolPan(iface.canvas)
    iface.canvas.setMapTool(pan)
    place.dock.click_button.click()
    pan.deleteLater()
    settle()
    place.dock.click_button.click()
    assert iface.canvas.mapTool() is None and not place.dock.click_button.isChecked()


def test_other_preferences_are_used_at_once(
    iface: Iface, image: QgsRasterLayer, open_place: Any, preferences: Preferences, tmp_path: Path
) -> None:
    place = open_place()
    use_image(place, image)
    place.dock.click_button.click()
    click(iface, image.extent().center())
    elsewhere = replace(preferences, cache_folder=str(tmp_path / "elsewhere"), hover=False,
                        share_edges=False, simplify=2.0, window=256)  # fmt: skip
    place.use(elsewhere)
    assert place.choice.layer is image and place.labelling.current is None
    assert not place.dock.share_edges() and not place.fields.editor.share_edges
    keep_field(iface, place, image.extent().center())
    wait_until(lambda: not place.encoder.busy)
    assert list((tmp_path / "elsewhere").glob("*.npz"))
    assert place.fields.target.featureCount() == 1


def test_without_previews_nothing_is_drawn_under_the_cursor(
    iface: Iface, image: QgsRasterLayer, open_place: Any, preferences: Preferences
) -> None:
    place = open_place(replace(preferences, hover=False))
    use_image(place, image)
    place.dock.click_button.click()
    spot = image.extent().center()
    click(iface, spot)
    place.labelling.hover(spot)
    wait_until(lambda: place.labelling.current is not None)
    QTest.keyClick(iface.canvas, Qt.Key.Key_Escape)
    wait_until(lambda: not place.encoder.busy)
    assert place.labelling._marks._outline is None


def test_a_cancelled_answer_is_not_waited_for(
    iface: Iface, image: QgsRasterLayer, open_place: Any
) -> None:
    place = open_place()
    use_image(place, image)
    place.dock.click_button.click()
    click(iface, image.extent().center())
    QTest.keyClick(iface.canvas, Qt.Key.Key_Return)
    place.dock.cancel_button.click()
    wait_until(lambda: QgsApplication.taskManager().countActiveTasks() == 0)
    assert place.labelling._offer.missing is None
    assert "Preparing" not in place.dock.status_label.text()
    assert place.fields.target is None
    keep_field(iface, place, image.extent().center())
    assert place.fields.target.featureCount() == 1


def test_parts_of_a_field_are_kept_as_two(
    iface: Iface, image: QgsRasterLayer, open_place: Any
) -> None:
    place = open_place()
    use_image(place, image)
    place.dock.click_button.click()
    place.season.split_wanted.emit([], image.crs())
    assert "Click the field first" in iface.messages()[0]
    spot = image.extent().center()
    click(iface, spot)
    wait_until(lambda: place.labelling.current is not None)
    boxes = [QgsGeometry.fromRect(image.extent().buffered(-100 * k)) for k in (10, 12)]
    place.fields.into_geopackage, place.dock.ask_path = True, lambda: ""
    place.season.split_wanted.emit(boxes, image.crs())
    assert place.fields.target is None and place.labelling.current is not None
    place.fields.into_geopackage = False
    place.season.split_wanted.emit(boxes, image.crs())
    assert place.fields.target.featureCount() == 2
    assert place.labelling.current is None


def test_the_window_opens_and_closes_twice(
    iface: Iface, image: QgsRasterLayer, raised: Any
) -> None:
    for _ in range(2):
        window = FurrowWindow(iface)
        assert len(iface.factories) == len(iface.tools.actions()) == 1
        iface.tools.actions()[0].trigger()
        settle()
        assert window.workplace.dock.isVisible()
        window.workplace.dock.close()
        settle()
        assert not iface.tools.actions()[0].isChecked()
        iface.tools.actions()[0].trigger()
        window.close()
        settle()
        assert not iface.factories and not iface.tools.actions() and not iface.menu.actions()
        assert not iface.window.findChildren(QDockWidget)


def test_the_model_manager_comes_in_front_of_the_settings(iface: Iface, raised: Any) -> None:
    window = FurrowWindow(iface)
    assert not window.show_models().isModal()
    settings = QDialog(iface.window)
    settings.setModal(True)
    settings.show()
    manager = window.show_models()
    assert manager.isModal() and manager.isVisible()
    assert QApplication.activeModalWidget() is manager
    manager.reject()
    assert window.models is None
    settings.reject()
    assert not window.show_models().isModal()
    window.close()
    settle()


def test_a_mark_on_a_field_that_is_accepted_but_not_known_yet_is_refused(
    iface: Iface, image: QgsRasterLayer, open_place: Any
) -> None:
    place = open_place()
    use_image(place, image)
    place.dock.click_button.click()
    spot = image.extent().center()
    click(iface, spot)
    QTest.keyClick(iface.canvas, Qt.Key.Key_Return)
    click(iface, QgsPointXY(spot.x() + 300, spot.y()))
    assert "being prepared" in iface.messages()[0]
    wait_until(lambda: place.fields.target is not None)
    (feature,) = place.fields.target.getFeatures()
    assert feature["clicks"] == 1
    assert feature.geometry().contains(QgsGeometry.fromPointXY(spot))


def test_an_image_that_cannot_be_read_says_so_at_each_click(
    iface: Iface, open_place: Any, tmp_path: Path
) -> None:
    values = np.random.default_rng(3).integers(1, 9000, (3, 300, 300)).astype(np.uint16)
    bands = dict(zip(("B04", "B03", "B02"), values))
    broken = shorten(write_image(tmp_path / "broken.tif", bands), 0.2)
    layer = QgsRasterLayer(str(broken), "broken")
    assert layer.isValid()
    QgsProject.instance().addMapLayer(layer)
    iface.canvas.setDestinationCrs(layer.crs())
    iface.canvas.setExtent(layer.extent())
    place = open_place()
    use_image(place, layer)
    place.dock.click_button.click()
    spot = layer.extent().center()
    for _ in range(2):
        iface.bar.clearWidgets()
        click(iface, spot)
        wait_until(lambda: bool(iface.messages()))
        assert "broken cannot be read here" in iface.messages()[0]
        assert "Preparing" not in place.dock.status_label.text()
        QTest.keyClick(iface.canvas, Qt.Key.Key_Return)
        assert "No field was found" in iface.messages()[0]
        QTest.keyClick(iface.canvas, Qt.Key.Key_Escape)
    assert place.fields.target is None


def test_an_engine_that_does_not_start_is_not_started_by_each_move_of_the_cursor(
    iface: Iface, image: QgsRasterLayer, open_place: Any
) -> None:
    place = open_place()
    use_image(place, image)
    place.dock.click_button.click()
    pictures = place.choice.view().pictures
    place.labelling.look_at(View(pictures, Engine("no-such-model")), 200)
    started: List[int] = []
    place.encoder.working.connect(lambda left: left and started.append(left))
    place.labelling.hover(image.extent().center())
    wait_until(lambda: bool(started) and not place.encoder.busy)
    for _ in range(3):
        place.labelling.hover(image.extent().center())
        wait_until(lambda: not place.labelling._timer.isActive())
    assert len(started) == 1
    click(iface, image.extent().center())
    assert "no-such-model" in iface.messages()[0]


def test_a_field_needs_no_chosen_class(
    iface: Iface, image: QgsRasterLayer, open_place: Any
) -> None:
    place = open_place()
    use_image(place, image)
    place.dock.click_button.click()
    place.dock.table.setCurrentIndex(QModelIndex())
    assert place.dock.current_class() is None
    keep_field(iface, place, image.extent().center())
    (feature,) = place.fields.target.getFeatures()
    assert feature["class"] == place.classes.all()[0].name


def test_the_first_field_goes_into_a_geopackage_where_that_is_wished(
    iface: Iface, image: QgsRasterLayer, open_place: Any, preferences: Preferences, tmp_path: Path
) -> None:
    place = open_place(replace(preferences, new_layer="geopackage"))
    use_image(place, image)
    place.dock.click_button.click()
    asked: List[str] = []
    place.dock.ask_path = lambda: asked.append("") or ""
    place.dock.add_button.click()
    keep_field(iface, place, image.extent().center())
    assert not asked and "no fields to change" in iface.messages()[0]
    place.dock.new_button.click()
    QTest.keyClick(iface.canvas, Qt.Key.Key_Return)
    assert asked and place.fields.target is None and place.labelling.current is not None
    place.dock.ask_path = lambda: str(tmp_path / "mine")
    QTest.keyClick(iface.canvas, Qt.Key.Key_Return)
    assert place.fields.target.featureCount() == 1 and (tmp_path / "mine.gpkg").is_file()


def write_ahead(folder: Path) -> None:
    """Leave behind what a QGIS that ended unexpectedly leaves."""
    journal = FieldJournal(folder)
    layer = new_memory_layer(QgsCoordinateReferenceSystem("EPSG:32632"), "Fields")
    journal.watch(layer)
    layer.startEditing()
    feature = QgsFeature(layer.fields())
    feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(0, 0, 10, 10)))
    layer.addFeature(feature)
    journal.close()


def test_each_loss_is_offered_and_questions_end_with_the_dock(
    iface: Iface, open_place: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("furrow.ui.workplace.journal_folder", lambda: tmp_path / "unsaved")
    for _ in range(3):
        write_ahead(tmp_path / "unsaved")
    place = open_place()
    assert len([text for text in iface.messages() if "can be recovered" in text]) == 3
    newest = iface.bar.currentItem()
    next(b for b in newest.findChildren(QPushButton) if b.text() == "Recover").click()
    settle()
    assert place.fields.target.featureCount() == 1
    assert len(place.journal.recoverable()) == 2
    discard = iface.bar.currentItem().findChildren(QPushButton)
    next(b for b in discard if b.text() == "Discard").click()
    settle()
    assert len(place.journal.recoverable()) == len(iface.messages()) == 1
    place.close()
    settle()
    assert not iface.messages()


def many_fields(count: int) -> QgsVectorLayer:
    layer = new_memory_layer(QgsCoordinateReferenceSystem("EPSG:32632"), "many")
    features = []
    for k in range(count):
        feature = QgsFeature(layer.fields())
        corner = 500000 + 110 * (k % 100), 5000000 + 110 * (k // 100)
        feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(
            *corner, corner[0] + 100, corner[1] + 100)))  # fmt: skip
        feature["class"] = "field"
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    QgsProject.instance().addMapLayer(layer)
    return layer


def counted(place: Workplace) -> Any:
    """Fields of the class "field" as the dock shows them."""
    return place.dock.table.model().data(place.dock.table.model().index(0, FIELDS))


def test_a_large_layer_is_counted_in_the_background_with_its_last_edit(
    iface: Iface, open_place: Any
) -> None:
    place = open_place()
    layer = many_fields(4000)
    place.dock.target_combo.setLayer(layer)
    wait_until(lambda: place.fields._counting is not None)
    layer.startEditing()
    layer.deleteFeature(next(layer.getFeatures()).id())
    wait_until(lambda: counted(place) == "3999")
    place.dock.target_combo.setCurrentIndex(0)
    wait_until(lambda: counted(place) in ("0", ""))


def test_a_count_ends_with_the_dock(iface: Iface, open_place: Any) -> None:
    place = open_place()
    layer = many_fields(8000)
    place.dock.target_combo.setLayer(layer)
    wait_until(lambda: place.fields._counting is not None)
    QgsProject.instance().removeMapLayer(layer.id())
    started = time.monotonic()
    place.close()
    assert time.monotonic() - started < 1
