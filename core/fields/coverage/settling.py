"""How finely each stretch of an arc is drawn: as coarse as asked for, finer where that would do
harm."""

from __future__ import annotations

import numpy as np

from ...monitor import SILENT, Monitor
from .arcs import Arcs, doubled_areas
from .candidates import UNIT, Paths, movable_paths
from .conflicts import Lines, disordered, lines_of, sweeping_over
from .ragged import spans
from .simplification import Tolerances, significances

_FINER = 0.25
"""The finer tolerance as a share of the one asked for."""
_EXACT = 2
"""Levels: 0 is as asked for, 1 finer, 2 exact."""
_AREA_CHANGE = 0.1
"""A piece whose area would change by more than this share of it is drawn more finely."""


class Drawing:
    """Arcs to be simplified: how finely each of their points is drawn, and which are kept then."""

    def __init__(
        self, arcs: Arcs, simplify: float, straighten: float, monitor: Monitor = SILENT
    ) -> None:
        self._arcs = arcs
        self.paths: Paths = movable_paths(arcs, middles=simplify > 0)
        self._limits = np.array([simplify, simplify * _FINER, np.inf], dtype=np.float32)
        tolerances = Tolerances(simplify, straighten, simplify * _FINER)
        self._significance = significances(self.paths, tolerances, monitor)
        self._levels = np.zeros(len(self.paths.x), dtype=np.uint8)
        self._reach = UNIT * (max(simplify, straighten) + 1)

    def settle(self, monitor: Monitor = SILENT) -> np.ndarray:
        """Draw more finely until nothing crosses and no area changes too much.

        :return: (n,) bool: the points that are kept then.
        :raises Cancelled:
        """
        kept, before = self._kept(), np.zeros(len(self.paths.x), dtype=bool)
        harmful = ~before
        while True:
            lines = lines_of(self.paths, kept)
            fresh = _any_between(lines, harmful)
            bad = self._sweeping(lines, fresh, kept, kept & ~before, monitor)
            bad |= self._astray(lines, kept)
            harmful = self._levels < _EXACT
            harmful &= self._between(lines, bad) | self._misshapen(kept)
            if not harmful.any():
                return kept
            self._levels[harmful] += 1
            before, kept = kept, self._kept()

    def _kept(self) -> np.ndarray:
        coarse = self._significance > self._limits[self._levels]
        return coarse | ((self._levels == _EXACT) & self.paths.corner)

    def _sweeping(
        self, lines: Lines, fresh: np.ndarray, kept: np.ndarray, new: np.ndarray, monitor: Monitor
    ) -> np.ndarray:
        """(lines,) bool: lines that sweep over vertices, where lines or vertices are new.

        :param fresh: (lines,) bool; others were fine with all vertices that are not new.
        """
        found = np.zeros(len(fresh), dtype=bool)
        for which, vertices in ((fresh, kept), (~fresh, new)):
            found[which] = sweeping_over(
                self.paths, lines.taken(which), np.flatnonzero(vertices), self._reach, monitor
            )
        return found

    def _astray(self, lines: Lines, kept: np.ndarray) -> np.ndarray:
        """(lines,) bool: lines that leave nodes in the wrong order."""
        ends = disordered(self.paths, self._arcs, kept)
        return np.isin(lines.first, ends) | np.isin(lines.last, ends)

    def _between(self, lines: Lines, which: np.ndarray) -> np.ndarray:
        """(n,) bool: the points that some lines replace."""
        found = np.zeros(len(self.paths.x), dtype=bool)
        first, last = lines.first[which], lines.last[which]
        found[spans(first + 1, last - first - 1)] = True
        return found

    def _misshapen(self, kept: np.ndarray) -> np.ndarray:
        """(n,) bool: points of arcs of pieces whose area changes too much."""
        at = np.flatnonzero(kept)
        starts = np.searchsorted(at, self.paths.starts)
        drawn = doubled_areas(self.paths.x[at], self.paths.y[at], starts) / (2 * UNIT**2)
        exact = doubled_areas(self._arcs.x, self._arcs.y, self._arcs.starts) / 2
        change, size = self._by_piece(drawn - exact), self._by_piece(exact)
        wrong = np.abs(change) > _AREA_CHANGE * size
        arcs = wrong[self._arcs.left_piece + 1] | wrong[self._arcs.right_piece + 1]
        return np.repeat(arcs, np.diff(self.paths.starts))

    def _by_piece(self, areas: np.ndarray) -> np.ndarray:
        """Areas of pieces from what each arc adds on its left; the first entry stays 0."""
        left, right = self._arcs.left_piece + 1, self._arcs.right_piece + 1
        count = max(left.max(initial=0), right.max(initial=0)) + 1
        sums = np.bincount(left, areas, count) - np.bincount(right, areas, count)
        sums[0] = 0.0
        return sums


def _any_between(lines: Lines, points: np.ndarray) -> np.ndarray:
    """(lines,) bool: one of the points that a line replaces is among some.

    :param points: (n,) bool.
    """
    passed = np.cumsum(points)
    return passed[lines.last - 1] > passed[lines.first]
