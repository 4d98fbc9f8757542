"""furrow:delineate: every field of an image as polygons, tile by tile."""

from __future__ import annotations

import errno
import itertools
import json
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from osgeo import gdal
from scipy import ndimage

from furrow.core.fields.delineation import scene as scene_delineation
from furrow.core.fields.delineation.pieces import RoundCount, TileFields, trimmed
from furrow.core.fields.delineation.tile_records import TileFolder
from furrow.core.report.run_record import read
from furrow.models.segmenters.tiles import tile_work
from furrow.tests.core.series_files import UTM32, write_image

pytestmark = pytest.mark.qgis
PIXEL = 10.0
CORNER = (500000.0, 5300000.0)
SIDE = 100
FIELD = 20
"""Pixels along a side of a field, with its border of two."""
TILE = 64
"""Four tiles, which overlap in the middle."""


def shown(bands: int = 3, seed: int = 3) -> np.ndarray:
    """(bands, SIDE, SIDE): square fields of different colour with dark lines between them."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    colours = rng.integers(900, 4000, (bands, SIDE // FIELD, SIDE // FIELD))
    values = colours[:, rows // FIELD, cols // FIELD] + rng.normal(0, 20, (bands, SIDE, SIDE))
    values[:, (rows % FIELD < 2) | (cols % FIELD < 2)] = 300
    return values.astype(np.uint16)


def paint(path: Path, values: np.ndarray, **how: Any) -> Path:
    place = (CORNER[0], PIXEL, 0.0, CORNER[1], 0.0, -PIXEL)
    names = ("B04", "B03", "B02", "B08")[: len(values)]
    stored = dict(zip(names, values))
    return write_image(path, stored, **{"nodata": 0, "epsg": UTM32, "transform": place, **how})


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return paint(tmp_path / "land.tif", shown())


@pytest.fixture
def delineate(run_algorithm: Any, image: Path, tmp_path: Path) -> Callable[..., dict]:
    """Run delineate on the image with the classical engine, in four tiles."""

    def run(**more: Any) -> dict:
        given = {
            "INPUT": str(image), "MODEL": "classical", "TILE": TILE, "REFINE": False,
            "OUTPUT": str(tmp_path / "fields.gpkg"),
        }  # fmt: skip
        how = {"feedback": more.pop("feedback")} if "feedback" in more else {}
        return run_algorithm("delineate", {**given, **more}, **how)

    return run


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of dates of each tile that is looked at; what is not dark is a field at once."""
    looks: list[int] = []

    def bright(images: Any, valid: np.ndarray, *_: Any) -> TileFields:
        looks.append(len(images))
        labels, count = ndimage.label((images[0].max(axis=2) > 20) & valid)
        pieces = tuple(trimmed(labels == k, 0.9, 0.8, 1) for k in range(1, count + 1))
        done = RoundCount(1, count, count, int((labels > 0).sum()), int((valid & ~labels).sum()))
        edges = (labels == 0).astype(np.float32)
        return TileFields(pieces, (done,), int(valid.sum()), valid & (labels == 0), edges)

    monkeypatch.setattr(tile_work, "delineate_tile", bright)
    return looks


def square(col: float, row: float, width: float, height: float) -> str:
    """A polygon of whole pixels."""
    x, y = CORNER[0] + col * PIXEL, CORNER[1] - row * PIXEL
    right, low = x + width * PIXEL, y - height * PIXEL
    return f"Polygon (({x} {y}, {right} {y}, {right} {low}, {x} {low}, {x} {y}))"


def shapes(output: str) -> Any:
    """The polygons as QgsGeometry."""
    from qgis.core import QgsVectorLayer

    return [feature.geometry() for feature in QgsVectorLayer(output, "x").getFeatures()]


# --- what is found ----------------------------------------------------------------------------


def test_an_engine_finds_the_fields(delineate: Any, table: Any, tmp_path: Path) -> None:
    rows = table(delineate(MIN_AREA_HA=0.5, REFINE=True)["OUTPUT"])
    assert 22 <= sum(2.8 < row["area_ha"] < 4.1 for row in rows) <= 25
    seconds = read(f"{tmp_path / 'fields.gpkg'}.run.json").seconds
    assert seconds["encode"] > 0 and seconds["decode"] > 0


def test_all_fields_are_told_of(
    delineate: Any, counted: list, table: Any, tmp_path: Path
) -> None:
    from qgis.core import QgsGeometry, QgsProcessingFeedback

    report, left = tmp_path / "report.html", tmp_path / "left.tif"
    feedback = QgsProcessingFeedback(False)
    result = delineate(REPORT=str(report), RESIDUAL=str(left), feedback=feedback)
    rows = table(result["OUTPUT"])
    assert len(rows) == result["FIELD_COUNT"] == 25
    assert 0.75 < result["COVERAGE"] < 0.95
    assert list(rows[0])[:8] == [
        "round", "score", "stability", "area_ha", "perimeter_m", "edge_ratio", "entropy", "refined"
    ]  # fmt: skip
    assert all(3.0 < row["area_ha"] < 4.1 and row["round"] >= 1 for row in rows)
    found = shapes(result["OUTPUT"])
    union = QgsGeometry.unaryUnion(found)
    assert sum(each.area() for each in found) == pytest.approx(union.area(), rel=1e-9)
    record = read(f"{result['OUTPUT']}.run.json")
    assert record.counts["FIELD_COUNT"] == 25 and record.counts["TILES"] == 4
    assert record.model["id"] == "classical"
    assert set(record.seconds) == {
        "read", "enlarge", "encode", "decode", "other", "joining", "polygons"
    }  # fmt: skip
    text = report.read_text(encoding="utf-8")
    for words in ("Coverage by round", "Where the time went", "data:image/png", "Sizes"):
        assert words in text
    assert "Tile 4 of 4" in feedback.textLog()
    mask = gdal.Open(str(left))
    values = mask.ReadAsArray()
    assert mask.GetGeoTransform()[0] == CORNER[0] and set(np.unique(values)) == {0, 1}
    assert 1 - (values == 1).mean() == pytest.approx(result["COVERAGE"], abs=1e-6)
    assert not (tmp_path / "fields.gpkg.tiles").exists()


def test_memory_layers_leave_nothing_behind(
    delineate: Any, counted: list, tmp_path: Path, table: Any
) -> None:
    before = sorted(tmp_path.iterdir())
    assert len(table(delineate(OUTPUT="memory:")["OUTPUT"])) == 25
    assert sorted(tmp_path.iterdir()) == before


def test_area_and_cropland_say_where(
    delineate: Any, make_layer: Any, table: Any, tmp_path: Path, counted: list
) -> None:
    aoi = make_layer("Polygon", f"EPSG:{UTM32}", {}, [(square(0, 0, 42, 42), [])])
    result = delineate(AOI=aoi)
    assert len(counted) == 1 and result["FIELD_COUNT"] == 4
    crops = np.zeros((1, SIDE, SIDE), np.uint8)
    crops[:, :, :42] = 2
    mask = paint(tmp_path / "crops.tif", crops, dtype="uint8", nodata=None)
    both = delineate(AOI=aoi, CROPLAND=str(mask), OUTPUT="memory:")
    assert both["FIELD_COUNT"] == 4
    assert delineate(CROPLAND=str(mask), OUTPUT="memory:")["FIELD_COUNT"] == 10


def test_fields_do_not_depend_on_where_the_area_begins(
    delineate: Any, counted: list, make_layer: Any, table: Any
) -> None:
    aoi = make_layer("Polygon", f"EPSG:{UTM32}", {}, [(square(41, 41, 59, 59), [])])
    part = {row["wkt"] for row in table(delineate(AOI=aoi, OUTPUT="memory:")["OUTPUT"])}
    whole = {row["wkt"] for row in table(delineate(OUTPUT="memory:")["OUTPUT"])}
    assert len(part) == 9 and part <= whole


def test_other_dates_are_shown_too(delineate: Any, tmp_path: Path, counted: list) -> None:
    other = paint(tmp_path / "later.tif", shown(seed=4))
    assert delineate(DATES=[str(other)])["FIELD_COUNT"] == 25
    assert set(counted) == {2}


def test_processes_find_the_same_fields(delineate: Any, table: Any) -> None:
    alone = table(delineate(OUTPUT="memory:")["OUTPUT"])
    assert table(delineate(OUTPUT="memory:", WORKERS=2)["OUTPUT"]) == alone


# --- going on ---------------------------------------------------------------------------------


def test_a_stopped_run_goes_on_with_the_same_result(
    delineate: Any, tmp_path: Path, counted: list, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qgis.core import QgsProcessingFeedback

    whole = table(delineate(OUTPUT="memory:")["OUTPUT"])
    del counted[:]
    feedback, plain = QgsProcessingFeedback(False), TileFolder.put

    def stopping(self: TileFolder, *what: Any) -> None:
        plain(self, *what)
        if len(counted) == 2:
            feedback.cancel()

    monkeypatch.setattr(TileFolder, "put", stopping)
    assert delineate(feedback=feedback) == {}
    assert not (tmp_path / "fields.gpkg").exists()
    kept = list((tmp_path / "fields.gpkg.tiles").glob("*.npz"))
    assert len(kept) == 2 and "next run goes on" in feedback.textLog()
    kept[0].write_bytes(kept[0].read_bytes()[:-60])
    monkeypatch.setattr(TileFolder, "put", plain)
    del counted[:]
    result = delineate()
    assert len(counted) == 3
    assert read(f"{result['OUTPUT']}.run.json").counts["TILES_REUSED"] == 1
    assert table(result["OUTPUT"]) == whole
    assert not (tmp_path / "fields.gpkg.tiles").exists()


def test_what_matters_makes_other_tiles(
    delineate: Any, image: Path, tmp_path: Path, counted: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tiles are done when the disk is full: what follows shows whether they are used again."""
    plain = scene_delineation.joined

    def no_room(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def broken(**more: Any) -> int:
        from qgis.core import QgsProcessingException

        monkeypatch.setattr(scene_delineation, "joined", no_room)
        del counted[:]
        with pytest.raises(QgsProcessingException, match="make room on the disk"):
            delineate(**more)
        monkeypatch.setattr(scene_delineation, "joined", plain)
        return len(counted)

    assert broken() == 4
    assert broken() == 0
    assert broken(RESUME=False) == 4
    assert broken(ROUNDS=3) == 4
    assert len(list((tmp_path / "fields.gpkg.tiles").glob("*.npz"))) == 4
    assert broken(ROUNDS=3) == 0
    paint(image, shown(seed=5))
    assert broken(ROUNDS=3) == 4


def assert_cancelled_soon(
    delineate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, method: str
) -> None:
    """Cancelled while a method works that would take three seconds."""
    from qgis.core import QgsProcessingFeedback

    feedback, began = QgsProcessingFeedback(False), []

    def slow(self: Any, image: np.ndarray) -> Any:
        began.append(time.perf_counter())
        feedback.cancel()
        time.sleep(3)
        raise RuntimeError("nobody waits for this")

    monkeypatch.setattr(owner, method, slow)
    assert delineate(feedback=feedback) == {}
    assert time.perf_counter() - began[0] < 1
    assert not (tmp_path / "fields.gpkg").exists()


def test_cancelling_takes_less_than_a_second(
    delineate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from furrow.models.segmenters.regions.classical import ClassicalSegmenter

    assert_cancelled_soon(delineate, tmp_path, monkeypatch, ClassicalSegmenter, "encode")


def test_cancelling_ends_the_processes(
    delineate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qgis.core import QgsProcessingFeedback

    from furrow.models.segmenters.tiles.tile_processes import TileProcesses

    feedback, plain = QgsProcessingFeedback(False), TileFolder.put
    began: list[float] = []
    pools: list[TileProcesses] = []

    def stopping(self: TileFolder, *what: Any) -> None:
        plain(self, *what)
        feedback.cancel()
        began.append(time.perf_counter())

    close = TileProcesses.close
    monkeypatch.setattr(TileFolder, "put", stopping)
    monkeypatch.setattr(TileProcesses, "close", lambda self: (pools.append(self), close(self)))
    assert delineate(feedback=feedback, WORKERS="2") == {}
    assert time.perf_counter() - began[0] < 1
    assert pools[0].pids == []
    assert len(list((tmp_path / "fields.gpkg.tiles").glob("*.npz"))) == 1


# --- what goes wrong --------------------------------------------------------------------------


def test_a_picture_of_one_band_is_shown_three_times(
    delineate: Any, counted: list, tmp_path: Path
) -> None:
    from qgis.core import QgsProcessingFeedback

    feedback = QgsProcessingFeedback(False)
    grey = paint(tmp_path / "grey.tif", shown(1))
    assert delineate(INPUT=str(grey), feedback=feedback)["FIELD_COUNT"] == 25
    assert "Band 1 is shown as red, green and blue" in feedback.textLog()


def test_without_a_reference_system_a_pixel_is_a_metre(
    delineate: Any, counted: list, table: Any, tmp_path: Path
) -> None:
    from qgis.core import QgsProcessingFeedback

    feedback = QgsProcessingFeedback(False)
    place = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    plain = paint(tmp_path / "plain.tif", shown(), epsg=None, transform=place)
    rows = table(delineate(INPUT=str(plain), MIN_AREA_HA=0.01, feedback=feedback)["OUTPUT"])
    assert len(rows) == 25 and 0.02 < rows[0]["area_ha"] < 0.05
    assert "no coordinate reference system" in feedback.textLog()


def test_parts_without_data_are_left_out(delineate: Any, tmp_path: Path, counted: list) -> None:
    values = shown()
    values[:, :, 40:] = 0
    result = delineate(INPUT=str(paint(tmp_path / "half.tif", values)))
    assert result["FIELD_COUNT"] == 10 and len(counted) <= 4
    assert result["COVERAGE"] > 0.7


def test_bad_input_is_refused_with_a_sentence(
    refused: Any, image: Path, make_layer: Any, tmp_path: Path
) -> None:
    given = {"INPUT": str(image), "MODEL": "classical", "TILE": TILE, "OUTPUT": "memory:"}
    blank = paint(tmp_path / "blank.tif", np.zeros((3, SIDE, SIDE), np.uint16))
    even = paint(tmp_path / "even.tif", np.full((3, SIDE, SIDE), 700, np.uint16))
    beside = make_layer("Polygon", f"EPSG:{UTM32}", {}, [(square(-90, 0, 9, 9), [])])
    for words, bad in (
        (("INPUT", "blank.tif", "no data"), {"INPUT": str(blank)}),
        (("INPUT", "even.tif", "one value everywhere"), {"INPUT": str(even)}),
        (("AOI", "no polygon"), {"AOI": beside}),
        (("OVERLAP", "at most half"), {"OVERLAP": 60}),
        (("OVERLAP", "at most half"), {"OVERLAP": 120}),
        (("TILE",), {"TILE": 20}),
        (("WORKERS", "'many'", "tcp://"), {"WORKERS": "many"}),
        (("WORKERS", "0"), {"WORKERS": "0"}),
        (("WORKERS", "no Dask scheduler answers"), {"WORKERS": "tcp://127.0.0.1:9"}),
        (("RED", "all three"), {"RED": 1}),
        (("DATES", "too many"), {"DATES": [str(image)] * 4}),
    ):
        refused("delineate", {**given, **bad}, *words)


def test_a_process_that_dies_is_told_of_and_tiles_stay(
    delineate: Any, table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qgis.core import QgsProcessingException

    from furrow.models.segmenters.checkpoints.worker_child import Child
    from furrow.models.segmenters.tiles.tile_processes import TileProcesses

    whole = table(delineate(OUTPUT="memory:", WORKERS="threads:2")["OUTPUT"])
    taken = itertools.count(1)
    plain = TileProcesses._child

    def killed(self: TileProcesses, monitor: Any) -> Child:
        """For the last of the four tiles; where the process waits is known to nobody else."""
        child = plain(self, monitor)
        if next(taken) == 4:
            child._process.kill()
        return child

    monkeypatch.setattr(TileProcesses, "_child", killed)
    with pytest.raises(QgsProcessingException, match="WORKERS: a process .* run again"):
        delineate(WORKERS="2")
    kept = len(list((tmp_path / "fields.gpkg.tiles").glob("*.npz")))
    assert 1 <= kept < 4 and not (tmp_path / "fields.gpkg").exists()
    result = delineate(WORKERS="threads:2")
    record = json.loads(Path(f"{result['OUTPUT']}.run.json").read_text(encoding="utf-8"))
    assert record["counts"]["TILES_REUSED"] == kept
    assert table(result["OUTPUT"]) == whole
