"""A field on the grid of a series: its pixels, what is read of them, and how it is cut in two.

Polygons become pixels on the main thread; what reads them gets rows and columns and no layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCsException,
    QgsGeometry,
    QgsProject,
    QgsWkbTypes,
)

from ...core.imagery.grid import Grid, Window
from ...core.imagery.indices import Index
from ...core.imagery.series import Series
from ...core.monitor import Monitor
from ...core.samples.profiles import Profiles, read_profiles
from ...core.samples.seasons import (
    FieldSeason,
    TwoSeasons,
    season_of,
    smaller_part,
    two_seasons,
)
from ...qgis_io.ground import crs_of
from ...qgis_io.shapes import burn, polygon_of, window_of
from ...qgis_io.texts import tr

_LARGEST = 500_000
"""Pixels of the rectangle around a field that is read."""


@dataclass(frozen=True)
class FieldPixels:
    """The pixels of a field on the grid of the series."""

    window: Window
    packed: bytes
    """The mask of the window, 8 pixels a byte; with the window, what tells fields apart."""

    @property
    def places(self) -> Tuple[np.ndarray, np.ndarray]:
        """(n,) int64 rows and columns on the grid."""
        shape = self.window.height, self.window.width
        bits = np.unpackbits(np.frombuffer(self.packed, dtype=np.uint8), count=shape[0] * shape[1])
        rows, cols = np.nonzero(bits.reshape(shape))
        return rows + self.window.row, cols + self.window.col


@dataclass(frozen=True)
class Reading:
    """What is known of a field once it is read."""

    season: FieldSeason
    two: Optional[TwoSeasons]
    pixels: int
    """Number of pixels."""
    broken: int
    """Images that could not be read."""


Readings = List[Tuple[FieldPixels, Reading]]


def read_fields(
    series: Series, index: Index, fields: Sequence[FieldPixels], monitor: Monitor
) -> Readings:
    """Read fields, each image once.

    :raises FurrowError: where no image can be read.
    :raises Cancelled:
    """
    places = [field.places for field in fields]
    rows, cols = (np.concatenate(parts) for parts in zip(*places))
    profiles = read_profiles(series, rows, cols, index, monitor)
    ends = np.cumsum([len(rows) for rows, _ in places])
    found: Readings = []
    for field, (own_rows, own_cols), end in zip(fields, places, ends):
        monitor.check()
        part = slice(end - len(own_rows), end)
        own = Profiles(profiles.values[part], profiles.valid[part], profiles.dates)
        two = two_seasons(own, own_rows, own_cols)
        broken = len(profiles.broken)
        found.append((field, Reading(season_of(own), two, len(own_rows), broken)))
    return found


def place_field(
    polygon: QgsGeometry, crs: QgsCoordinateReferenceSystem, grid: Grid
) -> Union[FieldPixels, str]:
    """The pixels of a polygon, or a sentence that says why there are none."""
    shape = moved(polygon, crs, crs_of(grid))
    window = None if shape is None or shape.isEmpty() else window_of(shape, grid)
    if window is None:
        return tr("The field lies outside the images of the series.")
    if window.height * window.width > _LARGEST:
        return tr("The field is too large: its season is shown up to {} pixels.").format(_LARGEST)
    mask = burn([shape], window, grid)
    if not mask.any():
        return tr("The field is smaller than a pixel of the series.")
    return FieldPixels(window, np.packbits(mask).tobytes())


def moved(
    polygon: QgsGeometry, source: QgsCoordinateReferenceSystem, target: QgsCoordinateReferenceSystem
) -> Optional[QgsGeometry]:
    """A copy in another reference system; None where that cannot be.

    Where source or target has no reference system, coordinates are taken as they are.
    """
    shape = QgsGeometry(polygon)
    if source.isValid() and target.isValid() and source != target:
        try:
            shape.transform(QgsCoordinateTransform(source, target, QgsProject.instance()))
        except QgsCsException:
            return None
    return shape


def cut_field(
    polygon: QgsGeometry, field: FieldPixels, two: TwoSeasons, grid: Grid
) -> List[QgsGeometry]:
    """The two parts of a field, the larger first: together the field, cut along pixel edges.

    :param polygon: in the reference system of the grid, as all that is returned.
    """
    whole = polygon if polygon.isGeosValid() else polygon.makeValid()
    mask, window = smaller_part(two.labels, *field.places)
    smaller = whole.intersection(polygon_of(mask, window, grid))
    return [_areas(whole.difference(smaller)), _areas(smaller)]


def _areas(shape: QgsGeometry) -> QgsGeometry:
    """Without the lines and points that an intersection may leave."""
    shape.convertGeometryCollectionToSubclass(QgsWkbTypes.GeometryType.PolygonGeometry)
    if shape.isMultipart() and shape.constGet().numGeometries() == 1:
        shape.convertToSingleType()
    return shape
