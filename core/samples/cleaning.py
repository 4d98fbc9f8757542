"""Cleaning: which candidates have a time series like their reference's, and why others fail."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from ..monitor import SILENT, Monitor
from .distances import Metric, distances, within
from .gapfill import fill_gaps
from .profiles import Profiles

_FEWEST_DATES = 6
"""Valid dates a profile needs at least, or half of all dates where there are fewer than 12."""


class Reason(str, Enum):
    """Why a pixel or a reference is not among the samples; the value is written into outputs."""

    sentence: str
    """What the reason means, for people."""

    def __new__(cls, value: str, sentence: str) -> Reason:
        """A text with a sentence to it."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    DISTANCE = "distance", "profile differs from the reference's by more than the limit"
    FEW_DATES = "few_dates", "too few valid dates"
    CONFLICT = "conflict", "references of different classes claim the pixel"
    DUPLICATE = "duplicate", "another reference of the class claims the pixel and is closer"
    SUSPICIOUS = "suspicious_reference", "the reference agrees with another class"
    THINNED = "thinned", "left out to keep to the number or the spacing"
    MARGIN = "other_class_nearer", "profile is closer to another class than to its own"
    OUTSIDE = "outside_image", "lies outside the images"
    NO_CLASS = "no_class", "has no class"
    NO_POINT = "no_point", "has no single point"
    SAME_PIXEL = "same_pixel", "another reference of the class lies in the same pixel"
    CONTRADICTION = (
        "contradicting_references",
        "a reference of another class lies in the same pixel",
    )
    NO_FIELD = "no_field", "the segmenter found no field here"


@dataclass(frozen=True)
class CleaningOptions:
    """How candidates are compared with references."""

    metric: Metric = Metric.MEAN
    max_distance: float = 0.05
    """Index units for `mean` and `dtw`, summed index units for `sum` and `fastdtw`."""
    shift_days: float = 15.0
    """Half width of the band of `dtw`."""
    min_valid_share: float = 0.4
    """Share of the dates that must be valid, 0..1."""
    max_gap_days: float = 60.0
    """Longest gap between two valid dates that is filled."""


@dataclass(frozen=True)
class Prepared:
    """Profiles with their gaps filled."""

    filled: np.ndarray
    """(n, T) float32, NaN where there is no value."""
    interpolated: np.ndarray
    """(n, T) bool."""
    n_valid: np.ndarray
    """(n,) int, observed dates."""
    n_interpolated: np.ndarray
    """(n,) int, filled dates."""
    days: np.ndarray
    """(T,) float64."""

    @property
    def dates(self) -> int:
        """Number of dates T."""
        return len(self.days)

    def take(self, rows: np.ndarray) -> Prepared:
        """The profiles at some rows."""
        return Prepared(
            self.filled[rows],
            self.interpolated[rows],
            self.n_valid[rows],
            self.n_interpolated[rows],
            self.days,
        )


def prepare(profiles: Profiles, max_gap_days: float) -> Prepared:
    """Fill the gaps of profiles and count what was observed and what was filled."""
    filled, _, interpolated = fill_gaps(
        profiles.values, profiles.valid, profiles.days, max_gap_days
    )
    return Prepared(
        filled,
        interpolated,
        profiles.valid.sum(axis=1),
        interpolated.sum(axis=1),
        profiles.days,
    )


def dates_needed(dates: int, share: float) -> int:
    """Valid dates a profile needs: the share asked for, and 6 (half of T where T < 12).

    Specification A6, defect 10. At least 1.
    """
    return max(math.ceil(share * dates), min(_FEWEST_DATES, math.ceil(dates / 2)), 1)


@dataclass(frozen=True)
class Comparison:
    """Candidates against their references."""

    distance: np.ndarray
    """(n,) float64, NaN where nothing could be compared."""
    few_dates: np.ndarray
    """(n,) bool."""
    alike: np.ndarray
    """(n,) bool: enough dates and within the limit."""


def compare(
    candidates: Prepared,
    references: np.ndarray,
    owner: np.ndarray,
    options: CleaningOptions,
    monitor: Monitor = SILENT,
) -> Comparison:
    """Compare candidates with the profiles they belong to.

    :param references: (r, T) float32 filled profiles, NaN where there is no value.
    :param owner: (n,) int, row of each candidate's reference.
    """
    needed = dates_needed(candidates.dates, options.min_valid_share)
    distance, shared = distances(
        options.metric,
        candidates.filled,
        references,
        owner,
        candidates.days,
        options.shift_days,
        monitor,
    )
    few = (candidates.n_valid < needed) | (shared < needed)
    with np.errstate(invalid="ignore"):
        alike = ~few & within(options.metric, distance, options.max_distance)
    return Comparison(distance, few, alike)
