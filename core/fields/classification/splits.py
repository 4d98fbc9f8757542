"""Which fields test which: whole pictures or whole blocks of land, never neighbours of each other.

Neighbouring fields share soil, weather, light and often the farmer, so a classifier that has seen
one knows the other. Folds are therefore made of groups.
"""

from __future__ import annotations

from typing import Hashable, Optional, Sequence

import numpy as np

_BLOCKS = 25
"""Blocks that the land is cut into unless told otherwise, if it is square."""


def group_numbers(names: Sequence[Hashable]) -> np.ndarray:
    """(n,) int: the same number for the same name, in the order of first sight."""
    known: dict = {}
    return np.array([known.setdefault(name, len(known)) for name in names], np.int64)


def blocks_of(x: np.ndarray, y: np.ndarray, side: Optional[float] = None) -> np.ndarray:
    """(n,) int: the square block of land that each field's middle lies in.

    :param x: (n,) float, metres on any plane.
    :param side: of a block in metres; None: so that a square area has 25.
    """
    width, height = np.ptp(x), np.ptp(y)
    if side is None:
        longer = max(width, height)
        side = max(np.sqrt(width * height / _BLOCKS), longer / _BLOCKS)
    if side <= 0:
        return np.zeros(len(x), np.int64)
    cols, rows = ((values - values.min()) // side for values in (x, y))
    return group_numbers(list(zip(rows.tolist(), cols.tolist())))


def folds_of(
    groups: np.ndarray, labels: np.ndarray, classes: int, folds: int, seed: int
) -> np.ndarray:
    """(n,) int, 0..folds-1: the fold of each field; a group is never parted.

    Large groups first; each goes where it keeps the classes evenly spread.

    :param groups: (n,) int from 0 on.
    :param labels: (n,) int, 0..classes-1.
    :param folds: fewer where there are fewer groups.
    """
    count = int(groups.max()) + 1
    folds = min(folds, count)
    held = np.zeros((count, classes))
    np.add.at(held, (groups, labels), 1)
    shares = held / np.maximum(held.sum(axis=0), 1)
    order = np.random.default_rng(seed).permutation(count)
    order = order[np.argsort(-held[order].sum(axis=1), kind="stable")]
    filled = np.zeros((folds, classes))
    fold_of = np.zeros(count, np.int64)
    for group in order:
        spread = [_spread(filled, fold, shares[group]) for fold in range(folds)]
        fold_of[group] = int(np.argmin(spread))
        filled[fold_of[group]] += shares[group]
    return fold_of[groups]


def _spread(filled: np.ndarray, fold: int, added: np.ndarray) -> float:
    """How uneven the folds are once a group is added to one; fewer fields break ties."""
    after = filled.copy()
    after[fold] += added
    return float((after**2).sum())
