"""Where the fields of a raster are wide: the opening of all labels at once with a digital disc."""

from __future__ import annotations

import math
from typing import List, Tuple

import numpy as np

from ...monitor import SILENT, Monitor
from .runs import strips

_ROUNDNESS = 0.25
"""Pixels whose centre is this much outside the circle through the outermost centres count, so
that a disc of 2 pixels is a square, of 3 a cross, of 4 a square without its corners."""

Chord = Tuple[int, int, int]
"""A row of a disc: row, first column, length."""


def wide_pixels(labels: np.ndarray, width: float, monitor: Monitor = SILENT) -> np.ndarray:
    """(H, W) bool: pixels that a disc of this width covers while it lies within one label.

    Outside the raster no disc finds a place.

    :param labels: (H, W) int32, at least one pixel.
    :param width: in pixels, rounded up.
    :raises Cancelled:
    """
    size, (height, across) = math.ceil(width), labels.shape
    chords = _disc(size)
    found = np.empty(labels.shape, dtype=bool)
    for top, bottom in strips(height, across, monitor):
        first, last = max(0, top - size), min(height, bottom + size)
        beyond = (size - (top - first), size - (last - bottom))
        padded = np.pad(labels[first:last], (beyond, (size, size)), constant_values=-1)
        found[top:bottom] = _opened(padded, chords)[size:-size, size:-size]
    return found


def _disc(size: int) -> List[Chord]:
    middle = (size - 1) / 2
    at = np.arange(size) - middle
    inside = np.hypot(at[:, None], at) <= middle + _ROUNDNESS
    return [(row, int(line.argmax()), int(line.sum())) for row, line in enumerate(inside)]


def _opened(labels: np.ndarray, chords: List[Chord]) -> np.ndarray:
    """(h, w) bool: covered by a disc within one label, all of it on the array."""
    places = _places(labels, chords)
    covered = np.zeros(labels.shape, dtype=bool)
    height, width = places.shape
    for row, first, length in chords:
        for col in range(first, first + length):
            covered[row : row + height, col : col + width] |= places
    return covered


def _places(labels: np.ndarray, chords: List[Chord]) -> np.ndarray:
    """(h - size + 1, w - size + 1) bool: the disc may lie with its box's upper left pixel here."""
    size = len(chords)
    height, width = labels.shape[0] - size + 1, labels.shape[1] - size + 1
    along, down = labels[:, 1:] == labels[:, :-1], labels[1:] == labels[:-1]
    fits = np.ones((height, width), dtype=bool)
    for row, first, length in chords:
        for col in range(first, first + length - 1):
            fits &= along[row : row + height, col : col + width]
    for row in range(size - 1):
        fits &= down[row : row + height, size // 2 : size // 2 + width]
    return fits
