"""Gaps are filled linearly in days, up to a longest gap, and never beyond the ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from furrow.core.samples.gapfill import UNLIMITED, extend, fill_gaps

NAN = np.nan


@st.composite
def gappy(draw):
    """Values, validity, days and the longest gap to fill."""
    count, dates = draw(st.integers(0, 5)), draw(st.integers(1, 14))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = random.integers(1, 40, dates)
    values = random.uniform(-1, 1, (count, dates)).astype(np.float32)
    valid = random.random((count, dates)) < draw(st.sampled_from([0.0, 0.3, 0.6, 0.9, 1.0]))
    longest = draw(st.sampled_from([0.0, 20.0, 60.0, UNLIMITED]))
    return values, valid, np.cumsum(steps).astype(float), longest


def naive(values, valid, days, longest):
    filled = np.full(values.shape, NAN)
    interpolated = np.zeros(values.shape, dtype=bool)
    for i, row in enumerate(values):
        known = [t for t in range(len(days)) if valid[i, t]]
        for t in range(len(days)):
            before = [k for k in known if k <= t]
            after = [k for k in known if k >= t]
            if not before or not after:
                continue
            a, b = before[-1], after[0]
            if a == b:
                filled[i, t] = row[t]
            elif days[b] - days[a] <= longest:
                share = (days[t] - days[a]) / (days[b] - days[a])
                filled[i, t] = row[a] + share * (row[b] - row[a])
                interpolated[i, t] = True
    return filled, interpolated


@given(gappy())
def test_as_a_naive_loop_does(case):
    values, valid, days, longest = case
    before = values.copy(), valid.copy()
    filled, available, interpolated = fill_gaps(values, valid, days, longest)
    expected, flags = naive(*case)
    assert filled.dtype == np.float32
    assert np.allclose(filled, expected, atol=1e-5, equal_nan=True)
    assert np.array_equal(interpolated, flags)
    assert np.array_equal(available, valid | flags)
    assert np.array_equal(available, np.isfinite(filled))
    assert np.array_equal(values, before[0]) and np.array_equal(valid, before[1])


@given(gappy())
def test_what_is_written_where_not_valid_does_not_matter(case):
    values, valid, days, longest = case
    other = np.where(valid, values, np.float32(99))
    empty = np.where(valid, values, np.float32(NAN))
    first, second = (fill_gaps(v, valid, days, longest)[0] for v in (other, empty))
    assert np.array_equal(first, second, equal_nan=True)


def fill(row, days, longest=UNLIMITED):
    values = np.array([row], dtype=np.float32)
    return fill_gaps(values, np.isfinite(values), np.array(days, dtype=float), longest)


def test_in_days_not_in_positions():
    filled = fill([0.0, NAN, 1.0], [0, 10, 100])[0]
    assert filled[0, 1] == pytest.approx(0.1)


def test_the_longest_gap_is_between_valid_dates():
    row, days = [0.0, NAN, NAN, 0.6, NAN, 0.8], [0, 20, 40, 60, 91, 121]
    filled, available, interpolated = fill(row, days, 60)
    assert np.allclose(filled[0, :4], [0, 0.2, 0.4, 0.6])
    assert np.isnan(filled[0, 4])  # 61 days
    assert interpolated.tolist() == [[False, True, True, False, False, False]]
    assert available.tolist() == [[True, True, True, True, False, True]]


def test_ends_stay_empty():
    filled, available, _ = fill([NAN, NAN, 0.3, NAN, 0.5, NAN], [0, 1, 2, 3, 4, 5])
    assert np.isnan(filled[0, [0, 1, 5]]).all()
    assert available.tolist() == [[False, False, True, True, True, False]]


def test_nothing_valid_stays_nothing():
    filled, available, interpolated = fill([NAN] * 4, [0, 1, 2, 3])
    assert np.isnan(filled).all() and not available.any() and not interpolated.any()


def test_extend_holds_the_ends():
    values = np.array([[NAN, 0.2, 0.3, NAN], [NAN] * 4, [0.1, 0.2, 0.3, 0.4]])
    held = extend(values, np.isfinite(values))
    assert held[0].tolist() == [0.2, 0.2, 0.3, 0.3]
    assert np.isnan(held[1]).all()
    assert held[2].tolist() == values[2].tolist()
    assert np.isnan(values[0, 0])


@given(gappy())
def test_extend_leaves_no_gap_in_a_row_that_has_a_value(case):
    values, valid, _, _ = case
    held = extend(np.where(valid, values, np.float32(NAN)), valid)
    assert np.array_equal(np.isfinite(held).all(axis=1), valid.any(axis=1))
    assert np.array_equal(held[valid], values[valid])
