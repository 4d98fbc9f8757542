"""What is kept of a tile: its fields as labels with one row of numbers each, in one file a tile."""

from __future__ import annotations

import os
import re
import zipfile
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from .field_measures import field_measures
from .pieces import TileFields, label_raster
from .tiling import Tile

_OURS = re.compile(r"[0-9a-f]{24}-.*\.np[yz]")
FORMAT = 3
"""Part of the key of a run: files of another format are never read."""
STAGES = ("read", "enlarge", "encode", "decode", "other")
"""What the seconds of a tile went into."""


@dataclass(frozen=True)
class TileRecord:
    """The fields of one tile on its area; n fields, r rounds."""

    labels: np.ndarray
    """(h, w) int32 on the tile's area: 1..n, 0 where there is no field."""
    valid: np.ndarray
    """(h, w) bool: pixels that were to be looked at."""
    edges: np.ndarray
    """(h, w) uint8: the chance that a field ends at a pixel, in 255ths."""
    round: np.ndarray
    """(n,) int32: which round found a field."""
    score: np.ndarray
    """(n,) float32."""
    stability: np.ndarray
    """(n,) float32."""
    edge_ratio: np.ndarray
    """(n,) float32."""
    entropy: np.ndarray
    """(n,) float32, bits."""
    refined: np.ndarray
    """(n,) bool."""
    prompts: np.ndarray
    """(r,) int64: places that the engine was asked at in each round."""
    seconds: np.ndarray
    """(5,) float64: what the time went into, see STAGES."""

    @property
    def count(self) -> int:
        """Number of fields."""
        return len(self.score)


def record_of(
    tile: Tile,
    found: TileFields,
    images: Sequence[np.ndarray],
    valid: np.ndarray,
    seconds: Mapping[str, float],
) -> TileRecord:
    """What is kept of the fields of a tile.

    :param images: what the engine was shown, (H, W, 3) uint8 of the tile's window each.
    :param valid: (H, W) bool on the window.
    :param seconds: by names of STAGES.
    """
    labels = label_raster(found.pieces, valid.shape)
    measures = field_measures(images, labels, valid, count=len(found.pieces))
    rounds = {count.round: count.prompts for count in found.rounds}
    pieces = found.pieces
    return TileRecord(
        labels[tile.area_in_window],
        valid[tile.area_in_window],
        np.round(255 * found.edges[tile.area_in_window]).astype(np.uint8),
        np.array([piece.round for piece in pieces], np.int32),
        np.array([piece.score for piece in pieces], np.float32),
        np.array([piece.stability for piece in pieces], np.float32),
        measures.edge_ratio,
        measures.entropy,
        np.array([piece.refined for piece in pieces], bool),
        np.array([rounds.get(k, 0) for k in range(1, max(rounds, default=0) + 1)], np.int64),
        np.array([seconds.get(name, 0.0) for name in STAGES]),
    )


def empty_record(tile: Tile) -> TileRecord:
    """Of a tile without a pixel to look at."""
    shape = tile.area.height, tile.area.width
    none = np.empty(0, np.float32)
    return TileRecord(
        np.zeros(shape, np.int32), np.zeros(shape, bool), np.zeros(shape, np.uint8),
        none.astype(np.int32), none, none, none, none, none.astype(bool), np.empty(0, np.int64),
        np.zeros(len(STAGES)),
    )  # fmt: skip


class TileFolder:
    """Records of the tiles of one run, each in a file that is there whole or not at all."""

    def __init__(self, folder: Path, key: str) -> None:
        """Nothing is made yet.

        :param key: of the run; files of other keys are never read.
        """
        self.folder = folder
        self._key = key[:24]

    def path_of(self, tile: Tile) -> Path:
        """The file of a tile."""
        return self.folder / f"{self._key}-{tile.row:04d}-{tile.col:04d}.npz"

    @property
    def scratch(self) -> Path:
        """A file for the labels of the scene while it is put together."""
        return self.folder / f"{self._key}-labels.npy"

    def put(self, tile: Tile, record: TileRecord) -> None:
        """Keep a record.

        :raises OSError: the disk is full or cannot be written.
        """
        path = self.path_of(tile)
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with partial.open("wb") as stream:
                np.savez_compressed(stream, **_arrays(record))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def get(self, tile: Tile) -> Optional[TileRecord]:
        """The record of a tile; None where there is none, or a damaged one, which is removed."""
        path = self.path_of(tile)
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                record = _record({name: stored[name] for name in stored.files})
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
            record = None
        if record is None or record.labels.shape != (tile.area.height, tile.area.width):
            path.unlink(missing_ok=True)
            return None
        return record

    def without_others(self) -> None:
        """Remove files of other runs, and halves of files."""
        for path in self.folder.glob("*"):
            ours = path.suffix == ".part" or _OURS.fullmatch(path.name) is not None
            if ours and not path.name.startswith(self._key):
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the records, and the folder if nothing else is in it."""
        for pattern in (f"{self._key}-*.np[yz]", f".{self._key}-*.part"):
            for path in self.folder.glob(pattern):
                # Windows keeps a file that is still mapped; the next run removes it.
                with suppress(PermissionError):
                    path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def _arrays(record: TileRecord) -> Dict[str, np.ndarray]:
    arrays = {item.name: getattr(record, item.name) for item in fields(record)}
    arrays["valid"] = np.packbits(record.valid, axis=1)
    return arrays


def _record(arrays: Mapping[str, np.ndarray]) -> Optional[TileRecord]:
    """:raises KeyError: something is missing."""
    found = {item.name: arrays[item.name] for item in fields(TileRecord)}
    width = found["labels"].shape[1]
    found["valid"] = np.unpackbits(found["valid"], axis=1, count=width).astype(bool)
    record = TileRecord(**found)
    columns: Tuple[np.ndarray, ...] = (
        record.round, record.stability, record.edge_ratio, record.entropy, record.refined
    )  # fmt: skip
    whole = all(len(column) == record.count for column in columns)
    return record if whole and record.labels.max(initial=0) <= record.count else None
