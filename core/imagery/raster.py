"""Raster files: what is known of one, and windows read from it.

Inside QGIS the driver is GDAL (`raster_gdal`). Readers below are handed to whoever needs
pixels, so no other module of `core` knows which library opens files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Protocol, Sequence, Tuple

import numpy as np

from .grid import Grid, Window

UNPLACED = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
"""Where QGIS shows a raster without a place: one unit a pixel, rows going down from 0."""


@dataclass(frozen=True)
class RasterInfo:
    """What a raster file says of itself."""

    path: str
    grid: Grid
    band_names: Tuple[str, ...]
    """Band descriptions; empty text where a band has none."""
    dtype: np.dtype
    nodata: Tuple[Optional[float], ...]
    """One value a band, or None."""
    scales: Tuple[float, ...]
    offsets: Tuple[float, ...]
    block: Tuple[int, int]
    """Height and width of the blocks that the file is stored in."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of bands."""
        return len(self.band_names)


class Raster(Protocol):
    """An open raster. Not shared between threads: open one in each."""

    info: RasterInfo

    def read(
        self,
        bands: Sequence[int],
        window: Window,
        onto: Optional[Grid] = None,
        categorical: bool = False,
        shape: Optional[Tuple[int, int]] = None,
    ) -> np.ndarray:
        """Read a window of some bands.

        :param bands: 1-based band numbers.
        :param window: a window of `onto`, or of the raster's own grid where `onto` is None.
        :param onto: the grid to read on; pixels are warped where it differs from the raster's
            own (bilinear, or nearest for categorical bands), no data beyond the raster.
        :param categorical: codes, never averaged.
        :param shape: height and width to sample the window down to (nearest), or None.
        :returns: (bands, h, w) in the raster's own number type; stored values, no scale applied.
        :raises RasterError: where the file cannot be read.
        """

    def close(self) -> None:
        """Release the file."""
