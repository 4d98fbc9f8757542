"""The layer that fields go into: real layers, real undo, real files."""

from __future__ import annotations

import datetime as dt
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsDefaultValue,
    QgsGeometry,
    QgsRectangle,
    QgsVectorFileWriter,
    QgsVectorLayer,
)

from furrow.core.errors import OutputError
from furrow.qgis_io.compat import is_null, plain
from furrow.qgis_io.field_layers import (
    FieldMapping,
    FieldValues,
    add_field,
    change_shape,
    check_target,
    class_totals,
    merge_fields,
    new_geopackage_layer,
    new_memory_layer,
    style_by_class,
)

UTM = QgsCoordinateReferenceSystem("EPSG:32633")
GEOGRAPHIC = QgsCoordinateReferenceSystem("EPSG:4326")
CONTEXT = QgsCoordinateTransformContext()
MAIZE = FieldValues("Maize", 171, 0.87, dt.date(2024, 7, 3), "furrow-field", "S2 July", 2)
ALL = FieldMapping()


def square(x: float, y: float, side: float = 100.0) -> QgsGeometry:
    return QgsGeometry.fromRect(QgsRectangle(x, y, x + side, y + side))


def two_squares() -> QgsGeometry:
    return QgsGeometry.collectGeometry([square(500000, 5000000), square(500300, 5000000, 50)])


def add(layer, shape, values=MAIZE, mapping=ALL) -> int:
    return add_field(layer, shape, UTM, values, mapping, CONTEXT)


def memory(definition: str) -> QgsVectorLayer:
    layer = QgsVectorLayer(definition, "given", "memory")
    assert layer.isValid()
    return layer


def row(layer, fid) -> dict:
    feature = layer.getFeature(fid)
    return {f.name(): plain(feature[f.name()]) for f in layer.fields()}


@pytest.fixture(params=["memory", "geopackage"])
def target(request, qgis_app, tmp_path) -> QgsVectorLayer:
    if request.param == "memory":
        layer = new_memory_layer(UTM, "Fields")
    else:
        layer = new_geopackage_layer(tmp_path / "fields.gpkg", UTM, "Fields")
    yield layer
    layer.rollBack()


def test_a_field_is_written_with_all_its_values(target):
    check_target(target)
    assert FieldMapping.guess(target) == ALL
    fid = add(target, square(500000, 5000000))
    assert target.isEditable() and target.crs() == UTM
    assert target.getFeature(fid).geometry().isGeosEqual(square(500000, 5000000))
    written = row(target, fid)
    written.pop("fid", None)
    # A square of a map in UTM is a little larger on the ground near the central meridian.
    assert written.pop("area_ha") == pytest.approx(1.0008, abs=1e-4)
    assert written == {"class": "Maize", "code": "171", "score": 0.87, "date": "2024-07-03",
                       "model": "furrow-field", "image": "S2 July", "clicks": 2}  # fmt: skip
    assert target.commitChanges(), target.commitErrors()
    assert [f["class"] for f in target.getFeatures()] == ["Maize"]


def test_one_undo_takes_one_field_back(target):
    shapes = [square(500000, 5000000), square(500200, 5000000)]
    fids = [add(target, shape) for shape in shapes]
    assert {f.id() for f in target.getFeatures()} == set(fids)
    assert target.undoStack().undoText() == "Add field"
    target.undoStack().undo()
    assert [f.id() for f in target.getFeatures()] == fids[:1]
    target.undoStack().redo()
    assert {f.id() for f in target.getFeatures()} == set(fids)


def test_a_changed_shape_has_its_area_and_is_undone_at_once(target):
    fid = add(target, square(500000, 5000000))
    change_shape(target, fid, square(500000, 5000000, 200), UTM, "Add to field", CONTEXT)
    assert row(target, fid)["area_ha"] == pytest.approx(4.003, abs=1e-3)
    assert target.undoStack().undoText() == "Add to field"
    target.undoStack().undo()
    assert row(target, fid)["area_ha"] == pytest.approx(1.0008, abs=1e-4)
    assert target.getFeature(fid).geometry().area() == pytest.approx(1e4)


def test_an_empty_shape_deletes_the_field(target):
    fid = add(target, square(500000, 5000000))
    change_shape(target, fid, QgsGeometry(), UTM, "Cut from field", CONTEXT)
    assert list(target.getFeatures()) == []
    target.undoStack().undo()
    assert [f.id() for f in target.getFeatures()] == [fid]
    with pytest.raises(OutputError, match="no longer in"):
        change_shape(target, 999, square(0, 0), UTM, "Cut from field", CONTEXT)


def test_merging_keeps_the_first(target):
    first = add(target, square(500000, 5000000))
    others = [add(target, square(500000 + k * 100, 5000000)) for k in (1, 2)]
    assert merge_fields(target, [first, *others], CONTEXT) == first
    (left,) = target.getFeatures()
    assert left.id() == first and left.geometry().area() == pytest.approx(3e4)
    assert row(target, first)["area_ha"] == pytest.approx(3.0024, abs=1e-3)
    target.undoStack().undo()
    assert {f.id() for f in target.getFeatures()} == {first, *others}
    with pytest.raises(OutputError, match="two fields"):
        merge_fields(target, [first, first], CONTEXT)


def test_fields_apart_are_not_merged_in_a_layer_of_single_polygons(qgis_app):
    layer = memory("Polygon?crs=EPSG:32633&field=class:string")
    fids = [add(layer, square(500000, 5000000)), add(layer, square(500500, 5000000))]
    with pytest.raises(OutputError, match="single polygons"):
        merge_fields(layer, fids, CONTEXT)
    assert layer.undoStack().count() == 2


def test_a_layer_gets_the_type_it_holds(qgis_app):
    cases = {"Polygon": 1e4, "MultiPolygon": 12500, "PolygonZ": 1e4, "MultiPolygonZM": 12500}
    for kind, area in cases.items():
        layer = memory(f"{kind}?crs=EPSG:32633&field=class:string")
        add(layer, two_squares())
        assert layer.commitChanges(), (kind, layer.commitErrors())
        (field,) = layer.getFeatures()
        assert field.geometry().wkbType() == layer.wkbType()
        assert field.geometry().area() == pytest.approx(area)


def test_a_field_moves_to_the_reference_system_of_the_layer(qgis_app):
    layer = new_memory_layer(GEOGRAPHIC, "Fields")
    fid = add(layer, square(500000, 5000000))
    back = layer.getFeature(fid).geometry()
    back.transform(QgsCoordinateTransform(GEOGRAPHIC, UTM, CONTEXT))
    assert back.area() == pytest.approx(1e4, rel=1e-6)
    assert row(layer, fid)["area_ha"] == pytest.approx(1.0008, abs=1e-4)


def test_a_crossed_outline_is_mended(target):
    crossed = QgsGeometry.fromWkt("POLYGON((0 0, 100 100, 100 0, 0 100, 0 0))")
    crossed.translate(500000, 5000000)
    geometry = target.getFeature(add(target, crossed)).geometry()
    assert geometry.isGeosValid() and geometry.area() == pytest.approx(5000)


def test_columns_of_other_types_hold_what_they_can(qgis_app):
    layer = memory("Polygon?crs=EPSG:32633&field=code:integer&field=date:string(20)"
                   "&field=class:string(4)&field=score:integer&field=when:datetime")  # fmt: skip
    fid = add(layer, square(500000, 5000000), replace(MAIZE, code="171"))
    assert row(layer, fid) == {
        "code": 171, "date": "2024-07-03", "class": "Maiz", "score": 1, "when": None
    }  # fmt: skip
    other = replace(MAIZE, code="M-1", score=float("nan"), date=None)
    fid = add(layer, square(500000, 5000000), other)
    assert row(layer, fid) == {
        "code": None, "date": None, "class": "Maiz", "score": None, "when": None
    }  # fmt: skip
    fid = add(layer, square(500000, 5000000), mapping=replace(ALL, date="when", code=""))
    assert row(layer, fid)["when"] == "2024-07-03T00:00:00" and row(layer, fid)["code"] is None


def test_columns_are_guessed_by_name_and_type(qgis_app):
    layer = memory("Polygon?crs=EPSG:32633&field=Crop Name:string&field=LABEL:integer"
                   "&field=score:string&field=Ha:double&field=image_date:date")  # fmt: skip
    assert FieldMapping.guess(layer) == FieldMapping(
        "Crop Name", "LABEL", "", "Ha", "image_date", "", "", ""
    )
    layer = memory("Polygon?crs=EPSG:32633&field=label:string&field=class:string")
    assert FieldMapping.guess(layer).class_name == "class"
    assert FieldMapping.guess(layer).code == ""


def test_columns_of_an_expression_are_not_guessed(qgis_app):
    layer = memory("Polygon?crs=EPSG:32633&field=a:string")
    column = new_memory_layer(UTM, "any").fields().at(0)
    layer.addExpressionField("'x'", column)
    assert layer.fields().lookupField("class") == 1
    assert FieldMapping.guess(layer).class_name == ""


def test_defaults_of_the_layer_are_kept(target):
    position = target.fields().lookupField("model")
    target.setDefaultValueDefinition(position, QgsDefaultValue("'by hand'"))
    fid = add(target, square(500000, 5000000), mapping=replace(ALL, model=""))
    assert row(target, fid)["model"] == "by hand"


def test_totals_count_what_is_not_saved(target):
    add(target, square(500000, 5000000))
    assert target.commitChanges(False)
    add(target, square(500200, 5000000))
    gone = add(target, square(500400, 5000000), replace(MAIZE, class_name="Barley"))
    assert class_totals(target, ALL, CONTEXT)["Barley"][0] == 1
    target.deleteFeature(gone)
    add(target, square(500600, 5000000), mapping=replace(ALL, class_name=""))
    totals = class_totals(target, ALL, CONTEXT)
    assert {label: count for label, (count, _) in totals.items()} == {"Maize": 2, "": 1}
    assert totals["Maize"][1] == pytest.approx(2.0016, abs=1e-3)
    assert class_totals(target, replace(ALL, class_name=""), CONTEXT)[""][0] == 3


def test_classes_have_their_own_colours_and_the_rest_is_drawn_too(target):
    style_by_class(target, ALL, [("Maize", "#ffcc00"), ("Barley", "#112233")])
    categories = target.renderer().categories()
    assert [c.value() for c in categories[:2]] == ["Maize", "Barley"]
    stroke = categories[0].symbol().symbolLayer(0).strokeColor()
    assert stroke.name() == "#ffcc00" and is_null(categories[2].value())
    style_by_class(target, replace(ALL, class_name=""), [])
    assert target.renderer().type() == "singleSymbol"


def test_a_table_with_a_free_name_is_added_to_a_geopackage(qgis_app, tmp_path):
    path = tmp_path / "farm.gpkg"
    layers = [new_geopackage_layer(path, UTM, "My fields") for _ in range(3)]
    tables = [layer.source().split("layername=")[1] for layer in layers]
    assert tables == ["My_fields", "My_fields_2", "My_fields_3"]
    assert {layer.name() for layer in layers} == {"My fields"}
    add(layers[0], square(500000, 5000000))
    assert layers[0].commitChanges()
    again = new_geopackage_layer(path, GEOGRAPHIC, "|'\"")
    assert again.source().endswith("layername=fields") and again.crs() == GEOGRAPHIC
    assert layers[0].featureCount() == 1


def test_a_file_that_cannot_be_made_is_told(qgis_app, tmp_path):
    with pytest.raises(OutputError, match="folder does not exist"):
        new_geopackage_layer(tmp_path / "none" / "a.gpkg", UTM, "Fields")
    with pytest.raises(OutputError, match="may write to"):
        new_geopackage_layer(Path("/proc/a.gpkg"), UTM, "Fields")
    text = tmp_path / "text.gpkg"
    text.write_text("no database")
    with pytest.raises(OutputError, match="no GeoPackage"):
        new_geopackage_layer(text, UTM, "Fields")
    assert text.read_text() == "no database"


def test_a_locked_geopackage_is_told(qgis_app, tmp_path):
    path = tmp_path / "farm.gpkg"
    layer = new_geopackage_layer(path, UTM, "Fields")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(OutputError, match="open elsewhere"):
            new_geopackage_layer(path, UTM, "Fields")
        with pytest.raises(OutputError, match="locked"):
            check_target(layer)
    finally:
        other.close()
    check_target(layer)


def test_layers_that_take_no_fields_are_refused(qgis_app, tmp_path):
    refused = {
        "no polygons": memory("Point?crs=EPSG:32633"),
        "cannot be read": QgsVectorLayer("/none.gpkg", "none", "ogr"),
        "no reference system": new_memory_layer(QgsCoordinateReferenceSystem(), "Fields"),
    }
    read_only = new_memory_layer(UTM, "Fields")
    read_only.setReadOnly(True)
    refused["read-only"] = read_only
    for text, layer in refused.items():
        with pytest.raises(OutputError, match=text):
            check_target(layer)
    with pytest.raises(OutputError, match="does not take"):
        add(read_only, square(500000, 5000000))
    with pytest.raises(OutputError, match="no area"):
        add(new_memory_layer(UTM, "Fields"), QgsGeometry())


def test_a_field_that_cannot_be_added_leaves_no_edit(qgis_app, monkeypatch):
    layer = new_memory_layer(UTM, "Fields")
    add(layer, square(500000, 5000000))
    before = layer.undoStack().index()
    monkeypatch.setattr(layer, "addFeature", lambda feature: False)
    with pytest.raises(OutputError, match="does not take"):
        add(layer, square(500200, 5000000))
    assert layer.undoStack().index() == before and len(list(layer.getFeatures())) == 1


def test_a_shapefile_takes_fields(qgis_app, tmp_path):
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "ESRI Shapefile"
    made = new_memory_layer(UTM, "Fields")
    path = str(tmp_path / "fields.shp")
    QgsVectorFileWriter.writeAsVectorFormatV3(made, path, CONTEXT, options)
    layer = QgsVectorLayer(path, "Fields", "ogr")
    check_target(layer)
    add(layer, two_squares(), replace(MAIZE, class_name="M" * 300))
    assert layer.commitChanges(), layer.commitErrors()
    (field,) = layer.getFeatures()
    assert len(field["class"]) == 254
    assert field["clicks"] == 2 and field.geometry().area() == pytest.approx(12500)
