"""Zones: the pixels of points and polygons, and one profile for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

import numpy as np

from ..imagery.indices import Index
from ..imagery.series import Series
from ..monitor import SILENT, Monitor
from .profiles import Profiles, read_profiles

_SEEN = 0.5
"""Share of a zone's pixels that must be valid for a date to count."""


@dataclass(frozen=True)
class Zones:
    """Pixels of several zones, one after the other."""

    rows: np.ndarray
    """(p,) int64 on the grid."""
    cols: np.ndarray
    zone: np.ndarray
    """(p,) int64, ascending: which zone a pixel belongs to."""
    count: int
    """Number of zones; one may have no pixel."""


def zone_profiles(
    series: Series, zones: Zones, index: Index, monitor: Monitor = SILENT
) -> Profiles:
    """The median over the valid pixels of each zone; a date needs half of them.

    :returns: `Profiles` with one row a zone; a zone without pixels has no valid date.
    """
    keys = zones.rows * series.grid.width + zones.cols
    unique, position = np.unique(keys, return_inverse=True)
    rows, cols = unique // series.grid.width, unique % series.grid.width
    pixels = read_profiles(series, rows, cols, index, monitor)
    values = np.full((zones.count, len(pixels.dates)), np.nan, dtype=np.float32)
    bounds = np.searchsorted(zones.zone, np.arange(zones.count + 1))
    for k, (start, stop) in enumerate(zip(bounds[:-1], bounds[1:])):
        values[k] = _median(pixels.values[position[start:stop]])
    return Profiles(values, np.isfinite(values), pixels.dates, pixels.broken)


def _median(values: np.ndarray) -> np.ndarray:
    """(p, T) to (T,) median, NaN where fewer than half of the pixels are valid."""
    result = np.full(values.shape[1], np.nan, dtype=np.float32)
    if len(values) == 0:
        return result
    seen = np.isfinite(values).mean(axis=0) >= _SEEN
    result[seen] = np.nanmedian(values[:, seen], axis=0)
    return result


def gather(pieces: Sequence[Tuple[np.ndarray, np.ndarray]]) -> Zones:
    """Zones from (rows, cols) of each."""
    sizes = [len(rows) for rows, _ in pieces]
    empty = np.empty(0, dtype=np.int64)
    return Zones(
        np.concatenate([empty, *(rows for rows, _ in pieces)]).astype(np.int64),
        np.concatenate([empty, *(cols for _, cols in pieces)]).astype(np.int64),
        np.repeat(np.arange(len(pieces)), sizes),
        len(pieces),
    )
