"""The work on one tile of a scene, wherever it runs: read, look for fields, keep what was found.

Nothing here knows QGIS: worker processes and machines of a Dask cluster run it with numpy, scipy,
onnxruntime and rasterio.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from ....core.fields.delineation.enlarging import Enlarger
from ....core.fields.delineation.options import DelineationOptions
from ....core.fields.delineation.refinement import RefinementOptions, refined_pieces
from ....core.fields.delineation.rounds import delineate_tile
from ....core.fields.delineation.scene import TileJob
from ....core.fields.delineation.sight import look
from ....core.fields.delineation.tile_records import TileRecord, empty_record, record_of
from ....core.fields.delineation.tiling import Tile
from ....core.fields.segmenter import Embedding, Masks, Prompts, Segmenter, encoded, known_edges
from ....core.imagery.grid import Grid, Window
from ....core.imagery.scene_images import SceneImage, read_mask, read_shown
from ....core.monitor import SILENT, Monitor
from ....core.places import Places
from ...super_resolution.onnx_enlarger import open_enlarger
from ..registry import Registry

_SAMPLE, _LARGE = 384, 1536
"""Side of a sample, and of an image of which five are taken, in pixels."""
_FIRST_LOOK = 0.8
"""Share of the time before mixed fields are looked at again."""


@dataclass(frozen=True)
class ModelChoice:
    """Which engine, and where its files are."""

    model: str
    """Id of the registry."""
    model_file: Optional[str]
    """A file of the user's in place of it."""
    places: Places


@dataclass(frozen=True)
class SceneWork:
    """What all tiles of a scene have in common."""

    images: Tuple[SceneImage, ...]
    """One to four dates; the first one is the grid's own."""
    grid: Grid
    cropland: Optional[str]
    """A raster; fields are looked for where it is not 0."""
    options: DelineationOptions
    refinement: Optional[RefinementOptions]
    """How large mixed fields are looked at again; None: not at all."""
    model: ModelChoice
    super_resolution: Optional[str] = None
    """An ONNX file that enlarges what the engine is shown; None: no such step."""


def scene_zoom(scene: SceneWork, monitor: Monitor = SILENT) -> Optional[int]:
    """The enlargement that most samples of a scene ask for, so that all tiles have the same.

    Samples lie on the image, not on its tiles: its middle, and those of its quarters where it is
    large.

    :return: as the model for super-resolution or the options say where they do; None where no
        sample has data.
    :raises RasterError, ModelError: as :func:`work_on_tile`.
    :raises Cancelled:
    """
    enlarger = open_scene_enlarger(scene)
    if enlarger is not None:
        return enlarger.factor
    if scene.options.zoom is not None:
        return scene.options.zoom
    votes: List[int] = []
    for window in _samples(scene.grid):
        monitor.check()
        whole = Tile(0, 0, window, window, window)
        seen = _read(scene, TileJob(whole))
        if seen.valid.any():
            engine = open_model(scene.model)
            shown = look(seen.images, seen.valid, engine, None, monitor, colours=seen.colours)
            votes.append(shown.zoom)
    return sorted(votes)[len(votes) // 2] if votes else None


def _samples(grid: Grid) -> List[Window]:
    middle = [(grid.height // 2, grid.width // 2)]
    if max(grid.height, grid.width) > _LARGE:
        rows = grid.height // 4, 3 * grid.height // 4
        middle += [(row, col) for row in rows for col in (grid.width // 4, 3 * grid.width // 4)]
    return [grid.window_around(row, col, _SAMPLE) for row, col in middle]


def work_on_tile(scene: SceneWork, job: TileJob, monitor: Monitor = SILENT) -> TileRecord:
    """Read a tile and look for its fields.

    :raises RasterError: an image cannot be read here.
    :raises ModelError: the model, or that for super-resolution, cannot run here.
    :raises Cancelled:
    """
    began = time.perf_counter()
    seen = _read(scene, job)
    images, valid = seen.images, seen.valid
    reading = time.perf_counter() - began
    if not valid[job.tile.area_in_window][job.tile.core_in_area].any():
        return empty_record(job.tile)
    engine = TimedSegmenter(open_model(scene.model))
    opened = open_scene_enlarger(scene)
    enlarger = None if opened is None else TimedEnlarger(opened)
    first = monitor if scene.refinement is None else monitor.part(0, _FIRST_LOOK)
    found = delineate_tile(images, valid, engine, scene.options, first, enlarger, seen.colours)
    if scene.refinement is not None:
        again = monitor.part(_FIRST_LOOK, 1)
        found = refined_pieces(found, images, valid, engine, scene.refinement, again)
    seconds = {"read": reading, "encode": engine.encoding, "decode": engine.decoding}
    seconds["enlarge"] = 0.0 if enlarger is None else enlarger.seconds
    seconds["other"] = time.perf_counter() - began - sum(seconds.values())
    return record_of(job.tile, found, images, valid, seconds)


class TimedSegmenter:
    """Another segmenter and the time that it takes."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.id = segmenter.id
        self.encoding = 0.0
        """Seconds spent encoding so far."""
        self.decoding = 0.0
        """Seconds spent answering prompts so far."""
        self._segmenter = segmenter

    def encode(self, image: np.ndarray) -> Embedding:
        """See `Segmenter.encode`."""
        return self.encode_among(image, None)

    def encode_among(self, image: np.ndarray, colours: Optional[np.ndarray]) -> Embedding:
        """See `LocalSegmenter.encode_among`; None: nothing is known of what is around."""
        began = time.perf_counter()
        embedding = encoded(self._segmenter, image, colours)
        self.encoding += time.perf_counter() - began
        return embedding

    def edges(self, embedding: Embedding) -> Optional[np.ndarray]:
        """See `EdgeSegmenter.edges`; None where the engine does not say."""
        return known_edges(self._segmenter, embedding)

    def predict(self, embedding: Embedding, prompts: Sequence[Prompts]) -> Masks:
        """See `Segmenter.predict`."""
        began = time.perf_counter()
        masks = self._segmenter.predict(embedding, prompts)
        self.decoding += time.perf_counter() - began
        return masks


class TimedEnlarger:
    """Another enlarger and the time that it takes."""

    def __init__(self, enlarger: Enlarger) -> None:
        self.factor = enlarger.factor
        self.seconds = 0.0
        """Spent so far."""
        self._enlarger = enlarger

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """See `Enlarger.__call__`."""
        began = time.perf_counter()
        large = self._enlarger(image)
        self.seconds += time.perf_counter() - began
        return large


@dataclass(frozen=True)
class _Shown:
    """What a tile shows."""

    images: List[np.ndarray]
    """(h, w, 3) uint8, one a date; none where no pixel is to be looked at."""
    colours: List[Optional[np.ndarray]]
    """What is around each of their pixels, (h, w, 6) float32."""
    valid: np.ndarray
    """(h, w) bool: pixels that are to be looked at."""


def _read(scene: SceneWork, job: TileJob) -> _Shown:
    """The images of a tile's window."""
    window = job.tile.window
    valid = np.zeros((window.height, window.width), bool)
    valid[job.tile.area_in_window] = job.mask()
    if scene.cropland is not None and valid.any():
        valid &= read_mask(scene.cropland, window, scene.grid)
    images: List[np.ndarray] = []
    colours: List[Optional[np.ndarray]] = []
    for image in scene.images if valid.any() else ():
        # The first one has the scene's own grid.
        picture, data = read_shown(image, window, scene.grid if images else None)
        if images:
            # A black part would have a border, and look like a field.
            picture = np.where(data[..., None], picture, images[0])
        else:
            valid &= data
        images.append(picture)
        colours.append(None if image.colours is None else image.colours.within(window))
    return _Shown(images, colours, valid)


def open_model(choice: ModelChoice) -> Segmenter:
    """The engine; a process opens it once for all its tiles.

    :raises ModelError: it cannot run here.
    """
    return _opened(choice, _changed(choice.model_file))


def _changed(model_file: Optional[str]) -> int:
    """When a file, or the last one in a folder, was written; 0 where there is none."""
    if not model_file:
        return 0
    files = [Path(model_file), *Path(model_file).glob("*")]
    return max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)


@lru_cache(maxsize=2)
def _opened(choice: ModelChoice, changed: int) -> Segmenter:
    """:param changed: when its file was written; part of the key, so a new file is read anew."""
    return Registry(choice.places).load(choice.model, choice.model_file)


def open_scene_enlarger(scene: SceneWork) -> Optional[Enlarger]:
    """The model for super-resolution, opened once by a process; None where there is no such step.

    :raises ModelError: it cannot run here.
    """
    if scene.super_resolution is None:
        return None
    return open_enlarger(Path(scene.super_resolution))
