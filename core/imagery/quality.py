"""Quality codes: which pixels of a dated image can be believed."""

from __future__ import annotations

from typing import FrozenSet

import numpy as np

from ..errors import ParameterError

DEFAULT_INVALID = frozenset((0, 1, 3, 8, 9, 10, 11))
"""SCL no data, saturated, cloud shadow, cloud (medium, high), cirrus, snow (specification A6)."""


def parse_invalid_codes(text: str) -> FrozenSet[int]:
    """Read `0,1,3,8` into codes; an empty text means that every code is valid.

    :raises ParameterError: where a part is not a whole number.
    """
    parts = [part.strip() for part in text.replace(";", ",").split(",") if part.strip()]
    try:
        return frozenset(int(part) for part in parts)
    except ValueError as error:
        raise ParameterError(
            f"INVALID_QA: cannot read '{text}'; write whole numbers like 0,1,3,8,9,10,11."
        ) from error


def valid_codes(codes: np.ndarray, invalid: FrozenSet[int]) -> np.ndarray:
    """Bool array: the code is not one of the invalid ones."""
    if not invalid:
        return np.ones(codes.shape, dtype=bool)
    return ~np.isin(codes, sorted(invalid))
