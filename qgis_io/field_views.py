"""Fields on the pictures that they lie in, read one window at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from qgis.core import QgsFeature, QgsFeatureSource, QgsGeometry, QgsProcessingContext, QgsWkbTypes

from ..core.errors import ParameterError
from ..core.fields.classification.views import FieldShape, FieldView, shape_of
from ..core.imagery.grid import Grid, Window
from ..core.imagery.nodata import has_data
from ..core.imagery.raster import Raster, RasterInfo
from ..core.imagery.raster_gdal import UNPLACED, GdalRaster, describe
from .compat import plain
from .ground import Ground, crs_of
from .shapes import burn, window_of
from .sources import moved

NO_GEOMETRY = "no_geometry"
OUTSIDE = "outside_image"
NO_IMAGE = "no_such_image"
NO_DATA = "no_data"
MOST_PIXELS = 1024
"""Along a side of what is read of a field; of larger ones every k-th row and column is."""


@dataclass(frozen=True)
class PictureFile:
    """A raster file that fields lie in."""

    path: str
    info: RasterInfo
    grid: Grid
    """The file's own; y counts down from 0 where fields are drawn so on a file without a place."""

    @property
    def name(self) -> str:
        """File name."""
        return self.path.replace("\\", "/").rsplit("/", 1)[-1]

    @property
    def stem(self) -> str:
        """File name without its ending."""
        return self.name.rpartition(".")[0] or self.name

    @property
    def in_bytes(self) -> bool:
        """Whether its values are 0..255."""
        return self.info.dtype == np.uint8


@dataclass(frozen=True)
class PlacedField:
    """A field and where it lies."""

    feature: QgsFeature
    picture: int
    """Position of its picture."""
    outline: QgsGeometry
    """In map coordinates of the picture."""
    window: Window
    """The smallest one around it, cut at the picture's edge."""


@dataclass(frozen=True)
class PlacedFields:
    """The fields of a layer that lie in pictures, and why others do not."""

    pictures: Tuple[PictureFile, ...]
    fields: Tuple[PlacedField, ...]
    """In the order of the layer."""
    skipped: Tuple[Tuple[int, str], ...]
    """Feature id and reason."""


def place_fields(
    source: QgsFeatureSource,
    paths: Sequence[str],
    context: QgsProcessingContext,
    image_field: str = "",
) -> PlacedFields:
    """Find the picture of each field.

    :param paths: raster files.
    :param image_field: holds the name of the field's picture, with or without its ending; empty:
        the first picture that its inner point lies in.
    :raises RasterError: a picture cannot be read.
    :raises ParameterError: several pictures lie in one place, and nothing tells them apart.
    """
    # QGIS shows a picture without a place below y = 0; outlines in pixels lie above it, mostly.
    downwards = source.sourceExtent().center().y() > 0
    pictures = tuple(_picture(path, downwards) for path in paths)
    _require_places(pictures, image_field)
    features = list(source.getFeatures())
    wanted = _wanted_pictures(features, pictures, image_field)
    found: Dict[int, PlacedField] = {}
    for k, picture in enumerate(pictures):
        open_ones = [n for n in range(len(features)) if n not in found and k in wanted[n]]
        chosen = [features[n] for n in open_ones]
        outlines = moved(chosen, source, crs_of(picture.grid), context)
        for n, outline in zip(open_ones, outlines):
            placed = _placed(features[n], outline, k, picture.grid)
            if placed is not None:
                found[n] = placed
    skipped = tuple(
        (feature.id(), _reason(feature, bool(wanted[n])))
        for n, feature in enumerate(features)
        if n not in found
    )
    return PlacedFields(pictures, tuple(found[n] for n in sorted(found)), skipped)


def _wanted_pictures(
    features: Sequence[QgsFeature], pictures: Sequence[PictureFile], image_field: str
) -> List[Sequence[int]]:
    """The pictures that each feature may lie in."""
    if not image_field:
        return [range(len(pictures))] * len(features)
    numbers: Dict[str, int] = {}
    for k, picture in enumerate(pictures):
        numbers.setdefault(picture.name, k)
        numbers.setdefault(picture.stem, k)
    named = [numbers.get(str(plain(feature[image_field]) or "")) for feature in features]
    return [() if number is None else (number,) for number in named]


class FieldReader:
    """Reads what pictures show of fields; files stay open until `close`. For one thread."""

    def __init__(self, pictures: Sequence[PictureFile], context: QgsProcessingContext) -> None:
        self._pictures = pictures
        self._open: Dict[int, Raster] = {}
        self._grounds = [Ground(crs_of(p.grid), context.transformContext()) for p in pictures]
        self._metres = [
            ground.pixel(picture.grid) for ground, picture in zip(self._grounds, pictures)
        ]

    def view(self, field: PlacedField, bands: Sequence[int]) -> FieldView:
        """The window around a field.

        :param bands: 1-based numbers of its picture.
        :raises RasterError: the picture cannot be read.
        """
        grid = sampled_grid(self._pictures[field.picture].grid, field.window, MOST_PIXELS)
        values = self.values(field.picture, field.window, bands, (grid.height, grid.width))
        return FieldView(values, field_mask(field.outline, grid), self._shape(field))

    def values(
        self, picture: int, window: Window, bands: Sequence[int], shape: Tuple[int, int]
    ) -> np.ndarray:
        """(b, *shape) float32 of a window: scale and offset applied, NaN without data.

        :raises RasterError: the picture cannot be read.
        """
        info = self._pictures[picture].info
        stored = self.stored(picture, window, bands, shape)
        valid = has_data(stored, [info.nodata[band - 1] for band in bands])
        scales, offsets = (
            np.array([each[band - 1] for band in bands], np.float32)[:, None, None]
            for each in (info.scales, info.offsets)
        )
        values = stored.astype(np.float32) * scales + offsets
        values[:, ~valid] = np.nan
        return values

    def stored(
        self, picture: int, window: Window, bands: Sequence[int], shape: Tuple[int, int]
    ) -> np.ndarray:
        """(b, *shape) of a window in the file's own numbers.

        :raises RasterError: the picture cannot be read.
        """
        if picture not in self._open:
            self.close()  # fields come picture by picture: one open file is enough
            self._open[picture] = GdalRaster(self._pictures[picture].path)
        own = (window.height, window.width)
        raster = self._open[picture]
        return raster.read(list(bands), window, shape=None if shape == own else shape)

    def close(self) -> None:
        """Release the files."""
        for raster in self._open.values():
            raster.close()
        self._open.clear()

    def _shape(self, field: PlacedField) -> FieldShape:
        ground, (high, wide) = self._grounds[field.picture], self._metres[field.picture]
        grid = self._pictures[field.picture].grid
        parts = [
            [ring * (wide, high) for ring in rings] for rings in pixel_rings(field.outline, grid)
        ]
        area = ground.hectares(field.outline) * 10_000
        return shape_of(parts, area, ground.perimeter(field.outline))


def centres_on_ground(
    placed: PlacedFields, fields: Sequence[PlacedField], context: QgsProcessingContext
) -> Tuple[np.ndarray, np.ndarray]:
    """(n,) x and y of the middle of each field in metres from the corner of its picture."""
    metres = [
        Ground(crs_of(p.grid), context.transformContext()).pixel(p.grid) for p in placed.pictures
    ]
    places = np.zeros((2, len(fields)))
    for k, field in enumerate(fields):
        window, (high, wide) = field.window, metres[field.picture]
        places[0, k] = (window.col + window.width / 2) * wide
        places[1, k] = (window.row + window.height / 2) * high
    return places[0], places[1]


def pixel_rings(outline: QgsGeometry, grid: Grid) -> List[List[np.ndarray]]:
    """The rings of each part, (k, 2) x and y in pixels of a grid, the exterior first."""
    parts = outline.asMultiPolygon() if outline.isMultipart() else [outline.asPolygon()]
    return [[_in_pixels(ring, grid) for ring in rings] for rings in parts if rings]


def sampled_grid(grid: Grid, window: Window, most: int) -> Grid:
    """The grid of a window that is read with at most so many pixels along a side."""
    step = max(1, -(-max(window.height, window.width) // most))
    height, width = -(-window.height // step), -(-window.width // step)
    across, down = window.width / width, window.height / height
    x, xc, xr, y, yc, yr = grid.window_transform(window)
    transform = (x, xc * across, xr * down, y, yc * across, yr * down)
    return Grid(width, height, transform, grid.crs)


def field_mask(outline: QgsGeometry, grid: Grid) -> np.ndarray:
    """(h, w) bool: pixels whose centre lies in a field; of a tiny one that under its inner point.

    :param outline: in map coordinates of the grid.
    """
    mask = burn([outline], grid.whole, grid)
    if not mask.any():
        inner = outline.pointOnSurface().asPoint()
        x, y = grid.to_pixel(np.float64(inner.x()), np.float64(inner.y()))
        row, col = int(np.floor(y)), int(np.floor(x))
        if grid.whole.contains(row, col):
            mask[row, col] = True
    return mask


def _in_pixels(ring: Sequence, grid: Grid) -> np.ndarray:
    places = np.array([(point.x(), point.y()) for point in ring], np.float64).reshape(-1, 2)
    return np.stack(grid.to_pixel(*places.T), axis=1)


def _picture(path: str, downwards: bool) -> PictureFile:
    info = describe(path)
    grid = info.grid
    if downwards and _is_unplaced(info):
        grid = replace(grid, transform=(0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    return PictureFile(path, info, grid)


def _is_unplaced(info: RasterInfo) -> bool:
    return not info.grid.crs and info.grid.transform == UNPLACED


def _require_places(pictures: Sequence[PictureFile], image_field: str) -> None:
    """:raises ParameterError: pictures without a place all lie in the same one."""
    if len(pictures) > 1 and not image_field and any(_is_unplaced(p.info) for p in pictures):
        raise ParameterError(
            "IMAGE_FIELD: the images have no place on the map, so a field does not show which one "
            "it belongs to; choose the field that holds the image's file name."
        )


def _placed(
    feature: QgsFeature, outline: QgsGeometry, picture: int, grid: Grid
) -> Optional[PlacedField]:
    """The field in a picture; None where it has no area or lies beside it."""
    if outline.isEmpty() or outline.type() != QgsWkbTypes.GeometryType.PolygonGeometry:
        return None
    if not outline.isGeosValid():
        outline = outline.makeValid()
        outline.convertGeometryCollectionToSubclass(QgsWkbTypes.GeometryType.PolygonGeometry)
    if outline.isEmpty() or not outline.area() > 0:
        return None
    inner = outline.pointOnSurface().asPoint()
    x, y = grid.to_pixel(np.float64(inner.x()), np.float64(inner.y()))
    window = window_of(outline, grid)
    if window is None or not (0 <= x < grid.width and 0 <= y < grid.height):
        return None
    return PlacedField(feature, picture, outline, window)


def _reason(feature: QgsFeature, has_image: bool) -> str:
    shape = feature.geometry()
    if shape.isEmpty() or not shape.area() > 0:
        return NO_GEOMETRY
    return OUTSIDE if has_image else NO_IMAGE
