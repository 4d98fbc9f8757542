"""Random surfaces with a chosen roughness: land forms, soil patches, clouds."""

from __future__ import annotations

import numpy as np
from scipy import fft


def smooth_noise(
    shape: tuple[int, int], scale: float, rng: np.random.Generator, slope: float = 3.0
) -> np.ndarray:
    """Random float32 surface with mean 0 and deviation 1; `scale` cells is its longest wave.

    A larger slope gives rounder forms; 2 looks like clouds, 4 like soft hills.
    """
    white = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    rows = fft.fftfreq(shape[0])[:, None]
    columns = fft.rfftfreq(shape[1])[None, :]
    power = (1.0 + (scale**2) * (rows**2 + columns**2)) ** (-slope / 2)
    surface = fft.irfft2(white * power.astype(np.float32), s=shape)
    return ((surface - surface.mean()) / surface.std()).astype(np.float32)
