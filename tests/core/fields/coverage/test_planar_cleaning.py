"""Small and thin pieces go to their neighbours; fields keep what belongs to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from furrow.core.errors import Cancelled
from furrow.core.fields.coverage.planar import cleaned_labels
from furrow.core.fields.coverage.widths import wide_pixels
from furrow.core.monitor import Monitor
from furrow.tests.core.fields.coverage.label_rasters import blots, raster

LABELS = st.builds(
    blots,
    st.integers(0, 10**6),
    st.integers(1, 24),
    st.integers(1, 24),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.8, 1.6]),
)


def pieces(labels: np.ndarray) -> list:
    """Masks of the 4-connected pieces of all fields."""
    found = []
    for label in np.unique(labels[labels > 0]):
        numbers, count = ndimage.label(labels == label)
        found += [numbers == k for k in range(1, count + 1)]
    return found


@settings(max_examples=60)
@given(LABELS, st.integers(0, 12), st.sampled_from([0.0, 1.0, 2.0, 3.0]))
def test_what_is_left_is_large_and_wide_enough(labels, least_pixels, least_width):
    before = labels.copy()
    clean = cleaned_labels(labels, least_pixels, least_width)
    assert (labels == before).all() and clean.dtype == np.int32 and clean.shape == labels.shape
    assert not clean[labels == 0].any()
    wide = wide_pixels(clean, least_width) if least_width > 1 else clean > 0
    for piece in pieces(clean):
        assert piece.sum() >= least_pixels and wide[piece].any()


@settings(max_examples=60)
@given(LABELS, st.integers(1, 8))
def test_wide_pixels_are_those_of_an_opening(labels, width):
    at = np.arange(width) - (width - 1) / 2
    disc = np.hypot(at[:, None], at) <= (width - 1) / 2 + 0.25
    opened = np.zeros(labels.shape, bool)
    for label in range(5):
        opened |= ndimage.binary_opening(labels == label, disc)
    assert (wide_pixels(labels, width) == opened).all()


@given(LABELS)
def test_without_limits_nothing_changes(labels):
    clean = cleaned_labels(labels, 0, 0.0)
    assert (clean == labels).all() and clean is not labels


def test_a_small_piece_goes_to_the_longest_border():
    labels = raster("1112222", "1133322", "4444442")
    assert (cleaned_labels(labels, 4, 0)[1, 2:5] == 4).all()


def test_a_lone_small_piece_goes_for_good():
    labels = raster("......", ".11...", "...222", "...222")
    assert (cleaned_labels(labels, 3, 0) == np.where(labels == 1, 0, labels)).all()


def test_a_small_part_of_a_large_field_goes_as_well():
    labels = raster("1111.1", "1111..", "1111..")
    assert cleaned_labels(labels, 4, 0)[0, 5] == 0


def test_pieces_behind_pieces_that_go_follow_them():
    labels = raster("11112344", "1111....", "1111....")
    clean = cleaned_labels(labels, 4, 0)
    assert (clean[0] == 1).all()


def test_no_field_takes_nothing():
    labels = raster("......", ".1....", ".22222", "......")
    assert cleaned_labels(labels, 2, 0)[1, 1] == 2


def test_a_strip_goes_where_it_is_too_thin():
    labels = np.full((20, 20), 1, np.int32)
    labels[:, 9:11] = 2
    labels[:, 11:] = 3
    assert (cleaned_labels(labels, 0, 2.0) == labels).all()
    clean = cleaned_labels(labels, 0, 3.0)
    assert set(np.unique(clean)) == {1, 3}


def test_strips_are_as_thin_at_a_slant():
    y, x = np.mgrid[:80, :80] + 0.5
    for turn in np.linspace(0, np.pi, 13):
        off = np.abs((x - 40) * np.cos(turn) + (y - 40) * np.sin(turn))
        assert cleaned_labels((off < 3.0).astype(np.int32), 0, 4.0).any()
        assert not cleaned_labels((off < 1.2).astype(np.int32), 0, 4.0).any()


def test_necks_stay():
    labels = np.zeros((12, 40), np.int32)
    labels[:, :15] = labels[:, 25:] = 1
    labels[5, 15:25] = 1
    assert (cleaned_labels(labels, 0, 3.0) == labels).all()


def test_spurs_go_to_what_is_around_them():
    labels = np.zeros((12, 40), np.int32)
    labels[:, :15] = 1
    spur = np.zeros(labels.shape, bool)
    spur[5, 16:35] = True
    for other in (0, 2):
        around = np.where(labels == 0, other, labels)
        around[5, 15] = 1  # the foot of the spur, which a disc of the field covers
        assert (cleaned_labels(np.where(spur, 1, around), 0, 3.0) == around).all()


def test_corners_and_short_spurs_stay():
    y, x = np.mgrid[:40, :40] + 0.5
    labels = (np.abs(x - 20) + np.abs(y - 20) < 15).astype(np.int32)
    labels[20, 34:38] = 1
    assert (cleaned_labels(labels, 0, 3.0) == labels).all()


def test_what_the_raster_cuts_off_counts_for_nothing():
    labels = np.zeros((10, 10), np.int32)
    labels[:, 8:] = 1
    assert not cleaned_labels(labels, 0, 3.0).any()


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (1, 1), (3, 3)])
def test_no_field_stays_none(shape):
    assert not cleaned_labels(np.zeros(shape, np.int32), 5, 3.0).any()


def test_strips_of_the_raster_do_not_show(monkeypatch):
    from furrow.core.fields.coverage import runs

    labels = np.random.default_rng(4).integers(0, 3, (41, 30)).repeat(2, axis=0).repeat(2, axis=1)
    whole = cleaned_labels(labels.astype(np.int32), 6, 3.0)
    monkeypatch.setattr(runs, "STRIP_PIXELS", 200)
    assert (cleaned_labels(labels.astype(np.int32), 6, 3.0) == whole).all()


def test_cancelling_stops_it():
    with pytest.raises(Cancelled):
        cleaned_labels(np.ones((9, 9), np.int32), 5, 2.0, Monitor(cancelled=lambda: True))
