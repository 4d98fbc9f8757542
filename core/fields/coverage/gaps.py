"""Narrow gaps between fields, given to the fields beside them."""

from __future__ import annotations

import math

import numpy as np

from ...monitor import SILENT, Monitor
from .widths import wide_pixels


def closed_gaps(labels: np.ndarray, widest: float, monitor: Monitor = SILENT) -> np.ndarray:
    """Labels with narrow gaps filled from both sides.

    A gap is what is no field and lies where no wider disc finds room: tracks of a pixel between
    fields and cuts into a field, but also the tips of what narrows. Each pixel takes the label
    that most of its four neighbours have, the lowest of several, from the fields inwards.

    :param labels: (H, W) int32, 0 where there is no field, never less.
    :param widest: of a gap that is closed, in pixels, rounded down; less than 1: none is.
    :return: (H, W) int32, a new array.
    :raises Cancelled:
    """
    filled = labels.copy()
    if not labels.size or widest < 1:
        return filled
    narrow = wide_pixels(labels, math.floor(widest) + 1, monitor)
    narrow |= labels != 0
    at = np.flatnonzero(~narrow)
    while at.size:
        monitor.check()
        taken = _commonest(_neighbours(filled, at))
        reached = taken > 0
        if not reached.any():
            break
        filled.ravel()[at[reached]] = taken[reached]
        at = at[~reached]
    return filled


def _neighbours(labels: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(4, n) labels beside pixels, 0 beyond the raster.

    :param at: (n,) flat positions.
    """
    height, width = labels.shape
    row, col = np.divmod(at, width)
    found = np.zeros((4, len(at)), dtype=labels.dtype)
    inside = (row > 0, col > 0, col < width - 1, row < height - 1)
    for beside, there, step in zip(found, inside, (-width, -1, 1, width)):
        beside[there] = labels.ravel()[at[there] + step]
    return found


def _commonest(labels: np.ndarray) -> np.ndarray:
    """(n,) the label above 0 that occurs most often in each column, the lowest of several; or 0.

    :param labels: (k, n).
    """
    labels = np.sort(labels, axis=0)
    times = (labels[:, None] == labels[None]).sum(axis=1)
    times[labels == 0] = 0
    return np.take_along_axis(labels, times.argmax(axis=0)[None], axis=0)[0]
