"""An environment for trainings that borrows the packages of the Python that runs the tests."""

from __future__ import annotations

import sys
from pathlib import Path

from furrow.models.dependencies.environment import RECORD, interpreter_of, ready


def borrowed_environment(folder: Path) -> Path:
    """Make a folder that looks like the worker's environment; Linux and macOS only."""
    program = interpreter_of(folder)
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    home = Path(sys.executable).resolve().parent
    (folder / "pyvenv.cfg").write_text(f"home = {home}\n", encoding="utf-8")
    (folder / RECORD).write_text("{}", encoding="utf-8")
    assert ready(folder)
    return folder
