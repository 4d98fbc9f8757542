"""Which labels disagree with the time series?

A profile's distance to a class is its mean absolute difference to the nearest curve of the
class (`curves`), over the dates valid in both; the *margin* is the distance to the nearest other
class minus the distance to its own. A negative margin says: another class fits better.

The order of the profiles does not matter and inputs are never changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .curves import (
    CHUNK,
    MAX_GROUPS,
    MIN_SHARED,
    ClassCurves,
    class_curves,
    finite_values,
    mean_absolute_difference,
    median_profile,
    medians_by_code,
    nearest_curve,
    settled_members,
)

LEAVE_OUT_BELOW = 30
"""In classes with fewer members a profile is left out of the median it is compared with."""

MIN_ACCUSERS = 3
"""With fewer members a class does not speak against a larger one."""

VOICES = 500
"""Profiles of one source that make its median; more only cost time."""


@dataclass(frozen=True)
class Agreement:
    """How well each profile agrees with its label."""

    own_distance: np.ndarray
    """(n,) float32, mean absolute difference to the own class; NaN where unknown."""
    margin: np.ndarray
    """(n,) float32, nearest other class minus own class; negative: another class fits better."""
    nearest_class: np.ndarray
    """(n,) label of the class that fits best; the own label where the margin is unknown."""


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
    values, labels = finite_values(values), np.asarray(labels)
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
    return compare_classes(distance, code, classes, np.bincount(voter_code))


def _voters(
    values: np.ndarray, code: np.ndarray, sources: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Who makes the curves: profiles (v, T), their codes (v,), and the voter of each row (n,)."""
    if sources is None:
        return values, code, np.arange(len(values))
    _, source = np.unique(np.asarray(sources), return_inverse=True)
    pairs, voter = np.unique(np.stack([source, code]), axis=1, return_inverse=True)
    voter = voter.reshape(-1)
    return medians_by_code(values, voter, pairs.shape[1], VOICES), pairs[1], voter


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
    settled = settled_members(values, code, len(sizes), min_shared) if small.size else None
    for position in small:
        members = settled & (code == position)
        for profile in np.flatnonzero(code == position):
            others = members.copy()
            others[profile] = False
            yield profile, median_profile(values[others])


def compare_classes(
    distance: np.ndarray, code: np.ndarray, classes: np.ndarray, voters: np.ndarray
) -> Agreement:
    """(n, k) class distances, own codes (n,), voters of each class (k,) -> Agreement."""
    rows = np.arange(len(code))
    own = distance[rows, code]
    # One or two stray profiles do not speak against a class of many.
    unheard = voters < np.minimum(voters, MIN_ACCUSERS)[:, None]
    others = np.where(unheard[code], np.nan, distance)
    others[rows, code] = np.nan
    other = nearest_curve(others)
    margin = np.where(other >= 0, others[rows, other], np.nan) - own
    best = np.where(margin < 0, other, code)
    return Agreement(own, margin.astype(np.float32), classes[best])
