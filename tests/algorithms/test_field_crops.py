"""furrow:exportfieldcrops and furrow:importfieldlabels, there and back."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import QgsGeometry, QgsProcessingFeedback, QgsVectorLayer
from qgis.PyQt.QtCore import QVariant

from furrow.tests.algorithms.field_scene import METRES, layer_of, pixels, polygon, save, scene


def holed(top, left):
    """A square of 20 pixels with a hole of 6."""
    return polygon(top, left).difference(polygon(top + 7, left + 5, 6))


def two_parts(top, left):
    return QgsGeometry.collectGeometry([polygon(top, left, 6), polygon(top + 10, left + 10, 8)])


@pytest.fixture
def three(tmp_path):
    """A picture with a plain field, one with a hole and one of two parts."""
    values, _ = pixels(4, 5, 1)
    image = save(tmp_path / "three.tif", values)
    rows = [(polygon(2, 2), "field", None), (holed(26, 26), "nonfield", None),
            (two_parts(50, 50), None, None)]  # fmt: skip
    return image, layer_of(rows)


def exported(run_algorithm, image, layer, folder, **more):
    given = {"INPUT": str(image), "FIELDS": layer, "CLASS_FIELD": "class", "OUTPUT": str(folder)}
    return run_algorithm("exportfieldcrops", {**given, **more})


def manifest(folder):
    with (folder / "manifest.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read(path):
    return gdal.Open(str(path)).ReadAsArray()


def test_crops_by_class(run_algorithm, three, tmp_path):
    image, layer = three
    folder = tmp_path / "out"
    results = exported(run_algorithm, image, layer, folder)
    assert (results["CROP_COUNT"], results["PICTURE_COUNT"], results["SKIPPED"]) == (3, 1, 0)
    rows = manifest(folder)
    assert [row["class"] for row in rows] == ["field", "nonfield", "field"]
    assert [Path(row["file"]).parent.name for row in rows] == ["field", "nonfield", "field"]
    assert [int(row["pixels"]) for row in rows] == [400, 364, 100]
    crop, whole = read(folder / rows[0]["file"]), read(image)
    assert crop.shape == (3, 24, 24), "20 pixels and 10 percent on each side"
    assert np.array_equal(crop, whole[:, :24, :24])
    assert json.loads((folder / "manifest.csv.run.json").read_text())["counts"]["CROP_COUNT"] == 3


def test_masked_crops(run_algorithm, three, tmp_path):
    image, layer = three
    folder = tmp_path / "out"
    exported(run_algorithm, image, layer, folder, BACKGROUND="mask", LABEL_FILES=False)
    assert not (folder / "pictures").exists()
    crop = read(folder / manifest(folder)[1]["file"])
    lit = crop.any(axis=0)
    assert lit.sum() == 364 and not lit[:2].any() and not lit[9:15, 7:13].any()


def test_geotiffs_keep_numbers_and_place(run_algorithm, tmp_path):
    values, places = pixels(3, 3, 2)
    numbers = np.concatenate([values, values[:1]]).astype(np.uint16) * 40
    image = save(tmp_path / "four.tif", numbers, nodata=0, names=("B02", "B03", "B04", "B08"))
    top, left, _ = places[4]
    folder = tmp_path / "out"
    exported(run_algorithm, image, layer_of([(polygon(top, left), "a", None)]), folder,
             FORMAT="geotiff", MARGIN=0)  # fmt: skip
    data = gdal.Open(str(folder / manifest(folder)[0]["file"]))
    assert np.array_equal(data.ReadAsArray(), numbers[:, top : top + 20, left : left + 20])
    assert data.GetGeoTransform()[0] == 500_000 + METRES * left
    assert data.GetRasterBand(4).GetDescription() == "B08"
    assert data.GetRasterBand(1).GetNoDataValue() == 0


def test_masked_geotiffs(run_algorithm, three, tmp_path):
    image, layer = three
    folder = tmp_path / "out"
    exported(run_algorithm, image, layer, folder, FORMAT="geotiff", BACKGROUND="mask",
             LABEL_FILES=False)  # fmt: skip
    assert read(folder / manifest(folder)[1]["file"]).any(axis=0).sum() == 364


def test_no_data_that_pixels_cannot_hold(run_algorithm, tmp_path):
    values, _ = pixels(2, 2, 2)
    image = save(tmp_path / "odd.tif", values, nodata=-9999)
    folder = tmp_path / "out"
    exported(run_algorithm, image, layer_of([(polygon(-6, 2), "a", None)]), folder,
             FORMAT="geotiff", BACKGROUND="mask", LABEL_FILES=False)  # fmt: skip
    crop = read(folder / manifest(folder)[0]["file"])
    assert (crop[:, 0] == 0).all() and crop.any()


def test_crops_at_the_edge_of_the_picture(run_algorithm, tmp_path):
    made = scene(tmp_path, 3, 2, 2)
    over = layer_of([(polygon(-6, 10), "a", None)])
    folder = tmp_path / "out"
    exported(run_algorithm, made.image, over, folder, MARGIN=0, LABEL_FILES=False)
    crop = read(folder / manifest(folder)[0]["file"])
    assert crop.shape[1] == crop.shape[2] == 20
    assert (crop[:, :3] == 0).all() and crop[:, 4:17].all()


def test_outlines_with_holes_and_parts(run_algorithm, three, tmp_path):
    image, layer = three
    exported(run_algorithm, image, layer, tmp_path / "out")
    said = json.loads((tmp_path / "out" / "pictures" / "three.json").read_text(encoding="utf-8"))
    assert said["imagePath"] == "three.png" and said["imageWidth"] == 120
    assert np.array_equal(read(tmp_path / "out" / "pictures" / "three.png"), read(image))
    ids = [feature.id() for feature in layer.getFeatures()]
    assert [(s["label"], s["group_id"]) for s in said["shapes"]] == [
        ("field", ids[0]), ("nonfield", ids[1]), ("field", ids[2]), ("field", ids[2]),
    ]  # fmt: skip
    areas = [abs(QgsGeometry.fromWkt(wkt_of(s["points"])).area()) for s in said["shapes"]]
    assert areas == pytest.approx([400, 364, 36, 64])


def wkt_of(points):
    ring = ", ".join(f"{x} {y}" for x, y in [*points, points[0]])
    return f"Polygon (({ring}))"


def relabel(folder, change):
    """Let `change` edit the shapes of every JSON file."""
    for path in sorted((folder / "pictures").glob("*.json")):
        said = json.loads(path.read_text(encoding="utf-8"))
        change(said["shapes"])
        path.write_text(json.dumps(said), encoding="utf-8")


def test_labels_come_back(run_algorithm, three, tmp_path):
    image, layer = three
    exported(run_algorithm, image, layer, tmp_path / "out")

    def change(shapes):
        shapes[0]["label"] = "forest"
        del shapes[1]
        shapes.append({"label": "pond", "points": [[100, 10], [110, 10], [110, 20], [100, 20]],
                       "group_id": None, "shape_type": "polygon", "flags": {}})  # fmt: skip

    relabel(tmp_path / "out", change)
    results = run_algorithm("importfieldlabels", {
        "LABELS": str(tmp_path / "out"), "FIELDS": layer, "CLASS_FIELD": "class",
        "OUTPUT": "memory:",
    })  # fmt: skip
    assert [results[name] for name in ("CHANGED", "NEW", "MISSING", "SKIPPED")] == [2, 1, 1, 0]
    rows = list(results["OUTPUT"].getFeatures())
    assert [(f["class"], f["status"]) for f in rows] == [
        ("forest", "changed"), ("nonfield", "missing"), ("field", "changed"), ("pond", "new"),
    ]  # fmt: skip
    before = [f.geometry() for f in layer.getFeatures()]
    assert all(f.geometry().equals(shape) for f, shape in zip(rows, before))
    assert rows[3].geometry().boundingBox() == polygon(10, 100, 10).boundingBox()
    assert {c.value() for c in results["OUTPUT"].renderer().categories()} == {
        "forest", "nonfield", "field", "pond",
    }  # fmt: skip


def test_without_a_class_field_a_new_one_gets_the_labels(run_algorithm, three, tmp_path):
    image, layer = three
    layer.dataProvider().deleteAttributes([0])
    layer.updateFields()
    exported(run_algorithm, image, layer, tmp_path / "out", CLASS_FIELD=None, DEFAULT_CLASS="1")
    relabel(tmp_path / "out", lambda shapes: shapes[1].update(label="0"))
    given = {"LABELS": str(tmp_path / "out" / "pictures"), "FIELDS": layer, "OUTPUT": "memory:"}
    output = run_algorithm("importfieldlabels", given)["OUTPUT"]
    assert output.fields().names() == ["image", "class", "status"]
    assert [f["class"] for f in output.getFeatures()] == ["1", "0", "1"]


def test_shapes_alone_become_polygons(run_algorithm, three, tmp_path):
    image, layer = three
    exported(run_algorithm, image, layer, tmp_path / "out", TILE=64)
    results = run_algorithm("importfieldlabels", {
        "LABELS": str(tmp_path / "out"), "OUTPUT": str(tmp_path / "labels.gpkg"),
    })  # fmt: skip
    output = QgsVectorLayer(results["OUTPUT"], "x", "ogr")
    assert output.crs().authid() == "EPSG:32632" and results["NEW"] == 3
    expected = {f.id(): f.geometry() for f in layer.getFeatures()}
    for feature in output.getFeatures():
        shape = expected[feature["group"]]
        apart = feature.geometry().symDifference(shape).area()
        assert apart < 1e-3 * shape.area(), "cut at the edges of pictures, and whole again"


def test_large_pictures_come_in_parts(run_algorithm, tmp_path):
    made = scene(tmp_path, 4, 6, 6)
    folder = tmp_path / "out"
    results = exported(run_algorithm, made.image, made.layer, folder, TILE=64)
    assert results["PICTURE_COUNT"] == 9
    parts = [json.loads(path.read_text()) for path in (folder / "pictures").glob("*.json")]
    assert all(part["imageHeight"] == part["imageWidth"] == 48 for part in parts)
    points = np.concatenate([s["points"] for part in parts for s in part["shapes"]])
    assert points.min() >= 0 and points.max() <= 48
    changed = []

    def change(shapes):
        if not changed:
            shapes[0]["label"] = "wood"
            changed.append(shapes[0]["group_id"])

    relabel(folder, change)
    output = run_algorithm("importfieldlabels", {
        "LABELS": str(folder), "FIELDS": made.layer, "CLASS_FIELD": "class", "OUTPUT": "memory:",
    })["OUTPUT"]  # fmt: skip
    ids = [f.id() for f in made.layer.getFeatures()]
    labels = dict(zip(ids, (f["class"] for f in output.getFeatures())))
    assert labels[changed[0]] == "wood" and list(labels.values()).count("wood") == 1


def test_pictures_without_a_place(run_algorithm, tmp_path):
    made = [scene(tmp_path, seed, 2, 2, placed=False) for seed in (5, 6)]
    rows = [(f.geometry(), f["class"], f["image"]) for m in made for f in m.layer.getFeatures()]
    layer = layer_of(rows, "")
    folder = tmp_path / "out"
    results = exported(run_algorithm, made[0].image, layer, folder, IMAGE_FIELD="image",
                       MORE_IMAGES=[str(made[1].image)])  # fmt: skip
    assert (results["CROP_COUNT"], results["PICTURE_COUNT"]) == (8, 2)
    said = json.loads((folder / "pictures" / "scene_6.json").read_text())
    top, left, _ = made[1].places[0]
    assert sorted(said["shapes"][0]["points"])[0] == [left, top]
    row = manifest(folder)[4]
    assert row["image"] == "scene_6.tif"
    assert np.array_equal(read(folder / row["file"]), read(made[1].image)[:, :24, :24])


def test_numbers_take_only_numbers(run_algorithm, tmp_path):
    made = scene(tmp_path, 7, 2, 2)
    rows = [(f.geometry(), 1, None) for f in made.layer.getFeatures()]
    layer = layer_of(rows, class_type=QVariant.Int)
    exported(run_algorithm, made.image, layer, tmp_path / "out")

    def change(shapes):
        shapes[0]["label"], shapes[1]["label"] = "0", "wood"

    relabel(tmp_path / "out", change)
    feedback = QgsProcessingFeedback(False)
    results = run_algorithm("importfieldlabels", {
        "LABELS": str(tmp_path / "out"), "FIELDS": layer, "CLASS_FIELD": "class",
        "OUTPUT": "memory:",
    }, feedback=feedback)  # fmt: skip
    assert [f["class"] for f in results["OUTPUT"].getFeatures()] == [0, 1, 1, 1]
    assert (results["CHANGED"], results["SKIPPED"]) == (1, 1)
    assert "'wood' is no number" in feedback.textLog()


def test_small_and_missing_fields_are_listed(run_algorithm, tmp_path):
    made = scene(tmp_path, 8, 2, 2)
    tiny = polygon(5, 5).centroid().buffer(4, 3)
    layer = layer_of([(polygon(2, 2), "a", None), (tiny, "a", None), (None, "a", None)])
    results = exported(run_algorithm, made.image, layer, tmp_path / "out")
    assert (results["CROP_COUNT"], results["SKIPPED"]) == (1, 2)


def test_refusals(refused, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    made = scene(folder, 9, 2, 2)
    given = {"INPUT": str(made.image), "FIELDS": made.layer, "OUTPUT": str(folder)}
    refused("exportfieldcrops", given, "OUTPUT", "holds other files")
    labels = {"LABELS": str(folder), "OUTPUT": "memory:"}
    refused("importfieldlabels", labels, "LABELS", "holds no JSON file")
    refused("importfieldlabels", {**labels, "LABELS": str(folder / "x")}, "LABELS", "no folder")


def test_cancelled_export_leaves_nothing(run_algorithm, tmp_path):
    made = scene(tmp_path, 10)
    feedback = QgsProcessingFeedback(False)
    feedback.progressChanged.connect(lambda share: feedback.cancel() if share > 30 else None)
    before = sorted(tmp_path.iterdir())
    assert run_algorithm("exportfieldcrops", {
        "INPUT": str(made.image), "FIELDS": made.layer, "OUTPUT": str(tmp_path / "out"),
    }, feedback=feedback) == {}  # fmt: skip
    assert sorted(tmp_path.iterdir()) == before
