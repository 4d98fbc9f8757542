"""furrow:evaluatefields: by hand, on the published SpaceNet scores, and with bad input."""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict

import pytest
from qgis.core import QgsFeature, QgsGeometry, QgsVectorLayer

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


def square(x, y, side=100.0, wide=None):
    wide = side if wide is None else wide
    ring = [(x, y), (x + wide, y), (x + wide, y + side), (x, y + side), (x, y)]
    return "Polygon ((" + ", ".join(f"{a!r} {b!r}" for a, b in ring) + "))"


def layer_of(rows, crs="EPSG:25832", kind="Polygon"):
    """From (wkt, group, score) rows."""
    fields = "field=image:string&field=score:double&field=note:string"
    layer = QgsVectorLayer(f"{kind}?crs={crs}&{fields}", "fields", "memory")
    features = []
    for wkt, group, score in rows:
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromWkt(wkt) if wkt else QgsGeometry())
        feature.setAttributes([group, score, None])
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    layer.updateExtents()
    return layer


@pytest.fixture
def three():
    """Two true fields; one is found, one is found with an IoU of one half, a third is wrong."""
    fields = layer_of(
        [
            (square(0, 0), "a", 0.9),
            (square(300, 0, 50), "b", 0.8),
            (square(0, 600), "b", 0.7),
        ]
    )
    truth = layer_of([(square(0, 0), "a", None), (square(300, 0, 50, 100), "b", None)])
    return fields, truth


def test_two_labels_three_proposals(run_algorithm, three):
    fields, truth = three
    for more in ({}, {"RULES": "spacenet"}, {"SCORE_FIELD": "score"}):
        given = {"FIELDS": fields, "TRUTH": truth, "OUTPUT": "memory:", **more}
        results = run_algorithm("evaluatefields", given)
        assert (results["FOUND"], results["WRONG"], results["MISSED"]) == (2, 1, 0)
        assert results["F1"] == pytest.approx(0.8)
        assert results["MEAN_IOU"] == pytest.approx(0.75)
        assert results["OVERSEGMENTATION"] == pytest.approx(0.25)
        assert results["UNDERSEGMENTATION"] == pytest.approx(0)
        assert ("AVERAGE_PRECISION" in results) == ("SCORE_FIELD" in more)
    assert results["AVERAGE_PRECISION"] == pytest.approx(1.0)


def test_the_layer_shows_what_was_found_wrong_and_missed(run_algorithm, three):
    fields, truth = three
    given = {"FIELDS": fields, "TRUTH": truth, "IOU": 0.6, "OUTPUT": "memory:"}
    results = run_algorithm("evaluatefields", given)
    layer = results["OUTPUT"]
    rows = [(f["result"], f["field_id"], f["truth_id"], f["iou"]) for f in layer.getFeatures()]
    ids = [f.id() for f in truth.getFeatures()]
    assert [row[0] for row in rows] == ["found", "wrong", "wrong", "missed"]
    assert rows[0][2] == ids[0] and rows[3][2] == ids[1]
    assert [row[3] for row in rows] == pytest.approx([1.0, 0.5, 0.0, 0.5])
    assert layer.crs().authid() == "EPSG:25832"
    assert {c.value() for c in layer.renderer().categories()} == {"found", "wrong", "missed"}


def test_figures_by_group_and_report(run_algorithm, three, tmp_path):
    fields, truth = three
    report, output = tmp_path / "report.html", tmp_path / "matched.gpkg"
    results = run_algorithm(
        "evaluatefields",
        {
            "FIELDS": fields, "TRUTH": truth, "GROUP_FIELD": "image", "GROUPS": "memory:",
            "OUTPUT": str(output), "REPORT": str(report),
        },
    )  # fmt: skip
    rows = {
        f["group"]: (f["found"], f["wrong"], f["missed"]) for f in results["GROUPS"].getFeatures()
    }
    assert rows == {"all": (2, 1, 0), "a": (1, 0, 0), "b": (1, 1, 0)}
    page = report.read_text(encoding="utf-8")
    assert "0.800" in page and "Left out" not in page
    record = json.loads((tmp_path / "matched.gpkg.run.json").read_text(encoding="utf-8"))
    assert record["counts"] == {"FOUND": 2, "WRONG": 1, "MISSED": 0}


def test_groups_of_the_truth_alone(run_algorithm, three):
    fields, truth = three
    plain = layer_of([(f.geometry().asWkt(), None, None) for f in fields.getFeatures()])
    plain.dataProvider().deleteAttributes([0])
    plain.updateFields()
    given = {"FIELDS": plain, "TRUTH": truth, "GROUP_FIELD": "image", "GROUPS": "memory:",
             "OUTPUT": "memory:"}  # fmt: skip
    results = run_algorithm("evaluatefields", given)
    rows = {
        f["group"]: (f["found"], f["wrong"], f["missed"]) for f in results["GROUPS"].getFeatures()
    }
    assert rows == {"all": (2, 1, 0), "a": (1, 0, 0), "b": (1, 0, 0)}


def test_outlines_are_compared_on_the_ground(run_algorithm):
    field = layer_of([(square(0, 0), None, None)])
    truth = layer_of([(square(20, 0), None, None)])
    given = {"FIELDS": field, "TRUTH": truth, "OUTPUT": "memory:"}
    near = run_algorithm("evaluatefields", {**given, "BOUNDARY_M": 25})["BOUNDARY_F1"]
    far = run_algorithm("evaluatefields", {**given, "BOUNDARY_M": 5})["BOUNDARY_F1"]
    assert near == pytest.approx(1.0) and far < 0.6


def test_nothing_found_and_no_truth(run_algorithm, three):
    fields, truth = three
    empty = layer_of([])
    results = run_algorithm(
        "evaluatefields", {"FIELDS": empty, "TRUTH": truth, "OUTPUT": "memory:"}
    )
    assert (results["FOUND"], results["MISSED"], results["F1"]) == (0, 2, 0)
    assert "PRECISION" not in results
    results = run_algorithm(
        "evaluatefields", {"FIELDS": fields, "TRUTH": empty, "OUTPUT": "memory:"}
    )
    assert (results["FOUND"], results["WRONG"]) == (0, 3) and "RECALL" not in results


def test_what_cannot_be_compared_is_counted(run_algorithm, three, tmp_path):
    _, truth = three
    fields = layer_of(
        [(None, None, None), (square(0, 0), None, None), (square(0, 0, 2), None, None)]
    )
    report = tmp_path / "report.html"
    results = run_algorithm(
        "evaluatefields",
        {"FIELDS": fields, "TRUTH": truth, "MIN_AREA": 20, "OUTPUT": "memory:",
         "REPORT": str(report)},
    )  # fmt: skip
    assert (results["FOUND"], results["WRONG"], results["MISSED"]) == (1, 0, 1)
    page = report.read_text(encoding="utf-8")
    assert "it has no area" in page and "it is smaller than MIN_AREA" in page


def test_a_score_that_is_no_number_is_refused(refused, three):
    fields, truth = three
    given = {"FIELDS": fields, "TRUTH": truth, "SCORE_FIELD": "note", "OUTPUT": "memory:"}
    refused("evaluatefields", given, "SCORE_FIELD", "choose a field of numbers")


# -- the published scores of the SpaceNet evaluator --------------------------------------------


def spacenet(folder, name, score):
    rows = []
    with (folder / name).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            wkt = row["PolygonWKT_Pix"]
            rows.append((None if "EMPTY" in wkt else wkt, row["ImageId"], row.get(score)))
    return layer_of([(w, g, float(s) if s else None) for w, g, s in rows], crs="", kind="PolygonZ")


def published(folder, name):
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_published_spacenet_scores(run_algorithm, shared_data):
    folder = shared_data / "spacenet_eval"
    results = run_algorithm(
        "evaluatefields",
        {
            "FIELDS": spacenet(folder, "SN2_sample_preds.csv", "Confidence"),
            "TRUTH": spacenet(folder, "SN2_sample_truth.csv", "none"),
            "SCORE_FIELD": "score", "GROUP_FIELD": "image", "RULES": "spacenet",
            "OUTPUT": "memory:", "GROUPS": "memory:",
        },
    )  # fmt: skip
    groups = {f["group"]: f for f in results["GROUPS"].getFeatures()}
    cities = defaultdict(lambda: [0, 0, 0])
    for row in published(folder, "SN2_test_results_full.csv"):
        expected = [int(row[name]) for name in ("TruePos", "FalsePos", "FalseNeg")]
        if row["imageID"] not in groups:  # a picture without any building
            assert expected == [0, 0, 0]
            continue
        ours = groups[row["imageID"]]
        found = [ours[name] for name in ("found", "wrong", "missed")]
        assert found == expected
        assert ours["f1"] == pytest.approx(float(row["F1Score"]), abs=1e-6)
        cities[row["AOI"]] = [a + b for a, b in zip(cities[row["AOI"]], found)]
    totals = [[int(row[name]) for name in ("TruePos", "FalsePos", "FalseNeg")]
              for row in published(folder, "SN2_test_results.csv")]  # fmt: skip
    assert sorted(cities.values()) == sorted(totals)


def test_the_published_competition_score(run_algorithm, shared_data):
    folder = shared_data / "spacenet_eval"
    results = run_algorithm(
        "evaluatefields",
        {
            "FIELDS": spacenet(folder, "sample_preds_competition.csv", "Confidence"),
            "TRUTH": spacenet(folder, "sample_truth_competition.csv", "none"),
            "GROUP_FIELD": "image", "RULES": "spacenet", "OUTPUT": "memory:",
        },
    )  # fmt: skip
    (expected,) = published(folder, "competition_test_results.csv")
    assert results["FOUND"] == int(expected["TruePos"])
    assert results["F1"] == pytest.approx(float(expected["F1Score"]))
