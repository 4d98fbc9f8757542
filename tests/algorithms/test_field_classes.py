"""furrow:trainfieldclassifier and furrow:classifyfields with a forest."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsGeometry,
    QgsProcessingFeedback,
    QgsProject,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QVariant

from furrow.tests.algorithms.field_scene import METRES, layer_of, pixels, polygon, save, scene


@pytest.fixture(scope="module")
def model(run_once, tmp_path_factory):
    """A model of fields and scrub, and what its training said."""
    folder = tmp_path_factory.mktemp("model")
    made = scene(folder, 1)
    results = run_once("trainfieldclassifier", {
        "INPUT": str(made.image), "FIELDS": made.layer, "CLASS_FIELD": "class", "TREES": 60,
        "MODEL": str(folder / "model"), "REPORT": str(folder / "report.html"),
    })  # fmt: skip
    return folder / "model", results


def classified(run_algorithm, made, model, **more):
    given = {"INPUT": str(made.image), "FIELDS": made.layer, "MODEL": str(model[0]),
             "OUTPUT": "memory:", **more}  # fmt: skip
    return run_algorithm("classifyfields", given)


def share_right(output):
    return np.mean([f["class"] == f["given_class"] for f in output.getFeatures()])


def test_training_tells_how_good_it_is(model):
    folder, results = model
    assert results["ACCURACY"] > 0.9 and results["F1"] > 0.9 and results["KAPPA"] > 0.8
    assert (results["TRAINED"], results["SKIPPED"]) == (48, 0)
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.json", "forest.npz", "README.md", "model.json.run.json"}
    said = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert said["classes"] == ["field", "nonfield"] and said["kind"] == "statistics"
    figures = said["trained"]["figures"]
    assert figures["grouped_by"] == "block of land" and figures["groups"] > 5
    assert figures["tested"] == 48 == sum(map(sum, figures["confusion"]))
    page = (folder.parent / "report.html").read_text(encoding="utf-8")
    assert "Confusion matrix" in page and "Overall accuracy" in page
    record = json.loads((folder / "model.json.run.json").read_text(encoding="utf-8"))
    assert record["counts"]["TRAINED"] == 48 and len(record["model"]["sha256"]) == 64


def test_other_fields_get_their_class(run_algorithm, model, tmp_path):
    made = scene(tmp_path, 2)
    results = classified(run_algorithm, made, model)
    output = results["OUTPUT"]
    assert (results["CLASSIFIED"], results["SKIPPED"]) == (48, 0)
    assert output.fields().names() == [
        "given_class", "image", "class", "probability", "p_field", "p_nonfield",
    ]  # fmt: skip
    assert share_right(output) > 0.9
    assert output.crs().authid() == "EPSG:32632"
    assert {c.value() for c in output.renderer().categories()} == {"field", "nonfield"}
    for feature in output.getFeatures():
        assert feature["p_field"] + feature["p_nonfield"] == pytest.approx(1, abs=2e-4)
        assert feature["probability"] == max(feature["p_field"], feature["p_nonfield"])
    few = classified(run_algorithm, made, model, PROBABILITIES=False)["OUTPUT"]
    assert few.fields().names()[-2:] == ["class", "probability"]


def test_file_output_has_a_record(run_algorithm, model, tmp_path):
    made = scene(tmp_path, 3, 2, 3)
    path = tmp_path / "classes.gpkg"
    classified(run_algorithm, made, model, OUTPUT=str(path))
    record = json.loads((tmp_path / "classes.gpkg.run.json").read_text(encoding="utf-8"))
    assert record["counts"]["CLASSIFIED"] == 6 and record["model"]["id"] == "model"
    assert QgsVectorLayer(str(path), "x", "ogr").featureCount() == 6


def test_reference_systems_may_differ(run_algorithm, model, tmp_path):
    made = scene(tmp_path, 4)
    target = QgsCoordinateReferenceSystem("EPSG:4326")
    move = QgsCoordinateTransform(made.layer.crs(), target, QgsProject.instance())
    rows = []
    for feature in made.layer.getFeatures():
        shape = QgsGeometry(feature.geometry())
        shape.transform(move)
        rows.append((shape, feature["class"], None))
    degrees = classified(run_algorithm, made, model, FIELDS=layer_of(rows, "EPSG:4326"))["OUTPUT"]
    metres = classified(run_algorithm, made, model)["OUTPUT"]
    assert degrees.crs().authid() == "EPSG:4326"
    first, second = ([f["p_field"] for f in o.getFeatures()] for o in (degrees, metres))
    assert first == pytest.approx(second, abs=0.06)


def test_shape_is_measured_on_the_ground(run_algorithm, tmp_path):
    """Square and long fields of one colour, trained in metres, told in degrees too."""
    image = save(tmp_path / "even.tif", np.full((3, 200, 400), 99, np.uint8))
    rows = []
    for k in range(24):
        square = QgsGeometry(polygon(16 * (k % 12), 32 * (k // 12), 12))
        rows.append((square, "square", None))
        thread = QgsGeometry.fromWkt(polygon(16 * (k % 12), 100 + 100 * (k // 12), 8).asWkt())
        box = thread.boundingBox()
        box.setXMaximum(box.xMinimum() + 80 * METRES)
        rows.append((QgsGeometry.fromRect(box), "thread", None))
    layer = layer_of(rows)
    model = tmp_path / "model"
    results = run_algorithm("trainfieldclassifier", {
        "INPUT": str(image), "FIELDS": layer, "CLASS_FIELD": "class", "MODEL": str(model),
        "FEATURE_GROUPS": ["shape"], "BLOCK_M": 500, "TREES": 30,
    })  # fmt: skip
    assert results["ACCURACY"] == 1
    said = json.loads((model / "model.json").read_text(encoding="utf-8"))
    assert said["features"]["names"] == [
        "area", "perimeter", "compactness", "elongation", "rectangularity",
    ]  # fmt: skip


def test_what_cannot_be_classified_is_listed(run_algorithm, model, tmp_path):
    made = scene(tmp_path, 5, 2, 2)
    far = QgsGeometry.fromWkt("Polygon ((0 0, 9 0, 9 9, 0 0))")
    good = polygon(*made.places[0][:2])
    tiny = QgsGeometry.fromWkt(good.asWkt()).centroid().buffer(4, 3)
    bow = QgsGeometry.fromWkt(good.asWkt())
    bow.moveVertex(bow.vertexAt(2).x(), bow.vertexAt(2).y(), 1)
    bow.moveVertex(good.vertexAt(1).x(), good.vertexAt(1).y(), 2)
    assert not bow.isGeosValid()
    layer = layer_of([
        (good, None, None), (None, "a", None), (far, "b", None), (tiny, "c", None),
        (bow, None, None),
    ])  # fmt: skip
    feedback = QgsProcessingFeedback(False)
    results = run_algorithm("classifyfields", {
        "INPUT": str(made.image), "FIELDS": layer, "MODEL": str(model[0]),
        "OUTPUT": str(tmp_path / "o.gpkg"), "REJECTED": "memory:",
    }, feedback=feedback)  # fmt: skip
    assert (results["CLASSIFIED"], results["SKIPPED"]) == (2, 3), "a bow tie is mended"
    reasons = {f["class"]: f["reason"] for f in results["REJECTED"].getFeatures()}
    assert reasons == {"a": "no_geometry", "b": "outside_image", "c": "too_few_pixels"}
    record = json.loads((tmp_path / "o.gpkg.run.json").read_text(encoding="utf-8"))
    assert len(record["skipped"]) == 3
    assert "too_few_pixels" in feedback.textLog()


def test_pixels_without_data_are_left_out(run_algorithm, tmp_path):
    values, places = pixels(6, 8, 1)
    bare = values.astype(np.float32)
    holed = bare.copy()
    for top, left, _ in places:
        holed[:, top : top + 7, left : left + 20] = -1
    layer = layer_of([(polygon(t, c), k, None) for t, c, k in places])
    image = save(tmp_path / "holed.tif", holed, nodata=-1)
    given = {"FIELDS": layer, "CLASS_FIELD": "class", "TREES": 40}
    results = run_algorithm("trainfieldclassifier", {
        **given, "INPUT": str(image), "MODEL": str(tmp_path / "model"),
    })  # fmt: skip
    assert results["ACCURACY"] > 0.9
    holed[:] = -1
    empty = save(tmp_path / "empty.tif", holed, nodata=-1)
    results = run_algorithm("classifyfields", {
        "INPUT": str(empty), "FIELDS": layer, "MODEL": str(tmp_path / "model"),
        "OUTPUT": "memory:",
    })  # fmt: skip
    assert (results["CLASSIFIED"], results["SKIPPED"]) == (0, 48)


def test_only_windows_are_read(run_algorithm, model, tmp_path):
    """A picture of 1.2 gigapixels, nearly all of it never written, answers at once."""
    path = tmp_path / "huge.tif"
    data = gdal.GetDriverByName("GTiff").Create(
        str(path), 20_000, 20_000, 3, gdal.GDT_Byte, ["SPARSE_OK=TRUE", "TILED=YES"]
    )
    made = scene(tmp_path, 6, 2, 3)
    small = gdal.Open(str(made.image))
    data.SetProjection(small.GetProjection())
    data.SetGeoTransform(small.GetGeoTransform())
    for k in range(3):
        data.GetRasterBand(k + 1).WriteArray(small.GetRasterBand(k + 1).ReadAsArray())
    data = None
    whole = polygon(0, 0, 4_000)
    rows = [(f.geometry(), f["class"], None) for f in made.layer.getFeatures()]
    began = time.process_time()
    results = run_algorithm("classifyfields", {
        "INPUT": str(path), "FIELDS": layer_of([*rows, (whole, None, None)]),
        "MODEL": str(model[0]), "OUTPUT": "memory:",
    })  # fmt: skip
    assert results["CLASSIFIED"] == 7
    assert time.process_time() - began < 10
    same = classified(run_algorithm, made, model)["OUTPUT"]
    expected = [f["p_field"] for f in same.getFeatures()]
    assert [f["p_field"] for f in results["OUTPUT"].getFeatures()][:6] == expected


def test_several_pictures_without_a_place(run_algorithm, tmp_path):
    made = [scene(tmp_path, seed, 3, 4, placed=False) for seed in (7, 8, 9, 10, 11)]
    rows = [(f.geometry(), f["class"], f["image"].replace(".tif", ""))
            for each in made for f in each.layer.getFeatures()]  # fmt: skip
    above = QgsGeometry(rows[0][0])
    above.translate(0, -4)
    rows[0] = (above, *rows[0][1:])  # drawn a little beyond the picture
    layer = layer_of([*rows, (above, "field", "elsewhere.tif")], "")
    given = {
        "INPUT": str(made[0].image), "MORE_IMAGES": [str(m.image) for m in made[1:]],
        "FIELDS": layer, "IMAGE_FIELD": "image",
    }  # fmt: skip
    feedback = QgsProcessingFeedback(False)
    results = run_algorithm("trainfieldclassifier", {
        **given, "CLASS_FIELD": "class", "TREES": 60, "MODEL": str(tmp_path / "model"),
    }, feedback=feedback)  # fmt: skip
    assert (results["TRAINED"], results["SKIPPED"]) == (60, 1)
    assert "no_such_image" in feedback.textLog()
    assert results["ACCURACY"] > 0.9
    figures = json.loads((tmp_path / "model" / "model.json").read_text())["trained"]["figures"]
    assert (figures["groups"], figures["grouped_by"]) == (5, "image")
    output = run_algorithm("classifyfields", {
        **given, "MODEL": str(tmp_path / "model"), "OUTPUT": "memory:",
    })["OUTPUT"]  # fmt: skip
    assert share_right(output) > 0.95


def test_numbers_as_classes_and_a_group_field(run_algorithm, tmp_path):
    made = scene(tmp_path, 12)
    rows = [(f.geometry(), int(f["class"] == "field"), str(k % 4))
            for k, f in enumerate(made.layer.getFeatures())]  # fmt: skip
    layer = layer_of(rows, class_type=QVariant.Int)
    run_algorithm("trainfieldclassifier", {
        "INPUT": str(made.image), "FIELDS": layer, "CLASS_FIELD": "class", "TREES": 40,
        "GROUP_FIELD": "image", "MODEL": str(tmp_path / "model"),
    })  # fmt: skip
    said = json.loads((tmp_path / "model" / "model.json").read_text())
    assert said["classes"] == [0, 1]
    assert said["trained"]["figures"]["groups"] == 4
    output = classified(run_algorithm, made, (tmp_path / "model",), FIELDS=layer)["OUTPUT"]
    assert output.fields().field("class").isNumeric()
    assert share_right(output) > 0.9


def test_bands_are_found_by_name(run_algorithm, tmp_path):
    values, places = pixels(5, 6, 13)
    layer = layer_of([(polygon(t, c), k, None) for t, c, k in places])
    names = ("red", "green", "blue")
    image = save(tmp_path / "a.tif", values, names=names)
    turned = save(tmp_path / "b.tif", values[::-1], names=names[::-1])
    model = tmp_path / "model"
    run_algorithm("trainfieldclassifier", {
        "INPUT": str(image), "FIELDS": layer, "CLASS_FIELD": "class", "TREES": 20,
        "MODEL": str(model),
    })  # fmt: skip
    given = {"FIELDS": layer, "MODEL": str(model), "OUTPUT": "memory:"}
    outputs = [run_algorithm("classifyfields", {**given, "INPUT": str(path)})["OUTPUT"]
               for path in (image, turned)]  # fmt: skip
    first, second = ([f["p_field"] for f in output.getFeatures()] for output in outputs)
    assert first == second


def test_unusable_labels_are_refused(refused, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    made = scene(folder, 14, 3, 3)
    one = layer_of([(f.geometry(), "field", None) for f in made.layer.getFeatures()])
    none = layer_of([(f.geometry(), None, None) for f in made.layer.getFeatures()])
    far = layer_of([(QgsGeometry.fromWkt("Polygon ((0 0, 9 0, 9 9, 0 0))"), "a", None)])
    given = {"INPUT": str(made.image), "CLASS_FIELD": "class"}
    for layer, words in (
        (one, ("CLASS_FIELD", "'field'", "two classes")),
        (none, ("CLASS_FIELD", "no usable field")),
        (far, ("FIELDS", "none of the 1", "reference system")),
    ):
        target = str(folder / "model")
        refused("trainfieldclassifier", {**given, "FIELDS": layer, "MODEL": target}, *words)
    mixed = {**given, "FIELDS": made.layer, "BLOCK_M": 1e6, "MODEL": str(folder / "model")}
    refused("trainfieldclassifier", mixed, "BLOCK_M", "one block of land")
    assert not (folder / "model").exists()


def test_unusable_places_and_models_are_refused(refused, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    made = scene(folder, 15, 2, 2)
    given = {"INPUT": str(made.image), "FIELDS": made.layer}
    wrong = {**given, "MODEL": str(folder), "OUTPUT": "memory:"}
    refused("classifyfields", wrong, "MODEL", "model.json")
    train = {**given, "CLASS_FIELD": "class", "MODEL": str(folder)}
    refused("trainfieldclassifier", train, "MODEL", "holds other files")
    one = save(folder / "one.tif", np.zeros((1, 60, 60), np.uint8))
    bands = {**given, "INPUT": str(one), "MODEL": str(model[0]), "OUTPUT": "memory:"}
    refused("classifyfields", bands, "1 band", "band 3")


def test_a_model_is_replaced_only_when_all_went_well(run_algorithm, tmp_path):
    made = scene(tmp_path, 16, 4, 4)
    given = {"INPUT": str(made.image), "FIELDS": made.layer, "CLASS_FIELD": "class",
             "MODEL": str(tmp_path / "model"), "TREES": 20}  # fmt: skip
    run_algorithm("trainfieldclassifier", given)
    before = (tmp_path / "model" / "model.json").read_bytes()
    feedback = QgsProcessingFeedback(False)
    feedback.progressChanged.connect(lambda share: feedback.cancel() if share > 40 else None)
    run_algorithm("trainfieldclassifier", {**given, "SEED": 1, "TREES": 400}, feedback=feedback)
    assert (tmp_path / "model" / "model.json").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".model")]
    run_algorithm("trainfieldclassifier", {**given, "SEED": 1})
    assert (tmp_path / "model" / "model.json").read_bytes() != before


def test_cancelled_classification_writes_nothing(run_algorithm, model, tmp_path):
    made = scene(tmp_path, 17)
    feedback = QgsProcessingFeedback(False)
    feedback.progressChanged.connect(lambda share: feedback.cancel() if share > 20 else None)
    results = run_algorithm("classifyfields", {
        "INPUT": str(made.image), "FIELDS": made.layer, "MODEL": str(model[0]),
        "OUTPUT": str(tmp_path / "o.gpkg"),
    }, feedback=feedback)  # fmt: skip
    assert results == {} and not (tmp_path / "o.gpkg").exists()


def test_danish_crops(run_algorithm, shared_data, tmp_path):
    """Grass against all other crops on one Sentinel-2 picture, by blocks of land."""
    parcels = QgsVectorLayer(str(shared_data / "denmark" / "fields.gpkg"), "parcels", "ogr")
    rows = [(f.geometry(), "grass" if "græs" in str(f["crop"]).lower() else "crop", None)
            for f in parcels.getFeatures()]  # fmt: skip
    results = run_algorithm("trainfieldclassifier", {
        "INPUT": str(shared_data / "denmark" / "s2_rgb.tif"),
        "FIELDS": layer_of(rows, parcels.crs().authid()),
        "CLASS_FIELD": "class", "TREES": 100, "MODEL": str(tmp_path / "model"),
    })  # fmt: skip
    assert results["ACCURACY"] > 0.75 and results["KAPPA"] > 0.4


