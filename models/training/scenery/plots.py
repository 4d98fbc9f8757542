"""From cut land to plots as farmers have them: joined, round, rounded; some of them no field."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from .canvas import Canvas, Cover
from .division import renumber
from .style import LandStyle
from .surfaces import CELLS_PER_PIXEL

MIN_AREA = 14.0
"""Smaller scraps of land, in square pixels, are left as grass."""
MIN_THICKNESS = 2.2
"""Mean width of the narrowest plots in pixels."""


class Use(IntEnum):
    """What grows on a plot."""

    CROP = 0
    PASTURE = 1
    ORCHARD = 2


@dataclass(frozen=True)
class Frame:
    """Coordinates of each cell along and across the axis of its estate: float32, pixels."""

    along: np.ndarray
    across: np.ndarray


@dataclass(frozen=True)
class Plots:
    """The pieces of land 1..n of a canvas; arrays (n + 1,), index 0 unused.

    use: Use. is_field: whether it counts as a field. is_pivot: a circle under a centre pivot.
    block: block of look-alikes or 0. along, across: middle in the frame. length, width: extent in
    the frame in pixels, as of a rectangle. angle: direction of the rows in radians.
    """

    use: np.ndarray
    is_field: np.ndarray
    is_pivot: np.ndarray
    block: np.ndarray
    along: np.ndarray
    across: np.ndarray
    length: np.ndarray
    width: np.ndarray
    angle: np.ndarray

    @property
    def count(self) -> int:
        """Number of plots."""
        return len(self.use) - 1


@dataclass(frozen=True)
class Extent:
    """Sizes (n + 1,) of plots: cells, middle and extent (2, n + 1) along and across in pixels."""

    cells: np.ndarray
    middle: np.ndarray
    extent: np.ndarray


def make_plots(canvas: Canvas, frame: Frame, block: np.ndarray, style: LandStyle) -> Plots:
    """Finish the plots of a divided canvas, whose pieces belong to `block` (n + 1,)."""
    if style.merged:
        _join_neighbours(canvas, block, style.merged)
    pivots = _draw_circles(canvas, frame, len(block), style)
    if style.rounded:
        _round_corners(canvas, frame, len(block), pivots, style)
    _drop_scraps(canvas, len(block))
    ids, canvas.plots[:] = renumber(canvas.plots, len(block))
    return _describe(canvas, frame, block[ids], pivots[ids], style)


def neighbours(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices of all pairs of adjacent cells with different labels, none of them 0."""
    index = np.arange(labels.size, dtype=np.int32).reshape(labels.shape)
    pairs = []
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        edge = (labels[here] != labels[there]) & (labels[here] > 0) & (labels[there] > 0)
        pairs.append((index[here][edge], index[there][edge]))
    return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])


def measure(labels: np.ndarray, count: int, frame: Frame) -> Extent:
    """Sizes of the labels below `count`."""
    flat = labels.ravel()
    cells = np.bincount(flat, minlength=count)
    some = np.maximum(cells, 1)
    axes = [axis.ravel() for axis in (frame.along, frame.across)]
    middle = np.stack([np.bincount(flat, axis, count) for axis in axes]) / some
    square = np.stack([np.bincount(flat, axis**2, count) for axis in axes]) / some
    return Extent(cells, middle, np.sqrt(12 * np.maximum(square - middle**2, 1e-6)))


def _join_neighbours(canvas: Canvas, block: np.ndarray, share: float) -> None:
    """Join touching plots of one block: L shapes, T shapes, longer fields."""
    flat = canvas.plots.reshape(-1)
    first, second = (flat[cells].astype(np.int64) for cells in neighbours(canvas.plots))
    key = np.unique(np.minimum(first, second) * len(block) + np.maximum(first, second))
    low, high = np.divmod(key, len(block))
    rank = canvas.rng.random(len(key))
    best = np.zeros(len(block))
    np.maximum.at(best, low, rank)
    np.maximum.at(best, high, rank)
    # A pair is joined if it is the first choice of both: so no chains grow.
    join = (best[low] == rank) & (best[high] == rank) & (block[low] == block[high])
    join &= canvas.rng.random(len(key)) < 2 * share
    target = np.arange(len(block), dtype=np.int32)
    target[high[join]] = low[join]
    canvas.plots[:] = target[canvas.plots]


def _draw_circles(canvas: Canvas, frame: Frame, count: int, style: LandStyle) -> np.ndarray:
    """Turn squarish plots into circles with rough corners; returns which, bool (count,)."""
    size = measure(canvas.plots, count, frame)
    short, long = size.extent.min(axis=0), size.extent.max(axis=0)
    pivots = (long < 1.4 * short) & (short > 7) & (canvas.rng.random(count) < style.pivots)
    pivots[0] = False
    if not pivots.any():
        return pivots
    radius = (0.5 * short * canvas.rng.uniform(0.85, 1.0, count)).astype(np.float32)
    cells = np.flatnonzero(pivots[canvas.plots])
    plot = canvas.plots.reshape(-1)[cells]
    along, across = _from_middle(frame, size, cells, plot)
    outside = cells[along**2 + across**2 > radius[plot] ** 2]
    _leave_as_grass(canvas, outside)
    return pivots


def _from_middle(
    frame: Frame, size: Extent, cells: np.ndarray, plot: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Place of cells from the middle of their plot, along and across."""
    middle = size.middle.astype(np.float32)
    return (
        frame.along.reshape(-1)[cells] - middle[0][plot],
        frame.across.reshape(-1)[cells] - middle[1][plot],
    )


def _round_corners(
    canvas: Canvas, frame: Frame, count: int, pivots: np.ndarray, style: LandStyle
) -> None:
    """Cut the corners off some rectangular plots: a superellipse is laid over them."""
    size = measure(canvas.plots, count, frame)
    filled = size.cells / CELLS_PER_PIXEL**2 / np.maximum(size.extent.prod(axis=0), 1)
    rounded = (filled > 0.9) & ~pivots & (canvas.rng.random(count) < style.rounded)
    cells = np.flatnonzero(rounded[canvas.plots])
    plot = canvas.plots.reshape(-1)[cells]
    half = (size.extent / 2 * 1.03).astype(np.float32)
    along, across = _from_middle(frame, size, cells, plot)
    power = int(canvas.rng.choice([4, 6, 10]))
    reach = (along / half[0][plot]) ** power + (across / half[1][plot]) ** power
    _leave_as_grass(canvas, cells[reach > 1])


def _drop_scraps(canvas: Canvas, count: int) -> None:
    """Leave slivers and crumbs as grass."""
    flat = canvas.plots.reshape(-1)
    area = np.bincount(flat, minlength=count) / CELLS_PER_PIXEL**2
    edges = np.zeros(count)
    plots = canvas.plots
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        edge = plots[here] != plots[there]
        edges += np.bincount(plots[here][edge], minlength=count)
        edges += np.bincount(plots[there][edge], minlength=count)
    thickness = 2 * area / np.maximum(edges / CELLS_PER_PIXEL, 1e-6)
    scrap = (area < MIN_AREA) | (thickness < MIN_THICKNESS)
    scrap[0] = False
    _leave_as_grass(canvas, np.flatnonzero(scrap[plots]))


def _leave_as_grass(canvas: Canvas, cells: np.ndarray) -> None:
    """Flat cells that are no plot any more."""
    canvas.plots.reshape(-1)[cells] = 0
    canvas.blocks.reshape(-1)[cells] = 0
    canvas.cover.reshape(-1)[cells] = Cover.GRASS


def _describe(
    canvas: Canvas, frame: Frame, block: np.ndarray, pivots: np.ndarray, style: LandStyle
) -> Plots:
    """Measure the plots and decide on their use."""
    n, rng = len(block), canvas.rng
    size = measure(canvas.plots, n, frame)
    use = rng.choice([Use.CROP, Use.PASTURE, Use.ORCHARD], n, p=_use_shares(style.rough))
    # The largest plot is always a field: nothing is learnt from a scene without any.
    largest = np.arange(n) == 1 + np.argmax(size.cells[1:]) if n > 1 else np.zeros(n, bool)
    use = np.where((block > 0) | pivots | largest, Use.CROP, use)
    is_field = (use == Use.CROP) | (rng.random(n) < np.where(use == Use.ORCHARD, 0.7, 0.25))
    axis = _axis(canvas, frame, n)
    turned = (size.extent[0] < 1.3 * size.extent[1]) & (rng.random(n) < 0.3)
    angle = axis + turned * np.pi / 2 + (rng.random(n) < 0.1) * rng.normal(0, 0.3, n)
    return Plots(use, is_field, pivots, block, *size.middle, *size.extent, angle)


def _use_shares(rough: float) -> list[float]:
    """Shares of crops, pasture and orchards."""
    return [1 - rough, 0.75 * rough, 0.25 * rough]


def _axis(canvas: Canvas, frame: Frame, count: int) -> np.ndarray:
    """Direction of the frame's first axis in each plot, by the slope of `along`."""
    flat = canvas.plots[:-1, :-1].ravel()
    right = (frame.along[:-1, 1:] - frame.along[:-1, :-1]).ravel()
    down = (frame.along[1:, :-1] - frame.along[:-1, :-1]).ravel()
    # The frame jumps between estates; no true step is longer than a cell and a little.
    step = 2.0 / CELLS_PER_PIXEL
    total = [np.bincount(flat, np.clip(d, -step, step), count) for d in (down, right)]
    return np.arctan2(total[0], total[1])
