"""The layers of `generatesamples`: samples, fields and rejected pixels as rows."""

from __future__ import annotations

import math
from typing import Any, Hashable, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from qgis.core import QgsFields, QgsGeometry, QgsPointXY

from ..core.imagery.grid import Grid
from ..core.samples.cleaning import Reason
from ..core.samples.generation import Generated
from ..core.samples.references import SkippedReference
from .compat import BOOLEAN, DATE, INTEGER, REAL, TEXT, make_field, renamed, to_qdate
from .sinks import Row
from .sources import ReferenceLayer, id_field

_COLUMNS = (
    ("origin", TEXT),
    ("distance", REAL),
    ("similarity", REAL),
    ("n_valid", INTEGER),
    ("n_interp", INTEGER),
    ("margin", REAL),
    ("nearest_class", TEXT),
    ("suspicious", BOOLEAN),
    ("mask_rule", TEXT),
    ("mask_score", REAL),
    ("image_date", DATE),
    ("model", TEXT),
)
_FIELD_COLUMNS = (
    ("score", REAL),
    ("area_ha", REAL),
    ("date", DATE),
    ("model", TEXT),
    ("n_candidates", INTEGER),
    ("n_kept", INTEGER),
    ("suspicious", BOOLEAN),
    ("cut_off", BOOLEAN),
)
_TAKEN = frozenset(name for name, _ in (*_COLUMNS, ("ref_id", ""), ("fid", ""), ("reason", "")))


class SampleLayers:
    """Rows and fields of the three layers of one run."""

    def __init__(self, result: Generated, layer: ReferenceLayer, rule: str, model: str) -> None:
        self.grid: Grid = result.grid
        self._result = result
        self._layer = layer
        self._rule = rule
        self._model = model
        # The user's other columns, but for names that Furrow needs.
        taken = _TAKEN | {self.class_column.lower()}
        names = [field.name().lower() for field in layer.other_fields]
        self._others = [
            k for k, name in enumerate(names) if name not in taken and name not in names[:k]
        ]
        self._x, self._y = result.grid.centres(result.candidates.rows, result.candidates.cols)

    @property
    def class_column(self) -> str:
        """The user's class field; with `class_` before it where the name is one of ours."""
        name = self._layer.class_field.name()
        return f"class_{name}" if name.lower() in _TAKEN else name

    @property
    def class_values(self) -> List[Any]:
        """The classes as the user's field holds them."""
        return list(self._layer.class_values.values())

    def sample_fields(self) -> QgsFields:
        """Columns of OUTPUT."""
        fields = QgsFields()
        fields.append(id_field(self._layer.id_kind))
        fields.append(renamed(self._layer.class_field, self.class_column))
        for position in self._others:
            fields.append(self._layer.other_fields[position])
        for name, kind in _COLUMNS:
            fields.append(make_field(name, kind))
        return fields

    def rejected_fields(self) -> QgsFields:
        """Columns of REJECTED."""
        fields = self.sample_fields()
        fields.append(make_field("reason", TEXT))
        return fields

    def field_fields(self) -> QgsFields:
        """Columns of FIELDS."""
        fields = QgsFields()
        fields.append(id_field(self._layer.id_kind))
        fields.append(renamed(self._layer.class_field, "class"))
        for name, kind in _FIELD_COLUMNS:
            fields.append(make_field(name, kind))
        return fields

    def samples(self) -> Iterator[Row]:
        """References that are trusted, each followed by its samples."""
        kept = self._result.candidates.kept
        for k in range(len(self._result.placed.references)):
            if self._trusted(k):
                yield self._reference_row(k)
            for n in np.flatnonzero(kept & (self._result.candidates.owner == k)):
                yield self._candidate_row(int(n))

    def rejected(self) -> Iterator[Row]:
        """Candidates that are no samples, suspicious and skipped references."""
        candidates = self._result.candidates
        for n in np.flatnonzero(~candidates.kept):
            geometry, values = self._candidate_row(int(n))
            yield geometry, [*values, candidates.reason[n].value]
        for k in range(len(self._result.placed.references)):
            if not self._trusted(k):
                geometry, values = self._reference_row(k)
                yield geometry, [*values, Reason.SUSPICIOUS.value]
        for skipped in (*self._layer.skipped, *self._result.skipped):
            yield self._skipped_row(skipped)

    def fields(self, shapes: Sequence[QgsGeometry], areas: Sequence[float]) -> Iterator[Row]:
        """One polygon a reference."""
        candidates = self._result.candidates
        count = len(self._result.placed.references)
        grown = np.bincount(candidates.owner, minlength=count)
        kept = np.bincount(candidates.owner[candidates.kept], minlength=count)
        for k, reference in enumerate(self._result.placed.references):
            found = self._result.fields[k]
            yield shapes[k], [
                reference.id,
                self._class(reference.label),
                found.score,
                areas[k],
                to_qdate(found.date),
                self._model,
                int(grown[k]),
                int(kept[k]),
                bool(self._result.verdict.suspicious[k]),
                found.cut_off,
            ]

    def _trusted(self, k: int) -> bool:
        return self._result.keep_suspicious or not self._result.verdict.suspicious[k]

    def _class(self, label: Optional[Hashable]) -> Any:
        return self._layer.class_values.get(label)

    def _other_values(self, reference: Hashable) -> Tuple[Any, ...]:
        """The user's other attributes of a reference."""
        values = self._layer.other_values[reference]
        return tuple(values[k] for k in self._others)

    def _reference_row(self, k: int) -> Row:
        result = self._result
        reference, profile = result.placed.references[k], result.reference_profile_of[k]
        return _point(reference.x, reference.y), [
            reference.id,
            self._class(reference.label),
            *self._other_values(reference.id),
            "reference",
            0.0,
            1.0,
            int(result.profiles.n_valid[profile]),
            int(result.profiles.n_interpolated[profile]),
            _number(result.verdict.margin[k]),
            str(result.verdict.nearest_class[k]),
            bool(result.verdict.suspicious[k]),
            *self._mask_columns(k),
        ]

    def _candidate_row(self, n: int) -> Row:
        result, candidates = self._result, self._result.candidates
        k = int(candidates.owner[n])
        reference = result.placed.references[k]
        return _point(self._x[n], self._y[n]), [
            reference.id,
            self._class(reference.label),
            *self._other_values(reference.id),
            "generated",
            _number(candidates.distance[n]),
            _number(result.similarity[n]),
            int(candidates.n_valid[n]),
            int(candidates.n_interpolated[n]),
            _number(candidates.margin[n]),
            str(candidates.nearest_class[n]),
            bool(result.verdict.suspicious[k]),
            *self._mask_columns(k),
        ]

    def _mask_columns(self, k: int) -> Tuple[Any, ...]:
        found = self._result.fields[k]
        return self._rule, found.score, to_qdate(found.date), self._model

    def _skipped_row(self, skipped: SkippedReference) -> Row:
        values: List[Any] = [None] * len(_COLUMNS)
        values[0] = "reference"
        geometry = None if math.isnan(skipped.x) else _point(skipped.x, skipped.y)
        label = self._class(skipped.label)
        others = self._other_values(skipped.id)
        return geometry, [skipped.id, label, *others, *values, skipped.reason.value]


def _point(x: float, y: float) -> QgsGeometry:
    return QgsGeometry.fromPointXY(QgsPointXY(float(x), float(y)))


def _number(value: float) -> Optional[float]:
    """A plain float; None where there is none."""
    return None if math.isnan(value) else round(float(value), 6)
