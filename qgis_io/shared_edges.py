"""Neighbouring fields that share their edges: no overlap, no sliver between them.

A new field gives way to the fields that are there. Where a gap of at most the tolerance is left
between it and them, the gap becomes part of it: the closing (dilation, then erosion) of both
together tells where. What is there is cut off last, so the common edge runs through the
neighbours' own vertices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np
from qgis.core import (
    Qgis,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsFeatureRequest,
    QgsGeometry,
    QgsPointXY,
    QgsRectangle,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtGui import QTransform
from scipy.spatial import cKDTree

from ..core.errors import OutputError
from .polygons import (
    Ring,
    clean_polygons,
    moved_by,
    with_rings,
    without_heights,
    without_spikes,
)
from .texts import tr

# In tolerances (about pixels):
_REACH = 1.01
"""Widest gap that is closed: a little more than one, so that a gap of exactly one is."""
_INSET = 0.01
"""Fillings end this much before the corners of what they join, so that outlines never run
along each other to within rounding (GEOS' buffers are exact to 1 % of their width);
`_SAME_PLACE` takes it back."""
_SAME_PLACE = 0.05
"""Vertices nearer than this to one of a neighbour or of the new field move onto it."""
_ON_EDGE = 1e-6
"""Vertices nearer than this to a neighbour's edge lie on it."""
_ROUNDING = 1e-8
"""Spikes narrower than this, and vertices nearer to each other, are rounding."""
_NO_AREA = 1e-8
"""Holes and pieces smaller than this are rounding."""
_CRACK = 1e-4
"""Holes may be open to their surroundings by twice this much; narrower spikes go."""
_POCKET = 1.0
"""Holes larger than this are no corners, but gaps among the neighbours."""
_THIN = 2.0
"""Pieces that are nowhere wider are slivers where the field itself is wider."""
_CRUMB = 0.02
"""Pieces cut off by neighbours with less than this share of the field are slivers."""
_SWALLOWED = 0.1
"""A field of which less than this share is left belongs to its neighbours."""
_MITRE_LIMIT = 2.0

Neighbours = Sequence[QgsGeometry]


def fitted(
    shape: QgsGeometry,
    layer: QgsVectorLayer,
    shape_crs: QgsCoordinateReferenceSystem,
    transform_context: QgsCoordinateTransformContext,
    tolerance: float,
    own_fid: Optional[int] = None,
) -> QgsGeometry:
    """A new field made to fit between the fields of a layer, uncommitted ones included.

    :param tolerance: in map units of `shape_crs`, about a pixel; 0 closes no gaps.
    :param own_fid: a feature that gives no way, as when a field is drawn anew.
    :returns: valid polygons in `shape_crs`; empty where neighbours hold nearly all of it.
    :raises OutputError: where the reference systems do not fit or the shapes cannot be cut.
    """
    transform = QgsCoordinateTransform(shape_crs, layer.crs(), transform_context)
    field = clean_polygons(without_heights(moved_by(shape, transform)))
    if field.isEmpty():
        return QgsGeometry()
    scale = _Scale.at(field, shape, transform, max(tolerance, 0.0))
    neighbours = _neighbours(layer, scale.around(field), own_fid)
    if not neighbours:
        return clean_polygons(shape)
    if tolerance <= 0:
        return moved_by(_cut(field, neighbours), transform, backwards=True)
    cut = _cut(_joined(field, _filling(field, neighbours, scale)), neighbours)
    cut = _cut(_joined(cut, _pockets(cut, neighbours, scale)), neighbours)
    pixel = min(scale.width, scale.height)
    # Before vertices move: the tip of a spike may be near a vertex of the wrong side.
    smooth = without_spikes(cut, _CRACK * pixel)
    tidy = _cut(_on_shared_vertices(smooth, neighbours, field, scale), neighbours)
    left = _without_slivers(tidy, field, neighbours, scale)
    return moved_by(without_spikes(left, _ROUNDING * pixel), transform, backwards=True)


@dataclass(frozen=True)
class _Scale:
    """Coordinates in which the tolerance is 1 along both axes, near a place."""

    x: float
    y: float
    """Origin in map coordinates of the layer."""
    width: float
    height: float
    """The tolerance along the axes in map units of the layer."""

    @classmethod
    def at(
        cls,
        field: QgsGeometry,
        shape: QgsGeometry,
        transform: QgsCoordinateTransform,
        tolerance: float,
    ) -> _Scale:
        """The scale in the middle of a shape; `field` is the same in the layer's system."""
        box, middle = field.boundingBox(), shape.boundingBox().center()
        steps = [(0.0, 0.0), (tolerance, 0.0), (0.0, tolerance)]
        places = [QgsPointXY(middle.x() + right, middle.y() + up) for right, up in steps]
        moved = [moved_by(QgsGeometry.fromPointXY(p), transform).asPoint() for p in places]
        here, beside, above = ((p.x(), p.y()) for p in moved)
        width, height = (float(np.hypot(beside[k] - here[k], above[k] - here[k])) for k in range(2))
        return cls(box.xMinimum(), box.yMinimum(), width, height)

    def around(self, field: QgsGeometry) -> QgsRectangle:
        """The box in which neighbours may touch a field."""
        box = field.boundingBox()
        right, up = 2 * self.width, 2 * self.height
        return QgsRectangle(
            box.xMinimum() - right, box.yMinimum() - up, box.xMaximum() + right, box.yMaximum() + up
        )

    def to_local(self, shape: QgsGeometry) -> QgsGeometry:
        """From map coordinates of the layer."""
        matrix = QTransform(1 / self.width, 0, 0, 1 / self.height, 0, 0)
        local = QgsGeometry(shape)
        local.translate(-self.x, -self.y)
        local.transform(matrix)
        return local

    def to_map(self, shape: QgsGeometry) -> QgsGeometry:
        """Back to map coordinates of the layer."""
        there = QgsGeometry(shape)
        there.transform(QTransform(self.width, 0, 0, self.height, 0, 0))
        there.translate(self.x, self.y)
        return there


def _neighbours(
    layer: QgsVectorLayer, box: QgsRectangle, own_fid: Optional[int]
) -> List[QgsGeometry]:
    """The fields near a box; they may overlap each other."""
    request = QgsFeatureRequest().setFilterRect(box).setSubsetOfAttributes([])
    shapes = [
        clean_polygons(without_heights(feature.geometry()))
        for feature in layer.getFeatures(request)
        if feature.id() != own_fid
    ]
    return [shape for shape in shapes if not shape.isEmpty()]


def _filling(field: QgsGeometry, neighbours: Neighbours, scale: _Scale) -> QgsGeometry:
    """The gaps between a field and its neighbours, with a rim of both, in map coordinates.

    Only what the field adds: gaps among the neighbours alone are theirs.
    """
    inner, outer = _rounded(scale.to_local(field)), _near(neighbours, field, scale)
    if outer.isEmpty():
        return QgsGeometry()
    together = _closed(_joined(inner, outer), 2 * _INSET)
    for shape in (inner, outer):
        together = _overlay(together.intersection(_grown(shape, _REACH)))
    return scale.to_map(_overlay(together.difference(_closed(outer, 3 * _INSET))))


def _pockets(field: QgsGeometry, neighbours: Neighbours, scale: _Scale) -> QgsGeometry:
    """Narrow holes between a field and its neighbours, with a rim, in map coordinates.

    They lie in sharp corners, which no closing reaches.
    """
    if field.isEmpty():
        return QgsGeometry()
    inner = _rounded(scale.to_local(field))
    both = _grown(_joined(inner, _near(neighbours, field, scale)), _CRACK)
    rings = [ring for part in both.asGeometryCollection() for ring in part.asPolygon()[1:]]
    holes = [QgsGeometry.fromPolygonXY([ring]) for ring in rings]
    found = [
        _grown(hole, _INSET)
        for hole in holes
        if _NO_AREA < hole.area() < _POCKET
        and hole.distance(inner) < _SAME_PLACE
        and _grown(hole, -_REACH / 2).isEmpty()
    ]
    return scale.to_map(_overlay(QgsGeometry.unaryUnion(found))) if found else QgsGeometry()


def _near(neighbours: Neighbours, field: QgsGeometry, scale: _Scale) -> QgsGeometry:
    """What of the neighbours may touch a field, in local coordinates."""
    box = QgsGeometry.fromRect(scale.around(field))
    pieces = [_overlay(shape.intersection(box)) for shape in neighbours]
    found = [_rounded(scale.to_local(piece)) for piece in pieces if not piece.isEmpty()]
    return _overlay(QgsGeometry.unaryUnion(found)) if found else QgsGeometry()


def _rounded(shape: QgsGeometry) -> QgsGeometry:
    """Local coordinates on a fine grid: no overlay fails over edges a rounding apart."""
    return clean_polygons(shape.snappedToGrid(_ON_EDGE, _ON_EDGE))


def _joined(field: QgsGeometry, other: QgsGeometry) -> QgsGeometry:
    """Both together; either may be empty."""
    if field.isEmpty() or other.isEmpty():
        return other if field.isEmpty() else field
    return _overlay(field.combine(other))


def _closed(shape: QgsGeometry, inset: float) -> QgsGeometry:
    """Dilated by half the reach and eroded by as much, and the inset."""
    return _grown(_grown(shape, _REACH / 2), -_REACH / 2 - inset)


def _grown(shape: QgsGeometry, distance: float) -> QgsGeometry:
    """Dilated, or eroded where the distance is negative; right angles stay right angles."""
    return _overlay(
        shape.buffer(distance, 4, Qgis.EndCapStyle.Flat, Qgis.JoinStyle.Miter, _MITRE_LIMIT)
    )


def _cut(shape: QgsGeometry, neighbours: Neighbours) -> QgsGeometry:
    """What is left of a shape between its neighbours."""
    for neighbour in neighbours:
        if shape.isEmpty():
            return QgsGeometry()
        # One by one: edges that the neighbours share are no edges of a union that may fail.
        shape = _overlay(shape.difference(neighbour))
    return clean_polygons(shape)


def _overlay(result: QgsGeometry) -> QgsGeometry:
    """The polygons of an overlay's result; QGIS returns null where it fails."""
    if result.isNull():
        raise OutputError(
            tr(
                "The field cannot be cut along its neighbours ({reason}); turn shared edges off "
                "for it, or mend the neighbours with Fix geometries."
            ).format(reason=result.lastError() or tr("unknown reason"))
        )
    polygons = result.type() == QgsWkbTypes.GeometryType.PolygonGeometry
    return result if polygons else clean_polygons(result)


def _without_slivers(
    left: QgsGeometry, field: QgsGeometry, neighbours: Neighbours, scale: _Scale
) -> QgsGeometry:
    """The pieces that are fields; none where the neighbours hold nearly all of the field."""
    body = _Body.of(scale.to_local(field))
    around = scale.to_local(QgsGeometry.collectGeometry(neighbours))
    kept, size = [], 0.0
    for part in left.asGeometryCollection():
        local = scale.to_local(part)
        share = body.share(local)
        apart = local.area() > _NO_AREA and local.distance(around) > _SAME_PLACE
        if share >= _CRUMB or apart:
            kept.append(part)
            size += share
    if size < _SWALLOWED:
        return QgsGeometry()
    return kept[0] if len(kept) == 1 else QgsGeometry.collectGeometry(kept)


@dataclass(frozen=True)
class _Body:
    """What counts of a field when its pieces are judged: where it is more than thin."""

    inset: float
    area: float

    @classmethod
    def of(cls, field: QgsGeometry) -> _Body:
        """Narrow fields count as a whole."""
        body = _grown(field, -_THIN / 2).area()
        if body >= _SWALLOWED * field.area():
            return cls(_THIN / 2, body)
        return cls(0.0, field.area())

    def share(self, part: QgsGeometry) -> float:
        """Share of the field's body that a piece has."""
        body = _grown(part, -self.inset) if self.inset else part
        return body.area() / self.area


def _on_shared_vertices(
    shape: QgsGeometry, neighbours: Neighbours, field: QgsGeometry, scale: _Scale
) -> QgsGeometry:
    """Vertices that are a rounding or an inset away from one that was there move onto it."""
    return clean_polygons(with_rings(shape, _Vertices(neighbours, field, scale).moved))


class _Vertices:
    """Vertices that others move onto: the neighbours' first, then the field's own."""

    def __init__(self, neighbours: Neighbours, field: QgsGeometry, scale: _Scale) -> None:
        self._scale = scale
        together = QgsGeometry.collectGeometry(neighbours)
        self._edges = scale.to_local(together)
        self._theirs, self._own = _coordinates(together), _coordinates(field)
        self._unit = np.array([scale.width, scale.height])

    def moved(self, ring: Ring) -> Ring:
        """A closed ring on those vertices, without vertices that coincide then."""
        places = np.array([(p.x(), p.y()) for p in ring])
        theirs, nearest = self._close(places, self._theirs)
        moved = np.where(theirs[:, None], self._theirs[nearest], places)
        own, nearest = self._close(places, self._own)
        own &= ~theirs
        # What lies on a neighbour's edge stays on it.
        own[own] = [
            self._on_edge(target) or not self._on_edge(place)
            for place, target in zip(places[own], self._own[nearest[own]])
        ]
        moved = np.where(own[:, None], self._own[nearest], moved)
        changed = np.append(True, (np.diff(moved, axis=0) != 0).any(axis=1))
        return [QgsPointXY(x, y) for x, y in moved[changed]]

    def _close(self, places: np.ndarray, onto: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """(n,) bool and (n,) position of the nearest vertex."""
        distance, nearest = cKDTree(onto / self._unit).query(places / self._unit)
        return distance < _SAME_PLACE, nearest

    def _on_edge(self, place: np.ndarray) -> bool:
        point = QgsGeometry.fromPointXY(QgsPointXY(*place))
        return self._edges.distance(self._scale.to_local(point)) < _ON_EDGE


def _coordinates(shape: QgsGeometry) -> np.ndarray:
    """(n, 2) float64 vertices."""
    return np.array([(p.x(), p.y()) for p in shape.vertices()], dtype=np.float64)
