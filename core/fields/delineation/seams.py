"""Joining the fields of tiles to fields of the scene.

Each tile decides about the pixels of its core. Two pieces that meet at a seam become one field
where both tiles see the same there: where their IoU in the strip that both have looked at is over
one half, or where nothing but the seam divides them: neither tile sees an edge there. What else
only one of two tiles sees ends at the seam. A scrap is what a tile knows only the end of: where
the other tile sees most of it as a field of its own, the scrap goes to that one.
Everything follows from the records in the order of the lattice, never from the order of work.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Callable, Dict, FrozenSet, Iterator, List, Sequence, Tuple

import numpy as np

from ...imagery.grid import Window
from ...monitor import SILENT, Monitor
from .tile_records import TileRecord
from .tiling import Tile, neighbours, within

LEAST_IOU = 0.5
_FAINT = 0.5
"""Where the chance of an edge is lower, rather nothing divides fields."""
_NEAR = 2
"""Pixels on both sides of a seam where an edge counts as one at the seam."""
_MOST = 0.5
"""Share of the way that two pieces have along a seam."""
_SCRAP = 0.25
"""A piece with a smaller share of its pixels on its own side of the seam is a scrap there."""

Records = Callable[[Tile], TileRecord]


@dataclass(frozen=True)
class SceneFields:
    """Numbers of the n fields of a scene; position k belongs to label k + 1."""

    pixels: np.ndarray
    """(n,) int64."""
    round: np.ndarray
    """(n,) int32, of the largest piece."""
    score: np.ndarray
    """(n,) float32; this and the following are means over the pieces, by their pixels."""
    stability: np.ndarray
    edge_ratio: np.ndarray
    entropy: np.ndarray
    refined: np.ndarray
    """(n,) bool, any piece."""


@dataclass(frozen=True)
class _Strip:
    """What two tiles see around their seam, on the same pixels; turned so that the seam is upright
    and the first tile on the left of it."""

    here: np.ndarray
    """(h, w) int32, labels of the first tile."""
    there: np.ndarray
    """(h, w) int32, labels of the second one."""
    edges: np.ndarray
    """(h, w) float32 0..1: chance that a field ends, the mean of what both see."""
    seam: int
    """First column of the second tile's side; 0 where they share nothing."""

    @property
    def sides(self) -> Tuple[np.ndarray, np.ndarray]:
        """(h,) labels on both sides of the seam, pixel beside pixel; empty where there is none."""
        if not 0 < self.seam < self.here.shape[1]:
            return np.empty(0, np.int32), np.empty(0, np.int32)
        return self.here[:, self.seam - 1], self.there[:, self.seam]


def joined(
    tiles: Sequence[Tile], records: Records, labels: np.ndarray, monitor: Monitor = SILENT
) -> SceneFields:
    """Write the labels of a scene and work out the numbers of its fields.

    :param tiles: of one lattice; those without a record's pixel may be left out.
    :param records: of a tile; asked several times.
    :param labels: (H, W) int32 of the scene, all 0, of any kind of array; 1..n are written.
    :raises Cancelled:
    """
    numbers = _Numbers(tiles, records)
    pairs = list(neighbours(tiles))
    scraps: Dict[int, Tuple[int, int]] = {}
    ends = lru_cache(maxsize=None)(lambda tile: _small_ends(tile, records(tile)))
    for done, (first, second) in enumerate(pairs):
        monitor.check()
        strip = _strip(first, second, records)
        for one, other in {*_same(strip), *_cut(strip)}:
            numbers.unite(numbers.of(first, one), numbers.of(second, other))
        for scrap, size, owner in _scraps(first, second, strip, ends, numbers):
            if size > scraps.get(scrap, (0, 0))[0]:
                scraps[scrap] = size, owner
        monitor.progress(0.5 * (done + 1) / len(pairs))
    final = numbers.final({scrap: owner for scrap, (_, owner) in scraps.items()})
    return _written(tiles, records, labels, final, numbers, monitor.part(0.5, 1))


class _Numbers:
    """One number for each piece of each tile, and which of them are one field."""

    def __init__(self, tiles: Sequence[Tile], records: Records) -> None:
        counts = [records(tile).count for tile in tiles]
        starts = [0, *np.cumsum(counts, dtype=np.int64).tolist()]
        self._start = {(tile.row, tile.col): start for tile, start in zip(tiles, starts)}
        self._parent = list(range(starts[-1]))

    def of(self, tile: Tile, label: int) -> int:
        """The number of a tile's label, which is 1 or more."""
        return self._start[tile.row, tile.col] + label - 1

    def root(self, number: int) -> int:
        """The least number of the same field."""
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number

    def unite(self, one: int, other: int) -> None:
        """Both are one field; the smaller number stands for it, so the order does not matter."""
        low, high = sorted((self.root(one), self.root(other)))
        self._parent[high] = low

    def final(self, scraps: Dict[int, int]) -> np.ndarray:
        """(numbers,) int64: what stands for each piece; a scrap goes to its owner."""
        roots = np.array([self.root(k) for k in range(len(self._parent))], dtype=np.int64)
        size = np.bincount(roots, minlength=len(roots)) if len(roots) else roots
        for scrap, owner in scraps.items():
            # One that was joined is a part of a field, and an owner must not move itself.
            if size[roots[scrap]] == 1 and owner not in scraps:
                roots[scrap] = roots[owner]
        return roots


def _overlap(one: Window, other: Window) -> Window:
    top, left = max(one.row, other.row), max(one.col, other.col)
    bottom = min(one.row + one.height, other.row + other.height)
    right = min(one.col + one.width, other.col + other.width)
    return Window(top, left, max(0, bottom - top), max(0, right - left))


def _strip(first: Tile, second: Tile, records: Records) -> _Strip:
    shared = _overlap(first.area, second.area)
    places = [(records(tile), within(shared, tile.area)) for tile in (first, second)]
    here, there = (record.labels[place] for record, place in places)
    both = (record.edges[place] for record, place in places)
    edges = np.mean([each.astype(np.float32) for each in both], axis=0) / 255
    if first.row == second.row:
        return _Strip(here, there, edges, second.core.col - shared.col)
    return _Strip(here.T, there.T, edges.T, second.core.row - shared.row)


def _same(strip: _Strip) -> Iterator[Tuple[int, int]]:
    """Pairs of labels that are the same field and meet at the seam."""
    meeting = _counted(*strip.sides)
    if not meeting:
        return
    both = _counted(strip.here, strip.there)
    sizes_here = np.bincount(strip.here.ravel())
    sizes_there = np.bincount(strip.there.ravel())
    for (one, other), shared in both.items():
        union = sizes_here[one] + sizes_there[other] - shared
        if (one, other) in meeting and shared > LEAST_IOU * union:
            yield one, other


def _cut(strip: _Strip) -> Iterator[Tuple[int, int]]:
    """Pairs of labels that nothing but the seam divides, most of the way that either has along
    it."""
    one, other = strip.sides
    ways = np.bincount(one), np.bincount(other)
    near = strip.edges[: len(one), max(strip.seam - _NEAR, 0) : strip.seam + _NEAR]
    open_ways = _counted(np.where((near < _FAINT).all(axis=1), one, 0), other)
    for (label, facing), length in open_ways.items():
        if length >= _MOST * min(ways[0][label], ways[1][facing]):
            yield label, facing


def _counted(one: np.ndarray, other: np.ndarray) -> Dict[Tuple[int, int], int]:
    """How often each pair of labels above 0 lies on one another."""
    found = (one > 0) & (other > 0)
    width = int(other.max(initial=0)) + 1
    both = one[found].astype(np.int64) * width + other[found]
    pairs, counts = np.unique(both, return_counts=True)
    return {
        (int(pair // width), int(pair % width)): int(count) for pair, count in zip(pairs, counts)
    }


def _scraps(
    first: Tile,
    second: Tile,
    strip: _Strip,
    ends: Callable[[Tile], FrozenSet[int]],
    numbers: _Numbers,
) -> List[Tuple[int, int, int]]:
    """Number of a scrap, pixels of it that another field has, number of that field."""
    found = []
    for own, owner, mine, theirs in (
        (first, second, strip.here, strip.there),
        (second, first, strip.there, strip.here),
    ):
        best: Dict[int, Tuple[int, int]] = {}
        for (one, other), shared in _counted(mine, theirs).items() if ends(own) else ():
            if one in ends(own) and shared > best.get(one, (0, 0))[0]:
                best[one] = shared, other
        sizes = np.bincount(mine.ravel())
        for one, (shared, other) in best.items():
            if shared > LEAST_IOU * sizes[one] and other not in ends(owner):
                found.append((numbers.of(own, one), shared, numbers.of(owner, other)))
    return found


def _small_ends(tile: Tile, record: TileRecord) -> FrozenSet[int]:
    """Labels of pieces that lie on the tile's core with a small part only."""
    whole = np.bincount(record.labels.ravel(), minlength=record.count + 1)
    core = np.bincount(record.labels[tile.core_in_area].ravel(), minlength=record.count + 1)
    return frozenset(np.flatnonzero((core > 0) & (core < _SCRAP * whole)).tolist())


def _written(
    tiles: Sequence[Tile],
    records: Records,
    labels: np.ndarray,
    final: np.ndarray,
    numbers: _Numbers,
    monitor: Monitor,
) -> SceneFields:
    """Number the fields that own a pixel by their first tile, write them, sum up their numbers."""
    order: Dict[int, int] = {}
    sums = _Sums()
    for done, tile in enumerate(tiles):
        monitor.check()
        record = records(tile)
        core = record.labels[tile.core_in_area]
        counts = np.bincount(core.ravel(), minlength=record.count + 1)
        table = np.zeros(record.count + 1, np.int32)
        for label in np.flatnonzero(counts[1:]) + 1:
            root = int(final[numbers.of(tile, int(label))])
            place = order.setdefault(root, len(order))
            table[label] = place + 1
            sums.add(place, int(counts[label]), record, int(label) - 1)
        labels[tile.core.slices] = table[core]
        monitor.progress((done + 1) / len(tiles))
    return sums.fields(len(order))


class _Sums:
    """Rows of pieces, to be summed up by field."""

    def __init__(self) -> None:
        self._rows: List[Tuple[float, ...]] = []

    def add(self, place: int, pixels: int, record: TileRecord, k: int) -> None:
        """A piece with so many pixels is a part of a field."""
        self._rows.append(
            (
                place, pixels, record.round[k], record.refined[k], record.score[k],
                record.stability[k], record.edge_ratio[k], record.entropy[k],
            )
        )  # fmt: skip

    def fields(self, count: int) -> SceneFields:
        """The numbers of all fields."""
        rows = np.array(self._rows, dtype=np.float64).reshape(-1, 8)
        place, weight = rows[:, 0].astype(np.int64), rows[:, 1]
        pixels = np.bincount(place, weight, count)

        def mean(column: int) -> np.ndarray:
            return (np.bincount(place, weight * rows[:, column], count) / pixels).astype(np.float32)

        largest = np.zeros(count, np.int32)
        by_size = np.argsort(weight, kind="stable")
        largest[place[by_size]] = rows[by_size, 2]
        refined = np.bincount(place, rows[:, 3], count) > 0
        return SceneFields(
            pixels.astype(np.int64), largest, mean(4), mean(5), mean(6), mean(7), refined
        )
