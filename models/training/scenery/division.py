"""Land cut into estates and estates into fields: all pieces of the map are halved at once.

A cut is a straight line in the bent coordinates, along or across the axis of its estate. Only
counts and moments of the pieces are needed, so a round costs a few passes over the open cells
however many pieces there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .canvas import Canvas, Cover
from .style import LandStyle
from .surfaces import CELLS_PER_PIXEL

GAP_COVERS = (Cover.GRASS, Cover.TRACK, Cover.HEDGE, Cover.DITCH, Cover.ROAD, Cover.TREES)
"""What may lie between two fields, in the order of LandStyle.gap_mix."""
GAP_SCALES = (1.0, 0.9, 1.5, 0.8, 1.6, 6.0)
"""Width of each against the scene's typical margin."""
MOST_CUTS = 16
"""Rounds of cutting; enough for the smallest fields in a large scene."""
SAMPLE = 3
MIN_WIDTH = 3.0
"""Narrower pieces are not cut lengthwise any more."""


@dataclass(frozen=True)
class Traits:
    """What pieces hand down to their halves; arrays (n + 1,), index 0 is no piece.

    area: size in square pixels at which cutting stops. slender: length over width.
    block: block of look-alikes, 0 = none.
    """

    area: np.ndarray
    slender: np.ndarray
    block: np.ndarray

    def with_halves(self, cut: np.ndarray) -> Traits:
        """These pieces, followed by the two halves of each piece in `cut`."""
        rows = np.concatenate([np.arange(len(self.area)), np.repeat(cut, 2)])
        return Traits(self.area[rows], self.slender[rows], self.block[rows])


@dataclass(frozen=True)
class CutRule:
    """How cuts are drawn: `gap_mix` are shares of GAP_COVERS; lengths in pixels."""

    spread: float
    tilt: float
    regular: bool
    gap_share: float
    gap_width: float
    gap_mix: np.ndarray
    alike: float


@dataclass(frozen=True)
class _Lines:
    """A line a piece: cells with a * along + b * across > c are the second half; all (n,)."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    half_width: np.ndarray
    cover: np.ndarray


class Divider:
    """Halves the pieces of a canvas until all are small enough.

    along, across: (side, side) float32 coordinates in pixels; cuts follow one or the other.
    """

    def __init__(
        self,
        canvas: Canvas,
        frame: tuple[np.ndarray, np.ndarray],
        traits: Traits,
        rule: CutRule,
    ) -> None:
        self.canvas = canvas
        self.rng = canvas.rng
        self.rule = rule
        self.traits = traits
        self._plots = canvas.plots.reshape(-1)
        self._cells = np.flatnonzero(self._plots)
        self._along, self._across = (axis.reshape(-1)[self._cells] for axis in frame)

    def run(self) -> Traits:
        """Cut; returns the traits of all pieces, by label."""
        for _ in range(MOST_CUTS):
            if not self._cells.size:
                break
            self._halve()
        return self.traits

    def _halve(self) -> None:
        """One round: measure the open pieces, close the small ones, cut the others."""
        ids, piece = compact(self._plots[self._cells], len(self.traits.area))
        count = np.bincount(piece, minlength=len(ids))
        middle, extent = self._measure(piece, len(ids))
        big = self._is_big(ids, count, extent)
        self._found_blocks(ids[big], piece, big, count)
        lines = self._draw_lines(ids, middle, extent)
        self._keep(big[piece])
        self._cut(ids, np.cumsum(big) - 1, big, piece[big[piece]], lines)

    def _measure(self, piece: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Middle and length of the pieces, (2, n): along, across; as of rectangles."""
        # Every third cell tells enough; counting them all is most of the work of a scene.
        piece = piece[::SAMPLE]
        axes = [axis[::SAMPLE] for axis in (self._along, self._across)]
        count = np.maximum(np.bincount(piece, minlength=n), 1)
        middle = np.stack([np.bincount(piece, axis, n) for axis in axes]) / count
        square = np.stack([np.bincount(piece, axis**2, n) for axis in axes])
        return middle, np.sqrt(12 * np.maximum(square / count - middle**2, 1e-6))

    def _is_big(self, ids: np.ndarray, count: np.ndarray, extent: np.ndarray) -> np.ndarray:
        """Which pieces are cut again."""
        scatter = np.exp(self.rng.normal(0.4, self.rule.spread, len(ids)))
        large = count / CELLS_PER_PIXEL**2 > self.traits.area[ids] * scatter
        return large & (extent.max(axis=0) > 2 * MIN_WIDTH)

    def _found_blocks(
        self, big_ids: np.ndarray, piece: np.ndarray, big: np.ndarray, count: np.ndarray
    ) -> None:
        """Let some pieces that are only a few fields large become blocks of look-alikes."""
        area = count[big] / CELLS_PER_PIXEL**2
        few = area < self.rng.uniform(2, 10, len(area)) * self.traits.area[big_ids]
        free = self.traits.block[big_ids] == 0
        # A piece is asked at two or three sizes on its way down.
        chosen = big_ids[free & few & (self.rng.random(len(area)) < self.rule.alike)]
        if chosen.size:
            self.traits.block[chosen] = chosen
            block = self.traits.block[self._plots[self._cells]]
            self.canvas.blocks.reshape(-1)[self._cells] = block

    def _draw_lines(self, ids: np.ndarray, middle: np.ndarray, extent: np.ndarray) -> _Lines:
        """Where to cut each piece, and what lies on the line."""
        n, rng, rule = len(ids), self.rng, self.rule
        slender = self.traits.slender[ids]
        lengthwise = extent[0] < slender * np.exp(rng.normal(0, 0.2, n)) * extent[1]
        lengthwise &= extent[1] > 2 * MIN_WIDTH
        reach = 0.02 if rule.regular else rng.choice([0.1, 0.25])
        tilt = rng.normal(0, 1, n) * rule.tilt * rng.choice([1, 1, 1, 3], n)
        # Strips are nearly parallel, or they would run out into splinters.
        tilt = np.where(lengthwise, tilt / slender, tilt)
        a = np.where(lengthwise, np.sin(tilt), np.cos(tilt))
        b = np.where(lengthwise, np.cos(tilt), np.sin(tilt))
        shift = rng.uniform(-reach, reach, n) * np.where(lengthwise, extent[1], extent[0])
        half_width, cover = self._draw_gaps(ids)
        return _Lines(a, b, a * middle[0] + b * middle[1] + shift, half_width, cover)

    def _draw_gaps(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Half width and cover of the margin on each line."""
        rule, n = self.rule, len(ids)
        kind = self.rng.choice(len(GAP_COVERS), n, p=rule.gap_mix)
        width = rule.gap_width * np.exp(self.rng.normal(0, 0.4, n)) * np.array(GAP_SCALES)[kind]
        cover = np.array(GAP_COVERS)[kind]
        width = np.where(self.rng.random(n) < rule.gap_share, width, 0)
        alike = self.traits.block[ids] > 0
        faint = self.rng.random(n) < 0.5
        width = np.where(alike, np.where(faint, self.rng.uniform(0.5, 1.1, n), 0), width)
        return width / 2, np.where(alike, Cover.FAINT_LINE, cover).astype(np.uint8)

    def _keep(self, open_cells: np.ndarray) -> None:
        """Forget the cells of finished pieces."""
        self._cells = self._cells[open_cells]
        self._along, self._across = self._along[open_cells], self._across[open_cells]

    def _cut(
        self, ids: np.ndarray, rank: np.ndarray, big: np.ndarray, piece: np.ndarray, lines: _Lines
    ) -> None:
        """Give the halves new labels; cells on a line become its cover."""
        a, b, c = (values.astype(np.float32)[piece] for values in (lines.a, lines.b, lines.c))
        offset = a * self._along + b * self._across - c
        labels = len(self.traits.area) + 2 * rank[piece] + (offset > 0)
        margin = np.abs(offset) < lines.half_width.astype(np.float32)[piece]
        self.traits = self.traits.with_halves(ids[big])
        self._plots[self._cells] = np.where(margin, 0, labels)
        self.canvas.cover.reshape(-1)[self._cells[margin]] = lines.cover[piece[margin]]
        self._keep(~margin)


def compact(labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels that occur (ascending), and for each element the index of its label among them."""
    present = np.bincount(labels.ravel(), minlength=count) > 0
    return np.flatnonzero(present), (np.cumsum(present) - 1)[labels]


def divide(canvas: Canvas, style: LandStyle) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut the open land into plots.

    Returns their blocks (n + 1,), and the coordinates along and across the axis of the estate
    in pixels, float32 (side, side).
    """
    canvas.plots[:] = ndimage.label(canvas.cover == Cover.OPEN)[0]
    base = canvas.rng.uniform(0, np.pi)
    estates = _cut_estates(canvas, style, base)
    along, across = _turned(canvas, base + canvas.rng.normal(0, style.turn, estates + 1))
    traits = _field_traits(style, estates, canvas.rng)
    traits = Divider(canvas, (along, across), traits, _field_rule(style)).run()
    ids, canvas.plots[:] = renumber(canvas.plots, len(traits.area))
    return traits.block[ids], along, across


def renumber(labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Close the gaps between labels below `count`: old label of each new one, and new labels.

    0 stays 0 whether it occurs or not.
    """
    present = np.bincount(labels.ravel(), minlength=count) > 0
    present[0] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1).astype(np.int32)[labels]


def _turned(canvas: Canvas, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across the axis of each cell's estate; angles (estates + 1,)."""
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    cos, sin = cos[canvas.plots], sin[canvas.plots]
    x, y = canvas.bent_x, canvas.bent_y
    return x * cos + y * sin, y * cos - x * sin


def _cut_estates(canvas: Canvas, style: LandStyle, angle: float) -> int:
    """Cut the open land along roads and tracks into estates; returns their number."""
    count = int(canvas.plots.max())
    mix = np.array([0.25, 0.2, 0.15, 0.1, 0.2, 0.1])
    rule = CutRule(0.3, style.tilt, style.regular, style.road_share, style.gap_width, mix, 0.0)
    side = style.side * canvas.rng.uniform(1.5, 6)
    none = np.zeros(count + 1, np.int32)
    traits = Traits(np.full(count + 1, side**2), np.full(count + 1, 1.3), none)
    frame = _turned(canvas, np.full(count + 1, angle))
    traits = Divider(canvas, frame, traits, rule).run()
    ids, canvas.plots[:] = renumber(canvas.plots, len(traits.area))
    return len(ids) - 1


def _field_traits(style: LandStyle, estates: int, rng: np.random.Generator) -> Traits:
    """Size and shape of the fields of each estate: alike within it."""
    side = style.side * np.exp(rng.normal(0, 0.2 if style.regular else 0.35, estates + 1))
    slender = style.slender * np.exp(rng.normal(0, 0.05 if style.regular else 0.3, estates + 1))
    # Strips get no narrower than a few pixels, or nobody could tell them apart.
    area = np.maximum(side**2, slender * (1.2 * MIN_WIDTH) ** 2)
    return Traits(area, slender, np.zeros(estates + 1, np.int32))


def _field_rule(style: LandStyle) -> CutRule:
    return CutRule(
        style.spread,
        style.tilt,
        style.regular,
        style.gap_share,
        style.gap_width,
        style.gap_mix,
        style.alike,
    )
