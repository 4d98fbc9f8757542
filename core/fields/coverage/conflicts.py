"""Simplified arcs that would cross, touch or change sides: found before any polygon is made.

A line that replaces a stretch of an arc sweeps over the ground between both. If no other vertex
lies on that ground, nothing crosses the line and nothing has changed sides: two lines could cross
only if an end of one lay on what the other swept over, since the stretches that they replace do
not cross. What is left is the order of arcs around nodes. All coordinates are whole numbers, so
every answer is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Tuple

import numpy as np

from ...monitor import SILENT, Monitor
from .arcs import Arcs
from .candidates import UNIT, Paths
from .ragged import batches, offsets, spans

_BAND = 64 * int(UNIT)
"""Height of the bands in which vertices are looked up."""
_PAIRS = 1_000_000
"""Pairs, or pairs with a segment, that are looked at together."""


@dataclass(frozen=True)
class Lines:
    """The lines of simplified arcs that replace more than themselves."""

    first: np.ndarray
    last: np.ndarray
    """(n,) int64 positions of both ends among the points of the paths."""
    west: np.ndarray
    east: np.ndarray
    north: np.ndarray
    south: np.ndarray
    """(n,) int64 extent of what each sweeps over, in units of paths."""

    def taken(self, which: np.ndarray) -> Lines:
        """Some of the lines.

        :param which: positions or bool.
        """
        return Lines(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


def lines_of(paths: Paths, kept: np.ndarray) -> Lines:
    """The lines between the points that are kept, where points between them are not.

    :param kept: (n,) bool; both ends of every arc are.
    """
    at = np.flatnonzero(kept)
    # From the end of an arc to the start of the next nothing is left out.
    skipping = np.diff(at) > 1
    first, last = at[:-1][skipping], at[1:][skipping]
    cuts = np.stack((first, last + 1), axis=1).ravel()
    extents = [
        _between(reduce, values, cuts)
        for values in (paths.x, paths.y)
        for reduce in (np.minimum, np.maximum)
    ]
    west, east, north, south = extents
    return Lines(first, last, west, east, north, south)


def _between(reduce: np.ufunc, values: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """A reduction of values from each even cut to the odd one after it."""
    if not cuts.size:
        return np.empty(0, dtype=np.int64)
    padded = np.append(values, values[-1])
    return reduce.reduceat(padded, cuts)[::2].astype(np.int64)


def sweeping_over(
    paths: Paths, lines: Lines, vertices: np.ndarray, reach: float, monitor: Monitor = SILENT
) -> np.ndarray:
    """(lines,) bool: a vertex other than its own ends lies on the line, or on what it sweeps over.

    :param vertices: (m,) positions among the points of the paths.
    :param reach: no point that a line replaces is farther from it, in units of paths.
    :raises Cancelled:
    """
    found = np.zeros(len(lines.first), dtype=bool)
    for line, vertex in _near_pairs(paths, lines, vertices, monitor):
        line, vertex = _close_pairs(paths, lines, line, vertex, reach)
        hit = _covers(paths, lines, line, vertex)
        found[line[hit]] = True
    return found


def _near_pairs(
    paths: Paths, lines: Lines, vertices: np.ndarray, monitor: Monitor
) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    """Lines and the vertices within their extent, a batch at a time."""
    x, y = paths.x[vertices].astype(np.int64), paths.y[vertices].astype(np.int64)
    pitch = int(paths.x.max(initial=0)) + 2
    key = (y // _BAND) * pitch + x
    order = np.argsort(key, kind="stable")
    key, vertices, y = key[order], vertices[order], y[order]
    top = lines.north // _BAND
    bands = lines.south // _BAND - top + 1
    line = np.repeat(np.arange(len(bands)), bands)
    band = spans(top, bands) * pitch
    low = np.searchsorted(key, band + lines.west[line], side="left")
    high = np.searchsorted(key, band + lines.east[line], side="right")
    for first, last in batches(offsets(high - low), _PAIRS):
        monitor.check()
        part = slice(first, last)
        pair = np.repeat(line[part], (high - low)[part])
        at = spans(low[part], (high - low)[part])
        inside = (y[at] >= lines.north[pair]) & (y[at] <= lines.south[pair])
        yield pair[inside], vertices[at[inside]]


def _close_pairs(
    paths: Paths, lines: Lines, line: np.ndarray, vertex: np.ndarray, reach: float
) -> Tuple[np.ndarray, np.ndarray]:
    """The pairs whose vertex is no end of its line and no farther from it than the reach."""
    x0, y0, dx, dy = _spanned(paths, lines.first[line], lines.last[line])
    px, py = paths.x[vertex] - x0, paths.y[vertex] - y0
    off = np.abs(dx * py - dy * px)
    other = ((px != 0) | (py != 0)) & ((px != dx) | (py != dy))
    close = other & (off <= reach * np.hypot(dx, dy) + reach)
    return line[close], vertex[close]


def _spanned(
    paths: Paths, first: np.ndarray, last: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Start and extent of lines between points, int64."""
    x0, y0 = paths.x[first].astype(np.int64), paths.y[first].astype(np.int64)
    return x0, y0, paths.x[last] - x0, paths.y[last] - y0


def _covers(paths: Paths, lines: Lines, line: np.ndarray, vertex: np.ndarray) -> np.ndarray:
    """(pairs,) bool: the vertex lies on the line or on what it sweeps over."""
    found = np.zeros(len(line), dtype=bool)
    counts = lines.last[line] - lines.first[line] + 1
    for begin, end in batches(offsets(counts), _PAIRS):
        part = slice(begin, end)
        x, y = (values[vertex[part]].astype(np.int64) for values in (paths.x, paths.y))
        first = lines.first[line[part]]
        # The stretch forwards, then the line back from its end to its start.
        tails = spans(first, counts[part])
        begins = offsets(counts[part])
        heads = tails + 1
        heads[begins[1:] - 1] = first
        owner = np.repeat(np.arange(end - begin), counts[part])
        crossed, touched = _crossings(paths, tails, heads, x[owner], y[owner])
        odd = np.add.reduceat(crossed.astype(np.int32), begins[:-1]) % 2 == 1
        found[part] = odd | touched[begins[1:] - 1]
    return found


def _crossings(
    paths: Paths, tails: np.ndarray, heads: np.ndarray, x: np.ndarray, y: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Whether segments cross the ray to the right of points, and whether they hold the points."""
    x0, y0, dx, dy = _spanned(paths, tails, heads)
    px, py = x - x0, y - y0
    side = dx * py - dy * px
    straddles = (py < 0) != (py < dy)
    crossed = straddles & ((side > 0) == (dy > 0)) & (side != 0)
    along = px * dx + py * dy
    return crossed, (side == 0) & (along >= 0) & (along <= dx * dx + dy * dy)


def disordered(paths: Paths, arcs: Arcs, kept: np.ndarray) -> np.ndarray:
    """(m,) int64: positions of ends of arcs whose order around a node is not what it was, or that
    leave it in the same direction as another.

    :param kept: (n,) bool.
    """
    at = np.flatnonzero(kept)
    start = np.searchsorted(at, paths.starts[:-1])
    end = np.searchsorted(at, paths.starts[1:]) - 1
    ends, beside = np.concatenate((start, end)), np.concatenate((start + 1, end - 1))
    _, _, right, down = _spanned(paths, at[ends], at[beside])
    angle = np.arctan2(down, right)
    node = np.concatenate((arcs.tail, arcs.head))
    exact = np.concatenate((arcs.leaves, (arcs.arrives + 2) % 4))
    order = np.lexsort((exact, node))
    groups = np.flatnonzero(np.diff(node[order], prepend=-1))
    following = np.arange(1, len(order) + 1)
    following[np.append(groups[1:], len(order)) - 1] = groups
    turn = (angle[order[following]] - angle[order]) % (2 * np.pi)
    # Once round is 2 pi; what is out of order goes round more often.
    astray = np.repeat(np.add.reduceat(turn, groups) > 3 * np.pi, _lengths(groups, len(order)))
    same = turn == 0
    astray |= same
    astray[following[same]] = True
    return at[ends[order[astray]]]


def _lengths(starts: np.ndarray, end: int) -> np.ndarray:
    return np.diff(starts, append=end)
