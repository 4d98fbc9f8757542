"""Gap filling: values between two valid dates, linear in days (specification A6, defect 11)."""

from __future__ import annotations

from typing import Tuple

import numpy as np

UNLIMITED = float("inf")


def fill_gaps(
    values: np.ndarray, valid: np.ndarray, days: np.ndarray, max_gap_days: float
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fill gaps that are not too long; what lies before the first or after the last valid date
    stays empty.

    :param values: (n, T) float; only valid entries are looked at. Not changed.
    :param valid: (n, T) bool.
    :param days: (T,) ascending day numbers.
    :param max_gap_days: longest distance between two valid dates that is bridged.
    :returns: filled (n, T) float32 with NaN where there is no value, available (n, T) bool
        (valid or filled), interpolated (n, T) bool (filled only).
    """
    before, after = _neighbours(valid)
    inside = (before >= 0) & (after < valid.shape[1])
    first, last = np.maximum(before, 0), np.minimum(after, valid.shape[1] - 1)
    gap = days[last] - days[first]
    interpolated = ~valid & inside & (gap <= max_gap_days)
    filled = np.where(valid, values, np.nan).astype(np.float32)
    row, col = np.nonzero(interpolated)
    left, right = first[row, col], last[row, col]
    share = (days[col] - days[left]) / (days[right] - days[left])
    start, stop = values[row, left], values[row, right]
    filled[row, col] = start + share * (stop - start)
    return filled, valid | interpolated, interpolated


def extend(values: np.ndarray, available: np.ndarray) -> np.ndarray:
    """Hold the first and last available value outwards, so that every date has one.

    :param values: (n, T) float, NaN where not available.
    :returns: (n, T); rows without any available value stay NaN.
    """
    before, after = _neighbours(available)
    nearest = np.where(before >= 0, before, np.minimum(after, values.shape[1] - 1))
    return np.where(available, values, np.take_along_axis(values, nearest, axis=1))


def _neighbours(valid: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Positions of the nearest valid entry at or before (-1: none) and at or after (T: none)."""
    count = valid.shape[1]
    positions = np.arange(count)
    before = np.maximum.accumulate(np.where(valid, positions, -1), axis=1)
    after = np.minimum.accumulate(np.where(valid, positions, count)[:, ::-1], axis=1)[:, ::-1]
    return before, after
