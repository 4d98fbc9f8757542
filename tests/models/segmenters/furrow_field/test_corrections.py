"""Small corrections of a mask that was right but for its rim."""

from __future__ import annotations

import numpy as np

from furrow.models.segmenters.furrow_field.corrections import corrected

FIELD = np.zeros((100, 120), bool)
FIELD[20:80, 20:100] = True


def after(*clicks: tuple) -> np.ndarray | None:
    """The field after clicks of x, y and whether they are on it."""
    points = np.array([click[:2] for click in clicks], float)
    return corrected(FIELD, points, np.array([click[2] for click in clicks]))


def test_clicks_that_are_obeyed_already_change_nothing() -> None:
    assert np.array_equal(after((50.5, 50.5, True), (5.5, 5.5, False)), FIELD)


def test_a_click_off_the_field_cuts_its_rim_only() -> None:
    mask = after((60.5, 50.5, True), (95.5, 50.5, False))
    gone = FIELD & ~mask
    assert gone[50, 95] and mask[50, 60] and not (mask & ~FIELD).any()
    rows, columns = gone.nonzero()
    assert columns.min() > 88 and gone.sum() < 100
    assert FIELD.sum() == 60 * 80  # the mask that was given stays as it was


def test_a_click_on_the_field_adds_what_lies_between() -> None:
    mask = after((60.5, 50.5, True), (104.5, 50.5, True))
    assert mask[50, 100:105].all() and mask[FIELD].all()
    assert (mask & ~FIELD).sum() < 100


def test_every_click_is_obeyed() -> None:
    clicks = [(60.5, 50.5, True), (95.5, 50.5, False), (97.5, 24.5, False), (104.5, 70.5, True)]
    mask = after(*clicks)
    for x, y, wanted in clicks:
        assert mask[int(y), int(x)] == wanted


def test_a_deep_error_means_another_field() -> None:
    assert after((30.5, 50.5, True), (60.5, 50.5, False)) is None
    assert corrected(~FIELD & False, np.array([[5.5, 5.5]]), np.array([True])) is None


def test_the_image_border_ends_an_error() -> None:
    whole = np.ones((100, 100), bool)
    mask = corrected(whole, np.array([[96.5, 96.5]]), np.array([False]))
    assert not mask[96, 96] and mask[:90].all()
    assert corrected(whole, np.array([[50.5, 50.5]]), np.array([False])) is None


def test_points_off_the_image_are_passed_over() -> None:
    mask = corrected(FIELD, np.array([[-5.0, 500.0]]), np.array([True]))
    assert np.array_equal(mask, FIELD)
