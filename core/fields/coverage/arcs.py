"""Arcs: the edges between two labels, from one node to the next, each found once.

The fields on both sides take their outlines from the same arc, so whatever is done to it neither
opens a gap nor makes an overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .corners import Corners, Segments, side_pixel
from .ragged import Chains, chained, offsets, spans
from .runs import Runs


@dataclass(frozen=True)
class Arcs:
    """All arcs of a raster; the points of each lie one after the other."""

    x: np.ndarray
    y: np.ndarray
    """(n,) int32 lattice coordinates of corners, both ends included."""
    pinch: np.ndarray
    """(n,) bool: another field meets this one at the corner only."""
    starts: np.ndarray
    """(arcs + 1,) int64: where the points of each arc start, and the end."""
    left: np.ndarray
    right: np.ndarray
    """(arcs,) int32 label on each side, the left one being larger; 0: no field."""
    left_piece: np.ndarray
    right_piece: np.ndarray
    """(arcs,) int32 number of the 4-connected piece on each side; -1 where there is no field."""
    tail: np.ndarray
    head: np.ndarray
    """(arcs,) int64: corners at both ends, equal where an arc comes back to its node."""
    leaves: np.ndarray
    arrives: np.ndarray
    """(arcs,) int8: directions of the first and the last segment."""

    @property
    def count(self) -> int:
        """Number of arcs."""
        return len(self.left)


def arcs_of(corners: Corners, segments: Segments, runs: Runs, pieces: np.ndarray) -> Arcs:
    """Segments joined at corners that are no nodes."""
    after = np.full(len(corners.x), -1, dtype=np.int32)
    after[segments.tail] = np.arange(len(segments.tail), dtype=np.int32)
    following = np.where(corners.node[segments.head], -1, after[segments.head])
    chains = _from_far_corner(chained(following), corners, segments)
    first, last = chains.order[chains.starts[:-1]], chains.order[chains.starts[1:] - 1]
    points = _points(chains, segments, last)
    tail, leaves = segments.tail[first], segments.direction[first]
    x, y = corners.x[tail], corners.y[tail]
    # The pixel beside a segment lies ahead of its tail.
    sides = [
        _piece_at(runs, pieces, *side_pixel(x, y, leaves, left), segments_side[first])
        for left, segments_side in ((True, segments.left), (False, segments.right))
    ]
    return Arcs(
        corners.x[points],
        corners.y[points],
        corners.pinch[points],
        chains.starts + np.arange(len(chains.starts)),
        segments.left[first],
        segments.right[first],
        sides[0],
        sides[1],
        tail.astype(np.int64),
        segments.head[last].astype(np.int64),
        leaves,
        segments.direction[last],
    )


def _points(chains: Chains, segments: Segments, last: np.ndarray) -> np.ndarray:
    """Corners of all arcs: the tails of their segments and the head of the last one."""
    ends = chains.starts[1:]
    points = np.empty(len(chains.order) + len(last), dtype=np.int32)
    at_end = ends + np.arange(len(last))
    inner = np.ones(len(points), dtype=bool)
    inner[at_end] = False
    points[inner] = segments.tail[chains.order]
    points[at_end] = segments.head[last]
    return points


def _piece_at(
    runs: Runs, pieces: np.ndarray, col: np.ndarray, row: np.ndarray, label: np.ndarray
) -> np.ndarray:
    found = np.full(len(label), -1, dtype=np.int32)
    field = label != 0
    flat = row[field].astype(np.int64) * runs.shape[1] + col[field]
    found[field] = pieces[runs.at(flat)]
    return found


def _from_far_corner(chains: Chains, corners: Corners, segments: Segments) -> Chains:
    """Closed chains that start at the corner farthest from where they started.

    It stays a vertex for good, and the farthest point of a shape is one of its own corners.
    Pinches come last.
    """
    loops = np.flatnonzero(chains.closed)
    if not loops.size:
        return chains
    begin = chains.starts[loops[0]]  # closed chains come last
    starts, lengths = chains.starts[loops] - begin, np.diff(chains.starts)[loops]
    tail = segments.tail[chains.order[begin:]]
    x, y = corners.x[tail].astype(np.int64), corners.y[tail].astype(np.int64)
    away = (x - np.repeat(x[starts], lengths)) ** 2 + (y - np.repeat(y[starts], lengths)) ** 2
    away[corners.pinch[tail]] -= away.max() + 1
    rank = np.arange(len(tail)) - np.repeat(starts, lengths)
    farthest = np.maximum.reduceat(away, starts)
    shift = np.minimum.reduceat(
        np.where(away == np.repeat(farthest, lengths), rank, len(tail)), starts
    )
    turned = (rank + np.repeat(shift, lengths)) % np.repeat(lengths, lengths)
    order = chains.order.copy()
    order[begin:] = chains.order[begin + np.repeat(starts, lengths) + turned]
    return Chains(order, chains.starts, chains.closed)


@dataclass(frozen=True)
class Rings:
    """Closed outlines as rows of arcs that are gone along in one direction or the other.

    The field lies on the left hand side: outer outlines have a positive area (x right, y down).
    """

    arc: np.ndarray
    """(n,) int64 arcs of all rings, ring after ring."""
    backward: np.ndarray
    """(n,) bool: gone along against its direction."""
    starts: np.ndarray
    """(rings + 1,) int64: where the arcs of each ring start, and the end."""
    label: np.ndarray
    """(rings,) int32 of the field."""
    piece: np.ndarray
    """(rings,) int32: the 4-connected piece of the field that it outlines."""
    outer: np.ndarray
    """(rings,) bool: outline of a piece, not of a hole."""


def rings_of(arcs: Arcs) -> Rings:
    """The outlines of all fields: by label, then by piece, the outer outline first."""
    sides = _Sides.of(arcs)
    following = sides.following()
    field = np.flatnonzero(sides.label > 0)
    inner = np.full(len(sides.label), -1, dtype=np.int64)
    inner[field] = np.arange(field.size)
    chains = chained(inner[following[field]])
    order = field[chains.order]
    first = order[chains.starts[:-1]]
    areas = np.tile(doubled_areas(arcs.x, arcs.y, arcs.starts), 2)
    areas[arcs.count :] *= -1
    outer = np.add.reduceat(areas[order], chains.starts[:-1]) > 0 if order.size else first > 0
    by = np.lexsort((~outer, sides.piece[first], sides.label[first]))
    lengths = np.diff(chains.starts)[by]
    order = order[spans(chains.starts[:-1][by], lengths)]
    return Rings(
        order % arcs.count,
        order >= arcs.count,
        offsets(lengths),
        sides.label[first][by],
        sides.piece[first][by],
        outer[by],
    )


def doubled_areas(x: np.ndarray, y: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(lists,) int64: twice what each list of points adds to the area on its left.

    :param x: (n,) int; the lists lie one after the other, none is empty.
    """
    x, y = x.astype(np.int64), y.astype(np.int64)
    cross = np.zeros(len(x), dtype=np.int64)
    cross[:-1] = x[:-1] * y[1:] - x[1:] * y[:-1]
    cross[starts[1:] - 1] = 0
    return np.add.reduceat(cross, starts[:-1])


@dataclass(frozen=True)
class _Sides:
    """Both sides of every arc: first all forward, then all backward."""

    label: np.ndarray
    piece: np.ndarray
    """Of what lies on the left."""
    start: np.ndarray
    end: np.ndarray
    """Nodes, numbered from 0."""
    leaves: np.ndarray
    arrives: np.ndarray
    """Directions."""

    @classmethod
    def of(cls, arcs: Arcs) -> _Sides:
        ends = np.concatenate((arcs.tail, arcs.head))
        number = np.unique(ends, return_inverse=True)[1]
        tail, head = number[: arcs.count], number[arcs.count :]
        return cls(
            np.concatenate((arcs.left, arcs.right)),
            np.concatenate((arcs.left_piece, arcs.right_piece)),
            np.concatenate((tail, head)),
            np.concatenate((head, tail)),
            np.concatenate((arcs.leaves, (arcs.arrives + 2) % 4)),
            np.concatenate((arcs.arrives, (arcs.leaves + 2) % 4)),
        )

    def following(self) -> np.ndarray:
        """The side that goes on with each one's outline.

        An outline keeps to the pixel on its left, so pieces that meet at a point stay apart.
        Where a piece meets itself at a point, it goes on with the pixel across: the outline
        then becomes two that meet there, and neither touches itself.
        """
        leaving = np.full((self.end.max(initial=0) + 1, 4), -1, dtype=np.int64)
        leaving[self.start, self.leaves] = np.arange(len(self.start))
        left, ahead, right = (leaving[self.end, (self.arrives + turn) % 4] for turn in (1, 0, 3))
        tightest = np.where(left >= 0, left, np.where(ahead >= 0, ahead, right))
        crossing = (left >= 0) & (ahead >= 0) & (right >= 0)
        return np.where(crossing & (self.piece[right] == self.piece), right, tightest)
