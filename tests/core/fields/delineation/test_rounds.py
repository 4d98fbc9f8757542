"""Fields of a tile: disjoint, within the valid pixels, counted right, bright or not."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from furrow.core.errors import Cancelled
from furrow.core.fields.delineation.options import DelineationOptions
from furrow.core.fields.delineation.pieces import label_raster
from furrow.core.fields.delineation.rounds import delineate_tile
from furrow.core.fields.delineation.sight import Seed, look
from furrow.core.fields.masks import component_at
from furrow.core.fields.segmenter import Embedding, Masks
from furrow.core.monitor import SILENT, Monitor
from furrow.models.segmenters.regions.classical import ClassicalSegmenter

PLAIN = DelineationOptions(zoom=1)
SIDE = 20


class EvenSegmenter:
    """An engine for made-up pictures: the field of a prompt is what has its very colour there."""

    id = "even"

    def __init__(self, seconds: float = 0.0) -> None:
        self.encoded = 0
        self.prompts = 0
        self._seconds = seconds

    def encode(self, image: np.ndarray) -> Embedding:
        self.encoded += 1
        return Embedding(self.id, image.shape[:2], {"image": image.copy()})

    def predict(self, embedding, prompts):
        self.prompts += len(prompts)
        time.sleep(self._seconds)
        image = embedding.data["image"]
        masks = np.zeros((len(prompts), 1, *embedding.shape), bool)
        for k, prompt in enumerate(prompts):
            x, y = prompt.anchor
            masks[k, 0] = component_at((image == image[int(y), int(x)]).all(axis=2), x, y)
        return Masks(masks, np.full((len(prompts), 1), 0.9, np.float32))


class EdgeKnowingSegmenter(EvenSegmenter):
    """The same, and it says where colours change."""

    def edges(self, embedding: Embedding) -> np.ndarray:
        image = embedding.data["image"].astype(int)
        edges = np.zeros(embedding.shape, np.float32)
        edges[:, 1:] = (image[:, 1:] != image[:, :-1]).any(axis=2)
        edges[1:] = np.maximum(edges[1:], (image[1:] != image[:-1]).any(axis=2))
        return edges


def checkerboard(fields: int = 6, noise: float = 0.0) -> tuple:
    """A picture of square fields, every other one bright and some pure white; their labels."""
    random = np.random.default_rng(3)
    rows, cols = np.indices((fields * SIDE, fields * SIDE)) // SIDE
    labels = rows * fields + cols
    dark = random.integers(20, 120, (fields * fields, 3))
    bright = random.integers(215, 256, (fields * fields, 3))
    bright[::3] = 255
    colours = np.where(((rows + cols) % 2 == 0)[..., None], bright[labels], dark[labels])
    image = colours + random.normal(0, noise, colours.shape)
    return np.clip(image, 0, 255).astype(np.uint8), labels + 1


def found(image, valid=None, engine=None, options=PLAIN, monitor=SILENT):
    valid = np.ones(image.shape[:2], bool) if valid is None else valid
    return delineate_tile([image], valid, engine or EdgeKnowingSegmenter(), options, monitor)


def assert_sound(fields, valid) -> None:
    """What always holds."""
    covered = np.zeros(valid.shape, int)
    for piece in fields.pieces:
        height, width = piece.mask.shape
        covered[piece.row : piece.row + height, piece.col : piece.col + width] += piece.mask
        assert piece.mask[0].any() and piece.mask[-1].any()
        assert piece.mask[:, 0].any() and piece.mask[:, -1].any()
        assert 0 <= piece.score <= 1 and 0 <= piece.stability <= 1
    assert covered.max(initial=0) <= 1, "fields overlap"
    assert not (covered > 0)[~valid].any(), "a field lies where nothing is valid"
    assert np.array_equal(fields.residual, valid & (covered == 0))
    assert fields.valid == valid.sum()
    assert sum(count.added for count in fields.rounds) == covered.sum()
    assert sum(count.fields for count in fields.rounds) == len(fields.pieces)
    left = fields.valid
    for number, count in enumerate(fields.rounds, start=1):
        left -= count.added
        assert (count.round, count.residual) == (number, left)
        assert count.fields == sum(piece.round == number for piece in fields.pieces)


@pytest.mark.parametrize("engine", [EvenSegmenter, EdgeKnowingSegmenter, ClassicalSegmenter])
def test_bright_fields_are_fields_like_all_others(engine) -> None:
    image, labels = checkerboard(noise=2.0 if engine is ClassicalSegmenter else 0.0)
    fields = found(image, engine=engine())
    assert_sound(fields, np.ones(labels.shape, bool))
    seen = label_raster(fields.pieces, labels.shape) > 0
    assert seen.mean() >= 0.95
    bright = image.min(axis=2) >= 200
    assert seen[bright].mean() >= 0.95, "bright fields are lost"


def test_each_square_becomes_one_field() -> None:
    image, labels = checkerboard()
    fields = found(image)
    raster = label_raster(fields.pieces, labels.shape)
    for label in range(1, labels.max() + 1):
        square = labels == label
        most = np.bincount(raster[square]).argmax()
        shared = np.count_nonzero(square & (raster == most))
        assert most > 0 and shared / np.count_nonzero(square | (raster == most)) > 0.8


@settings(max_examples=12)
@given(seed=st.integers(0, 10**6), share=st.floats(0.3, 1.0), dates=st.integers(1, 3))
def test_what_always_holds(seed: int, share: float, dates: int) -> None:
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (dates, 5, 6, 3)).astype(np.uint8)
    images = [block.repeat(9, axis=0).repeat(7, axis=1) for block in blocks]
    valid = random.random((5, 6)).repeat(9, axis=0).repeat(7, axis=1) < share
    before = [image.copy() for image in images], valid.copy()
    options = DelineationOptions(zoom=int(random.integers(1, 3)), least_pixels=5)
    fields = delineate_tile(images, valid, EdgeKnowingSegmenter(), options)
    assert_sound(fields, valid)
    assert all(np.array_equal(*pair) for pair in zip(before[0], images))
    assert np.array_equal(before[1], valid)
    again = delineate_tile(images, valid, EdgeKnowingSegmenter(), options)
    assert again.rounds == fields.rounds
    size = valid.shape
    assert np.array_equal(label_raster(again.pieces, size), label_raster(fields.pieces, size))


def test_nothing_valid_and_nothing_to_see() -> None:
    image, labels = checkerboard()
    none = found(image, np.zeros(labels.shape, bool))
    assert (none.pieces, none.rounds, none.valid) == ((), (), 0)
    plain = found(np.full((40, 50, 3), 90, np.uint8))
    assert plain.pieces == () and plain.valid == 2000 and plain.residual.all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (33, 2)])
def test_tiles_of_any_size(shape) -> None:
    random = np.random.default_rng(1)
    image = random.integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert_sound(found(image), np.ones(shape, bool))
    assert_sound(found(image, engine=ClassicalSegmenter()), np.ones(shape, bool))


def test_wrong_shapes_are_refused() -> None:
    image, _ = checkerboard()
    with pytest.raises(ValueError, match="at least one image"):
        delineate_tile([], np.ones((4, 4), bool), EvenSegmenter())
    with pytest.raises(ValueError, match="Expected images of"):
        delineate_tile([image], np.ones((4, 4), bool), EvenSegmenter())
    with pytest.raises(ValueError, match="uint8"):
        delineate_tile([image / 2], np.ones(image.shape[:2], bool), EvenSegmenter())


def test_the_tile_is_encoded_once_a_date_and_again_only_enlarged() -> None:
    image, labels = checkerboard()
    engine = EdgeKnowingSegmenter()
    delineate_tile([image, image], np.ones(labels.shape, bool), engine, PLAIN)
    assert engine.encoded == 2
    engine = EdgeKnowingSegmenter()
    found(image, engine=engine, options=DelineationOptions(zoom=2))
    assert engine.encoded == 2


def test_edges_of_all_dates_count() -> None:
    one, other = (np.full((48, 48, 3), 80, np.uint8) for _ in range(2))
    one[:24], other[:, :24] = 160, 160
    sight = look([one, other], np.ones((48, 48), bool), EdgeKnowingSegmenter(), 1, SILENT)
    assert sight.edges[24, 10] > 0.4 and sight.edges[10, 24] > 0.4 and sight.edges[10, 10] < 0.1


class ColourMindingSegmenter(EdgeKnowingSegmenter):
    """The same, and it remembers the colours around what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.around: list = []

    def encode_among(self, image: np.ndarray, colours: np.ndarray) -> Embedding:
        assert colours.shape == (*image.shape[:2], 6)
        self.around.append(float(colours.mean()))
        return self.encode(image)


@pytest.mark.parametrize(("zoom", "expected"), [(1, [1.0, 2.0]), (2, [1.0, 2.0, 1.0, 2.0])])
def test_engines_are_told_the_colours_around_each_date(zoom: int, expected: list) -> None:
    image, labels = checkerboard()
    valid = np.ones(labels.shape, bool)
    colours = [np.full((*labels.shape, 6), value, np.float32) for value in (1.0, 2.0)]
    engine = ColourMindingSegmenter()
    look([image, image], valid, engine, zoom, SILENT, colours=colours)
    assert engine.around == expected
    nothing = ColourMindingSegmenter()
    look([image], valid, nothing, 1, SILENT, colours=[None])
    assert nothing.around == [] and nothing.encoded == 1
    look([image], valid, EdgeKnowingSegmenter(), 1, SILENT, colours=colours[:1])


def test_few_prompts_a_field() -> None:
    image, labels = checkerboard()
    fields = found(image)
    assert sum(count.prompts for count in fields.rounds) <= 2 * labels.max()


@pytest.mark.parametrize(
    ("engine", "zoom", "spare", "count"),
    [
        (EdgeKnowingSegmenter, 1, True, 9),
        (EdgeKnowingSegmenter, 1, False, 10),
        (EdgeKnowingSegmenter, 2, True, 10),
        (EvenSegmenter, 1, True, 10),
    ],
)
def test_nothing_is_asked_within_what_the_engine_is_sure_of(engine, zoom, spare, count) -> None:
    """The widest are asked first, eight at a time; then one is within a field that is known."""
    image, labels = checkerboard(fields=2)
    valid = np.ones(labels.shape, bool)
    narrow = [Seed((4, 4), 5.0), Seed((30, 30), 5.0)]
    wide = [Seed((10, k), 20.0) for k in range(6, 14)]
    sight = look([image], valid, engine(), zoom, SILENT)
    asked = [place for place, _ in sight.ask([*narrow, *wide], valid, 1, spare, SILENT)]
    assert len(asked) == count and set(asked[:8]) == {seed.place for seed in wide}
    assert (30, 30) in asked


def test_rounds_end() -> None:
    image, _ = checkerboard()
    assert len(found(image, options=DelineationOptions(zoom=1, rounds=1)).rounds) == 1
    enough = found(image, options=DelineationOptions(zoom=1, stop_residual=1.0))
    assert len(enough.rounds) == 1
    no_gain = found(image, options=DelineationOptions(zoom=1, pred_iou=0.99, regions=False))
    assert len(no_gain.rounds) == 1 and not no_gain.pieces


def test_the_reference_preset_asks_at_a_grid_and_keeps_its_constants() -> None:
    reference = DelineationOptions.reference()
    assert (reference.rounds, reference.points_per_side) == (4, 32)
    assert (reference.pred_iou, reference.stability) == (0.88, 0.95)
    assert [reference.overlap_limit(k) for k in (2, 3, 4)] == [0.5, 0.9, 0.9]
    image, labels = checkerboard(fields=4)
    fields = found(image, options=replace(reference, points_per_side=16))
    assert_sound(fields, np.ones(labels.shape, bool))
    assert fields.rounds[0].prompts == 16 * 16


def test_cancelled_within_a_second() -> None:
    image, _ = checkerboard()
    asked = threading.Event()

    class Slow(EdgeKnowingSegmenter):
        def predict(self, embedding, prompts):
            asked.set()
            return super().predict(embedding, prompts)

    began = []

    def cancelled() -> bool:
        if asked.is_set() and not began:
            began.append(time.perf_counter())
        return asked.is_set()

    with pytest.raises(Cancelled):
        found(image, engine=Slow(seconds=3.0), monitor=Monitor(cancelled))
    assert time.perf_counter() - began[0] < 1.0


def test_progress_only_rises() -> None:
    image, _ = checkerboard()
    told = []
    found(image, monitor=Monitor(progress=told.append))
    assert told == sorted(told) and 0 < told[0] and told[-1] <= 1
