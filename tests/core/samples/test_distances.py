"""Distances against naive implementations and against the library of the reference system."""

from __future__ import annotations

import math
from functools import cache
from importlib import util
from typing import Tuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from furrow.core.errors import Cancelled, ParameterError
from furrow.core.monitor import Monitor
from furrow.core.samples import distances as module
from furrow.core.samples.distances import Metric, distances, dtw, require, similarity, within

THRESHOLDS = (0.7, 0.45)
needs_fastdtw = pytest.mark.skipif(util.find_spec("fastdtw") is None, reason="needs fastdtw")


def random_series(count: int, dates: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates that scatter around one reference so that both thresholds split them."""
    random = np.random.default_rng(dates)
    days = np.sort(random.choice(300, dates, replace=False)).astype(float)
    reference = 0.45 + 0.4 * np.sin(days / 300 * np.pi * 2)
    spread = random.uniform(0, 2.5 / dates, (count, 1))
    scattered = reference + spread * random.standard_normal((count, dates))
    return scattered.clip(-0.2, 0.95).astype(np.float32), reference[None].astype(np.float32), days


def measure(metric, candidates, references, days, shift=15.0, owner=None):
    owner = np.zeros(len(candidates), dtype=np.int64) if owner is None else owner
    return distances(metric, candidates, references, owner, days, shift)


@cache
def library_distances(dates: int) -> np.ndarray:
    """1000 calls as the reference system makes them, but for a quicker Euclidean distance."""
    from fastdtw import fastdtw

    candidates, references, _ = random_series(1000, dates)
    steps = np.arange(1, dates + 1)
    reference = np.column_stack((steps, references[0]))

    def euclidean(a: np.ndarray, b: np.ndarray) -> float:
        return math.dist(a.tolist(), b.tolist())

    return np.array(
        [fastdtw(np.column_stack((steps, c)), reference, dist=euclidean)[0] for c in candidates]
    )


@needs_fastdtw
@pytest.mark.parametrize("dates", [25, 68])
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_sum_decides_as_the_library_does(dates, threshold):
    found = measure(Metric.SUM, *random_series(1000, dates))[0]
    assert np.allclose(found, library_distances(dates), atol=1e-6)
    kept = within(Metric.SUM, found, 1 / threshold - 1)
    assert 50 < kept.sum() < 950
    assert np.array_equal(kept, 1 / (1 + library_distances(dates)) > threshold)


@needs_fastdtw
def test_the_librarys_metric_is_the_sum_also_with_gaps():
    candidates, references, days = random_series(40, 25)
    candidates[::3, 4:7] = np.nan
    candidates[5] = np.nan
    library, shared = measure(Metric.FASTDTW, candidates, references, days)
    ours = measure(Metric.SUM, candidates, references, days)[0]
    assert np.allclose(library, ours, equal_nan=True)
    assert np.isnan(library[5]) and shared[5] == 0 and shared[0] == 22


def naive_dtw(a, b, days, shift):
    cost = np.full((len(a), len(b)), np.inf)
    for i in range(len(a)):
        for j in range(len(b)):
            if abs(days[i] - days[j]) > shift:
                continue
            before = [cost[p, q] for p, q in ((i - 1, j), (i, j - 1), (i - 1, j - 1))
                      if p >= 0 and q >= 0]  # fmt: skip
            cost[i, j] = abs(a[i] - b[j]) + (min(before) if i or j else 0)
    return cost[-1, -1]


@st.composite
def pairs(draw):
    """Two sets of complete profiles and days with unequal steps."""
    dates = draw(st.integers(1, 12))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    days = np.cumsum(random.integers(1, 25, dates)).astype(float)
    a, b = random.uniform(-0.2, 0.95, (2, 4, dates)).astype(np.float32)
    return a, b, days, draw(st.sampled_from([0.0, 5.0, 15.0, 40.0, math.inf]))


@given(pairs())
def test_dtw_is_exact(case):
    a, b, days, shift = case
    expected = [naive_dtw(x, y, days, shift) for x, y in zip(a, b)]
    assert np.allclose(dtw(a, b, days, shift), expected, atol=1e-6)


@given(pairs())
def test_dtw_never_exceeds_mean_and_no_band_forbids_warping(case):
    a, b, days, shift = case
    owner = np.arange(len(a))
    mean = distances(Metric.MEAN, a, b, owner, days, shift)[0]
    assert (distances(Metric.DTW, a, b, owner, days, shift)[0] <= mean + 1e-6).all()
    assert np.allclose(distances(Metric.DTW, a, b, owner, days, 0.0)[0], mean, atol=1e-6)


@given(pairs())
def test_dtw_is_symmetric(case):
    a, b, days, shift = case
    assert np.allclose(dtw(a, b, days, shift), dtw(b, a, days, shift), atol=1e-6)


def test_the_band_is_in_days():
    """A shift of one date is free where dates are close, and costs where they are far apart."""
    row = np.array([[0.1, 0.1, 0.9, 0.1, 0.1, 0.1]])
    late = np.array([[0.1, 0.1, 0.1, 0.9, 0.1, 0.1]])
    for step, cost in ((10, 0.0), (15, 0.0), (16, 1.6)):
        assert dtw(row, late, np.arange(6) * float(step), 15.0)[0] == pytest.approx(cost)


def test_mean_and_sum_by_hand():
    a = np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)
    b = np.array([[0.2, 0.2, 0.1, 0.8]], np.float32)
    days = np.array([0.0, 1, 50, 51])
    assert measure(Metric.MEAN, a, b, days)[0][0] == pytest.approx(0.7 / 4)
    assert measure(Metric.SUM, a, b, days)[0][0] == pytest.approx(0.7)


@pytest.mark.parametrize("metric", [Metric.MEAN, Metric.SUM, Metric.DTW])
def test_missing_dates(metric):
    """Only shared dates count; without one the distance is unknown."""
    nan = np.nan
    reference = np.array([[0.5, 0.5, 0.5, nan]], np.float32)
    rows = [[0.6, 0.6, nan, nan], [nan, nan, nan, 0.5], [nan] * 4, [0.5, 0.5, 0.5, 0.9]]
    found, shared = measure(metric, np.array(rows, np.float32), reference, np.arange(4) * 10.0, 0.0)
    assert shared.tolist() == [2, 0, 0, 3]
    assert np.isnan(found).tolist() == [False, True, True, False]
    if metric is not Metric.DTW:  # which holds the ends, so the last date counts too
        assert found[3] == pytest.approx(0)
        assert found[0] == pytest.approx(0.1 * (1 if metric is Metric.MEAN else 4))


@pytest.mark.parametrize("metric", [Metric.MEAN, Metric.SUM, Metric.DTW])
def test_each_candidate_has_its_own_reference(metric):
    random = np.random.default_rng(1)
    references = random.uniform(0, 0.9, (3, 9)).astype(np.float32)
    owner = np.array([2, 0, 1, 1, 2])
    days = np.arange(9) * 8.0
    assert np.allclose(measure(metric, references[owner], references, days, owner=owner)[0], 0)
    other = measure(metric, references[owner], references, days, owner=(owner + 1) % 3)[0]
    assert (other > 0.01).all()


@pytest.mark.parametrize("metric", [Metric.MEAN, Metric.SUM, Metric.DTW])
def test_inputs_are_not_changed_and_portions_make_no_difference(metric, monkeypatch):
    candidates, references, days = random_series(50, 25)
    candidates[::4, 3] = np.nan
    before = [part.tobytes() for part in (candidates, references, days)]
    whole, shared = measure(metric, candidates, references, days)
    assert [part.tobytes() for part in (candidates, references, days)] == before
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 7)
    parts, shared_parts = measure(metric, candidates, references, days)
    assert np.array_equal(parts, whole) and np.array_equal(shared_parts, shared)


def test_no_candidates():
    none = np.empty((0, 5), np.float32)
    found, shared = measure(Metric.DTW, none, np.zeros((1, 5), np.float32), np.arange(5.0))
    assert found.shape == shared.shape == (0,)


def test_cancelling():
    stop = Monitor(cancelled=lambda: True)
    with pytest.raises(Cancelled):
        distances(Metric.MEAN, np.zeros((3, 5)), np.zeros((1, 5)), np.zeros(3, int),
                  np.arange(5.0), 15.0, stop)  # fmt: skip


def test_similarity_is_on_the_scale_of_the_sum():
    assert similarity(Metric.SUM, np.array([0.428571]), 25)[0] == pytest.approx(0.7, abs=1e-6)
    assert similarity(Metric.MEAN, np.array([0.428571 / 25]), 25)[0] == pytest.approx(0.7, abs=1e-6)


def test_limits_are_strict_only_where_the_reference_systems_are():
    at = np.array([0.05, np.nan])
    assert within(Metric.MEAN, at, 0.05).tolist() == [True, False]
    assert within(Metric.DTW, at, 0.05).tolist() == [True, False]
    assert within(Metric.SUM, at, 0.05).tolist() == [False, False]
    assert within(Metric.FASTDTW, at, 0.05).tolist() == [False, False]


def test_without_the_library_its_metric_is_refused(monkeypatch):
    monkeypatch.setattr(module.util, "find_spec", lambda name: None)
    with pytest.raises(ParameterError, match="use 'sum'"):
        require(Metric.FASTDTW)
    require(Metric.SUM)
