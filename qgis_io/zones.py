"""Points and polygons of a layer as zones of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np
from qgis.core import (
    QgsFeature,
    QgsFeatureSource,
    QgsGeometry,
    QgsProcessingContext,
    QgsWkbTypes,
)

from ..core.imagery.grid import Grid
from ..core.samples.zones import Zones, gather
from .ground import crs_of
from .shapes import burn, window_of
from .sources import moved

_NOTHING = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class ZoneLayer:
    """Features with their pixels."""

    features: Tuple[QgsFeature, ...]
    shapes: Tuple[QgsGeometry, ...]
    """In the reference system of the grid; empty where that cannot be."""
    zones: Zones

    @property
    def sizes(self) -> np.ndarray:
        """(n,) pixels of each feature; 0 outside the grid."""
        return np.bincount(self.zones.zone, minlength=self.zones.count)


def read_zones(source: QgsFeatureSource, grid: Grid, context: QgsProcessingContext) -> ZoneLayer:
    """The pixels under points, and those whose centres lie in polygons.

    A polygon smaller than a pixel gets the pixel under its inner point.
    """
    features = list(source.getFeatures())
    shapes = list(moved(features, source, crs_of(grid), context))
    return ZoneLayer(tuple(features), tuple(shapes), gather([_pixels(s, grid) for s in shapes]))


def _pixels(shape: QgsGeometry, grid: Grid) -> Tuple[np.ndarray, np.ndarray]:
    if shape.isEmpty():
        return _NOTHING
    if shape.type() == QgsWkbTypes.GeometryType.PolygonGeometry:
        return _polygon_pixels(shape, grid)
    return _point_pixels([(p.x(), p.y()) for p in shape.vertices()], grid)


def _point_pixels(places: List[Tuple[float, float]], grid: Grid) -> Tuple[np.ndarray, np.ndarray]:
    x, y = grid.to_pixel(*np.array(places, dtype=np.float64).T)
    rows, cols = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    inside = (rows >= 0) & (rows < grid.height) & (cols >= 0) & (cols < grid.width)
    return rows[inside], cols[inside]


def _polygon_pixels(shape: QgsGeometry, grid: Grid) -> Tuple[np.ndarray, np.ndarray]:
    window = window_of(shape, grid)
    if window is None:
        return _NOTHING
    rows, cols = np.nonzero(burn([shape], window, grid))
    if len(rows) == 0:
        inner = shape.pointOnSurface().asPoint()
        return _point_pixels([(inner.x(), inner.y())], grid)
    return rows + window.row, cols + window.col
