"""Profiles: the time series of a spectral index at single pixels."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Dict, List, Tuple

import numpy as np

from ..imagery.dates import day_numbers
from ..imagery.grid import Window
from ..imagery.indices import Index
from ..imagery.raster import Raster
from ..imagery.reading import each_image
from ..imagery.series import Series, SeriesImage, Skipped
from ..monitor import SILENT, Monitor

_READ_SIDE = 512
"""Blocks are read in groups of about this many pixels a side."""


@dataclass(frozen=True)
class Profiles:
    """An index at n pixels on T days."""

    values: np.ndarray
    """(n, T) float32; NaN where not valid."""
    valid: np.ndarray
    """(n, T) bool."""
    dates: Tuple[dt.date, ...]
    """T different days, ascending."""
    broken: Tuple[Skipped, ...] = ()
    """Images that could not be read."""

    @property
    def days(self) -> np.ndarray:
        """(T,) float64 day numbers."""
        return day_numbers(self.dates)


def read_profiles(
    series: Series,
    rows: np.ndarray,
    cols: np.ndarray,
    index: Index,
    monitor: Monitor = SILENT,
) -> Profiles:
    """Read an index at pixels of the series' grid, each block of each image once.

    Two images of one day count as one: the first valid value (by file name) is taken.

    :param rows: (n,) int rows on the grid; all inside it.
    :param cols: (n,) int columns.
    """
    dates = tuple(sorted(set(series.dates)))
    column = {date: k for k, date in enumerate(dates)}
    plans: Dict[Tuple[int, int], List[Tuple[Window, np.ndarray]]] = {}
    for image in series.images:
        layout = _layout(image)
        if layout not in plans:
            plans[layout] = _plan(rows, cols, layout)

    def read(position: int, image: SeriesImage, raster: Raster) -> Tuple[int, np.ndarray]:
        values = np.full(len(rows), np.nan, dtype=np.float32)
        for window, chosen in plans[_layout(image)]:
            monitor.check()
            block = _index_in(series, raster, image, index, window)
            values[chosen] = block[rows[chosen] - window.row, cols[chosen] - window.col]
        return position, values

    results, broken = each_image(series, read, monitor)
    table = np.full((len(dates), len(rows)), np.nan, dtype=np.float32)
    for position, values in sorted(results, key=lambda result: result[0]):
        line = table[column[series.images[position].date]]
        np.copyto(line, values, where=np.isnan(line))
    values = np.ascontiguousarray(table.T)
    return Profiles(values, np.isfinite(values), dates, tuple(broken))


def _index_in(
    series: Series, raster: Raster, image: SeriesImage, index: Index, window: Window
) -> np.ndarray:
    """(h, w) float32 values of the index, NaN where not valid."""
    bands, valid = series.read(raster, image, sorted(index.roles), window)
    values = index(bands)
    values[~valid] = np.nan
    return values


def _layout(image: SeriesImage) -> Tuple[int, int]:
    """Height and width of what is read at once: whole blocks, about 512 px a side."""
    if not image.on_grid:
        return _READ_SIDE, _READ_SIDE
    return tuple(-(-_READ_SIDE // side) * side for side in image.info.block)


def _plan(
    rows: np.ndarray, cols: np.ndarray, layout: Tuple[int, int]
) -> List[Tuple[Window, np.ndarray]]:
    """Windows to read and the positions of the pixels in each."""
    if len(rows) == 0:
        return []
    block_rows, block_cols = rows // layout[0], cols // layout[1]
    keys = block_rows.astype(np.int64) * (int(block_cols.max()) + 1) + block_cols
    order = np.argsort(keys, kind="stable")
    cuts = np.flatnonzero(np.diff(keys[order])) + 1
    return [(_around(rows[part], cols[part]), part) for part in np.split(order, cuts)]


def _around(rows: np.ndarray, cols: np.ndarray) -> Window:
    row, col = int(rows.min()), int(cols.min())
    return Window(row, col, int(rows.max()) - row + 1, int(cols.max()) - col + 1)
