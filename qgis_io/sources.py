"""Feature sources as records: references, prompts, samples, areas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Hashable, Iterator, List, Optional, Tuple

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCsException,
    QgsFeature,
    QgsFeatureSource,
    QgsField,
    QgsGeometry,
    QgsPointXY,
    QgsProcessingContext,
)

from ..core.samples.cleaning import Reason
from ..core.samples.references import Reference, SkippedReference
from .compat import INTEGER, TEXT, is_null, make_field, plain

_ID_NAMES = ("ref_id", "id")


@dataclass(frozen=True)
class ReferenceLayer:
    """A point layer as references."""

    references: Tuple[Reference, ...]
    skipped: Tuple[SkippedReference, ...]
    """Features without a point or without a class."""
    id_kind: str
    """Kind of the id column: integer or text."""
    class_field: QgsField
    class_values: Dict[Hashable, Any]
    """Label to the attribute as the user's field holds it."""
    other_fields: Tuple[QgsField, ...]
    """The user's other fields, such as a class code beside the class name."""
    other_values: Dict[Hashable, Tuple[Any, ...]]
    """Reference id to the attributes of those."""


def read_references(
    source: QgsFeatureSource,
    class_field: str,
    crs: QgsCoordinateReferenceSystem,
    context: QgsProcessingContext,
) -> ReferenceLayer:
    """Read labelled points in the reference system `crs`.

    The id is the field `ref_id` (or `id`) where its values are there and unique, else the
    feature id.
    """
    features = list(source.getFeatures())
    ids, kind = feature_ids(source, features)
    field = source.fields().field(class_field)
    references: List[Reference] = []
    skipped: List[SkippedReference] = []
    values: Dict[Hashable, Any] = {}
    for key, feature, geometry in zip(ids, features, moved(features, source, crs, context)):
        point = _single_point(geometry)
        label = _label(feature[class_field])
        if point is None:
            skipped.append(_skipped(key, label, None, Reason.NO_POINT))
        elif label is None:
            skipped.append(_skipped(key, None, point, Reason.NO_CLASS))
        else:
            values.setdefault(label, feature[class_field])
            references.append(Reference(key, label, point.x(), point.y()))
    others = [k for k in range(source.fields().count()) if source.fields().at(k) != field]
    return ReferenceLayer(
        tuple(references),
        tuple(skipped),
        kind,
        field,
        values,
        tuple(source.fields().at(k) for k in others),
        {key: tuple(f.attribute(k) for k in others) for key, f in zip(ids, features)},
    )


def _skipped(
    key: Hashable, label: Hashable, point: Optional[QgsPointXY], reason: Reason
) -> SkippedReference:
    x, y = (point.x(), point.y()) if point is not None else (float("nan"), float("nan"))
    return SkippedReference(key, label, x, y, reason)


def feature_ids(
    source: QgsFeatureSource, features: List[QgsFeature]
) -> Tuple[List[Hashable], str]:
    """One unique id a feature, and its kind."""
    for name in _ID_NAMES:
        position = source.fields().lookupField(name)
        if position < 0:
            continue
        values = [plain(feature.attribute(position)) for feature in features]
        if None in values or len({str(v) for v in values}) < len(values):
            continue
        if all(isinstance(v, int) for v in values):
            return values, INTEGER
        return [str(v) for v in values], TEXT
    return [feature.id() for feature in features], INTEGER


def moved(
    features: List[QgsFeature],
    source: QgsFeatureSource,
    crs: QgsCoordinateReferenceSystem,
    context: QgsProcessingContext,
) -> Iterator[QgsGeometry]:
    """The features' geometries in another reference system; empty where that cannot be.

    Where source or target has no reference system, coordinates are taken as they are.
    """
    known = source.sourceCrs().isValid() and crs.isValid()
    transform = QgsCoordinateTransform(
        source.sourceCrs() if known else crs, crs, context.transformContext()
    )
    for feature in features:
        geometry = QgsGeometry(feature.geometry())
        yield _transformed(geometry, transform)


def _transformed(geometry: QgsGeometry, transform: QgsCoordinateTransform) -> QgsGeometry:
    if geometry.isEmpty() or transform.isShortCircuited():
        return geometry
    try:
        geometry.transform(transform)
    except QgsCsException:
        return QgsGeometry()
    return geometry


def _single_point(geometry: QgsGeometry) -> Optional[QgsPointXY]:
    """The point of a point, or of a multipoint with one part."""
    if geometry.isEmpty():
        return None
    parts = geometry.asMultiPoint() if geometry.isMultipart() else [geometry.asPoint()]
    return parts[0] if len(parts) == 1 else None


def _label(value: Any) -> Optional[Hashable]:
    """The class as a plain value; None where there is none."""
    label = plain(value)
    if isinstance(label, str):
        return label.strip() or None
    if isinstance(label, float) and label != label:
        return None
    return label


def id_field(kind: str) -> QgsField:
    """The column for reference ids."""
    return make_field("ref_id", kind)


def labels_of(features: List[QgsFeature], name: str) -> List[Optional[Hashable]]:
    """One label a feature, None where there is none."""
    return [None if is_null(f[name]) else _label(f[name]) for f in features]
