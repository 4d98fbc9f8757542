"""What both raster drivers need to read a raster on another grid."""

from __future__ import annotations

from typing import Callable, Optional, Sequence, Tuple

import numpy as np

from .grid import Grid, Window
from .raster import RasterInfo

_LATTICE = 9
"""Points a side that find a window on another grid."""
_MARGIN = 4
"""Pixels read beyond it: the lattice misses the bend between its points."""
_PLACED = 1e-3
"""Two grids are one where their corners differ by less than this share of a pixel."""

Moved = Callable[[np.ndarray, np.ndarray, str, str], Tuple[np.ndarray, np.ndarray]]
"""Points x, y from one reference system to another, as well-known text; infinite where that cannot
be."""


def same_place(a: Grid, b: Grid) -> bool:
    """Whether two grids of one reference system and size have the same pixels."""
    corners = np.array([0, a.width, a.width]), np.array([0, 0, a.height])
    x, y = b.to_pixel(*a.to_map(*corners))
    return bool(np.abs(x - corners[0]).max() < _PLACED and np.abs(y - corners[1]).max() < _PLACED)


def seen_window(grid: Grid, onto: Grid, window: Window, moved: Moved) -> Optional[Window]:
    """The window of a raster that lies under a window of another grid, with a margin; or None."""
    steps = np.linspace(0, 1, _LATTICE)
    cols, rows = np.meshgrid(
        window.col + steps * window.width, window.row + steps * window.height
    )
    x, y = onto.to_map(cols.ravel(), rows.ravel())
    x, y = grid.to_pixel(*moved(x, y, onto.crs, grid.crs))
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.any():
        return None
    left, top = np.floor(x[finite].min()) - _MARGIN, np.floor(y[finite].min()) - _MARGIN
    right, bottom = np.ceil(x[finite].max()) + _MARGIN, np.ceil(y[finite].max()) + _MARGIN
    left, right = np.clip([left, right], 0, grid.width).astype(int)
    top, bottom = np.clip([top, bottom], 0, grid.height).astype(int)
    if left >= right or top >= bottom:
        return None
    return Window(int(top), int(left), int(bottom - top), int(right - left))


def blank(info: RasterInfo, bands: Sequence[int], categorical: bool) -> Optional[int]:
    """0 in digital numbers without a no data value: it must not blend with its neighbours."""
    declared = any(info.nodata[number - 1] is not None for number in bands)
    return None if declared or categorical or info.dtype.kind not in "ui" else 0


def thinned(values: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
    """(bands, h, w) sampled down to the nearest rows and columns."""
    rows = np.linspace(0, values.shape[1] - 1, shape[0]).round().astype(int)
    cols = np.linspace(0, values.shape[2] - 1, shape[1]).round().astype(int)
    return values[:, rows][:, :, cols]
