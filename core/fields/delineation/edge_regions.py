"""Regions between edges, from small ones to the whole tile: what a field may be made of.

The chance of an edge is a relief: each basin of it is a small region. The two neighbours with the
least of an edge between them merge, again and again, until one region is left, so every region is
a node of a tree. Leaves are ranked so that a node covers a run of ranks: it turns into a mask by
two comparisons, and what it shares with a mask is a difference of two sums.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Dict, List, Tuple

import numpy as np
from scipy import ndimage

from ..merge_forest import numbered, ranked, settled
from .pieces import FieldPiece

_SMOOTHING = 1.0
"""Deviation in pixels of the Gaussian that takes shallow basins out of the relief."""
_DIRECTIONS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
_FOREVER = 2.0
"""Above every cost: the root merges with nothing."""


@dataclass(frozen=True)
class EdgeRegions:
    """The tree of regions of a tile; nodes are numbered by their making, the root last."""

    ranks: np.ndarray
    """(H, W) int32, rank of the leaf of each pixel."""
    leaves: int
    first: np.ndarray
    """(nodes,) int64, rank of the first leaf of each node."""
    end: np.ndarray
    """(nodes,) int64, one past the rank of its last leaf."""
    parent: np.ndarray
    """(nodes,) int64; the root has -1."""
    size: np.ndarray
    """(nodes,) int64, valid pixels."""
    within: np.ndarray
    """(nodes,) float64 0..1, the strongest edge that was merged over."""
    outline: np.ndarray
    """(nodes,) float64 0..1, mean edge along the outline; the rim of the tile is none."""
    frames: np.ndarray
    """(nodes, 4) int64: first row, last row + 1, first column, last column + 1."""

    def shared(self, piece: FieldPiece) -> np.ndarray:
        """(nodes,) int64: pixels that each node shares with a piece."""
        ranks = self.ranks[piece.frame][piece.mask]
        return self.sums(np.bincount(ranks, minlength=self.leaves))

    def sums(self, per_rank: np.ndarray) -> np.ndarray:
        """(nodes,) from a count for each rank: its sum over each node."""
        running = np.concatenate([[0], np.cumsum(per_rank)])
        return running[self.end] - running[self.first]

    def above(self, row: int, col: int) -> np.ndarray:
        """(nodes,) bool: which nodes hold a pixel."""
        rank = self.ranks[row, col]
        return (self.first <= rank) & (rank < self.end)

    def draw(self, node: int) -> Tuple[int, int, np.ndarray]:
        """Row and column of a node's frame, and its (h, w) bool mask, not valid pixels too."""
        top, bottom, left, right = self.frames[node]
        ranks = self.ranks[top:bottom, left:right]
        return int(top), int(left), (ranks >= self.first[node]) & (ranks < self.end[node])

    def cut(self, level: float) -> np.ndarray:
        """(H, W) int64: the largest node at each pixel that no edge above a level divides."""
        top = (self.within <= level) & (np.append(self.within, _FOREVER)[self.parent] > level)
        nodes = np.flatnonzero(top)
        order = nodes[np.argsort(self.first[nodes])]
        by_rank = np.repeat(order, self.end[order] - self.first[order])
        return by_rank[self.ranks]


def edge_regions(edges: np.ndarray, valid: np.ndarray) -> EdgeRegions:
    """The tree of regions.

    :param edges: (H, W) float32 0..1, the chance that a field ends at a pixel.
    :param valid: (H, W) bool; other pixels count as edges.
    """
    relief = np.where(valid, edges, 1).astype(np.float32)
    basins = _basins(ndimage.gaussian_filter(relief, _SMOOTHING))
    tree = _Tree(basins, relief, valid)
    tree.grow()
    return tree.arranged(basins)


def _basins(relief: np.ndarray) -> np.ndarray:
    """(H, W) int32 numbers 0..n-1: pixels whose steepest way down ends at the same place."""
    height, width = relief.shape
    index = np.arange(relief.size).reshape(relief.shape)
    walled = np.pad(relief, 1, constant_values=np.inf)
    lowest, target = relief.copy(), index.copy()
    for row, col in _DIRECTIONS:
        near = walled[1 + row : 1 + row + height, 1 + col : 1 + col + width]
        other = index + row * width + col
        # Equal heights flow to the lower number, so that plateaus do not fall apart.
        lower = (near < lowest) | ((near == lowest) & (other < target))
        lowest, target = np.where(lower, near, lowest), np.where(lower, other, target)
    return numbered(settled(target.ravel())).reshape(relief.shape)


class _Tree:
    """The tree while it grows: lists with an entry for each node."""

    def __init__(self, basins: np.ndarray, relief: np.ndarray, valid: np.ndarray) -> None:
        self.leaves = count = int(basins.max()) + 1
        self.children: List[Tuple[int, int]] = [(-1, -1)] * count
        self.size = np.bincount(basins[valid], minlength=count).tolist()
        self.within = [0.0] * count
        found = ndimage.find_objects(basins + 1)
        self.frames = [(r.start, r.stop, c.start, c.stop) for r, c in found]
        self.near: List[Dict[int, Tuple[int, float]]] = [{} for _ in range(count)]
        for a, b, length, total in zip(*_borders(basins, relief)):
            self.near[a][b] = self.near[b][a] = (length, total)
        self.length = [sum(s[0] for s in near.values()) for near in self.near]
        self.total = [sum(s[1] for s in near.values()) for near in self.near]

    def grow(self) -> None:
        """Merge the least divided neighbours until one region is left."""
        heap = [
            (shared[1] / shared[0], a, b)
            for a, near in enumerate(self.near)
            for b, shared in near.items()
            if a < b
        ]
        heapq.heapify(heap)
        alive = [True] * self.leaves
        while heap:
            cost, a, b = heapq.heappop(heap)
            if not (alive[a] and alive[b]):
                continue
            alive[a] = alive[b] = False
            node = self._merge(a, b, cost)
            alive.append(True)
            for other, (length, total) in self.near[node].items():
                heapq.heappush(heap, (total / length, node, other))

    def _merge(self, a: int, b: int, cost: float) -> int:
        """Append the union of two live regions; returns its number."""
        node = len(self.size)
        length, total = self.near[a].pop(b)
        joined, gone = self.near[a], self.near[b]
        del gone[a]
        for other, (more, sum_) in gone.items():
            had = joined.get(other, (0, 0.0))
            joined[other] = (had[0] + more, had[1] + sum_)
            del self.near[other][b]
        for other, shared in joined.items():
            self.near[other].pop(a, None)
            self.near[other][node] = shared
        self.near.append(joined)
        self.near[a] = self.near[b] = {}
        self.children.append((a, b))
        self.size.append(self.size[a] + self.size[b])
        self.within.append(max(cost, self.within[a], self.within[b]))
        self.length.append(self.length[a] + self.length[b] - 2 * length)
        self.total.append(self.total[a] + self.total[b] - 2 * total)
        self.frames.append(_around(self.frames[a], self.frames[b]))
        return node

    def arranged(self, basins: np.ndarray) -> EdgeRegions:
        """The finished tree, leaves ranked so that every node covers a run of ranks."""
        first, end, parent = ranked(self.children, self.leaves)
        return EdgeRegions(
            ranks=first[: self.leaves][basins].astype(np.int32),
            leaves=self.leaves,
            first=first,
            end=end,
            parent=parent,
            size=np.array(self.size),
            within=np.array(self.within),
            outline=np.array(self.total) / np.maximum(self.length, 1),
            frames=np.array(self.frames),
        )


def _around(one: Tuple[int, ...], other: Tuple[int, ...]) -> Tuple[int, ...]:
    """The frame around two frames."""
    return (
        min(one[0], other[0]),
        max(one[1], other[1]),
        min(one[2], other[2]),
        max(one[3], other[3]),
    )


def _borders(basins: np.ndarray, relief: np.ndarray) -> Tuple[List, List, List, List]:
    """Pairs of neighbouring basins, lengths of their borders and sums of the edge along them."""
    count = int(basins.max()) + 1
    keys, heights = [], []
    for here, there in (((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
                        ((slice(1, None),), (slice(None, -1),))):  # fmt: skip
        a, b = basins[here], basins[there]
        apart = a != b
        low = np.minimum(a, b)[apart].astype(np.int64)
        keys.append(low * count + np.maximum(a, b)[apart])
        heights.append(np.maximum(relief[here], relief[there])[apart])
    pairs, place = np.unique(np.concatenate(keys), return_inverse=True)
    lengths = np.bincount(place, minlength=pairs.size)
    totals = np.bincount(place, np.concatenate(heights), minlength=pairs.size)
    first, second = pairs // count, pairs % count
    return first.tolist(), second.tolist(), lengths.tolist(), totals.tolist()
