"""Windows keep their size and their pixel; pixel and map coordinates are each other's inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from furrow.core.imagery.grid import Grid, Window, blocks
from furrow.tests.core.series_files import TRANSFORM

SHAPES = [(400, 250), (250, 400), (90, 700), (64, 64)]
ROTATED = (500000.0, 8.0, 6.0, 5000000.0, 6.0, -8.0)
SOUTH_UP = (500000.0, 10.0, 0.0, 4990000.0, 0.0, 10.0)
DEGREES = (11.5, 0.0001, 0.0, 48.2, 0.0, -0.00007)


@st.composite
def grids_and_pixels(draw):
    height, width = draw(st.sampled_from(SHAPES))
    row, col = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return Grid(width, height, TRANSFORM), row, col


def assert_good(window: Window, grid: Grid, size: int) -> None:
    assert (window.height, window.width) == (min(size, grid.height), min(size, grid.width))
    assert window.row >= 0 and window.row + window.height <= grid.height
    assert window.col >= 0 and window.col + window.width <= grid.width


@given(grids_and_pixels(), st.integers(2, 300))
def test_window_around_holds_its_pixel_and_keeps_its_size(place, size):
    grid, row, col = place
    window = grid.window_around(row, col, size)
    assert_good(window, grid, size)
    assert window.contains(row, col)


@given(grids_and_pixels(), st.integers(2, 300))
def test_shared_window_holds_its_pixel_and_keeps_its_size(place, size):
    grid, row, col = place
    window = grid.shared_window(row, col, size)
    assert_good(window, grid, size)
    assert window.contains(row, col)


@given(grids_and_pixels(), st.integers(8, 200))
def test_shared_window_keeps_a_quarter_of_its_size_around_its_pixel(place, size):
    grid, row, col = place
    window = grid.shared_window(row, col, size)
    before, after = row - window.row, window.row + window.height - row
    margin = size // 4
    assert before >= margin or window.row == 0
    assert after >= margin or window.row + window.height == grid.height


@given(grids_and_pixels(), st.integers(-500, 900), st.integers(-500, 900), st.integers(1, 300))
def test_fitted_lies_on_the_grid_and_keeps_its_size(place, row, col, size):
    assert_good(place[0].fitted(row, col, size), place[0], size)


@given(grids_and_pixels(), st.integers(2, 64))
def test_fitted_leaves_a_window_alone_that_fits(place, size):
    grid, row, col = place
    row, col = min(row, grid.height - size), min(col, grid.width - size)
    assert grid.fitted(row, col, size) == Window(row, col, size, size)


def test_neighbours_share_a_window():
    grid = Grid(1000, 1000, TRANSFORM)
    assert grid.shared_window(455, 455, 200) == grid.shared_window(545, 545, 200)
    windows = {grid.shared_window(r, c, 200) for r in range(200, 600) for c in (300, 301)}
    assert len(windows) <= 6


@pytest.mark.parametrize("transform", [TRANSFORM, ROTATED, SOUTH_UP, DEGREES])
def test_pixel_and_map_coordinates_invert_each_other(transform):
    grid = Grid(250, 400, transform)
    random = np.random.default_rng(1)
    px, py = random.uniform(-50, 300, (2, 200))
    back = grid.to_pixel(*grid.to_map(px, py))
    assert np.allclose(back, (px, py), atol=1e-6)


@given(st.tuples(*[st.floats(-20, 20)] * 4).filter(lambda m: abs(m[0] * m[3] - m[1] * m[2]) > 1))
def test_any_transform_that_can_be_inverted_is(m):
    grid = Grid(250, 400, (1e5, m[0], m[1], 4e6, m[2], m[3]))
    assert np.allclose(grid.to_pixel(*grid.to_map(12.25, 7.5)), (12.25, 7.5), atol=1e-5)


def test_coordinates_by_hand():
    grid = Grid(250, 400, TRANSFORM)
    assert grid.to_map(2, 3) == (500020, 4999970)
    assert grid.centres(np.array([0]), np.array([1])) == (500015, 4999995)
    assert Grid(250, 400, SOUTH_UP).to_map(0, 1) == (500000, 4990010)
    assert Grid(250, 400, ROTATED).to_map(10, 0) == (500080, 5000060)


@pytest.mark.parametrize("transform", [TRANSFORM, ROTATED, SOUTH_UP])
def test_a_window_has_its_own_transform(transform):
    grid, window = Grid(250, 400, transform), Window(30, 70, 50, 60)
    part = Grid(window.width, window.height, grid.window_transform(window))
    assert np.allclose(part.to_map(4.5, 2.5), grid.to_map(74.5, 32.5))


@pytest.mark.parametrize("transform", [TRANSFORM, ROTATED, SOUTH_UP])
def test_bounds_hold_all_corners_tightly(transform):
    grid = Grid(250, 400, transform)
    x, y = grid.to_map(np.array([0, 250, 0, 250]), np.array([0, 0, 400, 400]))
    assert grid.bounds() == (x.min(), y.min(), x.max(), y.max())


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(1, 40))
def test_blocks_cover_each_pixel_once(height, width, block_height, block_width):
    seen = np.zeros((height, width), dtype=int)
    for window in blocks(Grid(width, height, TRANSFORM), block_height, block_width):
        seen[window.slices] += 1
    assert (seen == 1).all()
