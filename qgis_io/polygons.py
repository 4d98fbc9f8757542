"""Polygons made valid, moved between reference systems, rid of what roundings leave."""

from __future__ import annotations

from typing import Callable, List

import numpy as np
from qgis.core import (
    Qgis,
    QgsCoordinateTransform,
    QgsCsException,
    QgsGeometry,
    QgsPointXY,
    QgsWkbTypes,
)

from ..core.errors import OutputError
from .texts import tr

Ring = List[QgsPointXY]
"""A closed outline: the first vertex is the last, too."""


def clean_polygons(shape: QgsGeometry) -> QgsGeometry:
    """The polygons of a shape, made valid; a single one is no multipolygon; empty for none."""
    if shape.isEmpty():
        return QgsGeometry()
    valid = shape if shape.isGeosValid() else shape.makeValid()
    parts = [part for part in valid.asGeometryCollection() if _is_polygon(part)]
    if not parts:
        return QgsGeometry()
    return parts[0] if len(parts) == 1 else QgsGeometry.unaryUnion(parts)


def _is_polygon(part: QgsGeometry) -> bool:
    return part.type() == QgsWkbTypes.GeometryType.PolygonGeometry and part.area() > 0


def moved_by(
    shape: QgsGeometry, transform: QgsCoordinateTransform, backwards: bool = False
) -> QgsGeometry:
    """A copy of a shape in another reference system.

    :raises OutputError: where it lies outside the area of that system.
    """
    copy = QgsGeometry(shape)
    if copy.isEmpty() or transform.isShortCircuited():
        return copy
    direction = Qgis.TransformDirection
    failed = False
    try:
        copy.transform(transform, direction.Reverse if backwards else direction.Forward)
    except QgsCsException:
        failed = True
    if failed or not copy.boundingBox().isFinite():
        raise OutputError(
            tr(
                "The field cannot be moved between {} and {}; choose a layer whose reference "
                "system covers the image."
            ).format(
                transform.sourceCrs().userFriendlyIdentifier(),
                transform.destinationCrs().userFriendlyIdentifier(),
            )
        )
    return copy


def without_heights(shape: QgsGeometry) -> QgsGeometry:
    """A copy without heights and measures, which overlays would make up."""
    copy = QgsGeometry(shape)
    if not copy.isNull():
        copy.get().dropZValue()
        copy.get().dropMValue()
    return copy


def without_spikes(shape: QgsGeometry, width: float) -> QgsGeometry:
    """Without spikes narrower than a width in map units, or than a rounding.

    Cutting along edges that neighbours share leaves such.
    """
    far = max((abs(p.x()) + abs(p.y()) for p in shape.vertices()), default=0.0)
    width = max(width, 4 * float(np.spacing(far)))
    smooth = with_rings(shape, lambda ring: _smooth(_smooth(ring, width), width))
    return smooth if smooth.isGeosValid() else shape


def with_rings(shape: QgsGeometry, change: Callable[[Ring], Ring]) -> QgsGeometry:
    """A shape with other rings; those that become lines go."""
    polygons = []
    for part in shape.asGeometryCollection():
        rings = [change(ring) for ring in part.asPolygon()]
        if rings and len(rings[0]) > 3:
            polygons.append([rings[0], *(ring for ring in rings[1:] if len(ring) > 3)])
    if len(polygons) == 1:
        return QgsGeometry.fromPolygonXY(polygons[0])
    return QgsGeometry.fromMultiPolygonXY(polygons)


def _smooth(ring: Ring, width: float) -> Ring:
    """A closed ring without spikes and vertices that coincide; starts half way round."""
    half = len(ring) // 2
    kept: Ring = []
    for point in [*ring[half:-1], *ring[: half + 1]]:
        kept.append(point)
        while len(kept) > 1 and kept[-1].distance(kept[-2]) < width:
            del kept[-1]
        while len(kept) > 2 and _turns_back(*kept[-3:], width):
            del kept[-2]
    if len(kept) > 1:
        kept[-1] = kept[0]
    return kept


def _turns_back(before: QgsPointXY, tip: QgsPointXY, after: QgsPointXY, width: float) -> bool:
    """Whether an outline goes to a vertex and back the same way."""
    back, on = before - tip, after - tip
    along = back.x() * on.x() + back.y() * on.y()
    across = abs(back.x() * on.y() - back.y() * on.x())
    return along > 0 and across < width * max(back.length(), on.length())
