"""The engine that asks a worker: masks, scores, tokens, and what it costs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import numpy as np
import pytest

from furrow.core.errors import ModelError
from furrow.core.fields.segmenter import Embedding, Prompts
from furrow.models.segmenters.checkpoints.torch_segmenter import (
    TorchSegmenter,
    _taken,
    open_checkpoint,
)
from furrow.models.segmenters.checkpoints.worker_client import START, About, Worker
from furrow.tests.models.worker.made_up_worker import MadeUpNetwork
from furrow.tests.models.worker.without_process import Here, costs

ROOT = Path(__file__).resolve().parents[4]
MADE_UP = ROOT / "tests" / "models" / "worker" / "made_up_worker.py"
CLICK = Prompts.click(20.5, 30.5)
BOX = Prompts(np.empty((0, 2)), np.empty(0, bool), np.array([50.0, 10, 80, 50]))
TWO = Prompts(np.array([[20.5, 30.5], [70.5, 30.5]]), np.array([True, False]))


def picture(height: int = 60, width: int = 90) -> np.ndarray:
    """Two halves that differ, each with some mottling, and a patch in the left one."""
    image = np.full((height, width, 3), 90, np.uint8)
    image[:, width // 2 :] = 180
    image[height // 3 : height // 2, : width // 4] += 20
    return image + np.random.default_rng(1).integers(0, 30, image.shape).astype(np.uint8)


def here(*behaviours: str) -> Here:
    return Here(MadeUpNetwork(behaviours))


@pytest.fixture(scope="module")
def worker() -> Iterator[Callable[..., Worker]]:
    made = []

    def make(*behaviours: str) -> Worker:
        own = [sys.executable, "-I", "-X", "utf8", str(MADE_UP), str(START), *behaviours]
        made.append(Worker(own, "made-up.pth"))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def same(one: object, other: object) -> bool:
    pairs = ((one.masks, other.masks), (one.scores, other.scores))
    return all(np.array_equal(a, b) for a, b in pairs)


def test_a_process_gives_what_the_network_gives(worker: Callable[..., Worker]) -> None:
    engine, other = TorchSegmenter("made-up", worker()), TorchSegmenter("made-up", here())
    image = picture()
    before = image.copy()
    embedding, expected = engine.encode(image), other.encode(image)
    assert np.array_equal(image, before)
    assert embedding.model_id == "made-up"
    assert embedding.shape == (60, 90)
    assert list(embedding.data) == list(expected.data)
    for name, values in expected.data.items():
        assert np.array_equal(embedding.data[name], values)
        assert values.dtype in (np.float16, np.uint8)
    prompts = [CLICK, BOX, TWO]
    assert same(engine.predict(embedding, prompts), other.predict(expected, prompts))
    assert engine.memory()["memory"] > 0
    assert engine.start().family == "segment-anything"


def test_masks_go_from_fine_to_coarse_and_scores_with_them() -> None:
    engine = TorchSegmenter("made-up", here())
    found = engine.predict(engine.encode(picture()), [CLICK, BOX, TWO])
    assert found.masks.shape == (3, 3, 60, 90)
    assert found.masks.dtype == bool
    assert found.scores.dtype == np.float32
    areas = found.masks.sum(axis=(2, 3))
    assert (np.diff(areas, axis=1) >= 0).all()
    assert found.scores[0].tolist() == pytest.approx([0.9, 0.8, 1.0]), "1.2 is clipped"
    # 0.95 is the score of the network's single answer, which is most like the second of its three.
    assert found.scores[1:].ravel().tolist() == pytest.approx([0.9, 0.95, 1.0] * 2)
    left = np.zeros((60, 90), bool)
    left[:, :45] = True
    assert (found.masks[0, 2] == left).mean() > 0.97


def test_scores_follow_where_the_network_answers_from_coarse_to_fine() -> None:
    own = here()
    fine_first = own.network.decode_all

    def decode_all(*asked: object) -> tuple:
        return tuple(values[:, [0, 3, 2, 1]] for values in fine_first(*asked))

    own.network.decode_all = decode_all
    engine, other = TorchSegmenter("x", own), TorchSegmenter("x", here())
    found, expected = (one.predict(one.encode(picture()), [CLICK]) for one in (engine, other))
    assert same(found, expected)


def test_the_single_answer_takes_the_place_of_the_one_most_like_it() -> None:
    low = np.full((3, 4, 4, 4), -1.0, np.float32)
    low[:, 0, :3], low[:, 1, :1], low[:, 2, :2], low[:, 3] = 2, 1, 1, 1
    low[1, 0, 1:] = -2
    assert _taken(low, [BOX, TWO, CLICK]).tolist() == [[1, 2, 0], [0, 2, 3], [1, 2, 3]]


def test_features_are_sent_only_to_a_worker_that_does_not_know_them() -> None:
    own = here()
    engine = TorchSegmenter("made-up", own)
    embedding = engine.encode(picture())
    known = engine.predict(embedding, [CLICK, BOX])
    small = sum(values.nbytes for values in own.asked[-1].arrays.values())
    assert small < 1000
    fresh = here()
    other = TorchSegmenter("made-up", fresh)
    assert same(other.predict(embedding, [CLICK, BOX]), known)
    assert same(other.predict(embedding, [CLICK, BOX]), known)
    sent = ["feature_cells" in request.arrays for request in fresh.asked]
    assert sent == [False, True, False]


def test_a_new_process_gives_the_same_masks(worker: Callable[..., Worker]) -> None:
    one = worker()
    engine = TorchSegmenter("made-up", one)
    embedding = engine.encode(picture())
    before = engine.predict(embedding, [CLICK, BOX])
    one.stop()
    assert same(engine.predict(embedding, [CLICK, BOX]), before)


def test_many_prompts_are_asked_in_parts() -> None:
    own = here()
    engine = TorchSegmenter("made-up", own)
    embedding = engine.encode(picture())
    many = [CLICK, BOX] * 40
    found = engine.predict(embedding, many)
    assert len(own.asked) == 1 + 3
    assert same(found, engine.predict(embedding, many))
    assert np.array_equal(found.masks[-2], found.masks[0])
    assert np.array_equal(found.masks[-1], found.masks[1])


def test_no_prompts_have_no_masks() -> None:
    own = here()
    engine = TorchSegmenter("made-up", own)
    found = engine.predict(engine.encode(picture()), [])
    assert found.masks.shape == (0, 3, 60, 90)
    assert found.scores.shape == (0, 3)
    assert len(own.asked) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (257, 31), (90, 60)])
def test_odd_sizes(shape: tuple) -> None:
    engine = TorchSegmenter("made-up", here())
    embedding = engine.encode(np.full((*shape, 3), 7, np.uint8))
    found = engine.predict(embedding, [Prompts.click(shape[1] / 2, shape[0] / 2)])
    assert found.masks.shape == (1, 3, *shape)
    assert found.masks.all()


def test_the_family_says_how_the_image_fills_the_square() -> None:
    own = here()
    low = np.full((1, 4, 64, 64), -5, np.float32)
    low[:, :, :32] = 5
    own.network.decode_all = lambda *_: (low, np.zeros((1, 4)))
    engine = TorchSegmenter("made-up", own)
    embedding = engine.encode(np.zeros((50, 100, 3), np.uint8))
    assert engine.predict(embedding, [CLICK]).masks.all(), "the image is the upper half"
    own.about = About("segment-anything-2.1", 256, 3, "cpu", 0.0, None)
    assert engine.predict(embedding, [CLICK]).masks.mean() == pytest.approx(0.5, abs=0.02)


def test_logits_that_are_no_numbers_give_empty_masks() -> None:
    own = here()
    nothing = np.full((1, 4, 64, 64), np.nan), np.full((1, 4), np.nan)
    own.network.decode_all = lambda *_: nothing
    engine = TorchSegmenter("made-up", own)
    found = engine.predict(engine.encode(picture()), [CLICK])
    assert not found.masks.any()
    assert not found.scores.any()


def test_what_is_no_picture_is_refused() -> None:
    engine = TorchSegmenter("made-up", here())
    with pytest.raises(ValueError, match="uint8 image"):
        engine.encode(np.zeros((5, 5, 3)))


def test_an_embedding_without_features_is_refused() -> None:
    engine = TorchSegmenter("made-up", here())
    empty = Embedding("made-up", (5, 5), {"known_as": np.zeros(16, np.uint8)})
    with pytest.raises(ModelError, match="encode the image again"):
        engine.predict(empty, [CLICK])


def test_a_checkpoint_or_an_environment_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"sam\.pth cannot be read"):
        open_checkpoint(tmp_path / "sam.pth", "sam", tmp_path / "environment")
    (tmp_path / "sam.pth").write_bytes(b"1")
    with pytest.raises(ModelError, match="install that environment or choose another model"):
        open_checkpoint(tmp_path / "sam.pth", "sam", tmp_path / "environment")


@pytest.mark.parametrize("side", [200, 1024])
def test_the_process_costs_little(
    worker: Callable[..., Worker], side: int, capsys: pytest.CaptureFixture
) -> None:
    """At most 25 ms a click more than without a process."""
    engines = [TorchSegmenter("x", worker("side=1024")), TorchSegmenter("x", here("side=1024"))]
    image = np.random.default_rng(0).integers(0, 255, (side, side, 3)).astype(np.uint8)
    line, more = costs(engines, image, [CLICK], 8)
    with capsys.disabled():
        print(f"\n{line}")
    assert more < 25
