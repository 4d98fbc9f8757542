"""What stands in the way of the plough: woods, water, villages, main roads, farmsteads, trees."""

from __future__ import annotations

import numpy as np
from scipy import special

from .canvas import Canvas, Cover
from .style import GroundStyle
from .surfaces import CELLS_PER_PIXEL


def lay_ground(canvas: Canvas, style: GroundStyle) -> None:
    """Paint what is there before the fields."""
    if style.woods:
        _woods(canvas, style.woods)
    if style.lakes:
        canvas.paint(canvas.surface(canvas.size / 2, 4.0) > _level(style.lakes), Cover.WATER)
    if style.river_width:
        _river(canvas, style.river_width)
    for _ in range(style.villages):
        _village(canvas)
    for _ in range(style.main_roads):
        width = canvas.rng.uniform(0.4, 1.8)
        line = canvas.across(canvas.somewhere(), canvas.rng.uniform(0, np.pi))
        canvas.paint(np.abs(line) < width + canvas.rng.choice([0, 0.8]), Cover.GRASS)
        canvas.paint(np.abs(line) < width, Cover.ROAD)


def _level(share: float) -> float:
    """Height above which a standard normal surface covers `share` of the land."""
    return float(special.ndtri(1.0 - share))


def _woods(canvas: Canvas, share: float) -> None:
    """Ragged or smooth-edged woods."""
    wave = canvas.size * canvas.rng.uniform(0.1, 0.5)
    ragged = canvas.rng.uniform(0, 0.25) * canvas.grain(8)
    canvas.paint(canvas.surface(wave, 3.5) + ragged > _level(share), Cover.TREES)


def _river(canvas: Canvas, width: float) -> None:
    """A winding river, often with trees or meadows on its banks."""
    wave = canvas.rng.uniform(40, 160)
    wobble = canvas.rng.uniform(0.05, 0.25) * wave * canvas.surface(wave, 4.0)
    line = canvas.across(canvas.somewhere(), canvas.rng.uniform(0, np.pi))
    distance = np.abs(line + wobble)
    wild = canvas.surface(20, 2.5)
    bank = canvas.rng.uniform(0, 6)
    canvas.paint(distance < width / 2 + bank * (1 + wild), Cover.GRASS)
    canvas.paint(distance < width / 2 + bank * (0.4 + wild), Cover.TREES)
    canvas.paint(distance < width / 2, Cover.WATER)


def _village(canvas: Canvas) -> None:
    """Streets, houses in their plots, gardens with trees."""
    rng = canvas.rng
    centre, heading = canvas.somewhere(), rng.uniform(0, np.pi)
    across = canvas.across(centre, heading)
    along = canvas.across(centre, heading + np.pi / 2)
    long, wide = canvas.size * rng.uniform(0.06, 0.3), canvas.size * rng.uniform(0.04, 0.15)
    inside = (along / long) ** 2 + (across / wide) ** 2 < 1 + 0.3 * canvas.surface(25, 3.0)
    cells = np.nonzero(inside)
    if not cells[0].size:
        return
    pitch = rng.uniform(3, 12)
    canvas.cover[cells] = _quarter(along[cells], across[cells], pitch, rng)


def _quarter(
    along: np.ndarray, across: np.ndarray, pitch: float, rng: np.random.Generator
) -> np.ndarray:
    """Cover of a village's cells: one house a plot of `pitch` pixels, a street every third row."""
    column, row = np.floor(along / pitch).astype(int), np.floor(across / pitch).astype(int)
    draw = rng.random((5, 64, 64))[:, row % 64, column % 64]
    from_left = along / pitch - column - 0.3 - 0.4 * draw[0]
    from_top = across / pitch - row - 0.3 - 0.4 * draw[1]
    house = (np.abs(from_left) < 0.1 + 0.22 * draw[2]) & (np.abs(from_top) < 0.1 + 0.2 * draw[3])
    cover = np.where(draw[4] < 0.3, Cover.TREES, Cover.GARDEN)
    cover = np.where(house & (draw[4] > 0.12), Cover.BRIGHT_ROOF, cover)
    cover = np.where(house & (draw[4] > 0.6), Cover.DARK_ROOF, cover)
    street = min(0.25, 0.7 / pitch)
    streets = ((row % 3 == 0) & (np.abs(across / pitch - row - 0.5) < street)) | (
        (column % 6 == 0) & (np.abs(along / pitch - column - 0.5) < street)
    )
    return np.where(streets, Cover.ROAD, cover).astype(np.uint8)


def add_farmsteads(canvas: Canvas, count: int) -> None:
    """Yards with barns, sheds and trees; the land under them is no field any more."""
    roads = np.flatnonzero((canvas.cover == Cover.ROAD) | (canvas.cover == Cover.TRACK))
    for _ in range(count):
        centre = canvas.somewhere()
        if roads.size and canvas.rng.random() < 0.75:
            row, column = divmod(int(canvas.rng.choice(roads)), canvas.side)
            centre = (column / CELLS_PER_PIXEL, row / CELLS_PER_PIXEL)
        _farmstead(canvas, centre, canvas.rng.uniform(2.5, 9))


def _farmstead(canvas: Canvas, centre: tuple[float, float], radius: float) -> None:
    rng = canvas.rng
    box, x, y = _box(canvas, centre, 1.6 * radius)
    if not x.size:
        return
    angle = rng.uniform(0, np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    yard = np.maximum(np.abs(along), np.abs(across) * 1.3) < radius
    cover = canvas.cover[box]
    cover[yard] = rng.choice([Cover.YARD, Cover.GARDEN, Cover.TREES], p=[0.5, 0.3, 0.2])
    for _ in range(rng.integers(2, 7)):
        place = rng.uniform(-0.9, 0.9, 2) * radius
        long, wide = rng.uniform(0.1, 0.35, 2) * radius
        barn = (np.abs(along - place[0]) < long) & (np.abs(across - place[1]) < wide)
        cover[barn] = rng.choice([Cover.BRIGHT_ROOF, Cover.DARK_ROOF, Cover.TREES])
    canvas.plots[box][yard] = 0
    canvas.blocks[box][yard] = 0


def scatter_trees(canvas: Canvas, per_10000: float) -> None:
    """Lone trees, pylons and small wet holes in the fields; they stay part of the field."""
    for _ in range(canvas.rng.poisson(per_10000 * canvas.size**2 / 1e4)):
        radius = canvas.rng.uniform(0.4, 1.0) * canvas.rng.choice([1, 1, 2.5])
        box, x, y = _box(canvas, canvas.somewhere(), radius)
        kind = canvas.rng.choice([Cover.TREES, Cover.YARD, Cover.WATER], p=[0.7, 0.2, 0.1])
        canvas.cover[box][x**2 + y**2 < radius**2] = kind


def _box(
    canvas: Canvas, centre: tuple[float, float], reach: float
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """Cells within `reach` of a place: their box, and x and y from the place in pixels."""
    low = [max(0, int((value - reach) * CELLS_PER_PIXEL)) for value in centre]
    high = [int((value + reach) * CELLS_PER_PIXEL) + 1 for value in centre]
    box = (slice(low[1], high[1]), slice(low[0], high[0]))
    return box, canvas.x[box] - centre[0], canvas.y[box] - centre[1]
