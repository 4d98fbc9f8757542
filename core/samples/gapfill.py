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
    filled = np.where(valid, values, np.nan).astype(np.float32, copy=False)
    interpolated = np.zeros(valid.shape, dtype=bool)
    gappy = np.flatnonzero(~valid.all(axis=1))
    before, after = _neighbours(valid[gappy])
    inside = ~valid[gappy] & (before >= 0) & (after < valid.shape[1])
    row, col = np.nonzero(inside)
    left, right = before[row, col], after[row, col]
    bridged = days[right] - days[left] <= max_gap_days
    row, col, left, right = gappy[row[bridged]], col[bridged], left[bridged], right[bridged]
    share = (days[col] - days[left]) / (days[right] - days[left])
    start, stop = values[row, left], values[row, right]
    filled[row, col] = start + share * (stop - start)
    interpolated[row, col] = True
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
    positions = np.arange(count, dtype=np.int32)
    before = np.maximum.accumulate(np.where(valid, positions, np.int32(-1)), axis=1)
    backwards = np.where(valid, positions, np.int32(count))[:, ::-1]
    after = np.minimum.accumulate(backwards, axis=1)[:, ::-1]
    return before, after
