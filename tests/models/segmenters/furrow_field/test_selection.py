"""The choice among candidates, on numbers alone."""

from __future__ import annotations

import numpy as np
import pytest

from furrow.models.segmenters.furrow_field.selection import (
    ANGLES,
    RINGS,
    frame_overlap,
    obeyed,
    outlined,
    outlined_whole,
    pick,
    sample_points,
    seen_by_network,
    similarity,
)


@pytest.mark.parametrize("reach", [45.0, 181.0, 362.0])
def test_samples_stand_for_the_whole_disc(reach: float) -> None:
    points, weights = sample_points(reach)
    assert points.shape == (RINGS * ANGLES, 2) and weights.shape == (RINGS * ANGLES,)
    assert weights.sum() == pytest.approx(np.pi * reach**2, rel=0.03)
    assert 0.9 * reach < np.hypot(*points.T).max() <= reach


@pytest.mark.parametrize(("inner", "outer"), [(5, 10), (20, 40), (60, 90), (30, 33)])
def test_similarity_of_discs_is_the_ratio_of_their_areas(inner: float, outer: float) -> None:
    points, weights = sample_points(362.0)
    distance = np.hypot(*points.T)
    discs = np.stack([distance < inner, distance < outer]).astype(float)
    alike = similarity(discs, weights)
    assert alike[0, 1] == pytest.approx((inner / outer) ** 2, abs=0.04)
    assert alike.dtype == np.float32 and np.array_equal(alike, alike.T)
    assert np.allclose(np.diag(alike), 1)


def test_similarity_of_squares_off_the_centre() -> None:
    points, weights = sample_points(181.0)
    x, y = points.T
    left, right = (x > -30) & (x < 10), (x > -10) & (x < 30)
    rows = np.abs(y) < 20
    alike = similarity(np.stack([left & rows, right & rows, x > 1e3]).astype(float), weights)
    assert alike[0, 1] == pytest.approx(1 / 3, abs=0.08)
    assert alike[0, 2] == pytest.approx(0) and alike[2, 2] == pytest.approx(0)


def test_points_and_boxes_lower_scores() -> None:
    scores, missed = np.array([0.8, 0.8, 0.8]), np.array([False, True, False])
    found = obeyed(scores, missed, np.array([1.0, 1.0, 0.0]))
    assert found == pytest.approx([0.8, 0.4, 0.4])


def test_overlap_of_frames() -> None:
    frames = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 0, 0]], float)
    assert frame_overlap(frames, np.array([0.0, 0, 10, 10])) == pytest.approx([1, 1 / 3, 0, 0])


def of_sizes(*areas: float) -> np.ndarray:
    """IoU of every two discs about the same centre."""
    sizes = np.array(areas)
    return np.minimum(sizes, sizes[:, None]) / np.maximum(np.maximum(sizes, sizes[:, None]), 1)


def varied(scores: tuple, areas: tuple, region: tuple = (), count: int = 3) -> list:
    sizes = np.array(areas, float)
    regions = np.isin(np.arange(len(areas)), region)
    return pick(np.array(scores), of_sizes(*areas), sizes, regions, count)


def test_the_second_stands_for_most_of_the_others() -> None:
    # 100 and 95 say the same; of the larger three, the middle one is like both others.
    assert varied((0.9, 0.8, 0.3, 0.3, 0.3), (100, 95, 320, 400, 500), count=2) == [0, 3]
    assert varied((0.9, 0.8, 0.8, 0.01), (100, 95, 40, 900), count=3) == [0, 2, 3]


def test_a_likely_mask_goes_before_an_unlikely_one() -> None:
    assert varied((0.9, 0.1, 0.6), (100, 20, 900), count=2) == [0, 2]
    assert varied((0.9, 0.6, 0.1), (100, 20, 900), count=2) == [0, 1]


def test_the_last_is_the_largest_region_that_differs() -> None:
    scores, areas = (0.9, 0.8, 0.2, 0.1, 0.15), (50, 20, 300, 900, 960)
    assert varied(scores, areas, region=(2, 3, 4)) == [0, 1, 4]
    assert varied((0.9, 0.8, 0.2, 0.7, 0.1), areas, region=(2, 3, 4)) == [0, 3, 2]
    assert varied((0.9, 0.8, 0.5, 0.1), (50, 20, 300, 0), region=(3,)) == [0, 1, 2]


def test_equal_scores_keep_their_order() -> None:
    assert pick(np.full(4, 0.5), np.eye(4), np.ones(4), np.zeros(4, bool), 3) == [0, 1, 2]


def test_there_may_be_fewer_than_wanted() -> None:
    assert varied((0.2, 0.9), (10, 12)) == [1, 0]
    assert varied((0.5,), (10,), region=(0,)) == [0]


PIECE, WHOLE = (0.6, 0.4, 0.1, 0.1, 0.2), (0.9, 0.8, 0.0, 0.3, 0.8)
"""Edges of a mask that stops at a wet patch, and of the field around it."""


def whole_of(**changes: tuple) -> object:
    """A piece, the whole field, and another region."""
    values = {
        "scores": (0.6, 0.2, 0.3), "areas": (400.0, 4000.0, 900.0), "region": (False, True, True),
        "edges": (PIECE, WHOLE, PIECE), **changes,
    }  # fmt: skip
    return outlined_whole(*(np.array(values[name]) for name in values))


def test_a_whole_field_with_an_edge_all_around_comes_before_an_unsure_piece() -> None:
    assert whole_of() == 1
    assert whole_of(areas=(900.0, 4000.0, 900.0)) == 1
    assert whole_of(scores=(0.7, 0.2, 0.3)) == 1


def test_the_less_is_expected_of_a_piece_the_smaller_its_whole_field_may_be() -> None:
    for score, times in ((0.79, 7.57), (0.675, 4.0), (0.55, 2.0), (0.31, 2.0)):
        for more, found in ((0.95, None), (1.05, 1)):
            areas = (4000.0 / (more * times), 4000.0, 900.0)
            assert whole_of(scores=(score, 0.2, 0.3), areas=areas) == found


@pytest.mark.parametrize(
    "changes",
    [
        {"scores": (0.85, 0.2, 0.3)},
        {"scores": (0.6, 0.07, 0.3)},
        {"region": (False, False, True)},
        {"edges": ((0.6, 0.7, 0.1, 0.1, 0.2), WHOLE, PIECE)},
        {"edges": (PIECE, (0.9, 0.6, 0.0, 0.3, 0.8), PIECE)},
        {"edges": (PIECE, (0.9, 0.8, 0.2, 0.3, 0.8), PIECE)},
        {"edges": ((0.85, 0.4, 0.1, 0.1, 0.2), WHOLE, PIECE)},
    ],
)
def test_otherwise_the_best_mask_stays_the_best(changes: dict) -> None:
    assert whole_of(**changes) is None


def test_a_region_is_seen_where_a_mask_of_the_network_is_like_it() -> None:
    alike = np.eye(4)
    alike[0, 2] = alike[2, 0] = 0.3
    alike[1, 3] = alike[3, 1] = 0.2
    alike[2, 3] = alike[3, 2] = 0.9
    regions = np.array([False, False, True, True])
    assert seen_by_network(alike, regions).tolist() == [True, True, True, False]
    assert not seen_by_network(alike, np.ones(4, bool)).any()


def test_a_whole_field_is_outlined_and_a_piece_is_not() -> None:
    faint, gaps = (0.9, 0.6, 0.0, 0.3, 0.8), (0.9, 0.8, 0.2, 0.3, 0.8)
    assert outlined(np.array([WHOLE, PIECE, faint, gaps])).tolist() == [True, False, False, False]
