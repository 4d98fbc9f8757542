"""Which references disagree with all the others?

References, the few labelled points that everything else grows from, are judged one against all
others, because a handful of curves is no statistic:

    A reference is suspicious when its curve is clearly closer to another class than to its own
    (1.5 times and 0.02 index units), and is an outlier in its own class but not in the other
    (unless its own class is three times as far as the other). A reference never votes for
    itself; a class with fewer than three references, or one whose members differ among
    themselves just as much, raises no alarm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .agreement import LEAVE_OUT_BELOW, MIN_ACCUSERS, compare_classes
from .curves import (
    MIN_SHARED,
    finite_values,
    mean_absolute_difference,
    median_profile,
    medians_by_code,
    nearest_curve,
)

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


@dataclass(frozen=True)
class Verdict:
    """What the other references say about each reference."""

    suspicious: np.ndarray
    """(r,) bool, the label is probably wrong."""
    margin: np.ndarray
    """(r,) float32, nearest other class minus own class; NaN without evidence."""
    nearest_class: np.ndarray
    """(r,) label of the class that fits best; the own label where the margin is unknown."""


def suspicious_references(
    values: np.ndarray, labels: np.ndarray, *, min_shared: int = MIN_SHARED
) -> Verdict:
    """Which references disagree with all the others. The rule is at the top of this module.

    values: (r, T) float, NaN where there is no value; r up to a few thousand. labels: (r,).
    """
    values, labels = finite_values(values), np.asarray(labels)
    classes, code = np.unique(labels, return_inverse=True)
    if len(labels) == 0:
        return Verdict(np.empty(0, bool), np.empty(0, np.float32), labels.copy())
    distance = _reference_distances(values, code, len(classes), min_shared)
    distance[:, np.bincount(code) < MIN_ACCUSERS] = np.nan
    found = compare_classes(distance.astype(np.float32), code, classes, np.bincount(code))
    return Verdict(_is_suspicious(distance, code), found.margin, found.nearest_class)


def _reference_distances(
    values: np.ndarray, code: np.ndarray, classes: int, min_shared: int
) -> np.ndarray:
    """(r, k) float64 distance of each reference to each class, itself left out."""
    distance = mean_absolute_difference(values, medians_by_code(values, code, classes), min_shared)
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
    other = nearest_curve(others)
    nearest = np.where(other >= 0, others[rows, other], np.nan)
    clearly = (own > RATIO * nearest) & (own > nearest + MIN_MARGIN)
    outlier = own > OUTLIER * usual[code]
    foreign = (nearest > FOREIGN * usual[other]) & (own < NO_DOUBT * nearest)
    return clearly & outlier & ~foreign


def _median(numbers: np.ndarray) -> float:
    """Median of the numbers that are not NaN; NaN where there is none."""
    known = numbers[np.isfinite(numbers)]
    return float(np.median(known)) if known.size else float("nan")
