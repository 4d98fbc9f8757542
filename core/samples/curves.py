"""Curves that stand for classes: median profiles, and medians of look-alike groups.

Every class is described by a few *curves*: its median profile and, where there are enough
profiles, the medians of groups of look-alike profiles. The groups are formed without looking at
the labels and speak for the class that owns most of their labels, so one wrong label in five
does not create a curve of its own, while a crop that is grown in several ways keeps several.

Values are index values (NDVI and its kin, about -1..1) as (n, T) floats, NaN where there is none.
Inputs are never changed.
"""

from __future__ import annotations

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

CHUNK = 65536
"""Profiles compared at a time, which bounds memory to about 50 MB."""


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
    return classes, medians_by_code(np.asarray(values), code, len(classes))


def finite_values(values: np.ndarray) -> np.ndarray:
    """A copy of the values with NaN for everything that is not a number."""
    return np.where(np.isfinite(values), values, np.nan)


def medians_by_code(
    values: np.ndarray, code: np.ndarray, count: int, most: int = 0
) -> np.ndarray:
    """(n, T), (n,) int -> (count, T) medians of the profiles of each code.

    :param most: profiles a code that are looked at, evenly taken; 0: all.
    """
    result = np.full((count, values.shape[1]), np.nan)
    order = np.argsort(code, kind="stable")
    bounds = np.searchsorted(code[order], np.arange(count + 1))
    for position, (start, stop) in enumerate(zip(bounds[:-1], bounds[1:])):
        step = max(1, (stop - start) // most) if most else 1
        result[position] = median_profile(values[order[start:stop:step]])
    return result


def nearest_curve(distance: np.ndarray) -> np.ndarray:
    """(n, c) -> (n,) position of the smallest distance, -1 where all are NaN."""
    filled = np.where(np.isnan(distance), np.inf, distance)
    best = np.argmin(filled, axis=1)
    best[np.isinf(filled[np.arange(len(best)), best])] = -1
    return best


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
    values = finite_values(values)
    classes, code = np.unique(np.asarray(labels), return_inverse=True)
    groups, owner = _owned_groups(values, code, len(classes), min_shared, max_groups)
    # A class that owns groups is described by them: its median may be a mixture of its habits.
    alone = ~np.isin(np.arange(len(classes)), owner)
    medians = np.empty((0, values.shape[1]))
    if alone.any():
        settled = settled_members(values, code, len(classes), min_shared)
        medians = medians_by_code(values[settled], code[settled], len(classes))[alone]
    owner = np.concatenate([np.flatnonzero(alone), owner])
    return ClassCurves(classes, np.vstack([medians, groups]), owner, alone)


def settled_members(
    values: np.ndarray, code: np.ndarray, count: int, min_shared: int
) -> np.ndarray:
    """(n,) bool: the profiles that make their class' median, without those of another class."""
    medians = medians_by_code(values, code, count)
    parts = [values[start : start + CHUNK] for start in range(0, len(values), CHUNK)]
    best = np.concatenate(
        [nearest_curve(mean_absolute_difference(part, medians, min_shared)) for part in parts]
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
    group = nearest_curve(mean_absolute_difference(values[sample], curves, min_shared))
    votes = np.zeros((len(curves), classes), dtype=int)
    np.add.at(votes, (group[group >= 0], code[sample][group >= 0]), 1)
    heard = votes.sum(axis=1) >= MIN_VOTES
    return curves[heard], np.argmax(votes[heard], axis=1)


def _group_curves(values: np.ndarray, count: int, min_shared: int) -> np.ndarray:
    """(n, T) -> (at most count, T) median curves of groups of look-alike profiles.

    The first groups come from halving at medians, which needs no random start and does not
    depend on the order of the profiles; then a few rounds of k-medians.
    """
    curves = np.array([median_profile(part) for part in _halves(values, count)])
    for _ in range(GROUPING_ROUNDS):
        group = nearest_curve(mean_absolute_difference(values, curves, min_shared))
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
