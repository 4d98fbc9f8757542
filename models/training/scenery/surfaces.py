"""Patterns of soil, moisture and growth, made once a scene and read at any place and turn."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from ....core.simulation.noise import smooth_noise

PERIOD = 256
"""Cells after which a surface repeats; a power of two, so that wrapping is a bit mask."""
CELLS_PER_PIXEL = 2


class Pattern(IntEnum):
    """What a surface looks like."""

    HILLS = 0
    CLOUDS = 1
    PATCHES = 2
    DRAINS = 3
    TERRACES = 4
    GRAIN = 5
    SPOTS = 6
    CROWNS = 7


@dataclass(frozen=True)
class Placing:
    """How n plots read the bank: rows of `matrix` (n, 4) turn and scale, `offset` is (n, 2) cells.

    Every 2 x 2 matrix maps (x, y) in pixels to cells of the surface.
    """

    matrix: np.ndarray
    offset: np.ndarray


@dataclass(frozen=True)
class SurfaceBank:
    """surfaces: (8, 256, 256) float32, mean 0, deviation 1, in the order of Pattern; periodic."""

    surfaces: np.ndarray

    def read(
        self,
        patterns: np.ndarray,
        placing: Placing,
        plot: np.ndarray,
        x: np.ndarray,
        y: np.ndarray,
    ) -> np.ndarray:
        """Values (m,) float32 at cells x, y (m,) of plot (m,); patterns is (n,) Pattern."""
        a, b, c, d = (column.astype(np.float32)[plot] for column in placing.matrix.T)
        # Truncation rounds towards zero: far from zero all positions are positive.
        start = (placing.offset % PERIOD + 64 * PERIOD).astype(np.float32)
        row = (a * x + b * y + start[plot, 0]).astype(np.int32) & (PERIOD - 1)
        column = (c * x + d * y + start[plot, 1]).astype(np.int32) & (PERIOD - 1)
        first = (patterns.astype(np.int32) * PERIOD**2)[plot]
        return self.surfaces.ravel()[first + row * PERIOD + column]


def place(
    angles: np.ndarray, scales: np.ndarray, stretch: np.ndarray, rng: np.random.Generator
) -> Placing:
    """Placing at random offsets: patterns run along `angles`, drawn out `stretch` times, all (n,).

    A scale of 2 shows a pattern twice as large.
    """
    cos, sin = np.cos(angles), np.sin(angles)
    along, across = CELLS_PER_PIXEL / (scales * stretch), CELLS_PER_PIXEL / scales
    matrix = np.stack([-sin * across, cos * across, cos * along, sin * along], axis=1)
    return Placing(matrix, rng.uniform(0, PERIOD, (len(angles), 2)))


def make_bank(rng: np.random.Generator) -> SurfaceBank:
    """Draw one surface of each pattern."""
    shape = (PERIOD, PERIOD)
    hills = smooth_noise(shape, 90, rng, rng.uniform(2.4, 4.0))
    clouds = smooth_noise(shape, 110, rng, rng.uniform(1.6, 2.6))
    blots = smooth_noise(shape, 70, rng, rng.uniform(2.0, 3.2))
    veins = smooth_noise(shape, 80, rng, rng.uniform(2.6, 3.6))
    grain = smooth_noise(shape, 4, rng, 1.2)
    crowns = smooth_noise(shape, 9, rng, 4.0)
    drawn = {
        Pattern.HILLS: hills,
        Pattern.CLOUDS: clouds,
        Pattern.PATCHES: np.tanh(4 * (blots - rng.uniform(-0.4, 0.9))),
        Pattern.DRAINS: np.exp(-((veins / rng.uniform(0.08, 0.25)) ** 2)),
        Pattern.TERRACES: np.sin(rng.uniform(4, 11) * hills + clouds) ** 3,
        Pattern.GRAIN: grain,
        Pattern.SPOTS: np.maximum(crowns + 0.3 * blots - 1.7, 0),
        Pattern.CROWNS: crowns,
    }
    return SurfaceBank(np.stack([_standard(drawn[pattern]) for pattern in Pattern]))


def _standard(surface: np.ndarray) -> np.ndarray:
    """The surface with mean 0 and deviation 1."""
    return ((surface - surface.mean()) / max(float(surface.std()), 1e-6)).astype(np.float32)
