"""Starting a training in the worker's Python and listening to it; without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

from ...core.errors import ModelError, WorkerError
from ...core.monitor import Monitor
from ..dependencies.environment import interpreter_of, ready
from ..dependencies.processes import clean_variables, run
from .order import FAILED, RESULT, SAID, SHARE, TrainingOrder, read_line

_START = Path(__file__).with_name("start.py")


def require_environment(environment: Path) -> None:
    """:raises ModelError: there is no environment with PyTorch."""
    if not ready(environment):
        raise ModelError(
            "FEATURES: cnn needs Furrow's environment with PyTorch, which is not installed; "
            "install it under Models of Furrow > Packages, or choose statistics."
        )


def run_training(
    environment: Path, folder: Path, order: TrainingOrder, monitor: Monitor
) -> Dict[str, Any]:
    """Train on the crops in a folder; the network's files are in it then.

    :param environment: folder of the environment with PyTorch.
    :return: what the training says of itself.
    :raises WorkerError: it failed.
    :raises Cancelled: within a second; the process is gone then.
    """
    command = [str(interpreter_of(environment)), "-I", "-X", "utf8", str(_START), str(folder),
               order.as_text()]  # fmt: skip
    failures: List[str] = []

    def heard(text: str) -> None:
        said = read_line(text)
        if said.get(FAILED):
            failures.append(str(said[FAILED]))
        if said.get(SAID):
            monitor.message(str(said[SAID]))
        if isinstance(said.get(SHARE), (int, float)) and said[SHARE] >= 0:
            monitor.progress(float(said[SHARE]))

    code, last = run(command, clean_variables(), monitor, heard)
    if failures:
        raise WorkerError(failures[-1])
    if code != 0:
        reason = last[-1] if last else "it wrote nothing"
        raise WorkerError(
            f"FEATURES: the training of the network ended with exit code {code} ({reason}); repair "
            "the environment under Models of Furrow > Packages or choose statistics."
        )
    return dict(json.loads((folder / RESULT).read_text(encoding="utf-8")))
