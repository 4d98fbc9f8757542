"""Both raster drivers keep one contract; rasterio's runs in a process without QGIS."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from furrow.core.errors import RasterError
from furrow.core.imagery.grid import Grid, Window
from furrow.core.imagery.raster_drivers import open_raster
from furrow.core.imagery.raster_gdal import GdalRaster
from furrow.tests.core.series_files import UTM32, UTM33, WGS84, wkt, write_image
from furrow.tests.without_qgis import bare_python

ROWS, COLS = 60, 90
PLACE = (500000.0, 10.0, 0.0, 5300000.0, 0.0, -10.0)
READER = '''
import json, sys
import numpy as np
from furrow.core.errors import RasterError
from furrow.core.imagery.grid import Grid, Window
from furrow.core.imagery.raster_drivers import open_raster
assert "osgeo" not in sys.modules
answers, told = {}, []
for k, asked in enumerate(json.loads(sys.argv[1])):
    try:
        raster = open_raster(asked["path"])
        info = raster.info
        told.append({
            "shape": [info.grid.height, info.grid.width], "transform": info.grid.transform,
            "placed": bool(info.grid.crs), "names": info.band_names, "dtype": info.dtype.name,
            "nodata": info.nodata, "scales": info.scales, "offsets": info.offsets,
            "block": info.block, "tags": dict(info.tags),
        })
        onto = asked["onto"] and Grid(**{**asked["onto"], "transform": tuple(asked["onto"]["transform"])})
        answers[str(k)] = raster.read(
            asked["bands"], Window(*asked["window"]), onto, asked["categorical"], asked["shape"]
        )
        raster.close()
    except RasterError as error:
        told.append({"error": str(error)})
print(type(raster).__name__)
print(json.dumps(told))
np.savez(sys.argv[2], **answers)
'''  # noqa: E501 - a program of its own


def smooth(seed: int, count: int = 3) -> np.ndarray:
    rows, cols = np.mgrid[0:ROWS, 0:COLS]
    rng = np.random.default_rng(seed)
    return np.stack([1000 + 500 * np.sin(rows / rng.uniform(9, 20)) * np.cos(cols / 13)
                     for _ in range(count)])  # fmt: skip


def asked(path: Path, window: tuple, onto: Grid | None = None, **more: Any) -> dict:
    grid = None if onto is None else {
        "width": onto.width, "height": onto.height, "transform": onto.transform, "crs": onto.crs
    }  # fmt: skip
    given = {"path": str(path), "bands": [1], "window": window, "onto": grid,
             "categorical": False, "shape": None}  # fmt: skip
    return {**given, **more}


def moved_grid(epsg: int, transform: tuple, size: int = 40) -> Grid:
    return Grid(size, size, transform, wkt(epsg))


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("rasters")
    values = smooth(1)
    named = dict(zip(("B04", "B03", "B02"), values))
    plain = write_image(folder / "plain.tif", named, transform=PLACE, nodata=0, scale=0.0001,
                        offset=-0.1, tags={"TIFFTAG_DATETIME": "2022:05:01 10:00:00"},
                        options=("TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=32"))  # fmt: skip
    holes = np.where(values[0] > 1400, np.nan, values[0])
    floats = write_image(folder / "floats.tif", {"x": holes}, dtype="float32", transform=PLACE,
                         nodata=float("nan"))  # fmt: skip
    codes = write_image(folder / "codes.tif", {"SCL": (values[0] / 300).astype(np.uint8)},
                        dtype="uint8", transform=PLACE)  # fmt: skip
    bare = write_image(folder / "bare.tif", named, epsg=None, transform=(0, 1, 0, 0, 0, 1))
    unplaced = write_image(folder / "unplaced.tif", named, epsg=None, transform=())
    text = folder / "text.tif"
    text.write_text("no raster")
    shifted = moved_grid(UTM32, (500105.0, 10.0, 0.0, 5299875.0, 0.0, -10.0))
    coarse = moved_grid(UTM32, (500000.0, 20.0, 0.0, 5300000.0, 0.0, -20.0))
    beyond = moved_grid(UTM32, (500700.0, 10.0, 0.0, 5299800.0, 0.0, -10.0))
    other = moved_grid(UTM33, (58000.0, 10.0, 0.0, 5318000.0, 0.0, -10.0))
    degrees = moved_grid(WGS84, (9.0005, 0.0001, 0.0, 47.8530, 0.0, -0.0001))
    return [
        asked(plain, (0, 0, ROWS, COLS), bands=[3, 1]),
        asked(plain, (7, 11, 20, 30)),
        asked(plain, (0, 0, ROWS, COLS), shape=(20, 30)),
        asked(plain, (5, 6, 20, 25), shifted, bands=[1, 2, 3]),
        asked(plain, (0, 0, 30, 40), coarse),
        asked(plain, (0, 0, 40, 40), beyond),
        asked(plain, (3, 3, 30, 30), degrees),
        asked(plain, (0, 0, 40, 40), other),
        asked(plain, (0, 0, 20, 20), moved_grid(UTM32, (1.0, 10.0, 0.0, 2.0, 0.0, -10.0))),
        asked(floats, (0, 0, ROWS, COLS)),
        asked(codes, (5, 6, 20, 25), shifted, categorical=True),
        asked(codes, (0, 0, 40, 40), beyond, categorical=True),
        asked(bare, (0, 0, 20, 20)),
        asked(bare, (0, 0, 20, 20), Grid(20, 20, (5.0, 1.0, 0.0, 3.0, 0.0, 1.0))),
        asked(unplaced, (0, 0, 20, 20)),
        asked(text, (0, 0, 1, 1)),
        asked(folder / "none.tif", (0, 0, 1, 1)),
    ]


@pytest.fixture(scope="module")
def elsewhere(questions: list, tmp_path_factory: pytest.TempPathFactory) -> tuple[list, Any]:
    """What rasterio's driver answers."""
    folder = tmp_path_factory.mktemp("without qgis")
    bare = bare_python(folder, "rasterio")
    done = subprocess.run(
        [*bare.command, "-c", READER, json.dumps(questions), str(folder / "answers.npz")],
        env=dict(bare.variables), capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    name, told = done.stdout.splitlines()[-2:]
    assert name == "RasterioRaster"
    return json.loads(told), np.load(folder / "answers.npz")


def here(question: dict) -> tuple[GdalRaster, np.ndarray]:
    raster = open_raster(question["path"])
    onto = question["onto"] and Grid(**question["onto"])
    window = Window(*question["window"])
    values = raster.read(
        question["bands"], window, onto, question["categorical"], question["shape"]
    )
    return raster, values


@pytest.mark.parametrize("place", range(15))
def test_both_read_the_same_values(place: int, questions: list, elsewhere: Any) -> None:
    raster, values = here(questions[place])
    assert isinstance(raster, GdalRaster)
    found = elsewhere[1][str(place)]
    assert found.dtype == values.dtype and found.shape == values.shape
    if questions[place]["onto"] is None or questions[place]["categorical"]:
        assert np.array_equal(found, values, equal_nan=values.dtype.kind == "f")
    else:
        assert np.array_equal(found == 0, values == 0)
        assert np.abs(found.astype(float) - values.astype(float)).max() <= 1


@pytest.mark.parametrize("place", [0, 9, 10, 12, 14])
def test_both_say_the_same_of_a_file(place: int, questions: list, elsewhere: Any) -> None:
    told, info = elsewhere[0][place], open_raster(questions[place]["path"]).info
    assert told["shape"] == [info.grid.height, info.grid.width]
    assert told["transform"] == pytest.approx(info.grid.transform)
    assert told["placed"] == bool(info.grid.crs)
    assert (tuple(told["names"]), told["dtype"]) == (info.band_names, info.dtype.name)
    assert told["nodata"] == pytest.approx(list(info.nodata), nan_ok=True)
    assert (tuple(told["scales"]), tuple(told["offsets"])) == (info.scales, info.offsets)
    assert tuple(told["block"]) == info.block
    assert told["tags"] == dict(info.tags)


@pytest.mark.parametrize("place", [15, 16])
def test_both_refuse_with_a_sentence(place: int, questions: list, elsewhere: Any) -> None:
    with pytest.raises(RasterError, match="Cannot read .*tif: .*[.]$"):
        here(questions[place])
    text = elsewhere[0][place]["error"]
    assert text.startswith(f"Cannot read {questions[place]['path']}: ") and text.endswith(".")
