"""Which labels disagree with the time series?

Every class is described by a few *curves*: its median profile and, where there are enough
profiles, the medians of groups of look-alike profiles. The groups are formed without looking at
the labels and speak for the class that owns most of their labels, so one wrong label in five
does not create a curve of its own, while a crop that is grown in several ways keeps several.
A profile's distance to a class is its mean absolute difference to the nearest curve of the
class, over the dates valid in both; the *margin* is the distance to the nearest other class
minus the distance to its own. A negative margin says: another class fits better.

References, the few labelled points that everything else grows from, are judged one against all
others instead (`suspicious_references`), because a handful of curves is no statistic:

    A reference is suspicious when its curve is clearly closer to another class than to its own
    (1.5 times and 0.02 index units), and is an outlier in its own class but not in the other.
    A reference never votes for itself; a class with fewer than three references, or one whose
    members differ among themselves just as much, raises no alarm.

Values are index values (NDVI and its kin, about -1..1) as (n, T) floats, NaN where there is none.
Inputs are never changed, and the order of the profiles does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

MIN_SHARED = 6
"""Dates that two curves must share before their distance means anything (or all, if fewer)."""

MAX_GROUPS = 64
"""Groups of look-alike profiles at most."""

PROFILES_PER_GROUP = 40
"""Profiles per group on average; with fewer, a majority of labels is left to chance."""

MIN_GROUPS = 4
"""With fewer groups than this, class medians alone describe the classes."""

MIN_VOTES = 8
"""A group with fewer labels speaks for nobody."""

GROUPING_SAMPLE = 4096
"""Profiles that form the groups and vote in them; more only cost time."""

GROUPING_ROUNDS = 8
"""Rounds of "assign to the nearest curve, take the median" after the first split."""

LEAVE_OUT_BELOW = 30
"""In classes with fewer members a profile is left out of the median it is compared with."""

MIN_ACCUSERS = 3
"""With fewer members a class does not speak against a larger one."""

CHUNK = 65536
"""Profiles compared at a time, which bounds memory to about 50 MB."""


@dataclass(frozen=True)
class Agreement:
    """How well each profile agrees with its label."""

    own_distance: np.ndarray
    """(n,) float32, mean absolute difference to the own class; NaN where unknown."""
    margin: np.ndarray
    """(n,) float32, nearest other class minus own class; negative: another class fits better."""
    nearest_class: np.ndarray
    """(n,) label of the class that fits best; the own label where the margin is unknown."""


@dataclass(frozen=True)
class ClassCurves:
    """The curves that describe the classes."""

    classes: np.ndarray
    """(k,) sorted labels."""
    curves: np.ndarray
    """(c, T) float64, NaN where a curve has no value."""
    owner: np.ndarray
    """(c,) int, position in `classes` of the class that a curve speaks for."""
    alone: np.ndarray
    """(k,) bool, the class owns no group: its median is its only curve."""


@dataclass(frozen=True)
class Verdict:
    """What the other references say about each reference."""

    suspicious: np.ndarray
    """(r,) bool, the label is probably wrong."""
    margin: np.ndarray
    """(r,) float32, nearest other class minus own class; NaN without evidence."""
    nearest_class: np.ndarray
    """(r,) label of the class that fits best; the own label where the margin is unknown."""


# --- distances and medians ------------------------------------------------------------------


def mean_absolute_difference(
    values: np.ndarray, curves: np.ndarray, min_shared: int = MIN_SHARED
) -> np.ndarray:
    """Mean absolute difference over the dates valid in both.

    values: (n, T), curves: (c, T), NaN = no value. Returns (n, c) float64, NaN where fewer
    than `min_shared` dates (all T, if T is smaller) are shared.
    """
    known, given = np.isfinite(values), np.isfinite(curves)
    left = np.where(known, values, 0.0).astype(np.float64)
    right = np.where(given, curves, 0.0).astype(np.float64)
    # With zeros in the gaps, a date missing on one side adds exactly the other side's |value|.
    total = cdist(left, right, "cityblock")
    total -= (~known).astype(np.float64) @ np.abs(right).T
    total -= np.abs(left) @ (~given).astype(np.float64).T
    shared = known.astype(np.float64) @ given.astype(np.float64).T
    total = np.maximum(total, 0.0) / np.maximum(shared, 1.0)
    needed = max(1, min(min_shared, values.shape[1]))
    total[shared < needed] = np.nan
    return total


def median_profile(values: np.ndarray) -> np.ndarray:
    """(m, T) -> (T,) float64 median of the valid values of each date, NaN where there is none.

    Like numpy.nanmedian, without its warnings and several times faster on short stacks.
    """
    dates = np.arange(values.shape[1])
    count = np.isfinite(values).sum(axis=0)
    if not count.any():
        return np.full(values.shape[1], np.nan)
    ordered = np.sort(np.where(np.isfinite(values), values, np.nan), axis=0)
    low = ordered[np.maximum(count - 1, 0) // 2, dates].astype(np.float64)
    high = ordered[np.minimum(count // 2, len(values) - 1), dates].astype(np.float64)
    return np.where(count > 0, (low + high) / 2, np.nan)


def class_medians(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median profile of each class.

    values: (n, T), labels: (n,) ints or strings. Returns the sorted classes (k,) and their
    medians (k, T) float64.
    """
    classes, code = np.unique(np.asarray(labels), return_inverse=True)
    return classes, _medians(np.asarray(values), code, len(classes))


def _finite(values: np.ndarray) -> np.ndarray:
    """A copy of the values with NaN for everything that is not a number."""
    return np.where(np.isfinite(values), values, np.nan)


def _medians(values: np.ndarray, code: np.ndarray, count: int) -> np.ndarray:
    """(n, T), (n,) int -> (count, T) medians of the profiles of each code."""
    result = np.full((count, values.shape[1]), np.nan)
    order = np.argsort(code, kind="stable")
    ends = np.cumsum(np.bincount(code, minlength=count))
    for position, members in enumerate(np.split(order, ends[:-1])):
        result[position] = median_profile(values[members])
    return result


def _nearest(distance: np.ndarray) -> np.ndarray:
    """(n, c) -> (n,) position of the smallest distance, -1 where all are NaN."""
    filled = np.where(np.isnan(distance), np.inf, distance)
    best = np.argmin(filled, axis=1)
    best[np.isinf(filled[np.arange(len(best)), best])] = -1
    return best


# --- groups of look-alike profiles ----------------------------------------------------------


def _group_curves(values: np.ndarray, count: int, min_shared: int) -> np.ndarray:
    """(n, T) -> (at most count, T) median curves of groups of look-alike profiles.

    The first groups come from halving at medians, which needs no random start and does not
    depend on the order of the profiles; then a few rounds of k-medians.
    """
    curves = np.array([median_profile(part) for part in _halves(values, count)])
    for _ in range(GROUPING_ROUNDS):
        group = _nearest(mean_absolute_difference(values, curves, min_shared))
        sizes = np.bincount(group[group >= 0], minlength=len(curves))
        members = [values[group == position] for position in np.flatnonzero(sizes)]
        if not members:
            break
        curves = np.array([median_profile(part) for part in members])
    return curves


def _even_sample(values: np.ndarray, size: int) -> np.ndarray:
    """(n, T) -> at most `size` positions, evenly along the profiles' sums, whatever their order."""
    if len(values) <= size:
        return np.arange(len(values))
    order = np.argsort(np.nansum(values, axis=1, dtype=np.float64), kind="stable")
    return order[np.linspace(0, len(values) - 1, size).astype(int)]


def _halves(values: np.ndarray, count: int) -> list[np.ndarray]:
    """Halve the profiles again and again until there are at least count / 2 + 1 parts."""
    parts = [values]
    while 2 * len(parts) <= count:
        halves = [half for part in parts for half in _halve(part)]
        if len(halves) == len(parts):
            break
        parts = halves
    return parts


def _halve(part: np.ndarray) -> list[np.ndarray]:
    """Split at the median of the date on which the profiles differ most."""
    known = np.isfinite(part)
    often = known.sum(axis=0) * 2 > len(part)
    if not often.any():
        return [part]
    low, high = np.nanpercentile(part[:, often], (10, 90), axis=0)
    column = part[:, np.flatnonzero(often)[np.argmax(high - low)]]
    middle = np.nanmedian(column)
    upper = np.where(np.isnan(column), middle, column) >= middle
    return [part[~upper], part[upper]] if upper.any() and not upper.all() else [part]


# --- agreement of many profiles --------------------------------------------------------------


def class_curves(
    values: np.ndarray,
    labels: np.ndarray,
    *,
    min_shared: int = MIN_SHARED,
    max_groups: int = MAX_GROUPS,
) -> ClassCurves:
    """The curves of each class: the medians of the groups it owns, or else its own median.

    values: (n, T), labels: (n,). `max_groups` 0 asks for class medians alone.
    """
    values = _finite(values)
    classes, code = np.unique(np.asarray(labels), return_inverse=True)
    groups, owner = _owned_groups(values, code, len(classes), min_shared, max_groups)
    # A class that owns groups is described by them: its median may be a mixture of its habits.
    alone = ~np.isin(np.arange(len(classes)), owner)
    medians = np.empty((0, values.shape[1]))
    if alone.any():
        settled = _settled(values, code, len(classes), min_shared)
        medians = _medians(values[settled], code[settled], len(classes))[alone]
    owner = np.concatenate([np.flatnonzero(alone), owner])
    return ClassCurves(classes, np.vstack([medians, groups]), owner, alone)


def _settled(values: np.ndarray, code: np.ndarray, count: int, min_shared: int) -> np.ndarray:
    """(n,) bool: the profiles that make their class' median, without those of another class."""
    medians = _medians(values, code, count)
    best = np.concatenate(
        [
            _nearest(mean_absolute_difference(values[start : start + CHUNK], medians, min_shared))
            for start in range(0, len(values), CHUNK)
        ]
    )
    fits = best == code
    share = np.bincount(code[fits], minlength=count) / np.bincount(code, minlength=count)
    # A class that would lose half its members has no clear core: all of them stay.
    return fits | (share <= 0.5)[code]


def _owned_groups(
    values: np.ndarray, code: np.ndarray, classes: int, min_shared: int, max_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Group curves (g, T) and the class (g,) that owns most labels of each."""
    count = min(max_groups, len(values) // PROFILES_PER_GROUP)
    if count < MIN_GROUPS:
        return np.empty((0, values.shape[1])), np.empty(0, dtype=int)
    sample = _even_sample(values, GROUPING_SAMPLE)
    curves = _group_curves(values[sample], count, min_shared)
    group = _nearest(mean_absolute_difference(values[sample], curves, min_shared))
    votes = np.zeros((len(curves), classes), dtype=int)
    np.add.at(votes, (group[group >= 0], code[sample][group >= 0]), 1)
    heard = votes.sum(axis=1) >= MIN_VOTES
    return curves[heard], np.argmax(votes[heard], axis=1)


def agreement(
    values: np.ndarray,
    labels: np.ndarray,
    *,
    sources: np.ndarray | None = None,
    min_shared: int = MIN_SHARED,
    max_groups: int = MAX_GROUPS,
) -> Agreement:
    """Compare every profile with the curves of its own class and of the others.

    values: (n, T) float, NaN where there is no value. labels: (n,) ints or strings.
    sources: (n,) what each profile was grown from (the reference id of a generated sample);
    then every source counts once, however many profiles it has.
    min_shared: fewer shared dates give NaN. max_groups: 0 asks for class medians alone.
    """
    values, labels = _finite(values), np.asarray(labels)
    if len(labels) == 0:
        nothing = np.empty(0, dtype=np.float32)
        return Agreement(nothing, nothing.copy(), labels.copy())
    classes, code = np.unique(labels, return_inverse=True)
    voters, voter_code, voter = _voters(values, code, sources)
    curves = class_curves(voters, voter_code, min_shared=min_shared, max_groups=max_groups)
    distance = _class_distances(values, curves, min_shared)
    for position, curve in _left_out(voters, voter_code, curves, min_shared):
        rows = np.flatnonzero(voter == position)
        own = mean_absolute_difference(values[rows], curve[None], min_shared)
        distance[rows, voter_code[position]] = own[:, 0]
    return _compare(distance, code, classes, np.bincount(voter_code))


def _voters(
    values: np.ndarray, code: np.ndarray, sources: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Who makes the curves: profiles (v, T), their codes (v,), and the voter of each row (n,)."""
    if sources is None:
        return values, code, np.arange(len(values))
    _, source = np.unique(np.asarray(sources), return_inverse=True)
    pairs, voter = np.unique(np.stack([source, code]), axis=1, return_inverse=True)
    voter = voter.reshape(-1)
    return _medians(values, voter, pairs.shape[1]), pairs[1], voter


def _class_distances(values: np.ndarray, curves: ClassCurves, min_shared: int) -> np.ndarray:
    """(n, k) float32 distance of each profile to the nearest curve of each class, or NaN."""
    result = np.full((len(values), len(curves.classes)), np.nan, dtype=np.float32)
    for start in range(0, len(values), CHUNK):
        part = slice(start, start + CHUNK)
        distance = mean_absolute_difference(values[part], curves.curves, min_shared)
        for position in np.unique(curves.owner):
            nearest = np.fmin.reduce(distance[:, curves.owner == position], axis=1)
            result[part, position] = nearest
    return result


def _left_out(
    values: np.ndarray, code: np.ndarray, curves: ClassCurves, min_shared: int
) -> Iterator[tuple[int, np.ndarray]]:
    """For each profile of a small class, its position and the class median without it."""
    sizes = np.bincount(code, minlength=len(curves.classes))
    small = np.flatnonzero(curves.alone & (sizes < LEAVE_OUT_BELOW))
    settled = _settled(values, code, len(sizes), min_shared) if small.size else None
    for position in small:
        members = settled & (code == position)
        for profile in np.flatnonzero(code == position):
            others = members.copy()
            others[profile] = False
            yield profile, median_profile(values[others])


def _compare(
    distance: np.ndarray, code: np.ndarray, classes: np.ndarray, voters: np.ndarray
) -> Agreement:
    """(n, k) class distances, own codes (n,), voters of each class (k,) -> Agreement."""
    rows = np.arange(len(code))
    own = distance[rows, code]
    # One or two stray profiles do not speak against a class of many.
    unheard = voters < np.minimum(voters, MIN_ACCUSERS)[:, None]
    others = np.where(unheard[code], np.nan, distance)
    others[rows, code] = np.nan
    other = _nearest(others)
    margin = np.where(other >= 0, others[rows, other], np.nan) - own
    best = np.where(margin < 0, other, code)
    return Agreement(own, margin.astype(np.float32), classes[best])


# --- a few references ------------------------------------------------------------------------

RATIO = 1.5
"""The own class must be this many times as far as the other class."""

MIN_MARGIN = 0.02
"""... and this much farther, in index units: less is noise."""

OUTLIER = 1.5
"""... and this many times as far from its own class as that class' members usually are."""

FOREIGN = 2.5
"""A reference farther than this from the other class, in its members' usual distances, belongs
to neither: the nearer one proves nothing."""

NO_DOUBT = 3.0
"""... unless its own class is this many times as far as the other one."""

ROWS_AT_ONCE = 1024
"""References compared with all others at a time."""


def suspicious_references(
    values: np.ndarray, labels: np.ndarray, *, min_shared: int = MIN_SHARED
) -> Verdict:
    """Which references disagree with all the others. The rule is at the top of this module.

    values: (r, T) float, NaN where there is no value; r up to a few thousand. labels: (r,).
    """
    values, labels = _finite(values), np.asarray(labels)
    classes, code = np.unique(labels, return_inverse=True)
    if len(labels) == 0:
        return Verdict(np.empty(0, bool), np.empty(0, np.float32), labels.copy())
    distance = _reference_distances(values, code, len(classes), min_shared)
    distance[:, np.bincount(code) < MIN_ACCUSERS] = np.nan
    found = _compare(distance.astype(np.float32), code, classes, np.bincount(code))
    return Verdict(_is_suspicious(distance, code), found.margin, found.nearest_class)


def _reference_distances(
    values: np.ndarray, code: np.ndarray, classes: int, min_shared: int
) -> np.ndarray:
    """(r, k) float64 distance of each reference to each class, itself left out."""
    distance = mean_absolute_difference(values, _medians(values, code, classes), min_shared)
    sizes = np.bincount(code, minlength=classes)
    for reference in np.flatnonzero(sizes[code] < LEAVE_OUT_BELOW):
        others = code == code[reference]
        others[reference] = False
        curve = median_profile(values[others])[None]
        own = mean_absolute_difference(values[[reference]], curve, min_shared)
        distance[reference, code[reference]] = own[0, 0]
    for start in range(0, len(values), ROWS_AT_ONCE):
        part = np.arange(start, min(start + ROWS_AT_ONCE, len(values)))
        mutual = mean_absolute_difference(values[part], values, min_shared)
        mutual[part - start, part] = np.nan
        for position in range(classes):
            alike = _distance_of_a_quarter(mutual[:, code == position])
            distance[part, position] = np.fmin(distance[part, position], alike)
    return distance


def _distance_of_a_quarter(mutual: np.ndarray) -> np.ndarray:
    """(r, m) distances to the members of a class -> (r,) how far its nearest quarter reaches.

    A class of many crops ("other") has no meaningful median, but a good reference of it has
    look-alikes. Two at least, so that one wrong label does not excuse another.
    """
    count = np.isfinite(mutual).sum(axis=1)
    rank = np.maximum(2, np.ceil(count / 4).astype(int)) - 1
    ordered = np.sort(mutual, axis=1)
    reach = ordered[np.arange(len(ordered)), np.minimum(rank, mutual.shape[1] - 1)]
    return np.where(rank < count, reach, np.nan)


def _is_suspicious(distance: np.ndarray, code: np.ndarray) -> np.ndarray:
    """(r, k) class distances, (r,) codes -> (r,) bool."""
    rows = np.arange(len(code))
    own = distance[rows, code]
    usual = np.array([_median(own[code == position]) for position in range(distance.shape[1])])
    others = distance.copy()
    others[rows, code] = np.nan
    other = _nearest(others)
    nearest = np.where(other >= 0, others[rows, other], np.nan)
    clearly = (own > RATIO * nearest) & (own > nearest + MIN_MARGIN)
    outlier = own > OUTLIER * usual[code]
    foreign = (nearest > FOREIGN * usual[other]) & (own < NO_DOUBT * nearest)
    return clearly & outlier & ~foreign


def _median(numbers: np.ndarray) -> float:
    """Median of the numbers that are not NaN; NaN where there is none."""
    known = numbers[np.isfinite(numbers)]
    return float(np.median(known)) if known.size else float("nan")
