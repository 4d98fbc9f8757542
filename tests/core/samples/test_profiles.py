"""Profiles are what the files hold, read once, in any order of the pixels."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
from osgeo import gdal

from furrow.core.errors import Cancelled
from furrow.core.imagery.grid import Grid, Window
from furrow.core.imagery.indices import parse_index
from furrow.core.imagery.raster import Raster
from furrow.core.imagery.series import Series, SeriesImage, open_series
from furrow.core.monitor import Monitor
from furrow.core.samples.profiles import read_profiles
from furrow.tests.core.series_files import day, stored_ndvi, write_dates

NDVI = parse_index("NDVI")
HEIGHT, WIDTH, BLOCK = 140, 1300, 128
DAYS = (40, 12, 27)


class Reads(Counter):
    """How often each block of each band of each file was read."""

    def note(self, path: str, bands, window: Window) -> None:
        for band in bands:
            for row in range(window.row // BLOCK, -(-(window.row + window.height) // BLOCK)):
                for col in range(window.col // BLOCK, -(-(window.col + window.width) // BLOCK)):
                    self[path, band, row, col] += 1


class Watched:
    """A raster that notes what is read from it."""

    def __init__(self, raster: Raster, reads: Reads) -> None:
        self.info, self.close = raster.info, raster.close
        self._raster, self._reads = raster, reads

    def read(self, bands, window, onto=None, categorical=False, shape=None) -> np.ndarray:
        self._reads.note(self.info.path, bands, window)
        return self._raster.read(bands, window, onto, categorical, shape)


class WatchedSeries(Series):
    """A series that notes what is opened and read."""

    reads: Reads
    opened: Counter

    @classmethod
    def of(cls, series: Series) -> WatchedSeries:
        watched = cls(*(getattr(series, field.name) for field in fields(series)))
        object.__setattr__(watched, "reads", Reads())
        object.__setattr__(watched, "opened", Counter())
        return watched

    def open(self, image: SeriesImage) -> Raster:
        self.opened[image.name] += 1
        return Watched(super().open(image), self.reads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    random = np.random.default_rng(2)
    ndvi = random.uniform(0.1, 0.8, (3, HEIGHT, WIDTH))
    scl = np.where(random.random(ndvi.shape) < 0.1, 9, 4)
    tiles = ["TILED=YES", f"BLOCKXSIZE={BLOCK}", f"BLOCKYSIZE={BLOCK}"]
    return write_dates(tmp_path_factory.mktemp("series"), ndvi, DAYS, scl, options=tiles)


@pytest.fixture(scope="module")
def series(folder) -> Series:
    return open_series(folder, sorted(NDVI.roles))


@pytest.fixture(scope="module")
def truth(folder) -> np.ndarray:
    """(T, h, w) by plain numpy, in the order of the dates; NaN where invalid."""
    stack = []
    for path in sorted(folder.glob("*.tif")):
        data = gdal.Open(str(path))
        green, red, nir, codes = data.ReadAsArray()
        assert green.any()
        stack.append(np.where(codes == 9, np.nan, stored_ndvi({"B04": red, "B08": nir})))
    return np.stack(stack)


@pytest.fixture
def pixels():
    random = np.random.default_rng(3)
    return random.integers(0, HEIGHT, 3000), random.integers(0, WIDTH, 3000)


def test_values_are_those_of_a_plain_read(series, truth, pixels):
    profiles = read_profiles(series, *pixels, NDVI)
    assert profiles.dates == tuple(day(k) for k in sorted(DAYS))
    assert profiles.values.dtype == np.float32 and profiles.values.flags.c_contiguous
    expected = truth[:, pixels[0], pixels[1]].T
    assert np.array_equal(profiles.valid, np.isfinite(expected))
    assert not profiles.valid.all()
    assert np.allclose(profiles.values, expected, atol=1e-6, equal_nan=True)
    assert np.diff(profiles.days).tolist() == [15, 13]
    assert profiles.broken == ()


def test_each_file_is_opened_once_and_each_block_read_once(series, pixels):
    watched = WatchedSeries.of(series)
    read_profiles(watched, *pixels, NDVI)
    assert set(watched.opened.values()) == {1} and len(watched.opened) == 3
    assert set(watched.reads.values()) == {1}
    blocks = -(-HEIGHT // BLOCK) * -(-WIDTH // BLOCK)
    assert len(watched.reads) == 3 * 3 * blocks  # files, bands (red, nir, SCL)


def test_blocks_without_pixels_are_not_read(series):
    watched = WatchedSeries.of(series)
    rows, cols = np.array([3, 5, 130]), np.array([1200, 1290, 10])
    read_profiles(watched, rows, cols, NDVI)
    assert {key[2:] for key in watched.reads} == {(0, 9), (0, 10), (1, 0)}


def test_the_order_of_the_pixels_does_not_matter(series, pixels):
    order = np.random.default_rng(4).permutation(len(pixels[0]))
    straight = read_profiles(series, *pixels, NDVI)
    mixed = read_profiles(series, pixels[0][order], pixels[1][order], NDVI)
    assert np.array_equal(mixed.values, straight.values[order], equal_nan=True)


def test_a_pixel_may_be_asked_for_twice(series, truth):
    profiles = read_profiles(series, np.array([7, 7]), np.array([9, 9]), NDVI)
    assert np.array_equal(profiles.values[0], profiles.values[1], equal_nan=True)
    assert np.allclose(profiles.values[0], truth[:, 7, 9], atol=1e-6, equal_nan=True)


def test_no_pixels(series):
    watched = WatchedSeries.of(series)
    none = np.empty(0, dtype=np.int64)
    profiles = read_profiles(watched, none, none, NDVI)
    assert profiles.values.shape == profiles.valid.shape == (0, 3)
    assert not watched.reads


def test_strips_are_read_once_too(tmp_path, pixels):
    ndvi = np.random.default_rng(5).uniform(0.1, 0.8, (2, HEIGHT, WIDTH))
    series = open_series(write_dates(tmp_path, ndvi, (1, 2)), ["red", "nir"])
    watched = WatchedSeries.of(series)
    profiles = read_profiles(watched, *pixels, NDVI)
    assert set(watched.reads.values()) == {1}
    assert np.allclose(profiles.values.T, ndvi[:, pixels[0], pixels[1]], atol=5e-4)


def test_cancelling(series, pixels):
    with pytest.raises(Cancelled):
        read_profiles(series, *pixels, NDVI, Monitor(cancelled=lambda: True))


def test_progress_moves_to_the_end(series, pixels):
    told: list[float] = []
    read_profiles(series, *pixels, NDVI, Monitor(progress=told.append))
    assert told == sorted(told) and told[-1] == 1


def test_the_grid_is_the_files(series):
    assert isinstance(series.grid, Grid)
    assert (series.grid.height, series.grid.width) == (HEIGHT, WIDTH)
