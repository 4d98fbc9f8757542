"""The plugin in the real QGIS window under Xvfb: loaded and unloaded twice, nothing left behind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ALGORITHMS = (
    "generatesamples,cleansamples,extractprofiles,rankimages,segmentprompts,encodeimage,delineate,"
    "refinefields,evaluatefields,exportfieldcrops,importfieldlabels,trainfieldclassifier,"
    "classifyfields"
)
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


def passes(
    qgis_cli: ModuleType, work: Path, script: Path, picture: Path, **variables: str
) -> None:
    """Run a script that writes a picture and its problems; there must be none."""
    picture.unlink(missing_ok=True)
    problems = work / "problems.txt"
    variables.update(FURROW_PICTURE=str(picture), FURROW_PROBLEMS=str(problems))
    status = in_qgis_window(qgis_cli, work, script, **variables)
    said = problems.read_text(encoding="utf-8") if problems.is_file() else "nothing written"
    log = (work / "qgis.log").read_text(encoding="utf-8", errors="replace")
    assert status == 0, f"{said}\n{log[-2000:]}"
    assert picture.stat().st_size > 10_000


@pytest.mark.gui
def test_load_unload_twice(root: Path, tmp_path: Path, qgis_cli: ModuleType) -> None:
    script, picture = root / "tests/gui/load_unload.py", root / "build/screens/plugin_loaded.png"
    passes(qgis_cli, tmp_path, script, picture, FURROW_ALGORITHMS=ALGORITHMS)


@pytest.mark.gui
def test_results_are_loaded_with_their_style(
    root: Path, tmp_path: Path, qgis_cli: ModuleType, demo_scene: Any
) -> None:
    script, picture = root / "tests/gui/styled_results.py", root / "build/screens/styled.png"
    passes(qgis_cli, tmp_path, script, picture, FURROW_SCENE=str(demo_scene.folder))


def session(
    qgis_cli: ModuleType, root: Path, work: Path, script: str, **variables: str
) -> tuple[int, str]:
    """Run a scripted session; its exit status and what it has to say."""
    problems = work / "problems.txt"
    problems.unlink(missing_ok=True)
    variables = {
        "FURROW_PROBLEMS": str(problems),
        "FURROW_SCREENS": str(root / "build" / "screens"),
        "FURROW_SCRIPTS": str(root / "tests" / "gui"),
        **variables,
    }
    status = in_qgis_window(qgis_cli, work, root / "tests" / "gui" / script, **variables)
    said = problems.read_text(encoding="utf-8") if problems.is_file() else "nothing written"
    log = (work / "qgis.log").read_text(encoding="utf-8", errors="replace")
    return status, f"{said}\n{log[-2000:]}"


@pytest.mark.gui
@pytest.mark.parametrize("place", ["denmark", "ontario", "tervuren"])
def test_fields_are_clicked(
    root: Path, tmp_path: Path, qgis_cli: ModuleType, shared_data: Path, place: str
) -> None:
    data = str(shared_data / place)
    status, said = session(qgis_cli, root, tmp_path, f"click_{place}.py", FURROW_DATA=data)
    assert status == 0, said


@pytest.mark.gui
def test_models_are_managed(
    root: Path, tmp_path: Path, qgis_cli: ModuleType, shared_data: Path
) -> None:
    data = str(shared_data / "denmark")
    status, said = session(qgis_cli, root, tmp_path, "models.py", FURROW_DATA=data)
    assert status == 0, said


@pytest.mark.gui
def test_fields_survive_when_qgis_is_killed(
    root: Path, tmp_path: Path, qgis_cli: ModuleType, shared_data: Path
) -> None:
    """The first QGIS kills itself amid unsaved fields, the second one finds them again."""
    data = str(shared_data / "denmark")
    status, said = session(qgis_cli, root, tmp_path, "killed.py", FURROW_DATA=data)
    assert status == 137, said
    status, said = session(qgis_cli, root, tmp_path, "recovered.py", FURROW_DATA=data)
    assert status == 0, said
