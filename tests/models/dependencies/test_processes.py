"""Programs: heard while they run, ended with all they have started, kept from QGIS' packages."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import List

import pytest

from furrow.core.errors import Cancelled, DependencyError
from furrow.core.monitor import SILENT, Monitor
from furrow.models.dependencies.installing import (
    PipProgress,
    pip_command,
    pip_variables,
    tells_progress,
    without_secrets,
)
from furrow.models.dependencies.obtaining import Sources
from furrow.models.dependencies.processes import clean_variables, run

PYTHON = sys.executable
FAMILY = """
import subprocess, sys, time
code = "import time; time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", code, sys.argv[1]])
print("started", child.pid, flush=True)
time.sleep(60)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True);"


def test_lines_come_while_it_runs() -> None:
    code = "import time\nfor i in range(3): print('line', i, 'ä農', flush=True); time.sleep(0.3)"
    heard: List[float] = []
    monitor = Monitor(message=lambda line: heard.append(time.monotonic()))
    answer, lines = run([PYTHON, "-c", code], clean_variables(), monitor)
    assert (answer, lines) == (0, [f"line {i} ä農" for i in range(3)])
    assert heard[2] - heard[0] > 0.4


def test_errors_are_heard_too_and_the_answer_told() -> None:
    code = (
        "import sys; sys.stderr.write('bad\\n'); sys.stdout.buffer.write(b'\\xff\\n'); sys.exit(3)"
    )
    answer, lines = run([PYTHON, "-c", code], clean_variables(), SILENT)
    assert answer == 3
    assert sorted(lines) == ["bad", "\ufffd"]


@pytest.mark.parametrize("code", [FAMILY, DEAF + "time.sleep(60)"], ids=["family", "deaf"])
def test_cancelled_within_a_second(code: str, tmp_path: Path) -> None:
    heard: List[str] = []
    moment: List[float] = []

    def stop() -> bool:
        if heard and not moment:
            moment.append(time.monotonic())
        return bool(moment)

    with pytest.raises(Cancelled):
        mark = f"furrow-test-{os.getpid()}-{tmp_path.name}"
        run([PYTHON, "-c", code, mark], clean_variables(), Monitor(stop, message=heard.append))
    assert time.monotonic() - moment[0] < 1.5
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert mark not in shown.stdout


def test_a_program_that_says_nothing_is_cancelled_too() -> None:
    start = time.monotonic()
    monitor = Monitor(lambda: time.monotonic() - start > 0.3)
    with pytest.raises(Cancelled):
        run([PYTHON, "-c", "import os, time; os.close(1); os.close(2); time.sleep(60)"],
            clean_variables(), monitor)  # fmt: skip
    assert time.monotonic() - start < 3


def test_it_cannot_read_from_us() -> None:
    answer, lines = run([PYTHON, "-c", "print(repr(input()))"], clean_variables(), SILENT)
    assert answer != 0
    assert "EOFError" in lines[-1]


def test_what_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="cannot be started"):
        run([str(tmp_path / "none")], clean_variables(), SILENT)
    (tmp_path / "text").write_text("no program")
    with pytest.raises(DependencyError, match="cannot be started"):
        run([str(tmp_path / "text")], clean_variables(), SILENT)


def test_variables_are_clean() -> None:
    qgis = {
        "PYTHONHOME": "C:/QGIS/apps/Python312", "PYTHONPATH": "x", "PYTHONSTARTUP": "y",
        "PIP_TARGET": "z", "PIP_USER": "1", "PIP_CERT": "/c.pem", "GDAL_DATA": "g",
        "PROJ_LIB": "p", "VIRTUAL_ENV": "v", "PATH": "/bin", "https_proxy": "http://p:1",
        "PYTHONNOUSERSITE": "",
    }  # fmt: skip
    clean = clean_variables({"NO_PROXY": "a"}, qgis)
    assert {name for name in clean if name in qgis} == {
        "PIP_CERT", "PATH", "https_proxy", "PYTHONNOUSERSITE"
    }  # fmt: skip
    assert clean["PYTHONNOUSERSITE"] == "1"
    assert clean["NO_PROXY"] == "a"


@pytest.mark.parametrize("told", ["https_proxy", "HTTPS_PROXY"])
def test_a_proxy_that_is_told_is_the_only_one(told: str) -> None:
    inherited = {"HTTPS_PROXY": "http://old:1", "https_proxy": "http://old:2", "PATH": "/bin"}
    clean = clean_variables({told: "http://new:3"}, inherited)
    assert {name: clean[name] for name in clean if "proxy" in name.lower()} == {
        told: "http://new:3"
    }  # fmt: skip
    assert clean["PATH"] == "/bin"


def test_variables_reach_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    code = "import os, sys; print(os.environ['HTTPS_PROXY'], '/nowhere' in sys.path)"
    answer, lines = run([PYTHON, "-c", code], clean_variables({"HTTPS_PROXY": "http://p"}), SILENT)
    assert (answer, lines) == (0, ["http://p False"])


def test_no_secret_on_the_command_line(place: Path) -> None:
    index = "http://me:hidden@mirror:8080/simple"
    sources = Sources(index, None, {"HTTPS_PROXY": "http://me:hidden@proxy:3128"})
    assert "hidden" not in " ".join(pip_command(place / "python", sources, ["-r", "x"]))
    variables = pip_variables(sources, place)
    assert variables["PIP_INDEX_URL"] == index
    assert variables["PIP_TRUSTED_HOST"] == "mirror:8080"
    assert variables["HTTPS_PROXY"].endswith("proxy:3128")
    assert "PIP_TRUSTED_HOST" not in pip_variables(Sources(), place)


def test_wheel_folder_is_all_that_pip_sees(place: Path) -> None:
    command = pip_command(place / "python", Sources(folder=place), ["-r", "x"])
    assert command[command.index("--no-index") :][:3] == ["--no-index", "--find-links", str(place)]


def test_progress_of_pip() -> None:
    shares: List[float] = []
    told: List[str] = []
    begun: List[int] = []
    progress = PipProgress(
        Monitor(progress=shares.append, message=told.append), 300, lambda: begun.append(1)
    )
    for line in ("Collecting a (from -r /home/a b/lock.txt (line 7))", "Progress 50 of 100",
                 "Progress 100 of 100", "Progress 0 of 200",
                 "Progress 500 of 500", "Installing collected packages: a"):  # fmt: skip
        progress.heard(line)
    assert [round(share, 2) for share in shares] == [0.17, 0.33, 0.33, 1.0]
    assert told[:2] == ["Collecting a", "Installing collected packages: a"]
    assert "some minutes" in told[2]
    assert begun == [1]


@pytest.mark.parametrize(
    ("version", "expected"), [("23.0.1", False), ("24.0", False), ("24.1", True), ("26.3", True)]
)
def test_which_pip_tells_numbers(version: str, expected: bool) -> None:
    assert tells_progress(version) is expected


def test_secrets_are_left_out() -> None:
    text = "Looking in https://me:hidden@mirror/simple and http://tok@x/y, see a@b.c"
    assert without_secrets(text) == "Looking in https://mirror/simple and http://x/y, see a@b.c"
