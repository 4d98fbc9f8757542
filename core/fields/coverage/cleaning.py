"""Small and thin pieces of a raster of labels given to their neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ...monitor import SILENT, Monitor
from .runs import Runs, joined, runs_of
from .widths import wide_pixels


def cleaned_labels(
    labels: np.ndarray, least_pixels: int, least_width: float, monitor: Monitor = SILENT
) -> np.ndarray:
    """Labels without pieces that are too small or too thin to be fields.

    Pieces are 4-connected. One of fewer than `least_pixels`, or that holds no disc of
    `least_width` anywhere, goes to the field that it shares the longest border with; to no field
    where it touches none. Pieces that touch only pieces that go as well follow those.

    A piece that is wide enough somewhere keeps its necks: without them it would be two fields
    with something else between. Spurs of more than `least_width` squared pixels go to what they
    share the longest border with, be it no field; smaller ones are but corners, and stay.

    :param labels: (H, W) int32, 0 where there is no field, never less.
    :param least_pixels: 1 or less: any number.
    :param least_width: in pixels, rounded up; 1 or less: any width.
    :return: (H, W) int32, a new array.
    :raises Cancelled:
    """
    width = max(1, math.ceil(least_width))
    if not labels.size or (least_pixels <= 1 and width <= 1):
        return labels.copy()
    wide = wide_pixels(labels, width, monitor.part(0.0, 0.5)) if width > 1 else None
    runs = runs_of(labels, wide, monitor.part(0.5, 0.9))
    number = runs.pieces()
    pieces = _Pieces.of(runs, number)
    group, spur = pieces.bodies(width)
    bodies = pieces.joined_as(group)
    values = bodies.resolved(least_pixels, np.bincount(group, spur) > 0)
    return np.repeat(values[group[number]], runs.lengths).reshape(labels.shape)


@dataclass(frozen=True)
class _Pieces:
    """Pieces of a raster and the borders between them."""

    label: np.ndarray
    """(n,) int32; 0: no field."""
    size: np.ndarray
    """(n,) int64 pixels."""
    wide: np.ndarray
    """(n,) bool: it holds a disc of the least width."""
    one: np.ndarray
    other: np.ndarray
    """(m,) int64: pieces that share a border, each pair both ways round."""
    border: np.ndarray
    """(m,) float64 length in pixels."""

    @classmethod
    def of(cls, runs: Runs, number: np.ndarray) -> _Pieces:
        """:param number: (runs,) piece of each run."""
        count = int(number.max()) + 1
        label, wide = np.empty(count, runs.values.dtype), np.empty(count, bool)
        label[number], wide[number] = runs.values, runs.marks
        beside = np.flatnonzero(runs.starts[1:] % runs.shape[1] != 0)
        one = number[np.concatenate((runs.upper, beside))]
        other = number[np.concatenate((runs.lower, beside + 1))]
        border = np.concatenate((runs.shared, np.ones(len(beside), dtype=runs.shared.dtype)))
        size = np.bincount(number, runs.lengths).astype(np.int64)
        return cls(label, size, wide, *_summed(one, other, border, count))

    def bodies(self, width: int) -> Tuple[np.ndarray, np.ndarray]:
        """(n,) the body that each piece belongs to, and (n,) bool whether it is a spur.

        Pieces of one label that touch differ in width: bodies are wide pieces with their corners
        and necks. Spurs are bodies of their own.
        """
        own = self.label[self.one] == self.label[self.other]
        touched = np.bincount(self.one[own], minlength=len(self.label))
        spur = ~self.wide & (touched == 1) & (self.size > width * width)
        holds = own & ~spur[self.one] & ~spur[self.other]
        return joined(self.one[holds], self.other[holds], len(self.label)), spur

    def joined_as(self, group: np.ndarray) -> _Pieces:
        """The pieces with those of one group as one."""
        count = int(group.max()) + 1
        label = np.empty(count, self.label.dtype)
        label[group] = self.label
        size = np.bincount(group, self.size).astype(np.int64)
        wide = np.bincount(group, self.wide) > 0
        borders = _summed(group[self.one], group[self.other], self.border, count, both=False)
        return _Pieces(label, size, wide, *borders)

    def resolved(self, least_pixels: int, spur: np.ndarray) -> np.ndarray:
        """(n,) the label that each piece ends up with.

        :param spur: (n,) bool.
        """
        goes = (self.label > 0) & (~self.wide | (self.size < least_pixels))
        bare = goes & spur & self._mostly_bare()
        values = np.where(bare, 0, self.label)
        waits = goes & ~bare
        while True:
            taker = ~waits[self.other] & (values[self.other] > 0)
            taker &= waits[self.one] & (values[self.other] != self.label[self.one])
            at = np.flatnonzero(taker)
            if not at.size:
                return np.where(waits, 0, values)
            at = at[np.lexsort((self.border[at], self.one[at]))]
            longest = at[np.append(np.diff(self.one[at]) != 0, True)]
            values[self.one[longest]] = values[self.other[longest]]
            waits[self.one[longest]] = False

    def _mostly_bare(self) -> np.ndarray:
        """(n,) bool: the border with what is no field is longer than that with any other field."""
        theirs, own = self.label[self.other], self.label[self.one]
        bare, count = theirs == 0, len(self.label)
        without = np.bincount(self.one[bare], self.border[bare], count)
        field = ~bare & (theirs != own)
        most = np.zeros(count)
        np.maximum.at(most, self.one[field], self.border[field])
        return without > most


def _summed(
    one: np.ndarray, other: np.ndarray, border: np.ndarray, count: int, both: bool = True
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Borders of each pair of pieces added up.

    :param both: put each pair both ways round.
    """
    apart = one != other
    one, other, border = one[apart].astype(np.int64), other[apart], border[apart]
    keys = one * count + other
    if both:
        keys = np.concatenate((keys, other.astype(np.int64) * count + one))
        border = np.concatenate((border, border))
    pairs, at = np.unique(keys, return_inverse=True)
    first, second = np.divmod(pairs, count)
    return first, second, np.bincount(at, border, len(pairs))
