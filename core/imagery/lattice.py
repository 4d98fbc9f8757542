"""Parts of a grid: the windows of the lattice over an area, and the pixels in an extent."""

from __future__ import annotations

from typing import Callable, List, Optional, Tuple

import numpy as np

from .grid import Grid, Window


def windows_over(grid: Grid, area: Window, size: int) -> List[Window]:
    """The windows that :meth:`Grid.shared_window` gives for the pixels of an area, row by row.

    They reach beyond the area: a pixel is answered by the window whose centre is nearest.

    :param area: within the grid, not empty.
    :param size: side of the windows in pixels.
    """
    rows = _starts(lambda row: grid.shared_window(row, 0, size).row, area.row, area.height, size)
    cols = _starts(lambda col: grid.shared_window(0, col, size).col, area.col, area.width, size)
    return [grid.fitted(row, col, size) for row in rows for col in cols]


def pixels_within(grid: Grid, extent: Tuple[float, float, float, float]) -> Optional[Window]:
    """The pixels that an extent touches; None where it lies beside the grid.

    :param extent: west, south, east and north edge in the grid's own map units.
    """
    west, south, east, north = extent
    x, y = grid.to_pixel(np.array([west, east, west, east]), np.array([south, south, north, north]))
    left, right = np.clip([np.floor(x.min()), np.ceil(x.max())], 0, grid.width).astype(int)
    top, bottom = np.clip([np.floor(y.min()), np.ceil(y.max())], 0, grid.height).astype(int)
    if left >= right or top >= bottom:
        return None
    return Window(int(top), int(left), int(bottom - top), int(right - left))


def _starts(start_of: Callable[[int], int], first: int, count: int, size: int) -> List[int]:
    """Where the windows of some rows or columns start.

    A window is the nearest to about size / 2 pixels in a row, so every fourth of a window is asked.
    """
    step = max(1, size // 4)
    asked = [*range(first, first + count, step), first + count - 1]
    return sorted({start_of(place) for place in asked})
