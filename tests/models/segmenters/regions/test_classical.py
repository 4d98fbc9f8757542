import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import ndimage

from furrow.core.fields.masks import MaskRule, choose
from furrow.core.fields.segmenter import Prompts
from furrow.models.segmenters.regions.classical import ClassicalSegmenter
from furrow.models.segmenters.regions.region_choice import SCALES, View, candidates

COLOURS = np.array([[60, 120, 50], [150, 130, 80], [40, 80, 40], [120, 160, 70], [90, 70, 60]])


def landscape(size: int = 96, noise: float = 4.0, seed: int = 3) -> tuple:
    """Six fields of different colours between dark tracks: image, labels (0 is track)."""
    labels = np.zeros((size, size), dtype=int)
    third, half = size // 3, size // 2
    for row in range(2):
        for column in range(3):
            rows = slice(row * half + 2, (row + 1) * half - 1)
            columns = slice(column * third + 2, (column + 1) * third - 1)
            labels[rows, columns] = 1 + row * 3 + column
    palette = np.concatenate([[[25, 25, 30]], COLOURS, [[170, 170, 120]]])
    random = np.random.default_rng(seed)
    image = palette[labels] + random.normal(0, noise, (size, size, 3))
    return np.clip(image, 0, 255).astype(np.uint8), labels


def mottled(seed: int, half: int = 96) -> tuple:
    """Four large fields whose mottles are as strong as what tells them apart; image, labels."""
    random = np.random.default_rng(seed)
    labels = np.pad(np.ones((half - 2, half - 2), dtype=int), 1)
    labels = np.block([[labels, labels * 2], [labels * 3, labels * 4]])
    mottles = ndimage.gaussian_filter(random.normal(size=labels.shape), 1)
    mottles *= 26 / mottles.std() * (labels > 0)
    palette = np.array([[30, 30, 30], [60, 120, 50], [150, 130, 80], [140, 160, 70], [70, 90, 90]])
    image = palette[labels] + mottles[..., None] + random.normal(0, 4, (*labels.shape, 3))
    return np.clip(image, 0, 255).astype(np.uint8), labels


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def middle(mask: np.ndarray) -> tuple:
    rows, columns = mask.nonzero()
    return columns.mean() + 0.5, rows.mean() + 0.5


def prompts(points, foreground, box=None) -> Prompts:
    return Prompts(
        np.array(points, dtype=np.float64).reshape(-1, 2),
        np.array(foreground, dtype=bool),
        None if box is None else np.array(box, dtype=np.float64),
    )


@pytest.fixture(scope="module")
def engine() -> ClassicalSegmenter:
    return ClassicalSegmenter()


@pytest.fixture(scope="module")
def scene(engine):
    image, labels = landscape()
    return engine.encode(image), labels


@pytest.mark.parametrize("label", range(1, 7))
def test_one_click_finds_the_field(engine, scene, label):
    embedding, labels = scene
    answer = engine.predict(embedding, [Prompts.click(*middle(labels == label))])
    best = choose(answer.masks[0], answer.scores[0], MaskRule.BEST)
    assert iou(answer.masks[0, best], labels == label) > 0.9


def test_large_mottled_fields_mostly_hold_together(engine):
    overlaps = []
    for seed in range(4):
        image, labels = mottled(seed)
        clicks = [Prompts.click(*middle(labels == label)) for label in range(1, 5)]
        answer = engine.predict(engine.encode(image), clicks)
        for label, masks, scores in zip(range(1, 5), answer.masks, answer.scores):
            overlaps.append(iou(masks[choose(masks, scores, MaskRule.BEST)], labels == label))
    assert np.mean(overlaps) > 0.9


@pytest.mark.parametrize("window", [np.s_[:, :], np.s_[20:63, 11:70]])
def test_overlaps_across_the_trees_are_counted_right(engine, window):
    image = mottled(2, half=48)[0][:95, :93]
    views = [View.stored(engine.encode(image).data, scale) for scale in SCALES]
    found = candidates(views, (40, 30), window)
    drawn = [found.draw(index)[window] for index in range(found.node.size)]
    assert {view.scale for view in found.view} == set(SCALES)
    assert found.chances.sum() == pytest.approx(1)
    assert all(found.hold((40, 30))) and found.area.tolist() == [mask.sum() for mask in drawn]
    expected = [[iou(a, b) for b in drawn] for a in drawn]
    np.testing.assert_allclose(found.overlap, expected)


def test_shapes_types_and_ranges(engine, scene):
    embedding, labels = scene
    answer = engine.predict(embedding, [Prompts.click(20.5, 20.5), Prompts.click(70.5, 70.5)])
    assert answer.masks.shape == (2, 3, *labels.shape) and answer.masks.dtype == bool
    assert answer.scores.shape == (2, 3) and answer.scores.dtype == np.float32
    assert ((answer.scores >= 0) & (answer.scores <= 1)).all()
    assert embedding.model_id == engine.id == "classical" and embedding.shape == labels.shape


def test_masks_are_nested_from_fine_to_coarse_and_hold_the_point(engine, scene):
    embedding, labels = scene
    points = np.random.default_rng(0).uniform(0, labels.shape[0], (40, 2))
    answer = engine.predict(embedding, [Prompts.click(x, y) for x, y in points])
    for (fine, mean, coarse), (x, y) in zip(answer.masks, points):
        assert fine[int(y), int(x)]
        assert not (fine & ~mean).any() and not (mean & ~coarse).any()


def test_a_background_point_is_left_out(engine, scene):
    embedding, labels = scene
    wanted = middle(labels == 1)
    for label in (2, 4, 5):
        refused = middle(labels == label)
        answer = engine.predict(embedding, [prompts([wanted, refused], [True, False])])
        assert not answer.masks[0][:, int(refused[1]), int(refused[0])].any()
        assert answer.masks[0][:, int(wanted[1]), int(wanted[0])].all()


def test_a_background_point_beside_the_wanted_one_cuts_the_field(engine, scene):
    embedding, labels = scene
    x, y = middle(labels == 1)
    answer = engine.predict(embedding, [prompts([(x, y), (x + 1, y)], [True, False])])
    assert answer.masks[0][:, int(y), int(x)].all()
    assert not answer.masks[0][:, int(y), int(x + 1)].any()


def test_a_box_limits_the_mask_and_picks_the_field(engine, scene):
    embedding, labels = scene
    rows, columns = (labels == 5).nonzero()
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    answer = engine.predict(embedding, [prompts([], [], box)])
    best = choose(answer.masks[0], answer.scores[0], MaskRule.BEST)
    assert iou(answer.masks[0, best], labels == 5) > 0.9
    outside = np.ones(labels.shape, dtype=bool)
    outside[box[1] - 2 : box[3] + 2, box[0] - 2 : box[2] + 2] = False
    assert not (answer.masks[0] & outside).any()


def test_a_point_outside_its_box_gives_empty_masks_that_score_nothing(engine, scene):
    answer = engine.predict(scene[0], [prompts([(80.5, 80.5)], [True], [5, 5, 20, 20])])
    assert not answer.masks.any() and not answer.scores.any()


def test_a_second_point_adds_its_field(engine, scene):
    embedding, labels = scene
    fields = [labels == 1, labels == 2]
    prompt = prompts([middle(field) for field in fields], [True, True])
    answer = engine.predict(embedding, [prompt])
    best = choose(answer.masks[0], answer.scores[0], MaskRule.BEST)
    assert iou(answer.masks[0, best], fields[0] | fields[1]) > 0.9


def test_a_batch_equals_one_by_one(engine, scene):
    embedding, labels = scene
    batch = [Prompts.click(*middle(labels == label)) for label in range(1, 7)]
    batch.append(prompts([], [], [10, 10, 50, 50]))
    together = engine.predict(embedding, batch)
    for index, prompt in enumerate(batch):
        alone = engine.predict(embedding, [prompt])
        assert np.array_equal(alone.masks[0], together.masks[index])
        assert np.array_equal(alone.scores[0], together.scores[index])


def test_an_empty_batch(engine, scene):
    answer = engine.predict(scene[0], [])
    assert answer.masks.shape == (0, 3, *scene[1].shape) and answer.scores.shape == (0, 3)


def test_the_input_is_not_changed(engine):
    image, _ = landscape()
    before = hashlib.sha256(image.tobytes()).hexdigest()
    image.setflags(write=False)
    engine.predict(engine.encode(image), [Prompts.click(20, 20)])
    assert hashlib.sha256(image.tobytes()).hexdigest() == before


@pytest.mark.parametrize("value", [0, 128, 255])
def test_one_colour(engine, value):
    embedding = engine.encode(np.full((40, 50, 3), value, dtype=np.uint8))
    answer = engine.predict(embedding, [Prompts.click(10, 10)])
    assert answer.masks.all() and not answer.scores.any()


def test_a_black_margin_is_not_part_of_a_field(engine):
    image, labels = landscape()
    image[:, :20] = 0
    image[80:] = 0
    wanted = labels == 2
    answer = engine.predict(engine.encode(image), [Prompts.click(*middle(wanted))])
    best = choose(answer.masks[0], answer.scores[0], MaskRule.BEST)
    assert iou(answer.masks[0, best], wanted) > 0.9
    margin = engine.predict(engine.encode(image), [Prompts.click(3, 90)])
    assert margin.masks[0, :, 90, 3].all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (3, 5), (32, 32), (33, 200)])
def test_small_and_long_images(engine, shape):
    image = np.random.default_rng(1).integers(0, 255, (*shape, 3)).astype(np.uint8)
    embedding = engine.encode(image)
    for x, y in ((0, 0), (shape[1], shape[0]), (shape[1] / 2, shape[0] / 2)):
        assert engine.predict(embedding, [Prompts.click(x, y)]).masks.any(axis=(2, 3)).all()


def test_two_threads_give_the_same_answer(engine):
    image, labels = landscape()
    prompt = [Prompts.click(*middle(labels == 3))]

    def work(_: int) -> np.ndarray:
        return engine.predict(engine.encode(image), prompt).masks

    with ThreadPoolExecutor(2) as pool:
        first, *others = pool.map(work, range(4))
    assert all(np.array_equal(first, other) for other in others)


def test_shifting_the_image_shifts_the_field(engine):
    image, labels = landscape(120)
    wanted = labels == 5
    for shift in (0, 3, 7):
        answer = engine.predict(
            engine.encode(np.ascontiguousarray(image[shift:, shift:])),
            [Prompts.click(*middle(wanted[shift:, shift:]))],
        )
        best = choose(answer.masks[0], answer.scores[0], MaskRule.BEST)
        assert iou(answer.masks[0, best], wanted[shift:, shift:]) > 0.9


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), dtype=np.uint8),
        np.zeros((8, 8, 4), dtype=np.uint8),
        np.zeros((8, 8, 3), dtype=np.float32),
        np.zeros((0, 8, 3), dtype=np.uint8),
    ],
)
def test_a_wrong_image_is_refused(engine, image):
    with pytest.raises(ValueError, match="uint8"):
        engine.encode(image)


def test_large_images_are_looked_at_at_half_their_size():
    image, labels = landscape(701)
    engine = ClassicalSegmenter()
    embedding = engine.encode(image[:, :-2])
    assert embedding.shape == (701, 699)
    x, y = middle(labels == 2)
    top, left, right = 2, 235, 465
    asked = [Prompts.click(x, y), prompts([], [], (left, top, right, 349))]
    found = engine.predict(embedding, asked)
    assert found.masks.shape == (2, 3, 701, 699)
    for masks in found.masks:
        assert max(iou(mask, labels[:, :-2] == 2) for mask in masks) > 0.97
