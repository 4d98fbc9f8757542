"""All fields of a scene: tiles are worked on and kept one by one, then joined at their seams."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ...errors import OutputError
from ...execution import Workers, run
from ...imagery.grid import Window
from ...monitor import Monitor
from ..coverage.cleaning import cleaned_labels
from .seams import Records, SceneFields, joined
from .tile_records import STAGES, TileFolder, TileRecord
from .tiling import Lattice, Tile

_IN_MEMORY = 1 << 26
"""Pixels; the labels of larger scenes lie in a file while they are joined."""
_TOLD_SECONDS = 10.0
"""A tile that took longer is told of, others from time to time."""


@dataclass(frozen=True)
class TileJob:
    """One tile of a scene."""

    tile: Tile
    asked: Optional[np.ndarray] = None
    """(h, k) uint8: pixels of the tile's area that are asked for, eight along a row in a byte;
    None: all of them."""

    def mask(self) -> np.ndarray:
        """(h, w) bool on the tile's area: what is asked for."""
        area = self.tile.area
        if self.asked is None:
            return np.ones((area.height, area.width), bool)
        return np.unpackbits(self.asked, axis=1, count=area.width).astype(bool)


@dataclass(frozen=True)
class RoundSum:
    """What a round did on the whole scene."""

    round: int
    """The first is 1."""
    prompts: int
    """Places that the engine was asked at, those in overlaps twice."""
    fields: int
    """Fields whose largest part it found."""
    pixels: int
    """Of these fields."""


@dataclass(frozen=True)
class SceneDelineation:
    """The fields of a scene."""

    labels: np.ndarray
    """(H, W) int32: 1..n, 0 where there is no field."""
    fields: SceneFields
    """Numbers of the n fields before small ones were given to others."""
    rounds: Tuple[RoundSum, ...]
    valid: int
    """Pixels that were to be looked at."""
    covered: int
    """Those of them that are field."""
    seconds: Tuple[Tuple[str, float], ...]
    """Stage and time that it took, of all workers together."""
    tiles: int
    """That decide about a pixel that was asked for."""
    reused: int
    """Of them were kept from an earlier run."""
    residuals: Callable[[], Iterator[Tuple[Window, np.ndarray, np.ndarray]]]
    """Parts of the scene, and (h, w) bool of pixels to be looked at, and of those without field."""

    @property
    def coverage(self) -> float:
        """Share of the pixels to be looked at that are field, 0..1; 0 where there were none."""
        return self.covered / self.valid if self.valid else 0.0


@dataclass(frozen=True)
class ScenePlan:
    """What is to be done."""

    lattice: Lattice
    jobs: Tuple[TileJob, ...]
    """Tiles of the lattice that decide about a pixel that is asked for."""
    folder: TileFolder
    workers: Workers
    least_pixels: int
    """Smaller fields go to those beside them."""
    least_width: float
    """Narrower fields too, in pixels."""


def work_on_tiles(
    plan: ScenePlan,
    work: Callable[[TileJob, Monitor], TileRecord],
    monitor: Monitor,
    found: Callable[[Tile, TileRecord], None] = lambda tile, record: None,
) -> int:
    """Look for the fields of all tiles; those kept from an earlier run are not looked at again.

    :param work: what is done on each tile.
    :param found: told, from this thread, of each tile when it is in the folder: first of those
        that were kept.
    :return: how many were kept from an earlier run.
    :raises Cancelled: the tiles that are done stay in the folder.
    :raises OutputError: the disk is full.
    """
    with _keeping(plan):
        plan.folder.folder.mkdir(parents=True, exist_ok=True)
        left = list(_left(plan, monitor, found))
        reused = len(plan.jobs) - len(left)
        if reused:
            monitor.message(f"{reused} of {len(plan.jobs)} tiles are there from an earlier run.")
        told = _Telling(len(left), monitor)
        share = reused / len(plan.jobs) if plan.jobs else 1.0
        results = run(work, left, plan.workers, monitor.part(share, 1), len(left))
        for done, (place, record) in enumerate(results, start=1):
            plan.folder.put(left[place].tile, record)
            told.tile(done, record)
            found(left[place].tile, record)
        return reused


def _left(
    plan: ScenePlan, monitor: Monitor, found: Callable[[Tile, TileRecord], None]
) -> Iterator[TileJob]:
    """The tiles that are not in the folder; of the others is told.

    :raises Cancelled:
    """
    for job in plan.jobs:
        monitor.check()
        record = plan.folder.get(job.tile)
        if record is None:
            yield job
        else:
            found(job.tile, record)


def join_tiles(plan: ScenePlan, reused: int, monitor: Monitor) -> SceneDelineation:
    """The fields of the scene from those of its tiles, all of which are in the folder.

    :param reused: how many tiles were kept from an earlier run.
    :raises Cancelled: the tiles stay in the folder.
    :raises OutputError: the disk is full.
    """
    with _keeping(plan):
        return _joined(plan, reused, monitor)


@contextmanager
def _keeping(plan: ScenePlan) -> Iterator[None]:
    """:raises OutputError: a file of the folder cannot be written or read."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"OUTPUT: the tiles cannot be kept in {plan.folder.folder} "
            f"({error.strerror or error}); make room on the disk or choose another place, then "
            "run again to go on from the last tile."
        ) from error


class _Telling:
    """Tells of tiles that are done, and how long the others may take."""

    def __init__(self, total: int, monitor: Monitor) -> None:
        self._total, self._monitor = total, monitor
        self._began = self._last = time.monotonic()

    def tile(self, done: int, record: TileRecord) -> None:
        """A tile is done."""
        now = time.monotonic()
        if done < self._total and now - self._last < _TOLD_SECONDS and done > 1:
            return
        self._last = now
        remaining = (now - self._began) / done * (self._total - done)
        ending = f"; about {_duration(remaining)} left" if done < self._total else ""
        self._monitor.message(
            f"Tile {done} of {self._total}: {record.count} fields{ending}."
        )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _joined(plan: ScenePlan, reused: int, monitor: Monitor) -> SceneDelineation:
    began = time.perf_counter()
    tiles = [job.tile for job in plan.jobs]
    by_row = 2 * max((tile.col for tile in tiles), default=0) + 4
    records = lru_cache(maxsize=by_row)(lambda tile: _kept(plan.folder, tile))
    labels = _blank(plan)
    fields = joined(tiles, records, labels, monitor.part(0, 0.4))
    if plan.least_pixels > 1 or plan.least_width > 1:
        labels = cleaned_labels(
            labels, plan.least_pixels, plan.least_width, monitor.part(0.4, 0.9)
        )
    summed = _Summed(tiles, records, labels, len(fields.pixels))
    summed.seconds["joining"] = time.perf_counter() - began
    monitor.progress(1)
    return SceneDelineation(
        labels,
        fields,
        summed.rounds(fields),
        summed.valid,
        int(summed.sizes[1:].sum()),
        tuple(summed.seconds.items()),
        len(tiles),
        reused,
        lambda: _residuals(tiles, records, labels),
    )


def _kept(folder: TileFolder, tile: Tile) -> TileRecord:
    """A record that was kept a moment ago.

    :raises OutputError: it is gone.
    """
    record = folder.get(tile)
    if record is None:
        raise OutputError(
            f"OUTPUT: the file {folder.path_of(tile)} is gone or damaged; run again to make it "
            "again."
        )
    return record


def _blank(plan: ScenePlan) -> np.ndarray:
    """(H, W) int32, all 0; large ones in a file of the folder.

    :raises OSError: the disk is full.
    """
    shape = plan.lattice.shape
    if shape[0] * shape[1] <= _IN_MEMORY:
        return np.zeros(shape, np.int32)
    path = plan.folder.scratch
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.int32, shape=shape)


class _Summed:
    """Sums over the tiles of a scene."""

    def __init__(
        self, tiles: Sequence[Tile], records: Records, labels: np.ndarray, count: int
    ) -> None:
        self.valid = 0
        """Pixels that were to be looked at."""
        self.sizes = np.zeros(count + 1, np.int64)
        """Pixels of each label."""
        self.seconds: Dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self._prompts: List[int] = []
        for tile in tiles:
            self._add(tile, records(tile), labels)

    def _add(self, tile: Tile, record: TileRecord, labels: np.ndarray) -> None:
        self.valid += int(np.count_nonzero(record.valid[tile.core_in_area]))
        core = np.asarray(labels[tile.core.slices])
        self.sizes += np.bincount(core.ravel(), minlength=len(self.sizes))
        for name, value in zip(STAGES, record.seconds):
            self.seconds[name] += float(value)
        for k, prompts in enumerate(record.prompts):
            if k == len(self._prompts):
                self._prompts.append(0)
            self._prompts[k] += int(prompts)

    def rounds(self, fields: SceneFields) -> Tuple[RoundSum, ...]:
        """What each round did."""
        sizes = self.sizes[1:]
        return tuple(
            RoundSum(
                number,
                prompts,
                int(np.count_nonzero(sizes[fields.round == number])),
                int(sizes[fields.round == number].sum()),
            )
            for number, prompts in enumerate(self._prompts, start=1)
        )


def _residuals(
    tiles: Sequence[Tile], records: Records, labels: np.ndarray
) -> Iterator[Tuple[Window, np.ndarray, np.ndarray]]:
    for tile in tiles:
        valid = records(tile).valid[tile.core_in_area]
        yield tile.core, valid, valid & (np.asarray(labels[tile.core.slices]) == 0)

