"""Wrong labels are found by their profiles; right ones are left alone."""

import time

import numpy as np
import pytest

from furrow.core.samples.agreement import agreement
from furrow.core.samples.curves import (
    class_curves,
    class_medians,
    mean_absolute_difference,
    median_profile,
)
from furrow.core.samples.suspicion import suspicious_references

DATES = 24
LOW = np.full(DATES, 0.2, dtype=np.float32)
HIGH = np.full(DATES, 0.7, dtype=np.float32)
NAN = np.nan


def hump(middle, width=2.5):
    """A season's curve with its peak at a date."""
    return (0.2 + 0.6 * np.exp(-(((np.arange(DATES) - middle) / width) ** 2))).astype(np.float32)


def noisy(curve, count, rng, noise=0.03, missing=0.0):
    values = curve + rng.normal(0, noise, (count, DATES))
    values[rng.random(values.shape) < missing] = NAN
    return values.astype(np.float32)


def two_crops(count, rng, **kwargs):
    values = np.concatenate(
        [noisy(hump(7), count, rng, **kwargs), noisy(hump(16), count, rng, **kwargs)]
    )
    return values, np.repeat(["early", "late"], count)


# --- distances and medians


def test_distance_counts_only_dates_valid_in_both():
    values = np.array([[0.1, NAN, 0.5, 0.9]])
    curves = np.array([[0.2, 0.3, NAN, 0.6], [0.1, 0.0, 0.5, 0.9]])
    expected = [[(0.1 + 0.3) / 2, 0.0]]
    np.testing.assert_allclose(mean_absolute_difference(values, curves, 2), expected, atol=1e-12)


def test_distance_matches_the_plain_formula_on_random_gaps():
    rng = np.random.default_rng(0)
    values, curves = rng.uniform(-1, 1, (40, 12)), rng.uniform(-1, 1, (7, 12))
    values[rng.random(values.shape) < 0.4] = NAN
    curves[rng.random(curves.shape) < 0.2] = NAN
    expected = np.nanmean(np.abs(values[:, None] - curves[None]), axis=2)
    found = mean_absolute_difference(values, curves, 1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_too_few_shared_dates_have_no_distance():
    values = np.array([[0.1, 0.2, NAN, NAN], [0.1, 0.2, 0.3, NAN]])
    found = mean_absolute_difference(values, np.zeros((1, 4)), 3)
    assert np.isnan(found[0, 0])
    assert found[1, 0] == pytest.approx(0.2)


def test_short_series_need_all_their_dates():
    found = mean_absolute_difference(np.array([[0.1, 0.2], [0.1, NAN]]), np.zeros((1, 2)))
    assert found[0, 0] == pytest.approx(0.15)
    assert np.isnan(found[1, 0])


@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_median_profile_is_numpys(count):
    rng = np.random.default_rng(count)
    values = rng.random((count, 30))
    values[rng.random(values.shape) < 0.3] = NAN
    values[:, 0] = NAN
    values[0, 1:] = 0.5
    np.testing.assert_allclose(median_profile(values)[1:], np.nanmedian(values[:, 1:], axis=0))
    assert np.isnan(median_profile(values)[0])


def test_class_medians_survive_a_wrong_label():
    values = np.stack([LOW, LOW, LOW + 0.1, HIGH, HIGH, HIGH, LOW])
    classes, medians = class_medians(values, np.array([3, 3, 3, 1, 1, 1, 1]))
    np.testing.assert_array_equal(classes, [1, 3])
    np.testing.assert_allclose(medians, [HIGH, LOW], atol=1e-6)


# --- agreement


def test_hand_made_margins():
    values = np.stack([LOW, LOW, LOW, HIGH, HIGH, HIGH, HIGH])
    found = agreement(values, np.array(["a", "a", "a", "b", "b", "b", "a"]))
    np.testing.assert_allclose(found.own_distance, [0, 0, 0, 0, 0, 0, 0.5], atol=1e-6)
    np.testing.assert_allclose(found.margin, [0.5] * 6 + [-0.5], atol=1e-6)
    np.testing.assert_array_equal(found.nearest_class, ["a", "a", "a", "b", "b", "b", "b"])


def test_missing_dates_do_not_change_the_verdict():
    values = np.stack([LOW, LOW, LOW, HIGH, HIGH, HIGH, HIGH])
    values[6, ::2] = NAN
    values[0, :10] = NAN
    found = agreement(values, np.array(list("aaabbba")))
    np.testing.assert_allclose(found.margin, [0.5] * 6 + [-0.5], atol=1e-6)


def test_without_enough_dates_nothing_is_said():
    values = np.stack([LOW, LOW, LOW, HIGH, HIGH, HIGH, HIGH])
    values[6, 5:] = NAN
    values[5] = NAN
    found = agreement(values, np.array(list("aaabbba")))
    assert np.isnan(found.margin[5:]).all()
    assert np.isnan(found.own_distance[5:]).all()
    np.testing.assert_array_equal(found.nearest_class[5:], ["b", "a"])
    assert (found.margin[:5] > 0.4).all()


def test_infinite_values_count_as_missing():
    values = np.stack([LOW, LOW, LOW, HIGH, HIGH, HIGH])
    values[0, 0] = np.inf
    found = agreement(values, np.array([1, 1, 1, 2, 2, 2]))
    np.testing.assert_allclose(found.margin, 0.5, atol=1e-6)


def test_one_class_has_no_margin():
    found = agreement(np.stack([LOW, LOW, HIGH]), np.array([7, 7, 7]))
    assert np.isnan(found.margin).all()
    np.testing.assert_array_equal(found.nearest_class, [7, 7, 7])
    np.testing.assert_allclose(found.own_distance[:2], [0.25, 0.25], atol=1e-6)


def test_no_profile_at_all():
    found = agreement(np.empty((0, DATES)), np.empty(0, dtype=int))
    assert len(found.margin) == len(found.own_distance) == len(found.nearest_class) == 0


def test_a_profile_does_not_vote_for_itself():
    values = np.stack([LOW, HIGH, LOW, LOW, LOW])
    found = agreement(values, np.array(["a", "a", "b", "b", "b"]))
    assert found.own_distance[1] == pytest.approx(0.5)  # not 0.25, half-way to its own median
    assert found.margin[0] == pytest.approx(-0.5)


def test_a_class_of_one_has_no_opinion_and_is_not_heard():
    values = np.stack([LOW, LOW + 0.1, LOW, LOW, LOW + 0.05])
    found = agreement(values, np.array(["a", "a", "a", "a", "only"]))
    assert np.isnan(found.margin).all()
    np.testing.assert_array_equal(found.nearest_class, ["a", "a", "a", "a", "only"])


def test_a_fifth_of_the_labels_wrong_in_two_crops():
    rng = np.random.default_rng(1)
    values, truth = two_crops(100, rng, missing=0.2)
    labels = truth.copy()
    wrong = rng.choice(200, 40, replace=False)
    labels[wrong] = np.where(truth[wrong] == "early", "late", "early")
    found = agreement(values, labels)
    np.testing.assert_array_equal(found.margin < 0, labels != truth)
    np.testing.assert_array_equal(found.nearest_class, truth)


def test_a_crop_with_two_habits_is_not_taken_for_the_one_between():
    rng = np.random.default_rng(2)
    values = np.concatenate(
        [noisy(hump(6), 150, rng), noisy(hump(18), 150, rng), noisy(hump(12), 150, rng)]
    )
    labels = np.repeat(["double", "double", "single"], 150)
    swapped = np.zeros(450, dtype=bool)
    swapped[rng.choice(450, 90, replace=False)] = True
    given = np.where(swapped, np.where(labels == "single", "double", "single"), labels)
    found = agreement(values, given)
    np.testing.assert_array_equal(found.margin < 0, swapped)


def test_groups_speak_for_the_majority():
    rng = np.random.default_rng(3)
    values, labels = two_crops(200, rng)
    labels[:40] = "late"
    curves = class_curves(values, labels)
    assert not curves.alone.any()
    early = curves.owner == list(curves.classes).index("early")
    assert early.any()
    assert (mean_absolute_difference(curves.curves[early], hump(7)[None]) < 0.05).all()


def test_every_source_counts_once():
    rng = np.random.default_rng(4)
    # One wrong reference has grown more samples than all right ones of its class together.
    curves = [hump(7)] * 4 + [hump(16)] * 5
    labels = ["early"] * 4 + ["early"] + ["late"] * 4
    sizes = [5, 5, 5, 5, 200, 5, 5, 5, 5]
    values = np.concatenate([noisy(c, n, rng) for c, n in zip(curves, sizes)])
    source = np.repeat(np.arange(9), sizes)
    found = agreement(values, np.repeat(labels, sizes), sources=source)
    np.testing.assert_array_equal(found.margin < 0, source == 4)


@pytest.mark.parametrize("count", [20, 300, 3000])
def test_order_does_not_matter(count):
    rng = np.random.default_rng(5)
    values, labels = two_crops(count, rng, noise=0.15, missing=0.3)
    labels = np.where(rng.random(2 * count) < 0.2, labels[::-1], labels)
    order = rng.permutation(2 * count)
    first, second = agreement(values, labels), agreement(values[order], labels[order])
    np.testing.assert_allclose(first.margin[order], second.margin, atol=1e-6)
    np.testing.assert_array_equal(first.nearest_class[order], second.nearest_class)


def test_input_is_not_changed():
    values, labels = two_crops(100, np.random.default_rng(6), missing=0.3)
    before, names = values.copy(), labels.copy()
    agreement(values, labels, sources=np.arange(200) // 5)
    suspicious_references(values, labels)
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(labels, names)


def test_read_only_input_is_fine():
    values, labels = two_crops(50, np.random.default_rng(7))
    values.setflags(write=False)
    labels.setflags(write=False)
    assert (agreement(values, labels).margin > 0).all()
    assert not suspicious_references(values, labels).suspicious.any()


def test_fifty_thousand_profiles_are_quick():
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 10, 50_000)
    values = np.sin(np.linspace(0, 3, 25) + labels[:, None] / 3) + rng.normal(0, 0.1, (50_000, 25))
    values[rng.random(values.shape) < 0.3] = NAN
    start = time.perf_counter()
    found = agreement(values.astype(np.float32), labels)
    assert time.perf_counter() - start < 5  # about 0.4 s on an idle machine
    assert (found.margin > 0).mean() > 0.95


# --- references


def references(rng, per_crop=10):
    crops = {"wheat": 6, "canola": 10, "corn": 14, "soybean": 18}
    values = np.concatenate([noisy(hump(m), per_crop, rng, missing=0.3) for m in crops.values()])
    return values, np.repeat(list(crops), per_crop)


@pytest.mark.parametrize("seed", range(10))
def test_two_wrong_references_of_forty_are_found(seed):
    rng = np.random.default_rng(seed)
    values, truth = references(rng)
    labels = truth.copy()
    wrong = rng.choice(40, 2, replace=False)
    for row in wrong:
        labels[row] = rng.choice([name for name in np.unique(truth) if name != truth[row]])
    verdict = suspicious_references(values, labels)
    np.testing.assert_array_equal(np.flatnonzero(verdict.suspicious), np.sort(wrong))
    np.testing.assert_array_equal(verdict.nearest_class[wrong], truth[wrong])
    assert (verdict.margin[wrong] < 0).all()


def test_two_alike_wrong_references_do_not_excuse_each_other():
    values, labels = references(np.random.default_rng(11))
    labels[[0, 1]] = "corn"
    verdict = suspicious_references(values, labels)
    np.testing.assert_array_equal(np.flatnonzero(verdict.suspicious), [0, 1])


def test_right_references_are_left_alone():
    values, labels = references(np.random.default_rng(12))
    assert not suspicious_references(values, labels).suspicious.any()


def test_a_mixed_class_raises_no_alarm():
    rng = np.random.default_rng(13)
    others = [hump(8), hump(3), hump(20), LOW]  # the first looks much like the crop
    values = np.concatenate([noisy(hump(9), 3, rng)] + [noisy(curve, 1, rng) for curve in others])
    labels = np.array(["potato"] * 3 + ["other"] * 4)
    assert not suspicious_references(values, labels).suspicious[:3].any()
    assert not suspicious_references(values, labels).suspicious[4:].any()


def test_a_mixed_class_in_pairs_raises_no_alarm():
    rng = np.random.default_rng(14)
    values = np.concatenate(
        [noisy(hump(9), 10, rng)] + [noisy(hump(m), 2, rng) for m in (3, 5, 14, 18, 21)]
    )
    labels = np.array(["potato"] * 10 + ["other"] * 10)
    assert not suspicious_references(values, labels).suspicious.any()


def test_a_curve_that_fits_no_class_is_no_evidence():
    rng = np.random.default_rng(15)
    values, labels = two_crops(8, rng)
    values[0] = LOW + 0.7
    verdict = suspicious_references(values, labels)
    assert not verdict.suspicious.any()


@pytest.mark.parametrize("labels", ["aabbb", "aaabb", "aaaaa", "abcde"])
def test_too_few_references_prove_nothing(labels):
    values = np.stack([HIGH, LOW, LOW, LOW, LOW])
    assert not suspicious_references(values, np.array(list(labels))).suspicious.any()


def test_references_without_values():
    values = np.stack([LOW, LOW, LOW, HIGH, HIGH, HIGH, HIGH])
    values[0] = NAN
    verdict = suspicious_references(values, np.array(list("aaabbba")))
    assert np.isnan(verdict.margin[0])
    assert verdict.nearest_class[0] == "a"
    assert not verdict.suspicious[0]


def test_no_reference_at_all():
    verdict = suspicious_references(np.empty((0, DATES)), np.empty(0, dtype=int))
    assert len(verdict.suspicious) == len(verdict.margin) == 0


def test_order_of_references_does_not_matter():
    rng = np.random.default_rng(16)
    values, labels = references(rng)
    labels[[3, 25]] = "soybean"
    order = rng.permutation(40)
    first = suspicious_references(values, labels)
    second = suspicious_references(values[order], labels[order])
    np.testing.assert_array_equal(first.suspicious[order], second.suspicious)
    np.testing.assert_allclose(first.margin[order], second.margin, atol=1e-6)
