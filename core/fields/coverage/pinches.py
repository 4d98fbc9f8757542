"""Places where two fields meet at nothing but a corner, and what is no field passes between them.

Gaps one pixel wide that run at a slant are made of such places, pixel after pixel. Taken as nodes
they would tie both fields to every corner of the staircase, so the ground between is taken to be
connected, and each field gets the corner for itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Tuple

import numpy as np

from .corners import Corners, Segments
from .runs import Runs

_ALL_FOUR = 15


def opened_pinches(
    corners: Corners, segments: Segments, runs: Runs, pieces: np.ndarray
) -> Tuple[Corners, Segments]:
    """Corners and segments with a twin, at the end of the list, for each corner that is a pinch.

    Where a piece meets itself it stays a node: its outline must not touch itself.
    """
    full = np.flatnonzero(corners.edges == _ALL_FOUR)
    above = (corners.y[full].astype(np.int64) - 1) * runs.shape[1] + corners.x[full]
    below = above + runs.shape[1]
    north_west, north_east, south_west, south_east = (
        runs.at(flat) for flat in (above - 1, above, below - 1, below)
    )
    bare = runs.values == 0
    falling = bare[north_east] & bare[south_west]
    rising = bare[north_west] & bare[south_east]
    upper = pieces[np.where(falling, north_west, north_east)]
    lower = pieces[np.where(falling, south_east, south_west)]
    pinch = (falling | rising) & (upper != lower)
    return _with_twins(corners, segments, full[pinch], falling[pinch])


def _with_twins(
    corners: Corners, segments: Segments, at: np.ndarray, falling: np.ndarray
) -> Tuple[Corners, Segments]:
    """The lower field's segments go to the twins.

    :param falling: (pinches,) bool: the fields lie to the upper left and the lower right.
    """
    count = len(corners.x)
    twin = np.full(count, -1, dtype=np.int32)
    twin[at] = np.arange(count, count + len(at))
    sideways = np.zeros(count, dtype=np.int8)
    sideways[at] = np.where(falling, 0, 2)

    def moved(ends: np.ndarray, leaving: np.ndarray) -> np.ndarray:
        lower = (leaving == 1) | (leaving == sideways[ends])
        return np.where(lower & (twin[ends] >= 0), twin[ends], ends)

    node, pinch = corners.node.copy(), np.zeros(count, dtype=bool)
    node[at], pinch[at] = False, True
    doubled = np.concatenate((np.arange(count), at))
    opened = Corners(
        corners.x[doubled],
        corners.y[doubled],
        corners.edges[doubled],
        node[doubled],
        pinch[doubled],
    )
    tail = moved(segments.tail, segments.direction)
    head = moved(segments.head, (segments.direction + 2) % 4)
    return opened, replace(segments, tail=tail, head=head)
