"""All windows of the lattice over an area, and the pixels in an extent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from furrow.core.imagery.grid import Grid, Window
from furrow.core.imagery.lattice import pixels_within, windows_over

NORTH_UP = (1000.0, 10.0, 0.0, 5000.0, 0.0, -10.0)
ROTATED = (1000.0, 8.0, 6.0, 5000.0, 6.0, -8.0)


def grid(height: int, width: int, transform: tuple = NORTH_UP) -> Grid:
    return Grid(width, height, transform)


@given(st.integers(1, 700), st.integers(1, 90), st.integers(32, 300), st.data())
def test_they_are_the_windows_of_all_pixels_of_the_area(height, width, size, data) -> None:
    top = data.draw(st.integers(0, height - 1))
    left = data.draw(st.integers(0, width - 1))
    tall, wide = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    shown = grid(height, width)
    rows = {shown.shared_window(row, left, size).row for row in range(top, top + tall)}
    cols = {shown.shared_window(top, col, size).col for col in range(left, left + wide)}
    found = windows_over(shown, Window(top, left, tall, wide), size)
    assert {(w.row, w.col) for w in found} == {(row, col) for row in rows for col in cols}
    assert len(set(found)) == len(found) and found == sorted(found)
    assert found[0] == shown.shared_window(top, left, size)


def test_a_million_pixels_are_about_a_hundred_windows() -> None:
    assert len(windows_over(grid(1000, 1000), Window(0, 0, 1000, 1000), 200)) == 81


def test_an_image_smaller_than_a_window_has_one() -> None:
    assert windows_over(grid(50, 60), Window(0, 0, 50, 60), 200) == [Window(0, 0, 50, 60)]


@pytest.mark.parametrize(
    ("extent", "pixels"),
    [
        ((1000, 4900, 1100, 5000), Window(0, 0, 10, 10)),
        ((1019, 4949, 1021, 4951), Window(4, 1, 2, 2)),  # touches four pixels
        ((0, 0, 9999, 9999), Window(0, 0, 40, 30)),
        ((1295, 4000, 9999, 4601), Window(39, 29, 1, 1)),
        ((0, 4900, 999, 5000), None),
        ((1300, 4900, 1400, 5000), None),
        ((1000, 5000, 1100, 5100), None),
    ],
)
def test_the_pixels_in_an_extent(extent: tuple, pixels: Window) -> None:
    assert pixels_within(grid(40, 30), extent) == pixels


def test_a_rotated_grid_has_the_pixels_around_the_extent() -> None:
    shown = grid(40, 30, ROTATED)
    x, y = shown.to_map(12.5, 20.5)
    found = pixels_within(shown, (x - 15, y - 15, x + 15, y + 15))
    assert found.contains(20, 12) and found.height in (5, 6) and found.width in (5, 6)
