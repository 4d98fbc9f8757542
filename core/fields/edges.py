"""Edges in a picture by the steps of Canny (1986): grey, Gaussian, gradient, thinning, hysteresis.

Gradients are those of the 3 x 3 Sobel masks and their size is the sum of both amounts, so limits
mean what they mean in OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np
from scipy import ndimage

_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Shares of red, green and blue in brightness (Recommendation 601)."""
_ALL_AROUND = np.ones((3, 3), dtype=bool)
_BESIDE_NO_DATA = 2
"""Pixels beside missing data whose gradient is one to the filling."""
_STEEP, _FLAT = np.tan(np.radians(67.5)), np.tan(np.radians(22.5))


@dataclass(frozen=True)
class EdgeLimits:
    """What counts as an edge; gradients of 8-bit grey values."""

    low: float = 100.0
    """An edge goes on while its gradient is larger than this ..."""
    high: float = 100.0
    """... and has at least one pixel whose gradient is larger than this."""
    smoothing: float = 1.1
    """Sigma of the Gaussian in pixels; 1.1 is that of a 5 x 5 mask."""


def edges_of(
    image: np.ndarray, valid: Optional[np.ndarray] = None, limits: Optional[EdgeLimits] = None
) -> np.ndarray:
    """(H, W) bool: edges one pixel wide.

    :param image: (H, W, 3) uint8, not changed.
    :param valid: (H, W) bool, None for all; beside other pixels there is no edge.
    """
    limits = limits or EdgeLimits()
    grey = ndimage.gaussian_filter(image @ _GREY, limits.smoothing, mode="nearest", truncate=2.0)
    across, down = (ndimage.sobel(grey, axis=axis, mode="nearest") for axis in (1, 0))
    size = np.abs(across) + np.abs(down)
    thin = _thinned(size, across, down) & (size > limits.low)
    if valid is not None and not valid.all():
        thin &= ndimage.binary_erosion(
            valid, _ALL_AROUND, iterations=_BESIDE_NO_DATA, border_value=1
        )
    return _with_strong(thin, size > limits.high)


def _thinned(size: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """(H, W) bool: where the gradient is largest among the two neighbours along its direction."""
    steps = np.where(np.abs(down) > _STEEP * np.abs(across), 1, 2)
    steps[np.abs(down) < _FLAT * np.abs(across)] = 0
    falling = across * down >= 0
    around = np.pad(size, 1)
    largest = np.zeros(size.shape, dtype=bool)
    for chosen, (row, col) in (
        (steps == 0, (0, 1)),
        (steps == 1, (1, 0)),
        ((steps == 2) & falling, (1, 1)),
        ((steps == 2) & ~falling, (1, -1)),
    ):
        # One comparison is strict, so that of two equal neighbours one stays.
        ahead = size > _shifted(around, -row, -col)
        largest |= chosen & ahead & (size >= _shifted(around, row, col))
    return largest


def _shifted(padded: np.ndarray, row: int, col: int) -> np.ndarray:
    """The values of the neighbours at (row, col) of an array with a rim of one pixel."""
    height, width = padded.shape[0] - 2, padded.shape[1] - 2
    return padded[1 + row : 1 + row + height, 1 + col : 1 + col + width]


def _with_strong(weak: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """Pieces of `weak` that hold a pixel of `strong`."""
    pieces, count = ndimage.label(weak, _ALL_AROUND)
    keep = np.zeros(count + 1, dtype=bool)
    keep[pieces[weak & strong]] = True
    keep[0] = False
    return keep[pieces]
