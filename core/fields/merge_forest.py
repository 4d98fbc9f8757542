"""What was joined with what: roots of a forest, leaves of a tree of merges in a useful order."""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np


def settled(above: np.ndarray) -> np.ndarray:
    """The root of each node of a forest.

    :param above: (n,) int, the node above each; a root is above itself.
    :return: (n,) of the same type.
    """
    while True:
        further = above[above]
        if np.array_equal(further, above):
            return above
        above = further


def numbered(root: np.ndarray) -> np.ndarray:
    """Roots as `settled` gives them -> (n,) int32 numbers 0..k-1 in the order of the roots."""
    numbers = np.cumsum(root == np.arange(root.size), dtype=np.int32) - 1
    return numbers[root]


def ranked(
    halves: Sequence[Sequence[int]], leaves: int
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leaves of a binary tree in an order in which every node covers a run of them.

    :param halves: for each node the two that it was made of, which come before it; the first
        `leaves` are not looked at, the last node is the root.
    :return: each (nodes,) int64: rank of the first leaf of each node, one past the rank of its
        last leaf, and the node that it is a half of; the root has -1.
    """
    count = len(halves)
    width = [1] * leaves + [0] * (count - leaves)
    for node in range(leaves, count):
        a, b = halves[node]
        width[node] = width[a] + width[b]
    start, parent = [0] * count, [-1] * count
    for node in range(count - 1, leaves - 1, -1):
        a, b = halves[node]
        parent[a] = parent[b] = node
        start[a], start[b] = start[node], start[node] + width[a]
    first = np.array(start, dtype=np.int64)
    return first, first + np.array(width, dtype=np.int64), np.array(parent, dtype=np.int64)
