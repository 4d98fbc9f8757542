"""What the user has set: preferences of the user's profile, and the state kept in a project.

Both may come from elsewhere (an older version, another person's project, a text editor), so
whatever cannot be used is read as its default.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from qgis.core import QgsProject, QgsSettings

from ..core.places import Places
from ..qgis_io.places import profile_folder

PREFIX = "furrow/"
SCOPE = "furrow"
KEY = "state"
LIMITS: Mapping[str, Tuple[float, float]] = {
    "window": (64, 1024),
    "memory_mb": (16, 65536),
    "disk_mb": (0, 1048576),
    "simplify": (0.0, 10.0),
    "web_metres": (0.05, 1000.0),
}
"""The lowest and the highest value of each number."""
NEW_LAYERS = ("memory", "geopackage")
LOOKS = ("false_colour", "true_colour", "bands", "styled")

_Reader = Callable[[str, Any], Any]


@dataclass(frozen=True)
class Preferences:
    """What holds for all projects of a user."""

    model: str = ""
    """Id of the segmentation model; empty: the registry's default."""
    window: int = 200
    """Side of the square that is looked at around a click, in pixels."""
    memory_mb: int = 256
    """How much memory encoded windows may take, in megabytes."""
    disk_mb: int = 2048
    """How much of the disk encoded windows may take, in megabytes; 0 keeps none there."""
    cache_folder: str = ""
    """Where encoded windows are kept; empty: in the user's profile."""
    hover: bool = True
    """Whether the field under the pointer is outlined before the click."""
    share_edges: bool = True
    """Whether a new field takes over the edges of its neighbours."""
    simplify: float = 0.5
    """How far a simplified outline may lie from the pixels' edges, in pixels."""
    web_metres: float = 10.0
    """Size of a pixel when a web layer is looked at, in metres."""
    new_layer: str = "memory"
    """What the first field makes where there is no target layer: memory or geopackage."""


@dataclass(frozen=True)
class ProjectState:
    """What the dock was set to in a project."""

    image_layer: str = ""
    """Id of the raster layer; empty: none."""
    look: str = LOOKS[0]
    """Which colours are looked at, one of LOOKS."""
    bands: Optional[Tuple[int, int, int]] = None
    """Bands shown as red, green and blue, from 1; None unless the look is "bands"."""
    model: str = ""
    """Id of the segmentation model; empty: that of the preferences."""
    target_layer: str = ""
    """Id of the polygon layer; empty: a new one at the first field."""
    class_name: str = ""
    """Name of the current class."""
    series_folder: str = ""
    """Folder of the dated images."""
    mapping: Dict[str, str] = field(default_factory=dict)
    """What is written ("class", "code") to the column of the target layer that takes it."""


def read_preferences() -> Preferences:
    """The user's preferences; values of a wrong type or out of range are the defaults."""
    settings = QgsSettings()
    found = {}
    for name in _names(Preferences):
        value = _PREFERENCES[name](name, settings.value(PREFIX + name))
        if value is not None:
            found[name] = value
    return Preferences(**found)


def write_preferences(preferences: Preferences) -> None:
    """Keep the preferences in the user's profile."""
    settings = QgsSettings()
    for name, value in asdict(preferences).items():
        settings.setValue(PREFIX + name, value)


def cache_path(preferences: Preferences) -> Path:
    """The folder of the encoded windows; it need not exist yet."""
    if preferences.cache_folder:
        return Path(preferences.cache_folder)
    return Places.under(profile_folder()).embeddings


def read_project(project: QgsProject) -> ProjectState:
    """What the dock was set to when the project was saved."""
    text, _ = project.readEntry(SCOPE, KEY, "")
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return ProjectState()
    if not isinstance(entries, dict):
        return ProjectState()
    values = {name: _STATE[name](name, entries.get(name)) for name in _names(ProjectState)}
    found = {name: value for name, value in values.items() if value is not None}
    if found.get("series_folder"):
        found["series_folder"] = project.readPath(found["series_folder"])
    return ProjectState(**found)


def write_project(project: QgsProject, state: ProjectState) -> None:
    """Keep the state in the project, the folder relative to it as the project's paths are."""
    entries = asdict(state)
    if state.series_folder:
        entries["series_folder"] = project.writePath(state.series_folder)
    project.writeEntry(SCOPE, KEY, json.dumps(entries, ensure_ascii=False))


def _names(kind: type) -> Tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


def _text(name: str, value: Any) -> Optional[str]:
    return value if isinstance(value, str) else None


def _real(name: str, value: Any) -> Optional[float]:
    """A number within its limits; the settings file may give it as a text."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    low, high = LIMITS[name]
    return number if math.isfinite(number) and low <= number <= high else None


def _whole(name: str, value: Any) -> Optional[int]:
    number = _real(name, value)
    return int(number) if number is not None and number.is_integer() else None


def _switch(name: str, value: Any) -> Optional[bool]:
    known = {"true": True, "false": False, "1": True, "0": False}
    return known.get(str(value).lower())


def _new_layer(name: str, value: Any) -> Optional[str]:
    return value if value in NEW_LAYERS else None


def _look(name: str, value: Any) -> Optional[str]:
    return value if value in LOOKS else None


def _bands(name: str, value: Any) -> Optional[Tuple[int, int, int]]:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return None
    good = all(isinstance(band, int) and band > 0 and band is not True for band in value)
    return (value[0], value[1], value[2]) if good else None


def _mapping(name: str, value: Any) -> Optional[Dict[str, str]]:
    if not isinstance(value, dict):
        return None
    return {role: column for role, column in value.items() if isinstance(column, str)}


_PREFERENCES: Mapping[str, _Reader] = {
    "model": _text,
    "window": _whole,
    "memory_mb": _whole,
    "disk_mb": _whole,
    "cache_folder": _text,
    "hover": _switch,
    "share_edges": _switch,
    "simplify": _real,
    "web_metres": _real,
    "new_layer": _new_layer,
}
_STATE: Mapping[str, _Reader] = {
    "image_layer": _text,
    "look": _look,
    "bands": _bands,
    "model": _text,
    "target_layer": _text,
    "class_name": _text,
    "series_folder": _text,
    "mapping": _mapping,
}
