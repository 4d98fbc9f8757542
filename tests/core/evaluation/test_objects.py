"""Matching fields with true fields, by hand cases and by properties."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from furrow.core.evaluation.objects import (
    Matches,
    Overlaps,
    average_precision,
    boundary_f1,
    match_best,
    match_by_score,
    object_scores,
)


def overlaps(table, field_area, truth_area) -> Overlaps:
    """From (n, m) areas of overlap."""
    table = np.asarray(table, float)
    field, truth = np.nonzero(table)
    return Overlaps(field, truth, table[field, truth], np.array(field_area, float),
                    np.array(truth_area, float))  # fmt: skip


def test_two_labels_three_proposals_and_an_iou_of_exactly_one_half():
    # The first proposal is a label, the second has 1 of 2 in common, the third nothing.
    given_overlaps = overlaps([[4, 0], [0, 1], [0, 0]], [4, 1, 3], [4, 2])
    for matches in (
        match_best(given_overlaps, 0.5),
        match_by_score(given_overlaps, np.array([0.9, 0.8, 0.7]), 0.5),
    ):
        scores = object_scores(given_overlaps, matches)
        found = (scores.true_positives, scores.false_positives, scores.false_negatives)
        assert found == (2, 1, 0)
        assert scores.f1 == pytest.approx(0.8)
        assert scores.mean_iou == pytest.approx(0.75)


def test_each_true_field_is_found_once():
    halves = overlaps([[5], [5]], [5, 5], [10])
    scores = object_scores(halves, match_best(halves, 0.5))
    assert (scores.true_positives, scores.false_positives, scores.false_negatives) == (1, 1, 0)
    assert scores.oversegmentation == pytest.approx(0.5)
    assert scores.undersegmentation == 0


def test_a_field_over_two_true_ones_is_undersegmentation():
    merged = overlaps([[6, 4]], [10], [6, 4])
    scores = object_scores(merged, match_best(merged, 0.5))
    assert scores.undersegmentation == pytest.approx(0.5)
    assert scores.oversegmentation == 0
    assert (scores.true_positives, scores.false_negatives) == (1, 1)


def test_the_surest_field_chooses_first():
    # Both want the first true field; the second proposal fits it better, the first is surer.
    rivals = overlaps([[6, 0], [8, 0]], [10, 10], [10, 10])
    surest = match_by_score(rivals, np.array([0.9, 0.5]), 0.4)
    assert surest.truth.tolist() == [0, -1]
    assert match_best(rivals, 0.4).truth.tolist() == [-1, 0]


def test_a_field_whose_best_is_taken_takes_the_next():
    pair = overlaps([[9, 0], [8, 6]], [10, 15], [10, 10])
    assert match_by_score(pair, np.array([2.0, 1.0]), 0.3).truth.tolist() == [0, 1]


def test_equal_scores_are_taken_in_order():
    rivals = overlaps([[6], [6]], [10, 10], [10])
    for _ in range(3):
        assert match_by_score(rivals, np.ones(2), 0.4).truth.tolist() == [0, -1]


def test_average_precision_by_hand():
    # Hit, miss, hit of three true fields: precision 1 and 2/3 at the hits.
    matches = Matches(np.array([0, -1, 1]), np.array([0.9, 0.1, 0.8]))
    assert average_precision(matches, np.array([0.9, 0.8, 0.7]), 3) == pytest.approx(
        (1 + 2 / 3) / 3
    )
    assert average_precision(matches, np.array([0.7, 0.9, 0.8]), 3) == pytest.approx(
        2 * (2 / 3) / 3
    )
    assert average_precision(matches, np.array([0.9, 0.8, 0.7]), 0) is None


def test_boundaries():
    assert boundary_f1(50, 100, 100, 100) == pytest.approx(2 / 3)
    assert boundary_f1(0, 100, 0, 100) == 0
    assert np.isnan(boundary_f1(0, 0, 0, 100))


def test_nothing_at_all():
    empty = overlaps(np.zeros((0, 0)), [], [])
    scores = object_scores(empty, match_best(empty, 0.5))
    assert np.isnan([scores.f1, scores.precision, scores.recall, scores.mean_iou]).all()
    nothing_found = overlaps(np.zeros((0, 2)), [], [1, 1])
    scores = object_scores(nothing_found, match_best(nothing_found, 0.5))
    assert (scores.f1, scores.recall) == (0, 0) and np.isnan(scores.precision)


@st.composite
def tables(draw):
    n, m = draw(st.integers(0, 5)), draw(st.integers(0, 5))
    values = draw(st.lists(st.integers(0, 9), min_size=n * m, max_size=n * m))
    table = np.array(values, float).reshape(n, m)
    # Neither fields nor true fields overlap among themselves, so both are at least their sums.
    more = draw(st.integers(1, 4))
    return overlaps(table, table.sum(axis=1) + more, table.sum(axis=0) + more)


@given(tables(), st.floats(0.05, 0.95))
def test_matching_is_one_to_one_and_respects_the_limit(table, least):
    for matches in (
        match_best(table, least),
        match_by_score(table, np.arange(len(table.field_area)), least),
    ):
        used = matches.truth[matches.matched]
        assert len(set(used)) == len(used)
        assert (matches.iou[matches.matched] >= least).all()
        scores = object_scores(table, matches)
        assert scores.true_positives + scores.false_negatives == len(table.truth_area)
        assert scores.true_positives + scores.false_positives == len(table.field_area)


@given(tables())
def test_above_one_half_any_order_gives_the_same_pairs(table):
    expected = match_best(table, 0.501).truth
    for order in itertools.islice(itertools.permutations(range(len(expected))), 24):
        assert (match_by_score(table, np.array(order), 0.501).truth == expected).all()


@given(tables(), st.data())
def test_a_part_is_compared_as_if_the_rest_were_not_there(table, data):
    fields = np.array(data.draw(st.lists(st.booleans(), min_size=len(table.field_area),
                                         max_size=len(table.field_area))), bool)  # fmt: skip
    part = table.among(fields, np.ones(len(table.truth_area), bool))
    assert len(part.field_area) == fields.sum()
    kept = fields[table.field]
    assert (np.flatnonzero(fields)[part.field] == table.field[kept]).all()
    assert np.allclose(part.iou, table.iou[kept])
