"""Pictures enlarged for an engine that finds small fields better so: interpolated, or by a model.

A model for super-resolution is asked for one part of the picture after the other, each with land
around it: large pictures would take more memory than there is, and a run that cannot be
interrupted would go on long after the user has cancelled.
"""

from __future__ import annotations

from functools import partial
from typing import Iterator, Protocol, Tuple

import numpy as np
from scipy import ndimage

from ...monitor import SILENT, Monitor, watched

_LARGEST = 704
"""Pixels along a side of a part after it was enlarged: networks keep some hundred features of each
pixel, which is half a gigabyte by then."""
_BORDER = 24
"""Pixels of the picture around a part: a network of twenty convolutions sees about so far."""


class Enlarger(Protocol):
    """A model for super-resolution. Safe to call from several threads."""

    factor: int
    """How many times longer the sides become."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Enlarge a picture of any size.

        :param image: (H, W, 3) uint8; never changed.
        :return: (factor H, factor W, 3) uint8 of the same land.
        """


def enlarged(image: np.ndarray, zoom: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (zoom H, zoom W, 3) uint8, interpolated between the pixels' centres."""
    wide = ndimage.zoom(
        image.astype(np.float32), (zoom, zoom, 1), order=1, mode="nearest", grid_mode=True
    )
    return np.clip(wide + 0.5, 0, 255).astype(np.uint8)


def enlarged_in_parts(
    image: np.ndarray, enlarger: Enlarger, monitor: Monitor = SILENT
) -> np.ndarray:
    """A picture as a model enlarges it, part by part.

    The same as in one go, but for models that see further than the border of a part.

    :param image: (H, W, 3) uint8; never changed.
    :return: (factor H, factor W, 3) uint8.
    :raises ModelError: the model cannot run here.
    :raises Cancelled: within a second, also while the model works.
    """
    factor = enlarger.factor
    height, width = image.shape[:2]
    large = np.empty((factor * height, factor * width, 3), np.uint8)
    most = _LARGEST // factor - 2 * _BORDER
    for top, bottom in _spans(height, most):
        for left, right in _spans(width, most):
            # What a network makes of the end of a picture is right only where the picture ends.
            row, col = max(top - _BORDER, 0), max(left - _BORDER, 0)
            shown = image[row : bottom + _BORDER, col : right + _BORDER]
            part = watched(partial(enlarger, np.ascontiguousarray(shown)), monitor)
            large[factor * top : factor * bottom, factor * left : factor * right] = part[
                factor * (top - row) : factor * (bottom - row),
                factor * (left - col) : factor * (right - col),
            ]
    return large


def _spans(length: int, most: int) -> Iterator[Tuple[int, int]]:
    """First and end of parts of about the same length, none longer than `most`."""
    count = -(-length // most)
    ends = [length * k // count for k in range(count + 1)]
    return zip(ends[:-1], ends[1:])
