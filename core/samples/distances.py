"""Distances between profiles.

`mean` is the mean absolute difference over the dates that both profiles have. `sum` is the sum
of absolute differences: the very distance of the reference system, whose dynamic time warping
runs on (position, value) pairs and therefore never warps (specification A5). `dtw` is dynamic
time warping on values with a band in days, divided by the number of dates so that a limit
means the same as for `mean`. `fastdtw` calls the fastdtw library the way the reference system
does.
"""

from __future__ import annotations

from enum import Enum
from importlib import util
from typing import Tuple

import numpy as np

from ..errors import ParameterError
from ..monitor import SILENT, Monitor
from .gapfill import extend

_ROWS_AT_ONCE = 20_000
"""Candidates handled at once: a few tens of megabytes, and cancelling stays quick."""


class Metric(str, Enum):
    """The ways to compare a candidate's profile with its reference's."""

    MEAN = "mean"
    SUM = "sum"
    DTW = "dtw"
    FASTDTW = "fastdtw"


def distances(
    metric: Metric,
    candidates: np.ndarray,
    references: np.ndarray,
    owner: np.ndarray,
    days: np.ndarray,
    shift_days: float,
    monitor: Monitor = SILENT,
) -> Tuple[np.ndarray, np.ndarray]:
    """Distance of each candidate to its own reference.

    :param candidates: (n, T) float32 gap-filled values, NaN where there is none.
    :param references: (r, T) likewise.
    :param owner: (n,) int, the row of each candidate's reference.
    :param days: (T,) ascending day numbers.
    :param shift_days: half width of the band of `dtw`.
    :returns: (n,) float64 distance, NaN without a shared date, and (n,) int shared dates.
    """
    found = np.full(len(candidates), np.nan)
    shared = np.zeros(len(candidates), dtype=np.int64)
    for start in range(0, len(candidates), _ROWS_AT_ONCE):
        monitor.check()
        part = slice(start, start + _ROWS_AT_ONCE)
        a, b = candidates[part], references[owner[part]]
        both = np.isfinite(a) & np.isfinite(b)
        shared[part] = both.sum(axis=1)
        found[part] = _by_metric(metric, a, b, both, days, shift_days, monitor)
    found[shared == 0] = np.nan
    return found, shared


def similarity(metric: Metric, distance: np.ndarray, dates: int) -> np.ndarray:
    """1 / (1 + d) with d on the scale of the reference system's sum (specification A3, 12)."""
    per_series = dates if metric in (Metric.MEAN, Metric.DTW) else 1
    return 1.0 / (1.0 + distance * per_series)


def within(metric: Metric, distance: np.ndarray, limit: float) -> np.ndarray:
    """Whether a distance is small enough; strictly below the limit for the reference system's."""
    if metric in (Metric.SUM, Metric.FASTDTW):
        return distance < limit
    return distance <= limit


def require(metric: Metric) -> None:
    """Stop where a metric cannot run here.

    :raises ParameterError:
    """
    if metric is Metric.FASTDTW and util.find_spec("fastdtw") is None:
        raise ParameterError(
            "METRIC: fastdtw needs the Python package fastdtw, which is not installed; use 'sum', "
            "which makes the same decisions."
        )


def dtw(a: np.ndarray, b: np.ndarray, days: np.ndarray, shift_days: float) -> np.ndarray:
    """Exact dynamic time warping on values within a band, for all rows at once.

    Steps are one date on in either profile or both; the cost of a pair is the absolute
    difference; pairs further apart than the band are forbidden (Sakoe and Chiba 1978).

    :param a: (n, T) float, complete.
    :param b: (n, T) float, complete.
    :returns: (n,) float64 cost of the cheapest path.
    """
    left = np.ascontiguousarray(a.T, dtype=np.float64)
    right = np.ascontiguousarray(b.T, dtype=np.float64)
    first = np.searchsorted(days, days - shift_days, side="left")
    last = np.searchsorted(days, days + shift_days, side="right")
    above: dict = {}
    for i in range(len(days)):
        here: dict = {}
        for j in range(first[i], last[i]):
            before = [above[k] for k in (j - 1, j) if k in above]
            before += [here[j - 1]] if j - 1 in here else []
            if before or i == j == 0:
                here[j] = np.abs(left[i] - right[j]) + (_smallest(before) if before else 0)
        above = here
    return above[len(days) - 1]


def _smallest(steps: list) -> np.ndarray:
    best = steps[0]
    for step in steps[1:]:
        best = np.minimum(best, step)
    return best


def _by_metric(
    metric: Metric,
    a: np.ndarray,
    b: np.ndarray,
    both: np.ndarray,
    days: np.ndarray,
    shift_days: float,
    monitor: Monitor,
) -> np.ndarray:
    dates = len(days)
    if metric is Metric.DTW:
        complete = extend(a, np.isfinite(a)), extend(b, np.isfinite(b))
        return dtw(complete[0], complete[1], days, shift_days) / dates
    if metric is Metric.FASTDTW:
        return np.array([_fastdtw(x, y, m, monitor) for x, y, m in zip(a, b, both)])
    difference = np.abs(a - b)
    if not both.all():
        difference[~both] = 0
    with np.errstate(invalid="ignore", divide="ignore"):
        total, shared = difference.sum(axis=1, dtype=np.float64), both.sum(axis=1)
        return total / shared if metric is Metric.MEAN else total * (dates / shared)


def _fastdtw(a: np.ndarray, b: np.ndarray, both: np.ndarray, monitor: Monitor) -> float:
    """The reference system's call: (position, value) pairs, Euclidean, radius 1."""
    from fastdtw import fastdtw  # an optional package, wanted by this metric only
    from scipy.spatial.distance import euclidean

    monitor.check()
    if not both.any():
        return np.nan
    positions = np.arange(1, both.sum() + 1)
    pairs = [np.column_stack((positions, values[both])) for values in (a, b)]
    return fastdtw(pairs[0], pairs[1], dist=euclidean)[0] * len(both) / both.sum()
