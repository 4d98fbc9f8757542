"""What is here and what fails, as a text to copy into a report. It names no user."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import shutil
import sys
from pathlib import Path
from typing import List, Mapping, Sequence

from ...core.downloads import in_words
from ...core.errors import DependencyError
from ...core.places import Places
from . import environment, own_packages
from .index import DEFAULT_INDEX
from .installing import without_secrets
from .interpreter import find_own_python, look_at
from .machine import here
from .obtaining import Sources, shown_size
from .own_packages import State
from .packages import Packages

_HOMES = re.compile(r"(?i)([a-z]:[\\/]+users[\\/]+|/home/|/users/)[^\\/\s:;'\"]+")
_ASKED = ("numpy", "scipy", "onnxruntime", "torch")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def diagnosis(
    places: Places,
    pinned: Packages,
    sources: Sources,
    program: Mapping[str, str],
    lines: Sequence[str] = (),
) -> str:
    """A text of some thirty lines. Starts other programs, so it is for the background.

    :param program: what is to be told of QGIS and Furrow, such as versions, by name.
    :param lines: the last ones of what was installed.
    """
    told = [
        *(f"{name}: {value}" for name, value in program.items()),
        f"System: {platform.platform()}",
        f"Python of QGIS: {platform.python_version()} ({here()})",
        f"Python as a program: {find_own_python() or 'not found'}",
        *(f"{name} of QGIS: {_version(name)}" for name in _ASKED),
        "",
        "ONNX models",
        *_told(own_packages.state(places.packages, pinned), places.packages),
        "",
        "PyTorch models",
        *_environment(places.environment),
        "",
        f"Package index: {'the usual one' if sources.index == DEFAULT_INDEX else sources.index}",
        f"Wheel folder: {sources.folder or 'none'}",
        f"Proxy: {_proxy(sources)}",
        *(("", "Last lines", *lines) if lines else ()),
    ]
    return redacted("\n".join(told)) + "\n"


def redacted(text: str) -> str:
    """A text without the home folder, the user's name, and passwords in addresses."""
    for home in {str(Path.home()), os.path.expanduser("~")}:  # noqa: PTH111 - as programs write it
        if len(home) > 1:
            text = re.sub(re.escape(home), "~", text, flags=re.IGNORECASE)
    text = _HOMES.sub(r"\1USER", without_secrets(text))
    name = _user()
    if not name:
        return text
    return re.sub(rf"(?i)(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", "USER", text)


def _user() -> str:
    """The user's name; empty where it is unknown, or a word that reports need."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
    return "" if len(name) < 3 or name.lower() in ("root", "user", "qgis", "python") else name


def _told(state: State, folder: Path) -> List[str]:
    shown = state.folder or folder
    told = [f"State: {state.condition.value} {state.version}".rstrip(), f"Folder: {shown}"]
    if folder.is_dir():
        told.append(f"Size: {in_words(shown_size(folder))}")
    try:
        near = next(each for each in (folder, *folder.parents) if each.is_dir())
        told.append(f"Free on that disk: {in_words(shutil.disk_usage(near).free)}")
    except (OSError, StopIteration):
        told.append("Free on that disk: unknown")
    return told


def _environment(folder: Path) -> List[str]:
    try:
        told = _told(environment.state(folder), folder)
    except DependencyError as error:
        return [str(error)]
    python = environment.interpreter_of(folder)
    if python.exists():
        try:
            told.append(f"Its Python: {look_at(python)}")
        except DependencyError as error:
            told.append(f"Its Python: {error}")
    record = folder / environment.RECORD
    if record.is_file():
        told.append(f"Record: {_one_line(record)}")
    return told


def _one_line(record: Path) -> str:
    try:
        return json.dumps(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return "damaged"


def _version(name: str) -> str:
    """Of a package that this Python finds; where it was imported, of that."""
    module = sys.modules.get(name)
    if module is not None:
        return f"{getattr(module, '__version__', 'unknown')} (imported)"
    return own_packages.found_version(name) or "none"


def _proxy(sources: Sources) -> str:
    names = {name.lower() for name in (*os.environ, *sources.variables)}
    return ", ".join(sorted(names.intersection(_PROXIES))) or "none"
