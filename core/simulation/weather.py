"""What hides the ground on a day: clouds, their shadows, thin cirrus, the edge of the swath.

Everything is known exactly per pixel; the scene classification (SCL) is drawn from it as coarsely
as the real one, on a 20 m grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .noise import smooth_noise

SCL_NODATA, SCL_SHADOW, SCL_VEGETATION, SCL_BARE, SCL_WATER = 0, 3, 4, 5, 6
SCL_CLOUD_MEDIUM, SCL_CLOUD_HIGH, SCL_CIRRUS = 8, 9, 10

_CLOUD = np.array([0.58, 0.56, 0.56, 0.62], np.float32)
_SHADE = np.array([0.46, 0.53, 0.58, 0.62], np.float32)
"""Light lost in full shadow; blue loses least, it comes from the whole sky."""
_CIRRUS = np.array([0.075, 0.070, 0.066, 0.060], np.float32)


@dataclass(frozen=True)
class Sky:
    """The plan for one date: share of clouds 0..1, and whether cirrus or a swath edge is there."""

    cloud_share: float = 0.0
    cirrus: bool = False
    wedge: bool = False


@dataclass(frozen=True)
class Weather:
    """The state of the air over each pixel, all (H, W).

    cloud: float32 0..1 opacity. shade: float32 0..1 depth of shadow. cirrus: float32 0..1.
    bright: float32 factor on cloud brightness. nodata: bool, outside the swath.
    """

    cloud: np.ndarray
    shade: np.ndarray
    cirrus: np.ndarray
    bright: np.ndarray
    nodata: np.ndarray

    @property
    def clear(self) -> np.ndarray:
        """(H, W) bool: the ground is seen as it is."""
        hidden = (self.cloud > 0.02) | (self.shade > 0.02) | (self.cirrus > 0.02)
        return ~hidden & ~self.nodata


def plan_skies(count: int, rng: np.random.Generator) -> tuple[Sky, ...]:
    """A sky for each date: half clear (one of them cut by the swath), the rest cloudy."""
    heavy, light = max(1, count // 6), max(1, count // 4)
    cirrus = 1 if count >= 6 else 0
    skies = [Sky(float(rng.uniform(0.42, 0.68))) for _ in range(heavy)]
    skies += [Sky(float(rng.uniform(0.04, 0.26))) for _ in range(light)]
    skies += [Sky(cirrus=True)] * cirrus + [Sky(wedge=True)]
    skies += [Sky()] * (count - len(skies))
    return tuple(skies[i] for i in rng.permutation(count))


def draw_weather(size: int, sky: Sky, rng: np.random.Generator) -> Weather:
    """The air over a scene of `size` pixels."""
    none = np.zeros((size, size), np.float32)
    cloud, shade, bright = none, none, np.ones_like(none)
    if sky.cloud_share > 0:
        cloud, shade, bright = _clouds(size, sky.cloud_share, rng)
    cirrus = _veil(size, rng) if sky.cirrus else none
    nodata = _wedge(size, rng) if sky.wedge else np.zeros((size, size), bool)
    return Weather(cloud, shade, cirrus, bright, nodata)


def _clouds(
    size: int, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Opacity, shadow and brightness of cumulus; shadows fall to the north-west."""
    reach = int(min(90, size // 6) * rng.uniform(0.5, 1.0))
    wide = size + reach
    scale = rng.uniform(60, 170) * (0.3 + 0.7 * min(size, 512) / 512)
    mass = smooth_noise((wide, wide), scale, rng, 2.6)
    mass += 0.10 * smooth_noise((wide, wide), 14, rng, 2.6)
    limit = np.quantile(mass, 1 - share)
    opacity = _ramp((mass - limit) / 0.75)
    # The cloud stands to the south-east of its shadow: the sun is there at half past ten.
    left = int(0.45 * reach)
    cloud = opacity[:size, :size]
    shade = ndimage.gaussian_filter(opacity[reach:, left : left + size], 1.0)
    bright = 0.52 + 0.48 * _ramp((mass[:size, :size] - limit) / 1.6)
    bright += 0.03 * smooth_noise((wide, wide), 14, rng, 2.2)[:size, :size]
    return cloud, shade * (1 - cloud), bright.astype(np.float32)


def _ramp(values: np.ndarray) -> np.ndarray:
    """Smooth step from 0 to 1."""
    values = np.clip(values, 0.0, 1.0)
    return (values * values * (3 - 2 * values)).astype(np.float32)


def _veil(size: int, rng: np.random.Generator) -> np.ndarray:
    """Cirrus in long soft streaks over a part of the scene."""
    streaks = smooth_noise((2 * size, 2 * size), 0.5 * size, rng, 3.2)
    turned = ndimage.zoom(streaks[: size // 2 + 1], (2, 1), order=1)[:size, :size]
    return _ramp((turned - np.quantile(turned, 0.65)) / 2.0)


def _wedge(size: int, rng: np.random.Generator) -> np.ndarray:
    """True east of a slanting swath edge."""
    rows, columns = np.mgrid[0:size, 0:size]
    return columns > rng.uniform(0.72, 0.86) * size - 0.24 * (rows - size / 2)


def through_air(ground: np.ndarray, weather: Weather, rng: np.random.Generator) -> np.ndarray:
    """Reflectance (4, H, W) float32 at the sensor, given that of the ground."""
    haze = rng.uniform(0.0, 0.004) * np.array([1.0, 0.6, 0.3, 0.1], np.float32)
    lit = ground * (1 - _SHADE[:, None, None] * weather.shade) + haze[:, None, None]
    veiled = lit * (1 - 0.25 * weather.cirrus) + _CIRRUS[:, None, None] * weather.cirrus
    cloud = _CLOUD[:, None, None] * weather.bright
    return veiled + weather.cloud * (cloud - veiled)


def classify(ndvi: np.ndarray, water: np.ndarray, weather: Weather) -> np.ndarray:
    """SCL (H, W) uint8 on a 20 m grid; clouds win over shadows, both over the ground."""
    scl = np.where(ndvi[::2, ::2] > 0.35, SCL_VEGETATION, SCL_BARE).astype(np.uint8)
    scl[water[::2, ::2]] = SCL_WATER
    scl[_coarse(weather.cirrus) > 0.08] = SCL_CIRRUS
    scl[_coarse(weather.shade) > 0.10] = SCL_SHADOW
    cloud = _coarse(weather.cloud)
    scl[cloud > 0.05] = SCL_CLOUD_MEDIUM
    scl[cloud > 0.75] = SCL_CLOUD_HIGH
    size = ndvi.shape[0]
    scl = scl.repeat(2, 0).repeat(2, 1)[:size, :size]
    scl[weather.nodata] = SCL_NODATA
    return scl


def _coarse(values: np.ndarray) -> np.ndarray:
    """The highest value in each 20 m cell."""
    even = np.pad(values, [(0, n % 2) for n in values.shape], mode="edge")
    rows = np.maximum(even[::2], even[1::2])
    return np.maximum(rows[:, ::2], rows[:, 1::2])
