"""Which pixels of a raster hold data."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np


def has_data(stored: np.ndarray, nodata: Sequence[Optional[float]]) -> np.ndarray:
    """(h, w) bool: not every band says no data, and every band is a number.

    :param stored: (bands, h, w) of any number type.
    :param nodata: one value a band, or None.
    """
    empty = np.zeros(stored.shape[1:], dtype=bool)
    values = [value for value in nodata if value is not None and not np.isnan(value)]
    if len(values) == len(nodata):
        empty = np.all([band == value for band, value in zip(stored, values)], axis=0)
    return ~empty & np.isfinite(stored).all(axis=0) if stored.dtype.kind == "f" else ~empty
