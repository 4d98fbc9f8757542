"""Classical delineation without a model, to compare with: multiscale watershed, felzenszwalb.

Each is run with several scales, and the table tells of the scale that is best on the very set:
more than a user could do.
"""

from __future__ import annotations

import warnings
from typing import Callable, Dict, Sequence

import numpy as np
from scipy import ndimage

from furrow.core.fields.delineation.edge_regions import edge_regions

try:
    from skimage import segmentation
except ImportError:
    segmentation = None

SCALES = (1.0, 2.0, 4.0)
"""Deviations in pixels of the Gaussians that gradients are taken at."""
SMALLEST = (10, 30, 100)
"""Pixels: smaller segments are left out, or join others."""


def watershed(level: float, least: int) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
    """Watershed on the mean gradient of three scales; basins merge over weak borders.

    :param level: mean gradient of a border up to which basins merge, beside the steepest ones.
    :param least: pixels; smaller basins are left out.
    """

    def labels(images: Sequence[np.ndarray]) -> np.ndarray:
        relief = np.mean([_gradient(images, scale) for scale in SCALES], axis=0)
        basins = edge_regions(relief.astype(np.float32), np.ones(relief.shape, bool)).cut(level)
        numbers, place, size = np.unique(basins, return_inverse=True, return_counts=True)
        kept = np.where(size >= least, np.arange(1, len(numbers) + 1), 0)
        return kept[place].reshape(basins.shape)

    return labels


def felzenszwalb(scale: float, least: int) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
    """The graph method; dates are further bands."""

    def labels(images: Sequence[np.ndarray]) -> np.ndarray:
        stack = np.concatenate([image / 255 for image in images], axis=2)
        with warnings.catch_warnings():
            # It doubts that so many bands are meant.
            warnings.simplefilter("ignore", RuntimeWarning)
            found = segmentation.felzenszwalb(stack, scale=scale, sigma=0.8, min_size=least)
        return found + 1

    return labels


def _gradient(images: Sequence[np.ndarray], scale: float) -> np.ndarray:
    """(H, W) float 0..1 beside the steepest twentieth."""
    bands = np.concatenate(images, axis=2).astype(np.float32)
    steps = ndimage.gaussian_gradient_magnitude
    strength = np.mean([steps(bands[..., k], scale) for k in range(bands.shape[2])], axis=0)
    return np.clip(strength / max(float(np.percentile(strength, 95)), 1e-6), 0, 1)


def rivals() -> Dict[str, Callable[[Sequence[np.ndarray]], np.ndarray]]:
    """Names to functions from pictures to labels; felzenszwalb only with scikit-image."""
    found = {
        f"watershed, level {level}, {least} px": watershed(level, least)
        for level in (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
        for least in SMALLEST
    }
    if segmentation is None:
        return found
    for scale in (30, 100, 300, 1000):
        for least in SMALLEST:
            found[f"felzenszwalb, scale {scale}, {least} px"] = felzenszwalb(scale, least)
    return found
