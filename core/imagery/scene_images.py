"""Images of a whole scene: each is stretched once, so that all tiles show a field alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional, Sequence, Tuple

import numpy as np

from ..errors import ParameterError
from .composite import Range, limits, stretch
from .grid import Grid, Window
from .local_colours import LocalColours, local_colours
from .nodata import has_data
from .raster import Raster
from .raster_drivers import open_raster

_SAMPLED_SIDE = 1024
"""The stretch of an image is measured on so many rows and columns of it at most."""


@dataclass(frozen=True)
class SceneImage:
    """One date of a scene, as all tiles are shown it."""

    path: str
    bands: Tuple[int, ...]
    """Numbers of the bands shown as red, green and blue, from 1."""
    ranges: Tuple[Range, ...]
    """Stored values that become black and white, for each band."""
    colours: Optional[LocalColours] = None
    """What is around each place of the scene, as it is shown; None: not known."""

    @property
    def name(self) -> str:
        """File name."""
        return self.path.replace("\\", "/").rsplit("/", 1)[-1]


def measured_image(path: str, bands: Sequence[int], scene: Optional[Grid] = None) -> SceneImage:
    """Measure the stretch of an image on its overview, or on every k-th row and column.

    :param bands: three band numbers from 1.
    :param scene: its local colours are measured where it has this grid; to warp a whole image for
        them would take more memory than all the rest.
    :raises RasterError: it cannot be read.
    :raises ParameterError: it shows nothing: no data, or one value everywhere.
    """
    raster = open_raster(path)
    try:
        grid = raster.info.grid
        stored, valid, _ = _sampled(raster, bands, _SAMPLED_SIDE)
    finally:
        raster.close()
    image = _with_ranges(SceneImage(path, tuple(bands), ()), stored, valid)
    if scene != grid:
        return image
    picture = stretch(stored, valid, image.ranges)
    return replace(image, colours=local_colours(picture, valid, (grid.height, grid.width)))


def _with_ranges(image: SceneImage, stored: np.ndarray, valid: np.ndarray) -> SceneImage:
    """The image with its stretch.

    :raises ParameterError: it shows nothing.
    """
    bands = image.bands
    if not valid.any():
        raise ParameterError(
            f"INPUT: {image.name} holds no data in the bands {_listed(bands)}; choose another "
            "image or other bands."
        )
    ranges = tuple(_range_of(band[valid]) for band in stored)
    if all(high <= low for low, high in ranges):
        raise ParameterError(
            f"INPUT: {image.name} has one value everywhere in the bands {_listed(bands)}, so it "
            "shows no fields; choose another image or other bands."
        )
    return replace(image, ranges=ranges)


def read_shown(
    image: SceneImage, window: Window, onto: Optional[Grid] = None
) -> Tuple[np.ndarray, np.ndarray]:
    """A window of an image as the engine is shown it.

    :param onto: the grid that the window is of; None: the image's own.
    :return: (h, w, 3) uint8, 0 where there is no data, and (h, w) bool where there is.
    :raises RasterError: the file cannot be read.
    """
    raster = open_raster(image.path)
    try:
        stored = raster.read(image.bands, window, onto)
        valid = _valid(raster, image.bands, stored)
    finally:
        raster.close()
    return stretch(stored, valid, image.ranges), valid


def read_overview(image: SceneImage, side: int) -> Tuple[np.ndarray, int]:
    """A small picture of a whole image.

    :param side: pixels that the longer side has at most.
    :return: (h, w, 3) uint8 and how many pixels of the image one of its pixels stands for.
    """
    raster = open_raster(image.path)
    try:
        stored, valid, step = _sampled(raster, image.bands, side)
    finally:
        raster.close()
    return stretch(stored, valid, image.ranges), step


def read_mask(path: str, window: Window, onto: Grid) -> np.ndarray:
    """(h, w) bool: where the first band of a mask is neither 0 nor missing.

    :raises RasterError: the file cannot be read.
    """
    raster = open_raster(path)
    try:
        stored = raster.read([1], window, onto, categorical=True)
        return _valid(raster, [1], stored) & (stored[0] != 0)
    finally:
        raster.close()


def _sampled(
    raster: Raster, bands: Sequence[int], side: int
) -> Tuple[np.ndarray, np.ndarray, int]:
    """Every k-th row and column, at most `side` of each: (3, h, w) stored values, (h, w) bool where
    there is data, and k."""
    grid = raster.info.grid
    step = max(1, -(-max(grid.width, grid.height) // side))
    shape = -(-grid.height // step), -(-grid.width // step)
    stored = raster.read(bands, grid.whole, shape=shape)
    return stored, _valid(raster, bands, stored), step


def _valid(raster: Raster, bands: Sequence[int], stored: np.ndarray) -> np.ndarray:
    return has_data(stored, [raster.info.nodata[band - 1] for band in bands])


def _range_of(values: np.ndarray) -> Range:
    """Percentiles; the extremes where nearly all values are one."""
    low, high = limits(values)
    return (low, high) if high > low else (float(values.min()), float(values.max()))


def _listed(bands: Sequence[int]) -> str:
    return ", ".join(str(band) for band in dict.fromkeys(bands))
