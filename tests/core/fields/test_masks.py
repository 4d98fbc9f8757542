import numpy as np
import pytest

from furrow.core.fields.masks import (
    MaskRule,
    choose,
    component_at,
    erode,
    fill_holes,
    iou,
    iou_in_place,
    pixel_at,
    spread,
)


def square(size: int, top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_iou_is_the_share_that_two_masks_have_in_common():
    assert iou(square(9, 0, 0, 4), square(9, 0, 2, 4)) == 8 / 24
    assert iou(square(9, 0, 0, 4), square(9, 0, 0, 4)) == 1
    assert iou(square(9, 0, 0, 4), square(9, 5, 5, 4)) == 0


def test_iou_of_nothing_is_0():
    assert iou(np.zeros((3, 3), bool), np.zeros((3, 3), bool)) == 0


def test_component_at_keeps_only_the_piece_under_the_point():
    near, far = square(10, 1, 1, 3), square(10, 6, 6, 3)
    assert np.array_equal(component_at(near | far, 2.5, 2.5), near)


def test_component_at_does_not_pass_corners():
    mask = np.eye(4, dtype=bool)
    assert component_at(mask, 1.5, 1.5).sum() == 1


@pytest.mark.parametrize("point", [(0.5, 0.5), (-1.0, 2.0), (2.0, 11.0), (float("nan"), 1.0)])
def test_component_at_is_empty_off_the_mask_and_off_the_grid(point):
    assert not component_at(square(10, 4, 4, 3), *point).any()


def test_the_right_and_lower_border_belong_to_the_last_pixel():
    assert pixel_at((4, 6), 6.0, 4.0) == (3, 5)
    assert pixel_at((4, 6), 6.01, 1.0) is None


def test_x_is_the_column_and_y_the_row():
    assert pixel_at((10, 10), 7.9, 2.1) == (2, 7)


def test_fill_holes_leaves_bays_open():
    ring = square(9, 1, 1, 7) & ~square(9, 3, 3, 2)
    assert np.array_equal(fill_holes(ring), square(9, 1, 1, 7))
    bay = square(9, 0, 0, 9) & ~square(9, 0, 3, 2)
    assert np.array_equal(fill_holes(bay), bay)


def test_erode_takes_the_rim_but_not_the_border_of_the_array():
    assert np.array_equal(erode(square(9, 2, 2, 5), 1), square(9, 3, 3, 3))
    assert erode(np.ones((5, 5), dtype=bool), 2).all()
    assert not erode(square(9, 2, 2, 5), 3).any()


def test_erode_by_nothing_is_a_copy():
    mask = square(5, 1, 1, 2)
    result = erode(mask, 0)
    assert np.array_equal(result, mask) and result is not mask


def test_spread_ignores_missing_values():
    feature = np.full((4, 4), np.nan)
    assert spread(np.ones((4, 4), dtype=bool), feature) == float("inf")
    feature[0] = [0.0, 0.5, 0.5, 1.0]
    assert 0 < spread(np.ones((4, 4), dtype=bool), feature) <= 1


@pytest.fixture
def nested() -> np.ndarray:
    return np.stack([square(12, 1, 1, side) for side in (3, 5, 9)])


def test_finest_passes_over_noise_and_order_does_not_matter(nested):
    speck = square(12, 1, 1, 1)[None]
    masks = np.concatenate([nested[::-1], speck])
    assert choose(masks, np.zeros(4), MaskRule.FINEST) == 2


def test_best_never_picks_an_empty_mask(nested):
    nested[1] = False
    assert choose(nested, np.array([0.2, 0.9, 0.3]), MaskRule.BEST) == 2


def test_a_rule_may_be_given_by_its_name(nested):
    assert choose(nested, np.array([0.1, 0.9, 0.3]), "best") == 1
    with pytest.raises(ValueError):
        choose(nested, np.zeros(3), "largest")


def test_balanced_takes_the_largest_even_mask(nested):
    ndvi = np.where(nested[1], 0.8, 0.2)
    assert choose(nested, np.zeros(3), MaskRule.BALANCED, ndvi, limit=0.25) == 1
    assert choose(nested, np.zeros(3), MaskRule.BALANCED, np.full((12, 12), 0.5)) == 2


def test_balanced_falls_back_to_the_finest(nested):
    noise = np.indices((12, 12)).sum(axis=0) % 2.0
    assert choose(nested, np.zeros(3), MaskRule.BALANCED, noise) == 0
    assert choose(nested, np.zeros(3), MaskRule.BALANCED) == 0


def test_only_empty_masks_still_give_an_index():
    empty = np.zeros((3, 4, 4), dtype=bool)
    for rule in MaskRule:
        assert choose(empty, np.zeros(3), rule, np.zeros((4, 4))) in (0, 1, 2)


@pytest.mark.parametrize(
    ("corner", "expected"),
    [((3, 4), 1.0), ((4, 4), 6 / 12), ((3, 7), 0.0), ((0, 2), 0.0), ((5, 6), 1 / 17)],
)
def test_iou_in_place_is_the_one_on_the_whole_grid(corner, expected):
    part = np.ones((3, 3), bool)
    assert iou_in_place(part, (3, 4), part, corner) == pytest.approx(expected)
    whole = [np.zeros((12, 12), bool) for _ in range(2)]
    whole[0][3:6, 4:7] = whole[1][corner[0] : corner[0] + 3, corner[1] : corner[1] + 3] = True
    assert iou(*whole) == pytest.approx(expected)
