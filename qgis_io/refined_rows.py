"""The layer that refinement writes: the given one with some polygons replaced by their parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

from qgis.core import QgsFeature, QgsFeatureSource, QgsFields, QgsGeometry, QgsWkbTypes

from ..core.fields.delineation.field_measures import FieldMeasures
from .compat import BOOLEAN, REAL, is_null, make_field, renamed
from .field_refinement import FieldPart, measured
from .field_views import PlacedField
from .ground import Ground
from .sinks import Row

_OURS = (("edge_ratio", REAL), ("entropy", REAL), ("refined", BOOLEAN))
_OF_SHAPE = ("area_ha", "perimeter_m")
"""Columns of numbers that are worked out anew for parts."""


@dataclass(frozen=True)
class RefinedFields:
    """What became of n fields."""

    fields: Sequence[PlacedField]
    measures: FieldMeasures
    parts: Dict[int, Sequence[FieldPart]]
    """Of the fields that were split, by position."""


class RefinedLayer:
    """The columns of the layer, and its rows."""

    def __init__(self, source: QgsFeatureSource, ground: Ground) -> None:
        """:param ground: measures in the layer's reference system."""
        self._source = source
        self._ground = ground
        self.fields = _columns(source.fields())
        self.wkb = source.wkbType()
        """As given, so that what is not split stays as it is."""
        if QgsWkbTypes.geometryType(self.wkb) != QgsWkbTypes.GeometryType.PolygonGeometry:
            self.wkb = QgsWkbTypes.Type.MultiPolygon

    def rows(self, refined: RefinedFields) -> List[Row]:
        """All rows in the order of the layer."""
        position = {field.feature.id(): k for k, field in enumerate(refined.fields)}
        rows: List[Row] = []
        for feature in self._source.getFeatures():
            k = position.get(feature.id())
            if k is not None and k in refined.parts:
                for part in refined.parts[k]:
                    rows += self._part_rows(feature, part)
            else:
                numbers = (None, None) if k is None else measured(refined.measures, k)
                rows.append(self._unchanged(feature, numbers))
        return rows

    def _unchanged(self, feature: QgsFeature, numbers: Sequence[Optional[float]]) -> Row:
        """A field as it was; our columns are filled where they are empty."""
        values = self._given(feature)
        for (name, _), value in zip(_OURS, (*numbers, False)):
            place = self.fields.lookupField(name)
            if is_null(values[place]):
                values[place] = value
        return (feature.geometry() if feature.hasGeometry() else None), values

    def _part_rows(self, feature: QgsFeature, part: FieldPart) -> List[Row]:
        """A part of a field; of several pieces where the layer holds single polygons only."""
        values = self._given(feature)
        for (name, _), value in zip(_OURS, (part.edge_ratio, part.entropy, True)):
            values[self.fields.lookupField(name)] = value
        shapes = part.shape.coerceToType(self.wkb)
        return [(shape, self._with_measures(values, shape)) for shape in shapes]

    def _given(self, feature: QgsFeature) -> List[Any]:
        values = list(feature.attributes())
        return values + [None] * (self.fields.count() - len(values))

    def _with_measures(self, values: Sequence[Any], shape: QgsGeometry) -> List[Any]:
        values = list(values)
        measures = self._ground.hectares(shape), self._ground.perimeter(shape)
        for name, value in zip(_OF_SHAPE, measures):
            place = self.fields.lookupField(name)
            if place >= 0 and self.fields.at(place).isNumeric():
                values[place] = value
        return values


def _columns(given: QgsFields) -> QgsFields:
    """The given columns, then ours; one of ours that is there and fits is used."""
    fields = QgsFields()
    for position in range(given.count()):
        field = given.at(position)
        kind = dict(_OURS).get(field.name().lower())
        fits = kind is None or field.type() == make_field("", kind).type()
        fields.append(field if fits else renamed(field, f"field_{field.name()}"))
    for name, kind in _OURS:
        if fields.lookupField(name) < 0:
            fields.append(make_field(name, kind))
    return fields
