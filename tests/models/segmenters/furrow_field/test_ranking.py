"""The ranker's arithmetic and its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from furrow.core.fields.segmenter import Prompts
from furrow.models.segmenters.furrow_field.candidates import Candidates
from furrow.models.segmenters.furrow_field.edge_evidence import MEASURES
from furrow.models.segmenters.furrow_field.field_crops import FINE, Decode
from furrow.models.segmenters.furrow_field.ranking import Ranker, calibrated, features


def candidates(count: int = 6) -> Candidates:
    """Masks of two levels, three each, of growing size."""
    rng = np.random.default_rng(0)
    levels = [Decode(0, (3, 4)), Decode(1, (-2, 0))]
    alike = rng.random((count, count))
    alike = (alike + alike.T) / 2
    np.fill_diagonal(alike, 1)
    return Candidates(
        decodes=tuple(level for level in levels for _ in range(count // 2)),
        logits=np.zeros((count, FINE, FINE), np.float32),
        scores=np.linspace(0.1, 0.9, count).astype(np.float32),
        traits=rng.normal(size=(count, 11)).astype(np.float32),
        stride=np.repeat([2.0, 4.0], count // 2),
        area=np.linspace(40, 900, count),
        similarity=alike.astype(np.float32),
        missed=np.zeros(count, bool),
        box_fit=np.ones(count),
        edges=rng.random((count, MEASURES)).astype(np.float32),
        context=rng.random((count, 4)).astype(np.float32),
    )


def test_features_come_one_row_per_candidate() -> None:
    rows = features(candidates(), Prompts.click(5, 5))
    assert rows.shape[0] == 6
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()


def test_the_first_feature_orders_as_the_networks_score() -> None:
    rows = features(candidates(), Prompts.click(5, 5))
    assert (np.diff(rows[:, 0]) > 0).all()


def test_features_tell_a_box_from_a_click() -> None:
    box = Prompts(np.zeros((0, 2)), np.zeros(0, bool), np.array([1.0, 1, 9, 9]))
    one, two = features(candidates(), Prompts.click(5, 5)), features(candidates(), box)
    assert (one != two).any(axis=1).all()


def test_features_do_not_depend_on_other_prompts_order_of_candidates() -> None:
    """Each row describes its own mask: swapping two levels swaps their rows."""
    known = candidates()
    order = np.array([3, 4, 5, 0, 1, 2])
    swapped = Candidates(
        tuple(known.decodes[k] for k in order),
        *(getattr(known, name)[order] for name in ("logits", "scores", "traits", "stride", "area")),
        known.similarity[np.ix_(order, order)],
        known.missed[order],
        known.box_fit[order],
        known.edges[order],
        known.context[order],
    )
    prompt = Prompts.click(5, 5)
    np.testing.assert_allclose(features(swapped, prompt), features(known, prompt)[order], rtol=1e-5)


def test_a_known_network_gives_known_scores() -> None:
    ranker = Ranker(
        np.array([1.0, 0.0]),
        np.array([2.0, 1.0]),
        (np.array([[1.0, -1.0], [0.0, 0.0]]), np.array([[1.0], [1.0]])),
        (np.zeros(2), np.array([-1.0])),
        np.array([0.0, 0.0]),
    )
    # (3 - 1) / 2 = 1: relu(1) + relu(-1) - 1 = 0; (-3 - 1) / 2 = -2: 2 - 1 = 1.
    scores = ranker.scores(np.array([[3.0, 9.0], [-3.0, 9.0]]))
    np.testing.assert_allclose(scores, [0.5, 1 / (1 + np.exp(-1))], rtol=1e-6)


def test_features_far_from_the_known_are_cut() -> None:
    ranker = Ranker(np.zeros(1), np.ones(1), (np.ones((1, 1)),), (np.zeros(1),), np.array([0.5]))
    scores = ranker.scores(np.array([[5.0], [500.0], [-500.0]]))
    assert scores[0] == scores[1]
    assert scores[2] == pytest.approx(1 - scores[0])


def test_the_file_gives_the_same_ranker(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    ranker = Ranker(
        rng.normal(size=4).astype(np.float32),
        rng.random(4).astype(np.float32) + 0.1,
        (rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(3, 1)).astype(np.float32)),
        (rng.normal(size=3).astype(np.float32), rng.normal(size=1).astype(np.float32)),
        rng.normal(size=4).astype(np.float32),
    )
    ranker.save(tmp_path / "ranker.npz")
    rows = rng.normal(size=(7, 4)).astype(np.float32)
    np.testing.assert_array_equal(
        Ranker.open(tmp_path / "ranker.npz").scores(rows), ranker.scores(rows)
    )


def test_honest_scores_keep_their_order(tmp_path: Path) -> None:
    scores = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    plain = Ranker(np.zeros(1), np.ones(1), (np.ones((1, 1)),), (np.zeros(1),), np.zeros(1))
    assert plain.honest(scores) == pytest.approx(scores, abs=2e-3)
    modest = replace(plain, calibration=np.array([0.7, -0.2], np.float32))
    told = modest.honest(scores)
    assert told[0] == 0 and (np.diff(told) > 0).all()
    assert told[3] == pytest.approx(0.7923, abs=1e-3)
    modest.save(tmp_path / "ranker.npz")
    assert Ranker.open(tmp_path / "ranker.npz").honest(scores) == pytest.approx(told)


def test_to_recalibrate_is_to_calibrate_what_is_said() -> None:
    plain = Ranker(np.zeros(1), np.ones(1), (np.ones((1, 1)),), (np.zeros(1),), np.zeros(1))
    first, second = np.array([0.7, -0.2]), np.array([1.3, 0.4])
    scores = np.array([0.2, 0.5, 0.9])
    said = plain.recalibrated(first).recalibrated(second).honest(scores)
    assert said == pytest.approx(calibrated(calibrated(scores, first), second), abs=1e-6)
