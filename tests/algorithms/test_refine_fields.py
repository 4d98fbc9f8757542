"""furrow:refinefields: a mixed field among even ones, in any reference system and geometry."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsFeature,
    QgsGeometry,
    QgsProcessingFeedback,
    QgsProject,
    QgsVectorLayer,
)

from furrow.core.imagery.raster_gdal import GdalRaster
from furrow.models.segmenters.regions.classical import ClassicalSegmenter
from furrow.tests.core.series_files import UTM32, write_dates, write_image

X, Y, PIXEL = 500000.0, 5300000.0, 10.0
PLACE = (X, PIXEL, 0.0, Y, 0.0, -PIXEL)
COLOURS = ((900, 300, 300), (300, 900, 400), (400, 400, 1000), (1000, 950, 500))
MIXED = (10.3, 8.6, 58.8, 57.2)
"""West, north, east and south edge of the mixed field in pixels: none is a pixel edge."""
EVEN = (70.0, 10.0, 100.0, 60.0)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A quilt of four colours beside an even field."""
    bands = np.full((3, 70, 110), 700.0)
    for k, colour in enumerate(COLOURS):
        row, col = divmod(k, 2)
        bands[:, 9 + 24 * row : 33 + 24 * row, 10 + 24 * col : 34 + 24 * col] = np.array(
            colour
        )[:, None, None]
    bands[:, 10:60, 70:100] = np.array((300, 800, 300))[:, None, None]
    bands += np.random.default_rng(2).normal(0, 8, bands.shape)
    path = tmp_path_factory.mktemp("quilt") / "quilt.tif"
    names = dict(zip(("red", "green", "blue"), bands))
    return str(write_image(path, names, transform=PLACE))


def ring(west: float, north: float, east: float, south: float) -> str:
    places = [(west, north), (east, north), (east, south), (west, south), (west, north)]
    return "((" + ", ".join(f"{X + PIXEL * c!r} {Y - PIXEL * r!r}" for c, r in places) + "))"


def polygon(*edges: float) -> str:
    return f"Polygon {ring(*edges)}"


def layer_of(rows: list[tuple], kind: str = "Polygon", crs: str = f"EPSG:{UTM32}") -> Any:
    """A layer from (wkt in UTM or None, name, score) rows."""
    fields = "field=name:string&field=score:double&field=area_ha:double"
    layer = QgsVectorLayer(f"{kind}?crs={crs}&{fields}" if crs else f"{kind}?{fields}", "f",
                           "memory")  # fmt: skip
    moved = QgsCoordinateTransform(
        QgsCoordinateReferenceSystem(f"EPSG:{UTM32}"), layer.crs(), QgsProject.instance()
    )
    for wkt, name, score in rows:
        feature = QgsFeature(layer.fields())
        if wkt is not None:
            shape = QgsGeometry.fromWkt(wkt)
            if crs:
                shape.transform(moved)
            feature.setGeometry(shape)
        feature.setAttributes([name, score, 99.0])
        assert layer.dataProvider().addFeature(feature)
    layer.updateExtents()
    return layer


@pytest.fixture
def refine(run_algorithm: Any, image: str) -> Callable[..., dict]:
    def run(fields: Any, **more: Any) -> dict:
        how = {"feedback": more.pop("feedback")} if "feedback" in more else {}
        given = {"INPUT": image, "FIELDS": fields, "MODEL": "classical", "OUTPUT": "memory:"}
        return run_algorithm("refinefields", {**given, **more}, **how)

    return run


def features(results: dict, open_layer: Any) -> list[QgsFeature]:
    return list(open_layer(results["OUTPUT"]).getFeatures())


def assert_is_a_partition(parts: list[QgsGeometry], whole: QgsGeometry) -> None:
    """The parts are the whole, do not overlap, and share their inner edges to the vertex."""
    assert all(part.isGeosValid() for part in parts)
    assert sum(part.area() for part in parts) == pytest.approx(whole.area(), rel=1e-9)
    assert QgsGeometry.unaryUnion(parts).symDifference(whole).area() < 1e-9 * whole.area()
    inner = sum(part.length() for part in parts) - whole.length()
    shared = 0.0
    for k, part in enumerate(parts):
        for other in parts[k + 1 :]:
            common = part.intersection(other)
            assert common.area() == 0
            shared += common.length()
    assert shared == pytest.approx(inner / 2, rel=1e-6)


def test_a_mixed_field_is_split_and_the_others_stay(refine: Any, open_layer: Any) -> None:
    given = layer_of([(polygon(*MIXED), "mixed", None), (polygon(*EVEN), "even", None)])
    results = refine(given)
    assert (results["SPLIT_COUNT"], results["FIELD_COUNT"], results["SKIPPED"]) == (1, 5, 0)
    rows = features(results, open_layer)
    assert [row["refined"] for row in rows] == [True] * 4 + [False]
    assert [row["name"] for row in rows] == ["mixed"] * 4 + ["even"]
    before = list(given.getFeatures())
    assert rows[4].geometry().asWkb() == before[1].geometry().asWkb()
    assert rows[4].attributes()[:3] == before[1].attributes()
    parts = [row.geometry() for row in rows[:4]]
    assert_is_a_partition(parts, before[0].geometry())
    for row, part in zip(rows, parts):
        assert part.area() / 1e4 == pytest.approx(row["area_ha"], rel=2e-3)
        assert 4.5 < row["area_ha"] < 7.5
        assert row["edge_ratio"] < 0.15 and 0 < row["entropy"] < rows[4]["entropy"] + 5


def test_the_mixed_field_has_the_larger_numbers(refine: Any, open_layer: Any) -> None:
    given = layer_of([(polygon(*MIXED), "mixed", None), (polygon(*EVEN), "even", None)])
    results = refine(given, EDGE_RATIO=1)
    assert results["SPLIT_COUNT"] == 0
    mixed, even = features(results, open_layer)
    assert mixed["edge_ratio"] > 0.15 > even["edge_ratio"]
    assert mixed["entropy"] > even["entropy"] + 0.5


def test_the_reference_preset_asks_for_large_pictures(refine: Any) -> None:
    given = layer_of([(polygon(*MIXED), "mixed", None)])
    assert refine(given, PRESET="reference")["SPLIT_COUNT"] == 0
    assert refine(given, PRESET="reference", MIN_AREA_HA=1)["SPLIT_COUNT"] == 0  # sure of nothing


def test_a_doubtful_field_is_looked_at_again(refine: Any) -> None:
    """Its own edges are no reason here; a field that the model was sure of stays."""
    for score, split in ((0.3, 1), (0.95, 0)):
        given = layer_of([(polygon(*MIXED), "mixed", score)])
        assert refine(given, SCORE_FIELD="score", EDGE_RATIO=1)["SPLIT_COUNT"] == split


def test_another_reference_system(refine: Any, open_layer: Any) -> None:
    given = layer_of([(polygon(*MIXED), "mixed", None), (polygon(*EVEN), "even", None)],
                     crs="EPSG:4326")  # fmt: skip
    results = refine(given)
    rows = features(results, open_layer)
    assert open_layer(results["OUTPUT"]).crs().authid() == "EPSG:4326"
    assert len(rows) == 5
    whole, even = (feature.geometry() for feature in given.getFeatures())
    assert_is_a_partition([row.geometry() for row in rows[:4]], whole)
    assert rows[4].geometry().asWkb() == even.asWkb()
    assert sum(row["area_ha"] for row in rows[:4]) == pytest.approx(48.5 * 48.6 / 100, rel=3e-3)


def test_parts_of_a_multipolygon_stay_together(refine: Any, open_layer: Any) -> None:
    wkt = f"MultiPolygon ({ring(*MIXED)}, {ring(70, 62, 84, 68)})"
    given = layer_of([(wkt, "two", None), (None, "none", None)], kind="MultiPolygon")
    results = refine(given, EDGE_RATIO=0.1)
    rows = features(results, open_layer)
    assert results["SPLIT_COUNT"] == 1 and results["SKIPPED"] == 1
    parts = [row.geometry() for row in rows if row["refined"]]
    assert all(part.isMultipart() for part in parts)
    assert_is_a_partition(parts, QgsGeometry.fromWkt(wkt))


def test_what_cannot_be_looked_at_is_kept_counted_and_listed(
    refine: Any, open_layer: Any, tmp_path: Path
) -> None:
    far = polygon(500, 500, 520, 520)
    given = layer_of(
        [(None, "null", None), (polygon(*MIXED), "mixed", None), (far, "far", None)]
    )
    feedback = QgsProcessingFeedback(False)
    results = refine(given, OUTPUT=str(tmp_path / "refined.gpkg"), feedback=feedback)
    rows = features(results, open_layer)
    assert [row["name"] for row in rows] == ["null", "mixed", "mixed", "mixed", "mixed", "far"]
    assert rows[0].geometry().isEmpty() and not rows[0]["refined"], rows[0].geometry().asWkt()
    assert rows[5].geometry().equals(QgsGeometry.fromWkt(far))
    record = json.loads((tmp_path / "refined.gpkg.run.json").read_text(encoding="utf-8"))
    assert record["counts"] == {"SPLIT_COUNT": 1, "FIELD_COUNT": 6, "SKIPPED": 2}
    assert [item["reason"] for item in record["skipped"]] == ["no_geometry", "outside_image"]
    assert record["model"]["id"] == "classical"
    assert "outside_image" in feedback.textLog()


def test_columns_of_an_earlier_run_are_used(refine: Any, open_layer: Any, tmp_path: Path) -> None:
    """A GeoPackage with its key, refined once more: nothing is renamed, nothing doubled."""
    given = layer_of([(polygon(*MIXED), "mixed", None), (polygon(*EVEN), "even", None)])
    first = refine(given, OUTPUT=str(tmp_path / "once.gpkg"))
    again = refine(first["OUTPUT"], OUTPUT=str(tmp_path / "twice.gpkg"))
    assert again["SPLIT_COUNT"] == 0
    once, twice = features(first, open_layer), features(again, open_layer)
    for name in ("name", "edge_ratio", "entropy", "refined"):
        assert [row[name] for row in once] == [row[name] for row in twice]
    assert [r.geometry().asWkb() for r in once] == [r.geometry().asWkb() for r in twice]
    names = open_layer(again["OUTPUT"]).fields().names()
    assert sorted(name.lower() for name in names).count("refined") == 1


def test_exact_pixel_edges(refine: Any, open_layer: Any) -> None:
    given = layer_of([(polygon(10, 9, 58, 57), "mixed", None)])
    rows = features(refine(given, SIMPLIFY=0), open_layer)
    assert len(rows) == 4
    for row in rows:
        for point in row.geometry().vertices():
            col, line = (point.x() - X) / PIXEL, (Y - point.y()) / PIXEL
            assert col == pytest.approx(round(col), abs=1e-6)
            assert line == pytest.approx(round(line), abs=1e-6)


def test_polygons_with_height(refine: Any, open_layer: Any) -> None:
    flat = polygon(*MIXED)[len("Polygon ") :].strip("()")
    wkt = "PolygonZ ((" + ", ".join(f"{place.strip()} 7" for place in flat.split(",")) + "))"
    rows = features(refine(layer_of([(wkt, "high", None)], kind="PolygonZ")), open_layer)
    assert len(rows) == 4
    assert all(row.geometry().constGet().is3D() for row in rows)


def test_a_picture_without_a_place(refine: Any, tmp_path: Path, image: str) -> None:
    """Columns and rows, y downwards; its units count as metres."""
    raster = GdalRaster(image)
    bands = dict(zip("123", raster.read([1, 2, 3], raster.info.grid.whole)))
    raster.close()
    path = write_image(tmp_path / "plain.tif", bands, epsg=None, transform=(), named=False)
    west, north, east, south = MIXED
    square = f"{west} {north}, {east} {north}, {east} {south}, {west} {south}, {west} {north}"
    given = layer_of([(f"Polygon (({square}))", "mixed", None)], crs="")
    feedback = QgsProcessingFeedback(False)
    found = refine(given, INPUT=str(path), MIN_PART_HA=0.002, feedback=feedback)
    assert found["FIELD_COUNT"] == 4
    assert "units count as metres" in feedback.textLog()


def test_two_seasons_in_one_field(refine: Any, open_layer: Any, tmp_path: Path) -> None:
    """The image of one day shows nothing; the series has another grid."""
    days = np.arange(90, 300, 18)
    cols = np.arange(60)[None, None, :].repeat(50, axis=1)
    peak = np.where(cols < 33, 140, 200)
    ndvi = 0.2 + 0.6 * np.exp(-(((days[:, None, None] - peak) / 35.0) ** 2))
    ndvi += np.random.default_rng(4).normal(0, 0.01, ndvi.shape)
    series = write_dates(tmp_path / "series", ndvi, days, transform=(X - 5, PIXEL, 0, Y + 5, 0,
                                                                      -PIXEL))  # fmt: skip
    even = np.random.default_rng(5).normal(500, 9, (3, 50, 60))
    picture = write_image(
        tmp_path / "even.tif", dict(zip(("red", "green", "blue"), even)), transform=PLACE
    )
    wkt = polygon(12.2, 8.1, 51.7, 40.4)
    given = layer_of([(wkt, "two", None), (polygon(2, 2, 9, 40), "one", None)])
    results = refine(given, INPUT=str(picture), SERIES=str(series), EDGE_RATIO=1)
    rows = features(results, open_layer)
    assert results["SPLIT_COUNT"] == 1 and len(rows) == 3
    parts = [row.geometry() for row in rows[:2]]
    assert_is_a_partition(parts, QgsGeometry.fromWkt(wkt))
    border = X + PIXEL * 32.5
    west, east = sorted(parts, key=lambda part: part.boundingBox().xMinimum())
    assert west.boundingBox().xMaximum() == pytest.approx(border, abs=12)
    assert east.boundingBox().xMinimum() == pytest.approx(border, abs=12)
    assert refine(given, INPUT=str(picture), EDGE_RATIO=1)["SPLIT_COUNT"] == 0


def test_only_windows_around_fields_are_read(
    refine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = np.zeros((3, 1200, 1500))
    big[:, :600] = np.random.default_rng(1).normal(500, 40, (3, 600, 1500))
    path = write_image(tmp_path / "big.tif", dict(zip(("red", "green", "blue"), big)),
                       transform=PLACE)  # fmt: skip
    read, sizes = GdalRaster.read, []

    def noted(self: GdalRaster, bands: Any, window: Any, *rest: Any, **more: Any) -> np.ndarray:
        values = read(self, bands, window, *rest, **more)
        sizes.append(values[0].size)
        return values

    monkeypatch.setattr(GdalRaster, "read", noted)
    refine(layer_of([(polygon(*MIXED), "a", None), (polygon(700, 300, 760, 350), "b", None)]),
           INPUT=str(path))  # fmt: skip
    assert max(sizes) <= 1024 * 1024
    assert all(size < 80 * 80 for size in sizes[1:])


def test_very_large_fields_are_read_thinned(refine: Any, tmp_path: Path, open_layer: Any) -> None:
    bands = np.random.default_rng(1).normal(500, 40, (3, 1300, 1200))
    path = write_image(tmp_path / "big.tif", dict(zip(("red", "green", "blue"), bands)),
                       transform=PLACE)  # fmt: skip
    given = layer_of([(polygon(5, 5, 1190, 1290), "huge", None)])
    rows = features(refine(given, INPUT=str(path), EDGE_RATIO=1), open_layer)
    assert len(rows) == 1 and rows[0]["entropy"] > 5


def test_cancelled_within_a_second(
    refine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    feedback, begun = QgsProcessingFeedback(False), []
    plain = ClassicalSegmenter.encode

    def slow(self: ClassicalSegmenter, picture: np.ndarray) -> Any:
        begun.append(time.perf_counter())
        feedback.cancel()
        time.sleep(3)
        return plain(self, picture)

    monkeypatch.setattr(ClassicalSegmenter, "encode", slow)
    given = layer_of([(polygon(*MIXED), "mixed", None)])
    assert refine(given, OUTPUT=str(tmp_path / "out.gpkg"), feedback=feedback) == {}
    assert time.perf_counter() - begun[0] < 1
    assert not list(tmp_path.iterdir())


def test_bad_input(refused: Any, image: str, tmp_path: Path, tmp_path_factory: Any) -> None:
    given = {"INPUT": image, "MODEL": "classical", "OUTPUT": str(tmp_path / "out.gpkg"),
             "FIELDS": layer_of([(polygon(*MIXED), "mixed", None)])}  # fmt: skip
    refused("refinefields", {**given, "SCORE_FIELD": "name"}, "SCORE_FIELD", "'name'")
    far = layer_of([(polygon(900, 900, 920, 920), "far", None), (None, "none", None)])
    refused("refinefields", {**given, "FIELDS": far}, "FIELDS", "2 feature(s)", "reference system")
    refused("refinefields", {**given, "RED": 1}, "RED, GREEN, BLUE")
    nowhere = str(tmp_path / "none")
    refused("refinefields", {**given, "SERIES": nowhere}, "SERIES", nowhere)
    flat = tmp_path_factory.mktemp("flat") / "flat.tif"
    write_image(flat, {name: np.full((60, 60), 5.0) for name in ("red", "green", "blue")},
                transform=PLACE)  # fmt: skip
    refused("refinefields", {**given, "INPUT": str(flat)}, "INPUT", "one value everywhere")


def test_a_polygon_that_crosses_itself(refine: Any, open_layer: Any) -> None:
    """Two triangles in one outline: measured like all others, and kept as it is where whole."""
    places = ((75, 15), (95, 55), (95, 15), (75, 55), (75, 15))
    bow = ", ".join(f"{X + PIXEL * col} {Y - PIXEL * row}" for col, row in places)
    given = layer_of([(f"Polygon (({bow}))", "bow", None), (polygon(*MIXED), "mixed", None)])
    rows = features(refine(given), open_layer)
    assert len(rows) == 5
    assert rows[0].geometry().asWkb() == next(given.getFeatures()).geometry().asWkb()
    assert rows[0]["entropy"] > 0
