"""Fields cut out of their pictures, and whole pictures with the outlines of their fields."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from qgis.core import QgsGeometry, QgsPointXY, QgsProcessingContext, QgsRectangle

from ..core.fields.classification.crops import on_square, seen_part, square_around
from ..core.fields.classification.labelme import (
    LabelledPicture,
    LabelledShape,
    Placement,
    keyhole,
)
from ..core.imagery.composite import Range, stretch
from ..core.imagery.grid import Grid, Window
from ..core.imagery.nodata import has_data
from ..core.imagery.pictures import default_bands
from ..core.imagery.raster_writing import write_geotiff
from ..core.imagery.scene_images import measured_image
from ..core.report.pictures import png
from .field_views import (
    FieldReader,
    PictureFile,
    PlacedField,
    field_mask,
    pixel_rings,
)
from .polygons import clean_polygons

MOST_SIDE = 2048
"""Pixels along a side of a crop; of larger fields every k-th row and column is taken."""
_BYTES: Range = (0.0, 255.0)


@dataclass(frozen=True)
class Crop:
    """A field in the middle of a square."""

    values: np.ndarray
    """(b, side, side) in the picture's own numbers; 0 or no data beside the picture."""
    valid: np.ndarray
    """(side, side) bool: pixels with data."""
    mask: np.ndarray
    """(side, side) bool: pixels of the field."""
    grid: Grid
    """Of the square."""
    window: Window
    """Of the picture's pixels; it may reach beyond the picture."""
    blank: float
    """What stands for no data in `values`."""

    def without_background(self) -> Crop:
        """The field alone."""
        values = self.values.copy()
        values[:, ~self.mask] = self.blank
        return replace(self, values=values)


class CropCutter:
    """Cuts fields out of pictures; for one thread. Call `close` in the end."""

    def __init__(self, pictures: Sequence[PictureFile], context: QgsProcessingContext) -> None:
        self._pictures = pictures
        self._reader = FieldReader(pictures, context)

    def cut(
        self, field: PlacedField, bands: Sequence[int], margin: float, most: int = MOST_SIDE
    ) -> Crop:
        """The square around a field.

        :param bands: 1-based numbers.
        :param margin: share of the field's longer side, on each side.
        :raises RasterError: the picture cannot be read.
        """
        picture = self._pictures[field.picture]
        square = square_around(field.window, margin)
        seen = seen_part(square, picture.grid)
        step = max(1, -(-square.height // most))
        shape = -(-seen.height // step), -(-seen.width // step)
        stored = self._reader.stored(field.picture, seen, bands, shape)
        nodata = [picture.info.nodata[band - 1] for band in bands]
        valid = has_data(stored, nodata)
        blank = _blank(nodata[0], stored.dtype)
        values = on_square(stored, seen, square, blank, step)
        known = on_square(valid[None].astype(np.uint8), seen, square, 0, step)[0] > 0
        grid = _square_grid(picture.grid, square, values.shape[1])
        return Crop(values, known, field_mask(field.outline, grid), grid, square, blank)

    def tile(
        self, picture: int, window: Window, bands: Sequence[int]
    ) -> Tuple[np.ndarray, np.ndarray]:
        """(b, h, w) a part of a picture in its own numbers, and (h, w) bool where it has data.

        :raises RasterError: the picture cannot be read.
        """
        stored = self._reader.stored(picture, window, bands, (window.height, window.width))
        nodata = self._pictures[picture].info.nodata
        return stored, has_data(stored, [nodata[band - 1] for band in bands])

    def close(self) -> None:
        """Release the files."""
        self._reader.close()


class Painter:
    """Makes what is read of pictures into colours for the eye."""

    def __init__(self, pictures: Sequence[PictureFile], bands: Sequence[int]) -> None:
        """:param bands: 1-based numbers of red, green and blue; empty: by name, else the first.

        :raises ParameterError: a picture shows nothing.
        """
        self._pictures = pictures
        self._chosen = tuple(bands)
        self._ranges: Dict[int, Tuple[Range, ...]] = {}

    def bands(self, picture: int) -> Tuple[int, ...]:
        """1-based numbers of red, green and blue in a picture."""
        return self._chosen or default_bands(self._pictures[picture].info.band_names)

    def colours(
        self, picture: int, values: np.ndarray, valid: Optional[np.ndarray] = None
    ) -> np.ndarray:
        """(h, w, 3) uint8 of (3, h, w) values; pictures of bytes stay as they are."""
        if picture not in self._ranges:
            self._ranges[picture] = self._measured(picture)
        return stretch(values, valid, self._ranges[picture])

    def _measured(self, picture: int) -> Tuple[Range, ...]:
        file = self._pictures[picture]
        if file.in_bytes:
            return (_BYTES,) * 3
        return measured_image(file.path, self.bands(picture)).ranges


def save_png(path: Path, image: np.ndarray) -> None:
    """Write (h, w, 3) uint8."""
    path.write_bytes(png(image))


def save_crop(path: Path, crop: Crop, picture: PictureFile, bands: Sequence[int]) -> None:
    """Write the crop's own numbers as a GeoTIFF.

    :raises OutputError: it cannot be written.
    """
    names = [picture.info.band_names[band - 1] for band in bands]
    write_geotiff(path, crop.values, crop.grid, names, picture.info.nodata[bands[0] - 1])


def labelled_tile(
    name: str,
    picture: PictureFile,
    window: Window,
    fields: Sequence[Tuple[PlacedField, str]],
) -> LabelledPicture:
    """The outlines of fields on a part of a picture, cut at its edge.

    :param name: file name of the part.
    :param fields: each with its label.
    """
    shapes: List[LabelledShape] = []
    edge = QgsGeometry.fromRect(QgsRectangle(0, 0, window.width, window.height))
    for field, label in fields:
        outline = _on_tile(field.outline, picture.grid, window)
        inside = clean_polygons(outline.intersection(edge))
        for rings in pixel_rings(inside, _PIXELS):
            line = keyhole(rings)
            shapes.append(LabelledShape(label, line, int(field.feature.id()), label))
    place = Placement(picture.grid.window_transform(window), picture.grid.crs)
    return LabelledPicture(name, window.height, window.width, tuple(shapes), place)


def touching(fields: Sequence[PlacedField], picture: int, window: Window) -> List[PlacedField]:
    """The fields of a picture whose windows meet another one."""
    return [
        field
        for field in fields
        if field.picture == picture
        and field.window.row < window.row + window.height
        and window.row < field.window.row + field.window.height
        and field.window.col < window.col + window.width
        and window.col < field.window.col + field.window.width
    ]


_PIXELS = Grid(1, 1, (0.0, 1.0, 0.0, 0.0, 0.0, 1.0))


def _on_tile(outline: QgsGeometry, grid: Grid, window: Window) -> QgsGeometry:
    """An outline in pixels of a part of a picture."""
    offset = np.array([window.col, window.row], np.float64)
    parts = [
        [[QgsPointXY(x, y) for x, y in (ring - offset).tolist()] for ring in rings]
        for rings in pixel_rings(outline, grid)
    ]
    shape = QgsGeometry.fromMultiPolygonXY(parts)
    return shape if shape.isGeosValid() else shape.makeValid()


def _blank(nodata: Optional[float], dtype: np.dtype) -> float:
    """The value for no data, 0 where there is none or the pixels cannot hold it."""
    if nodata is None or dtype.kind == "f":
        return 0 if nodata is None else nodata
    limits = np.iinfo(dtype)
    return nodata if limits.min <= nodata <= limits.max else 0


def _square_grid(grid: Grid, square: Window, side: int) -> Grid:
    """The grid of a square that is read as `side` pixels."""
    scale = square.height / side
    x, xc, xr, y, yc, yr = grid.window_transform(square)
    return Grid(side, side, (x, xc * scale, xr * scale, y, yc * scale, yr * scale), grid.crs)
