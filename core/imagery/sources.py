"""Which files make a series: the GeoTIFFs of a folder, or those that its cube.json names.

A cube.json describes the series of a cube folder (specification, crop maps, section 13):

    {"series": {"s2": {"bands": ["B02", ...], "dates": ["2022-06-01", ...],
                       "files": ["s2/20220601.tif", ...], "nodata": 0, "scale": 0.0001}}}
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..errors import SeriesError
from .bands import roles_from_names
from .dates import date_from_name

SUFFIXES = (".tif", ".tiff", ".vrt")
CUBE = "cube.json"


@dataclass(frozen=True)
class ImageFile:
    """A file, and what is known of it beyond what it says itself."""

    path: Path
    date: Optional[dt.date] = None
    roles: Optional[Mapping[str, int]] = None
    nodata: Optional[float] = None
    scale: Optional[float] = None


def image_files(folder: Path, roles: Sequence[str]) -> List[ImageFile]:
    """The files of a series.

    :param roles: of several series in a cube the first one that has these roles is taken.
    :raises SeriesError: where there is no folder, no image, or a cube.json that cannot be read.
    """
    if not folder.is_dir():
        raise SeriesError(f"SERIES: {folder} is not a folder; choose the folder of dated images.")
    if (folder / CUBE).is_file():
        return _cube_files(folder, roles)
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES)
    if not files:
        raise SeriesError(
            f"SERIES: {folder} holds no GeoTIFF; put one .tif a date there, with the date "
            "(YYYYMMDD) in the file name."
        )
    return [ImageFile(path) for path in files]


def _cube_files(folder: Path, roles: Sequence[str]) -> List[ImageFile]:
    path = folder / CUBE
    try:
        series: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["series"]
        found = [_entries(folder, part) for part in series.values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SeriesError(
            f"SERIES: {path} cannot be read as a cube ({type(error).__name__}: {error}); build the "
            "cube again or choose a folder of GeoTIFFs."
        ) from error
    if not any(found):
        raise SeriesError(f"SERIES: {path} names no image.")
    fitting = [part for part in found if part and set(roles) <= set(part[0].roles or {})]
    return fitting[0] if fitting else next(part for part in found if part)


def _entries(folder: Path, part: Mapping[str, Any]) -> List[ImageFile]:
    dates, files = part["dates"], part["files"]
    if len(dates) != len(files):
        raise ValueError(f"{len(dates)} dates but {len(files)} files")
    roles = roles_from_names([str(name) for name in part["bands"]])
    return [
        ImageFile(folder / name, date_from_name(str(date)), roles, part.get("nodata"),
                  part.get("scale"))
        for date, name in zip(dates, files)
    ]  # fmt: skip
