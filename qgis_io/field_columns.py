"""The columns of a layer of fields: which there are, which fit, what is written to them."""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple, Union

import numpy as np
from qgis.core import QgsField, QgsFields, QgsVectorLayer

from .compat import DATE, INTEGER, REAL, TEXT, is_null, make_field, make_fields, to_qdate

_NUMBER = (INTEGER, REAL)
_FITTING: Dict[str, Tuple[Tuple[Tuple[str, ...], Tuple[str, ...]], ...]] = {
    "class_name": (
        (("class", "class_name", "classname", "crop", "crop_name", "cropname", "crop_type",
          "croptype", "label", "land_use", "landuse"), (TEXT,)),
    ),
    "code": (
        (("code", "class_code", "crop_code", "cropcode", "class_id", "crop_id", "label_id"),
         (*_NUMBER, TEXT)),
        (("class", "crop", "crop_type", "croptype", "label", "land_use", "landuse"), _NUMBER),
    ),
    "score": ((("score", "confidence", "mask_score"), (REAL,)),),
    "area_ha": ((("area_ha", "areaha", "hectares", "ha", "area_hectares"), (REAL,)),),
    "date": ((("date", "image_date"), (DATE, TEXT)),),
    "model": ((("model", "model_name"), (TEXT,)),),
    "image": ((("image", "image_name", "source_image", "scene"), (TEXT,)),),
    "clicks": ((("clicks", "n_clicks"), _NUMBER),),
}  # fmt: skip
"""What goes into which columns: names, best first, and kinds."""


@dataclass(frozen=True)
class FieldMapping:
    """Names of the target layer's columns; what has an empty name is not written."""

    class_name: str = "class"
    code: str = "code"
    score: str = "score"
    area_ha: str = "area_ha"
    """Hectares on the ground."""
    date: str = "date"
    """Of the image."""
    model: str = "model"
    image: str = "image"
    clicks: str = "clicks"

    @classmethod
    def guess(cls, layer: QgsVectorLayer) -> FieldMapping:
        """Columns of a layer whose names and types fit, each for one thing."""
        fields = layer.fields()
        free = {
            re.sub(r"[\s-]", "_", fields.at(k).name().lower()): fields.at(k)
            for k in reversed(range(fields.count()))
            if fields.fieldOrigin(k) in _writable_origins()
        }
        found = {}
        for role, choices in _FITTING.items():
            fitting = (
                name
                for names, kinds in choices
                for name in names
                if name in free and _kind(free[name]) in kinds
            )
            name = next(fitting, "")
            found[role] = free.pop(name).name() if name else ""
        return cls(**found)


@dataclass(frozen=True)
class FieldValues:
    """What is written of a field beside its shape and area."""

    class_name: str
    code: Optional[Union[int, str]]
    score: float
    """0 to 1; NaN is not written."""
    date: Optional[dt.date]
    """Of the image."""
    model: str
    image: str
    clicks: int


def field_columns() -> QgsFields:
    """All columns of a layer that is made for fields."""
    own = FieldMapping()
    return make_fields(
        (own.class_name, TEXT),
        (own.code, TEXT),  # the one type that holds every code
        (own.score, REAL),
        (own.area_ha, REAL),
        (own.date, DATE),
        (own.model, TEXT),
        (own.image, TEXT),
        (own.clicks, INTEGER),
    )


def _writable_origins() -> Tuple[Any, ...]:
    """Neither joined nor virtual columns."""
    return QgsFields.FieldOrigin.OriginProvider, QgsFields.FieldOrigin.OriginEdit


def _kind(field: QgsField) -> str:
    """The kind of a column, empty for those that hold nothing of a field."""
    if field.isNumeric():
        return REAL if field.type() == make_field("", REAL).type() else INTEGER
    if field.isDateOrTime():
        return DATE if _converted(field, dt.date(2000, 1, 1)) is not None else ""
    return TEXT if field.type() == make_field("", TEXT).type() else ""


def attributes_of(
    fields: QgsFields, mapping: FieldMapping, written: Dict[str, Any]
) -> Dict[int, Any]:
    """Position of a column to what it holds; what a column cannot hold is left out.

    :param written: values by the names of the mapping: `{"area_ha": 1.5}`.
    """
    found = {}
    for role, value in written.items():
        name = getattr(mapping, role)
        position = fields.lookupField(name) if name else -1
        held = None if position < 0 else _converted(fields.at(position), value)
        if held is not None:
            found[position] = held
    return found


def _converted(field: QgsField, value: Any) -> Any:
    """A value as a column holds it, None where it cannot."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dt.date):
        value = to_qdate(value)
    if value is None or isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, str) and 0 < field.length() < len(value) and _kind(field) == TEXT:
        value = value[: field.length()]
    try:
        held = field.convertCompatible(value)
    except ValueError:
        return None
    return None if is_null(held) else held
