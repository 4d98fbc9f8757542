"""The index of a folder of embeddings: what it lists is kept, and a damaged one breaks nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from furrow.core.errors import OutputError
from furrow.core.fields.segmenter import Embedding
from furrow.core.imagery.grid import Window
from furrow.models.segmenters.embeddings.embedding_index import (
    INDEX,
    EncodedImage,
    add_to_index,
    described,
    listed_keys,
    read_index,
    remove_index,
    require_own,
)
from furrow.models.segmenters.embeddings.embedding_store import EmbeddingStore

KEYS = [f"{number:064x}" for number in range(6)]


def image(*keys: str, **other: Any) -> EncodedImage:
    windows = {Window(100 * KEYS.index(key), 0, 200, 200): key for key in keys}
    plain = EncodedImage(
        "/data/Été \udc80.tif", 10, "2023-06-01T00:00:00+00:00", (3, 2, 1), "classical", "ab", 200,
        windows, "0.4",
    )  # fmt: skip
    return replace(plain, **other)


def embedding(number: int) -> Embedding:
    return Embedding("made-up", (10, 10), {"values": np.full(1000, number, np.uint8)})


def test_what_is_added_is_read_again(tmp_path: Path) -> None:
    add_to_index(tmp_path, image(KEYS[0], KEYS[1]))
    assert read_index(tmp_path) == (image(KEYS[0], KEYS[1]),)
    assert listed_keys(tmp_path) == set(KEYS[:2])
    assert [path.name for path in tmp_path.iterdir()] == [INDEX]


def test_people_can_read_it(tmp_path: Path) -> None:
    add_to_index(tmp_path, image(KEYS[0], KEYS[1]))
    found = json.loads((tmp_path / INDEX).read_text(encoding="utf-8"))["images"][0]
    assert (found["name"], found["count"], found["tile"]) == ("Été \udc80.tif", 2, 200)
    assert found["windows"] == {"0 0 200 200": KEYS[0], "100 0 200 200": KEYS[1]}
    assert "percentile" in found["stretch"]
    assert described(tmp_path) == "Été \udc80.tif (classical, 200 px)"


def test_further_windows_join_those_of_before(tmp_path: Path) -> None:
    add_to_index(tmp_path, image(KEYS[0], KEYS[1]))
    add_to_index(tmp_path, image(KEYS[2], fingerprint="cd"))
    add_to_index(tmp_path, image(KEYS[1], KEYS[3]))
    assert read_index(tmp_path) == (
        image(KEYS[2], fingerprint="cd"),
        image(KEYS[0], KEYS[1], KEYS[3]),
    )


@pytest.mark.parametrize("state", [{"bytes": 11}, {"changed": ""}, {"stretch": "none"}])
def test_a_changed_image_takes_the_place_of_the_old_one(tmp_path: Path, state: Any) -> None:
    add_to_index(tmp_path, image(KEYS[0]))
    add_to_index(tmp_path, image(KEYS[1], **state))
    assert read_index(tmp_path) == (image(KEYS[1], **state),)


def test_a_damaged_index_is_passed_over_and_written_anew(tmp_path: Path) -> None:
    add_to_index(tmp_path, image(KEYS[0]))
    content = (tmp_path / INDEX).read_bytes()
    spoiled = [content[:share] for share in (0, 150, len(content) // 2, len(content) - 3)]
    spoiled += [
        bytes(len(content)),
        content.replace(b'"tile": 200', b'"tile": {}'),
        content.replace(b'"windows": {', b'"windows": {"1 2": "x",', 1),
        content.replace(KEYS[0].encode(), b"../../other"),
        content.replace(b'"format": 1', b'"format": 99'),
        content.replace(b'"images": [', b'"images": [null,'),
    ]
    for bad in spoiled:
        assert bad != content
        (tmp_path / INDEX).write_bytes(bad)
        assert read_index(tmp_path) == () and listed_keys(tmp_path) == set()
        assert described(tmp_path) == ""
        add_to_index(tmp_path, image(KEYS[1]))
        assert read_index(tmp_path) == (image(KEYS[1]),)


@pytest.mark.parametrize("content", ['{"name": "my site"}', "[1, 2]", "<html>"])
def test_an_index_of_somebody_else_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / INDEX).write_text(content)
    for call in (lambda: require_own(tmp_path), lambda: add_to_index(tmp_path, image(KEYS[0]))):
        with pytest.raises(OutputError, match="choose another folder"):
            call()
    remove_index(tmp_path)
    EmbeddingStore(tmp_path, 0, 10**6).clear()
    assert (tmp_path / INDEX).read_text() == content
    assert read_index(tmp_path) == ()


def test_no_index_and_no_folder_are_no_trouble(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        require_own(folder)
        remove_index(folder)
        assert read_index(folder) == ()


class TestStore:
    """What the store does with entries that the index lists."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        store = EmbeddingStore(tmp_path, 0, 10**6)
        for number in range(5):
            store.put(KEYS[number], embedding(number))
        add_to_index(tmp_path, image(*KEYS[:3]))
        return tmp_path

    def names(self, folder: Path) -> list[str]:
        return sorted(path.stem for path in folder.glob("*.npz"))

    def test_they_are_neither_counted_nor_dropped(self, folder: Path) -> None:
        before = sum(path.stat().st_size for path in folder.glob("*.npz"))
        store = EmbeddingStore(folder, 0, 2500)  # has room for one entry
        assert self.names(folder)[:3] == KEYS[:3] and len(self.names(folder)) == 4
        assert store.size()[1] == before * 4 // 5
        for number in (0, 1, 2):
            assert store.get(KEYS[number]).data["values"][0] == number
        store.put(KEYS[5], embedding(5))
        assert self.names(folder) == [*KEYS[:3], KEYS[5]]

    def test_a_damaged_one_is_made_again(self, folder: Path) -> None:
        (folder / f"{KEYS[0]}.npz").write_bytes(b"damaged")
        store = EmbeddingStore(folder, 0, 10**6)
        assert store.get(KEYS[0]) is None and KEYS[0] not in self.names(folder)
        store.put(KEYS[0], embedding(7))
        assert store.get(KEYS[0]).data["values"][0] == 7
        assert store.size()[1] == sum(path.stat().st_size for path in folder.glob("*.npz"))

    def test_clearing_takes_all_and_the_index(self, folder: Path) -> None:
        (folder / "notes.txt").write_text("mine")
        store = EmbeddingStore(folder, 0, 10**6)
        store.clear()
        assert store.size() == (0, 0)
        assert [path.name for path in folder.iterdir()] == ["notes.txt"]
