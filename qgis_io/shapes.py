"""Shapes between pixels and map: masks to polygons, polygons to masks."""

from __future__ import annotations

from typing import Iterable, List, Optional

import numpy as np
from osgeo import gdal, ogr
from qgis.core import QgsGeometry, QgsRectangle

from ..core.fields.field_mask import FieldMask
from ..core.imagery.grid import Grid, Window
from ..core.imagery.raster_gdal import quiet

_SMALLEST_SHARE = 0.25
"""A simplified outline with less than this share of the pixels' area gives way to the exact one."""


def polygon_of(mask: np.ndarray, window: Window, grid: Grid) -> QgsGeometry:
    """The outline of a mask along pixel edges, with holes, in map coordinates.

    :param mask: (h, w) bool within `window`; 4-connected pieces become parts.
    """
    source = _memory_raster(window, grid)
    source.GetRasterBand(1).WriteArray(mask.astype(np.uint8))
    vectors = ogr.GetDriverByName("Memory").CreateDataSource("")
    layer = vectors.CreateLayer("mask", None, ogr.wkbPolygon)
    gdal.Polygonize(source.GetRasterBand(1), source.GetRasterBand(1), layer, -1, [])
    parts = [_valid(_geometry(feature.GetGeometryRef())) for feature in layer]
    return parts[0] if len(parts) == 1 else QgsGeometry.collectGeometry(parts)


def outline_of(field: FieldMask, grid: Grid, pixels: float) -> QgsGeometry:
    """The outline of a field as one multi-polygon in map coordinates.

    :param pixels: how far it may leave the edges of the pixels; 0: not at all.
    """
    exact = polygon_of(field.mask, field.window, grid)
    _, xc, xr, _, yc, yr = grid.transform
    tolerance = pixels * abs(xc * yr - xr * yc) ** 0.5
    shape = exact.simplify(tolerance) if tolerance > 0 else exact
    if not shape.isGeosValid():
        shape = shape.makeValid()
    if shape.isEmpty() or shape.area() < _SMALLEST_SHARE * exact.area():
        shape = exact
    shape.convertToMultiType()
    return shape


class PolygonMask:
    """Which pixels of a grid lie in polygons: pixel centres, window by window."""

    def __init__(self, polygons: Iterable[QgsGeometry], grid: Grid) -> None:
        """:param polygons: in the reference system of the grid."""
        self._grid = grid
        self._polygons: List[QgsGeometry] = [p for p in polygons if not p.isEmpty()]

    def __call__(self, window: Window) -> np.ndarray:
        """(h, w) bool."""
        near = [p for p in self._polygons if p.boundingBox().intersects(self._extent(window))]
        return burn(near, window, self._grid)

    def _extent(self, window: Window) -> QgsRectangle:
        rows = np.array([window.row, window.row, window.row + window.height])
        cols = np.array([window.col, window.col + window.width, window.col])
        x, y = self._grid.to_map(
            np.append(cols, window.col + window.width), np.append(rows, window.row + window.height)
        )
        return QgsRectangle(x.min(), y.min(), x.max(), y.max())


def burn(polygons: Iterable[QgsGeometry], window: Window, grid: Grid) -> np.ndarray:
    """(h, w) bool: pixels of a window whose centre lies in one of the polygons."""
    target = _memory_raster(window, grid)
    vectors = ogr.GetDriverByName("Memory").CreateDataSource("")
    layer = vectors.CreateLayer("polygons", None, ogr.wkbUnknown)
    for polygon in polygons:
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetGeometry(ogr.CreateGeometryFromWkb(bytes(polygon.asWkb())))
        layer.CreateFeature(feature)
    with quiet():  # it warns that neither side has a reference system: they share one
        gdal.RasterizeLayer(target, [1], layer, burn_values=[1])
    return target.GetRasterBand(1).ReadAsArray().astype(bool)


def window_of(polygon: QgsGeometry, grid: Grid) -> Optional[Window]:
    """The smallest window that covers a polygon, cut at the grid; None where they do not meet."""
    box = polygon.boundingBox()
    x = np.array([box.xMinimum(), box.xMaximum(), box.xMinimum(), box.xMaximum()])
    y = np.array([box.yMinimum(), box.yMinimum(), box.yMaximum(), box.yMaximum()])
    cols, rows = grid.to_pixel(x, y)
    first_row, last_row = max(0, int(np.floor(rows.min()))), min(grid.height, _up(rows))
    first_col, last_col = max(0, int(np.floor(cols.min()))), min(grid.width, _up(cols))
    if first_row >= last_row or first_col >= last_col:
        return None
    return Window(first_row, first_col, last_row - first_row, last_col - first_col)


def _up(values: np.ndarray) -> int:
    return int(np.ceil(values.max()))


def _valid(polygon: QgsGeometry) -> QgsGeometry:
    """The same area without rings that touch themselves at corners of pixels (older GDAL)."""
    if polygon.isGeosValid():
        return polygon
    mended = polygon.makeValid()
    mended.convertToSingleType()
    return mended


def _geometry(shape: ogr.Geometry) -> QgsGeometry:
    geometry = QgsGeometry()
    geometry.fromWkb(bytes(shape.ExportToWkb()))
    return geometry


def _memory_raster(window: Window, grid: Grid) -> gdal.Dataset:
    driver = gdal.GetDriverByName("MEM")
    dataset = driver.Create("", window.width, window.height, 1, gdal.GDT_Byte)
    dataset.SetGeoTransform(grid.window_transform(window))
    return dataset
