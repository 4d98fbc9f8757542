"""Images of a scene: one stretch for all windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from furrow.core.errors import ParameterError
from furrow.core.imagery.composite import stretch
from furrow.core.imagery.grid import Grid, Window
from furrow.core.imagery.raster_gdal import describe
from furrow.core.imagery.scene_images import (
    measured_image,
    read_mask,
    read_overview,
    read_shown,
)
from furrow.tests.core.series_files import TRANSFORM, UTM32, wkt, write_image

SHAPE = (60, 80)


def land(path: Path, **how: object) -> tuple[Path, np.ndarray]:
    values = np.random.default_rng(2).integers(200, 5000, (3, *SHAPE))
    values[:, :10] = 0
    names = ("B04", "B03", "B02")
    return write_image(path, dict(zip(names, values)), nodata=0, **how), values


def test_windows_are_parts_of_one_picture(tmp_path: Path) -> None:
    path, values = land(tmp_path / "a.tif")
    image = measured_image(str(path), (1, 2, 3))
    whole = stretch(values, values[0] > 0)
    for window in (Window(0, 0, 30, 40), Window(5, 20, 50, 60), Window(0, 0, *SHAPE)):
        picture, valid = read_shown(image, window)
        assert np.array_equal(picture, whole[window.slices])
        assert np.array_equal(valid, values[0][window.slices] > 0)
    assert image.name == "a.tif"


def test_a_large_image_is_measured_on_a_part_of_its_pixels(tmp_path: Path) -> None:
    values = np.zeros((3, 40, 3000))
    values[:] = np.random.default_rng(0).uniform(500, 3000, 3000)
    path = write_image(tmp_path / "a.tif", dict(zip("abc", values)))
    image = measured_image(str(path), (1, 2, 3))
    assert image.ranges[0] == pytest.approx(np.percentile(values, (2, 98)), rel=0.05)
    overview, step = read_overview(image, 100)
    assert step == 30 and overview.shape == (2, 100, 3)


def test_an_image_that_shows_nothing_is_refused(tmp_path: Path) -> None:
    empty = write_image(tmp_path / "empty.tif", {"a": np.zeros(SHAPE)}, nodata=0)
    with pytest.raises(ParameterError, match="INPUT: empty.tif holds no data in the bands 1;"):
        measured_image(str(empty), (1, 1, 1))
    even = write_image(tmp_path / "even.tif", {"a": np.full(SHAPE, 7)})
    with pytest.raises(ParameterError, match="INPUT: even.tif has one value everywhere"):
        measured_image(str(even), (1, 1, 1))


def test_one_field_in_an_even_land_is_shown(tmp_path: Path) -> None:
    values = np.full(SHAPE, 7)
    values[:4, :4] = 90
    path = write_image(tmp_path / "a.tif", {"a": values})
    picture, _ = read_shown(measured_image(str(path), (1, 1, 1)), Window(0, 0, *SHAPE))
    assert set(np.unique(picture)) == {0, 255}


def test_a_mask_may_have_another_grid(tmp_path: Path) -> None:
    values = np.zeros(SHAPE, np.uint8)
    values[:, 20:30], values[:, 30:] = 3, 255
    path = write_image(tmp_path / "m.tif", {"a": values}, dtype="uint8", nodata=255)
    x, _, _, y, _, _ = TRANSFORM
    finer = Grid(160, 120, (x, 5.0, 0.0, y, 0.0, -5.0), wkt(UTM32))
    found = read_mask(str(path), Window(10, 30, 20, 100), finer)
    assert found.any(axis=0).nonzero()[0].tolist() == list(range(10, 30))


def test_local_colours_are_those_of_what_is_shown(tmp_path: Path) -> None:
    path, _ = land(tmp_path / "a.tif")
    grid = describe(str(path)).grid
    assert measured_image(str(path), (1, 2, 3)).colours is None
    elsewhere = replace(grid, width=grid.width - 1)
    assert measured_image(str(path), (1, 2, 3), elsewhere).colours is None
    image = measured_image(str(path), (1, 2, 3), grid)
    picture, valid = read_shown(image, grid.whole)
    around = image.colours.within(grid.whole)
    assert around[30, 40, :3] == pytest.approx(picture[valid].mean(axis=0), abs=0.01)
    assert around[30, 40, 3:] == pytest.approx(picture[valid].std(axis=0), abs=0.01)
