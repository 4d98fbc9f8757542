"""furrow:cleansamples, extractprofiles, rankimages and segmentprompts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from osgeo import gdal

from furrow.core.report.run_record import read, record_path
from furrow.models.segmenters.registry import Registry
from furrow.qgis_io.places import places
from furrow.tests.core.series_files import day, ndvi_bands, stored_ndvi, write_dates, write_image

SIDE = 24


def label_at(col: float, row: float) -> str:
    return "early" if (col < SIDE) == (row < SIDE) else "late"


# -- cleansamples ------------------------------------------------------------------------------


def test_cleans_what_generatesamples_wrote(
    quarters: Any, samples_of: Any, run_algorithm: Any, table: Any, tmp_path: Path
) -> None:
    """Compared with their references again, samples have the distances they had."""
    path = samples_of(quarters, OUTPUT=str(tmp_path / "samples.gpkg"))["OUTPUT"]
    samples = table(path)
    given = {"SERIES": str(quarters.series), "SAMPLES": path, "CLASS_FIELD": "crop",
             "REFERENCE_FIELD": "ref_id", "OUTPUT": str(tmp_path / "cleaned.gpkg"),
             "REPORT": str(tmp_path / "report.html")}  # fmt: skip
    results = run_algorithm("cleansamples", given)
    cleaned = table(results["OUTPUT"])
    assert results["KEPT"] == len(cleaned) == len(samples) > 2000
    assert results["REJECTED_COUNT"] == 0
    assert [row["wkt"] for row in cleaned] == [row["wkt"] for row in samples]
    assert [row["distance"] for row in cleaned] == pytest.approx(
        [row["distance"] for row in samples], abs=2e-6
    )
    assert {row["origin"] for row in cleaned} == {"reference", "generated"}
    assert Path(results["REPORT"]).read_text(encoding="utf-8").lstrip().startswith("<!")
    assert read(record_path(results["OUTPUT"])).counts["KEPT"] == len(samples)


def grid_of_samples(quarters: Any, wrong: set[int]) -> list[tuple[float, float, str]]:
    """49 points; those in `wrong` carry the other class."""
    clicks = []
    for k, (row, col) in enumerate(np.ndindex(7, 7)):
        place = (3.5 + 7 * col, 3.5 + 7 * row)
        label = label_at(*place)
        other = {"early": "late", "late": "early"}[label]
        clicks.append((*place, other if k in wrong else label))
    return clicks[:48]


def test_wrong_labels_have_a_negative_margin(
    quarters: Any, make_points: Any, run_algorithm: Any, table: Any
) -> None:
    wrong = {5, 17, 30}
    points = make_points(quarters, grid_of_samples(quarters, wrong))
    given = {"SERIES": str(quarters.series), "SAMPLES": points, "CLASS_FIELD": "crop",
             "OUTPUT": "memory:", "REJECTED": "memory:"}  # fmt: skip
    results = run_algorithm("cleansamples", given)
    rows = table(results["OUTPUT"])
    assert {row["ref_id"] - 1 for row in rows if row["margin"] < 0} == wrong
    assert {row["ref_id"] - 1 for row in rows if not row["kept"]} == wrong
    assert all((row["nearest_class"] != row["crop"]) == (row["margin"] < 0) for row in rows)
    out = table(results["REJECTED"])
    assert {row["ref_id"] - 1 for row in out} == wrong
    assert all(row["reason"] for row in out)
    assert (results["KEPT"], results["REJECTED_COUNT"]) == (45, 3)


def test_cleans_polygons(
    quarters: Any, make_layer: Any, run_algorithm: Any, table: Any, open_layer: Any, tmp_path: Path
) -> None:
    from qgis.core import QgsWkbTypes
    from qgis.PyQt.QtCore import QVariant

    squares = [(2, 2, "early"), (12, 12, "early"), (30, 4, "late"), (36, 14, "late"),
               (3, 30, "late"), (14, 40, "early")]  # fmt: skip
    rows = [(quarters.square(c, r, 6), [label, "x"]) for c, r, label in squares]
    layer = make_layer(
        "Polygon", quarters.crs, {"crop": QVariant.String, "kept": QVariant.String}, rows
    )
    results = run_algorithm("cleansamples", {
        "SERIES": str(quarters.series), "SAMPLES": layer, "CLASS_FIELD": "crop",
        "OUTPUT": str(tmp_path / "out.gpkg"),
    })  # fmt: skip
    cleaned = open_layer(results["OUTPUT"])
    assert QgsWkbTypes.geometryType(cleaned.wkbType()) == QgsWkbTypes.PolygonGeometry
    assert cleaned.renderer().type() == "categorizedSymbol"
    found = table(results["OUTPUT"])
    assert [row["kept"] for row in found] == [True] * 5 + [False]
    assert [row["n_valid"] for row in found] == [11] * 6


def test_samples_without_class_or_place_are_skipped(
    quarters: Any, make_points: Any, run_algorithm: Any, table: Any
) -> None:
    clicks = [*grid_of_samples(quarters, set()), (5, 5, None), (-40, 5, "late")]
    results = run_algorithm("cleansamples", {
        "SERIES": str(quarters.series), "SAMPLES": make_points(quarters, clicks),
        "CLASS_FIELD": "crop", "OUTPUT": "memory:", "REJECTED": "memory:",
    })  # fmt: skip
    assert (results["KEPT"], results["SKIPPED"]) == (48, 2)
    assert [row["reason"] for row in table(results["REJECTED"])] == ["no_class", "outside_image"]


# -- extractprofiles ---------------------------------------------------------------------------


def ndvi_at(series: Path, rows: slice, cols: slice) -> list[float]:
    """Median NDVI of a rectangle on each date, read without Furrow."""
    found = []
    for path in sorted(series.glob("*.tif")):
        data = gdal.Open(str(path))
        bands = {data.GetRasterBand(k).GetDescription(): data.GetRasterBand(k).ReadAsArray()
                 for k in range(1, data.RasterCount + 1)}  # fmt: skip
        found.append(float(np.median(stored_ndvi(bands)[rows, cols])))
    return found


def test_profiles_of_points(
    quarters: Any, make_points: Any, run_algorithm: Any, table: Any
) -> None:
    results = run_algorithm("extractprofiles", {
        "SERIES": str(quarters.series), "INPUT": make_points(quarters), "OUTPUT": "memory:",
    })  # fmt: skip
    rows = table(results["OUTPUT"])
    assert list(rows[0]) == ["fid", "date", "value", "valid", "interpolated", "wkt"]
    assert (results["FEATURES"], results["SKIPPED"]) == (4, 0)
    assert Counter(row["fid"] for row in rows) == dict.fromkeys(range(1, 5), 11)
    first = [row for row in rows if row["fid"] == 1]
    assert [row["value"] for row in first] == pytest.approx(
        ndvi_at(quarters.series, slice(5, 6), slice(6, 7)), abs=1e-5
    )
    assert first[0]["date"].toString("yyyyMMdd") == "20220401"
    assert all(row["valid"] and not row["interpolated"] for row in rows)


def test_profiles_of_polygons_are_medians(
    quarters: Any, make_layer: Any, run_algorithm: Any, table: Any
) -> None:
    shapes = [(quarters.square(3, 2, 8), []), (quarters.square(30.4, 30.4, 0.2), [])]
    results = run_algorithm("extractprofiles", {
        "SERIES": str(quarters.series), "INPUT": make_layer("Polygon", quarters.crs, {}, shapes),
        "OUTPUT": "memory:",
    })  # fmt: skip
    values = [row["value"] for row in table(results["OUTPUT"])]
    assert values[:11] == pytest.approx(
        ndvi_at(quarters.series, slice(2, 10), slice(3, 11)), abs=1e-4
    )
    assert values[11:] == pytest.approx(
        ndvi_at(quarters.series, slice(30, 31), slice(30, 31)), abs=1e-5
    )


@pytest.fixture
def cloudy(tmp_path: Path, quarters: Any) -> Path:
    """Four dates, days 0, 10, 40 and 50; the left half is cloudy on the second."""
    ndvi = np.broadcast_to(np.array([0.2, 0.9, 0.6, 0.7])[:, None, None], (4, 10, 10))
    scl = np.full(ndvi.shape, 4)
    scl[1, :, :5] = 9
    scl[2, 0] = 8
    place = (quarters.corner[0], 10.0, 0.0, quarters.corner[1], 0.0, -10.0)
    return write_dates(tmp_path / "cloudy", ndvi, [0, 10, 40, 50], scl, transform=place)


@pytest.mark.parametrize("filling", ["none", "linear"])
def test_gaps_are_filled_in_days(
    cloudy: Path, quarters: Any, make_points: Any, run_algorithm: Any, table: Any, filling: str
) -> None:
    points = make_points(quarters, [(2.5, 5.5, "a"), (7.5, 5.5, "a")])
    rows = table(run_algorithm("extractprofiles", {
        "SERIES": str(cloudy), "INPUT": points, "GAPFILL": filling, "OUTPUT": "memory:",
    })["OUTPUT"])  # fmt: skip
    gap, clear = rows[1], rows[5]
    assert (gap["valid"], gap["interpolated"]) == (False, filling == "linear")
    assert gap["value"] == (pytest.approx(0.3, abs=1e-3) if filling == "linear" else None)
    assert (clear["valid"], clear["interpolated"]) == (True, False)
    assert clear["value"] == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("sink", ["{}/p.gpkg", "ogr:dbname='{}/q.gpkg' table=\"t\""])
def test_a_geopackage_keeps_the_column_fid(
    quarters: Any, make_points: Any, run_algorithm: Any, table: Any, tmp_path: Path, sink: str
) -> None:
    """`fid` is the feature's, not the table's own key."""
    results = run_algorithm("extractprofiles", {
        "SERIES": str(quarters.series), "INPUT": make_points(quarters),
        "OUTPUT": sink.format(tmp_path),
    })  # fmt: skip
    rows = table(results["OUTPUT"])
    assert Counter(row["fid"] for row in rows) == dict.fromkeys(range(1, 5), 11)
    assert record_path(results["OUTPUT"]).is_file()


# -- rankimages --------------------------------------------------------------------------------


def test_ranks_by_clear_pixels(cloudy: Path, run_algorithm: Any, table: Any) -> None:
    results = run_algorithm("rankimages", {"SERIES": str(cloudy), "OUTPUT": "memory:"})
    rows = table(results["OUTPUT"])
    assert [row["valid_share"] for row in rows] == [1, 1, 0.9, 0.5]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    dates = [row["date"].toString("yyyy-MM-dd") for row in rows]
    assert dates == [day(k).isoformat() for k in (0, 50, 40, 10)]
    assert results["BEST_DATE"] == dates[0]
    assert results["BEST_IMAGE"] == rows[0]["file"]
    assert Path(results["BEST_IMAGE"]).is_file()


def test_ranks_in_an_area(
    cloudy: Path, quarters: Any, make_layer: Any, run_algorithm: Any, table: Any
) -> None:
    """In the right half, below the first row, every date is clear."""
    area = make_layer("Polygon", quarters.crs, {}, [(quarters.square(5, 1, 4), [])])
    given = {"SERIES": str(cloudy), "AOI": area, "OUTPUT": "memory:"}
    rows = table(run_algorithm("rankimages", given)["OUTPUT"])
    assert [row["valid_share"] for row in rows] == [1, 1, 1, 1]


def test_wanted_date(cloudy: Path, run_algorithm: Any) -> None:
    given = {"SERIES": str(cloudy), "OUTPUT": "memory:"}
    late = run_algorithm("rankimages", {**given, "TARGET_DATE": day(45).isoformat()})
    assert late["BEST_DATE"] == day(50).isoformat()
    assert run_algorithm("rankimages", {**given, "TARGET_DATE": day(12).isoformat()})[
        "BEST_DATE"] == day(0).isoformat()  # fmt: skip


def test_an_area_elsewhere_is_refused(
    cloudy: Path, quarters: Any, make_layer: Any, refused: Any, tmp_path: Path
) -> None:
    area = make_layer("Polygon", quarters.crs, {}, [(quarters.square(500, 500, 4), [])])
    given = {"SERIES": str(cloudy), "AOI": area, "OUTPUT": str(tmp_path / "ranking.gpkg")}
    refused("rankimages", given, "AOI", "check its coordinate reference system")


# -- segmentprompts ----------------------------------------------------------------------------


def write_fields_image(folder: Path, transform: tuple, epsg: Any, names: Any = None) -> Path:
    """One image, 48 x 48: the four fields on the day they differ most."""
    ndvi = np.full((2 * SIDE, 2 * SIDE), 0.85)
    ndvi[:SIDE, SIDE:] = ndvi[SIDE:, :SIDE] = 0.2
    noise = np.random.default_rng(2).normal(0, 0.005, ndvi.shape)
    path = folder / "image_20220601.tif"
    return write_image(path, ndvi_bands(ndvi + noise), epsg=epsg, transform=transform)


UTM = (500000.0, 10.0, 0.0, 5300000.0, 0.0, -10.0)
FIELD_HA = (20 * 20 / 100, 24 * 24 / 100 * 1.001)
"""Smallest and largest area of a field that counts as found, in hectares on the ground."""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_fields_image(tmp_path, UTM, 32632)


@pytest.fixture
def segment(run_algorithm: Any) -> Any:
    def run(image: Path, prompts: Any, **more: Any) -> dict:
        given = {"INPUT": str(image), "PROMPTS": prompts, "MODEL": "classical", "OUTPUT": "memory:"}
        return run_algorithm("segmentprompts", {**given, **more})

    return run


def shape_of(row: dict) -> Any:
    from qgis.core import QgsGeometry

    return QgsGeometry.fromWkt(row["wkt"])


def quarter_share(row: dict, quarters: Any, col: float, row_: float) -> float:
    """Intersection over union with the field whose upper left corner is at (col, row)."""
    from qgis.core import QgsGeometry

    field = QgsGeometry.fromWkt(quarters.square(col, row_, SIDE))
    shape = shape_of(row)
    return shape.intersection(field).area() / shape.combine(field).area()


@pytest.mark.parametrize("model", ["classical", "furrow-field"])
def test_fields_at_points(
    quarters: Any, image: Path, make_points: Any, segment: Any, table: Any, model: str
) -> None:
    results = segment(image, make_points(quarters), MODEL=model)
    rows = table(results["OUTPUT"])
    assert list(rows[0]) == [
        "ref_id", "crop", "score", "mask_rank", "area_ha", "perimeter_m", "touches_window",
        "model", "image", "wkt",
    ]  # fmt: skip
    assert (results["FIELD_COUNT"], results["SKIPPED"], len(rows)) == (4, 0, 4)
    corners = {1: (0, 0), 2: (24, 0), 3: (0, 24), 4: (24, 24)}
    for row in rows:
        assert quarter_share(row, quarters, *corners[row["ref_id"]]) > 0.8
        assert FIELD_HA[0] <= row["area_ha"] <= FIELD_HA[1]
        assert row["perimeter_m"] == pytest.approx(960, rel=0.15)
        assert (row["image"], row["model"]) == (image.name, model)
        assert 0 <= row["score"] <= 1
        assert row["touches_window"] is False


@pytest.mark.parametrize("model", ["classical", "furrow-field"])
def test_the_record_names_the_model_and_its_files(
    image: Path, quarters: Any, make_points: Any, segment: Any, tmp_path: Path, model: str
) -> None:
    segment(image, make_points(quarters), MODEL=model, OUTPUT=str(tmp_path / "fields.gpkg"))
    used = read(record_path(tmp_path / "fields.gpkg")).model
    assert used == Registry(places()).record(model)
    assert (used["id"], len(used["sha256"])) == (model, 64)


def test_fields_in_boxes(
    quarters: Any, image: Path, make_layer: Any, segment: Any, table: Any
) -> None:
    """A triangle stands for its bounding box."""
    corners = [quarters.at(*p) for p in ((25, 1), (47, 1), (25, 23), (25, 1))]
    ring = ", ".join(f"{x!r} {y!r}" for x, y in corners)
    layer = make_layer("Polygon", quarters.crs, {}, [(f"Polygon (({ring}))", [])])
    rows = table(segment(image, layer)["OUTPUT"])
    assert len(rows) == 1
    assert quarter_share(rows[0], quarters, 24, 0) > 0.8


def signed_points(quarters: Any, make_layer: Any, rows: list[tuple]) -> Any:
    """(col, row, group, sign)."""
    from qgis.PyQt.QtCore import QVariant

    fields = {"plot": QVariant.String, "sign": QVariant.Int}
    return make_layer(
        "Point", quarters.crs, fields, [(quarters.wkt(c, r), [g, s]) for c, r, g, s in rows]
    )


def test_points_of_one_group_make_one_field(
    quarters: Any, image: Path, make_layer: Any, segment: Any, table: Any
) -> None:
    points = [(5.5, 5.5, "a", 1), (18.5, 18.5, "a", 1), (40.5, 5.5, "b", 1), (5.5, 40.5, None, 1),
              (8.5, 40.5, None, 1)]  # fmt: skip
    layer = signed_points(quarters, make_layer, points)
    results = segment(image, layer, GROUP_FIELD="plot")
    rows = table(results["OUTPUT"])
    assert Counter(row["plot"] for row in rows) == {"a": 1, "b": 1, None: 2}
    assert quarter_share(next(r for r in rows if r["plot"] == "a"), quarters, 0, 0) > 0.8


def test_background_points(
    quarters: Any, image: Path, make_layer: Any, segment: Any, table: Any
) -> None:
    points = [(5.5, 5.5, "a", 1), (30.5, 30.5, "a", 0), (40.5, 5.5, "b", 0)]
    layer = signed_points(quarters, make_layer, points)
    results = segment(image, layer, GROUP_FIELD="plot", SIGN_FIELD="sign")
    rows = table(results["OUTPUT"])
    assert [(row["plot"], row["sign"]) for row in rows] == [("a", 1)]
    assert results["SKIPPED"] == 1
    not_part = quarters.wkt(30.5, 30.5)
    from qgis.core import QgsGeometry

    assert not shape_of(rows[0]).contains(QgsGeometry.fromWkt(not_part))


def test_all_masks(
    quarters: Any, image: Path, make_points: Any, segment: Any, table: Any
) -> None:
    rows = table(segment(image, make_points(quarters), ALL_MASKS=True, SIMPLIFY=0)["OUTPUT"])
    assert len(rows) > 4
    for key in range(1, 5):
        own = [row for row in rows if row["ref_id"] == key]
        ranks = [row["mask_rank"] for row in own]
        assert ranks == sorted(set(ranks))
        areas = [row["area_ha"] for row in own]
        assert areas == sorted(areas)


def test_bands_that_are_shown(
    quarters: Any, tmp_path: Path, make_points: Any, segment: Any, table: Any
) -> None:
    """Fields that only bands 4 to 6 show are found on those only."""
    contrast = ndvi_bands(np.where(np.arange(48) < SIDE, 0.8, 0.2) * np.ones((48, 1)))
    flat = {name: np.full((48, 48), 500) for name in ("one", "two", "three")}
    path = write_image(tmp_path / "six.tif", {**flat, **contrast}, named=False, transform=UTM)
    points = make_points(quarters, [(5.5, 20.5, "left")])
    row = table(segment(path, points, RED=6, GREEN=5, BLUE=4)["OUTPUT"])[0]
    assert row["area_ha"] == pytest.approx(48 * 24 / 100, rel=0.15)
    others = table(segment(path, points)["OUTPUT"])
    assert not others or abs(others[0]["area_ha"] - row["area_ha"]) > 1


def test_two_of_three_bands_are_refused(
    quarters: Any, image: Path, make_points: Any, refused: Any, tmp_path: Path
) -> None:
    given = {"INPUT": str(image), "PROMPTS": make_points(quarters), "RED": 1,
             "OUTPUT": str(tmp_path / "fields.gpkg")}  # fmt: skip
    refused("segmentprompts", given, "RED, GREEN, BLUE", "give all three")


def test_outlines_follow_pixels_or_are_simplified(
    quarters: Any, tmp_path: Path, make_points: Any, segment: Any, table: Any
) -> None:
    """A field with a slanting edge: 0 exact, 0.5 no further than that, 1 few corners."""
    col, row = np.meshgrid(np.arange(48), np.arange(48))
    ndvi = np.where(row < 10 + col / 2, 0.85, 0.2)
    noise = np.random.default_rng(3).normal(0, 0.005, ndvi.shape)
    path = write_image(tmp_path / "slant.tif", ndvi_bands(ndvi + noise), transform=UTM)
    points = make_points(quarters, [(20.5, 6.5, "x")])
    found = [table(segment(path, points, SIMPLIFY=s)["OUTPUT"])[0] for s in (0, 0.5, 1)]
    shapes = [shape_of(row) for row in found]  # own their vertices
    corners = [np.array([(v.x(), v.y()) for v in shape.vertices()]) for shape in shapes]
    assert len(corners[2]) < len(corners[0]) / 2
    assert len(corners[2]) <= len(corners[1]) <= len(corners[0])
    for shape, pixels, row in zip(shapes, (0, 0.5, 1), found):
        assert shapes[0].hausdorffDistance(shape) <= 10 * pixels
        assert row["area_ha"] == pytest.approx(found[0]["area_ha"], rel=0.03)
    steps = (corners[0] - (UTM[0], UTM[3])) / 10
    assert np.abs(steps - np.rint(steps)).max() < 1e-9


@pytest.mark.parametrize("sink", ["memory:", "{}/out.gpkg"])
def test_attributes_of_prompts_are_copied(
    quarters: Any, image: Path, make_layer: Any, segment: Any, table: Any, write_gpkg: Any,
    tmp_path: Path, sink: str,
) -> None:  # fmt: skip
    """Names that are ours get `prompt_` before them; a GeoPackage's key is one of them."""
    from qgis.PyQt.QtCore import QDate, QVariant

    fields = {"score": QVariant.Double, "Größe": QVariant.String, "seen": QVariant.Date}
    rows = [
        (quarters.wkt(6, 5), [7.5, "groß", QDate(2022, 6, 1)]),
        (quarters.wkt(40, 40), [None, None, None]),
    ]
    prompts = write_gpkg(make_layer("Point", quarters.crs, fields, rows), tmp_path / "prompts.gpkg")
    found = table(segment(image, prompts, OUTPUT=sink.format(tmp_path))["OUTPUT"])
    assert [row["prompt_fid"] for row in found] == [1, 2]
    assert [row["prompt_score"] for row in found] == [7.5, None]
    assert [row["Größe"] for row in found] == ["groß", None]
    assert [row["seen"] for row in found] == [QDate(2022, 6, 1), None]
    assert all(0 <= row["score"] <= 1 for row in found)


def test_image_without_reference_system(
    quarters: Any, tmp_path: Path, make_points: Any, run_algorithm: Any, table: Any
) -> None:
    """Coordinates are taken as they are, units as metres, and the log says so."""
    from qgis.core import QgsProcessingFeedback

    path = write_fields_image(tmp_path, UTM, None)
    feedback = QgsProcessingFeedback(False)
    given = {"INPUT": str(path), "PROMPTS": make_points(quarters), "SIMPLIFY": 0,
             "MODEL": "classical", "OUTPUT": "memory:"}  # fmt: skip
    results = run_algorithm("segmentprompts", given, feedback=feedback)
    rows = table(results["OUTPUT"])
    assert len(rows) == 4
    for row in rows:
        assert row["area_ha"] == pytest.approx(shape_of(row).area() / 1e4)
        assert FIELD_HA[0] <= row["area_ha"] <= FIELD_HA[1]
    assert "no coordinate reference system" in feedback.textLog()
    assert not results["OUTPUT"].crs().isValid()


def test_areas_where_pixels_are_degrees(
    quarters_in_degrees: Any, tmp_path: Path, make_points: Any, segment: Any, table: Any
) -> None:
    """On the ellipsoid, as the same outline in UTM zone 33 has it."""
    from qgis.core import QgsCoordinateReferenceSystem, QgsCoordinateTransform, QgsProject

    place = (quarters_in_degrees.corner[0], 1e-4, 0.0, quarters_in_degrees.corner[1], 0.0, -1e-4)
    path = write_fields_image(tmp_path, place, 4326)
    rows = table(segment(path, make_points(quarters_in_degrees), SIMPLIFY=0)["OUTPUT"])
    degrees, utm = (QgsCoordinateReferenceSystem(f"EPSG:{n}") for n in (4326, 32633))
    assert len(rows) == 4
    for row in rows:
        shape = shape_of(row)
        shape.transform(QgsCoordinateTransform(degrees, utm, QgsProject.instance()))
        assert row["area_ha"] == pytest.approx(shape.area() / 1e4, rel=0.01)
        assert row["perimeter_m"] == pytest.approx(shape.length(), rel=0.01)
        assert 20 * 20 * 11.1 * 7.4 / 1e4 < row["area_ha"] < 24 * 24 * 11.2 * 7.5 / 1e4


def test_image_whose_rows_run_north(
    quarters: Any, tmp_path: Path, make_points: Any, segment: Any, table: Any
) -> None:
    """The fields lie mirrored, and the outlines where they are seen."""
    place = (UTM[0], 10.0, 0.0, UTM[3] - 480, 0.0, 10.0)
    path = write_fields_image(tmp_path, place, 32632)
    points = make_points(quarters, [(6.5, 5.5, "late"), (30.5, 5.5, "early")])
    rows = table(segment(path, points, SIMPLIFY=0)["OUTPUT"])
    assert [row["crop"] for row in rows] == ["late", "early"]
    for row, corner in zip(rows, ((0, 0), (24, 0))):
        assert quarter_share(row, quarters, *corner) > 0.8
        assert row["area_ha"] == pytest.approx(shape_of(row).area() / 1e4, rel=0.001)


def test_prompts_elsewhere(
    quarters: Any, image: Path, make_points: Any, segment: Any, refused: Any, tmp_path: Path
) -> None:
    """Some outside: skipped and listed in the record. All: refused."""
    clicks = [(6.5, 5.5, "in"), (600, 5, "out")]
    results = segment(image, make_points(quarters, clicks), OUTPUT=str(tmp_path / "fields.gpkg"))
    assert (results["FIELD_COUNT"], results["SKIPPED"]) == (1, 1)
    assert read(record_path(results["OUTPUT"])).skipped == [
        {"id": "2", "reason": "outside_image"}
    ]
    given = {"INPUT": str(image), "PROMPTS": make_points(quarters, clicks[1:]),
             "OUTPUT": str(tmp_path / "none.gpkg")}  # fmt: skip
    refused("segmentprompts", given, "PROMPTS", "check its coordinate reference system")


@pytest.mark.parametrize("down", [True, False], ids=["column and row", "as QGIS shows it"])
def test_a_picture_without_a_place_takes_prompts_either_way(
    run_algorithm, make_layer, tmp_path, down
):
    """A JPEG: QGIS shows it below y = 0; labels in pixels count rows downwards from 0."""
    path = str(tmp_path / "picture.png")
    picture = np.full((3, 90, 120), 60, dtype=np.uint8)
    picture[:, 20:50, 30:90] = 200
    memory = gdal.GetDriverByName("MEM").Create("", 120, 90, 3)
    memory.WriteRaster(0, 0, 120, 90, picture.tobytes())
    gdal.GetDriverByName("PNG").CreateCopy(path, memory)
    sign = 1 if down else -1
    prompts = make_layer("Point", "", {}, [(f"Point (60 {sign * 35})", [])])
    results = run_algorithm(
        "segmentprompts",
        {"INPUT": path, "PROMPTS": prompts, "MODEL": "classical", "SIMPLIFY": 0,
         "OUTPUT": "memory:"},
    )
    (feature,) = results["OUTPUT"].getFeatures()
    box = feature.geometry().boundingBox()
    assert (box.xMinimum(), box.xMaximum()) == pytest.approx((30, 90), abs=2)
    rows = sorted((sign * box.yMinimum(), sign * box.yMaximum()))
    assert rows == pytest.approx([20, 50], abs=2)
