"""Fields that hold several seasons, cut where the seasons meet."""

from __future__ import annotations

from typing import List

import numpy as np
from scipy import ndimage

from ...samples.profiles import Profiles
from ...samples.seasons import SplitLimits, two_seasons

_LIMITS = SplitLimits()
_MOST = 6
"""Parts; a field with more seasons than that is no field."""


def season_parts(
    profiles: Profiles, rows: np.ndarray, cols: np.ndarray, limits: SplitLimits = _LIMITS
) -> np.ndarray:
    """(n,) int32: which part each pixel of a field belongs to, 1..k; 1 where the season is one.

    A part that holds two seasons itself is cut again.

    :param profiles: of the field's n pixels.
    :param rows: (n,) int rows of the pixels on the grid, each pixel once.
    :param cols: (n,) int columns.
    """
    parts: List[np.ndarray] = []
    queue = [np.arange(len(rows))]
    while queue:
        pixels = queue.pop()
        two = None
        if len(parts) + len(queue) + 1 < _MOST:
            own = Profiles(profiles.values[pixels], profiles.valid[pixels], profiles.dates)
            two = two_seasons(own, rows[pixels], cols[pixels], limits)
        if two is None:
            parts.append(pixels)
        else:
            queue += [pixels[two.labels], pixels[~two.labels]]
    labels = np.ones(len(rows), dtype=np.int32)
    for number, pixels in enumerate(parts, start=1):
        labels[pixels] = number
    return labels


def spread(labels: np.ndarray) -> np.ndarray:
    """(h, w): every pixel without a label gets that of the nearest one with a label.

    :param labels: (h, w) integers, 0 for none; not all 0.
    """
    nearest = ndimage.distance_transform_edt(
        labels == 0, return_distances=False, return_indices=True
    )
    return labels[tuple(nearest)]
