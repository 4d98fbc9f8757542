"""The land while it is being drawn, on cells of half an image pixel."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from scipy import ndimage

from ....core.simulation.noise import smooth_noise
from .surfaces import CELLS_PER_PIXEL

COARSE = 4
"""Broad surfaces are drawn on every fourth cell and interpolated."""


class Cover(IntEnum):
    """What covers a cell; OPEN land shows the crop of its plot."""

    OPEN = 0
    GRASS = 1
    TRACK = 2
    HEDGE = 3
    DITCH = 4
    ROAD = 5
    TREES = 6
    WATER = 7
    GARDEN = 8
    YARD = 9
    BRIGHT_ROOF = 10
    DARK_ROOF = 11
    FAINT_LINE = 12


class Canvas:
    """Arrays (2 size, 2 size), changed in place by the steps that draw.

    x, y: float32, place of each cell in pixels. bent_x, bent_y: the same in slightly bent
    coordinates, in which boundaries are straight. cover: uint8 Cover. plots: int32 plot 1..n or 0.
    blocks: int32 block of look-alikes, its inner margins included, or 0.
    """

    def __init__(
        self, size: int, bend: float, bend_length: float, rng: np.random.Generator
    ) -> None:
        self.size = size
        self.side = size * CELLS_PER_PIXEL
        self.rng = rng
        self._magnifier = _magnifier(self.side)
        place = (np.arange(self.side, dtype=np.float32) + 0.5) / CELLS_PER_PIXEL
        self.y, self.x = np.meshgrid(place, place, indexing="ij")
        self.bent_x = self.x + np.float32(bend) * self.surface(bend_length, 5.0)
        self.bent_y = self.y + np.float32(bend) * self.surface(bend_length, 5.0)
        self.cover = np.zeros((self.side, self.side), np.uint8)
        self.plots = np.zeros((self.side, self.side), np.int32)
        self.blocks = np.zeros((self.side, self.side), np.int32)

    def surface(self, wave: float, slope: float) -> np.ndarray:
        """A smooth float32 surface, about mean 0 and deviation 1; `wave` is its longest wave."""
        coarse = self._magnifier.shape[1]
        drawn = smooth_noise((coarse, coarse), wave * CELLS_PER_PIXEL / COARSE, self.rng, slope)
        return self._magnifier @ drawn @ self._magnifier.T

    def grain(self, wave: float, slope: float = 2.5) -> np.ndarray:
        """A rough float32 surface at full detail."""
        return smooth_noise(self.x.shape, wave * CELLS_PER_PIXEL, self.rng, slope)

    def across(self, centre: tuple[float, float], angle: float) -> np.ndarray:
        """Signed bent distance of every cell from the line through `centre` along `angle`."""
        x, y = np.float32(centre[0]), np.float32(centre[1])
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return (self.bent_y - y) * cos - (self.bent_x - x) * sin

    def somewhere(self) -> tuple[float, float]:
        """A random place."""
        x, y = self.rng.uniform(0, self.size, 2)
        return float(x), float(y)

    def paint(self, mask: np.ndarray, cover: Cover) -> None:
        """Set the cover where mask is true."""
        self.cover[mask] = cover


def _magnifier(side: int) -> np.ndarray:
    """Matrix (side, side / COARSE) that interpolates smoothly: spline weights of each coarse cell.

    Two matrix products are several times as fast as ndimage.zoom on the surface itself.
    """
    coarse = -(-side // COARSE)
    return ndimage.zoom(np.eye(coarse, dtype=np.float32), (side / coarse, 1), order=3)
