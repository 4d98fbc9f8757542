"""Narrow gaps go to the fields beside them; wide ones stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from furrow.core.errors import Cancelled
from furrow.core.fields.coverage.planar import closed_gaps, planar_fields
from furrow.core.monitor import Monitor

LABELS = arrays(np.int32, st.tuples(st.integers(0, 12), st.integers(0, 12)),
                elements=st.integers(0, 3))  # fmt: skip


@given(LABELS, st.integers(0, 4))
def test_fields_keep_their_pixels(labels, widest):
    before = labels.copy()
    filled = closed_gaps(labels, widest)
    assert (labels == before).all() and filled is not labels and filled.dtype == np.int32
    assert (filled[labels > 0] == labels[labels > 0]).all()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("widest", [0, 1, 2, 3, 4])
def test_gaps_are_closed_up_to_a_width(width, widest):
    labels = np.ones((12, 30), np.int32)
    labels[:, 12 : 12 + width] = 0
    labels[:, 12 + width :] = 2
    filled = closed_gaps(labels, widest)
    assert (filled == 0).any() == (width > widest)
    if width <= widest:
        assert abs((filled == 1).sum() - 12 * (12 + width / 2)) <= 6


def test_narrow_gaps_that_lead_into_wide_ones_end_there():
    labels = np.ones((30, 30), np.int32)
    labels[:20, 15:] = 2
    labels[:20, 14] = 0
    labels[20:] = 0
    filled = closed_gaps(labels, 1)
    assert (filled[:20] > 0).all() and (filled[20:] == 0).all()


def test_a_slanted_gap_becomes_one_straight_edge():
    y, x = np.mgrid[:60, :60] + 0.5
    off = (y - 30) - 0.6 * (x - 30)
    labels = np.where(np.abs(off) < 0.7, 0, np.where(off > 0, 1, 2)).astype(np.int32)
    apart, together = planar_fields(labels, 1.0), planar_fields(closed_gaps(labels, 2), 1.0)
    assert sum(len(part[0]) for field in together for part in field.parts) == 10
    assert len(apart) == 2


def test_where_there_is_no_field_nothing_is_filled():
    assert not closed_gaps(np.zeros((3, 40), np.int32), 5).any()


def test_cancelling_stops_it():
    with pytest.raises(Cancelled):
        closed_gaps(np.ones((9, 9), np.int32), 2, Monitor(cancelled=lambda: True))
