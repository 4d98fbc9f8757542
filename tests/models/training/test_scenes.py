from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from furrow.models.training.contact_sheet import FIELDS, sheet
from furrow.models.training.scenery.truth import connected, majority, reduce_truth
from furrow.models.training.scenes import TrainingScene, generate

MANY = 40
SIZE = 160

small_maps = arrays(np.int32, st.tuples(st.integers(1, 7), st.integers(1, 7)),
                    elements=st.integers(0, 3))  # fmt: skip


@cache
def scene(seed: int, size: int = SIZE) -> TrainingScene:
    return generate(seed, size)


def many() -> list:
    return [scene(seed) for seed in range(MANY)]


def parents(children: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Pairs of child and parent label that share a pixel."""
    pairs = np.stack([children[children > 0], labels[children > 0]], axis=1)
    return np.unique(pairs, axis=0)


def is_one_piece(mask: np.ndarray) -> bool:
    return ndimage.label(mask)[1] == 1


def labels_of(labels: np.ndarray) -> list:
    return np.unique(labels[labels > 0]).tolist()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("level", ["parts", "fields", "blocks"])
def test_ids_are_consecutive_and_each_one_piece(seed: int, level: str) -> None:
    labels = getattr(scene(seed), level)
    assert labels.shape == (SIZE, SIZE)
    assert labels.dtype == np.int32
    assert labels_of(labels) == list(range(1, labels.max() + 1))
    boxes = ndimage.find_objects(labels)
    assert all(is_one_piece(labels[box] == index) for index, box in enumerate(boxes, start=1))


@pytest.mark.parametrize("seed", range(MANY))
def test_labels_nest(seed: int) -> None:
    drawn = scene(seed)
    assert np.array_equal(drawn.parts > 0, drawn.fields > 0)
    for inner, outer in ((drawn.parts, drawn.fields), (drawn.fields, drawn.blocks)):
        pairs = parents(inner, outer)
        assert len(pairs) == inner.max()
        assert (pairs[:, 1] > 0).all()
    # Every block holds a field, or it would be a margin of nothing.
    assert labels_of(drawn.blocks) == labels_of(np.where(drawn.fields > 0, drawn.blocks, 0))


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(48, 110))
def test_any_seed_and_size_will_do(seed: int, size: int) -> None:
    drawn = generate(seed, size)
    assert drawn.image.shape == (size, size, 3)
    assert drawn.parts.shape == drawn.fields.shape == drawn.blocks.shape == (size, size)
    assert drawn.parts.max() >= drawn.fields.max() >= drawn.blocks.max()
    assert ((drawn.fields > 0) <= (drawn.blocks > 0)).all()


@pytest.mark.parametrize("seed", [3, 8])
def test_a_seed_always_gives_the_same_scene(seed: int) -> None:
    again = generate(seed, SIZE)
    for name in ("image", "parts", "fields", "blocks"):
        assert np.array_equal(getattr(again, name), getattr(scene(seed), name))


def test_seeds_give_different_scenes() -> None:
    images = {drawn.image.tobytes() for drawn in many()}
    truths = {drawn.fields.tobytes() for drawn in many()}
    assert len(images) == MANY
    assert len(truths) >= MANY - 2  # one field may fill the picture more than once


def test_images_use_their_range() -> None:
    ranges = [np.ptp(drawn.image) for drawn in many()]
    assert all(drawn.image.dtype == np.uint8 for drawn in many())
    assert min(ranges) > 100
    assert np.median(ranges) > 200
    assert np.median([drawn.image.std() for drawn in many()]) > 25


def test_fields_cover_a_plausible_share() -> None:
    shares = [(drawn.fields > 0).mean() for drawn in many()]
    assert 0.6 < np.mean(shares) < 0.95
    assert min(shares) > 0.02
    assert np.percentile(shares, 5) > 0.2
    assert np.percentile(shares, 90) < 0.995
    assert np.std(shares) > 0.05


def test_field_sizes_span_the_wanted_range() -> None:
    typical = [np.median(np.sqrt(np.bincount(drawn.fields.ravel())[1:])) for drawn in many()]
    assert np.percentile(typical, 10) < 15
    assert np.percentile(typical, 90) > 60
    assert 15 < np.median(typical) < 60


def test_some_fields_are_long_strips_and_some_are_not() -> None:
    slenderness = []
    for drawn in many():
        for index, box in enumerate(ndimage.find_objects(drawn.fields), start=1):
            places = np.argwhere(drawn.fields[box] == index)
            spread = np.linalg.eigvalsh(np.cov(places.T) + 0.08 * np.eye(2))
            slenderness.append(np.sqrt(spread[1] / spread[0]))
    assert np.percentile(slenderness, 20) < 1.6
    assert np.percentile(slenderness, 95) > 5


def test_truths_differ_between_levels() -> None:
    with_parts = [drawn for drawn in many() if drawn.parts.max() > 1.2 * drawn.fields.max()]
    with_blocks = [drawn for drawn in many() if drawn.fields.max() > 1.1 * drawn.blocks.max()]
    assert MANY / 6 < len(with_parts) < MANY
    assert MANY / 6 < len(with_blocks) < MANY
    # Margins between the fields of a block belong to it.
    assert any(((drawn.blocks > 0) & (drawn.fields == 0)).any() for drawn in with_blocks)


def contrast(drawn: TrainingScene) -> tuple:
    """Mean step from pixel to pixel across boundaries of fields, and inside parts."""
    image = drawn.image.astype(float)
    step = np.abs(image[:, 2:] - image[:, :-2]).mean(axis=2)
    left, right = drawn.fields[:, :-2], drawn.fields[:, 2:]
    across = (left != right) & (left > 0) & (right > 0)
    inside = (drawn.parts[:, :-2] == drawn.parts[:, 2:]) & (drawn.parts[:, 1:-1] > 0)
    return (step[across].mean() if across.any() else np.nan), step[inside].mean()


def test_boundaries_are_visible_more_often_than_not() -> None:
    steps = np.array([contrast(drawn) for drawn in many()])
    ratio = steps[:, 0] / steps[:, 1]
    assert np.nanmedian(ratio) > 1.5
    assert np.nanmean(ratio > 1) > 0.7


def test_some_scenes_vary_within_fields_as_much_as_between_them() -> None:
    hard = []
    for drawn in many():
        index = np.arange(1, drawn.fields.max() + 1)
        grey = drawn.image.mean(axis=2)
        inside = np.mean(ndimage.standard_deviation(grey, drawn.fields, index))
        hard.append(inside > np.std(ndimage.mean(grey, drawn.fields, index)))
    assert 0.15 < np.mean(hard) < 0.85


@given(labels=small_maps)
def test_connected_pieces_are_those_of_each_label(labels: np.ndarray) -> None:
    pieces, count = connected(labels)
    expected = sum(ndimage.label(labels == value)[1] for value in (1, 2, 3))
    assert count == expected == pieces.max()
    assert np.array_equal(pieces > 0, labels > 0)
    assert len(parents(pieces, labels)) == count


@given(labels=small_maps)
def test_majority_undoes_doubling(labels: np.ndarray) -> None:
    assert np.array_equal(majority(labels.repeat(2, axis=0).repeat(2, axis=1)), labels)


def test_majority_takes_the_label_of_most_cells() -> None:
    quads = np.array([[1, 2, 3, 3, 0, 5], [2, 2, 3, 4, 0, 0]])
    assert majority(quads).tolist() == [[2, 3, 0]]


def doubled(labels: list) -> np.ndarray:
    return np.array(labels).repeat(2, axis=0).repeat(2, axis=1)


def test_crumbs_of_parts_join_the_largest_part_beside_them() -> None:
    row = [1] * 9 + [2] + [3] * 12
    parts, fields, _ = reduce_truth(doubled([row]), np.array([0, 1, 1, 1]),
                                    np.array([False, True]), doubled([[0] * 22]))  # fmt: skip
    assert fields.tolist() == [[1] * 22]
    assert parts.tolist() == [[1] * 9 + [2] * 13]


def test_crumbs_of_fields_are_no_fields() -> None:
    row = [1] * 12 + [0] + [2] * 5
    parts, fields, blocks = reduce_truth(doubled([row]), np.array([0, 1, 2]), np.full(3, True),
                                         doubled([[0] * 18]))  # fmt: skip
    for labels in (parts, fields, blocks):
        assert labels.tolist() == [[1] * 12 + [0] * 6]


def test_blocks_take_in_the_margins_between_their_fields_only() -> None:
    row = [1] * 10 + [0] + [2] * 10 + [0] + [3] * 10
    block = [7] * 21 + [0] + [9] * 10
    _, fields, blocks = reduce_truth(doubled([row]), np.arange(4), np.full(4, True),
                                     doubled([block]))  # fmt: skip
    assert fields.max() == 3
    assert blocks.tolist() == [[1] * 21 + [0] + [2] * 10]


def test_the_contact_sheet_shows_image_and_outlines() -> None:
    drawn = scene(0)
    picture = sheet([drawn, scene(1)])
    assert picture.shape == (2 * SIZE + 6, 3 * (4 * SIZE + 6), 3)
    assert np.array_equal(picture[: 2 * SIZE : 2, : 2 * SIZE : 2], drawn.image)
    assert (picture == FIELDS).all(axis=2).any()
