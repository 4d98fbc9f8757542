"""The shipped field model, run by onnxruntime."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import ndimage

from furrow.core.fields.segmenter import Masks, Prompts
from furrow.models.segmenters.furrow_field.field_model import WEIGHTS, FieldModelSegmenter
from furrow.models.training.labelled_sets import read_image

SIDE = 40
SIZES = [(1, 1), (1, 9), (40, 40), (41, 63), (64, 200), (97, 130), (333, 250), (600, 511)]


def landscape(height: int = 200, width: int = 240, seed: int = 5) -> tuple:
    """Square fields of different colours with dark margins: image, numbers (0 is margin)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    numbers = 1 + (rows // SIDE) * 40 + columns // SIDE
    numbers[(rows % SIDE < 2) | (columns % SIDE < 2)] = 0
    colours = rng.integers(70, 200, (numbers.max() + 1, 3))
    colours[0] = (50, 45, 40)
    image = colours[numbers] + rng.normal(0, 5, (height, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8), numbers


def prompts_on(height: int, width: int) -> list:
    """Clicks, several points and boxes."""
    rng = np.random.default_rng(1)
    places = rng.uniform(0, (width, height), (6, 2))
    several = Prompts(places[:3], np.array([True, False, True]))
    box = np.concatenate([places[4:].min(axis=0), places[4:].max(axis=0)])
    boxes = [Prompts(np.zeros((0, 2)), np.zeros(0, bool), box),
             Prompts(places[4:5], np.array([True]), box)]  # fmt: skip
    return [*(Prompts.click(*place) for place in places), several, *boxes]


@pytest.fixture(scope="module")
def engine() -> FieldModelSegmenter:
    return FieldModelSegmenter(threads=1)


@pytest.fixture(scope="module")
def scene(engine):
    image, numbers = landscape()
    return engine.encode(image), numbers


def same(a: Masks, b: Masks) -> bool:
    return np.array_equal(a.masks, b.masks) and np.allclose(a.scores, b.scores, atol=1e-5)


def test_files_are_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.glob("furrow-field-*.onnx")) < 7e6


def test_shapes_types_ranges_and_order(engine, scene):
    embedding, numbers = scene
    prompts = prompts_on(*numbers.shape)
    answer = engine.predict(embedding, prompts)
    assert answer.masks.shape == (len(prompts), 3, *numbers.shape) and answer.masks.dtype == bool
    assert answer.scores.shape == (len(prompts), 3) and answer.scores.dtype == np.float32
    assert ((answer.scores >= 0) & (answer.scores <= 1)).all()
    areas = answer.masks.sum(axis=(2, 3))
    assert (np.diff(areas, axis=1) >= 0).all()
    assert embedding.model_id == engine.id == "furrow-field" and embedding.shape == numbers.shape


def test_an_embedding_is_small(engine):
    embedding = engine.encode(landscape(256, 256)[0])
    assert sum(values.nbytes for values in embedding.data.values()) * 16 < 100e6
    kinds = {v.dtype.name for name, v in embedding.data.items() if not name.startswith("regions")}
    assert kinds == {"float16", "uint8"}


def test_masks_hold_the_click(engine, scene):
    embedding, numbers = scene
    places = [(c + 20.5, r + 20.5) for r in range(0, 200, SIDE) for c in range(0, 240, SIDE)]
    answer = engine.predict(embedding, [Prompts.click(x, y) for x, y in places])
    best = answer.scores.argmax(axis=1)
    held = [answer.masks[k, best[k], int(y), int(x)] for k, (x, y) in enumerate(places)]
    assert all(held)


def test_one_click_finds_an_easy_field(engine, scene):
    embedding, numbers = scene
    overlaps = []
    for row, column in ((60, 60), (100, 140), (140, 100), (60, 180)):
        answer = engine.predict(embedding, [Prompts.click(column, row)])
        wanted = numbers == numbers[row, column]
        overlaps += [max((m & wanted).sum() / (m | wanted).sum() for m in answer.masks[0])]
    assert np.median(overlaps) > 0.7


def test_masks_are_one_piece_without_holes(engine, scene):
    embedding, numbers = scene
    answer = engine.predict(embedding, prompts_on(*numbers.shape)[:6])
    for mask in answer.masks.reshape(-1, *numbers.shape):
        assert ndimage.label(mask)[1] <= 1
        assert np.array_equal(ndimage.binary_fill_holes(mask), mask)


def test_a_background_point_is_mostly_left_out(engine, scene):
    embedding, _ = scene
    prompts = [
        Prompts(np.array([[x, y], [x + dx, y + dy]]), np.array([True, False]))
        for x, y in ((60.5, 60.5), (100.5, 100.5), (140.5, 60.5))
        for dx, dy in ((SIDE, 0), (0, SIDE), (-SIDE, 0))
    ]
    answer = engine.predict(embedding, prompts)
    best = answer.scores.argmax(axis=1)
    held = [
        answer.masks[k, best[k], int(p.points[1, 1]), int(p.points[1, 0])]
        for k, p in enumerate(prompts)
    ]
    assert np.mean(held) < 0.2


def test_a_box_frames_the_mask(engine, scene):
    embedding, numbers = scene
    for row, column in ((80, 80), (120, 40)):
        box = np.array([column + 2.0, row + 2.0, column + SIDE, row + SIDE])
        answer = engine.predict(embedding, [Prompts(np.zeros((0, 2)), np.zeros(0, bool), box)])
        mask = answer.masks[0, answer.scores[0].argmax()]
        wanted = numbers == numbers[row + 20, column + 20]
        assert (mask & wanted).sum() / (mask | wanted).sum() > 0.6


def test_a_batch_equals_one_by_one(engine, scene):
    embedding, numbers = scene
    prompts = prompts_on(*numbers.shape) * 3
    together = engine.predict(embedding, prompts)
    for k, prompt in enumerate(prompts[:9]):
        alone = engine.predict(embedding, [prompt])
        assert same(alone, Masks(together.masks[k : k + 1], together.scores[k : k + 1]))


def test_an_empty_batch(engine, scene):
    answer = engine.predict(scene[0], [])
    assert answer.masks.shape == (0, 3, *scene[1].shape) and answer.scores.shape == (0, 3)


@pytest.mark.parametrize("shape", SIZES)
def test_sizes_and_corners(engine, shape):
    height, width = shape
    embedding = engine.encode(landscape(height, width)[0])
    assert embedding.data["context2"].shape[1:] == (-(-height // 2), -(-width // 2))
    assert embedding.data["detail2"].shape[1:] == (height, width)
    clicks = [(0, 0), (width, height), (0, height), (width, 0), (width / 2, height / 2)]
    answer = engine.predict(embedding, [Prompts.click(x, y) for x, y in clicks])
    assert answer.masks.shape == (5, 3, height, width)
    assert np.array_equal(answer.masks.any(axis=(2, 3)), answer.scores > 0)


def test_candidates_describe_themselves(engine, scene):
    embedding, numbers = scene
    prompts = prompts_on(*numbers.shape)
    found = list(engine.candidates(embedding, prompts))
    assert len(found) == len(prompts)
    for one in found:
        count = len(one.decodes)
        assert count in range(9, 28, 3) and one.logits.shape == (count, 64, 64)
        for values in (one.scores, one.stride, one.area, one.missed, one.box_fit, one.traits):
            assert len(values) == count
        assert one.similarity.shape == (count, count)
        assert [decode.stride for decode in one.decodes] == one.stride.tolist()


def test_the_input_is_not_changed(engine):
    image, _ = landscape(100, 90)
    before = hashlib.sha256(image.tobytes()).hexdigest()
    image.setflags(write=False)
    prompts = prompts_on(100, 90)
    points = [prompt.points.copy() for prompt in prompts]
    engine.predict(engine.encode(image), prompts)
    assert hashlib.sha256(image.tobytes()).hexdigest() == before
    assert all(np.array_equal(prompt.points, old) for prompt, old in zip(prompts, points))


@pytest.mark.parametrize("value", [0, 128, 255])
def test_one_colour_is_answered(engine, value):
    embedding = engine.encode(np.full((50, 70, 3), value, np.uint8))
    answer = engine.predict(embedding, [Prompts.click(30, 30)])
    assert np.isfinite(answer.scores).all()


def test_four_threads_give_the_same_answer(engine):
    image, numbers = landscape()
    prompts = prompts_on(*numbers.shape)

    def work(_: int) -> Masks:
        return engine.predict(engine.encode(image), prompts)

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(work, range(8))
    assert all(same(first, other) for other in others)


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8),
              np.zeros((8, 8, 3), np.float32), np.zeros((0, 8, 3), np.uint8)],
)  # fmt: skip
def test_a_wrong_image_is_refused(engine, image):
    with pytest.raises(ValueError, match="uint8"):
        engine.encode(image)


def test_a_correction_at_the_rim_keeps_a_field_that_was_found_whole(engine, shared_data):
    embedding = engine.encode(read_image(shared_data / "ontario" / "1925_rgb.tif"))
    click = Prompts.click(100.5, 100.5)
    rim = Prompts(np.array([[100.5, 100.5], [194.5, 185.5]]), np.array([True, False]))
    answers = engine.predict(embedding, [click, rim])
    before, after = (
        masks[scores.argmax()] for masks, scores in zip(answers.masks, answers.scores)
    )
    assert before[185, 194] and not after[185, 194]
    assert not (after & ~before).any() and after.sum() > 0.97 * before.sum()
    assert (np.diff(answers.masks.sum(axis=(2, 3)), axis=1) >= 0).all()
