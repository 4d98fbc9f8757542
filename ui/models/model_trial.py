"""Trying out a model: one click on a made-up farm picture, timed and measured."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Mapping, Optional, Tuple

import numpy as np
from scipy import ndimage

from ...core.fields.field_mask import tidied
from ...core.fields.masks import iou
from ...core.fields.segmenter import Prompts, Segmenter
from ...core.imagery.composite import stretch
from ...core.monitor import SILENT, Monitor, watched
from ...core.simulation.scene import Scene, SceneSpec, simulate
from ...core.simulation.weather import Sky
from ...qgis_io.texts import tr

SIDE = 200
"""Of the picture, in pixels."""
_SPEC = SceneSpec(size=SIDE, dates=6, references=0, wrong_labels=0, seed=3)
_FALSE_COLOUR = (3, 2, 1)
"""Bands of the made-up image that are shown: near infrared, red, green."""
_POLL_SECONDS = 0.01
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True)
class TrialPicture:
    """What a model is tried on."""

    image: np.ndarray
    """(h, w, 3) uint8."""
    click: Tuple[float, float]
    """x and y in pixels, in the middle of a field."""
    truth: np.ndarray
    """(h, w) bool: the field that was clicked."""


@dataclass(frozen=True)
class Trial:
    """How a model did."""

    model_id: str
    picture: TrialPicture
    mask: np.ndarray
    """(h, w) bool: the field that it found."""
    start_seconds: float
    """Until the model could be asked; little where it ran already."""
    encode_seconds: float
    click_seconds: float
    memory: Optional[int]
    """How much more memory QGIS took at most, in bytes; None where that is not known."""
    elsewhere: Mapping[str, Optional[int]] = field(default_factory=dict)
    """Bytes at most of a process that the model has to itself, as "memory" and "device_memory"."""

    @property
    def agreement(self) -> float:
        """Intersection over union of the field found and the true one, 0..1."""
        return iou(self.mask, self.picture.truth)


def try_model(model_id: str, load: Callable[[str], Segmenter], monitor: Monitor = SILENT) -> Trial:
    """Start a model, have it encode the picture and answer one click. For a background thread.

    :param load: gives the segmenter of an id, as the registry does.
    :raises ModelError: the model cannot run here.
    :raises Cancelled:
    """
    monitor.message(tr("drawing the picture"))
    picture = watched(trial_picture, monitor)
    with MemoryWatch() as memory:
        began = time.perf_counter()
        monitor.message(tr("starting the model"))
        segmenter = watched(lambda: load(model_id), monitor)
        started = time.perf_counter()
        monitor.message(tr("preparing the picture"))
        embedding = watched(lambda: segmenter.encode(picture.image), monitor)
        encoded = time.perf_counter()
        prompt = Prompts.click(*picture.click)
        monitor.message(tr("clicking"))
        found = watched(lambda: segmenter.predict(embedding, [prompt]), monitor)
        answered = time.perf_counter()
    best = found.masks[0, int(np.argmax(found.scores[0]))][None]
    mask = tidied(best, prompt, np.ones(best.shape[1:], bool))[0]
    return Trial(
        model_id, picture, mask, started - began, encoded - started, answered - encoded,
        memory.growth, _memory_elsewhere(segmenter, monitor),
    )  # fmt: skip


def _memory_elsewhere(segmenter: Segmenter, monitor: Monitor) -> Mapping[str, Optional[int]]:
    """What an engine tells that runs in another process."""
    ask = getattr(segmenter, "memory", None)
    return watched(ask, monitor) if callable(ask) else {}


def trial_picture() -> TrialPicture:
    """The picture, the same each time: false colours of a clear summer's day."""
    scene = simulate(_SPEC)
    bands = scene.image(_clear_date(scene))[list(_FALSE_COLOUR)]
    fields = scene.landscape.fields
    row, col = _inside(fields)
    truth = fields == fields[row, col]
    return TrialPicture(stretch(bands), (col + 0.5, row + 0.5), truth)


def _clear_date(scene: Scene) -> int:
    """The clear date that is nearest to the middle of the season."""
    middle = len(scene.dates) / 2
    clear = [k for k, sky in enumerate(scene.skies) if sky == Sky()]
    return min(clear, key=lambda k: abs(k - middle))


def _inside(fields: np.ndarray) -> Tuple[int, int]:
    """Row and column of a pixel well inside the largest field that the frame does not cut."""
    rim = np.concatenate([fields[0], fields[-1], fields[:, 0], fields[:, -1]])
    whole = np.where(np.isin(fields, rim), 0, fields)
    largest = int(np.argmax(np.bincount(whole.ravel())[1:])) + 1
    depth = ndimage.distance_transform_edt(whole == largest)
    row, col = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return int(row), int(col)


class MemoryWatch:
    """Looks at the memory of this process again and again while a block of code runs."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._before = self._most = 0
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._before = self._most = resident_bytes()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def growth(self) -> Optional[int]:
        """Bytes that were taken at most beyond those before; None where that is not known."""
        return self._most - self._before if self._before else None

    def _look(self) -> None:
        while not self._done.wait(_POLL_SECONDS):
            self._most = max(self._most, resident_bytes())


def resident_bytes() -> int:
    """Memory that this process takes now, in bytes; 0 where the system does not tell."""
    if sys.platform == "win32":
        return _working_set()
    if _STATM.is_file():
        import resource  # not on Windows

        return int(_STATM.read_text("ascii").split()[1]) * resource.getpagesize()
    return 0


class _MemoryCounters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS of Windows."""

    _fields_ = [
        ("size", ctypes.c_uint32),
        ("faults", ctypes.c_uint32),
        ("peak_working_set", ctypes.c_size_t),
        ("working_set", ctypes.c_size_t),
        ("rest", ctypes.c_size_t * 6),
    ]


def _working_set() -> int:
    kernel = ctypes.WinDLL("kernel32")
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    counters = _MemoryCounters(size=ctypes.sizeof(_MemoryCounters))
    asked = kernel.K32GetProcessMemoryInfo(
        ctypes.c_void_p(kernel.GetCurrentProcess()), ctypes.byref(counters), counters.size
    )
    return int(counters.working_set) if asked else 0
