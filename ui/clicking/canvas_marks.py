"""What the click tool draws on the canvas: the outline, the clicks, the box."""

from __future__ import annotations

from typing import List, Optional, Sequence

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCsException,
    QgsGeometry,
    QgsPointXY,
    QgsProject,
    QgsWkbTypes,
)
from qgis.gui import QgsMapCanvas, QgsMapCanvasItem, QgsRubberBand, QgsVertexMarker
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor

from ...core.fields.sketch import Mark
from ...core.imagery.grid import Grid

_FILL, _HOVER_FILL = 70, 35
"""Opacity of the outline's inside, 0..255: of a clicked field, and of one under the cursor."""
_ON, _OFF = QColor("#009e73"), QColor("#d55e00")


class CanvasMarks:
    """Canvas items of one field; gone after `clear`."""

    def __init__(self, canvas: QgsMapCanvas) -> None:
        self._canvas = canvas
        self._outline: Optional[QgsRubberBand] = None
        self._items: List[QgsMapCanvasItem] = []

    def show_outline(
        self, shape: QgsGeometry, crs: QgsCoordinateReferenceSystem, colour: str, hover: bool
    ) -> None:
        """Draw a field in the colour of its class; a field under the cursor is dashed."""
        if self._outline is None:
            self._outline = QgsRubberBand(self._canvas, QgsWkbTypes.GeometryType.PolygonGeometry)
            self._outline.setWidth(2)
        fill = QColor(colour)
        fill.setAlpha(_HOVER_FILL if hover else _FILL)
        self._outline.setStrokeColor(QColor(colour))
        self._outline.setSecondaryStrokeColor(QColor(255, 255, 255, 150))
        self._outline.setFillColor(fill)
        self._outline.setLineStyle(Qt.PenStyle.DashLine if hover else Qt.PenStyle.SolidLine)
        self._outline.setToGeometry(self._moved(shape, crs), None)
        self._outline.show()

    def hide_outline(self) -> None:
        """Draw no field."""
        if self._outline is not None:
            self._outline.reset(QgsWkbTypes.GeometryType.PolygonGeometry)

    def show_marks(
        self, marks: Sequence[Mark], grid: Grid, crs: QgsCoordinateReferenceSystem
    ) -> None:
        """Draw the clicks and the last box."""
        self._drop_items()
        boxes = [mark for mark in marks if mark.is_box]
        for mark in [*(m for m in marks if not m.is_box), *boxes[-1:]]:
            item = self._box(mark, grid, crs) if mark.is_box else self._click(mark, grid, crs)
            self._items.append(item)

    def clear(self) -> None:
        """Take everything off the canvas."""
        self._drop_items()
        if self._outline is not None:
            self._canvas.scene().removeItem(self._outline)
            self._outline = None

    def _click(self, mark: Mark, grid: Grid, crs: QgsCoordinateReferenceSystem) -> QgsVertexMarker:
        x, y = grid.to_map(*mark.places)
        shape = self._moved(QgsGeometry.fromPointXY(QgsPointXY(float(x), float(y))), crs)
        item = QgsVertexMarker(self._canvas)
        item.setCenter(shape.asPoint())
        icons = QgsVertexMarker.IconType
        item.setIconType(icons.ICON_CROSS if mark.foreground else icons.ICON_X)
        item.setColor(_ON if mark.foreground else _OFF)
        item.setPenWidth(3)
        item.setIconSize(12)
        return item

    def _box(self, mark: Mark, grid: Grid, crs: QgsCoordinateReferenceSystem) -> QgsRubberBand:
        left, top, right, bottom = mark.places
        x, y = grid.to_map([left, right, right, left], [top, top, bottom, bottom])
        ring = [QgsPointXY(float(a), float(b)) for a, b in zip(x, y)]
        item = QgsRubberBand(self._canvas, QgsWkbTypes.GeometryType.PolygonGeometry)
        item.setStrokeColor(_ON)
        item.setFillColor(QColor(0, 0, 0, 0))
        item.setLineStyle(Qt.PenStyle.DotLine)
        item.setToGeometry(self._moved(QgsGeometry.fromPolygonXY([ring]), crs), None)
        return item

    def _drop_items(self) -> None:
        for item in self._items:
            self._canvas.scene().removeItem(item)
        self._items.clear()

    def _moved(self, shape: QgsGeometry, crs: QgsCoordinateReferenceSystem) -> QgsGeometry:
        """A copy in the reference system of the canvas; empty where it cannot be shown there."""
        moved = QgsGeometry(shape)
        there = self._canvas.mapSettings().destinationCrs()
        if not crs.isValid() or not there.isValid() or crs == there:
            return moved
        try:
            moved.transform(QgsCoordinateTransform(crs, there, QgsProject.instance()))
        except QgsCsException:
            return QgsGeometry()
        return moved
