"""What differs between QGIS 3.22 and 4: fields, null values, enumerations."""

from __future__ import annotations

import datetime as dt
from typing import Any

from qgis.core import NULL, QgsField, QgsFields
from qgis.PyQt.QtCore import QDate, QDateTime, QVariant

TEXT, INTEGER, REAL, BOOLEAN, DATE = "text", "integer", "real", "boolean", "date"


def make_field(name: str, kind: str) -> QgsField:
    """A field of one of the kinds above."""
    types = {
        TEXT: QVariant.String,
        INTEGER: QVariant.LongLong,
        REAL: QVariant.Double,
        BOOLEAN: QVariant.Bool,
        DATE: QVariant.Date,
    }
    return QgsField(name, types[kind])


def make_fields(*definitions: tuple) -> QgsFields:
    """Fields from (name, kind) pairs."""
    fields = QgsFields()
    for name, kind in definitions:
        fields.append(make_field(name, kind))
    return fields


def renamed(field: QgsField, name: str) -> QgsField:
    """A copy of a field under another name."""
    copy = QgsField(field)
    copy.setName(name)
    return copy


def is_null(value: Any) -> bool:
    """Whether an attribute has no value, in any of the ways QGIS says so."""
    return value is None or value == NULL or (isinstance(value, QVariant) and value.isNull())


def plain(value: Any) -> Any:
    """An attribute as a plain Python value: dates become ISO text, null becomes None."""
    if is_null(value):
        return None
    if isinstance(value, QDate):
        return value.toString("yyyy-MM-dd")
    if isinstance(value, QDateTime):
        return value.toString("yyyy-MM-ddTHH:mm:ss")
    return value


def to_qdate(date: Any) -> Any:
    """A Python date as QDate, None as it is."""
    return QDate(date.year, date.month, date.day) if isinstance(date, dt.date) else None
