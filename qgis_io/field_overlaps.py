"""Polygons of two layers laid over each other: overlaps, and outlines that lie close together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Hashable, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCsException,
    QgsFeature,
    QgsFeatureSource,
    QgsGeometry,
    QgsProcessingContext,
    QgsSpatialIndex,
    QgsUnitTypes,
    QgsWkbTypes,
)

from ..core.evaluation.comparison import Outlines
from ..core.evaluation.objects import Overlaps
from ..core.monitor import SILENT, Monitor
from .sources import labels_of, moved

_CHECKED_EVERY = 50
"""Polygons after which progress is told and cancelling is asked for."""
_ARC_SEGMENTS = 8
"""Of a quarter circle, in the strip around an outline."""
NO_AREA = "it has no area"
OUTSIDE = "it cannot be brought into the reference system of the comparison"
TOO_SMALL = "it is smaller than MIN_AREA"


@dataclass(frozen=True)
class PolygonLayer:
    """The polygons of a layer that can be compared."""

    features: Tuple[QgsFeature, ...]
    shapes: Tuple[QgsGeometry, ...]
    """In the plane of the comparison, valid, one for each feature."""
    groups: Optional[Tuple[Optional[Hashable], ...]]
    """Group of each; None where the layer has none."""
    skipped: Tuple[Tuple[int, str], ...]
    """Feature id and reason of those that were left out."""

    @property
    def areas(self) -> np.ndarray:
        """(n,) float64, square units of the plane."""
        return np.array([shape.area() for shape in self.shapes], np.float64)


def comparison_plane(
    source: QgsFeatureSource, context: QgsProcessingContext
) -> QgsCoordinateReferenceSystem:
    """A reference system in metres to compare in: the layer's own where it is one.

    Degrees, feet and Mercator give way to an equal-area plane around the layer. Without a reference
    system there is none, and coordinates are taken as they are.
    """
    own = source.sourceCrs()
    if not own.isValid():
        return own
    metres = own.mapUnits() == QgsUnitTypes.DistanceUnit.DistanceMeters
    if metres and not own.isGeographic() and own.projectionAcronym() != "merc":
        return own
    degrees = QgsCoordinateReferenceSystem("EPSG:4326")
    move = QgsCoordinateTransform(own, degrees, context.transformContext())
    try:
        middle = move.transform(source.sourceExtent().center())
    except QgsCsException:
        return own
    plane = f"+proj=laea +lat_0={middle.y():.6f} +lon_0={middle.x():.6f} +datum=WGS84 +units=m"
    return QgsCoordinateReferenceSystem.fromProj(plane)


def read_polygons(
    source: QgsFeatureSource,
    plane: QgsCoordinateReferenceSystem,
    context: QgsProcessingContext,
    least_area: float = 0.0,
    group_field: str = "",
) -> PolygonLayer:
    """Read a layer; what cannot be compared is left out with its reason.

    :param least_area: square units of the plane; smaller polygons are left out.
    :param group_field: taken where the layer has it; empty: no groups.
    """
    features, shapes, skipped = [], [], []
    given = list(source.getFeatures())
    for feature, shape in zip(given, moved(given, source, plane, context)):
        shape = _area_of(shape)
        reason = _reason(feature, shape, least_area)
        if reason:
            skipped.append((feature.id(), reason))
        else:
            features.append(feature)
            shapes.append(shape)
    grouped = group_field and source.fields().lookupField(group_field) >= 0
    groups = tuple(labels_of(features, group_field)) if grouped else None
    return PolygonLayer(tuple(features), tuple(shapes), groups, tuple(skipped))


def _area_of(shape: QgsGeometry) -> QgsGeometry:
    """The polygons of a geometry, made valid."""
    if shape.isEmpty() or shape.type() != QgsWkbTypes.GeometryType.PolygonGeometry:
        return QgsGeometry()
    if shape.isGeosValid():
        return shape
    mended = shape.makeValid()
    # Mending may leave lines where a polygon folds back onto itself.
    mended.convertGeometryCollectionToSubclass(QgsWkbTypes.GeometryType.PolygonGeometry)
    return mended


def _reason(feature: QgsFeature, shape: QgsGeometry, least_area: float) -> str:
    if shape.isEmpty() or not shape.area() > 0:
        moved_away = not feature.geometry().isEmpty() and feature.geometry().area() > 0
        return OUTSIDE if moved_away and shape.isEmpty() else NO_AREA
    return TOO_SMALL if shape.area() < least_area else ""


def overlaps_of(fields: PolygonLayer, truths: PolygonLayer, monitor: Monitor = SILENT) -> Overlaps:
    """Areas that polygons of two layers share; those of different groups never meet.

    :raises Cancelled:
    """
    found: List[Tuple[int, int, float]] = []
    for k, near in _neighbours(fields, truths, 0.0, monitor):
        shape = fields.shapes[k]
        shared = ((j, shape.intersection(truths.shapes[j]).area()) for j in near)
        found += [(k, j, area) for j, area in shared if area > 0]
    table = np.array(found, np.float64).reshape(-1, 3)
    return Overlaps(
        table[:, 0].astype(np.int64),
        table[:, 1].astype(np.int64),
        table[:, 2],
        fields.areas,
        truths.areas,
    )


def outlines_near(
    layer: PolygonLayer, other: PolygonLayer, distance: float, monitor: Monitor = SILENT
) -> Outlines:
    """How much of each outline of a layer lies within a distance of an outline of the other.

    :param distance: in units of the plane.
    :raises Cancelled:
    """
    own = [_outline(shape) for shape in layer.shapes]
    others = [_outline(shape) for shape in other.shapes]
    near = np.zeros(len(own))
    for k, neighbours in _neighbours(layer, other, distance, monitor):
        if neighbours:
            lines = QgsGeometry.collectGeometry([others[j] for j in neighbours])
            strip = lines.buffer(distance, _ARC_SEGMENTS)
            near[k] = own[k].intersection(strip).length()
    return Outlines(near, np.array([line.length() for line in own], np.float64))


def _outline(shape: QgsGeometry) -> QgsGeometry:
    return QgsGeometry(shape.constGet().boundary())


def _neighbours(
    layer: PolygonLayer, other: PolygonLayer, distance: float, monitor: Monitor
) -> Iterator[Tuple[int, Sequence[int]]]:
    """Each polygon with those of the other layer whose boxes are within a distance."""
    index = QgsSpatialIndex()
    for j, shape in enumerate(other.shapes):
        index.addFeature(j, shape.boundingBox())
    grouped = layer.groups is not None and other.groups is not None
    for k, shape in enumerate(layer.shapes):
        if k % _CHECKED_EVERY == 0:
            monitor.check()
            monitor.progress(k / len(layer.shapes))
        near = index.intersects(shape.boundingBox().buffered(distance))
        if grouped:
            near = [j for j in near if other.groups[j] == layer.groups[k]]
        yield k, sorted(near)
