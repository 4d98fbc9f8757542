"""Pure functions on boolean masks: the component at a prompt, holes, erosion, the choice of one.

Masks are (H, W) bool arrays and are never changed in place. Pixel coordinates are those of
:mod:`.segmenter`: x to the right, y downwards, the centre of the upper left pixel at (0.5, 0.5).
"""

from __future__ import annotations

from enum import Enum
from typing import Optional, Tuple

import numpy as np
from scipy import ndimage

MINIMUM_PIXELS = 4
"""A mask smaller than this cannot be told from noise; the rule `finest` passes over it."""

SPREAD_LIMIT = 0.25
"""Widest 10th-90th percentile range of the feature that `balanced` accepts as one field."""

_SPREAD_PERCENTILES = (10.0, 90.0)


class MaskRule(str, Enum):
    """How one mask is chosen among the answers to a prompt."""

    FINEST = "finest"
    """The smallest mask that is not just noise: cautious, stays within the field."""
    BEST = "best"
    """The mask with the highest score of the engine."""
    BALANCED = "balanced"
    """The largest mask that is still homogeneous in a feature such as NDVI."""


def pixel_at(shape: Tuple[int, int], x: float, y: float) -> Optional[Tuple[int, int]]:
    """Row and column of the pixel under a point, or None when the point lies off the grid.

    :param shape: height and width in pixels.
    :param x: pixels to the right; the right border itself belongs to the last column.
    :param y: pixels downwards; the lower border itself belongs to the last row.
    """
    height, width = shape
    if not (0 <= x <= width and 0 <= y <= height):
        return None
    return min(int(y), height - 1), min(int(x), width - 1)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two (H, W) bool masks, 0 where both are empty."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def iou_in_place(
    a: np.ndarray, a_corner: Tuple[int, int], b: np.ndarray, b_corner: Tuple[int, int]
) -> float:
    """Intersection over union of two (h, w) bool masks that lie somewhere on the same grid.

    :param a_corner: row and column of the upper left pixel of `a`; likewise for `b`.
    """
    top, left = max(a_corner[0], b_corner[0]), max(a_corner[1], b_corner[1])
    bottom = min(a_corner[0] + a.shape[0], b_corner[0] + b.shape[0])
    right = min(a_corner[1] + a.shape[1], b_corner[1] + b.shape[1])
    if bottom <= top or right <= left:
        return 0.0
    parts = (
        mask[top - row : bottom - row, left - col : right - col]
        for mask, (row, col) in ((a, a_corner), (b, b_corner))
    )
    shared = int(np.count_nonzero(np.logical_and(*parts)))
    return shared / max(int(np.count_nonzero(a)) + int(np.count_nonzero(b)) - shared, 1)


def component_at(mask: np.ndarray, x: float, y: float) -> np.ndarray:
    """The 4-connected component that contains the pixel under a point.

    :param mask: (H, W) bool.
    :param x: pixels to the right.
    :param y: pixels downwards.
    :return: (H, W) bool; empty when the point is off the grid or its pixel is not in the mask.
    """
    pixel = pixel_at(mask.shape, x, y)
    if pixel is None or not mask[pixel]:
        return np.zeros(mask.shape, dtype=bool)
    labels, _ = ndimage.label(mask)
    return labels == labels[pixel]


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """The mask with every hole filled that does not touch the border of the array.

    :param mask: (H, W) bool.
    :return: (H, W) bool.
    """
    return ndimage.binary_fill_holes(mask)


def erode(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The mask without its outermost rim; the border of the array does not erode.

    A field cut off by the edge of its image goes on behind it, so that side keeps its pixels.

    :param mask: (H, W) bool.
    :param pixels: width of the rim, 0 or more, in steps between 4-neighbours.
    :return: (H, W) bool.
    """
    if pixels <= 0:
        return mask.copy()
    return ndimage.binary_erosion(mask, iterations=pixels, border_value=1)


def spread(mask: np.ndarray, feature: np.ndarray) -> float:
    """Range between the 10th and the 90th percentile of a feature within a mask.

    :param mask: (H, W) bool.
    :param feature: (H, W) float; pixels that are not finite are left out.
    :return: in the unit of the feature; infinity when no pixel is finite.
    """
    values = feature[mask]
    values = values[np.isfinite(values)]
    if not values.size:
        return float("inf")
    low, high = np.percentile(values, _SPREAD_PERCENTILES)
    return float(high - low)


def choose(
    masks: np.ndarray,
    scores: np.ndarray,
    rule: MaskRule,
    feature: Optional[np.ndarray] = None,
    limit: float = SPREAD_LIMIT,
) -> int:
    """Index of the mask that a rule picks among the answers to one prompt.

    :param masks: (m, H, W) bool, in any order.
    :param scores: (m,) float, higher is better.
    :param rule: a rule or its name.
    :param feature: (H, W) float, for `balanced`; without it that rule acts as `finest`.
    :param limit: for `balanced`: the widest spread accepted, in the unit of the feature.
    :return: 0..m-1. Empty masks are picked only when all are empty.
    """
    rule = MaskRule(rule)
    areas = masks.reshape(len(masks), -1).sum(axis=1)
    if rule is MaskRule.BEST:
        return int(np.argmax(np.where(areas > 0, scores, -np.inf)))
    if rule is MaskRule.BALANCED and feature is not None:
        even = _homogeneous(masks, areas, feature, limit)
        if even.any():
            return int(np.argmax(np.where(even, areas, -1)))
    return _finest(areas)


def _homogeneous(
    masks: np.ndarray, areas: np.ndarray, feature: np.ndarray, limit: float
) -> np.ndarray:
    """(m,) bool: large enough and with a spread under the limit."""
    return np.array(
        [
            area >= MINIMUM_PIXELS and spread(mask, feature) < limit
            for mask, area in zip(masks, areas)
        ],
        dtype=bool,
    )


def _finest(areas: np.ndarray) -> int:
    """Index of the smallest mask of at least the minimum size, else of the largest mask."""
    usable = areas >= MINIMUM_PIXELS
    if not usable.any():
        return int(np.argmax(areas))
    return int(np.argmin(np.where(usable, areas, np.iinfo(np.int64).max)))
