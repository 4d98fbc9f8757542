"""The acquisition date of an image, from its file name or its tags."""

from __future__ import annotations

import datetime as dt
import re
from typing import Iterable, Mapping, Optional

import numpy as np

_FULL = re.compile(r"(?<!\d)((?:19|20)\d{2})([-_]?)(\d{2})\2(\d{2})(?!\d)")
_DAY_OF_YEAR = re.compile(r"(?<!\d)((?:19|20)\d{2})(\d{3})(?!\d)")
_TAGS = ("ACQUISITIONDATETIME", "TIFFTAG_DATETIME", "DATE")


def date_from_name(name: str) -> Optional[dt.date]:
    """The first valid YYYYMMDD, YYYY-MM-DD or YYYYDDD in a file name, or None."""
    for match in _FULL.finditer(name):
        found = _calendar_date(*(int(match.group(k)) for k in (1, 3, 4)))
        if found:
            return found
    for match in _DAY_OF_YEAR.finditer(name):
        found = _ordinal_date(int(match.group(1)), int(match.group(2)))
        if found:
            return found
    return None


def date_from_tags(tags: Mapping[str, str]) -> Optional[dt.date]:
    """The date in ACQUISITIONDATETIME, TIFFTAG_DATETIME (YYYY:MM:DD ...) or DATE, or None."""
    for tag in _TAGS:
        text = str(tags.get(tag, ""))[:10].replace(":", "-").replace("/", "-")
        found = date_from_name(text)
        if found:
            return found
    return None


def day_numbers(dates: Iterable[dt.date]) -> np.ndarray:
    """Proleptic ordinal day numbers, (T,) float64, so that differences are days."""
    return np.array([date.toordinal() for date in dates], dtype=np.float64)


def _calendar_date(year: int, month: int, day: int) -> Optional[dt.date]:
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


def _ordinal_date(year: int, day: int) -> Optional[dt.date]:
    if not 1 <= day <= 366:
        return None
    found = dt.date(year, 1, 1) + dt.timedelta(days=day - 1)
    return found if found.year == year else None
