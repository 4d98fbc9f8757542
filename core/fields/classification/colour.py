"""Colour of a field's own pixels as a few numbers: hue as an angle, saturation, entropy.

Hue is an angle, so it is averaged as a direction: red of 350 degrees and of 10 degrees is red of 0,
and not cyan of 180. Grey pixels have no hue; each pixel counts by its chroma.
"""

from __future__ import annotations

from typing import Dict

import numpy as np

COLOUR_NAMES = (
    "hue_cos",
    "hue_sin",
    "hue_length",
    "saturation_mean",
    "saturation_std",
    "brightness_mean",
    "brightness_std",
    "entropy",
    "richness",
)
_BINS = 256
_BITS = 8.0


def colour_features(pixels: np.ndarray) -> Dict[str, float]:
    """Features of the colours of some pixels.

    :param pixels: (3, n) float 0..1: red, green and blue; n is 1 or more.
    :returns: a value for each of COLOUR_NAMES. hue_cos and hue_sin are the mean direction,
        weighted by chroma, hue_length how much hues agree (1: all equal; 0: all cancel out, or no
        pixel has a hue); entropy in bits / 8 and richness, the share of 256 levels that occur, are
        means of the three channels.
    """
    chroma = pixels.max(axis=0) - pixels.min(axis=0)
    brightest = pixels.max(axis=0)
    saturation = np.divide(chroma, brightest, out=np.zeros_like(chroma), where=brightest > 0)
    brightness = pixels.mean(axis=0)
    direction = mean_direction(hue(pixels), chroma)
    counts = _histograms(pixels)
    return {
        "hue_cos": direction.real,
        "hue_sin": direction.imag,
        "hue_length": abs(direction),
        "saturation_mean": float(saturation.mean()),
        "saturation_std": float(saturation.std()),
        "brightness_mean": float(brightness.mean()),
        "brightness_std": float(brightness.std()),
        "entropy": float(_entropy(counts).mean()) / _BITS,
        "richness": float((counts > 0).mean()),
    }


def hue(pixels: np.ndarray) -> np.ndarray:
    """(n,) hue of (3, n) colours in radians, 0 red, 2/3 pi green; 0 where a pixel is grey.

    The hexagonal hue of HSV.
    """
    red, green, blue = pixels
    highest = pixels.max(axis=0)
    chroma = highest - pixels.min(axis=0)
    safe = np.where(chroma > 0, chroma, 1)
    sixths = np.select(
        [highest == red, highest == green],
        [((green - blue) / safe) % 6, (blue - red) / safe + 2],
        (red - green) / safe + 4,
    )
    return np.where(chroma > 0, sixths * (np.pi / 3), 0)


def mean_direction(angles: np.ndarray, weights: np.ndarray) -> complex:
    """Weighted mean of unit vectors: its angle is the mean direction, its length 0..1."""
    total = float(weights.sum(dtype=np.float64))
    if total <= 0:
        return 0j
    return complex((weights * np.exp(1j * angles)).sum() / total)


def _histograms(pixels: np.ndarray) -> np.ndarray:
    """(3, 256) int: how many pixels have each level of each channel."""
    levels = np.minimum((pixels * _BINS).astype(np.int64), _BINS - 1)
    return np.stack([np.bincount(channel, minlength=_BINS) for channel in levels])


def _entropy(counts: np.ndarray) -> np.ndarray:
    """(c,) Shannon entropy in bits of (c, k) histograms."""
    shares = counts / counts.sum(axis=1, keepdims=True)
    logarithms = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return -(shares * logarithms).sum(axis=1)
