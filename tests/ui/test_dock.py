"""The dock: what it tells, what its setters do, how it looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import pytest
from osgeo import gdal_array
from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsFillSymbol,
    QgsProject,
    QgsRasterLayer,
    QgsRendererCategory,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QCoreApplication, QEvent, Qt, QTranslator
from qgis.PyQt.QtGui import QColor, QPalette
from qgis.PyQt.QtTest import QSignalSpy, QTest
from qgis.PyQt.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QToolButton,
    QWidget,
)

from furrow.tests.ui.widgets import press
from furrow.ui.crop_classes import CropClasses
from furrow.ui.dock import MODES, FurrowDock, ModelChoice

LOOKS = (("false_colour", "False colour"), ("true_colour", "True colour"), ("bands", "Bands"))
MODELS = (
    ModelChoice(
        "small", "Small network (needs onnxruntime)", "GPL-3.0-or-later", 3_200_000, True, ""
    ),
    ModelChoice("large", "Large network", "MIT", 90_000_000, False, "Install onnxruntime."),
    ModelChoice("classical", "Classical regions", "GPL-3.0-or-later", 0, True, ""),
)
SIGNALS = (
    "image_changed", "look_changed", "model_changed", "class_changed", "target_changed",
    "mapping_changed", "new_geopackage_wanted", "tool_toggled", "mode_changed",
    "share_edges_changed", "accept_wanted", "clear_wanted", "undo_wanted", "next_mask_wanted",
    "cancel_wanted", "clear_store_wanted", "samples_wanted",
)  # fmt: skip
NARROW = 320


class Heard:
    """All that a dock tells."""

    def __init__(self, dock: FurrowDock) -> None:
        self._spies = {name: QSignalSpy(getattr(dock, name)) for name in SIGNALS}

    def all(self) -> Dict[str, List[list]]:
        """What was told since the last call, by signal."""
        told = {name: list(spy) for name, spy in self._spies.items() if len(spy)}
        for name in told:
            while len(self._spies[name]):
                del self._spies[name][0]
        return told


@pytest.fixture
def project(qgis_app: Any) -> Iterator[QgsProject]:
    project = QgsProject.instance()
    project.clear()
    yield project
    project.clear()


@pytest.fixture
def raster(tmp_path: Path) -> Callable[[str, int], QgsRasterLayer]:
    def make(name: str, bands: int = 4) -> QgsRasterLayer:
        path = tmp_path / f"{name}.tif"
        gdal_array.SaveArray(np.ones((bands, 4, 4), np.uint8), str(path), "GTiff")
        return QgsRasterLayer(str(path), name)

    return make


def polygons(name: str) -> QgsVectorLayer:
    fields = "field=crop:string&field=note:string&field=code:integer"
    return QgsVectorLayer(f"Polygon?crs=EPSG:3035&{fields}", name, "memory")


@pytest.fixture
def classes() -> CropClasses:
    classes = CropClasses()
    classes.add("winter wheat", 11)
    classes.add("maize", 12)
    return classes


@pytest.fixture
def dock(project: QgsProject, classes: CropClasses, raster: Callable) -> Iterator[FurrowDock]:
    """A dock in a project with two images, two polygon layers, points and a line layer."""
    project.addMapLayers(
        [raster("image a"), raster("image b", 2), polygons("fields a"), polygons("fields b"),
         QgsVectorLayer("Point", "points", "memory")]
    )  # fmt: skip
    dock = FurrowDock(classes, MODELS)
    dock.set_looks(LOOKS, "false_colour")
    dock.resize(NARROW, 700)
    dock.show()
    settle()
    yield dock
    dock.close()
    dock.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def heard(dock: FurrowDock) -> Heard:
    return Heard(dock)


def layer(name: str) -> Any:
    return QgsProject.instance().mapLayersByName(name)[0]


def settle() -> None:
    """Let Qt lay out what has changed; groups inside groups take several rounds."""
    for _ in range(5):
        QApplication.processEvents()


def choose(combo: QComboBox, text: str) -> None:
    """Choose an entry with the keyboard, as a user does."""
    wanted = combo.findText(text, Qt.MatchFlag.MatchStartsWith)
    assert wanted >= 0, [combo.itemText(k) for k in range(combo.count())]
    key = Qt.Key.Key_Down if wanted > combo.currentIndex() else Qt.Key.Key_Up
    for _ in range(abs(wanted - combo.currentIndex())):
        QTest.keyClick(combo, key)
    assert combo.currentIndex() == wanted


def ids(combo: QComboBox) -> List[str]:
    return [combo.itemText(k) for k in range(combo.count())]


def test_starts_sane(dock: FurrowDock) -> None:
    assert dock.objectName() == "FurrowDock"
    assert dock.windowTitle() == "Furrow"
    assert dock.image() == layer("image a")
    assert dock.target() is None
    assert "temporary layer" in dock.target_combo.currentText()
    assert (dock.model(), dock.mode(), dock.look()) == ("small", "new", ("false_colour", None))
    assert dock.current_class().name == "field"
    assert dock.share_edges()
    assert not dock.progress_row.isVisible()


def test_only_layers_that_fit_are_offered(dock: FurrowDock) -> None:
    assert ids(dock.image_combo) == ["image a", "image b"]
    assert ids(dock.target_combo)[1:] == ["fields a", "fields b"]
    layer("fields b").setReadOnly(True)
    assert "fields b" not in ids(FurrowDock(CropClasses(), MODELS).target_combo)


@pytest.mark.parametrize(
    ("button", "signal", "values"),
    [
        ("accept_button", "accept_wanted", []),
        ("clear_button", "clear_wanted", []),
        ("undo_button", "undo_wanted", []),
        ("next_mask_button", "next_mask_wanted", []),
        ("clear_store_button", "clear_store_wanted", []),
        ("generate_button", "samples_wanted", ["generate"]),
        ("clean_button", "samples_wanted", ["clean"]),
        ("processing_button", "samples_wanted", ["dialog"]),
        ("click_button", "tool_toggled", [True]),
        ("share_edges_box", "share_edges_changed", [False]),
    ],
)
def test_a_press_is_told_once(
    dock: FurrowDock, heard: Heard, button: str, signal: str, values: list
) -> None:
    QTest.keyClick(getattr(dock, button), Qt.Key.Key_Space)
    assert heard.all() == {signal: [values]}


def test_image(dock: FurrowDock, heard: Heard) -> None:
    choose(dock.image_combo, "image b")
    assert heard.all() == {"image_changed": [[layer("image b")]]}
    dock.image_combo.activated.emit(dock.image_combo.currentIndex())
    assert heard.all() == {}, "the same image again is no news"


def test_look_and_bands(dock: FurrowDock, heard: Heard) -> None:
    choose(dock.look_combo, "True")
    assert heard.all() == {"look_changed": [["true_colour", None]]}
    assert not dock.findChild(QWidget, "bands_row").isVisible()
    choose(dock.look_combo, "Bands")
    assert heard.all() == {"look_changed": [["bands", (1, 2, 3)]]}
    bands = dock.findChild(QWidget, "bands_row")
    assert bands.isVisible()
    QTest.keyClick(bands.combos[0], Qt.Key.Key_Down)
    assert heard.all() == {"look_changed": [["bands", (2, 2, 3)]]}
    dock.set_bands((4, 3, 9))
    assert dock.look() == ("bands", (4, 3, 3)), "a band that is not there is left out"
    assert heard.all() == {}


def test_bands_follow_the_image(dock: FurrowDock, heard: Heard) -> None:
    dock.set_looks(LOOKS, "bands")
    dock.set_image(layer("image b"))
    assert dock.look() == ("bands", (1, 2, 2))
    dock.set_image(layer("image a"))
    assert dock.look() == ("bands", (1, 2, 3))
    assert heard.all() == {}


def test_model(dock: FurrowDock, heard: Heard) -> None:
    assert "3.2 MB" in dock.licence_label.text()
    choose(dock.model_combo, "Large")
    assert heard.all() == {"model_changed": [["large"]]}
    assert dock.state_label.text() == "Install onnxruntime."
    assert dock.state_icon.isVisible()
    choose(dock.model_combo, "Classical")
    assert dock.licence_label.text() == "GPL-3.0-or-later"
    assert not dock.state_row.isVisible()


def test_engine_state(dock: FurrowDock, heard: Heard) -> None:
    dock.set_engine_state("Preparing", "working", 0.4)
    assert dock.progress_row.isVisible()
    assert (dock.progress_bar.maximum(), dock.progress_bar.value()) == (100, 40)
    press(dock.cancel_button)
    assert heard.all() == {"cancel_wanted": [[]]}
    dock.set_engine_state("Preparing", "working")
    assert dock.progress_bar.maximum() == 0, "nobody knows how long"
    dock.set_engine_state("Ready", "ready")
    assert not dock.progress_row.isVisible()
    assert dock.state_label.text() == "Ready"
    assert not dock.state_icon.isVisible()


def test_classes_by_keyboard(dock: FurrowDock, heard: Heard, classes: CropClasses) -> None:
    QTest.keyClick(dock.table, Qt.Key.Key_Down)
    assert heard.all() == {"class_changed": [[classes.by_name("winter wheat")]]}
    assert dock.current_class().name == "winter wheat"


def test_adding_a_class(dock: FurrowDock, heard: Heard, classes: CropClasses) -> None:
    press(dock.add_class_button)
    new = classes.all()[-1]
    assert heard.all() == {"class_changed": [[new]]}
    editor = next(each for each in dock.table.findChildren(QLineEdit) if each.isVisible())
    assert editor.text() == new.name, "its name can be typed at once"
    QTest.keyClick(editor, Qt.Key.Key_Escape)


def test_removing_and_moving_classes(
    dock: FurrowDock, heard: Heard, classes: CropClasses
) -> None:
    assert not dock.up_button.isEnabled()
    press(dock.down_button)
    assert dock.current_class().name == "field"
    assert heard.all() == {}, "the current class is the same"
    press(dock.remove_class_button)
    assert heard.all() == {"class_changed": [[classes.by_name("maize")]]}
    press(dock.remove_class_button)
    assert not dock.remove_class_button.isEnabled(), "the last one stays"


def test_a_refused_edit_is_said(dock: FurrowDock) -> None:
    dock.table.model().setData(dock.table.model().index(0, 2), "maize")
    assert "already" in dock.status_label.text()


def test_importing_classes(dock: FurrowDock, classes: CropClasses) -> None:
    menu = dock.import_button.menu()
    menu.aboutToShow.emit()
    assert [action.isEnabled() for action in menu.actions()] == [False]
    symbol = QgsFillSymbol.createSimple({"color": "#ff0000"})
    layer("fields b").setRenderer(
        QgsCategorizedSymbolRenderer("crop", [QgsRendererCategory("rye", symbol, "Rye")])
    )
    menu.aboutToShow.emit()
    (action,) = menu.actions()
    assert action.text() == "fields b"
    action.trigger()
    assert classes.by_name("rye").colour == "#ff0000"


def test_target_and_columns(dock: FurrowDock, heard: Heard) -> None:
    assert not dock.mapping_group.isEnabled()
    choose(dock.target_combo, "fields a")
    assert heard.all() == {"target_changed": [[layer("fields a")]]}
    dock.mapping_group.setCollapsed(False)
    choose(dock.class_column_combo, "crop")
    choose(dock.code_column_combo, "code")
    told = heard.all()["mapping_changed"]
    assert (told[0], told[-1]) == (["crop", ""], ["crop", "code"])
    assert ids(dock.class_column_combo) == ["", "crop", "note"]
    choose(dock.target_combo, "New temporary")
    assert heard.all() == {"target_changed": [[None]]}
    assert dock.mapping() == ("", "")


@pytest.mark.parametrize(
    ("chosen", "told"),
    [("", []), ("/tmp/fields 2.5", [["/tmp/fields 2.5.gpkg"]]), ("/tmp/a.GPKG", [["/tmp/a.GPKG"]])],
)
def test_new_geopackage(dock: FurrowDock, heard: Heard, chosen: str, told: list) -> None:
    dock.ask_path = lambda: chosen
    press(dock.geopackage_button)
    assert heard.all().get("new_geopackage_wanted", []) == told


def test_modes(dock: FurrowDock, heard: Heard) -> None:
    for mode in (*MODES[1:], MODES[0]):
        button = getattr(dock, f"{mode}_button")
        press(button)
        press(button)
        assert heard.all() == {"mode_changed": [[mode]]}
        assert dock.mode() == mode


def test_setters_are_silent(dock: FurrowDock, heard: Heard) -> None:
    for look in ("bands", "true_colour", "gone"):
        dock.set_looks(LOOKS, look)
    dock.set_looks((), "")
    dock.set_image(layer("image b"))
    dock.set_image(None)
    dock.set_model("classical")
    dock.set_model("gone")
    dock.set_target(layer("fields b"))
    dock.set_mapping("note", "code")
    dock.set_tool(True)
    dock.set_share_edges(False)
    dock.set_engine_state("text", "working", 0.5)
    dock.set_status("2 clicks")
    dock.set_totals({"maize": (2, 1.5)})
    dock.choose_class("maize")
    dock.choose_class("gone")
    assert heard.all() == {}
    assert (dock.model(), dock.target()) == ("classical", layer("fields b"))
    assert dock.mapping() == ("note", "code")
    assert dock.click_button.isChecked() and not dock.share_edges()
    assert dock.current_class().name == "maize"
    dock.set_mapping("gone", "gone")
    assert dock.mapping() == ("", ""), "columns that are not there"
    assert dock.mapping() == ("", ""), "columns that are not there or of the wrong kind"
    dock.set_target(None)
    assert "temporary layer" in dock.target_combo.currentText()
    assert heard.all() == {}


def test_removed_layers(dock: FurrowDock, heard: Heard, project: QgsProject) -> None:
    dock.set_target(layer("fields b"))
    dock.set_image(layer("image b"))
    dock.set_looks(LOOKS, "bands")
    project.removeMapLayer(layer("image b").id())
    assert heard.all() == {"image_changed": [[None]]}
    assert dock.image() is None, "not another one that nobody has chosen"
    project.removeMapLayer(layer("fields b").id())
    assert heard.all() == {"target_changed": [[None]]}
    assert dock.target() is None
    assert dock.mapping() == ("", "")
    assert dock.look() == ("bands", None)
    choose(dock.image_combo, "image a")
    choose(dock.target_combo, "fields a")
    heard.all()
    project.clear()
    assert heard.all() == {"image_changed": [[None]], "target_changed": [[None]]}


def test_other_layers_may_go(dock: FurrowDock, heard: Heard, project: QgsProject) -> None:
    image, target = layer("image b"), layer("fields b")
    dock.set_image(image)
    dock.set_target(target)
    project.removeMapLayers([layer("image a").id(), layer("fields a").id()])
    assert (dock.image(), dock.target()) == (image, target)
    assert heard.all() == {}


def test_a_first_image_is_taken(project: QgsProject, raster: Callable) -> None:
    dock = FurrowDock(CropClasses(), MODELS)
    heard = Heard(dock)
    image = raster("image")
    project.addMapLayer(image)
    assert dock.image() == image
    assert heard.all() == {"image_changed": [[image]]}
    project.addMapLayer(polygons("fields"))
    assert dock.target() is None, "a layer is written to only when it is chosen"
    assert heard.all() == {}


def test_texts_of_the_form_are_translated_with_the_others(project: QgsProject) -> None:
    class Marking(QTranslator):
        def translate(self, context: str, text: str, *_: Any) -> str:
            return f"«{text}»" if context == "Furrow" else ""

        def isEmpty(self) -> bool:
            return False

    translator = Marking()
    QCoreApplication.installTranslator(translator)
    try:
        dock = FurrowDock(CropClasses(), MODELS)
    finally:
        QCoreApplication.removeTranslator(translator)
    assert dock.clear_button.text() == "«Clear»"
    assert dock.target_combo.currentText() == "«New temporary layer at the first field»"
    assert dock.windowTitle() == "Furrow"


def test_season_panel(dock: FurrowDock) -> None:
    first, second = QLabel("first"), QLabel("second")
    dock.set_season_panel(first)
    dock.set_season_panel(second)
    dock.tabs.setCurrentIndex(1)
    assert second.isVisible()
    assert dock.season_layout.count() == 1


def test_fits_a_small_screen(dock: FurrowDock) -> None:
    assert dock.minimumSizeHint().width() <= NARROW
    assert dock.minimumSizeHint().height() <= 500
    dock.set_looks(LOOKS, "bands")
    dock.set_target(layer("fields a"))
    dock.mapping_group.setCollapsed(False)
    dock.set_engine_state("A sentence that is so long that it needs several lines.", "missing")
    dock.set_status("12 clicks; score 0.91; 1234.5 ha; mask 2 of 3; and some more words")
    settle()
    assert dock.width() == NARROW
    assert dock.setup_area.horizontalScrollBar().maximum() == 0
    assert [each.objectName() for each in cut_off(dock)] == []


def cut_off(dock: FurrowDock) -> List[QWidget]:
    """Buttons, boxes and labels with less room than their text needs."""
    shown = [each for each in dock.findChildren(QWidget) if each.isVisible()]
    return [
        each for each in shown
        if isinstance(each, (QAbstractButton, QComboBox, QLabel))
        and (each.width() < each.minimumSizeHint().width()
             or each.height() < each.minimumSizeHint().height()
             or each.mapTo(dock, each.rect().topRight()).x() > dock.width())
    ]  # fmt: skip


def test_tab_reaches_everything(dock: FurrowDock) -> None:
    dock.set_target(layer("fields a"))
    dock.set_looks(LOOKS, "bands")
    dock.mapping_group.setCollapsed(False)
    dock.set_engine_state("Preparing", "working")
    dock.choose_class("winter wheat")  # with both arrows
    settle()
    order = tab_order(dock)
    names = [each.objectName() for each in order]
    wanted = [
        each for each in dock.findChildren(QWidget)
        if isinstance(each, (QToolButton, QComboBox)) and each.isVisible()
        and each.objectName() and each.objectName() not in ("add_button", "cut_button",
                                                            "merge_button", "collapseButton")
        and not each.objectName().startswith("qt_")
    ]  # fmt: skip
    missing = {each.objectName() or type(each).__name__ for each in wanted if each not in order}
    assert missing - {"ScrollLeftButton", "ScrollRightButton"} == set()
    assert {"class_table", "new_button", "share_edges_box"} <= set(names)
    ranked = ["image_combo", "look_combo", "model_combo", "class_table", "add_class_button",
              "import_button", "target_combo", "geopackage_button", "class_column_combo",
              "generate_button", "click_button", "accept_button", "new_button", "clear_button",
              "share_edges_box"]  # fmt: skip
    places = [names.index(name) for name in ranked]
    assert places == sorted(places)


def tab_order(dock: FurrowDock) -> Sequence[QWidget]:
    """What Tab reaches, in its order; of the modes only the chosen one, arrows reach the others."""
    order, here = [], dock.tabs
    for _ in range(500):
        here = here.nextInFocusChain()
        if here is dock.tabs:
            return order
        takes = here.focusPolicy() & Qt.FocusPolicy.TabFocus
        if takes and here.isVisible() and here.isEnabled():
            order.append(here)
    raise AssertionError("the focus chain does not come back")


def test_arrows_move_among_the_modes(dock: FurrowDock, heard: Heard) -> None:
    dock.activateWindow()
    dock.new_button.setFocus()
    QTest.keyClick(dock.new_button, Qt.Key.Key_Right)
    assert dock.mode() == "add"
    assert heard.all() == {"mode_changed": [["add"]]}


def test_labels_lead_to_their_fields(dock: FurrowDock) -> None:
    for name in ("image", "look", "model", "target", "class_column", "code_column"):
        assert getattr(dock, f"{name}_label").buddy() is getattr(dock, f"{name}_combo")


def test_mnemonics_are_no_two_the_same_and_none_of_the_menus(dock: FurrowDock) -> None:
    texts = [
        each.text() for kind in (QLabel, QAbstractButton) for each in dock.findChildren(kind)
        if each is not dock.status_label
    ]  # fmt: skip
    letters = [text[text.index("&") + 1].lower() for text in texts if "&" in text]
    assert len(letters) >= 8
    assert len(set(letters)) == len(letters)
    assert set(letters) & set("jevlsporwdmch") == set(), "QGIS' own menus keep their keys"


def test_everything_has_a_tooltip_and_a_name(dock: FurrowDock) -> None:
    for each in dock.findChildren(QWidget):
        named = each.objectName() and each.objectName() not in ("collapseButton",)
        mine = isinstance(each, (QToolButton, QComboBox)) and named
        if mine and not each.objectName().startswith(("qt_", "Scroll")):
            assert each.toolTip(), each.objectName()
            text = each.text() if isinstance(each, QToolButton) else ""
            assert each.accessibleName() or text, each.objectName()
    for name, key in (("accept", "Enter"), ("clear", "Esc"), ("undo", "Backspace"),
                      ("next_mask", "Tab"), ("new", "N")):  # fmt: skip
        assert f"({key})" in getattr(dock, f"{name}_button").toolTip()


def test_the_dock_has_no_shortcuts_of_its_own(dock: FurrowDock) -> None:
    keys = [each.shortcut().toString() for each in dock.findChildren(QAbstractButton)]
    assert [key for key in keys if key and not key.startswith("Alt+")] == []
    assert dock.actions() == []


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest, qgis_app: Any) -> Iterator[str]:
    """A theme for the time of a test; widgets are made after it, as after a start of QGIS."""
    app = QApplication.instance()
    style, palette = app.style().objectName(), app.palette()
    app.setStyle("Fusion")
    app.setPalette(dark() if request.param == "dark" else app.style().standardPalette())
    yield request.param
    app.setStyle(style)
    app.setPalette(palette)


def test_pictures(theme: str, dock: FurrowDock, root: Path) -> None:
    """For looking at; and text stands out from its background in both themes."""
    pictures(dock, root / "build" / "screens", theme)
    for each in (dock.status_label, dock.image_label, dock.licence_label, dock.state_label):
        assert contrast(each) > 100, each.objectName()


def pictures(dock: FurrowDock, folder: Path, theme: str) -> None:
    """The dock as it starts, and scrolled to its end while the model works."""
    folder.mkdir(parents=True, exist_ok=True)
    dock.set_totals({"maize": (12, 345.6), "field": (3, 4.2)})
    dock.set_status("3 clicks; score 0.91; 12.4 ha; mask 2 of 3")
    dock.set_model("large")
    settle()
    assert dock.grab().save(str(folder / f"dock_{theme}.png"))
    dock.set_model("small")
    dock.set_engine_state("Preparing the image", "working", 0.4)
    dock.set_looks(LOOKS, "bands")
    dock.set_target(layer("fields a"))
    dock.set_mapping("crop", "code")
    dock.mapping_group.setCollapsed(False)
    settle()
    bar = dock.setup_area.verticalScrollBar()
    bar.setValue(bar.maximum())
    assert dock.grab().save(str(folder / f"dock_{theme}_working.png"))


def contrast(label: QLabel) -> int:
    """The difference in lightness of a label's text and its background, 0 to 255."""
    picture = label.grab().toImage()
    columns, rows = range(picture.width()), range(picture.height())
    values = [picture.pixelColor(x, y).lightness() for x in columns for y in rows]
    return max(values) - min(values)


def dark() -> QPalette:
    palette, roles = QPalette(), QPalette.ColorRole
    colours: Tuple[Tuple[Any, str], ...] = (
        (roles.Window, "#353535"), (roles.WindowText, "#ffffff"), (roles.Base, "#232323"),
        (roles.AlternateBase, "#353535"), (roles.Text, "#ffffff"), (roles.Button, "#353535"),
        (roles.ButtonText, "#ffffff"), (roles.ToolTipBase, "#353535"),
        (roles.ToolTipText, "#ffffff"), (roles.Highlight, "#2a82da"),
        (roles.HighlightedText, "#ffffff"), (roles.Link, "#2a82da"),
    )  # fmt: skip
    for role, colour in colours:
        palette.setColor(role, QColor(colour))
    for role in (roles.WindowText, roles.Text, roles.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor("#7f7f7f"))
    return palette
