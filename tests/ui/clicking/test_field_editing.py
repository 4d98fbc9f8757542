"""Accepted fields put into real layers: new, added, cut, merged, undone, refused."""

from __future__ import annotations

import datetime as dt
import shutil
import zipfile
from pathlib import Path
from typing import Any, List, Tuple

import numpy as np
import pytest
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsFeature,
    QgsGeometry,
    QgsProject,
    QgsRectangle,
    QgsVectorFileWriter,
    QgsVectorLayer,
)

from furrow.core.errors import OutputError
from furrow.core.fields.field_mask import FieldMask
from furrow.core.imagery.grid import Window
from furrow.qgis_io.field_journal import FieldJournal
from furrow.qgis_io.field_layers import FieldValues, new_geopackage_layer, new_memory_layer
from furrow.ui.clicking.field_editing import FieldEditor, Mode
from furrow.ui.clicking.labelling import ShownField

UTM = QgsCoordinateReferenceSystem("EPSG:32633")
WHEAT = FieldValues("wheat", 3, 0.9, dt.date(2024, 6, 1), "classical", "image", 1)
MASK = FieldMask(0, Window(0, 0, 1, 1), np.ones((1, 1), bool), 0.9, 0, False, None, "image")
PIXEL = 10.0
X, Y = 500000.0, 5000000.0


def square(x: float, y: float, width: float = 100.0, height: float = 100.0) -> QgsGeometry:
    """Metres from a corner that all tests share."""
    return QgsGeometry.fromRect(QgsRectangle(X + x, Y + y, X + x + width, Y + y + height))


def shown(shape: QgsGeometry, crs: QgsCoordinateReferenceSystem = UTM) -> ShownField:
    return ShownField(shape, crs, MASK, PIXEL, 1)


def single_parts(crs: str) -> QgsVectorLayer:
    return QgsVectorLayer(f"Polygon?crs={crs}&field=class:string&field=area_ha:double", "single",
                          "memory")  # fmt: skip


@pytest.fixture(params=["memory", "geopackage", "degrees", "single"])
def target(request: Any, qgis_app: Any, tmp_path: Path) -> Any:
    kind = request.param
    if kind == "geopackage":
        layer = new_geopackage_layer(tmp_path / "fields.gpkg", UTM, "Fields")
    elif kind == "single":
        layer = single_parts("EPSG:32633")
    else:
        crs = UTM if kind == "memory" else QgsCoordinateReferenceSystem("EPSG:4326")
        layer = new_memory_layer(crs, "Fields")
    QgsProject.instance().addMapLayer(layer)
    yield layer
    QgsProject.instance().clear()


@pytest.fixture
def empty_editor(qgis_app: Any, tmp_path: Path) -> Any:
    QgsProject.instance().clear()
    journal = FieldJournal(tmp_path / "unsaved")
    made = FieldEditor(QgsProject.instance(), journal)
    yield made
    made.forget_target()
    journal.close()
    QgsProject.instance().clear()


@pytest.fixture
def editor(empty_editor: FieldEditor, target: QgsVectorLayer) -> FieldEditor:
    QgsProject.instance().addMapLayer(target)
    empty_editor.set_target(target)
    return empty_editor


def keep(editor: FieldEditor, shape: QgsGeometry, mode: Mode = Mode.NEW) -> None:
    editor.mode = mode
    editor.keep(shown(shape), WHEAT)


def areas(layer: QgsVectorLayer) -> List[float]:
    """Square metres in UTM, the smallest first."""
    move = QgsCoordinateTransform(layer.crs(), UTM, QgsProject.instance())
    found = []
    for feature in layer.getFeatures():
        shape = feature.geometry()
        shape.transform(move)
        found.append(shape.area())
    return sorted(found)


def content(layer: QgsVectorLayer) -> List[Tuple[str, List[Any]]]:
    return sorted((f.geometry().asWkt(9), [str(v) for v in f.attributes()])
                  for f in layer.getFeatures())  # fmt: skip


def steps(layer: QgsVectorLayer) -> int:
    """How many edits can be undone."""
    return layer.undoStack().index()


def check_one_step(layer: QgsVectorLayer, before: List[Any], count: int) -> None:
    """The last edit was one step, and undo takes it back wholly."""
    assert steps(layer) == count
    after = content(layer)
    layer.undoStack().undo()
    assert content(layer) == before
    layer.undoStack().redo()
    assert content(layer) == after


def check_refused(
    editor: FieldEditor, shape: QgsGeometry, mode: Mode, sentence: str
) -> None:
    layer = editor.target
    before, count = content(layer), steps(layer)
    with pytest.raises(OutputError, match=sentence):
        keep(editor, shape, mode)
    assert content(layer) == before and steps(layer) == count


def test_a_new_field(editor: FieldEditor, target: QgsVectorLayer) -> None:
    keep(editor, square(0, 0))
    assert areas(target) == pytest.approx([1e4], rel=1e-3)
    (feature,) = target.getFeatures()
    assert feature["class"] == "wheat" and feature["area_ha"] == pytest.approx(1.0, abs=0.01)
    check_one_step(target, [], 1)


@pytest.mark.parametrize("share", [True, False])
def test_a_new_field_beside_another(
    editor: FieldEditor, target: QgsVectorLayer, share: bool
) -> None:
    editor.share_edges = share
    keep(editor, square(0, 0))
    before = content(target)
    keep(editor, square(95, 0))  # half a pixel within the first one
    one, other = (f.geometry() for f in target.getFeatures())
    shared = one.intersection(other).area() / one.area()
    assert shared == pytest.approx(0 if share else 0.05, abs=1e-6 if share else 1e-2)
    check_one_step(target, before, 2)


def test_a_gap_of_half_a_pixel_is_closed(editor: FieldEditor, target: QgsVectorLayer) -> None:
    keep(editor, square(0, 0))
    keep(editor, square(105, 0))
    assert sum(areas(target)) == pytest.approx(20500, rel=2e-3)


def test_a_field_within_another_is_refused(editor: FieldEditor, target: QgsVectorLayer) -> None:
    keep(editor, square(0, 0))
    check_refused(editor, square(20, 20, 50, 50), Mode.NEW, "share no edges")


@pytest.mark.parametrize("share", [True, False])
def test_a_piece_is_added_and_cut(editor: FieldEditor, target: QgsVectorLayer, share: bool) -> None:
    editor.share_edges = share
    keep(editor, square(0, 0))
    before = content(target)
    keep(editor, square(50, 0), Mode.ADD)
    assert areas(target) == pytest.approx([15000], rel=1e-3)
    check_one_step(target, before, 2)
    before = content(target)
    keep(editor, square(100, -10, 100, 200), Mode.CUT)
    assert areas(target) == pytest.approx([10000], rel=1e-3)
    (feature,) = target.getFeatures()
    assert feature["area_ha"] == pytest.approx(1.0, abs=0.01)
    check_one_step(target, before, 3)


def test_an_added_piece_leaves_its_neighbours_alone(
    editor: FieldEditor, target: QgsVectorLayer
) -> None:
    keep(editor, square(0, 0))
    keep(editor, square(150, 0))
    keep(editor, square(50, 0, 130), Mode.ADD)
    one, other = (f.geometry() for f in target.getFeatures())
    assert one.intersection(other).area() < 1e-6 * one.area()
    assert areas(target) == pytest.approx([10000, 15000], rel=2e-3)


def test_cutting_all_of_a_field_deletes_it(editor: FieldEditor, target: QgsVectorLayer) -> None:
    keep(editor, square(0, 0))
    before = content(target)
    keep(editor, square(-10, -10, 200, 200), Mode.CUT)
    assert content(target) == []
    check_one_step(target, before, 2)


@pytest.mark.parametrize("mode", [Mode.ADD, Mode.CUT])
def test_there_has_to_be_a_field_to_change(
    editor: FieldEditor, target: QgsVectorLayer, mode: Mode
) -> None:
    keep(editor, square(0, 0))
    check_refused(editor, square(500, 500), mode, "click where one is")


def test_adding_what_lies_in_others_never_deletes(
    editor: FieldEditor, target: QgsVectorLayer
) -> None:
    editor.share_edges = False
    for _ in range(2):  # fields of the user's that overlap
        keep(editor, square(0, 0))
    editor.share_edges = True
    check_refused(editor, square(20, 20, 50, 50), Mode.ADD, "share no edges")


def test_two_fields_are_merged(editor: FieldEditor, target: QgsVectorLayer) -> None:
    for k in range(3):
        keep(editor, square(100 * k, 0))
    before = content(target)
    keep(editor, square(50, 20, 100, 50), Mode.MERGE)
    assert areas(target) == pytest.approx([10000, 20000], rel=1e-3)
    check_one_step(target, before, 4)
    check_refused(editor, square(10, 10, 20, 20), Mode.MERGE, "covers parts of both")


@pytest.fixture
def singles(empty_editor: FieldEditor) -> QgsVectorLayer:
    layer = single_parts("EPSG:32633")
    QgsProject.instance().addMapLayer(layer)
    empty_editor.set_target(layer)
    return layer


def test_fields_apart_are_not_merged_into_one_polygon(
    empty_editor: FieldEditor, singles: QgsVectorLayer
) -> None:
    for k in range(2):
        keep(empty_editor, square(150 * k, 0))
    check_refused(empty_editor, square(50, 20, 150, 50), Mode.MERGE, "lie apart")


def test_a_polygon_is_not_lost_for_a_larger_piece_beside_it(
    empty_editor: FieldEditor, singles: QgsVectorLayer
) -> None:
    keep(empty_editor, square(0, 0, 50, 50))
    keep(empty_editor, square(50, -200, 30, 400))  # between the field and most of the piece
    check_refused(empty_editor, square(10, 0, 300, 50), Mode.ADD, "lies apart")


def test_a_field_with_a_broken_outline_is_mended(
    empty_editor: FieldEditor, singles: QgsVectorLayer
) -> None:
    bow = QgsFeature(singles.fields())
    places = [(0, 0), (100, 100), (100, 0), (0, 100), (0, 0)]
    ring = ", ".join(f"{X + x} {Y + y}" for x, y in places)
    bow.setGeometry(QgsGeometry.fromWkt(f"Polygon(({ring}))"))
    singles.dataProvider().addFeatures([bow])
    keep(empty_editor, square(0, 0), Mode.ADD)
    assert areas(singles) == pytest.approx([10000])


@pytest.mark.parametrize("mode", [Mode.ADD, Mode.CUT, Mode.MERGE])
def test_without_a_layer_there_is_nothing_to_change(empty_editor: FieldEditor, mode: Mode) -> None:
    with pytest.raises(OutputError, match="no fields to change"):
        keep(empty_editor, square(0, 0), mode)
    assert not QgsProject.instance().mapLayers()


def test_the_first_field_makes_a_layer(empty_editor: FieldEditor) -> None:
    made: List[QgsVectorLayer] = []
    empty_editor.target_made.connect(made.append)
    keep(empty_editor, square(0, 0))
    assert made == [empty_editor.target] and made[0].crs() == UTM
    assert QgsProject.instance().mapLayer(made[0].id()) is made[0]
    check_one_step(made[0], [], 1)


def test_an_image_without_a_reference_system_makes_no_layer(empty_editor: FieldEditor) -> None:
    with pytest.raises(OutputError, match="The image has no reference system"):
        empty_editor.keep(shown(square(0, 0), QgsCoordinateReferenceSystem()), WHEAT)
    assert not QgsProject.instance().mapLayers() and empty_editor.target is None


def test_a_target_that_is_removed_is_forgotten(
    empty_editor: FieldEditor, singles: QgsVectorLayer
) -> None:
    keep(empty_editor, square(0, 0))
    QgsProject.instance().removeMapLayer(singles.id())
    assert empty_editor.target is None
    keep(empty_editor, square(0, 0))
    assert areas(empty_editor.target) == pytest.approx([10000])


def test_layers_that_cannot_take_fields_are_refused(
    empty_editor: FieldEditor, singles: QgsVectorLayer, tmp_path: Path
) -> None:
    """The one before stays the target."""
    locked = single_parts("EPSG:32633")
    locked.setReadOnly(True)
    points = QgsVectorLayer("Point?crs=EPSG:32633", "points", "memory")
    lost = QgsVectorLayer(str(tmp_path / "none.gpkg"), "lost", "ogr")
    for layer, sentence in ((locked, "read-only"), (points, "no polygons"), (lost, "cannot be")):
        with pytest.raises(OutputError, match=sentence):
            empty_editor.set_target(layer)
        assert empty_editor.target is singles


def test_a_file_that_cannot_be_written_to_is_refused(
    empty_editor: FieldEditor, tmp_path: Path
) -> None:
    """A shapefile in an archive, which OGR opens for reading only, whoever the user is."""
    folder = tmp_path / "shapes"
    folder.mkdir()
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "ESRI Shapefile"
    QgsVectorFileWriter.writeAsVectorFormatV3(
        single_parts("EPSG:32633"), str(folder / "fields.shp"),
        QgsProject.instance().transformContext(), options,
    )  # fmt: skip
    archive = shutil.make_archive(str(tmp_path / "fields"), "zip", folder)
    assert zipfile.is_zipfile(archive)
    layer = QgsVectorLayer(f"/vsizip/{archive}/fields.shp", "archived", "ogr")
    assert layer.isValid()
    with pytest.raises(OutputError, match="read-only; choose a layer that can be edited"):
        empty_editor.set_target(layer)
    assert empty_editor.target is None


def test_others_edits_are_told_of_once_however_often_a_layer_was_chosen(
    empty_editor: FieldEditor, singles: QgsVectorLayer
) -> None:
    other = single_parts("EPSG:32633")
    told: List[bool] = []
    empty_editor.changed.connect(lambda: told.append(True))
    for layer in (other, singles, other, singles):
        empty_editor.set_target(layer)
    for layer in (other, singles):
        layer.startEditing()
        feature = QgsFeature(layer.fields())
        feature.setGeometry(square(0, 0))
        layer.addFeature(feature)
    assert len(told) == 1
