"""Which points of an arc matter, and how much: Douglas-Peucker, all arcs at once.

Every point gets a significance: the largest tolerance at which it is still kept. Any tolerance
is then a comparison, and a finer one keeps all that a coarser one keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ...monitor import SILENT, Monitor
from .candidates import UNIT, Paths
from .ragged import batches, offsets, spans

_BATCH = 400_000
"""Points that are looked at together, which bounds the memory."""
_STRAIGHT_LENGTH = 8.0
"""A nearly straight run is at least this many times longer than it bends: shorter ones are as
likely to be the shape of the field."""
_BOW = 1 / 3
"""A nearly straight run lies off its line by no more than this share of the tolerance on average:
roughness lies on both sides of a line, curves on one."""


@dataclass(frozen=True)
class Tolerances:
    """How far a line may leave the points that it stands for; in pixels."""

    simplify: float
    straighten: float
    """For runs that are nearly straight; 0: as all others."""
    least: float
    """Points below this significance are never kept."""

    def nearly_straight(self, off: np.ndarray, length: np.ndarray, area: np.ndarray) -> np.ndarray:
        """(n,) bool: runs that become straight.

        :param off: (n,) how far each leaves its line.
        :param length: (n,) of the line.
        :param area: (n,) between the run and its line, what lies on its other side taken off.
        """
        bow = max(self.simplify, _BOW * self.straighten)
        long_enough = (length > 0) & (length >= _STRAIGHT_LENGTH * off)
        return long_enough & (off <= self.straighten) & (area <= bow * length)


def significances(paths: Paths, tolerances: Tolerances, monitor: Monitor = SILENT) -> np.ndarray:
    """(n,) float32 significance of each point in pixels: infinite at ends, 0 for those in between
    that are no candidates.

    A closed arc also keeps the point farthest from its end.

    :raises Cancelled:
    """
    found = np.zeros(len(paths.x), dtype=np.float32)
    for first, last in batches(paths.starts, _BATCH):
        monitor.check()
        monitor.progress(first / (len(paths.starts) - 1))
        begin, end = paths.starts[first], paths.starts[last]
        at = begin + np.flatnonzero(paths.candidate[begin:end])
        starts = np.searchsorted(at, paths.starts[first : last + 1])
        found[at] = _of_lines(paths.x[at], paths.y[at], starts, tolerances)
    found[paths.ends] = np.inf
    return found


def _of_lines(
    x: np.ndarray, y: np.ndarray, starts: np.ndarray, tolerances: Tolerances
) -> np.ndarray:
    """Significances along lines of points in units of paths."""
    x, y = (x - x.min()) / UNIT, (y - y.min()) / UNIT
    found = np.zeros(len(x))
    i, j = starts[:-1].astype(np.int64), starts[1:].astype(np.int64) - 1
    limit = np.full(len(i), np.inf)
    swept = np.append(0.0, np.cumsum(x[:-1] * y[1:] - x[1:] * y[:-1]))
    while True:
        wide = j - i > 1
        i, j, limit = i[wide], j[wide], limit[wide]
        if not i.size:
            return found
        split, off, length = _farthest(x, y, i, j)
        value = np.minimum(limit, np.where(length == 0, np.inf, off))
        if tolerances.straighten > 0:
            bow = np.abs(_areas(x, y, swept, i, j))
            straight = tolerances.nearly_straight(off, length, bow)
            value = np.where(straight, np.minimum(value, tolerances.simplify), value)
        kept = value > tolerances.least
        i, j, split, limit = i[kept], j[kept], split[kept], value[kept]
        found[split] = limit
        i, j, limit = (
            np.concatenate((i, split)),
            np.concatenate((split, j)),
            np.concatenate((limit, limit)),
        )


def _areas(
    x: np.ndarray, y: np.ndarray, swept: np.ndarray, i: np.ndarray, j: np.ndarray
) -> np.ndarray:
    """Signed areas between the points from i to j and the lines i-j.

    :param swept: (n,) twice the area that the points up to each one have swept over.
    """
    return (swept[j] - swept[i] + x[j] * y[i] - x[i] * y[j]) / 2


def _farthest(
    x: np.ndarray, y: np.ndarray, i: np.ndarray, j: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the points between i and j: the one farthest from the line i-j, how far, and the line's
    length."""
    counts = j - i - 1
    at = spans(i + 1, counts)
    begins = offsets(counts)[:-1]
    dx, dy = x[j] - x[i], y[j] - y[i]
    length = np.hypot(dx, dy)
    scale = np.where(length > 0, length, 1.0)
    ux, uy = np.repeat(dx / scale, counts), np.repeat(dy / scale, counts)
    px, py = x[at] - np.repeat(x[i], counts), y[at] - np.repeat(y[i], counts)
    along = np.clip(px * ux + py * uy, 0.0, np.repeat(length, counts))
    px -= along * ux
    py -= along * uy
    off = px * px + py * py
    most = np.maximum.reduceat(off, begins)
    top = np.where(off >= np.repeat(most, counts), at, len(x))
    return np.minimum.reduceat(top, begins), np.sqrt(most), length
