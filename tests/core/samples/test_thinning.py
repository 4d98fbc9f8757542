"""One pixel, one sample: claims, numbers and spacing, whatever the order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from furrow.core.samples.thinning import ConflictPolicy, resolve_claims, thin

DROP, BEST = ConflictPolicy.DROP, ConflictPolicy.BEST


def resolve(claims, policy):
    """Claims are (pixel, class, distance)."""
    pixel, label, distance = (np.array(column) for column in zip(*claims))
    conflict, duplicate = resolve_claims(pixel, label, distance.astype(float), policy)
    return conflict.tolist(), duplicate.tolist()


def test_pixels_claimed_once_stay():
    assert resolve([(5, 0, 0.1), (3, 1, 0.2)], DROP) == ([False] * 2, [False] * 2)


@pytest.mark.parametrize("policy", [DROP, BEST])
def test_of_claims_of_one_class_the_closest_stays(policy):
    claims = [(5, 0, 0.3), (5, 0, 0.1), (5, 0, 0.2)]
    assert resolve(claims, policy) == ([False] * 3, [True, False, True])


def test_claims_of_two_classes_drop_both():
    claims = [(5, 0, 0.3), (5, 1, 0.1), (7, 1, 0.1)]
    assert resolve(claims, DROP) == ([True, True, False], [False] * 3)


def test_claims_of_two_classes_go_to_the_best():
    claims = [(5, 0, 0.3), (5, 1, 0.1), (5, 1, 0.2), (5, 0, 0.4)]
    assert resolve(claims, BEST) == ([True, False, False, True], [False, False, True, False])


def test_no_claims():
    none = np.empty(0, dtype=np.int64)
    conflict, duplicate = resolve_claims(none, none, none.astype(float), DROP)
    assert conflict.shape == duplicate.shape == (0,)


@st.composite
def claims_of_few_pixels(draw):
    one = st.tuples(st.integers(0, 4), st.integers(0, 2), st.sampled_from([0.0, 0.1, 0.2, 0.3]))
    return draw(st.lists(one, min_size=1, max_size=15)), draw(st.sampled_from([DROP, BEST]))


@given(claims_of_few_pixels())
def test_each_pixel_has_one_owner_or_a_conflict(case):
    claims, policy = case
    conflict, duplicate = resolve(claims, policy)
    for pixel in {claim[0] for claim in claims}:
        mine = [k for k, claim in enumerate(claims) if claim[0] == pixel]
        kept = [k for k in mine if not conflict[k] and not duplicate[k]]
        disputed = len({claims[k][1] for k in mine}) > 1
        if disputed and policy is DROP:
            assert kept == [] and all(conflict[k] for k in mine)
        else:
            assert len(kept) == 1
            assert claims[kept[0]][2] == min(claims[k][2] for k in mine)
        assert not any(conflict[k] and duplicate[k] for k in mine)


@given(claims_of_few_pixels(), st.randoms(use_true_random=False))
def test_the_order_of_the_claims_does_not_matter(case, random):
    claims, policy = case
    mixed = claims.copy()
    random.shuffle(mixed)
    for flags, again in zip(resolve(claims, policy), resolve(mixed, policy)):
        assert sorted(zip(claims, flags)) == sorted(zip(mixed, again))


# --- thinning ---------------------------------------------------------------------------------


@st.composite
def samples(draw):
    """Different pixels with different distances, and their owners."""
    count = draw(st.integers(0, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    keys = random.choice(400, count, replace=False)
    distance = random.permutation(count) / 100
    return random.integers(0, 4, count), keys // 20, keys % 20, distance


def test_nothing_to_thin():
    owner, rows, cols = np.zeros(3, int), np.arange(3), np.zeros(3, int)
    assert thin(owner, rows, cols, np.zeros(3), 0, (0.0, 0.0)).all()


@given(samples(), st.integers(1, 9))
def test_each_reference_keeps_its_closest(case, most):
    owner, rows, cols, distance = case
    stays = thin(owner, rows, cols, distance, most, (0.0, 0.0))
    for one in range(4):
        mine = np.flatnonzero(owner == one)
        closest = mine[np.argsort(distance[mine])][:most]
        assert set(np.flatnonzero(stays & (owner == one))) == set(closest)


@given(samples(), st.floats(1, 6), st.floats(1, 6))
def test_spacing_holds_between_all_samples_and_nothing_else_goes(case, along_rows, along_cols):
    owner, rows, cols, distance = case
    stays = thin(owner, rows, cols, distance, 0, (along_rows, along_cols))
    apart = np.hypot((rows[:, None] - rows) / along_rows, (cols[:, None] - cols) / along_cols)
    np.fill_diagonal(apart, np.inf)
    assert (apart[np.ix_(stays, stays)] >= 1 - 1e-6).all()
    # Each sample that goes is too near to a closer one that stays.
    nearer = stays & (distance < distance[:, None])
    assert ((apart < 1) & nearer)[~stays].any(axis=1).all()


@given(samples(), st.integers(0, 5), st.sampled_from([0.0, 2.5]), st.integers(0, 2**32 - 1))
def test_the_order_of_the_samples_does_not_matter(case, most, spacing, seed):
    order = np.random.default_rng(seed).permutation(len(case[0]))
    stays = thin(*case, most, (spacing, spacing))
    mixed = thin(*(column[order] for column in case), most, (spacing, spacing))
    assert np.array_equal(mixed, stays[order])


@given(samples(), st.integers(1, 5))
def test_number_and_spacing_hold_together(case, most):
    stays = thin(*case, most, (3.0, 3.0))
    assert np.bincount(case[0][stays], minlength=4).max() <= most
    assert not (stays & ~thin(*case, 0, (3.0, 3.0))).any()


def test_equal_distances_are_settled_by_place():
    owner, rows = np.zeros(4, int), np.array([2, 0, 1, 0])
    stays = thin(owner, rows, np.array([0, 1, 0, 0]), np.zeros(4), 2, (0.0, 0.0))
    assert stays.tolist() == [False, True, False, True]
