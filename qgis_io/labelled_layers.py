"""Layers of fields that get their labels from files of LabelMe and X-AnyLabeling."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, Dict, List, Optional, Sequence, Tuple

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsFeatureSource,
    QgsField,
    QgsFields,
)

from ..core.fields.classification.relabelling import Relabelled
from .compat import INTEGER, TEXT, make_field, plain
from .label_files import LabelFiles, ShapePlacer, crs_of_labels, joined
from .sinks import Row

KEPT, CHANGED, NEW, MISSING = "kept", "changed", "new", "missing"
_CLASS, _STATUS = "class", "status"
_Skipped = List[Tuple[Any, str]]


class LabelledLayer:
    """The polygons that labels come back to."""

    def __init__(self, source: QgsFeatureSource, column: str) -> None:
        self.crs: QgsCoordinateReferenceSystem = source.sourceCrs()
        self.column = column or _CLASS
        self._features = list(source.getFeatures())
        self._given = source.fields()
        self.fields = QgsFields()
        taken = {_STATUS, *(() if column else (_CLASS,))}
        self._positions = [
            k for k in range(self._given.count())
            if self._given.at(k).name().lower() not in taken | {"fid"}
        ]  # fmt: skip
        for position in self._positions:
            self.fields.append(self._given.at(position))
        if not column:
            self.fields.append(make_field(_CLASS, TEXT))
        self.fields.append(make_field(_STATUS, TEXT))
        self.known = {int(each.id()): self._label(each) for each in self._features}

    def rows(self, found: Relabelled, skipped: _Skipped) -> List[Row]:
        """All polygons, those with a new label changed."""
        missing = set(found.missing)
        for field, labels in found.unclear.items():
            skipped.append((field, "different new labels: " + ", ".join(labels)))
        rows: List[Row] = []
        for feature in self._features:
            number = int(feature.id())
            status = MISSING if number in missing else KEPT
            label: Any = self._label(feature) or None
            if number in found.labels:
                value, reason = _typed(found.labels[number], self._class_field())
                if reason:
                    skipped.append((number, reason))
                else:
                    label, status = value, CHANGED
            rows.append((_multi(feature), self._values(feature, label, status)))
        return rows

    def new_rows(
        self, files: LabelFiles, found: Relabelled, place: ShapePlacer, skipped: _Skipped
    ) -> List[Row]:
        """Shapes that a person drew."""
        rows: List[Row] = []
        for position in found.new:
            shape = files.shapes[position]
            outline = place(shape, files.pictures[position])
            value, reason = _typed(shape.label, self._class_field())
            if outline is None or reason:
                name = files.pictures[position].picture
                skipped.append((name, reason or "a shape that encloses nothing"))
                continue
            rows.append((outline, self._values(None, value, NEW)))
        return rows

    def _label(self, feature: QgsFeature) -> str:
        if self._given.lookupField(self.column) < 0:
            return ""
        value = plain(feature[self.column])
        return "" if value is None else str(value)

    def _class_field(self) -> QgsField:
        return self.fields.at(self.fields.lookupField(self.column))

    def _values(self, feature: Optional[QgsFeature], label: Any, status: str) -> List[Any]:
        """In the order of the fields; all others stay empty where there is no feature."""
        own = [None if feature is None else feature.attribute(k) for k in self._positions]
        values = [*own, *([None] * (self.fields.count() - len(own)))]
        place = self.fields.lookupField(self.column)
        if status in (CHANGED, NEW) or feature is None or place >= len(own):
            values[place] = label
        values[-1] = status
        return values


class BareShapes:
    """Shapes alone: each number, or each shape without one, becomes a polygon."""

    def __init__(self, files: LabelFiles) -> None:
        self.crs = crs_of_labels(files)
        self.column = _CLASS
        self.known: Dict[int, str] = {}
        self.fields = QgsFields()
        for name, kind in (
            (_CLASS, TEXT), ("group", INTEGER), ("image", TEXT), (_STATUS, TEXT),
        ):  # fmt: skip
            self.fields.append(make_field(name, kind))

    def rows(self, found: Relabelled, skipped: _Skipped) -> List[Row]:
        """There are no polygons yet."""
        return []

    def new_rows(
        self, files: LabelFiles, found: Relabelled, place: ShapePlacer, skipped: _Skipped
    ) -> List[Row]:
        """All shapes; those of one number and label are one polygon."""
        parts: Dict[Tuple, List[int]] = defaultdict(list)
        for position, shape in enumerate(files.shapes):
            alone = shape.group is None
            parts[(position,) if alone else (shape.group, shape.label)].append(position)
        return [row for positions in parts.values()
                for row in self._row(files, positions, place, skipped)]  # fmt: skip

    def _row(
        self, files: LabelFiles, positions: Sequence[int], place: ShapePlacer, skipped: _Skipped
    ) -> List[Row]:
        """One row, or none where the shapes enclose nothing."""
        shape, picture = files.shapes[positions[0]], files.pictures[positions[0]]
        outlines = [place(files.shapes[k], files.pictures[k]) for k in positions]
        drawn = [outline for outline in outlines if outline is not None]
        if not drawn:
            skipped.append((picture.picture, "a shape that encloses nothing"))
            return []
        return [(joined(drawn), [shape.label, shape.group, picture.picture, NEW])]


def _typed(label: str, field: QgsField) -> Tuple[Any, str]:
    """The label as the field holds it, or why that cannot be."""
    if not field.isNumeric():
        return label, ""
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        return None, f"its label '{label}' is no number, but the field '{field.name()}' holds some"
    return (int(value) if value.is_integer() else value), ""


def _multi(feature: QgsFeature) -> Any:
    shape = feature.geometry()
    if not shape.isNull():
        shape.convertToMultiType()
    return shape
