"""Processes that work on tiles side by side, each with one thread, in the Python of QGIS."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from typing import List, Sequence

from ....core.errors import WorkerError
from ....core.fields.delineation.scene import TileJob
from ....core.fields.delineation.tile_records import TileRecord
from ....core.monitor import Monitor
from ...worker.framing import Frame
from ...worker.tile_server import job_frame, record_from, scene_frame
from ..checkpoints.worker_child import Child, ChildEndedError
from ..onnx_pairs.onnx_session import THREADS_VARIABLE
from .tile_work import SceneWork

START = Path(__file__).resolve().parents[2] / "worker" / "start_tiles.py"
START_SECONDS = 120.0
_ONE_THREAD = (THREADS_VARIABLE, "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_HANDED_ON = ("GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA")
"""What QGIS has set for its libraries; children start without them."""


def tile_command(python: Path) -> Sequence[str]:
    """How a process is started that sees the packages that this one sees.

    :param python: a Python of the same version, no QGIS.
    """
    variables = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    variables.update(dict.fromkeys(_ONE_THREAD, "1"))
    path = [place for place in sys.path if place]
    settings = json.dumps({"path": path, "variables": variables})
    return str(python), "-I", "-X", "utf8", str(START), settings


class TileProcesses:
    """Works on tiles in processes; called from as many threads as tiles are worked on at a time."""

    def __init__(self, scene: SceneWork, command: Sequence[str]) -> None:
        """Nothing is started yet; a call starts a process where none is free."""
        self._scene, self._command = scene, tuple(command)
        self._free: SimpleQueue = SimpleQueue()
        self._all: List[Child] = []
        self._lock = Lock()
        self._closed = False

    @property
    def pids(self) -> List[int]:
        """Of the processes that run."""
        return [child.pid for child in self._all if child.pid is not None and not child.ended]

    def __call__(self, job: TileJob, monitor: Monitor) -> TileRecord:
        """The fields of a tile.

        :raises WorkerError: the process has ended, or the work cannot be done.
        :raises Cancelled:
        """
        try:
            child = self._child(monitor)
            answer = _checked(child.ask(job_frame(job), monitor))
        except ChildEndedError as ended:
            raise WorkerError(
                f"WORKERS: a process that works on tiles {str(ended).rstrip('.')}; run again to go "
                "on from the tiles that are done, with fewer workers where memory is short."
            ) from ended
        self._free.put(child)
        return record_from(answer.arrays)

    def close(self) -> None:
        """End all processes, whatever they do."""
        with self._lock:
            self._closed = True
        for child in self._all:
            child.kill()

    def _child(self, monitor: Monitor) -> Child:
        """A process that is free and knows the scene.

        :raises ChildEndedError: it cannot be started.
        :raises WorkerError: the model cannot run there.
        """
        try:
            return self._free.get_nowait()
        except Empty:
            pass
        child = Child(self._command, "tiles")
        with self._lock:
            if self._closed:
                raise ChildEndedError("was ended")
            self._all.append(child)
        child.begin(START_SECONDS, monitor)
        _checked(child.ask(scene_frame(self._scene), monitor))
        return child


def _checked(answer: Frame) -> Frame:
    """:raises WorkerError: the answer is an error."""
    if answer.header.get("kind") != "error":
        return answer
    text = str(answer.header.get("text")).rstrip(".")
    raise WorkerError(text if ":" in text else f"WORKERS: a process failed with {text}")
