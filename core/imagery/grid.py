"""Grids and windows.

A Grid is the lattice of pixels that a raster stands on: its size, the affine transform from
pixel to map coordinates and the coordinate reference system. A Window is a rectangle of whole
rows and columns on a grid. Pixel coordinates run to the right (x, columns) and downwards
(y, rows); the centre of the upper left pixel is (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, Tuple

import numpy as np

Transform = Tuple[float, float, float, float, float, float]
"""GDAL's order: x origin, x per column, x per row, y origin, y per column, y per row."""


@dataclass(frozen=True, order=True)
class Window:
    """A rectangle of pixels: first row and column, height and width."""

    row: int
    col: int
    height: int
    width: int

    @property
    def slices(self) -> Tuple[slice, slice]:
        """Row and column slices for an array that covers the whole grid."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    def contains(self, row: int, col: int) -> bool:
        """Whether the pixel lies in the window."""
        return 0 <= row - self.row < self.height and 0 <= col - self.col < self.width


@dataclass(frozen=True)
class Grid:
    """Size, placement and coordinate reference system of a raster."""

    width: int
    height: int
    transform: Transform
    crs: str = ""
    """Well-known text; empty where the raster has none."""

    def to_pixel(self, x: np.ndarray, y: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Map coordinates to pixel coordinates (x right, y down)."""
        x0, xc, xr, y0, yc, yr = self.transform
        determinant = xc * yr - xr * yc
        dx, dy = np.asarray(x, dtype=np.float64) - x0, np.asarray(y, dtype=np.float64) - y0
        return (yr * dx - xr * dy) / determinant, (xc * dy - yc * dx) / determinant

    def to_map(self, px: np.ndarray, py: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Pixel coordinates to map coordinates."""
        x0, xc, xr, y0, yc, yr = self.transform
        px, py = np.asarray(px, dtype=np.float64), np.asarray(py, dtype=np.float64)
        return x0 + px * xc + py * xr, y0 + px * yc + py * yr

    def centres(self, rows: np.ndarray, cols: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Map coordinates of pixel centres."""
        return self.to_map(np.asarray(cols) + 0.5, np.asarray(rows) + 0.5)

    def window_transform(self, window: Window) -> Transform:
        """The transform of a window's own upper left corner."""
        x, y = self.to_map(np.float64(window.col), np.float64(window.row))
        _, xc, xr, _, yc, yr = self.transform
        return float(x), xc, xr, float(y), yc, yr

    def bounds(self) -> Tuple[float, float, float, float]:
        """West, south, east and north edge in map units."""
        x, y = self.to_map(
            np.array([0, self.width, 0, self.width]), np.array([0, 0, self.height, self.height])
        )
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    @property
    def whole(self) -> Window:
        """The window that covers the grid."""
        return Window(0, 0, self.height, self.width)

    def fitted(self, row: int, col: int, size: int) -> Window:
        """A square window from (row, col), moved inward so that it keeps its size.

        Rows are limited by the height and columns by the width; only a grid smaller than the
        window makes it smaller (specification A6, defect 3).
        """
        height, width = min(size, self.height), min(size, self.width)
        return Window(
            int(np.clip(row, 0, self.height - height)),
            int(np.clip(col, 0, self.width - width)),
            height,
            width,
        )

    def window_around(self, row: int, col: int, size: int) -> Window:
        """The window of `size` pixels centred on a pixel."""
        return self.fitted(row - size // 2, col - size // 2, size)

    def shared_window(self, row: int, col: int, size: int) -> Window:
        """The window of a fixed lattice (pitch size / 2) whose centre is nearest to a pixel.

        Prompts in one neighbourhood share a window, so that it is encoded once; the pixel is
        at least size / 4 away from the window's edge, but at the edges of the grid.
        """
        pitch = max(1, size // 2)
        first_row = round((row - size / 2) / pitch) * pitch
        first_col = round((col - size / 2) / pitch) * pitch
        return self.fitted(first_row, first_col, size)


def neighbours(grid: Grid, window: Window, size: int, row: int, col: int) -> List[Window]:
    """The windows around one of the lattice of `shared_window`, the nearest to a pixel first."""
    pitch = max(1, size // 2)
    middle_row, middle_col = window.row + window.height / 2, window.col + window.width / 2
    places = [
        (middle_row + down * pitch, middle_col + right * pitch)
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    ]
    places.sort(key=lambda place: (place[0] - row) ** 2 + (place[1] - col) ** 2)
    found = {
        grid.shared_window(int(r), int(c), size): None
        for r, c in places
        if 0 <= r < grid.height and 0 <= c < grid.width
    }
    found.pop(window, None)
    return list(found)


def blocks(grid: Grid, height: int, width: int) -> Iterator[Window]:
    """All windows of at most height x width pixels that together cover the grid."""
    for row in range(0, grid.height, height):
        for col in range(0, grid.width, width):
            yield Window(row, col, min(height, grid.height - row), min(width, grid.width - col))
