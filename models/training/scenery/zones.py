"""Visible parts of fields: strips of a strip-cropped field, harvested halves, moisture zones."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from .canvas import Canvas
from .division import renumber
from .plots import Frame, Plots
from .style import LandStyle
from .surfaces import Pattern, SurfaceBank, place

MOST_PARTS = 16


class Parting(IntEnum):
    """How a field is divided."""

    NONE = 0
    STRIPES = 1
    HALVES = 2
    ZONES = 3
    SECTORS = 4


@dataclass(frozen=True)
class Parts:
    """The parts 1..m of all plots; a plot without parts is one part.

    labels: int32 like Canvas.plots. plot: (m + 1,) plot of each part. tone: (m + 1,) how far its
    colour lies from its plot's, about -1..1.
    """

    labels: np.ndarray
    plot: np.ndarray
    tone: np.ndarray


def divide_plots(
    canvas: Canvas, plots: Plots, frame: Frame, bank: SurfaceBank, style: LandStyle
) -> Parts:
    """Draw the parts of the plots."""
    rng = canvas.rng
    kinds = _draw_kinds(plots, style, rng)
    flat = canvas.plots.reshape(-1)
    number = np.zeros(flat.size, np.int32)
    cells = np.flatnonzero(kinds[flat])
    plot = flat[cells]
    along = frame.along.reshape(-1)[cells] - plots.along.astype(np.float32)[plot]
    across = frame.across.reshape(-1)[cells] - plots.across.astype(np.float32)[plot]
    rulers = {
        Parting.STRIPES: lambda k: _stripes(plots, plot[k], across[k], rng),
        Parting.HALVES: lambda k: _halves(plots, plot[k], along[k], across[k], rng),
        Parting.ZONES: lambda k: _zones(canvas, plots, bank, plot[k], cells[k]),
        Parting.SECTORS: lambda k: _sectors(plots, plot[k], along[k], across[k], rng),
    }
    for kind, ruler in rulers.items():
        chosen = np.flatnonzero(kinds[plot] == kind)
        if chosen.size:
            number[cells[chosen]] = np.clip(ruler(chosen), 0, MOST_PARTS - 1)
    return _number(canvas.plots, number.reshape(canvas.plots.shape), kinds, rng)


def _draw_kinds(plots: Plots, style: LandStyle, rng: np.random.Generator) -> np.ndarray:
    """Parting of each plot (n + 1,); blocks of look-alikes and rough land stay whole."""
    n = plots.count + 1
    mixed = rng.choice([Parting.STRIPES, Parting.HALVES, Parting.ZONES], n, p=style.part_mix)
    kinds = np.where(plots.is_pivot, Parting.SECTORS, mixed)
    room = np.minimum(plots.length, plots.width) > np.where(kinds == Parting.HALVES, 8, 12)
    parted = room & plots.is_field & (plots.block == 0) & (rng.random(n) < style.parted)
    parted[0] = False
    return np.where(parted, kinds, Parting.NONE)


def _stripes(
    plots: Plots, plot: np.ndarray, across: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Strips of equal width, at least 3 pixels each."""
    n = plots.count + 1
    most = np.clip(plots.width / 3.0, 2, MOST_PARTS)
    width = plots.width / (2 + (most - 2) * rng.random(n) ** 1.5)
    return np.floor(across / width.astype(np.float32)[plot] + 0.5 * MOST_PARTS + 0.3).astype(int)


def _halves(
    plots: Plots, plot: np.ndarray, along: np.ndarray, across: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A line across or along the field: what is harvested, mown or sprayed already."""
    n = plots.count + 1
    turned = rng.random(n) < 0.5
    reach = np.where(turned, plots.width, plots.length)
    level = (rng.uniform(-0.3, 0.3, n) * reach).astype(np.float32)
    return (np.where(turned[plot], across, along) > level[plot]).astype(int)


def _sectors(
    plots: Plots, plot: np.ndarray, along: np.ndarray, across: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Sectors of a circle, of equal angles."""
    n = plots.count + 1
    sectors, start = rng.integers(2, 7, n), rng.uniform(0, 1, n)
    turn = np.arctan2(across, along) / (2 * np.pi) + start.astype(np.float32)[plot]
    return np.floor((turn % 1) * sectors[plot]).astype(int)


def _zones(
    canvas: Canvas, plots: Plots, bank: SurfaceBank, plot: np.ndarray, cells: np.ndarray
) -> np.ndarray:
    """Two or three levels of a smooth surface: moist and dry, sown early and late."""
    n, rng = plots.count + 1, canvas.rng
    scales = np.clip(np.minimum(plots.length, plots.width) / 45, 0.35, 2.5)
    stretch = np.exp(rng.uniform(0, 1.2, n))
    where = place(plots.angle, scales / np.sqrt(stretch), stretch, rng)
    patterns = rng.choice([Pattern.HILLS, Pattern.CLOUDS], n, p=[0.7, 0.3])
    x, y = canvas.x.reshape(-1)[cells], canvas.y.reshape(-1)[cells]
    height = bank.read(patterns, where, plot, x, y)
    low = rng.uniform(-0.7, 0.9, n).astype(np.float32)[plot]
    third = np.where(rng.random(n) < 0.3, 0.9, 99).astype(np.float32)[plot]
    return (height > low).astype(int) + (height > low + third)


def _number(
    plots: np.ndarray, number: np.ndarray, kinds: np.ndarray, rng: np.random.Generator
) -> Parts:
    """Labels of all parts, and the tone of each."""
    # `plots` 0 maps to key 0 because its number is 0.
    keys, labels = renumber(plots * MOST_PARTS + number, len(kinds) * MOST_PARTS)
    plot, rank = np.divmod(keys, MOST_PARTS)
    kind = kinds[plot]
    tone = np.select(
        [kind == Parting.STRIPES, kind == Parting.SECTORS, kind == Parting.NONE],
        [rank % 2 - 0.5, rng.uniform(-0.9, 0.9, len(rank)), 0],
        default=rank - 0.5,
    )
    return Parts(labels, plot, tone)
