"""The plugin in the real QGIS window under Xvfb: loaded and unloaded twice, nothing left behind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ALGORITHMS = "generatesamples,cleansamples,extractprofiles,rankimages,segmentprompts"
SCREEN = "-screen 0 1400x900x24"
SECONDS = 120


def in_qgis_window(qgis_cli: ModuleType, work: Path, script: Path, **variables: str) -> int:
    """Run a script inside QGIS under Xvfb and return its exit status; QGIS' log is in work."""
    if shutil.which("xvfb-run") is None:
        pytest.skip("xvfb-run is not installed (make setup does it)")
    environment = {**qgis_cli.private_environment(work), **variables, "QT_QPA_PLATFORM": "xcb"}
    qgis = [qgis_cli.find_program("qgis"), "--nologo", "--noversioncheck", "--code", str(script)]
    with (work / "qgis.log").open("wb") as log:
        return subprocess.run(
            ["xvfb-run", "-a", "-s", SCREEN, "timeout", str(SECONDS), *qgis],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            timeout=SECONDS + 30, check=False,
        ).returncode  # fmt: skip


@pytest.mark.gui
def test_load_unload_twice(root: Path, tmp_path: Path, qgis_cli: ModuleType) -> None:
    picture = root / "build" / "screens" / "plugin_loaded.png"
    picture.unlink(missing_ok=True)
    problems = tmp_path / "problems.txt"
    status = in_qgis_window(
        qgis_cli, tmp_path, root / "tests" / "gui" / "load_unload.py",
        FURROW_PICTURE=str(picture), FURROW_PROBLEMS=str(problems), FURROW_ALGORITHMS=ALGORITHMS,
    )  # fmt: skip
    said = problems.read_text(encoding="utf-8") if problems.is_file() else "nothing written"
    log = (tmp_path / "qgis.log").read_text(encoding="utf-8", errors="replace")
    assert status == 0, f"{said}\n{log[-2000:]}"
    assert picture.stat().st_size > 10_000
