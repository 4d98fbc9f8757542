# ruff: noqa: E402 (what needs torch is imported only where it is there)
"""Simulated prompts must ask for what the labels say."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch: make test")

from furrow.models.training.network import GRID, LEVELS
from furrow.models.training.prompting import (
    Question,
    best_level,
    correction,
    levels_for,
    origin,
    questions,
    target,
)

SIZE = 128


def squares(side: int) -> np.ndarray:
    """(3, S, S): fields of a side with a margin of two pixels, two parts each, no blocks."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    pitch = side + 2
    number = 1 + (rows // pitch) * 100 + columns // pitch
    inside = (rows % pitch < side) & (columns % pitch < side)
    fields = np.where(inside, number, 0)
    parts = np.where(inside, 2 * number + (columns % pitch < side // 2), 0)
    return np.stack([parts, fields, fields]).astype(np.int32)


@pytest.mark.parametrize("seed", range(6))
def test_points_lie_where_their_sign_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for question in questions(squares(20), 30, rng):
        for (x, y), sign in zip(question.points, question.labels):
            if sign >= 0:
                assert question.truths[1][int(y), int(x)] == bool(sign)


def test_a_single_click_asks_for_part_field_and_block() -> None:
    rng = np.random.default_rng(1)
    asked = questions(squares(20), 200, rng)
    single = [q for q in asked if (q.labels >= 0).sum() == 1 and not q.box.any()]
    assert len(single) > 100
    for question in single:
        part, field, block = question.truths
        assert part.sum() < field.sum()
        assert not (part & ~field).any()
        assert (field == block).all()


def test_a_box_fits_the_truth_that_it_asks_for() -> None:
    rng = np.random.default_rng(2)
    boxed = [q for q in questions(squares(30), 200, rng) if q.box.any()]
    assert len(boxed) > 10
    for question in boxed:
        assert (question.truths[0] == question.truths[2]).all()
        rows, columns = question.truths[1].nonzero()
        tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(question.box - tight).max() < 8


def test_without_fields_there_is_nothing_to_ask() -> None:
    assert questions(np.zeros((3, SIZE, SIZE), np.int32), 5, np.random.default_rng(0)) == []


@pytest.mark.parametrize(("side", "stride"), [(8, 2), (22, 2), (44, 4), (88, 8), (150, 16)])
def test_the_level_follows_the_size_of_the_field(side: int, stride: int) -> None:
    mask = np.zeros((3, 256, 256), bool)
    mask[:, 10 : 10 + side, 10 : 10 + side] = True
    question = _click(mask, 10 + side / 2, 10 + side / 2)
    assert LEVELS[best_level(question)] == stride
    assert levels_for(question, np.random.default_rng(0))[0] == best_level(question)


def _click(truths: np.ndarray, x: float, y: float) -> Question:
    points = np.zeros((8, 2), np.float32)
    points[0] = (x, y)
    labels = np.full(8, -1)
    labels[0] = 1
    return Question(points, labels, np.zeros(4, np.float32), truths)


@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_no_area_of_the_truth_is_lost(level: int) -> None:
    rng = np.random.default_rng(level)
    truths = rng.random((3, SIZE, SIZE)) < 0.3
    question = _click(truths, *rng.uniform(0, SIZE, 2))
    cells, outside = target(truths, level, origin(question, level))
    step = LEVELS[level] // 2
    np.testing.assert_allclose(
        (cells.sum((1, 2)) + outside) * step**2, truths.sum((1, 2)), rtol=1e-5
    )


def test_the_click_is_in_the_middle_of_its_crop() -> None:
    truths = np.zeros((3, SIZE, SIZE), bool)
    truths[:, 60, 71] = True
    question = _click(truths, 71.5, 60.5)
    for level in range(len(LEVELS)):
        cells, _ = target(truths, level, origin(question, level))
        row, column = np.unravel_index(cells[0].argmax(), cells[0].shape)
        assert abs(row - GRID) <= 1
        assert abs(column - GRID) <= 1


def test_the_correction_hits_the_largest_error() -> None:
    truth, answer = np.zeros((2, 40, 40), bool)
    truth[5:25, 5:15] = True
    answer[5:25, 12:30] = True  # 7 wide is missing, 15 wide is too much
    x, y, sign = correction(answer, truth)
    assert sign == 0
    assert 20 < x < 25
    assert 5 < y < 25
    assert correction(truth, truth) is None
