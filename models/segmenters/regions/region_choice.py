"""Which node of two region trees is the field around a point: chances, overlaps, three picks.

One tree sees the picture as it is, the other at half its size, where mottles and furrows even
out. The nodes around a point are nested within a tree but not across the trees, so overlaps are
counted. A field mostly shows in both trees: the best partner in the other tree is a trait too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Dict, List, Tuple

import numpy as np

from .region_tree import Growth, Tree

MASKS_PER_PROMPT = 3
SCALES = ("full", "half")

# Fitted on 2026-11-21: the IoU of the pick with the highest expectation (as a steep softmax) and a
# fifth of the log-likelihood of a softmax over the nodes, with the chance of a node times the
# fourth power of its IoU; drawn towards the weights of the earlier single tree, and those of the
# two trees towards each other; a mean of two such fits. Data: `denmark` (parcels left of column
# 113), `naip_midwest` (pictures 1-22 at a half and a quarter of their size, the middle of every
# third one at full size), `ontario` 1921 and 1924 and 24 generated scenes from seed 4,000,100;
# `bench/bench_segmenters.py` measures on the rest. With two patches of Ontario the weights of the
# half-size tree are the least certain.
UTILITY: Dict[str, Dict[str, float]] = {
    "full": {
        "merge": -1.32,
        "merge_squared": -0.96,
        "next_merge": 1.82,
        "life": 6.10,
        "compact": 2.12,
        "next_compact": -0.61,
        "step": 0.28,
        "next_contrast": 0.90,
        "next_deviation": -2.79,
        "evenness": 1.64,
    },
    "half": {
        "merge": -0.96,
        "merge_squared": -0.91,
        "next_merge": 1.96,
        "life": 5.62,
        "compact": 1.75,
        "next_compact": -1.03,
        "step": 0.22,
        "next_contrast": 0.87,
        "next_deviation": -2.57,
        "evenness": 2.85,
    },
}
"""Per tree, weights of a node's own traits; see :class:`.region_tree.Growth`."""
RIVALRY: Dict[str, Dict[str, float]] = {
    "full": {
        "contrast_above": -2.95,
        "compact_above": 1.88,
        "compact_below": -1.11,
        "life_above": 3.35,
        "agreement": 0.58,
        "scale": 0.00,
    },
    "half": {
        "contrast_above": -3.38,
        "compact_above": 0.28,
        "compact_below": -0.02,
        "life_above": 5.30,
        "agreement": 0.32,
        "scale": -4.97,
    },
}
"""Per tree, weights of the lead that the best node above or below has in a trait, of the logit of
the `agreement` with the other tree, and the tree's own constant (`scale`)."""

_AGREEMENT_MARGIN = 0.02
"""Keeps the logit of an overlap of 0 or 1 finite."""
_STORED = ("utility", "contrast", "compact", "life")


@dataclass(frozen=True)
class View:
    """One tree on the grid of the picture."""

    scale: str
    ranks: np.ndarray
    """(H, W) int32, rank of the leaf of each pixel."""
    leaf: np.ndarray
    """(leaves,) int32, leaf of each rank."""
    tree: Tree
    traits: Mapping[str, np.ndarray]
    """(nodes,) float64 each, what the choice needs."""

    @classmethod
    def stored(cls, data: Mapping[str, np.ndarray], scale: str) -> View:
        """Read back what :func:`pack` has written."""
        tree = Tree(*(data[f"{scale}_{name}"] for name in ("first", "end", "parent")))
        traits = {name: data[f"{scale}_{name}"] for name in _STORED}
        return cls(scale, data[f"{scale}_ranks"], data[f"{scale}_leaf"], tree, traits)

    def path(self, pixel: Tuple[int, int]) -> np.ndarray:
        """(k,) nodes around a pixel (row, column), from its leaf to the root."""
        return self.tree.path(int(self.leaf[self.ranks[pixel]]))

    def steps(self, path: np.ndarray, window: Tuple[slice, slice]) -> np.ndarray:
        """(h, w) int64: position of the first node of a path that covers each pixel."""
        rank = np.arange(self.leaf.size)
        outside = ~self.tree.covers(path[:, None], rank[None])
        return outside.sum(axis=0)[self.ranks[window]]

    def draw(self, node: int) -> np.ndarray:
        """(H, W) bool: the pixels of a node."""
        return self.tree.draw(self.ranks, node)


def pack(growth: Growth, scale: str, shape: Tuple[int, int]) -> Dict[str, np.ndarray]:
    """What an embedding keeps of a tree.

    :param shape: height and width of the picture in pixels, which the ranks are brought to.
    """
    tree, traits, ranks = growth.tree, growth.traits, growth.ranks
    leaves = int(ranks.max()) + 1
    if scale == "half":
        ranks = ranks.repeat(2, axis=0).repeat(2, axis=1)[: shape[0], : shape[1]]
    weights = UTILITY[scale]
    kept = {
        "ranks": np.ascontiguousarray(ranks),
        "leaf": np.argsort(tree.first[:leaves]).astype(np.int32),
        "first": tree.first,
        "end": tree.end,
        "parent": tree.parent,
        "utility": np.sum([weight * traits[name] for name, weight in weights.items()], axis=0),
        **{name: traits[name] for name in _STORED[1:]},
    }
    return {f"{scale}_{name}": values for name, values in kept.items()}


def _lead_above(values: np.ndarray) -> np.ndarray:
    """How far the best proper ancestor exceeds each node of a path; the root does not count."""
    best = np.full(values.size, -np.inf)
    if values.size > 2:
        best[:-2] = np.maximum.accumulate(values[-2:0:-1])[::-1]
    return np.where(np.isfinite(best), np.clip(best - values, -1, 2), 0)


def _lead_below(values: np.ndarray) -> np.ndarray:
    """How far the best node further down exceeds each node of a path."""
    best = np.maximum.accumulate(values)
    return np.clip(np.concatenate([values[:1], best[:-1]]) - values, -1, 2)


def _preference(view: View, path: np.ndarray, agreement: np.ndarray) -> np.ndarray:
    """(k,) logarithm of the chance of each node of a path, up to a constant.

    :param agreement: (k,) highest IoU with a node of the other tree.
    """
    contrast, compact, life = (view.traits[name][path] for name in _STORED[1:])
    rivalry = RIVALRY[view.scale]
    odds = (agreement + _AGREEMENT_MARGIN) / (1 + _AGREEMENT_MARGIN - agreement)
    return (
        view.traits["utility"][path]
        + rivalry["contrast_above"] * _lead_above(contrast)
        + rivalry["compact_above"] * _lead_above(compact)
        + rivalry["compact_below"] * _lead_below(compact)
        + rivalry["life_above"] * _lead_above(life)
        + rivalry["agreement"] * np.log(odds)
        + rivalry["scale"]
    )


@dataclass(frozen=True)
class Candidates:
    """The k nodes of both trees around a point."""

    view: Tuple[View, ...]
    """(k,)"""
    node: np.ndarray
    """(k,) int64, number in the tree of the view."""
    area: np.ndarray
    """(k,) int64, pixels within the window."""
    overlap: np.ndarray
    """(k, k) float64, IoU of every two within the window."""
    chances: np.ndarray
    """(k,) float64: being the wanted field, from the picture alone; sums to 1."""

    def hold(self, pixel: Tuple[int, int]) -> np.ndarray:
        """(k,) bool: which contain a pixel (row, column)."""
        inside = [v.tree.covers(n, v.ranks[pixel]) for v, n in zip(self.view, self.node)]
        return np.array(inside, dtype=bool)

    def draw(self, index: int) -> np.ndarray:
        """(H, W) bool: the pixels of one candidate."""
        return self.view[index].draw(self.node[index])


def candidates(
    views: Sequence[View], pixel: Tuple[int, int], window: Tuple[slice, slice]
) -> Candidates:
    """All nodes around a pixel (row, column); areas and overlaps within a window."""
    paths = [view.path(pixel) for view in views]
    count = paths[0].size
    everywhere = (slice(None), slice(None))
    area, overlap = _compare(views, paths, everywhere)
    agreement = np.concatenate(
        [overlap[:count, count:].max(axis=1), overlap[count:, :count].max(axis=1)]
    )
    parts = np.split(agreement, [count])
    total = np.concatenate([_preference(*each) for each in zip(views, paths, parts)])
    if window != everywhere:
        area, overlap = _compare(views, paths, window)
    chances = np.exp(total - total.max())
    owner = tuple(view for view, path in zip(views, paths) for _ in path)
    return Candidates(owner, np.concatenate(paths), area, overlap, chances / chances.sum())


def _compare(
    views: Sequence[View], paths: Sequence[np.ndarray], window: Tuple[slice, slice]
) -> Tuple[np.ndarray, np.ndarray]:
    """(k,) pixels of all nodes of two paths and (k, k) IoU of every two, within a window."""
    rows, columns = (view.steps(path, window) for view, path in zip(views, paths))
    shape = (paths[0].size, paths[1].size)
    cells = np.bincount((rows * shape[1] + columns).ravel(), minlength=shape[0] * shape[1])
    common = cells.reshape(shape).cumsum(axis=0).cumsum(axis=1)
    # The roots hold the whole window.
    area = np.concatenate([common[:, -1], common[-1]])
    # Nodes of a path are nested: the smaller one is what two have in common.
    shared = np.minimum.outer(area, area)
    shared[: shape[0], shape[0] :] = common
    shared[shape[0] :, : shape[0]] = common.T
    return area, shared / np.maximum(np.add.outer(area, area) - shared, 1)


def three(chances: np.ndarray, overlap: np.ndarray) -> Tuple[List[int], np.ndarray]:
    """Positions of three candidates, and the overlap to expect from every candidate.

    The first pick has the highest expected IoU; the others add most to the expected IoU of the
    best of the three.

    :param chances: (k,), sums to 1.
    :param overlap: (k, k) IoU of every two.
    """
    expected = overlap @ chances
    picks = [int(np.argmax(expected))]
    covered = overlap[picks[0]]
    while len(picks) < MASKS_PER_PROMPT:
        gain = np.maximum(overlap, covered) @ chances
        gain[picks] = -1
        picks.append(int(np.argmax(gain)) if gain.max() > 0 else picks[0])
        covered = np.maximum(covered, overlap[picks[-1]])
    return picks, expected
