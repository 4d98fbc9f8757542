"""What goes wrong: a sentence for the user, no traceback, nothing half-written."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from furrow.core.report.run_record import read, record_path
from furrow.tests.algorithms.conftest import CLICKS, DAYS, season
from furrow.tests.core.series_files import UTM33, day, ndvi_bands, shorten, write_dates, write_image

PLACE = (500000.0, 10.0, 0.0, 5300000.0, 0.0, -10.0)
SERIES_USERS = ("generatesamples", "cleansamples", "extractprofiles", "rankimages")
LAYER = {
    "generatesamples": "REFERENCES", "cleansamples": "SAMPLES", "extractprofiles": "INPUT",
    "rankimages": "AOI",
}  # fmt: skip


def given_to(name: str, series: Path, layer: Any, folder: Path) -> dict:
    """Parameters of an algorithm that reads a series; it would write out.gpkg."""
    given = {"SERIES": str(series), LAYER[name]: layer, "OUTPUT": str(folder / "out.gpkg")}
    if name == "rankimages":
        del given["AOI"]
    if name in ("generatesamples", "cleansamples"):
        given["CLASS_FIELD"] = "crop"
    return given


@pytest.fixture
def refused_series(refused: Any, quarters: Any, make_points: Any, tmp_path: Path) -> Any:
    """Hand a spoilt folder to an algorithm."""

    def run(series: Path, *words: str, name: str = "generatesamples", **more: Any) -> str:
        given = given_to(name, series, make_points(quarters), tmp_path)
        return refused(name, {**given, **more}, *words)

    return run


# -- the folder of images ----------------------------------------------------------------------


@pytest.mark.parametrize("name", SERIES_USERS)
def test_empty_folder(refused_series: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    refused_series(tmp_path / "empty", "SERIES", str(tmp_path / "empty"), "put one", name=name)


@pytest.mark.parametrize("name", SERIES_USERS)
def test_missing_folder(refused_series: Any, tmp_path: Path, name: str) -> None:
    refused_series(tmp_path / "none", "SERIES", str(tmp_path / "none"), "choose", name=name)


def test_one_date_only(refused_series: Any, tmp_path: Path) -> None:
    series = write_dates(tmp_path / "one", season()[:1], [90], transform=PLACE)
    refused_series(series, "SERIES", str(series), "at least 2")


def test_images_without_a_date(refused_series: Any, tmp_path: Path) -> None:
    for k, ndvi in enumerate(season()[:3]):
        write_image(tmp_path / "undated" / f"image_{k}.tif", ndvi_bands(ndvi), transform=PLACE)
    refused_series(tmp_path / "undated", "SERIES", "no date", "YYYYMMDD")


def test_text_that_calls_itself_tif(refused_series: Any, tmp_path: Path) -> None:
    for k in (1, 2):
        path = tmp_path / "text" / f"S2_2022010{k}.tif"
        path.parent.mkdir(exist_ok=True)
        path.write_text("no image")
    refused_series(tmp_path / "text", "SERIES", "S2_20220101.tif")


def test_unreadable_files_among_good_ones(
    own_quarters: Any, samples_of: Any, tmp_path: Path
) -> None:
    """Renamed text, nothing at all, half a GeoTIFF: left out, the rest is used, the log says so."""
    from qgis.core import QgsProcessingFeedback

    (own_quarters.series / "S2_20230101.tif").write_text("no image")
    (own_quarters.series / "S2_20230102.tif").write_bytes(b"")
    shorten(own_quarters.image, 0.5)
    feedback = QgsProcessingFeedback(False)
    results = samples_of(own_quarters, OUTPUT=str(tmp_path / "a.gpkg"), feedback=feedback)
    assert results["KEPT"] > 1000
    skipped = {item["id"]: item["reason"] for item in read(record_path(results["OUTPUT"])).skipped}
    assert set(skipped) == {"S2_20230101.tif", "S2_20230102.tif", own_quarters.image.name}
    assert "0 bytes" in skipped["S2_20230102.tif"]
    for name in skipped:
        assert name in feedback.textLog()
    assert "Traceback" not in feedback.textLog()


@pytest.mark.parametrize("name", SERIES_USERS)
def test_every_image_is_half_a_file(
    own_quarters: Any, refused_series: Any, name: str
) -> None:
    for path in own_quarters.series.iterdir():
        shorten(path, 0.3)
    refused_series(
        own_quarters.series, "SERIES", str(own_quarters.series), "fetch the files again", name=name
    )


def test_bands_that_are_missing(quarters: Any, refused_series: Any) -> None:
    refused_series(quarters.series, "rededge1", "BANDS", "S2_20220401.tif", INDEX="NDRE")


def test_band_number_that_is_missing(quarters: Any, refused_series: Any) -> None:
    refused_series(quarters.series, "BANDS", "band 9", BANDS="red=2,nir=9")


def test_bands_without_names(tmp_path: Path, refused_series: Any) -> None:
    series = write_dates(tmp_path / "nameless", season(), DAYS, transform=PLACE, named=False)
    refused_series(series, "BANDS", "3 bands without names", "blue=1")


def test_bands_without_names_that_are_mapped(
    tmp_path: Path, quarters: Any, samples_of: Any, table: Any, make_points: Any
) -> None:
    series = write_dates(tmp_path / "nameless", season(), DAYS, transform=PLACE, named=False)
    mapped = samples_of(quarters, make_points(quarters), SERIES=str(series),
                        BANDS="green=1, red=2; nir=3")  # fmt: skip
    assert table(mapped["OUTPUT"]) == table(samples_of(quarters)["OUTPUT"])


@pytest.mark.parametrize("text", ["green=1,red", "red=two", "red=0", "=3"])
def test_band_text(quarters: Any, refused_series: Any, text: str) -> None:
    refused_series(quarters.series, "BANDS", "blue=1,green=2", BANDS=text)


@pytest.mark.parametrize("text", ["NDXI + ", "nir - __import__('os')", "3 + 4"])
def test_index_text(quarters: Any, refused_series: Any, text: str) -> None:
    refused_series(quarters.series, "INDEX", "NDVI", INDEX=text)


def test_index_name_that_is_no_band(quarters: Any, refused_series: Any) -> None:
    refused_series(quarters.series, "ndxi", "BANDS", INDEX="NDXI")


def test_scale_of_nothing(quarters: Any, refused_series: Any) -> None:
    refused_series(quarters.series, "SCALE", "leave it empty", SCALE=0)


def test_quality_codes_that_are_no_numbers(quarters: Any, refused_series: Any) -> None:
    refused_series(quarters.series, "INVALID_QA", "whole numbers", INVALID_QA="cloud")


def test_images_on_other_grids_are_warped(
    own_quarters: Any, samples_of: Any, table: Any, places: Any
) -> None:
    """One in another zone, one of another size: used, and the log says so."""
    from osgeo import gdal
    from qgis.core import QgsProcessingFeedback

    images = sorted(own_quarters.series.iterdir())
    other_zone, other_size = {"dstSRS": f"EPSG:{UTM33}"}, {"xRes": 7, "yRes": 7}
    for path, how in ((images[2], other_zone), (images[6], other_size)):
        whole = path.rename(path.with_suffix(".old"))
        gdal.Warp(str(path), str(whole), resampleAlg="near", srcNodata=0, dstNodata=0, **how)
        whole.unlink()
    feedback = QgsProcessingFeedback(False)
    results = samples_of(own_quarters, feedback=feedback)
    rows = [row for row in table(results["OUTPUT"]) if row["origin"] == "generated"]
    assert "2 image(s) on another grid" in feedback.textLog()
    assert len(rows) > 1000
    for row, (x, y) in zip(rows, places(rows)):
        col, line = own_quarters.pixel_of(x, y)
        assert row["crop"] == ("early" if (col < 24) == (line < 24) else "late")


# -- the points --------------------------------------------------------------------------------


@pytest.fixture
def skips_of(samples_of: Any, quarters: Any, make_points: Any, table: Any, tmp_path: Path) -> Any:
    """Run with four good references and some others; the reasons of REJECTED by ref_id."""

    def run(others: list[tuple]) -> dict:
        points = make_points(quarters, [*CLICKS, *others])
        results = samples_of(quarters, points, OUTPUT=str(tmp_path / "a.gpkg"),
                             REJECTED="memory:")  # fmt: skip
        reasons = {row["ref_id"]: row["reason"] for row in table(results["REJECTED"])
                   if row["origin"] == "reference"}  # fmt: skip
        record = read(record_path(results["OUTPUT"])).skipped
        assert {int(item["id"]): item["reason"] for item in record} == reasons
        assert results["SKIPPED"] == len(reasons)
        used = {row["ref_id"] for row in table(results["OUTPUT"]) if row["origin"] == "reference"}
        assert used & set(reasons) == set()
        assert used | set(reasons) == set(range(1, len(CLICKS) + len(others) + 1))
        return reasons

    return run


def test_points_without_class(skips_of: Any) -> None:
    others = [(20.5, 20.5, None), (21.5, 20.5, ""), (22.5, 20.5, "   ")]
    assert skips_of(others) == {5: "no_class", 6: "no_class", 7: "no_class"}


def test_points_outside(skips_of: Any) -> None:
    others = [(-0.1, 5.5, "early"), (48.1, 5.5, "late"), (5.5, 1e6, "late")]
    assert skips_of(others) == dict.fromkeys((5, 6, 7), "outside_image")


def test_points_in_one_pixel(skips_of: Any) -> None:
    """Of one class: the first stays. Of two: both are left out."""
    first = CLICKS[0]
    others = [(first[0] + 0.3, first[1] - 0.2, first[2]), (40.2, 40.2, "early"),
              (40.8, 40.3, "late")]  # fmt: skip
    assert skips_of(others) == {
        5: "same_pixel", 6: "contradicting_references", 7: "contradicting_references"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("clicks", "word"),
    [
        ([(5.5, 5.5, None), (6.5, 6.5, "")], "class"),
        ([(500.5, 5.5, "early"), (5.5, -6.5, "late")], "check its coordinate reference system"),
        ([(5.2, 5.2, "early"), (5.7, 5.7, "late")], "contradicting_references"),
        ([], "0 feature(s)"),
    ],
)
def test_no_point_can_be_used(
    quarters: Any, make_points: Any, refused: Any, tmp_path: Path, clicks: list, word: str
) -> None:
    given = given_to("generatesamples", quarters.series, make_points(quarters, clicks), tmp_path)
    refused("generatesamples", given, "REFERENCES", word)


def test_null_and_multiple_geometries(
    quarters: Any, make_layer: Any, samples_of: Any, table: Any
) -> None:
    """A multipoint with one part is a point; with two, or without geometry, it is left out."""
    from qgis.PyQt.QtCore import QVariant

    def multi(*clicks: tuple) -> str:
        return f"MultiPoint ({', '.join('({!r} {!r})'.format(*quarters.at(*c)) for c in clicks)})"

    rows = [(multi(click[:2]), [click[2]]) for click in CLICKS]
    rows += [(multi((5, 5), (9, 9)), ["early"]), (None, ["late"]), ("MultiPoint EMPTY", ["late"])]
    layer = make_layer("MultiPoint", quarters.crs, {"crop": QVariant.String}, rows)
    results = samples_of(quarters, layer, REJECTED="memory:")
    out = [row for row in table(results["REJECTED"]) if row["origin"] == "reference"]
    assert {row["ref_id"]: row["reason"] for row in out} == dict.fromkeys((5, 6, 7), "no_point")
    kept = table(results["OUTPUT"])
    assert Counter(r["ref_id"] for r in kept if r["origin"] == "reference") == {
        1: 1, 2: 1, 3: 1, 4: 1
    }  # fmt: skip


def test_points_with_height(quarters: Any, make_layer: Any, samples_of: Any) -> None:
    from qgis.PyQt.QtCore import QVariant

    point = "PointZ ({!r} {!r} 155)"
    rows = [(point.format(*quarters.at(c, r)), [label]) for c, r, label in CLICKS]
    layer = make_layer("PointZ", quarters.crs, {"crop": QVariant.String}, rows)
    assert samples_of(quarters, layer)["KEPT"] == samples_of(quarters)["KEPT"]


def test_class_field_that_is_not_there(
    quarters: Any, make_points: Any, refused: Any, tmp_path: Path
) -> None:
    given = given_to("generatesamples", quarters.series, make_points(quarters), tmp_path)
    refused("generatesamples", {**given, "CLASS_FIELD": "culture"}, "CLASS_FIELD", "'culture'",
            "choose one of ref_id, crop")  # fmt: skip


def test_image_that_is_no_raster(
    quarters: Any, make_points: Any, refused: Any, tmp_path: Path
) -> None:
    given = given_to("generatesamples", quarters.series, make_points(quarters), tmp_path)
    image = tmp_path / "image.tif"
    image.write_text("no image")
    refused("generatesamples", {**given, "IMAGE": str(image)}, "IMAGE", "image.tif", "choose")
    given = {"INPUT": str(tmp_path / "none.tif"), "PROMPTS": make_points(quarters),
             "OUTPUT": str(tmp_path / "fields.gpkg")}  # fmt: skip
    refused("segmentprompts", given, "INPUT", "none.tif", "choose")


@pytest.mark.parametrize("name", ["cleansamples", "extractprofiles"])
def test_all_features_elsewhere(
    quarters: Any, make_points: Any, refused: Any, tmp_path: Path, name: str
) -> None:
    points = make_points(quarters, [(500, 500, "early"), (600, 600, "late")])
    refused(name, given_to(name, quarters.series, points, tmp_path), LAYER[name])


# -- outputs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("parameter", ["OUTPUT", "FIELDS", "REPORT"])
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/proc/nothing/x.gpkg", "does not exist; create it or choose another"),
        ("{}/none/x.gpkg", "does not exist; create it or choose another"),
        ("/proc/x.gpkg", "cannot write to the folder /proc"),
        ("{}/folder.gpkg", "is a folder; give the name of a file"),
    ],
)
def test_outputs_that_cannot_be_written(
    quarters: Any, make_points: Any, refused: Any, tmp_path: Path, parameter: str, target: str,
    words: str,
) -> None:  # fmt: skip
    (tmp_path / "folder.gpkg").mkdir()
    given = given_to("generatesamples", quarters.series, make_points(quarters), tmp_path)
    target = target.format(tmp_path)
    refused("generatesamples", {**given, parameter: target}, f"{parameter}:", words)


def test_table_in_a_folder_that_cannot_be_written(
    quarters: Any, make_points: Any, refused: Any, tmp_path: Path
) -> None:
    given = given_to("extractprofiles", quarters.series, make_points(quarters), tmp_path)
    given["OUTPUT"] = f"ogr:dbname='{tmp_path}/none/x.gpkg' table=\"t\""
    refused("extractprofiles", given, "OUTPUT:", "does not exist")


def test_one_file_for_two_outputs(
    quarters: Any, make_points: Any, refused: Any, tmp_path: Path
) -> None:
    """The second would replace the first."""
    given = given_to("generatesamples", quarters.series, make_points(quarters), tmp_path)
    refused("generatesamples", {**given, "FIELDS": given["OUTPUT"]}, "FIELDS", given["OUTPUT"],
            "choose another file")  # fmt: skip


LIMIT = 96 * 1024
"""Bytes a file may grow to: less than the samples need, more than QGIS' own files."""


def call_on_full_disk(qgis: Any, *arguments: str) -> subprocess.CompletedProcess:
    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))

    return subprocess.run(
        [qgis.program, *arguments], env=qgis.environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120, check=False, preexec_fn=fill,
    )  # fmt: skip


@pytest.mark.qgis
def test_full_disk(
    qgis_cli: ModuleType, quarters: Any, make_points: Any, write_gpkg: Any, tmp_path: Path
) -> None:
    if shutil.which("qgis_process") is None:
        pytest.skip("qgis_process is not on PATH")
    references = write_gpkg(make_points(quarters), tmp_path / "references.gpkg")
    out = tmp_path / "out"
    out.mkdir()
    given = {"SERIES": quarters.series, "REFERENCES": references, "CLASS_FIELD": "crop",
             "DATES": 1, "OUTPUT": out / "samples.gpkg"}  # fmt: skip
    done = call_on_full_disk(
        qgis_cli.connect(tmp_path / "qgis"), "run", "furrow:generatesamples", "--",
        *(f"{key}={value}" for key, value in given.items()),
    )  # fmt: skip
    printed = done.stdout + done.stderr
    assert done.returncode != 0, printed
    assert "Traceback" not in printed
    lines = [line for line in printed.splitlines() if "disk full" in line]
    sentences = {line.replace("ERROR:\t", "") for line in lines}  # QGIS repeats it
    assert len(sentences) == 1, printed
    assert f"OUTPUT: {out / 'samples.gpkg'} could not be written" in sentences.pop()
    assert list(out.iterdir()) == []


# -- cancelling --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve dates of 720 x 720 pixels with fields of 24 pixels: seconds of work."""
    folder = tmp_path_factory.mktemp("large")
    ndvi = np.tile(season(), (1, 15, 15))
    return write_dates(folder, ndvi, list(DAYS), transform=PLACE)


def large_parameters(name: str, large: Path, make_points: Any, quarters: Any, out: Path) -> dict:
    clicks = [
        (12.5 + 24 * col, 12.5 + 24 * row, "early" if (col + row) % 2 == 0 else "late")
        for row in range(0, 30, 2)
        for col in range(30)
    ]
    points = make_points(quarters, clicks)
    if name == "segmentprompts":
        image = large / f"S2_{day(DAYS[3]):%Y%m%d}.tif"
        return {"INPUT": str(image), "PROMPTS": points, "OUTPUT": str(out / "out.gpkg")}
    return given_to(name, large, points, out)


def cancelling_feedback(seconds: float) -> tuple[Any, list[float]]:
    """A feedback that is cancelled after some time, and when that was."""
    from qgis.core import QgsProcessingFeedback

    feedback, when = QgsProcessingFeedback(False), []

    def cancel() -> None:
        when.append(time.perf_counter())
        feedback.cancel()

    timer = threading.Timer(seconds, cancel)
    timer.start()
    return feedback, when


@pytest.mark.parametrize("name", ["generatesamples", "segmentprompts"])
def test_cancelling_ends_within_a_second(
    large: Path, quarters: Any, make_points: Any, run_algorithm: Any, said: Any, tmp_path: Path,
    name: str,
) -> None:  # fmt: skip
    given = large_parameters(name, large, make_points, quarters, tmp_path)
    feedback, when = cancelling_feedback(0.2)
    results = run_algorithm(name, given, feedback=feedback)
    assert when, "it ended before it was cancelled"
    assert time.perf_counter() - when[0] < 1
    assert "OUTPUT" not in results
    assert list(tmp_path.iterdir()) == []
    assert "nothing was written" in feedback.textLog()
    assert "Traceback" not in said() + feedback.textLog()


@pytest.mark.parametrize("name", [*SERIES_USERS, "segmentprompts"])
def test_cancelled_before_it_begins(
    large: Path, quarters: Any, make_points: Any, run_algorithm: Any, tmp_path: Path, name: str
) -> None:
    from qgis.core import QgsProcessingFeedback

    feedback = QgsProcessingFeedback(False)
    feedback.cancel()
    given = large_parameters(name, large, make_points, quarters, tmp_path)
    start = time.perf_counter()
    assert "OUTPUT" not in run_algorithm(name, given, feedback=feedback)
    assert time.perf_counter() - start < 1
    assert list(tmp_path.iterdir()) == []


def test_progress_moves(quarters: Any, samples_of: Any) -> None:
    from qgis.core import QgsProcessingFeedback

    feedback, seen = QgsProcessingFeedback(False), []
    feedback.progressChanged.connect(seen.append)
    samples_of(quarters, feedback=feedback)
    assert len(set(seen)) >= 5
    assert seen == sorted(seen)
    assert max(seen) <= 100
