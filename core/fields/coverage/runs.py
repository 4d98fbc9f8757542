"""Runs of equal labels along rows, and the 4-connected pieces that they make up.

Runs are far fewer than pixels, so pieces of a whole scene are found without a second raster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, Optional, Tuple

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ...monitor import SILENT, Monitor

STRIP_PIXELS = 2_000_000
"""A raster is gone through in strips of about this many pixels."""


def strips(height: int, width: int, monitor: Monitor = SILENT) -> Iterator[Tuple[int, int]]:
    """First and last + 1 row of each strip of a raster.

    :raises Cancelled:
    """
    rows = max(1, STRIP_PIXELS // max(1, width))
    for first in range(0, height, rows):
        monitor.check()
        monitor.progress(first / height)
        yield first, min(first + rows, height)


@dataclass(frozen=True)
class Runs:
    """All runs of a raster in reading order; no run goes on in the next row."""

    starts: np.ndarray
    """(n,) int64: flat position of each run's first pixel."""
    values: np.ndarray
    """(n,) int32 label."""
    marks: np.ndarray
    """(n,) bool: the mark of its pixels; True where none were given."""
    upper: np.ndarray
    lower: np.ndarray
    """(m,) int32: runs of which one lies above the other."""
    shared: np.ndarray
    """(m,) int32: columns in which they do."""
    shape: Tuple[int, int]

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64 pixels."""
        return np.diff(self.starts, append=self.shape[0] * self.shape[1])

    def at(self, flat: np.ndarray) -> np.ndarray:
        """The run at each flat position of a pixel."""
        return np.searchsorted(self.starts, flat, side="right") - 1

    def pieces(self) -> np.ndarray:
        """(n,) int32: number of the 4-connected piece of equal label and mark of each run."""
        upper, lower = self.upper, self.lower
        same = self.values[upper] == self.values[lower]
        same &= self.marks[upper] == self.marks[lower]
        return joined(upper[same], lower[same], len(self.starts))


def joined(ones: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
    """(count,) int32: number of the group of each element, where pairs belong together."""
    links = coo_matrix((np.ones(len(ones), np.int8), (ones, others)), shape=(count, count))
    return connected_components(links, directed=False)[1]


def runs_of(
    labels: np.ndarray, marks: Optional[np.ndarray] = None, monitor: Monitor = SILENT
) -> Runs:
    """The runs of a raster and how they lie on each other.

    :param labels: (H, W) int32, at least one pixel.
    :param marks: (H, W) bool; a run has one mark.
    :raises Cancelled:
    """
    height, width = labels.shape
    found: List[Tuple[np.ndarray, ...]] = []
    count = 0
    for top, bottom in strips(height, width, monitor):
        rows = slice(top, min(bottom + 1, height))
        breaks = _breaks(labels[rows], None if marks is None else marks[rows])
        own = breaks[: bottom - top]
        starts = np.flatnonzero(own) + top * width
        flags = np.ones(starts.size, bool) if marks is None else marks[top:bottom][own]
        found.append((starts, labels[top:bottom][own], flags, *_contacts(breaks, count)))
        count += starts.size
    return Runs(*(np.concatenate(part) for part in zip(*found)), shape=(height, width))


def _breaks(labels: np.ndarray, marks: Optional[np.ndarray]) -> np.ndarray:
    """(h, w) bool: pixels where a run starts."""
    breaks = np.ones(labels.shape, dtype=bool)
    breaks[:, 1:] = labels[:, 1:] != labels[:, :-1]
    if marks is not None:
        breaks[:, 1:] |= marks[:, 1:] != marks[:, :-1]
    return breaks


def _contacts(breaks: np.ndarray, count: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Upper run, lower run and shared columns; `count` runs came before."""
    if len(breaks) < 2:
        none = np.empty(0, dtype=np.int32)
        return none, none, none
    number = np.cumsum(breaks.ravel(), dtype=np.int32) + np.int32(count - 1)
    either = np.flatnonzero(breaks[:-1] | breaks[1:])
    size = breaks[:-1].size
    shared = np.diff(either, append=size).astype(np.int32)
    return number[either], number[either + breaks.shape[1]], shared
