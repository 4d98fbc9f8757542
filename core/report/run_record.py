"""The run record: one JSON beside each output that says how it was made and repeats it.

Values that JSON has no word for are replaced: NaN and infinities by null, numpy scalars and arrays
by plain numbers and lists, paths and dates by their text.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from pathlib import Path

import numpy as np

from ..errors import OutputError, ParameterError

FORMAT = 1
"""Raised when a reader of the old format would misread the new one."""
SUFFIX = ".run.json"


def utc_now() -> str:
    """The time now as ISO 8601 in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class RunRecord:
    """What one run was given, what it did and what it wrote."""

    algorithm: str
    """Processing id, for example furrow:generatesamples."""
    furrow_version: str
    parameters: Mapping[str, object]
    """Name and value as `qgis_process` takes them: sources and paths, not layer objects."""
    created: str = field(default_factory=utc_now)
    """ISO 8601, UTC."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Software name and version."""
    model: Mapping[str, str] = field(default_factory=dict)
    """`id` and `sha256` of the segmenter; empty where none was used."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Number at each stage, in order."""
    skipped: Sequence[Mapping[str, str]] = ()
    """One {id, reason} for each input that was skipped."""
    suspicious: Sequence[Mapping[str, object]] = ()
    """One {id, class, nearest_class, margin} for each reference that looks mislabelled."""
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Reason and number of rejected pixels."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time of each stage."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Output parameter and path."""
    command: Sequence[str] = ()
    """The call that repeats the run; made from `parameters` when empty."""

    def to_json(self) -> str:
        """The record as indented JSON text."""
        content = {"format": FORMAT}
        content.update((item.name, getattr(self, item.name)) for item in dataclasses.fields(self))
        content["command"] = self.command or repeat_command(self.algorithm, self.parameters)
        return json.dumps(json_safe(content), ensure_ascii=False, indent=2, allow_nan=False) + "\n"

    def write_beside(self, output_path: str | os.PathLike) -> Path:
        """Write `<output>.run.json`, whole or not at all, and return its path."""
        path = record_path(output_path)
        # A lone surrogate (a file name that is no UTF-8) becomes \udcXX, which JSON reads back.
        text = self.to_json().encode("utf-8", errors="backslashreplace")
        try:
            _replace(path, text)
        except OSError as error:
            raise OutputError(
                f"The run record {path} cannot be written ({error.strerror or error}); "
                "choose a folder that you may write to."
            ) from error
        return path


def record_path(output_path: str | os.PathLike) -> Path:
    """Where the record of an output lies; a layer name after | is no part of the path."""
    return Path(os.fspath(output_path).split("|")[0] + SUFFIX)


def _replace(path: Path, content: bytes) -> None:
    # Not tempfile: its files are readable by their owner only, and stay so after the move.
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: str | os.PathLike) -> RunRecord:
    """Read a record. Keys that this version does not know are passed over."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ParameterError(f"{path} cannot be read as a run record: {error}.") from error
    known = {item.name for item in dataclasses.fields(RunRecord)}
    needed = {"algorithm", "furrow_version", "parameters"}
    if not isinstance(content, dict) or not needed <= content.keys():
        raise ParameterError(f"{path} is no run record; choose a file that ends in {SUFFIX}.")
    return RunRecord(**{key: value for key, value in content.items() if key in known})


def json_safe(value: object) -> object:
    """The same value in words that JSON has; what cannot be said otherwise becomes its text."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return _collection_safe(value)


def _collection_safe(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return json_safe(value.tolist())
    if isinstance(value, (set, frozenset)):
        return sorted((json_safe(item) for item in value), key=str)
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    return str(value)


def repeat_command(algorithm: str, parameters: Mapping[str, object]) -> list[str]:
    """The words of a `qgis_process` call that runs the algorithm with these parameters.

    A list becomes one word for each value, as `qgis_process` expects; None is left out, so that
    the default applies.
    """
    words = ["qgis_process", "run", algorithm, "--"]
    for name, value in parameters.items():
        safe = value.tolist() if isinstance(value, np.ndarray) else value
        values = safe if isinstance(safe, (list, tuple)) else (safe,)
        words += [f"{name}={_argument(item)}" for item in values if item is not None]
    return words


def _argument(value: object) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return json.dumps(json_safe(value), ensure_ascii=False)
    return str(json_safe(value))
