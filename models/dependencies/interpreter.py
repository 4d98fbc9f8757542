"""Finding a Python that can be started: that of QGIS, or another one for the worker.

Inside QGIS sys.executable is no guide. On Windows it is QGIS itself, on macOS it may be, and on
Linux it is whatever python3 comes first on PATH. To start it would open another QGIS.
"""

from __future__ import annotations

import json
import re
import subprocess  # nosec B404
import sys
from pathlib import Path
from typing import List, Optional, Tuple

from ...core.errors import DependencyError
from .machine import QUESTION, Machine, machine_from
from .processes import HIDDEN, clean_variables

_SECONDS = 30
_PYTHON_NAME = re.compile(r"python(\d+(\.\d+)?)?(\.exe)?", re.IGNORECASE)


def candidates(system: str, executable: str, prefix: str, version: Tuple[int, int]) -> List[Path]:
    """Where the Python of a QGIS may be, the likeliest first; none need exist.

    :param system: as sys.platform.
    :param executable: as sys.executable; may be QGIS or empty.
    :param prefix: as sys.exec_prefix.
    """
    home, started = Path(prefix), Path(executable or prefix)
    if system == "win32":
        return [
            home / "python.exe",
            home / "python3.exe",
            home / "Scripts" / "python.exe",
            *_if_python(started),
            started.parent / "python.exe",
            started.parent / "python3.exe",
        ]
    name = f"python{version[0]}.{version[1]}"
    beside = [started.parent / "bin" / name, started.parent / "bin" / "python3"]
    named = [home / "bin" / name, home / "bin" / "python3"]
    if system == "darwin":
        return [*beside, started.parent / "python3", *named, *_if_python(started)]
    usual = [Path("/usr/bin") / name, Path("/usr/bin/python3")]
    return [*named, *_if_python(started), *usual]


def find_own_python() -> Optional[Path]:
    """The Python of this QGIS, as a program to start; None: there is none.

    It has the same version as the Python that runs this. A moment's work: programs are started.
    """
    wanted = (sys.version_info[0], sys.version_info[1])
    places = candidates(sys.platform, sys.executable, sys.exec_prefix, wanted)
    for path in dict.fromkeys(places):
        if not path.is_file():
            continue
        try:
            if look_at(path).python[:2] == wanted:
                return path
        except DependencyError:
            continue
    return None


def python_for_worker(named: Optional[Path] = None) -> Path:
    """The Python that the environment of the worker is made with.

    :param named: what the user wants; None: that of QGIS.
    :raises DependencyError: there is none, or what was named is none.
    """
    if named is not None:
        look_at(named)
        return named
    own = find_own_python()
    if own is None:
        raise DependencyError(
            "QGIS' own Python was not found as a program; install Python from python.org and name "
            "it in the dialog."
        )
    return own


def look_at(path: Path) -> Machine:
    """What a program says that should be a Python.

    :raises DependencyError: it is none, or does not answer.
    """
    if not path.is_file():
        raise DependencyError(f"{path} does not exist; name the program file of a Python.")
    if not _PYTHON_NAME.fullmatch(path.name):
        raise DependencyError(
            f"{path} is not a Python by its name; choose a program that is called python, python3 "
            "or python.exe."
        )
    try:
        answer = subprocess.run(  # nosec B603
            [str(path), "-c", QUESTION],
            env=clean_variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
            **HIDDEN,
        )
        return machine_from(*json.loads(answer.stdout.decode("utf-8", "replace")))
    except (OSError, ValueError, TypeError, subprocess.SubprocessError) as error:
        raise DependencyError(
            f"{path} does not answer as a Python should; choose another one."
        ) from error


def _if_python(path: Path) -> List[Path]:
    """A program, where it is not QGIS by its name."""
    return [path] if _PYTHON_NAME.fullmatch(path.name) else []
