"""The points that a simplified arc may pass through.

Pixels turn a straight boundary into a staircase. Its corners lie to both sides of the boundary,
but the middle of a step of one pixel lies on it, so steps give way to their middles before
anything is simplified: outlines then lean to neither side and straight lines come out straight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from .arcs import Arcs

UNIT = 256.0
"""Coordinates of paths are whole numbers of this fraction of a pixel."""
_HALF = int(UNIT) // 2

Directions = Tuple[np.ndarray, ...]
"""(n,) int32 along x and along y."""


@dataclass(frozen=True)
class Paths:
    """The exact course of all arcs, with the middles of their steps as further points."""

    x: np.ndarray
    y: np.ndarray
    """(n,) int32 in units of 1 / UNIT pixels."""
    starts: np.ndarray
    """(arcs + 1,) int64: where the points of each arc start, and the end."""
    corner: np.ndarray
    """(n,) bool: a corner of the exact course; middles are not."""
    candidate: np.ndarray
    """(n,) bool: corners that are part of no step, and middles."""

    @property
    def ends(self) -> np.ndarray:
        """(n,) bool: first and last points of arcs, which never move."""
        ends = np.zeros(len(self.x), dtype=bool)
        ends[self.starts[:-1]] = ends[self.starts[1:] - 1] = True
        return ends


def exact_paths(arcs: Arcs) -> Paths:
    """The arcs as they are."""
    every = np.ones(len(arcs.x), dtype=bool)
    return Paths(arcs.x * int(UNIT), arcs.y * int(UNIT), arcs.starts, every, every)


def movable_paths(arcs: Arcs, middles: bool) -> Paths:
    """Arcs to be simplified; none touches another but at nodes.

    Corners that are pinches are cut off by one unit: they become two points.

    :param middles: put the middles of steps in; otherwise the candidates are the corners.
    """
    arrives, leaves = _directions(arcs)
    step = _steps(arcs, arrives, leaves) if middles else np.zeros(len(arcs.x), dtype=bool)
    at_step = step.copy()
    at_step[1:] |= step[:-1]
    cut = arcs.pinch.copy()
    cut[arcs.starts[:-1]] = cut[arcs.starts[1:] - 1] = False
    count = 1 + cut.astype(np.int8) + step
    place = np.cumsum(count) - count
    size = int(count.sum())
    second, middle = place[cut] + 1, place[step] + 1 + cut[step]
    x, y = np.empty(size, dtype=np.int32), np.empty(size, dtype=np.int32)
    for axis, (out, values) in enumerate(((x, arcs.x), (y, arcs.y))):
        exact, inwards, onwards = values * int(UNIT), arrives[axis], leaves[axis]
        # A closed arc that starts at a pinch starts inside its own pixel.
        out[place] = exact - np.where(arcs.pinch, inwards, 0)
        out[place] += np.where(arcs.pinch & ~cut, onwards, 0)
        out[second] = (exact + onwards)[cut]
        out[middle] = (exact + _HALF * onwards)[step]
    corner = np.ones(size, dtype=bool)
    corner[middle] = False
    candidate = ~corner
    candidate[place] = ~at_step
    return Paths(x, y, np.append(place[arcs.starts[:-1]], size), corner, candidate)


def _directions(arcs: Arcs) -> Tuple[Directions, Directions]:
    """How the arcs come to each point and go on from it: -1, 0 or 1 along x and along y.

    At the ends of an arc the other end stands for what lies beyond, as in closed arcs.
    """
    leaves = tuple(np.sign(np.diff(values, append=values[-1:])) for values in (arcs.x, arcs.y))
    first, last = arcs.starts[:-1], arcs.starts[1:] - 1
    for axis in leaves:
        axis[last] = axis[first]
    arrives = tuple(np.roll(axis, 1) for axis in leaves)
    for axis in arrives:
        axis[first] = axis[last]
    return arrives, leaves


def _steps(arcs: Arcs, arrives: Directions, leaves: Directions) -> np.ndarray:
    """(n,) bool: the segment from each point is one pixel long, and the arc goes on beyond it as
    it came."""
    length = sum(np.abs(np.diff(values, append=values[-1:])) for values in (arcs.x, arcs.y))
    step = length == 1
    for came, goes in zip(arrives, leaves):
        step &= came == np.roll(goes, -1)
    first, last = arcs.starts[:-1], arcs.starts[1:] - 1
    # The first and the last segment of an arc come from, or go on to, somewhere else.
    step[first] = step[last] = step[last - 1] = False
    return step
