"""An engine with a store encodes a picture once, and answers as it would without."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from furrow.core.fields.finding import FieldOptions, find_fields
from furrow.core.fields.segmenter import Prompts
from furrow.core.imagery.pictures import FilePictures
from furrow.models.segmenters.embeddings.embedding_store import UNLIMITED, EmbeddingStore
from furrow.models.segmenters.embeddings.stored_segmenter import StoredSegmenter
from furrow.models.segmenters.regions.classical import ClassicalSegmenter
from furrow.tests.core.series_files import write_image


class Counting(ClassicalSegmenter):
    """Counts what it encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.encodes = 0
        self._counting = threading.Lock()

    def encode(self, image: np.ndarray) -> Any:
        with self._counting:
            self.encodes += 1
        return super().encode(image)


def stored(folder: Path, fingerprint: str = "model") -> tuple[StoredSegmenter, Counting]:
    engine = Counting()
    return StoredSegmenter(engine, EmbeddingStore(folder, 0, UNLIMITED), fingerprint), engine


def fields(side: int, seed: int = 5) -> np.ndarray:
    """(side, side, 3) uint8: square fields of different colours."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:side, 0:side]
    numbers = (rows // 30) * (side // 30 + 1) + cols // 30
    colours = rng.integers(40, 220, (numbers.max() + 1, 3))
    return np.clip(colours[numbers] + rng.normal(0, 4, (side, side, 3)), 1, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> FilePictures:
    """420 x 420 pixels."""
    shown = fields(420).astype(np.uint16) * 100
    bands = {name: shown[..., k] for k, name in enumerate(("B04", "B03", "B02"))}
    path = tmp_path_factory.mktemp("image") / "image_20230601.tif"
    return FilePictures(str(write_image(path, bands, nodata=0)))


@pytest.fixture(scope="module")
def seventy() -> list[Prompts]:
    """70 clicks all over the image."""
    places = np.random.default_rng(3).integers(20, 400, (70, 2)) + 0.5
    return [Prompts.click(x, y) for x, y in places]


def test_a_picture_is_encoded_once(tmp_path: Path) -> None:
    segmenter, engine = stored(tmp_path)
    first, other = fields(60), fields(60, seed=6)
    for shown in (first, first.copy(), other, first):
        segmenter.encode(shown)
    assert (engine.encodes, segmenter.encoded, segmenter.reused) == (2, 2, 2)
    again, engine = stored(tmp_path)
    again.encode(first)
    assert (engine.encodes, again.encoded, again.reused) == (0, 0, 1)


def test_another_model_has_embeddings_of_its_own(tmp_path: Path) -> None:
    stored(tmp_path)[0].encode(fields(60))
    segmenter, engine = stored(tmp_path, "another")
    segmenter.encode(fields(60))
    assert engine.encodes == 1


def test_answers_are_those_of_the_engine(tmp_path: Path) -> None:
    shown, prompts = fields(120), [Prompts.click(40, 50), Prompts.click(100, 20)]
    plain = ClassicalSegmenter()
    expected = plain.predict(plain.encode(shown), prompts)
    for _ in range(2):
        segmenter, _ = stored(tmp_path)
        found = segmenter.predict(segmenter.encode(shown), prompts)
        assert segmenter.id == plain.id
        assert np.array_equal(found.masks, expected.masks) and found.masks.any()
        assert np.array_equal(found.scores, expected.scores)


def test_seventy_prompts_are_encoded_once_a_window(
    image: FilePictures, seventy: list[Prompts], tmp_path: Path
) -> None:
    """The reference system encodes 70 times."""
    options = FieldOptions(window=200)
    segmenter, engine = stored(tmp_path)
    found = find_fields(seventy, image, segmenter, options)
    windows = {image.grid.shared_window(int(p.anchor[1]), int(p.anchor[0]), 200) for p in seventy}
    assert len(windows) <= 16 < len(seventy) and not found.missing
    assert engine.encodes == found.encodes == segmenter.encoded == len(windows)
    again, engine = stored(tmp_path)
    repeated = find_fields(seventy, image, again, options)
    assert engine.encodes == 0 and again.reused == repeated.encodes == len(windows)
    assert all(
        np.array_equal(a.mask, b.mask) and a.score == b.score
        for a, b in zip(found.masks, repeated.masks)
    )


def test_prompts_of_ontario_are_encoded_once_an_image(shared_data: Path, tmp_path: Path) -> None:
    """Pictures of 200 x 200 pixels: one window each, whatever the number of prompts."""
    segmenter, engine = stored(tmp_path)
    places = np.random.default_rng(1).integers(5, 195, (6, 2)) + 0.5
    prompts = [Prompts.click(x, y) for x, y in places]
    for number in range(1921, 1924):
        pictures = FilePictures(str(shared_data / "ontario" / f"{number}_rgb.tif"))
        assert find_fields(prompts, pictures, segmenter, FieldOptions()).encodes == 1
    assert engine.encodes == 3


def test_a_damaged_entry_is_encoded_again(tmp_path: Path) -> None:
    shown = fields(60)
    segmenter, _ = stored(tmp_path)
    expected = segmenter.encode(shown)
    path = next(tmp_path.glob("*.npz"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)
    segmenter, engine = stored(tmp_path)
    found = segmenter.encode(shown)
    assert engine.encodes == 1
    assert all(np.array_equal(found.data[name], expected.data[name]) for name in expected.data)
    segmenter, engine = stored(tmp_path)
    segmenter.encode(shown)
    assert engine.encodes == 0


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    segmenter, engine = stored(tmp_path / "taken")
    for _ in range(2):
        segmenter.encode(fields(60))
    assert engine.encodes == segmenter.encoded == 2
    assert "taken" in segmenter.store.trouble


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="uint8 image"):
        stored(tmp_path)[0].encode(np.zeros((10, 10), np.uint8))


def test_several_threads_may_ask(tmp_path: Path) -> None:
    segmenter, engine = stored(tmp_path)
    pictures = [fields(60, seed) for seed in range(3)]
    with ThreadPoolExecutor(4) as pool:
        shapes = list(pool.map(lambda k: segmenter.encode(pictures[k % 3]).shape, range(30)))
    assert shapes == [(60, 60)] * 30
    assert engine.encodes == segmenter.encoded and segmenter.encoded + segmenter.reused == 30
