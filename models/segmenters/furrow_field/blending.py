"""The best mask of a prompt, with what those that are nearly as good say about its rim.

Several levels and looks see the same field with errors of their own. Where they are about equally
good, most of them are right about a pixel more often than the best alone.
"""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np

from ..odds import chance
from .candidates import Candidates
from .field_masks import Frame, upsampled

_SHARPNESS = 12
"""A mask weighs as its score to this power: two with .8 and .76 as 1 to .54."""
_NEGLIGIBLE = 0.02
"""Masks that weigh less beside the best are passed over."""


def blended(
    candidates: Candidates, scores: np.ndarray, shape: Tuple[int, int]
) -> Tuple[np.ndarray, Frame]:
    """The pixels that most of the good masks hold, by their weight.

    :param scores: (m,) float 0..1, the expected IoU; not all of them 0.
    :param shape: height and width of the image in pixels.
    :return: (h, w) bool, and its rows and columns in the image.
    """
    weights = (scores / scores.max()) ** _SHARPNESS
    used = np.flatnonzero(weights >= _NEGLIGIBLE)
    parts = [upsampled(candidates.logits[k], candidates.decodes[k], shape) for k in used]
    rows, columns = (_around([frame[axis] for _, frame in parts]) for axis in (0, 1))
    votes = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
    for weight, (values, (own_rows, own_columns)) in zip(weights[used], parts):
        if values.size:
            own = votes[_within(own_rows, rows), _within(own_columns, columns)]
            own += np.float32(weight) * chance(values)
    return votes > weights[used].sum() / 2, (rows, columns)


def _around(ranges: Sequence[slice]) -> slice:
    """The range that holds all that are not empty."""
    filled = [one for one in ranges if one.stop > one.start]
    if not filled:
        return slice(0, 0)
    return slice(min(one.start for one in filled), max(one.stop for one in filled))


def _within(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)
