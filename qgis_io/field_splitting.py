"""A polygon cut into several along the borders of labels on a grid."""

from __future__ import annotations

from typing import List, Optional

import numpy as np
from qgis.core import QgsCoordinateTransform, QgsCsException, QgsGeometry

from ..core.fields.coverage.planar import planar_fields
from ..core.fields.delineation.season_split import spread
from ..core.imagery.grid import Grid
from .planar_polygons import geometry_of
from .polygons import clean_polygons, without_heights

_CRUMB = 0.5
"""Share of a pixel: smaller pieces go to the part beside them."""
_ROUNDING = 1e-6
"""Share of a polygon that may be lost or doubled by roundings."""


def split_polygon(
    polygon: QgsGeometry,
    labels: np.ndarray,
    grid: Grid,
    onto: QgsCoordinateTransform,
    simplify: float,
) -> Optional[List[QgsGeometry]]:
    """The parts of a polygon, which together are the polygon and share their inner edges exactly.

    Its own outline stays as it is.

    :param polygon: in the target system of `onto`.
    :param labels: (h, w) int32 on `grid`: 1..k on the polygon, 0 beside it.
    :param onto: from the reference system of the grid.
    :param simplify: how far inner edges may leave the edges of pixels, in pixels.
    :return: k parts in the order of the labels, empty where nothing of a label is left; None
        where the polygon cannot be cut.
    """
    whole = clean_polygons(without_heights(polygon))
    covers = _covers(spread(labels), grid, onto, simplify)
    if whole.isEmpty() or covers is None:
        return None
    faces = _faces(whole, covers)
    if faces is None:
        return None
    least = _CRUMB * whole.area() / np.count_nonzero(labels)
    largest = int(np.argmax(np.bincount(labels[labels > 0])[1:]))
    found: List[List[QgsGeometry]] = [[] for _ in covers]
    crumbs = []
    for face in faces:
        if face.area() < least:
            crumbs.append(face)
        else:
            found[_owner(face, covers, largest)].append(face)
    for crumb in sorted(crumbs, key=lambda each: -each.area()):
        found[_neighbour(crumb, found, largest)].append(crumb)
    return [_joined(pieces) for pieces in found]


def _faces(whole: QgsGeometry, covers: List[QgsGeometry]) -> Optional[List[QgsGeometry]]:
    """What the borders of the covers divide a polygon into; None where that fails.

    All lines are cut where they meet at once, so that neighbours get the same points.
    """
    lines = [QgsGeometry(shape.constGet().boundary()) for shape in (whole, *covers)]
    noded = QgsGeometry.unaryUnion(lines)
    faces = QgsGeometry.polygonize([noded]).asGeometryCollection()
    inside = [face for face in faces if whole.contains(face.pointOnSurface())]
    area = sum(face.area() for face in inside)
    return inside if abs(area - whole.area()) <= _ROUNDING * whole.area() else None


def _owner(face: QgsGeometry, covers: List[QgsGeometry], largest: int) -> int:
    """Position of the cover that a face lies in; what lies beyond the grid is the largest's."""
    inner = face.pointOnSurface()
    return next((k for k, cover in enumerate(covers) if cover.contains(inner)), largest)


def _neighbour(crumb: QgsGeometry, found: List[List[QgsGeometry]], largest: int) -> int:
    """Position of the part that shares the longest edge with a crumb."""
    shared = [
        sum(crumb.intersection(piece).length() for piece in pieces if piece.intersects(crumb))
        for pieces in found
    ]
    return int(np.argmax(shared)) if max(shared) > 0 else largest


def _joined(pieces: List[QgsGeometry]) -> QgsGeometry:
    if len(pieces) < 2:
        return pieces[0] if pieces else QgsGeometry()
    return clean_polygons(QgsGeometry.unaryUnion(pieces))


def _covers(
    labels: np.ndarray, grid: Grid, onto: QgsCoordinateTransform, simplify: float
) -> Optional[List[QgsGeometry]]:
    """What each label covers, in the target system; None where it cannot be moved there."""
    shapes = [geometry_of(field, grid) for field in planar_fields(labels, simplify)]
    if onto.isShortCircuited():
        return shapes
    try:
        for shape in shapes:
            shape.transform(onto)
    except QgsCsException:
        return None
    return shapes
