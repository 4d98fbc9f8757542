"""Extremely randomised trees (Geurts, Ernst and Wehenkel 2006) with numpy alone.

Every tree sees all fields. At each node a few features are drawn, each with one threshold between
its least and its greatest value there, and the one that parts the classes best is taken. All trees
grow together, level by level, so that a level costs a few calls of numpy and not one for each node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np

from ...monitor import SILENT, Monitor

_TOGETHER = 100_000
"""Fields x trees that grow at the same time: more would not fit the processor's cache."""
_CHUNK = 256
"""Fields that are classified at the same time."""


@dataclass(frozen=True)
class ForestOptions:
    """How a forest grows."""

    trees: int = 300
    least_leaf: int = 2
    """Fields that a leaf holds at least."""
    deepest: int = 40
    balanced: bool = True
    """Each class weighs the same, however many fields it has."""
    seed: int = 0


@dataclass(frozen=True)
class Forest:
    """Trees as flat arrays of k nodes; the first nodes of all trees are `roots`."""

    roots: np.ndarray
    """(t,) int32."""
    feature: np.ndarray
    """(k,) int32: which feature is asked; -1 at leaves."""
    threshold: np.ndarray
    """(k,) float32: fields with at least this value go to the second child."""
    child: np.ndarray
    """(k,) int32: the first child, the second one follows it; -1 at leaves."""
    chances: np.ndarray
    """(k, c) float32: share of each class, by weight."""
    stand_in: np.ndarray
    """(f,) float32: what counts where a feature has no value."""
    importance: np.ndarray
    """(f,) float32: share of each feature in what all splits achieve; sums up to 1."""

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(n, c) float64: the mean over the trees of the shares in the leaves.

        :param features: (n, f) float, NaN where a value is missing.
        """
        filled = _filled(features, self.stand_in)
        parts = [self._of(filled[k : k + _CHUNK]) for k in range(0, len(filled), _CHUNK)]
        return np.concatenate([np.zeros((0, self.chances.shape[1])), *parts])

    def _of(self, features: np.ndarray) -> np.ndarray:
        """Each field goes down each tree; those that have arrived at a leaf are not moved again."""
        flat, width = features.ravel(), features.shape[1]
        node = np.tile(self.roots, len(features))
        moving = np.flatnonzero(self.feature[node] >= 0)
        start = moving // len(self.roots) * width
        while moving.size:
            here = node[moving]
            second = flat[start + self.feature[here]] >= self.threshold[here]
            below = self.child[here] + second
            node[moving] = below
            inner = self.feature[below] >= 0
            moving, start = moving[inner], start[inner]
        node = node.reshape(len(features), -1)
        total = np.zeros((len(features), self.chances.shape[1]))
        for tree in node.T:
            total += self.chances[tree]
        return total / len(self.roots)


def grow_forest(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    options: ForestOptions,
    monitor: Monitor = SILENT,
) -> Forest:
    """Grow a forest.

    :param features: (n, f) float, NaN where a value is missing; n is 1 or more.
    :param labels: (n,) int, 0..classes-1; a class may have no field.
    :raises Cancelled:
    """
    stand_in = _stand_in(features)
    filled = _filled(features, stand_in)
    weights = _weights(labels, classes, options.balanced)
    rng = np.random.default_rng(options.seed)
    batch = max(1, _TOGETHER // len(filled))
    groves: List[_Grove] = []
    for done in range(0, options.trees, batch):
        grove = _Grove(filled, labels, weights, classes, options, rng)
        groves.append(grove.grow(min(batch, options.trees - done), monitor))
        monitor.progress(min(1.0, (done + batch) / options.trees))
    return _joined(groves, stand_in)


@dataclass(frozen=True)
class _Splits:
    """The best split of each of m nodes so far; the arrays are filled in place."""

    feature: np.ndarray
    """(m,) int64; -1 where there is no split."""
    threshold: np.ndarray
    """(m,) float32."""
    gain: np.ndarray
    """(m,) float64."""

    @classmethod
    def none(cls, nodes: int) -> _Splits:
        """No split at any node."""
        return cls(np.full(nodes, -1), np.zeros(nodes, np.float32), np.zeros(nodes))

    @property
    def found(self) -> np.ndarray:
        """(m,) bool: nodes with a split."""
        return self.feature >= 0

    def improve(self, gain: np.ndarray, feature: np.ndarray, threshold: np.ndarray) -> None:
        """Take other splits where they gain more."""
        better = gain > self.gain
        self.gain[better] = gain[better]
        self.feature[better] = feature[better]
        self.threshold[better] = threshold[better]


class _Grove:
    """Some trees that grow together."""

    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        weights: np.ndarray,
        classes: int,
        options: ForestOptions,
        rng: np.random.Generator,
    ) -> None:
        self._features, self._labels, self._weights = features, labels, weights
        self._classes, self._options, self._rng = classes, options, rng
        self._drawn = max(1, int(round(np.sqrt(features.shape[1]))))
        self.trees = 0
        self.feature: List[np.ndarray] = []
        self.threshold: List[np.ndarray] = []
        self.child: List[np.ndarray] = []
        self.chances: List[np.ndarray] = []
        self.importance = np.zeros(features.shape[1])

    def grow(self, trees: int, monitor: Monitor) -> _Grove:
        """Grow so many trees, level by level; self.

        `rows` are fields, `slot` the node of this level that each is in, ascending.
        """
        self.trees = trees
        count = len(self._features)
        rows, slot = np.tile(np.arange(count), trees), np.repeat(np.arange(trees), count)
        nodes, first = trees, 0
        for depth in range(self._options.deepest + 1):
            monitor.check()
            counts = self._summed(slot, rows, nodes, self._weights[rows])
            divisible = (counts > 0).sum(axis=1) > 1
            divisible &= np.bincount(slot, minlength=nodes) >= 2 * self._options.least_leaf
            divisible &= depth < self._options.deepest
            rows, slot = _within(rows, slot, divisible)
            splits = self._splits(rows, slot, counts[divisible])
            first += nodes
            self._keep(splits, counts, divisible, first)
            nodes = 2 * int(splits.found.sum())
            if not nodes:
                break
            rows, slot = self._sent(rows, slot, splits)
        return self

    def _summed(
        self, slot: np.ndarray, rows: np.ndarray, nodes: int, weights: np.ndarray
    ) -> np.ndarray:
        """(m, c) weight of each class in each node."""
        places = slot * self._classes + self._labels[rows]
        total = np.bincount(places, weights, nodes * self._classes)
        return total.reshape(nodes, self._classes)

    def _splits(self, rows: np.ndarray, slot: np.ndarray, counts: np.ndarray) -> _Splits:
        """The best of the splits that are drawn for each node; every node has rows."""
        best = _Splits.none(len(counts))
        if not len(counts):
            return best
        sizes = np.bincount(slot)
        starts = np.append(0, np.cumsum(sizes)[:-1])
        weights, labels = self._weights[rows], self._labels[rows]
        places, bins = slot * self._classes + labels, counts.size
        base, least = _purity(counts), self._options.least_leaf
        for feature in self._drawn_features(len(counts)):
            values = self._features[rows, feature[slot]]
            low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
            threshold = low + self._rng.random(len(low), np.float32) * (high - low)
            threshold = np.where(threshold > low, threshold, high)
            second = values >= threshold[slot]
            right = np.bincount(places[second], weights[second], bins).reshape(counts.shape)
            many = np.bincount(slot[second], minlength=len(counts))
            fits = (high > low) & (many >= least) & (sizes - many >= least)
            gain = np.where(fits, _purity(right) + _purity(counts - right) - base, -1.0)
            best.improve(gain, feature, threshold)
        return best

    def _drawn_features(self, nodes: int) -> np.ndarray:
        """(d, m) int: features to be tried at each node, none twice."""
        order = self._rng.random((nodes, self._features.shape[1]), np.float32)
        return order.argpartition(self._drawn - 1, axis=1)[:, : self._drawn].T

    def _keep(
        self, splits: _Splits, counts: np.ndarray, divisible: np.ndarray, following: int
    ) -> None:
        """Add a level; `following` is the number of nodes up to its end."""
        feature = np.full(len(counts), -1)
        feature[divisible] = splits.feature
        threshold = np.zeros(len(counts), np.float32)
        threshold[divisible] = splits.threshold
        found = feature >= 0
        self.feature.append(feature)
        self.threshold.append(threshold)
        self.child.append(np.where(found, following + 2 * (np.cumsum(found) - 1), -1))
        self.chances.append(counts / counts.sum(axis=1, keepdims=True))
        gained = splits.found
        np.add.at(self.importance, splits.feature[gained], splits.gain[gained])

    def _sent(
        self, rows: np.ndarray, slot: np.ndarray, splits: _Splits
    ) -> Tuple[np.ndarray, np.ndarray]:
        """The fields of nodes that were split, in the nodes of the next level."""
        second = self._features[rows, splits.feature[slot]] >= splits.threshold[slot]
        kept = splits.found[slot]
        rows, slot = _within(rows, slot, splits.found)
        slot = 2 * slot + second[kept]
        order = np.argsort(slot, kind="stable")
        return rows[order], slot[order]


def _within(
    rows: np.ndarray, slot: np.ndarray, chosen: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """The fields in chosen nodes, (m,) bool, which are numbered anew."""
    kept = chosen[slot]
    return rows[kept], (np.cumsum(chosen) - 1)[slot[kept]]


def _purity(counts: np.ndarray) -> np.ndarray:
    """(m,) sum of squares over sum of (m, c) weights: what Gini's impurity leaves of the sum."""
    total = counts.sum(axis=1)
    squares = (counts**2).sum(axis=1)
    return np.divide(squares, total, out=np.zeros_like(total), where=total > 0)


def _weights(labels: np.ndarray, classes: int, balanced: bool) -> np.ndarray:
    """(n,) float64, 1 on average."""
    if not balanced:
        return np.ones(len(labels))
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[labels]


def _stand_in(features: np.ndarray) -> np.ndarray:
    """(f,) float32: the median of each feature, 0 where none has a value."""
    known = np.isfinite(features)
    medians = np.zeros(features.shape[1], np.float32)
    for column in np.flatnonzero(known.any(axis=0)):
        medians[column] = np.median(features[known[:, column], column])
    return medians


def _filled(features: np.ndarray, stand_in: np.ndarray) -> np.ndarray:
    """(n, f) float32 with a value everywhere."""
    return np.where(np.isfinite(features), features, stand_in).astype(np.float32)


def _joined(groves: List[_Grove], stand_in: np.ndarray) -> Forest:
    roots, children, offset = [], [], 0
    for grove in groves:
        child = np.concatenate(grove.child)
        roots.append(offset + np.arange(grove.trees))
        children.append(np.where(child >= 0, child + offset, -1))
        offset += len(child)
    importance = sum(grove.importance for grove in groves)
    total = float(importance.sum())
    return Forest(
        np.concatenate(roots).astype(np.int32),
        np.concatenate([level for grove in groves for level in grove.feature]).astype(np.int32),
        np.concatenate([level for g in groves for level in g.threshold]).astype(np.float32),
        np.concatenate(children).astype(np.int32),
        np.concatenate([level for g in groves for level in g.chances]).astype(np.float32),
        stand_in,
        (importance / total if total > 0 else importance).astype(np.float32),
    )
