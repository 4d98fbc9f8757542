"""onnxruntime in a folder of Furrow's own, at the end of sys.path.

    <packages>/cp312-win_amd64/onnxruntime/...

A folder for each version of Python, as several QGIS may share one profile. It comes last on
sys.path, so whatever QGIS has, QGIS uses.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Optional

from ...core.archives import unpack
from ...core.errors import DependencyError
from ...core.monitor import SILENT, Monitor
from .failures import explained
from .folders import beside, delete, exchange, finish_exchange, remove
from .interpreter import find_own_python
from .machine import Machine, here
from .obtaining import Network, Sources, check_room, obtain
from .packages import Packages
from .processes import clean_variables, run

MODULE = "onnxruntime"
_DOWNLOADS = "downloads"
# In front, as QGIS' Python may have another one; the folder holds nothing else.
_IMPORT = (
    "import sys; sys.path.insert(0, sys.argv[1]); import onnxruntime; "
    "print(onnxruntime.__name__, onnxruntime.__version__)"
)


class Condition(Enum):
    """How it is with packages."""

    ABSENT = "not installed"
    READY = "installed"
    OUTDATED = "installed, in another version than Furrow would install now"
    BROKEN = "there, but it does not work"
    ELSEWHERE = "there, but not of Furrow's installing"


@dataclass(frozen=True)
class State:
    """What is here of the packages."""

    condition: Condition
    """How it is."""
    version: str = ""
    """Of what is there, as far as it is known."""
    folder: Optional[Path] = None
    """Where it is."""


def folder_of(packages: Path, machine: Optional[Machine] = None) -> Path:
    """The folder for one Python.

    :param packages: the folder for all of them.
    :param machine: None: the Python that runs this.
    """
    machine = machine or here()
    return packages / f"{machine.python_tag}-{machine.system}"


def activate(packages: Path) -> None:
    """Let this Python see the packages, where there are some. Called when the plugin starts.

    The folder goes to the end of sys.path, once.
    """
    own = folder_of(packages)
    with suppress(OSError):
        finish_exchange(own)
    if own.is_dir() and str(own) not in sys.path:
        sys.path.append(str(own))
    importlib.invalidate_caches()


def deactivate(packages: Path) -> None:
    """Undo `activate`. What was imported stays imported until QGIS ends."""
    own = str(folder_of(packages))
    sys.path[:] = [entry for entry in sys.path if entry != own]
    importlib.invalidate_caches()


def state(packages: Path, pinned: Packages) -> State:
    """What this Python finds, without importing it."""
    own = folder_of(packages)
    other = _elsewhere(own)
    if other is not None:
        return State(Condition.ELSEWHERE, found_version(MODULE), other)
    if not own.is_dir():
        return State(Condition.ABSENT)
    if not (own / MODULE / "__init__.py").is_file():
        return State(Condition.BROKEN, "", own)
    version = found_version(MODULE, own)
    with suppress(DependencyError):
        if version != pinned.runtime_for(here()).version:
            return State(Condition.OUTDATED, version, own)
    return State(Condition.READY, version, own)


def install(
    packages: Path,
    pinned: Packages,
    sources: Sources,
    network: Network,
    monitor: Monitor = SILENT,
    python: Optional[Path] = None,
) -> bool:
    """Install onnxruntime for this Python, in place of what may be there. Call `activate` after it.

    Fetched, compared with its hash, unpacked beside the old one, imported by a process of its own,
    and only then put in place: when something fails or is cancelled, the old one stays.

    :param python: program that tries the import; None: that of QGIS.
    :return: False: QGIS has files of the old one in use; the new one is there after a restart.
    :raises FurrowError: it cannot be installed; the sentence says why.
    :raises Cancelled:
    """
    own = folder_of(packages)
    wheel = pinned.runtime_for(here())
    check_room(packages, wheel.bytes + wheel.unpacked)
    file = obtain(wheel, sources, network, packages / _DOWNLOADS, monitor.part(0.0, 0.6))
    staging = beside(own, ".new")
    _clear(staging)
    try:
        monitor.message(f"Unpacking {wheel.name}")
        unpack(file, staging, monitor=monitor.part(0.6, 0.8))
        _try_import(staging, python or find_own_python(), monitor)
        done = exchange(staging, own)
    finally:
        _clear(staging)
    _clear(packages / _DOWNLOADS)
    monitor.progress(1.0)
    return done


def uninstall(packages: Path) -> bool:
    """Delete Furrow's onnxruntime, for every Python, and downloads that were not finished.

    :return: False: QGIS has files in use; they go when it starts again.
    :raises DependencyError: they cannot be deleted.
    """
    deactivate(packages)
    _clear(packages / _DOWNLOADS)
    if not packages.is_dir():
        return True
    own = [each for each in packages.glob("cp3*-*") if each.suffix not in (".old", ".next")]
    gone = [remove(each) for each in own if each.is_dir()]
    with suppress(OSError):
        packages.rmdir()
    return all(gone)


def _try_import(folder: Path, python: Optional[Path], monitor: Monitor) -> None:
    """Import it in a process of its own: what does not load must not do so inside QGIS."""
    if python is None:
        monitor.message("QGIS' Python was not found as a program, so the package is not tried.")
        return
    monitor.message("Trying the package")
    # As in QGIS, the user's own packages are seen.
    variables = clean_variables({"PYTHONNOUSERSITE": ""})
    code, lines = run([str(python), "-c", _IMPORT, str(folder)], variables, monitor)
    if code != 0 or not any(line.startswith(f"{MODULE} ") for line in lines):
        raise DependencyError(explained(f"{MODULE} does not load in QGIS' Python", lines))


def _elsewhere(own: Path) -> Optional[Path]:
    """Where this Python finds onnxruntime outside of Furrow's folder; None: nowhere."""
    try:
        spec = importlib.util.find_spec(MODULE)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin:
        return None
    place = Path(spec.origin).parent.parent
    return None if place == own else place


def found_version(name: str, folder: Optional[Path] = None) -> str:
    """Version of an installed package, without importing it; empty: it is not there.

    :param folder: where it is looked for; None: wherever this Python does.
    """
    path = {} if folder is None else {"path": [str(folder)]}
    found = importlib.metadata.distributions(name=name, **path)
    return next((each.version for each in found), "")


def _clear(folder: Path) -> None:
    """Delete a folder of passing things, as far as it goes."""
    if folder.is_dir():
        with suppress(OSError):
            delete(folder)
