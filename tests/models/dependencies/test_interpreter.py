"""Finding QGIS' Python, never QGIS itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Dict, List

import pytest

from furrow.core.errors import DependencyError
from furrow.models.dependencies.interpreter import (
    candidates,
    find_own_python,
    look_at,
    python_for_worker,
)
from furrow.models.dependencies.machine import here


def first(there: List[str], root: Path, system: str, executable: str, prefix: str) -> str:
    """Of the files that are there, the one that is taken."""
    for name in there:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    found = candidates(system, str(root / executable), str(root / prefix), (3, 12))
    return next(str(path.relative_to(root)) for path in found if path.is_file())


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (["apps/Python312/python.exe", "apps/Python312/python3.exe"], "apps/Python312/python.exe"),
        (["apps/Python312/python3.exe", "bin/python3.exe"], "apps/Python312/python3.exe"),
        (["bin/python3.exe"], "bin/python3.exe"),
    ],
)
def test_windows(place: Path, there: List[str], expected: str) -> None:
    there = ["bin/qgis-bin.exe", *there]
    assert first(there, place, "win32", "bin/qgis-bin.exe", "apps/Python312") == expected


@pytest.mark.parametrize(
    ("there", "prefix", "expected"),
    [
        (["MacOS/bin/python3", "MacOS/bin/python3.12"], "Frameworks", "MacOS/bin/python3.12"),
        (["MacOS/bin/python3"], "MacOS", "MacOS/bin/python3"),
        (["MacOS/python3"], "Frameworks", "MacOS/python3"),
        (["Frameworks/bin/python3.12"], "Frameworks", "Frameworks/bin/python3.12"),
    ],
)
def test_macos(place: Path, there: List[str], prefix: str, expected: str) -> None:
    there = ["MacOS/QGIS", *there]
    assert first(there, place, "darwin", "MacOS/QGIS", prefix) == expected


@pytest.mark.parametrize(
    ("there", "executable", "expected"),
    [
        (["usr/bin/python3", "usr/bin/python3.12"], "usr/bin/qgis", "usr/bin/python3.12"),
        (["usr/bin/python3"], "usr/bin/qgis.bin", "usr/bin/python3"),
        (["usr/bin/qgis", "odd/python3.12"], "odd/python3.12", "odd/python3.12"),
        # The Python of a user comes first on PATH, QGIS runs in the system's.
        (["usr/bin/python3.12", "home/bin/python3"], "home/bin/python3", "usr/bin/python3.12"),
    ],
)
def test_linux(place: Path, there: List[str], executable: str, expected: str) -> None:
    assert first(there, place, "linux", executable, "usr") == expected


@pytest.mark.parametrize("system", ["win32", "darwin", "linux"])
@pytest.mark.parametrize("name", ["qgis", "qgis-bin.exe", "QGIS", "qgis-ltr-bin.exe"])
def test_qgis_is_never_started(system: str, name: str) -> None:
    found = candidates(system, f"/opt/qgis/{name}", "/opt/qgis/python", (3, 12))
    assert name not in [path.name for path in found]


def test_without_any_hint() -> None:
    assert candidates("linux", "", "/usr", (3, 12))[0] == Path("/usr/bin/python3.12")


def test_our_own_python() -> None:
    found = find_own_python()
    assert found is not None
    assert look_at(found).python[:2] == sys.version_info[:2]
    assert python_for_worker() == found
    assert python_for_worker(Path(sys.executable)) == Path(sys.executable)
    assert look_at(found) == here()


SCRIPTS: Dict[str, str] = {
    "python3": "#!/bin/sh\nexit 1\n",
    "python": "#!/bin/sh\necho hello\n",
    "python3.12": "#!/bin/sh\necho '[[3, 12], 5]'\n",
    "python.exe": "no program",
    "qgis": '#!/bin/sh\necho \'[[3, 12, 1], "linux-x86_64", "x86_64", "", "2.36"]\'\n',
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_is_no_python(place: Path, name: str) -> None:
    path = place / name
    path.write_text(SCRIPTS[name])
    path.chmod(0o755)
    with pytest.raises(DependencyError, match="does not answer|not a Python"):
        python_for_worker(path)


def test_what_is_not_there(place: Path) -> None:
    with pytest.raises(DependencyError, match="does not exist"):
        look_at(place / "python3")
