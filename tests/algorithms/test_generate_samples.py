"""furrow:generatesamples on scenes with a known answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from osgeo import gdal
from scipy.spatial import cKDTree

from furrow.algorithms.model_parameters import DEFAULT_RULE
from furrow.core.report.run_record import read, record_path
from furrow.core.simulation.phenology import CROP_NAMES

COLUMNS = [
    "ref_id", "crop", "origin", "distance", "similarity", "n_valid", "n_interp", "margin",
    "nearest_class", "suspicious", "mask_rule", "mask_score", "image_date", "model",
]  # fmt: skip
FIELD_COLUMNS = ["ref_id", "class", "score", "area_ha", "date", "model", "n_candidates", "n_kept"]
QUARTER = range(20 * 20, 24 * 24 + 1)
"""Pixels of one of the four fields: the segmenter may leave out its rim."""
UPPER_LEFT = (641000.0, 5351000.0)
PIXEL = 10.0


def parameters(scene: Any, folder: Path, **more: Any) -> dict:
    return {
        "SERIES": str(scene.series),
        "REFERENCES": str(scene.references),
        "CLASS_FIELD": "crop",
        "MODEL": "classical",
        "OUTPUT": str(folder / "samples.gpkg"),
        "FIELDS": str(folder / "fields.gpkg"),
        "REJECTED": str(folder / "rejected.gpkg"),
        **more,
    }


@pytest.fixture(scope="module")
def main_run(
    run_once: Any, demo_scene: Any, table: Any, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """The main job on the demo scene with everything it can write."""
    folder = tmp_path_factory.mktemp("main run")
    given = parameters(demo_scene, folder, REPORT=str(folder / "report.html"))
    results = run_once("generatesamples", given)
    rows = {name: table(results[name]) for name in ("OUTPUT", "FIELDS", "REJECTED")}
    return SimpleNamespace(folder=folder, given=given, results=results, **rows)


def generated(rows: list[dict]) -> list[dict]:
    return [row for row in rows if row["origin"] == "generated"]


def pixels(coordinates: np.ndarray) -> np.ndarray:
    """(n, 2) row and column in the demo scene, centres at .5."""
    return np.column_stack([UPPER_LEFT[1] - coordinates[:, 1], coordinates[:, 0] - UPPER_LEFT[0]]
                           ) / PIXEL  # fmt: skip


def precision(rows: list[dict], coordinates: np.ndarray, scene: Any) -> float:
    """Share of samples whose class grows there, of references whose own label is right."""
    wrong = {r.ref_id for r in scene.scene.references if r.wrong}
    right = np.array([row["ref_id"] not in wrong for row in rows])
    assert right.sum() > 1000
    row, col = np.floor(pixels(coordinates)).astype(int).T
    grown = [CROP_NAMES.get(code) for code in scene.scene.crop_map[row, col].tolist()]
    agrees = np.array([sample["crop"] == crop for sample, crop in zip(rows, grown)])
    return float(agrees[right].mean())


# -- the main run ------------------------------------------------------------------------------


def test_columns(main_run: Any, open_layer: Any) -> None:
    def names(output: str) -> list[str]:
        return open_layer(main_run.results[output]).fields().names()[1:]  # the first is the key

    # The demo's points also have a class code: the user's other fields follow the class.
    assert names("OUTPUT") == [*COLUMNS[:2], "class_code", *COLUMNS[2:]]
    assert names("REJECTED") == [*names("OUTPUT"), "reason"]
    assert names("FIELDS")[: len(FIELD_COLUMNS)] == FIELD_COLUMNS


def test_every_candidate_is_counted_once(main_run: Any, demo_scene: Any) -> None:
    results = main_run.results
    kept, rejected = generated(main_run.OUTPUT), generated(main_run.REJECTED)
    assert (len(kept), len(rejected)) == (results["KEPT"], results["REJECTED_COUNT"])
    assert results["KEPT"] + results["REJECTED_COUNT"] == results["CANDIDATES"] > 0
    assert sum(row["n_candidates"] for row in main_run.FIELDS) == results["CANDIDATES"]
    assert sum(row["n_kept"] for row in main_run.FIELDS) == results["KEPT"]
    references = len(main_run.OUTPUT) - len(kept) + len(main_run.REJECTED) - len(rejected)
    assert references == len(demo_scene.scene.references)


def test_rows_are_plausible(main_run: Any) -> None:
    for row in generated(main_run.OUTPUT):
        assert 0 <= row["distance"] <= 0.05
        assert 0 < row["similarity"] <= 1
        assert 6 <= row["n_valid"] <= 12
        assert row["n_valid"] + row["n_interp"] <= 12
        assert (row["mask_rule"], row["model"]) == (DEFAULT_RULE.value, "classical")
        assert 0 <= row["mask_score"] <= 1
    assert {row["reason"] for row in main_run.REJECTED} <= {
        "distance", "few_dates", "conflict", "duplicate", "suspicious_reference",
    }  # fmt: skip


def test_samples_lie_on_pixel_centres_in_the_rasters_system(
    main_run: Any, open_layer: Any, places: Any
) -> None:
    """Specification A6, 13 and 15."""
    assert open_layer(main_run.results["OUTPUT"]).crs().authid() == "EPSG:32633"
    centres = pixels(places(generated(main_run.OUTPUT)))
    assert np.abs(centres % 1 - 0.5).max() < 1e-6
    assert len(np.unique(np.floor(centres), axis=0)) == len(centres)


def test_references_stay_where_they_are(main_run: Any, places: Any, demo_scene: Any) -> None:
    rows = [row for row in main_run.OUTPUT if row["origin"] == "reference"]
    truth = {r.ref_id: (r.y, r.x) for r in demo_scene.scene.references}
    found = dict(zip((row["ref_id"] for row in rows), pixels(places(rows))))
    assert len(found) > 0
    for key, place in found.items():
        assert place == pytest.approx(truth[key], abs=1e-6)


def test_samples_agree_with_the_truth(main_run: Any, places: Any, demo_scene: Any) -> None:
    rows = generated(main_run.OUTPUT)
    assert precision(rows, places(rows), demo_scene) >= 0.95


def test_wrong_labels_are_suspicious(main_run: Any, demo_scene: Any) -> None:
    wrong = {r.ref_id for r in demo_scene.scene.references if r.wrong}
    suspicious = {row["ref_id"] for row in main_run.FIELDS if row["suspicious"]}
    assert suspicious <= wrong
    assert len(suspicious) == main_run.results["SUSPICIOUS_COUNT"] > 0


def test_a_record_lies_beside_every_file(main_run: Any) -> None:
    records = [
        read(record_path(main_run.results[name]))
        for name in ("OUTPUT", "FIELDS", "REJECTED", "REPORT")
    ]
    for record in records:
        assert record == records[0]
    record = records[0]
    assert record.algorithm == "furrow:generatesamples"
    assert record.parameters["REFERENCES"] == main_run.given["REFERENCES"]
    assert record.counts["KEPT"] == main_run.results["KEPT"]
    assert record.model["id"] == "classical"
    assert sum(record.rejected.values()) == main_run.results["REJECTED_COUNT"]
    assert record.outputs["OUTPUT"] == main_run.results["OUTPUT"]


def test_the_record_repeats_the_run(main_run: Any, run_algorithm: Any, table: Any) -> None:
    """The words of `command`, run again, write the same rows over the old ones."""
    command = read(record_path(main_run.results["OUTPUT"])).command
    assert list(command[:4]) == ["qgis_process", "run", "furrow:generatesamples", "--"]
    again = dict(word.split("=", 1) for word in command[4:])
    again.update({k: v.replace(".gpkg", "_again.gpkg") for k, v in again.items()
                  if k in ("OUTPUT", "FIELDS", "REJECTED")})  # fmt: skip
    results = run_algorithm("generatesamples", again)
    assert results["OUTPUT"] != main_run.results["OUTPUT"]
    for name in ("OUTPUT", "FIELDS", "REJECTED"):
        assert table(results[name]) == getattr(main_run, name)


def test_the_record_names_files_not_layers_of_the_project(
    quarters: Any, samples_of: Any, open_layer: Any, make_points: Any, write_gpkg: Any,
    tmp_path: Path,
) -> None:  # fmt: skip
    """QGIS hands over ids of layers, which nothing outside the project knows."""
    from qgis.core import QgsProcessingFeatureSourceDefinition, QgsProject

    path = write_gpkg(make_points(quarters), tmp_path / "references.gpkg")
    layer = QgsProject.instance().addMapLayer(open_layer(path))
    for references in (layer, layer.id(), QgsProcessingFeatureSourceDefinition(layer.id())):
        results = samples_of(quarters, references, OUTPUT=str(tmp_path / "samples.gpkg"))
        record = read(record_path(results["OUTPUT"]))
        assert record.parameters["REFERENCES"] == layer.source() == path
    QgsProject.instance().removeMapLayer(layer)


def test_a_run_may_write_over_its_own_files(quarters: Any, samples_of: Any, table: Any,
                                            tmp_path: Path) -> None:  # fmt: skip
    path = str(tmp_path / "samples.gpkg")
    first = table(samples_of(quarters, OUTPUT=path)["OUTPUT"])
    assert table(samples_of(quarters, OUTPUT=path, MAX_PER_REFERENCE=3)["OUTPUT"]) != first
    assert table(samples_of(quarters, OUTPUT=path)["OUTPUT"]) == first


def test_the_report_is_a_page(main_run: Any) -> None:
    page = Path(main_run.results["REPORT"]).read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert str(main_run.results["CANDIDATES"]) in page.replace(",", "").replace("\u202f", "")


@pytest.mark.parametrize(
    ("output", "column"), [("OUTPUT", "crop"), ("FIELDS", "class"), ("REJECTED", "crop")]
)
def test_files_open_styled(main_run: Any, open_layer: Any, output: str, column: str) -> None:
    layer = open_layer(main_run.results[output])  # owns its renderer
    renderer = layer.renderer()
    assert renderer.type() == "categorizedSymbol"
    assert renderer.classAttribute() == f'"{column}"'
    classes = {row["crop"] for row in main_run.OUTPUT}
    assert classes <= {category.value() for category in renderer.categories()}


# -- the same answer ---------------------------------------------------------------------------


def transformed(layer: Any, authid: str, make_layer: Any, order: int = 1) -> Any:
    """A copy of the references in another reference system."""
    from qgis.core import (
        QgsCoordinateReferenceSystem,
        QgsCoordinateTransform,
        QgsGeometry,
        QgsProject,
    )
    from qgis.PyQt.QtCore import QVariant

    target = QgsCoordinateReferenceSystem(authid)
    transform = QgsCoordinateTransform(layer.crs(), target, QgsProject.instance())
    rows = []
    for feature in layer.getFeatures():
        geometry = QgsGeometry(feature.geometry())
        geometry.transform(transform)
        rows.append((geometry.asWkt(12), [feature["ref_id"], feature["crop"]]))
    fields = {"ref_id": QVariant.Int, "crop": QVariant.String}
    return make_layer("Point", authid, fields, rows[::order])


@pytest.mark.parametrize(("system", "order"), [("EPSG:4326", 1), ("EPSG:32633", -1)])
def test_neither_system_nor_order_of_the_references_matters(
    main_run: Any, run_algorithm: Any, open_layer: Any, make_layer: Any, table: Any,
    demo_scene: Any, system: str, order: int,
) -> None:  # fmt: skip
    """Specification A6, 15 and 5."""
    layer = transformed(open_layer(str(demo_scene.references)), system, make_layer, order)
    results = run_algorithm("generatesamples", {**main_run.given, "REFERENCES": layer,
                                                "OUTPUT": "memory:", "FIELDS": "memory:",
                                                "REJECTED": None, "REPORT": None})  # fmt: skip
    expected = [{k: v for k, v in row.items() if k != "class_code"} for row in main_run.OUTPUT]
    assert generated(table(results["OUTPUT"])) == generated(expected)
    assert table(results["FIELDS"]) == main_run.FIELDS


def test_other_fields_of_the_references_are_copied(main_run: Any) -> None:
    """Every sample, kept or not, carries the class code of its reference beside the class."""
    codes = {name: code for code, name in CROP_NAMES.items()}
    assert main_run.OUTPUT and main_run.REJECTED
    for row in (*main_run.OUTPUT, *main_run.REJECTED):
        assert row["class_code"] == codes[row["crop"]]


def test_two_runs_are_identical(quarters: Any, samples_of: Any, table: Any) -> None:
    first, second = (table(samples_of(quarters, DATES=5)["OUTPUT"]) for _ in range(2))
    assert len(first) > 4
    assert first == second


def test_all_of_four_clean_fields_become_samples(
    quarters: Any, samples_of: Any, table: Any, places: Any
) -> None:
    results = samples_of(quarters)
    rows = generated(table(results["OUTPUT"]))
    assert results["KEPT"] == results["CANDIDATES"] == len(rows)
    counts = Counter(row["ref_id"] for row in rows)
    assert sorted(counts) == [1, 2, 3, 4]
    assert all(count + 1 in QUARTER for count in counts.values())
    for row, (x, y) in zip(rows, places(rows)):
        col, line = quarters.pixel_of(x, y)
        assert row["crop"] == ("early" if (col < 24) == (line < 24) else "late")


# -- outputs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sink", ["TEMPORARY_OUTPUT", "memory:", "{}/a.gpkg", "{}/b.geojson",
                                  "ogr:dbname='{}/c.gpkg' table=\"t\" (geom)"])  # fmt: skip
def test_every_kind_of_output(
    quarters: Any, samples_of: Any, table: Any, tmp_path: Path, sink: str
) -> None:
    results = samples_of(quarters, OUTPUT=sink.format(tmp_path), FIELDS="TEMPORARY_OUTPUT")
    rows = table(results["OUTPUT"])
    assert len(generated(rows)) == results["KEPT"] > 4 * 19 * 19
    assert list(rows[0])[-len(COLUMNS) - 1 : -1] == COLUMNS
    assert len(table(results["FIELDS"])) == 4
    assert record_path(results["OUTPUT"]).is_file() if "/" in sink else not any(tmp_path.iterdir())


def test_a_table_is_added_to_a_geopackage(
    quarters: Any, samples_of: Any, table: Any, make_points: Any, write_gpkg: Any, tmp_path: Path
) -> None:
    path = write_gpkg(make_points(quarters), tmp_path / "mine.gpkg")
    results = samples_of(quarters, OUTPUT=f"ogr:dbname='{path}' table=\"samples\" (geom)")
    assert len(generated(table(results["OUTPUT"]))) == results["KEPT"]
    assert len(table(f"{path}|layername=mine")) == 4


def test_optional_layers_may_be_left_out(quarters: Any, samples_of: Any) -> None:
    assert set(samples_of(quarters, FIELDS=None)) == {
        "OUTPUT", "CANDIDATES", "KEPT", "REJECTED_COUNT", "SKIPPED", "SUSPICIOUS_COUNT",
    }  # fmt: skip


# -- the class field ---------------------------------------------------------------------------


def class_values(kind: str) -> tuple[Any, list[Any]]:
    """Field type and values of the four references."""
    from qgis.PyQt.QtCore import QDate, QVariant

    one, other = {
        "text": ("früh", "spät"),
        "integer": (7, 0),
        "double": (1.5, 2.25),
        "date": (QDate(2021, 3, 1), QDate(2021, 5, 1)),
    }[kind]
    types = {"text": QVariant.String, "integer": QVariant.Int, "double": QVariant.Double,
             "date": QVariant.Date}  # fmt: skip
    return types[kind], [one, other, other, one]


@pytest.mark.parametrize(
    ("name", "kind", "column"),
    [
        ("crop", "text", "crop"),
        ("crop", "integer", "crop"),
        ("crop", "double", "crop"),
        ("crop", "date", "crop"),
        ("Hauptfrucht Größe ä", "text", "Hauptfrucht Größe ä"),
        ("class", "text", "class"),
        ("distance", "double", "class_distance"),
        ("Model", "text", "class_Model"),
        ("reason", "text", "class_reason"),
        ("fid", "integer", "class_fid"),
        ("ref_id", "integer", "class_ref_id"),
    ],
)
def test_class_field(
    quarters: Any, samples_of: Any, make_layer: Any, table: Any, open_layer: Any, tmp_path: Path,
    name: str, kind: str, column: str,
) -> None:  # fmt: skip
    field_type, values = class_values(kind)
    from furrow.tests.algorithms.conftest import CLICKS

    rows = [(quarters.wkt(c, r), [v]) for (c, r, _), v in zip(CLICKS, values)]
    layer = make_layer("Point", quarters.crs, {name: field_type}, rows)
    given = {"CLASS_FIELD": name, "MAX_PER_REFERENCE": 20, "REJECTED": "memory:"}
    in_file, in_memory = (
        samples_of(quarters, layer, OUTPUT=sink, FIELDS=sink.replace("samples", "fields"), **given)
        for sink in (str(tmp_path / "samples.gpkg"), "memory:")
    )
    for results in (in_file, in_memory):
        samples = table(results["OUTPUT"])
        assert Counter(str(row[column]) for row in samples) == {
            str(values[0]): 42, str(values[1]): 42
        }  # fmt: skip
        assert {type(row[column]) for row in samples} == {type(values[0])}
        fields = table(results["FIELDS"])
        assert sorted(str(row["class"]) for row in fields) == sorted(map(str, values))
    layer = open_layer(in_file["OUTPUT"])
    drawn = {layer.renderer().categoryIndexForValue(f[column]) for f in layer.getFeatures()}
    assert drawn == {0, 1}


# -- parameters --------------------------------------------------------------------------------


@pytest.mark.parametrize("system", [None, "EPSG:4326"])
def test_image_to_segment(
    demo_scene: Any, run_algorithm: Any, table: Any, places: Any, tmp_path: Path, system: Any
) -> None:
    """An image of the series, and the same one on a grid of its own."""
    image = sorted(demo_scene.series.iterdir())[5]
    if system:
        warped = tmp_path / image.name
        gdal.Warp(str(warped), str(image), dstSRS=system, resampleAlg="near")
        image = warped
    given = parameters(demo_scene, tmp_path, IMAGE=str(image), OUTPUT="memory:")
    rows = table(run_algorithm("generatesamples", {**given, "FIELDS": None, "REJECTED": None})
                 ["OUTPUT"])  # fmt: skip
    date = image.stem.split("_")[1]
    assert {row["image_date"].toString("yyyyMMdd") for row in rows} == {date}
    samples = generated(rows)
    assert np.abs(pixels(places(samples)) % 1 - 0.5).max() < 1e-6
    assert precision(samples, places(samples), demo_scene) >= 0.95


def test_max_per_reference_keeps_the_most_similar(
    quarters: Any, samples_of: Any, table: Any
) -> None:
    results = samples_of(quarters, MAX_PER_REFERENCE=25, REJECTED="memory:")
    kept, out = generated(table(results["OUTPUT"])), table(results["REJECTED"])
    assert Counter(row["ref_id"] for row in kept) == dict.fromkeys(range(1, 5), 25)
    assert {row["reason"] for row in out} == {"thinned"}
    for key in range(1, 5):
        worst = max(row["distance"] for row in kept if row["ref_id"] == key)
        assert worst <= min(row["distance"] for row in out if row["ref_id"] == key)


def test_spacing_in_metres(quarters: Any, samples_of: Any, table: Any, places: Any) -> None:
    where = places(generated(table(samples_of(quarters, MIN_SPACING=35)["OUTPUT"])))
    nearest = cKDTree(where).query(where, 2)[0][:, 1]
    assert nearest.min() >= 35
    assert np.median(nearest) < 60


def test_spacing_in_metres_where_pixels_are_degrees(
    quarters_in_degrees: Any, samples_of: Any, table: Any, places: Any, make_layer: Any
) -> None:
    rows = generated(table(samples_of(quarters_in_degrees, MIN_SPACING=35)["OUTPUT"]))
    where = places(rows)
    metres = where * np.array([111_320 * np.cos(np.radians(48)), 111_200])
    nearest = cKDTree(metres).query(metres, 2)[0][:, 1]
    assert nearest.min() >= 35 * 0.99
    assert np.median(nearest) < 60


def test_edge_pixels(quarters: Any, samples_of: Any, table: Any) -> None:
    from qgis.core import QgsGeometry

    whole, results = (samples_of(quarters, EDGE_PIXELS=k, FIELDS="memory:") for k in (0, 2))
    assert 0 < results["CANDIDATES"] < whole["CANDIDATES"] - 4 * 100
    assert [row["area_ha"] for row in table(results["FIELDS"])] == [
        row["area_ha"] for row in table(whole["FIELDS"])
    ]
    fields = {row["ref_id"]: QgsGeometry.fromWkt(row["wkt"]) for row in table(results["FIELDS"])}
    for row in generated(table(results["OUTPUT"])):
        rim = QgsGeometry.fromWkt(fields[row["ref_id"]].constGet().boundary().asWkt())
        assert rim.distance(QgsGeometry.fromWkt(row["wkt"])) > 15 + 1e-6


@pytest.mark.parametrize("policy", ["drop", "best"])
def test_pixels_claimed_by_two_classes(
    quarters: Any, samples_of: Any, make_points: Any, table: Any, policy: str
) -> None:
    """Specification A6, 14."""
    clicks = [(6.5, 5.5, "early"), (15.5, 15.5, "other"), (36.5, 8.5, "late")]
    results = samples_of(quarters, make_points(quarters, clicks), CONFLICT=policy,
                         SUSPICIOUS="keep", REJECTED="memory:")  # fmt: skip
    rows, out = generated(table(results["OUTPUT"])), table(results["REJECTED"])
    assert len({row["wkt"] for row in rows}) == len(rows)
    disputed = [row for row in rows if row["crop"] != "late"]
    conflicts = Counter(row["wkt"] for row in out if row["reason"] == "conflict")
    if policy == "drop":
        assert disputed == []
        assert set(conflicts.values()) <= {1, 2}
    else:
        assert {row["crop"] for row in disputed} == {"early", "other"}
        assert len(disputed) + 2 == len(conflicts)
    assert len(conflicts) in QUARTER


def test_two_references_of_one_class_share_a_field(
    quarters: Any, samples_of: Any, make_points: Any, table: Any
) -> None:
    clicks = [(6.5, 5.5, "early"), (15.5, 15.5, "early"), (36.5, 8.5, "late")]
    results = samples_of(quarters, make_points(quarters, clicks), REJECTED="memory:")
    rows = table(results["OUTPUT"])
    assert len({row["wkt"] for row in rows}) == len(rows)
    assert len([row for row in rows if row["crop"] == "early"]) in QUARTER
    assert {row["reason"] for row in table(results["REJECTED"])} == {"duplicate"}


def test_index_expression(quarters: Any, samples_of: Any, table: Any) -> None:
    named = table(samples_of(quarters, INDEX="NDVI")["OUTPUT"])
    assert table(samples_of(quarters, INDEX="(nir - red) / (nir + red)")["OUTPUT"]) == named
    other = table(samples_of(quarters, INDEX="(B08-B03)/(B08+B03)")["OUTPUT"])
    assert [row["distance"] for row in other] != [row["distance"] for row in named]


def test_metrics(quarters: Any, samples_of: Any, table: Any) -> None:
    """With 11 dates without gaps a sum is 11 means; fastdtw equals sum (specification A5)."""
    limits = {"mean": 0.05, "dtw": 0.05, "sum": 0.428571, "fastdtw": 0.428571}
    pytest.importorskip("fastdtw")
    found = {}
    for metric, limit in limits.items():
        results = samples_of(quarters, METRIC=metric, MAX_DISTANCE=limit)
        assert results["KEPT"] == results["CANDIDATES"] > 0
        rows = generated(table(results["OUTPUT"]))
        found[metric] = np.array([row["distance"] for row in rows])
    assert found["sum"] == pytest.approx(11 * found["mean"], abs=1e-4)
    assert found["fastdtw"] == pytest.approx(found["sum"], abs=1e-4)
    assert (found["dtw"] <= found["mean"] + 1e-6).all()


def test_similarity_is_that_of_the_reference_system(
    quarters: Any, samples_of: Any, table: Any
) -> None:
    rows = generated(table(samples_of(quarters, METRIC="sum", MAX_DISTANCE=1)["OUTPUT"]))
    for row in rows:
        assert row["similarity"] == pytest.approx(1 / (1 + row["distance"]), abs=1e-5)


def test_a_limit_of_mean_given_to_sum_is_noticed(quarters: Any, samples_of: Any) -> None:
    from qgis.core import QgsProcessingFeedback

    feedback = QgsProcessingFeedback(False)
    samples_of(quarters, METRIC="sum", feedback=feedback)
    assert "0.428571" in feedback.textLog()


@pytest.mark.parametrize("rule", ["finest", "best", "balanced"])
def test_mask_rules(quarters: Any, samples_of: Any, table: Any, rule: str) -> None:
    results = samples_of(quarters, MASK_RULE=rule, FIELDS="memory:")
    assert {row["mask_rule"] for row in table(results["OUTPUT"])} == {rule}
    assert len(table(results["FIELDS"])) == 4


@pytest.mark.parametrize("choice", ["drop", "keep"])
def test_suspicious_references(
    demo_scene: Any, run_algorithm: Any, table: Any, tmp_path: Path, choice: str
) -> None:
    given = parameters(demo_scene, tmp_path, SUSPICIOUS=choice, DATES=1, OUTPUT="memory:",
                       FIELDS=None, REJECTED=None)  # fmt: skip
    results = run_algorithm("generatesamples", given)
    rows = [row for row in table(results["OUTPUT"]) if row["suspicious"]]
    assert results["SUSPICIOUS_COUNT"] > 0
    assert bool(rows) == (choice == "keep")
    assert all(row["margin"] < 0 for row in rows if row["origin"] == "reference")


def test_model_file_that_cannot_run(
    quarters: Any, refused: Callable[..., str], make_points: Any, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    given = {"SERIES": str(quarters.series), "REFERENCES": make_points(quarters),
             "CLASS_FIELD": "crop", "OUTPUT": str(tmp_path / "samples.gpkg")}  # fmt: skip
    refused("generatesamples", {**given, "MODEL_FILE": str(tmp_path / "model.onnx")},
            "MODEL_FILE", "leave it empty")  # fmt: skip
    refused("generatesamples", {**given, "MODEL_FILE": str(tmp_path / "none.onnx")},
            "MODEL_FILE", "none.onnx does not exist", "choose")  # fmt: skip
