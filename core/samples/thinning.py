"""One pixel, one sample: conflicts between classes, duplicates, numbers and spacing.

All choices follow the distance to the reference, then the place of the pixel, so that they do
not depend on the order of the references.
"""

from __future__ import annotations

from enum import Enum
from typing import Tuple

import numpy as np
from scipy.spatial import cKDTree


class ConflictPolicy(str, Enum):
    """What becomes of a pixel that references of different classes claim."""

    DROP = "drop"
    """Nobody gets it."""
    BEST = "best"
    """The reference with the most similar profile gets it."""


def resolve_claims(
    pixel: np.ndarray, label: np.ndarray, distance: np.ndarray, policy: ConflictPolicy
) -> Tuple[np.ndarray, np.ndarray]:
    """Settle pixels that are claimed more than once.

    :param pixel: (n,) int64 pixel keys.
    :param label: (n,) int class codes.
    :param distance: (n,) float64, none NaN; the smallest claim is the best.
    :returns: (n,) bool lost to a conflict between classes, (n,) bool lost as a duplicate.
    """
    order = np.lexsort((label, distance, pixel))
    sorted_pixel, sorted_label = pixel[order], label[order]
    first = np.r_[True, sorted_pixel[1:] != sorted_pixel[:-1]][: len(order)]
    group = np.cumsum(first) - 1
    winner = sorted_label[first][group] if len(order) else sorted_label
    other_class = sorted_label != winner
    disputed = np.bincount(group, weights=other_class)[group] > 0 if len(order) else other_class
    conflict, duplicate = np.zeros(len(pixel), bool), np.zeros(len(pixel), bool)
    lost = disputed if policy is ConflictPolicy.DROP else other_class
    conflict[order] = lost
    duplicate[order] = ~first & ~lost
    return conflict, duplicate


def thin(
    owner: np.ndarray,
    rows: np.ndarray,
    cols: np.ndarray,
    distance: np.ndarray,
    most: int,
    spacing_px: Tuple[float, float],
) -> np.ndarray:
    """Keep at most `most` samples a reference (0: all), none closer than the spacing.

    The most similar profiles stay; the spacing holds between all samples, whoever owns them.

    :param spacing_px: smallest distance along rows and columns in pixels; (0, 0): none.
    :returns: (n,) bool, True for those that stay.
    """
    order = np.lexsort((cols, rows, distance))
    stays = np.zeros(len(owner), dtype=bool)
    spaced = max(spacing_px) > 0
    stays[order] = _spaced(rows[order], cols[order], spacing_px) if spaced else True
    if most > 0:
        chosen = order[stays[order]]
        stays[chosen] = _rank_within(owner[chosen]) < most
    return stays


def _spaced(rows: np.ndarray, cols: np.ndarray, spacing_px: Tuple[float, float]) -> np.ndarray:
    """Greedy in the order given: a point stays unless a kept one is closer than 1 spacing."""
    places = np.column_stack((rows / spacing_px[0], cols / spacing_px[1]))
    tree = cKDTree(places)
    stays = np.ones(len(rows), dtype=bool)
    for k, neighbours in enumerate(tree.query_ball_point(places, 1 - 1e-9)):
        if stays[k]:
            near = np.array(neighbours)
            stays[near[near > k]] = False
    return stays


def _rank_within(owner: np.ndarray) -> np.ndarray:
    """0 for the first entry of each owner, 1 for its second and so on."""
    order = np.argsort(owner, kind="stable")
    grouped = owner[order]
    start = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]][: len(grouped)])
    sizes = np.diff(np.r_[start, len(grouped)])
    rank = np.empty(len(owner), dtype=np.int64)
    rank[order] = np.arange(len(grouped)) - np.repeat(start, sizes)
    return rank
