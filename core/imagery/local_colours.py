"""How bright and how varied an image is around each of its places.

Engines judge a colour by those around it. Around means the same places for every window of an
image, wherever the window begins: a field then looks the same in all tiles that show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from .grid import Window

SURROUNDINGS = 512
"""Side of what counts as around, in pixels; all of an image that is smaller."""
_STEP = 256
"""Pixels from one measured place to the next; between them figures change evenly."""


@dataclass(frozen=True)
class LocalColours:
    """Mean and deviation of three colours around places of an image that lie evenly on it."""

    rows: int
    columns: int
    values: Tuple[float, ...]
    """rows x columns x (three means, three deviations), 0..255."""

    def within(self, window: Window) -> np.ndarray:
        """Around each pixel of a window: (h, w, 6) float32, three means and three deviations."""
        nodes = np.array(self.values, np.float32).reshape(self.rows, self.columns, 6)
        low, high, share = _between(window.row, window.height, self.rows)
        rows = nodes[low] + (nodes[high] - nodes[low]) * share[:, None, None]
        low, high, share = _between(window.col, window.width, self.columns)
        return rows[:, low] + (rows[:, high] - rows[:, low]) * share[:, None]


def local_colours(
    picture: np.ndarray, valid: np.ndarray, shape: Tuple[int, int]
) -> LocalColours:
    """Measure an image on every k-th of its rows and columns.

    :param picture: (h, w, 3) uint8.
    :param valid: (h, w) bool; some is True. Other pixels do not count.
    :param shape: height and width of the image in pixels, at least those of the picture.
    """
    seen = np.where(valid[..., None], picture, 0).astype(np.float64)
    sums = _sums(np.concatenate([valid[..., None], seen, seen**2], axis=2))
    axes = [_spans(size, len_) for size, len_ in zip(shape, picture.shape)]
    (top, bottom), (left, right) = axes
    around = sums[bottom][:, right] - sums[top][:, right] - sums[bottom][:, left]
    around += sums[top][:, left]
    # Where nothing around a place is known, it is taken for the image as a whole.
    around = np.where(around[..., :1] > 0, around, sums[-1, -1])
    means = around[..., 1:4] / around[..., :1]
    deviations = np.sqrt(np.maximum(around[..., 4:] / around[..., :1] - means**2, 0))
    values = np.concatenate([means, deviations], axis=2)
    return LocalColours(*values.shape[:2], tuple(np.round(values, 2).ravel().tolist()))


def _sums(values: np.ndarray) -> np.ndarray:
    """(h, w, k) -> (h + 1, w + 1, k): sums of all above and to the left."""
    return np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0), (0, 0)))


def _spans(size: int, sampled: int) -> Tuple[np.ndarray, np.ndarray]:
    """Where what is around each place begins and ends, in samples.

    :param size: of the image in pixels.
    :param sampled: the same in samples.
    """
    side = min(SURROUNDINGS, size)
    centres = np.arange(-(-size // _STEP)) * _STEP + _STEP // 2
    starts = np.clip(centres - side // 2, 0, size - side) * sampled / size
    ends = starts + side * sampled / size
    first = np.floor(starts).astype(int)
    return first, np.maximum(np.ceil(ends).astype(int), first + 1)


def _between(start: int, count: int, places: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each pixel of a line: the measured places before and after it, and how far between."""
    at = np.clip((np.arange(start, start + count) + 0.5) / _STEP - 0.5, 0, places - 1)
    low = at.astype(int)
    return low, np.minimum(low + 1, places - 1), (at - low).astype(np.float32)
