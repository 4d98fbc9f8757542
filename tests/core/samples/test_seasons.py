"""The season of a field, and fields that hold two: on made-up farmland of known truth."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
from scipy import ndimage

from furrow.core.imagery.quality import DEFAULT_INVALID
from furrow.core.samples.profiles import Profiles
from furrow.core.samples.seasons import (
    FieldSeason,
    SplitLimits,
    class_season,
    season_of,
    smaller_part,
    two_seasons,
)
from furrow.core.simulation.phenology import FieldTraits
from furrow.core.simulation.scene import Scene, SceneSpec, simulate
from furrow.tests.core.series_files import day

SMALLEST = 80
"""Pixels of a field that is looked at."""
SEEDS = {301: 12, 302: 24, 303: 36}
"""Made-up scenes that no limit was set on, and their dates."""
NOTHING_REQUIRED = SplitLimits(0, 12, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Case:
    """A field's pixels and, where it was sown in two parts, in which part each lies."""

    profiles: Profiles
    rows: np.ndarray
    cols: np.ndarray
    second: np.ndarray


# --- made-up fields ---


def scene(seed: int) -> Scene:
    return simulate(
        SceneSpec(size=160, dates=SEEDS[seed], references=4, wrong_labels=0, seed=seed)
    )


def halved(given: Scene, rng: np.random.Generator, kind: str) -> Scene:
    """The scene with each field cut by a straight line; id + n is the second part's."""
    land, count = given.landscape, given.landscape.field_count
    fine = land.fine_fields
    second = np.zeros(fine.shape, dtype=bool)
    for field, box in enumerate(ndimage.find_objects(fine), start=1):
        member = fine[box] == field
        rows, cols = np.indices(member.shape)
        angle = rng.uniform(0, np.pi)
        place = rows * np.cos(angle) + cols * np.sin(angle)
        second[box] |= member & (place > np.quantile(place[member], rng.uniform(0.3, 0.7)))
    split = fine + count * second
    corner = second[::2, ::2] & (land.fields > 0) & (land.fields == fine[::2, ::2])
    surface = np.where(fine > 0, split, given.texture.surface + count)
    return replace(
        given,
        landscape=replace(
            land,
            fields=(land.fields + count * corner).astype(np.int32),
            fine_fields=split.astype(np.int32),
            row_angles=np.concatenate([land.row_angles, land.row_angles[1:]]),
        ),
        traits=doubled(given.traits, rng, kind),
        texture=replace(given.texture, surface=surface.astype(np.int32)),
    )


def doubled(traits: FieldTraits, rng: np.random.Generator, kind: str) -> FieldTraits:
    """Traits of first and second parts: another crop, or the same crop sown later."""
    count = len(traits.crop) - 1
    if kind == "sowings":
        late = rng.uniform(20, 32, count)
        both = {f.name: np.tile(getattr(traits, f.name)[1:], 2) for f in fields(traits)}
        both["shift"] += np.concatenate([-late / 2, late / 2])
    else:
        others = [rng.choice(np.flatnonzero(traits.crop != crop)[1:]) for crop in traits.crop[1:]]
        both = {
            f.name: getattr(traits, f.name)[np.concatenate([np.arange(1, count + 1), others])]
            for f in fields(traits)
        }
    return FieldTraits(**{name: np.concatenate([[v[0]], v]) for name, v in both.items()})


def cases(given: Scene, whole: np.ndarray) -> list[Case]:
    """One case a field of the id raster `whole`."""
    values, dates = [], []
    for date, image in given.iter_images():
        red, nir = image[2].astype(np.float32), image[3].astype(np.float32)
        clear = ~np.isin(image[4], list(DEFAULT_INVALID)) & (red > 0)
        values.append(np.where(clear, (nir - red) / np.maximum(nir + red, 1), np.nan))
        dates.append(date)
    cube = np.stack(values)
    found = []
    for field in np.flatnonzero(np.bincount(whole.ravel())[1:] >= SMALLEST) + 1:
        rows, cols = np.nonzero(whole == field)
        curves = np.ascontiguousarray(cube[:, rows, cols].T)
        profiles = Profiles(curves, np.isfinite(curves), tuple(dates))
        found.append(Case(profiles, rows, cols, given.landscape.fields[rows, cols] != field))
    return found


@pytest.fixture(scope="module")
def one_season() -> list[Case]:
    found: list[Case] = []
    for seed in SEEDS:
        given = scene(seed)
        found += cases(given, given.landscape.fields)
    return found


@pytest.fixture(scope="module", params=["crops", "sowings"])
def two_parts(request) -> list[Case]:
    found: list[Case] = []
    for seed in SEEDS:
        given = scene(seed)
        cut = halved(given, np.random.default_rng(seed), request.param)
        found += cases(cut, given.landscape.fields)
    return [case for case in found if 0.2 <= case.second.mean() <= 0.8]


def ask(case: Case, **how: object):
    return two_seasons(case.profiles, case.rows, case.cols, **how)


def block(
    side: int, dates: int, first: np.ndarray, second: np.ndarray, where: np.ndarray
) -> Case:
    """A square field with plain curves (dates,) and a little noise."""
    rows, cols = (a.ravel() for a in np.indices((side, side)))
    part = where.ravel()
    noise = np.random.default_rng(0).normal(0, 0.01, (side * side, dates))
    curves = (np.where(part[:, None], second, first) + noise).astype(np.float32)
    days = tuple(day(10 * k) for k in range(dates))
    return Case(Profiles(curves, np.isfinite(curves), days), rows, cols, part)


HIGH, LOW = np.linspace(0.2, 0.8, 8), np.linspace(0.8, 0.2, 8)
LEFT = np.arange(20)[None, :].repeat(20, 0) < 7


# --- two seasons ---


def test_few_false_alarms_over_one_crop(one_season):
    alarms = [case for case in one_season if ask(case) is not None]
    assert len(one_season) > 60
    assert len(alarms) <= 0.03 * len(one_season)


def test_few_false_alarms_where_the_outline_is_a_pixel_too_large(one_season):
    """The strip around the field is made of hedges, tracks and neighbours."""
    given = scene(302)
    fields_of = given.landscape.fields
    wide = np.where(fields_of > 0, fields_of, ndimage.grey_dilation(fields_of, size=3))
    found = cases(given, wide)
    assert sum(ask(case) is not None for case in found) <= 0.03 * len(found)


def test_two_crops_and_two_sowings_are_found(two_parts):
    found = [(case, ask(case)) for case in two_parts]
    hits = [(case, two) for case, two in found if two is not None]
    assert len(two_parts) > 50
    assert len(hits) >= 0.9 * len(two_parts)
    right = [max(np.mean(two.labels == c.second), np.mean(two.labels != c.second))
             for c, two in hits]  # fmt: skip
    assert np.quantile(right, 0.05) >= 0.9
    assert np.median(right) >= 0.96


def test_what_is_told_of_the_parts_is_true():
    case = block(20, 8, HIGH, LOW, LEFT)
    two = ask(case)
    assert np.array_equal(two.labels, case.second)
    assert two.shares == pytest.approx((7 / 20, 13 / 20))
    assert two.medians[0] == pytest.approx(LOW, abs=0.01)
    assert two.medians[1] == pytest.approx(HIGH, abs=0.01)
    assert two.distance == pytest.approx(np.abs(HIGH - LOW).mean(), abs=0.01)
    assert two.unity == 1.0
    assert two.explained > 0.95


def test_the_order_of_the_pixels_changes_nothing():
    case = block(20, 8, HIGH, LOW, LEFT)
    order = np.random.default_rng(3).permutation(len(case.rows))
    mixed = Profiles(case.profiles.values[order], case.profiles.valid[order], case.profiles.dates)
    again = two_seasons(mixed, case.rows[order], case.cols[order])
    assert np.array_equal(again.labels, ask(case).labels[order])
    assert np.array_equal(ask(case).labels, ask(case).labels)


def test_a_field_of_many_pixels_is_thinned_and_labelled_whole():
    where = np.arange(150)[None, :].repeat(150, 0) < 50
    case = block(150, 8, HIGH, LOW, where)
    two = ask(case)
    assert len(two.labels) == 150 * 150
    assert np.mean(two.labels == case.second) > 0.999


def test_scattered_pixels_are_no_part():
    scattered = np.random.default_rng(1).random((20, 20)) < 0.4
    assert ask(block(20, 8, HIGH, LOW, scattered)) is None


def test_a_small_corner_is_no_part():
    corner = np.zeros((20, 20), dtype=bool)
    corner[:7, :7] = True
    assert ask(block(20, 8, HIGH, LOW, corner)) is None


def test_a_smooth_slope_is_no_second_season():
    case = block(20, 8, HIGH, LOW, LEFT)
    slope = np.linspace(-0.15, 0.15, 20)[case.cols][:, None]
    values = (HIGH + slope + np.random.default_rng(0).normal(0, 0.01, (400, 8))).astype("f4")
    even = Profiles(values, np.isfinite(values), case.profiles.dates)
    assert two_seasons(even, case.rows, case.cols) is None


def test_a_cloud_on_half_of_the_field_is_no_second_season():
    """The half under the cloud is filled in, the other half is seen: that is not a difference."""
    bent = np.array([0.2, 0.2, 0.2, 0.9, 0.2, 0.2, 0.2, 0.2])
    case = block(20, 8, bent, bent, LEFT)
    values = case.profiles.values.copy()
    values[case.second, 3] = np.nan
    cloudy = Profiles(values, np.isfinite(values), case.profiles.dates)
    assert two_seasons(cloudy, case.rows, case.cols) is None


def test_a_cloud_that_nobody_marked_is_no_second_season():
    flat = np.full(8, 0.5)
    hidden = flat.copy()
    hidden[3] = -0.4
    assert ask(block(20, 8, flat, hidden, LEFT)) is None


@pytest.mark.parametrize("side", [1, 4, 6])
def test_tiny_fields_are_left_alone(side):
    where = np.zeros((side, side), dtype=bool)
    where[: side // 2] = True
    assert ask(block(side, 8, HIGH, LOW, where)) is None


@pytest.mark.parametrize("dates", [1, 3])
def test_too_few_dates_decide_nothing(dates):
    assert ask(block(20, dates, HIGH[:dates], LOW[:dates], LEFT)) is None


def test_no_pixel_and_no_valid_pixel():
    days = tuple(day(k) for k in range(5))
    nothing = Profiles(np.empty((0, 5), "f4"), np.empty((0, 5), bool), days)
    empty = np.empty(0, dtype=int)
    assert two_seasons(nothing, empty, empty) is None
    rows, cols = (a.ravel() for a in np.indices((20, 20)))
    blind = Profiles(np.full((400, 5), np.nan, "f4"), np.zeros((400, 5), bool), days)
    assert two_seasons(blind, rows, cols) is None


def test_equal_pixels_have_one_season():
    case = block(20, 8, HIGH, HIGH, LEFT)
    values = np.tile(HIGH.astype("f4"), (400, 1))
    same = Profiles(values, np.isfinite(values), case.profiles.dates)
    assert two_seasons(same, case.rows, case.cols, NOTHING_REQUIRED) is None


def test_the_smaller_part_reaches_one_pixel_beyond_the_field():
    case = block(20, 8, HIGH, LOW, LEFT)
    mask, window = smaller_part(ask(case).labels, case.rows + 5, case.cols)
    assert (window.row, window.col, window.height, window.width) == (4, -1, 22, 22)
    assert mask[:, :8].all() and not mask[:, 8:].any()


# --- the season ---


def test_season_of_pixels():
    values = np.array([[0.1, np.nan, 0.3], [0.3, np.nan, 0.5], [0.5, np.nan, 7.0]], "f4")
    valid = np.isfinite(values)
    valid[2, 2] = False
    season = season_of(Profiles(values, valid, (day(0), day(5), day(9))))
    assert season.dates == (dt.date(2022, 1, 1), dt.date(2022, 1, 6), dt.date(2022, 1, 10))
    assert season.median == pytest.approx([0.3, np.nan, 0.4], nan_ok=True)
    assert season.low == pytest.approx([0.14, np.nan, 0.32], nan_ok=True)
    assert season.high == pytest.approx([0.46, np.nan, 0.48], nan_ok=True)
    assert season.valid_share == pytest.approx([1, 0, 2 / 3])
    assert {getattr(season, name).dtype for name in ("median", "low", "high", "valid_share")} == {
        np.dtype(np.float32)
    }


def test_season_of_no_pixel():
    season = season_of(Profiles(np.empty((0, 2), "f4"), np.empty((0, 2), bool), (day(0), day(5))))
    assert np.isnan(season.median).all() and (season.valid_share == 0).all()


def field_season(median: list[float], share: list[float]) -> FieldSeason:
    values = np.array(median, "f4")
    return FieldSeason((day(0), day(5)), values, values, values, np.array(share, "f4"))


def test_the_season_of_a_class_leaves_out_cloudy_dates_of_its_fields():
    given = [field_season([0.2, 0.4], [1, 1]), field_season([0.4, 0.9], [1, 0.3]),
             field_season([0.6, 0.6], [0.5, 1])]  # fmt: skip
    season = class_season(given)
    assert season.median == pytest.approx([0.4, 0.5])
    assert season.valid_share == pytest.approx([1, 2 / 3])
    assert class_season([]) is None
