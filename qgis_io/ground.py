"""Lengths and areas on the ground, whatever the coordinate reference system."""

from __future__ import annotations

from typing import Tuple

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsDistanceArea,
    QgsGeometry,
    QgsPointXY,
    QgsUnitTypes,
)

from ..core.imagery.grid import Grid

_SQUARE_METRES_PER_HECTARE = 10_000.0


class Ground:
    """Measures on the ellipsoid of a reference system; plain map units where there is none."""

    def __init__(
        self, crs: QgsCoordinateReferenceSystem, context: QgsCoordinateTransformContext
    ) -> None:
        self._measure = QgsDistanceArea()
        if crs.isValid():
            self._measure.setSourceCrs(crs, context)
            self._measure.setEllipsoid(crs.ellipsoidAcronym() or "EPSG:7030")

    def hectares(self, polygon: QgsGeometry) -> float:
        """Area of a polygon."""
        area = self._measure.measureArea(polygon)
        unit = QgsUnitTypes.AreaUnit.AreaSquareMeters
        if self._measure.willUseEllipsoid():
            area = self._measure.convertAreaMeasurement(area, unit)
        return area / _SQUARE_METRES_PER_HECTARE

    def perimeter(self, polygon: QgsGeometry) -> float:
        """Length of a polygon's outline in metres, holes included."""
        return self._metres(self._measure.measurePerimeter(polygon))

    def pixel(self, grid: Grid) -> Tuple[float, float]:
        """Height and width of the pixel in the middle of a grid in metres."""
        row, col = grid.height / 2, grid.width / 2
        x, y = grid.to_map([col, col, col + 1], [row, row + 1, row])
        here, below, right = (QgsPointXY(*place) for place in zip(x, y))
        return (
            self._metres(self._measure.measureLine(here, below)),
            self._metres(self._measure.measureLine(here, right)),
        )

    def _metres(self, length: float) -> float:
        if not self._measure.willUseEllipsoid():
            return length
        unit = QgsUnitTypes.DistanceUnit.DistanceMeters
        return self._measure.convertLengthMeasurement(length, unit)


def crs_of(grid: Grid) -> QgsCoordinateReferenceSystem:
    """The reference system of a grid; an invalid one where it has none."""
    if not grid.crs:
        return QgsCoordinateReferenceSystem()
    return QgsCoordinateReferenceSystem.fromWkt(grid.crs)
