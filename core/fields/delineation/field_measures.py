"""Numbers that say how mixed a field looks: share of edges inside it, entropy of its colours.

All fields of a picture are measured at once on its labels, so the cost does not depend on their
number (specification B2, B5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np
from scipy import ndimage

from ..edges import EdgeLimits, edges_of

RIM = 3
"""Pixels by which a field is eroded; edges in what is left lie inside it."""
_LEVELS = 256
_COUNTED_AT_ONCE = 2048
"""Fields whose histograms are in memory together, 2 MB for 1,000 of them."""


@dataclass(frozen=True)
class FieldMeasures:
    """Numbers of n fields."""

    pixels: np.ndarray
    """(n,) int64."""
    edge_ratio: np.ndarray
    """(n,) float32, 0..1: share of the edge pixels on a field and its outline that lie inside; 0
    where there are none. With several dates that of the date that shows most."""
    entropy: np.ndarray
    """(n,) float32 bits, 0..8: Shannon entropy of the 256 values of a channel, mean of the three
    channels; with several dates the largest."""


def field_measures(
    images: Sequence[np.ndarray],
    labels: np.ndarray,
    valid: Optional[np.ndarray] = None,
    limits: Optional[EdgeLimits] = None,
    count: Optional[int] = None,
) -> FieldMeasures:
    """Measure all fields of a picture.

    :param images: 1 or more dates, (H, W, 3) uint8 each.
    :param labels: (H, W) integers: 1..n on the fields, 0 beside them.
    :param valid: (H, W) bool, None for all; other pixels do not count.
    :param count: n, where the last fields may have no pixel.
    """
    if valid is not None:
        labels = np.where(valid, labels, 0)
    count = int(labels.max(initial=0)) if count is None else count
    inner = _inner(labels)
    ratios = [_edge_ratio(edges_of(image, valid, limits), labels, inner, count) for image in images]
    entropies = [_entropy(image, labels, count) for image in images]
    pixels = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return FieldMeasures(pixels, np.max(ratios, axis=0), np.max(entropies, axis=0))


def scene_median(entropy: np.ndarray, pixels: np.ndarray) -> float:
    """The entropy of the field in which the middle pixel of all fields lies; 0 without fields.

    Small fields are many and have few values, so that a median over fields says more of their
    size than of the scene.

    :param entropy: (n,) bits.
    :param pixels: (n,) sizes of the fields.
    """
    if not len(entropy):
        return 0.0
    order = np.argsort(entropy, kind="stable")
    sums = np.cumsum(pixels[order])
    return float(entropy[order][np.searchsorted(sums, sums[-1] / 2)])


def _inner(labels: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels that an erosion of their own field leaves.

    The border of the picture does not erode: a field goes on behind it.
    """
    around = np.pad(labels, 1, mode="edge")
    inner = labels > 0
    for rows, cols in ((0, 1), (2, 1), (1, 0), (1, 2)):
        height, width = labels.shape
        inner &= labels == around[rows : rows + height, cols : cols + width]
    # What is left of a field has neighbours of the same field only: from here on masks will do.
    return ndimage.binary_erosion(inner, iterations=RIM - 1, border_value=1)


def _edge_ratio(
    edges: np.ndarray, labels: np.ndarray, inner: np.ndarray, count: int
) -> np.ndarray:
    """(n,) float32; an edge beside a field belongs to its outline, and to both its fields."""
    rows, cols = np.nonzero(edges)
    around = np.pad(labels, 1)
    owners = np.stack(
        [
            around[1 + rows + down, 1 + cols + right]
            for down, right in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
        ]
    )
    owners.sort(axis=0)
    owners[1:][owners[1:] == owners[:-1]] = 0
    total = np.bincount(owners.ravel(), minlength=count + 1)[1:]
    inside = np.bincount(labels[edges & inner], minlength=count + 1)[1:]
    return (inside / np.maximum(total, 1)).astype(np.float32)


def _entropy(image: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """(n,) float32 bits."""
    place = np.flatnonzero(labels)
    owner = labels.ravel()[place].astype(np.int64) - 1
    values = image.reshape(-1, image.shape[2])[place]
    found = np.zeros(count, dtype=np.float64)
    for first in range(0, count, _COUNTED_AT_ONCE):
        last = min(first + _COUNTED_AT_ONCE, count)
        chosen = slice(None) if last - first == count else (owner >= first) & (owner < last)
        for channel in values[chosen].T:
            cells = (owner[chosen] - first) * _LEVELS + channel
            found[first:last] += _bits(np.bincount(cells, minlength=(last - first) * _LEVELS))
    return (found / image.shape[2]).astype(np.float32)


def _bits(counts: np.ndarray) -> np.ndarray:
    """(k,) float64: Shannon entropy of k histograms of 256 values; 0 of an empty one."""
    table = counts.reshape(-1, _LEVELS)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    return -(share * np.log2(np.where(share > 0, share, 1.0))).sum(axis=1)
