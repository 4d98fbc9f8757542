"""Composites: three bands of one image as 8-bit pictures for segmentation and for the eye."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

PERCENTILES = (2.0, 98.0)


Range = Tuple[float, float]
"""What of a band becomes black and what white."""


def stretch(
    bands: np.ndarray,
    valid: Optional[np.ndarray] = None,
    ranges: Optional[Sequence[Range]] = None,
) -> np.ndarray:
    """Stretch each band between its 2nd and 98th percentile over the valid pixels.

    :param bands: (3, H, W) of any number type; NaN and infinity count as invalid. Not changed.
    :param valid: (H, W) bool, or None for all.
    :param ranges: for each band, in place of the percentiles: those of a larger image.
    :returns: (H, W, 3) uint8; invalid pixels are 0, a constant band is 0.
    """
    usable = np.isfinite(bands).all(axis=0)
    if valid is not None:
        usable &= valid
    picture = np.zeros((*bands.shape[1:], bands.shape[0]), dtype=np.uint8)
    if usable.any():
        for channel, band in enumerate(bands):
            low, high = limits(band[usable]) if ranges is None else ranges[channel]
            picture[..., channel][usable] = _scaled(band[usable], low, high)
    return picture


def limits(values: np.ndarray) -> Range:
    """2nd and 98th percentile of a flat array."""
    low, high = np.percentile(values, PERCENTILES)
    return float(low), float(high)


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    if high <= low:
        return np.zeros(values.shape, dtype=np.uint8)
    share = (values.astype(np.float32) - low) / (high - low)
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
