"""What a sensor and a stretch make of the land: mixed pixels, bands, haze, clouds, blur, noise."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ....core.simulation.noise import smooth_noise
from .style import log_uniform

TRUE_COLOUR = np.array([[1.0, 0.92, 0.8], [-0.55, 0.2, -0.35], [0.25, -0.1, -0.3]])
FALSE_COLOUR = np.array([[0.45, 1.0, 0.9], [1.1, -0.55, -0.3], [0.2, 0.2, -0.3]])
"""Bands (columns) of brightness, vegetation and the third axis (rows)."""


def take_picture(land: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Image (H, W, 3) uint8 of a land (3, 2H, 2W) float32."""
    pixels = 0.25 * (
        land[:, ::2, ::2] + land[:, ::2, 1::2] + land[:, 1::2, ::2] + land[:, 1::2, 1::2]
    )
    bands = np.tensordot(_draw_bands(rng).T.astype(np.float32), pixels, 1)
    _add_haze(bands, rng)
    if rng.random() < 0.06:
        _add_clouds(bands, rng)
    bands = _blur(bands, rng)
    noise = log_uniform(0.01, 0.14, rng)
    bands += np.float32(noise) * rng.standard_normal(bands.shape, dtype=np.float32)
    return _stretch(bands, rng)


def _draw_bands(rng: np.random.Generator) -> np.ndarray:
    """How the bands see the axes (3, 3): true colour, false colour or any three bands."""
    kind = rng.random()
    if kind < 0.6:
        mixing = TRUE_COLOUR + rng.normal(0, 0.12, (3, 3))
    elif kind < 0.85:
        mixing = FALSE_COLOUR + rng.normal(0, 0.15, (3, 3))
    else:
        mixing = rng.normal(0, 0.7, (3, 3))
        mixing[0] += 0.5
    return mixing[:, rng.permutation(3)] if rng.random() < 0.25 else mixing


def _add_haze(bands: np.ndarray, rng: np.random.Generator) -> None:
    """Slow changes of light over the picture, stronger in one band than in another."""
    if rng.random() < 0.5:
        return
    size = bands.shape[1]
    veil = smooth_noise(bands.shape[1:], size, rng, 4.0)
    slope = np.linspace(-1, 1, size, dtype=np.float32)
    veil = veil + slope * rng.normal() + slope[:, None] * rng.normal()
    share = rng.uniform(0.3, 1, 3) * rng.uniform(0, 0.3)
    bands += share.astype(np.float32)[:, None, None] * veil


def _add_clouds(bands: np.ndarray, rng: np.random.Generator) -> None:
    """A few clouds and their shadows."""
    size = bands.shape[1]
    surface = smooth_noise(bands.shape[1:], size * rng.uniform(0.2, 0.8), rng, 3.2)
    cloud = np.clip((surface - rng.uniform(1.3, 2.2)) * rng.uniform(1, 4), 0, 1)
    shadow = np.roll(cloud, rng.integers(-size // 8, size // 8 + 1, 2), (0, 1))
    bands -= 0.8 * shadow * (bands - bands.min())
    bands += cloud * (rng.uniform(2.5, 5) - bands)


def _blur(bands: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Point spread; sometimes a resampling to this resolution, or sharpening."""
    if rng.random() < 0.2:
        factor = rng.uniform(0.5, 0.85)
        small = ndimage.zoom(bands, (1, factor, factor), order=1)
        back = np.array(bands.shape[1:]) / small.shape[1:]
        bands = ndimage.zoom(small, (1, *back), order=int(rng.integers(0, 2)))
    sigma = rng.uniform(0.4, 1.0)
    blurred = ndimage.gaussian_filter(bands, (0, sigma, sigma))
    if rng.random() < 0.15:
        wide = ndimage.gaussian_filter(blurred, (0, 1.2, 1.2))
        blurred = blurred + rng.uniform(0.4, 1.2) * (blurred - wide)
    return blurred


def _stretch(bands: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Between percentiles, as a viewer would, with some gamma and saturation; (H, W, 3) uint8."""
    sample = bands[:, ::3, ::3].reshape(3, -1)
    ends = [rng.choice([0, 0.5, 2]), rng.choice([100, 99.5, 98, 97])]
    low, high = np.percentile(sample, ends, axis=1)
    if rng.random() < 0.3:
        low[:], high[:] = low.min(), high.max()
    scaled = (bands - low[:, None, None]) / np.maximum(high - low, 0.05)[:, None, None]
    grey = scaled.mean(axis=0)
    scaled = np.clip(grey + rng.uniform(0.6, 1.5) * (scaled - grey), 0, 1)
    scaled = scaled ** np.exp(rng.normal(0, 0.25))
    dark, bright = (0, 255) if rng.random() < 0.6 else (rng.uniform(0, 50), rng.uniform(170, 255))
    return (dark + (bright - dark) * scaled).round().astype(np.uint8).transpose(1, 2, 0)
