"""The loop of a process that works on tiles: it is told of a scene and answers with records.

    request              answer
    (none)               hello
    scene: what is to be done          ready, once the model is open
    tile: one job                      record
    bye                  the process ends

What fails is answered by an error with one sentence, and the traceback goes to stderr.
"""

from __future__ import annotations

import os
from dataclasses import fields
from functools import partial
from typing import Any, Callable, Dict, Mapping, Optional

import numpy as np

from ...core.errors import FurrowError
from ...core.fields.delineation.scene import TileJob
from ...core.fields.delineation.tile_records import TileRecord
from ...core.fields.delineation.tiling import Tile
from ...core.plain_data import from_plain, to_plain
from ..segmenters.tiles.tile_work import (
    SceneWork,
    open_model,
    open_scene_enlarger,
    work_on_tile,
)
from .framing import Frame, Pipe, read_frame, write_frame
from .server import trouble

_FAILURES = (
    ArithmeticError, FurrowError, ImportError, LookupError, MemoryError, OSError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip
"""What libraries raise; anything else ends the process."""
_ASKED = "asked"


def serve(inward: Pipe, outward: Pipe) -> None:
    """Answer what comes in until the input ends."""
    write_frame(outward, Frame({"kind": "hello"}))
    work: Optional[Callable[[TileJob], TileRecord]] = None
    while True:
        request = read_frame(inward)
        if request is None or request.header.get("kind") == "bye":
            return
        try:
            if request.header.get("kind") == "scene":
                work = _work(request)
                answer = Frame({"kind": "ready", "pid": os.getpid()})
            else:
                answer = _record(work, request)
        except _FAILURES as failure:
            answer = trouble(failure, "this computer")
        header = {**answer.header, "request": request.header.get("request")}
        write_frame(outward, Frame(header, answer.arrays))


def scene_frame(scene: SceneWork) -> Frame:
    """What a process is told of the scene."""
    return Frame({"kind": "scene", "scene": to_plain(scene)})


def job_frame(job: TileJob) -> Frame:
    """A tile to work on."""
    arrays = {} if job.asked is None else {_ASKED: job.asked}
    return Frame({"kind": "tile", "tile": to_plain(job.tile)}, arrays)


def record_from(arrays: Mapping[str, np.ndarray]) -> TileRecord:
    """The record in an answer.

    :raises KeyError: it holds none.
    """
    return TileRecord(**{item.name: arrays[item.name] for item in fields(TileRecord)})


def _work(request: Frame) -> Callable[[TileJob], TileRecord]:
    """:raises ModelError: a model cannot run here."""
    scene = from_plain(SceneWork, request.header["scene"])
    open_model(scene.model)
    open_scene_enlarger(scene)
    return partial(work_on_tile, scene)


def _record(work: Optional[Callable[[TileJob], TileRecord]], request: Frame) -> Frame:
    if work is None:
        raise ValueError("There is no scene yet.")
    job = TileJob(from_plain(Tile, request.header["tile"]), request.arrays.get(_ASKED))
    record = work(job)
    arrays: Dict[str, Any] = {item.name: getattr(record, item.name) for item in fields(record)}
    return Frame({"kind": "record"}, arrays)
