"""Records of tiles in files: whole or not at all."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from furrow.core.fields.delineation.pieces import FieldPiece, RoundCount, TileFields
from furrow.core.fields.delineation.tile_records import (
    TileFolder,
    TileRecord,
    empty_record,
    record_of,
)
from furrow.core.fields.delineation.tiling import Lattice

KEY, OTHER = "a" * 64, "b" * 64
FIRST, SECOND = Lattice((90, 192), 128, 64).tiles


@pytest.fixture
def record() -> TileRecord:
    pieces = (
        FieldPiece(np.ones((10, 12), bool), 5, 6, 0.9, 0.8, 1),
        FieldPiece(np.ones((20, 3), bool), 40, 80, 0.7, 0.6, 3, refined=True),
    )
    rounds = (RoundCount(1, 30, 1, 120, 9880), RoundCount(3, 7, 1, 60, 9820))
    valid = np.ones((90, 128), bool)
    valid[:3] = False
    edges = np.full(valid.shape, 0.6, np.float32)
    found = TileFields(pieces, rounds, int(valid.sum()), valid.copy(), edges)
    image = np.random.default_rng(0).integers(0, 255, (90, 128, 3), np.uint8)
    return record_of(FIRST, found, [image], valid, {"read": 0.5, "decode": 2.0})


def equal(one: TileRecord, other: TileRecord) -> bool:
    return all(
        np.array_equal(getattr(one, item.name), getattr(other, item.name))
        and getattr(one, item.name).dtype == getattr(other, item.name).dtype
        for item in fields(TileRecord)
    )


def test_a_record_says_what_was_found(record: TileRecord) -> None:
    assert record.labels.shape == (FIRST.area.height, FIRST.area.width)
    assert np.bincount(record.labels.ravel())[1:].tolist() == [120, 60]
    assert record.round.tolist() == [1, 3] and record.refined.tolist() == [False, True]
    assert record.prompts.tolist() == [30, 0, 7]
    assert record.edges.shape == record.labels.shape and np.unique(record.edges) == [153]
    assert record.seconds.tolist() == [0.5, 0.0, 0.0, 2.0, 0.0]


def test_it_comes_back_as_it_was(record: TileRecord, tmp_path: Path) -> None:
    folder = TileFolder(tmp_path / "tiles", KEY)
    folder.folder.mkdir()
    folder.put(FIRST, record)
    folder.put(SECOND, empty_record(SECOND))
    assert equal(folder.get(FIRST), record)
    assert equal(folder.get(SECOND), empty_record(SECOND))
    assert TileFolder(folder.folder, OTHER).get(FIRST) is None
    folder.remove()
    assert not folder.folder.exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_half_a_file_counts_as_none(record: TileRecord, tmp_path: Path, share: float) -> None:
    folder = TileFolder(tmp_path, KEY)
    folder.put(FIRST, record)
    path = folder.path_of(FIRST)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert folder.get(FIRST) is None and not path.exists()


def test_only_records_of_other_runs_are_removed(record: TileRecord, tmp_path: Path) -> None:
    folder, other = TileFolder(tmp_path, KEY), TileFolder(tmp_path, OTHER)
    for each in (folder, other):
        each.put(FIRST, record)
    (tmp_path / "notes.txt").write_text("of the user")
    (tmp_path / "data.npz").write_text("of the user")
    folder.without_others()
    assert other.get(FIRST) is None and equal(folder.get(FIRST), record)
    folder.remove()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.npz", "notes.txt"]
