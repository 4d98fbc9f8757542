"""Quantiles of profiles, as reports draw them."""

from __future__ import annotations

from typing import Optional

import numpy as np

_SHOWN = (10, 50, 90)


def quantiles(values: np.ndarray) -> Optional[np.ndarray]:
    """10, 50 and 90 % of each date.

    :param values: (n, T) float, NaN where there is no value.
    :returns: (3, T) float64, NaN on dates without any value; None without rows.
    """
    if len(values) == 0:
        return None
    known = np.isfinite(values).any(axis=0)
    found = np.full((3, values.shape[1]), np.nan)
    found[:, known] = np.nanpercentile(values[:, known], _SHOWN, axis=0)
    return found
