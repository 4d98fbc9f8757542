"""Rasters of labels for tests."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def blots(seed: int, height: int, width: int, count: int, smooth: float) -> np.ndarray:
    """Random pixels, or blots of them, of labels from 0."""
    layers = np.random.default_rng(seed).random((count + 1, height, width))
    return ndimage.gaussian_filter(layers, (0, smooth, smooth)).argmax(axis=0).astype(np.int32)


def raster(*rows: str) -> np.ndarray:
    """Digits are labels, points are no field."""
    return np.array([[int(c) if c != "." else 0 for c in row] for row in rows], np.int32)
