"""Pictures: what a segmenter is shown of a place, from a series or from one raster."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Dict, Iterable, Mapping, Optional, Protocol, Sequence, Tuple

import numpy as np

from ..errors import BandError, RasterError
from ..monitor import SILENT, Monitor
from .bands import roles_from_names
from .composite import stretch
from .dates import date_from_name, date_from_tags
from .grid import Grid, Window
from .indices import Index
from .nodata import has_data
from .ranking import clearest
from .raster_gdal import UNPLACED, GdalRaster, describe
from .series import Series, SeriesImage

FALSE_COLOUR = ("nir", "red", "green")
TRUE_COLOUR = ("red", "green", "blue")


@dataclass(frozen=True)
class Picture:
    """A window of one image."""

    image: np.ndarray
    """(h, w, 3) uint8, stretched; 0 where not valid."""
    valid: np.ndarray
    """(h, w) bool."""
    feature: np.ndarray
    """(h, w) float32 in about 0..1, NaN where not valid: the index, else the brightness."""
    date: Optional[dt.date]
    name: str
    """File name of the image."""


class Pictures(Protocol):
    """Where pictures come from."""

    grid: Grid

    def prepare(self, windows: Iterable[Window], monitor: Monitor = SILENT) -> None:
        """Told which windows come next, so that files are opened once for all of them."""

    def pictures(self, window: Window) -> Sequence[Picture]:
        """The pictures of a window of `grid`, the best one first; at least one."""

    def patch(self, window: Window, name: str) -> np.ndarray:
        """(h, w, 3) uint8 of a window on the image of that file name, to look at."""


class SeriesPictures:
    """The clearest dates of a series around each window."""

    def __init__(self, series: Series, index: Index, dates: int = 1) -> None:
        """:param dates: how many dates to show of each window, where that many are clear."""
        self.grid = series.grid
        self._series = series
        self._index = index
        self._dates = dates
        self._chosen: Dict[Window, Tuple[SeriesImage, ...]] = {}

    def prepare(self, windows: Iterable[Window], monitor: Monitor = SILENT) -> None:
        """Choose the dates for each window."""
        new = [window for window in windows if window not in self._chosen]
        self._chosen.update(clearest(self._series, new, self._index, self._dates, monitor))

    def pictures(self, window: Window) -> Sequence[Picture]:
        """See `Pictures.pictures`; an image that breaks gives way to the next best.

        :raises RasterError: where no image is left.
        """
        if window not in self._chosen:
            self.prepare([window])
        shown = [self._read_or_drop(image, window) for image in self._chosen.pop(window, ())]
        if not shown:
            raise RasterError(f"SERIES: no image of {self._series.folder} can be read here.")
        readable = [picture for picture in shown if picture is not None]
        return readable or self.pictures(window)

    def patch(self, window: Window, name: str) -> np.ndarray:
        """See `Pictures.patch`."""
        image = next(image for image in self._series.images if image.name == name)
        return self._read(image, window).image

    def _read_or_drop(self, image: SeriesImage, window: Window) -> Optional[Picture]:
        """The picture; None where the file breaks, which is then left out for good."""
        try:
            return self._read(image, window)
        except RasterError:
            images = tuple(other for other in self._series.images if other is not image)
            self._series = replace(self._series, images=images)
            return None

    def _read(self, image: SeriesImage, window: Window) -> Picture:
        shown = _shown_roles(image.roles)
        raster = self._series.open(image)
        try:
            roles = sorted(set(shown) | self._index.roles)
            bands, valid = self._series.read(raster, image, roles, window)
        finally:
            raster.close()
        feature = np.where(valid, self._index(bands), np.float32(np.nan))
        composite = stretch(np.stack([bands[role] for role in shown]), valid)
        return Picture(composite, valid, feature, image.date, image.name)


class FilePictures:
    """One raster that the user chose, on the grid of the series or on its own."""

    def __init__(
        self,
        path: str,
        grid: Optional[Grid] = None,
        bands: Optional[Sequence[int]] = None,
        pixel_coordinates: bool = False,
    ) -> None:
        """Look at the file.

        :param grid: the grid to read on; None: the file's own.
        :param pixel_coordinates: call the file's pixels by column and row (y downwards from 0),
            whatever its place.
        :raises RasterError, BandError: where the file or its bands cannot be used.
        """
        self._info = describe(path)
        self._onto = grid
        self.grid = grid or self._info.grid
        if pixel_coordinates:
            self.grid = replace(self.grid, transform=(0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
        self._bands = tuple(bands) if bands else default_bands(self._info.band_names)
        if max(self._bands) > self._info.count or min(self._bands) < 1:
            raise BandError(
                f"{path} has {self._info.count} band(s); bands {self._bands} were asked for."
            )
        self._date = date_from_name(self.name) or date_from_tags(self._info.tags)

    @property
    def placed(self) -> bool:
        """Whether the file says where on the map it lies."""
        return bool(self._info.grid.crs) or self._info.grid.transform != UNPLACED

    @property
    def name(self) -> str:
        """File name."""
        return self._info.path.replace("\\", "/").rsplit("/", 1)[-1]

    def prepare(self, windows: Iterable[Window], monitor: Monitor = SILENT) -> None:
        """Nothing to choose."""

    def pictures(self, window: Window) -> Sequence[Picture]:
        """See `Pictures.pictures`."""
        raster = GdalRaster(self._info.path)
        try:
            stored = raster.read(self._bands, window, self._onto)
        finally:
            raster.close()
        valid = has_data(stored, [self._info.nodata[b - 1] for b in self._bands])
        composite = stretch(stored, valid)
        brightness = composite.mean(axis=2, dtype=np.float32) / np.float32(255)
        feature = np.where(valid, brightness, np.float32(np.nan))
        return [Picture(composite, valid, feature, self._date, self.name)]

    def patch(self, window: Window, name: str) -> np.ndarray:
        """See `Pictures.patch`."""
        return self.pictures(window)[0].image


def default_bands(names: Sequence[str]) -> Tuple[int, int, int]:
    """The bands to show: by their roles, else the first three, else the first one thrice."""
    roles = roles_from_names(names)
    for wanted in (FALSE_COLOUR, TRUE_COLOUR):
        if all(role in roles for role in wanted):
            return tuple(roles[role] for role in wanted)
    return (1, 2, 3) if len(names) >= 3 else (1, 1, 1)


def _shown_roles(roles: Mapping[str, int]) -> Tuple[str, ...]:
    for wanted in (FALSE_COLOUR, TRUE_COLOUR, ("nir", "red", "red")):
        if all(role in roles for role in wanted):
            return wanted
    return (next(iter(roles)),) * 3
