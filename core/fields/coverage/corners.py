"""Corners of a raster of labels, and the straight segments between them.

A corner is a point of the pixel lattice where an edge between different labels turns or meets
another. What lies outside the raster counts as label 0. Directions are numbered 0: right
(+x), 1: down (+y), 2: left, 3: up; the left hand side of a direction is the one after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np

from ...monitor import SILENT, Monitor
from .runs import strips

STEP_X = np.array([1, 0, -1, 0])
STEP_Y = np.array([0, 1, 0, -1])


@dataclass(frozen=True)
class Corners:
    """Corners in reading order."""

    x: np.ndarray
    y: np.ndarray
    """(n,) int32 lattice coordinates, 0..W and 0..H."""
    edges: np.ndarray
    """(n,) uint8: bit d is set where an edge leaves in direction d."""
    node: np.ndarray
    """(n,) bool: three or more edges meet, or an edge meets the border of the raster."""
    pinch: np.ndarray
    """(n,) bool: two fields meet at the corner only; there is one corner for each of them."""


@dataclass(frozen=True)
class Segments:
    """Straight pieces of edges, each directed so that the larger label is on its left."""

    tail: np.ndarray
    head: np.ndarray
    """(n,) int32 corners."""
    direction: np.ndarray
    """(n,) int8."""
    left: np.ndarray
    right: np.ndarray
    """(n,) int32 labels; left > right."""


def corners_of(labels: np.ndarray, monitor: Monitor = SILENT) -> Corners:
    """The corners of a raster.

    :param labels: (H, W) int32.
    :raises Cancelled:
    """
    height, width = labels.shape
    found: List[Tuple[np.ndarray, np.ndarray]] = []
    for top, bottom in strips(height + 1, width + 1, monitor):
        edges = _edges(_framed(labels, top, bottom))
        turns = np.flatnonzero(((edges & 5) != 0) & ((edges & 10) != 0))
        found.append((turns + top * (width + 1), edges.ravel()[turns]))
    flat, edges = (np.concatenate(part) for part in zip(*found))
    y, x = np.divmod(flat, width + 1)
    degree = np.unpackbits(edges[:, None], axis=1).sum(axis=1)
    border = (x == 0) | (x == width) | (y == 0) | (y == height)
    node = (degree > 2) | border
    return Corners(x.astype(np.int32), y.astype(np.int32), edges, node, np.zeros_like(node))


def _framed(labels: np.ndarray, top: int, bottom: int) -> np.ndarray:
    """The pixel rows around the lattice rows top..bottom - 1, framed by zeros."""
    height, width = labels.shape
    framed = np.zeros((bottom - top + 1, width + 2), dtype=labels.dtype)
    first, last = max(top - 1, 0), min(bottom, height)
    framed[first - top + 1 : last - top + 1, 1:-1] = labels[first:last]
    return framed


def _edges(pixels: np.ndarray) -> np.ndarray:
    """(h - 1, w - 1) uint8 bits of the edges at the points between (h, w) pixels."""
    across = (pixels[:, 1:] != pixels[:, :-1]).view(np.uint8)
    along = (pixels[1:] != pixels[:-1]).view(np.uint8)
    return along[:, 1:] | (across[1:] << 1) | (along[:, :-1] << 2) | (across[:-1] << 3)


def segments_of(corners: Corners, labels: np.ndarray) -> Segments:
    """The segments between neighbouring corners of a row or a column."""
    right = np.flatnonzero(corners.edges & 1).astype(np.int32)
    columns = np.argsort(corners.x, kind="stable").astype(np.int32)
    at = np.flatnonzero(corners.edges[columns] & 2)
    down = columns[at]
    below, above = _sides(corners, labels, right, 0)
    before, behind = _sides(corners, labels, down, 1)
    return _directed(
        np.concatenate((right, down)),
        np.concatenate((right + 1, columns[at + 1])),
        np.repeat(np.array([0, 1], np.int8), (right.size, down.size)),
        np.concatenate((below, before)),
        np.concatenate((above, behind)),
    )


def _sides(
    corners: Corners, labels: np.ndarray, tails: np.ndarray, direction: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Labels to the left and right of the segments that leave corners in a direction."""
    x, y = corners.x[tails], corners.y[tails]
    left = _label_at(labels, *side_pixel(x, y, direction, True))
    return left, _label_at(labels, *side_pixel(x, y, direction, False))


def side_pixel(
    x: np.ndarray, y: np.ndarray, direction: np.ndarray, left: bool
) -> Tuple[np.ndarray, np.ndarray]:
    """Column and row of the pixel ahead of a corner, on one side of a direction."""
    side = (np.asarray(direction) + (1 if left else 3)) % 4
    across, down = STEP_X[direction] + STEP_X[side], STEP_Y[direction] + STEP_Y[side]
    return x + (across - 1) // 2, y + (down - 1) // 2


def _label_at(labels: np.ndarray, col: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Labels of pixels; 0 outside the raster."""
    height, width = labels.shape
    inside = (col >= 0) & (col < width) & (row >= 0) & (row < height)
    found = np.zeros(len(col), dtype=np.int32)
    found[inside] = labels[row[inside], col[inside]]
    return found


def _directed(
    tail: np.ndarray, head: np.ndarray, direction: np.ndarray, left: np.ndarray, right: np.ndarray
) -> Segments:
    turned = left < right
    return Segments(
        np.where(turned, head, tail),
        np.where(turned, tail, head),
        np.where(turned, direction + 2, direction).astype(np.int8),
        np.maximum(left, right),
        np.minimum(left, right),
    )
