"""A tree of merging regions: every even area of an image, from small pieces to the whole.

The image is cut into small even pieces. The most similar neighbours merge again and again until
one region is left. The record of the merges is a binary tree. Its leaves are ranked so that
each node covers a contiguous run of ranks: a node turns into a mask by two comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

import numpy as np
from scipy import ndimage

from ....core.fields.merge_forest import ranked
from .pieces import Edges, even_pieces, foremost_of_both, grid_edges, rising


@dataclass(frozen=True)
class Tuning:
    """What steers the tree; colours run from 0 to 1."""

    smoothing: float = 0.4
    """Standard deviation in pixels of the Gaussian that takes out sensor noise."""
    piece_scale: float = 0.06
    """The larger, the larger the pieces before merging (`k` of the graph method)."""
    piece_pixels: int = 6
    """Pieces below this size join their most similar neighbour."""
    edge_weight: float = 4.0
    """Weight of the gradient along the common boundary beside the difference of the means."""
    size_power: float = 0.3
    """How much the size of the smaller partner delays a merge."""


@dataclass
class _Regions:
    """All n leaves and the n - 1 nodes that they merge into; those not made yet are zero."""

    area: np.ndarray
    """(2 n - 1,) float64, pixels."""
    total: np.ndarray
    """(2 n - 1, 3) float64, sums of the colours."""
    outline: np.ndarray
    """(2 n - 1, 2) float64: length of the boundary to others, sum of the gradient along it."""
    halves: np.ndarray
    """(2 n - 1, 2) int64, what has merged; -1 for leaves."""
    cost: np.ndarray
    """(2 n - 1,) float64, of the merge that made the node; 0 for leaves."""

    @property
    def leaves(self) -> int:
        """How many there are."""
        return (self.area.size + 1) // 2


@dataclass(frozen=True)
class _Borders:
    """Pairs of neighbouring regions that have not merged; no pair twice."""

    pair: np.ndarray
    """(e, 2) int64."""
    shared: np.ndarray
    """(e, 2) float64: length of the common boundary, sum of the gradient along it."""
    cost: np.ndarray
    """(e,) float64, of merging."""

    def only(self, which: np.ndarray) -> _Borders:
        """Some of them."""
        return _Borders(self.pair[which], self.shared[which], self.cost[which])

    def and_also(self, more: _Borders) -> _Borders:
        """These and others."""
        return _Borders(
            np.concatenate([self.pair, more.pair]),
            np.concatenate([self.shared, more.shared]),
            np.concatenate([self.cost, more.cost]),
        )


def _smooth(image: np.ndarray, sigma: float) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W, 3) float32 in 0..1, smoothed."""
    colours = image.astype(np.float32) / 255
    return ndimage.gaussian_filter(colours, (sigma, sigma, 0), mode="nearest")


def _leaves(
    pieces: np.ndarray, colours: np.ndarray, edges: Edges, tuning: Tuning
) -> Tuple[_Regions, _Borders]:
    """Regions before any merge, and where they meet."""
    flat = pieces.ravel()
    count = int(flat.max()) + 1
    nodes = 2 * count - 1
    regions = _Regions(
        np.zeros(nodes),
        np.zeros((nodes, 3)),
        np.zeros((nodes, 2)),
        np.full((nodes, 2), -1, np.int64),
        np.zeros(nodes),
    )
    regions.area[:count] = np.bincount(flat)
    for band in range(3):
        regions.total[:count, band] = np.bincount(flat, colours[..., band].ravel())
    first, second, gradient = edges
    pair = np.stack([flat[first], flat[second]], axis=1)
    apart = np.flatnonzero(pair[:, 0] != pair[:, 1])
    steps = np.stack([np.ones(apart.size), gradient[apart]], axis=1)
    borders = _summed(pair[apart].astype(np.int64), steps, regions, tuning)
    for side in (0, 1):
        for column in (0, 1):
            values = np.bincount(borders.pair[:, side], borders.shared[:, column], count)
            regions.outline[:count, column] += values
    return regions, borders


def _summed(pair: np.ndarray, shared: np.ndarray, regions: _Regions, tuning: Tuning) -> _Borders:
    """Borders with those of the same pair put together."""
    nodes = regions.area.size
    keys, where = np.unique(pair.min(axis=1) * nodes + pair.max(axis=1), return_inverse=True)
    pair = np.stack([keys // nodes, keys % nodes], axis=1)
    sums = [np.bincount(where, shared[:, column], keys.size) for column in (0, 1)]
    shared = np.stack(sums, axis=1)
    return _Borders(pair, shared, _merge_cost(regions, pair, shared, tuning))


def _merge_cost(
    regions: _Regions, pair: np.ndarray, shared: np.ndarray, tuning: Tuning
) -> np.ndarray:
    """(e,) how unlike two neighbours are; larger regions are dearer to merge."""
    one, other = regions.area[pair].T
    mean = regions.total[pair] / regions.area[pair][..., None]
    distance = np.linalg.norm(mean[:, 0] - mean[:, 1], axis=1)
    contrast = distance + tuning.edge_weight * shared[:, 1] / shared[:, 0]
    return contrast * (one * other / (one + other)) ** tuning.size_power


def _grow_tree(regions: _Regions, borders: _Borders, tuning: Tuning) -> None:
    """Merge until one region is left.

    Neighbours merge that are the cheapest for each other. Where merges get no cheaper by other
    merges, that is the tree of always merging the cheapest pair of all; here most of its nodes.
    """
    made = regions.leaves
    # Of 64 bits also on Windows: pairs are told apart by products of two.
    becomes = np.arange(regions.area.size, dtype=np.int64)
    cheapest = np.empty(regions.area.size, np.int64)
    while borders.cost.size:
        borders = borders.only(rising(borders.cost))
        merging = foremost_of_both(*borders.pair.T, cheapest)
        made = _merge(regions, borders.only(merging), made, becomes)
        borders = borders.only(~merging)
        pair = becomes[borders.pair]
        moved = (pair != borders.pair).any(axis=1)
        renewed = _summed(pair[moved], borders.shared[moved], regions, tuning)
        borders = borders.only(~moved).and_also(renewed)


def _merge(regions: _Regions, borders: _Borders, made: int, becomes: np.ndarray) -> int:
    """Make the unions of pairs that have no region in common, in their order.

    :param made: how many nodes there are.
    :param becomes: (nodes,) int64; told what the regions are a part of now.
    :return: how many nodes there are then.
    """
    a, b = borders.pair.T
    new = np.arange(made, made + a.size)
    regions.area[new] = regions.area[a] + regions.area[b]
    regions.total[new] = regions.total[a] + regions.total[b]
    regions.outline[new] = regions.outline[a] + regions.outline[b] - 2 * borders.shared
    regions.halves[new] = borders.pair
    regions.cost[new] = np.maximum(borders.cost, regions.cost[borders.pair].max(axis=1))
    becomes[a] = becomes[b] = new
    return made + a.size


@dataclass(frozen=True)
class Tree:
    """The hierarchy; nodes are numbered by their making, leaves first, the root last."""

    first: np.ndarray
    """(nodes,) int32, rank of the first leaf of each node."""
    end: np.ndarray
    """(nodes,) int32, one past the rank of its last leaf."""
    parent: np.ndarray
    """(nodes,) int32; the root has -1."""

    def path(self, leaf: int) -> np.ndarray:
        """(k,) nodes from a leaf to the root."""
        path = [leaf]
        while self.parent[path[-1]] >= 0:
            path.append(int(self.parent[path[-1]]))
        return np.array(path)

    def covers(self, nodes: np.ndarray, rank: int) -> np.ndarray:
        """(k,) bool: which nodes contain a leaf, given by its rank."""
        return (self.first[nodes] <= rank) & (rank < self.end[nodes])

    def draw(self, ranks: np.ndarray, node: int) -> np.ndarray:
        """Where an array of leaf ranks belongs to a node; bool of the same shape."""
        return (ranks >= self.first[node]) & (ranks < self.end[node])


# ---------------------------------------------------------------------------------- traits


def _sums(values: np.ndarray, pieces: np.ndarray, first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Sum of a per-pixel value over each node; values (H, W), result (nodes,) float64."""
    leaves = int(pieces.max()) + 1
    by_rank = np.zeros(leaves + 1)
    by_rank[first[:leaves] + 1] = np.bincount(pieces.ravel(), values.ravel(), minlength=leaves)
    running = np.cumsum(by_rank)
    return running[end] - running[first]


def _border_sides(shape: Tuple[int, int]) -> np.ndarray:
    """(H, W): how many sides of each pixel lie on the border of the image."""
    sides = np.zeros(shape)
    for line in (sides[0], sides[-1], sides[:, 0], sides[:, -1]):
        line += 1
    return sides


def _log(values: np.ndarray, floor: float) -> np.ndarray:
    """Logarithm that does not fall below `floor`; one grey level of 255 is added to tame noise."""
    return np.maximum(np.log(np.maximum(values, 0) + 0.004), floor)


def _describe(
    pieces: np.ndarray, colours: np.ndarray, regions: _Regions, tree: Tree
) -> Dict[str, np.ndarray]:
    """What the choice among nodes is made from; see :class:`Growth`."""
    first, end = tree.first, tree.end
    above = np.where(tree.parent < 0, np.arange(first.size), tree.parent)
    area, outline = regions.area, regions.outline
    mean = regions.total / area[:, None]
    square = _sums((colours.astype(np.float64) ** 2).sum(axis=-1), pieces, first, end) / area
    deviation = np.sqrt(np.maximum(square - (mean**2).sum(axis=1), 0))
    perimeter = outline[:, 0] + _sums(_border_sides(pieces.shape), pieces, first, end)
    contrast = _log(outline[:, 1] / np.maximum(outline[:, 0], 1), -4.0)
    compact = np.log(4 * np.pi * area / perimeter**2)
    merge = _log(regions.cost, -2.5)
    step = np.linalg.norm(mean - mean[above], axis=1) * area[above]
    return {
        "merge": merge,
        "merge_squared": merge**2,
        "next_merge": merge[above],
        "life": np.clip(merge[above] - merge, 0, 1),
        "compact": compact,
        "next_compact": compact[above],
        "step": _log(step / np.maximum(area[above] - area, 1), -6.0),
        "next_contrast": contrast[above],
        "next_deviation": _log(deviation[above], -6.0),
        "evenness": _smaller_share(regions),
        "area": area,
        "contrast": contrast,
    }


def _smaller_share(regions: _Regions) -> np.ndarray:
    """(nodes,) share of a node's area that its smaller half has; 0 for leaves."""
    area, halves = regions.area, regions.halves
    return np.where(halves[:, 0] < 0, 0, area[halves].min(axis=1) / area)


# ---------------------------------------------------------------------------------- growing


@dataclass(frozen=True)
class Growth:
    """The tree of one image."""

    tree: Tree
    ranks: np.ndarray
    """(H, W) int32, rank of the leaf of each pixel."""
    traits: Dict[str, np.ndarray]
    """Per node, (nodes,) float64: `area` in pixels; logarithms of the `merge` cost (and its
    square), of the colour `contrast` along the outline, of the compactness (`compact`, 0 for a
    disc) and of the colour `step` to the partner of the next merge; `life` 0..1 between the own
    and the next merge; `evenness` 0..0.5 of the own merge; `next_...`: of the parent."""


def grow(image: np.ndarray, tuning: Tuning) -> Growth:
    """Build the tree of an image.

    :param image: (H, W, 3) uint8, never changed.
    :param tuning: how pieces are cut and merged.
    """
    colours = _smooth(image, tuning.smoothing)
    edges = grid_edges(colours)
    pieces = even_pieces(image.shape[:2], edges, tuning.piece_scale, tuning.piece_pixels)
    regions, borders = _leaves(pieces, colours, edges, tuning)
    _grow_tree(regions, borders, tuning)
    first, end, parent = ranked(regions.halves.tolist(), regions.leaves)
    tree = Tree(first.astype(np.int32), end.astype(np.int32), parent.astype(np.int32))
    traits = _describe(pieces, colours, regions, tree)
    return Growth(tree, tree.first[: regions.leaves][pieces], traits)
