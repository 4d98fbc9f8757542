"""Colours and patterns of the land, in three axes: brightness, vegetation and something else.

The unit is the deviation between crops; the camera turns the axes into bands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .canvas import Canvas, Cover
from .plots import Frame, Plots, Use, neighbours
from .style import PaintStyle
from .surfaces import Pattern, SurfaceBank, place
from .zones import Parts

COVERS = len(Cover)
TYPICAL = np.array(
    [
        (0, 0, 0),  # open: never seen
        (0.1, 0.7, 0),  # grass
        (1.0, -1.0, 0),  # track
        (-1.5, 1.0, 0),  # hedge
        (-1.4, -0.3, 0),  # ditch
        (1.2, -1.4, 0),  # road
        (-1.8, 1.0, 0),  # trees
        (-2.4, -1.4, 0.3),  # water
        (0.1, 0.3, 0),  # garden
        (0.9, -0.9, 0),  # yard
        (3.2, -1.6, 0.3),  # bright roof
        (-0.8, -1.6, 0.3),  # dark roof
        (0.3, 0.1, 0),  # faint line: only where no plot is beside it
    ]
)
"""Brightness, vegetation and the third axis of each Cover."""
ROUGHNESS = (0, 0.25, 0.2, 0.35, 0.2, 0.15, 0.5, 0.06, 0.6, 0.5, 0.3, 0.2, 0.1)
"""Strength of each cover's pattern."""
BROAD = (Pattern.HILLS, Pattern.CLOUDS, Pattern.PATCHES)
DETAIL = (Pattern.DRAINS, Pattern.TERRACES, Pattern.SPOTS, Pattern.CLOUDS, Pattern.PATCHES)


@dataclass(frozen=True)
class _Subjects:
    """What is painted: the covers first, then the plots; arrays (COVERS + n + 1,).

    cell: (N,) int32 subject of each cell, whose colour it has. pattern_cell: the subject whose
    pattern it has: look-alikes share one. angle: direction of patterns. size: typical extent in
    pixels. is_plot, is_rough: bool.
    """

    cell: np.ndarray
    pattern_cell: np.ndarray
    angle: np.ndarray
    size: np.ndarray
    is_plot: np.ndarray
    is_rough: np.ndarray


def paint_land(
    canvas: Canvas, plots: Plots, parts: Parts, frame: Frame, bank: SurfaceBank, style: PaintStyle
) -> np.ndarray:
    """The finished land, (3, side, side) float32."""
    rng = canvas.rng
    colours = _crop_colours(plots, style, rng)
    _mark_hidden_boundaries(canvas, plots, colours, style)
    covers = TYPICAL + rng.normal(0, 0.35, TYPICAL.shape)
    subjects = _subjects(canvas, plots)
    land = np.concatenate([covers, colours]).T.astype(np.float32)[:, subjects.cell]
    faint = np.flatnonzero(canvas.cover == Cover.FAINT_LINE)
    land[:, faint] += rng.normal(0, 0.3, (3, 1)).astype(np.float32)
    _add_part_tones(land, canvas, parts, style, rng)
    _add_patterns(land, canvas, subjects, bank, style)
    _add_rows(land, canvas, plots, style)
    _add_gradients(land, canvas, plots, frame)
    if style.headlands:
        _add_headlands(land, canvas, plots, style)
    return land.reshape(3, canvas.side, canvas.side)


def _crop_colours(plots: Plots, style: PaintStyle, rng: np.random.Generator) -> np.ndarray:
    """Colour of each plot (n + 1, 3): that of its crop, a little different."""
    n = plots.count + 1
    palette = style.contrast * rng.normal(0, 1, (style.crops, 3)) * (1.0, 1.0, 0.5)
    crop = rng.choice(style.crops, n, p=rng.dirichlet(np.full(style.crops, 1.5)))
    own = style.contrast * style.deviation * rng.normal(0, 0.7, (n, 3))
    leader = _leaders(plots)
    colours = palette[crop[leader]] + own[leader]
    colours += (plots.block > 0)[:, None] * rng.normal(0, rng.uniform(0.02, 0.15), (n, 3))
    colours[plots.use == Use.PASTURE] += (0, 0.5, 0)
    return colours


def _leaders(plots: Plots) -> np.ndarray:
    """The plot (n + 1,) whose crop and colour a plot has: the first of its block, or itself."""
    _, first, group = np.unique(plots.block, return_index=True, return_inverse=True)
    return np.where(plots.block > 0, first[group], np.arange(plots.count + 1))


def _mark_hidden_boundaries(
    canvas: Canvas, plots: Plots, colours: np.ndarray, style: PaintStyle
) -> None:
    """A thin line where neighbours of one colour touch; inside blocks most often none."""
    first, second = neighbours(canvas.plots)
    flat = canvas.plots.reshape(-1)
    one, other = flat[first], flat[second]
    distance = np.abs(colours[one] - colours[other]).sum(axis=1)
    alike = distance < 0.4 + 0.4 * style.mottle
    in_block = (plots.block[one] > 0) & (plots.block[one] == plots.block[other])
    line = alike & ~in_block
    kind = canvas.rng.choice([Cover.GRASS, Cover.TRACK, Cover.DITCH], p=[0.6, 0.2, 0.2])
    cover = canvas.cover.reshape(-1)
    cover[first[line]] = kind
    if canvas.rng.random() < 0.6:
        cover[second[line]] = kind


def _subjects(canvas: Canvas, plots: Plots) -> _Subjects:
    n, rng = plots.count + 1, canvas.rng
    cell = np.where(canvas.cover > 0, canvas.cover, COVERS + canvas.plots).reshape(-1)
    lines, owner = _faint_lines(canvas)
    cell[lines] = COVERS + owner
    leader = _leaders(plots)
    shared = (rng.random(n) < 0.6)[leader]
    look = np.concatenate([np.arange(COVERS), COVERS + np.where(shared, leader, np.arange(n))])
    angle = np.concatenate([rng.uniform(0, np.pi, COVERS), plots.angle])
    size = np.concatenate([np.full(COVERS, 60.0), np.sqrt(plots.length * plots.width)])
    is_plot = np.arange(COVERS + n) > COVERS
    is_rough = np.concatenate([np.zeros(COVERS, bool), plots.use == Use.PASTURE])
    look = look.astype(np.int32)[cell]
    return _Subjects(cell.astype(np.int32), look, angle, size, is_plot, is_rough)


def _faint_lines(canvas: Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Flat cells of lines inside blocks and the plot beside each: the line is hardly different."""
    cells = np.flatnonzero(canvas.cover == Cover.FAINT_LINE)
    flat = canvas.plots.reshape(-1)
    owner = np.zeros(cells.size, flat.dtype)
    for step in (1, -1, canvas.side, -canvas.side, 2, -2, 2 * canvas.side, -2 * canvas.side):
        beside = flat[np.clip(cells + step, 0, flat.size - 1)]
        owner = np.where(owner > 0, owner, beside)
    return cells[owner > 0], owner[owner > 0]


def _add_part_tones(
    land: np.ndarray, canvas: Canvas, parts: Parts, style: PaintStyle, rng: np.random.Generator
) -> None:
    """The parts of a field differ along one direction of colour."""
    direction = _directions(int(parts.plot.max()) + 1, rng)[parts.plot]
    shift = parts.tone[:, None] * direction * 1.6 * style.part_contrast
    shift += rng.normal(0, 0.05, shift.shape) * (parts.tone != 0)[:, None]
    cells = np.flatnonzero((parts.tone != 0)[parts.labels] & (canvas.cover == Cover.OPEN))
    part = parts.labels.reshape(-1)[cells]
    for axis in range(3):
        land[axis][cells] += shift[:, axis].astype(np.float32)[part]


def _directions(n: int, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors (n, 3) of colour, mostly brightness and vegetation."""
    drawn = rng.normal(0, 1, (n, 3)) * (1.0, 0.8, 0.3)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _add_patterns(
    land: np.ndarray, canvas: Canvas, subjects: _Subjects, bank: SurfaceBank, style: PaintStyle
) -> None:
    """Soil, moisture and growth: four layers, the second runs on across boundaries."""
    for layer in (_broad_layer, _soil_layer, _detail_layer, _grain_layer):
        patterns, placing, strength = layer(subjects, style, canvas.rng)
        direction = _directions(len(strength), canvas.rng) * strength[:, None]
        if not strength.any():
            continue
        x, y = canvas.x.reshape(-1), canvas.y.reshape(-1)
        look = subjects.pattern_cell
        height = bank.read(patterns, placing, look, x, y)
        for axis in range(3):
            land[axis] += direction[:, axis].astype(np.float32)[look] * height


def _broad_layer(subjects: _Subjects, style: PaintStyle, rng: np.random.Generator) -> tuple:
    n = len(subjects.angle)
    strength = style.mottle * np.exp(rng.normal(-0.4, 0.6, n)) * (1 - 0.7 * style.soil)
    strength *= np.where(subjects.is_rough, 2, subjects.is_plot)
    # From waves as long as the field down to a few pixels.
    scales = np.clip(subjects.size / 50, 0.4, 2.0) * np.exp(rng.uniform(-1.8, 0.3, n))
    placing = place(subjects.angle, scales, np.exp(rng.uniform(0, 1.2, n)), rng)
    return rng.choice(BROAD, n), placing, strength


def _soil_layer(subjects: _Subjects, style: PaintStyle, rng: np.random.Generator) -> tuple:
    n = len(subjects.angle)
    one = place(rng.uniform(0, 3, 1), rng.uniform(0.5, 2.0, 1), np.exp(rng.uniform(0, 1, 1)), rng)
    placing = type(one)(np.repeat(one.matrix, n, axis=0), np.repeat(one.offset, n, axis=0))
    strength = style.soil * style.mottle * np.exp(rng.normal(-0.4, 0.5, n)) * subjects.is_plot
    return np.full(n, rng.choice([*BROAD, Pattern.DRAINS])), placing, strength


def _detail_layer(subjects: _Subjects, style: PaintStyle, rng: np.random.Generator) -> tuple:
    n = len(subjects.angle)
    strength = style.mottle * np.exp(rng.normal(-0.4, 0.6, n)) * subjects.is_plot
    strength *= rng.random(n) < rng.choice([0.1, 0.4, 0.8])
    stretch = np.exp(rng.uniform(0, 2.0, n))
    scales = np.exp(rng.uniform(np.log(0.25), np.log(1.5), n)) / np.sqrt(stretch)
    return rng.choice(DETAIL, n), place(subjects.angle, scales, stretch, rng), strength


def _grain_layer(subjects: _Subjects, style: PaintStyle, rng: np.random.Generator) -> tuple:
    n = len(subjects.angle)
    strength = 0.15 * np.exp(rng.normal(-0.5, 0.7, n)) * (1 + subjects.is_rough)
    strength[:COVERS] = np.array(ROUGHNESS) * np.exp(rng.normal(0, 0.4))
    patterns = np.full(n, Pattern.GRAIN)
    patterns[[Cover.TREES, Cover.HEDGE]] = Pattern.CROWNS
    scales = np.full(n, 1.0)
    scales[Cover.TREES] = np.exp(rng.uniform(-0.7, 0.7))
    return patterns, place(subjects.angle, scales, np.ones(n), rng), strength


def _add_rows(land: np.ndarray, canvas: Canvas, plots: Plots, style: PaintStyle) -> None:
    """Rows or drill lines, tramlines, and the grid of trees in orchards."""
    n, rng = plots.count + 1, canvas.rng
    orchard = plots.use == Use.ORCHARD
    rows = orchard | (rng.random(n) < style.rows)
    cells = np.flatnonzero(rows[canvas.plots] & (canvas.cover == Cover.OPEN))
    if not cells.size:
        return
    plot = canvas.plots.reshape(-1)[cells]
    period = np.where(orchard, rng.uniform(2.2, 6, n), rng.uniform(2.1, 14, n))
    strength = style.row_strength * rng.uniform(0.4, 1.2, n) + 0.5 * orchard
    sin, cos = (f(plots.angle).astype(np.float32)[plot] for f in (np.sin, np.cos))
    x, y = canvas.x.reshape(-1)[cells], canvas.y.reshape(-1)[cells]
    turns = (2 * np.pi / period).astype(np.float32)[plot]
    wave = np.sin(turns * (y * cos - x * sin))
    wave = np.where(orchard[plot], wave * np.sin(turns * (x * cos + y * sin)), wave)
    # Tramlines: narrow dark lines instead of waves.
    wave = np.where((rng.random(n) < 0.35)[plot], -1.6 * (wave > 0.9), wave)
    direction = _directions(n, rng) * strength[:, None]
    for axis in range(3):
        land[axis][cells] += direction[:, axis].astype(np.float32)[plot] * wave


def _add_gradients(land: np.ndarray, canvas: Canvas, plots: Plots, frame: Frame) -> None:
    """Some fields get slowly brighter or greener towards one end."""
    n, rng = plots.count + 1, canvas.rng
    sloping = rng.random(n) < 0.3
    sloping[0] = False
    cells = np.flatnonzero(sloping[canvas.plots] & (canvas.cover == Cover.OPEN))
    plot = canvas.plots.reshape(-1)[cells]
    size = np.sqrt(plots.length * plots.width) + 10
    slope = (rng.normal(0, 0.8, (2, n)) / size).astype(np.float32)
    along = frame.along.reshape(-1)[cells] - plots.along.astype(np.float32)[plot]
    across = frame.across.reshape(-1)[cells] - plots.across.astype(np.float32)[plot]
    height = slope[0][plot] * along + slope[1][plot] * across
    direction = _directions(n, rng)
    for axis in range(3):
        land[axis][cells] += direction[:, axis].astype(np.float32)[plot] * height


def _add_headlands(land: np.ndarray, canvas: Canvas, plots: Plots, style: PaintStyle) -> None:
    """Where tractors turn: a frame of another tone along the edge of the field."""
    n, rng = plots.count + 1, canvas.rng
    inner = canvas.plots > 0
    inner[:, 1:] &= canvas.plots[:, 1:] == canvas.plots[:, :-1]
    inner[1:] &= canvas.plots[1:] == canvas.plots[:-1]
    depth = ndimage.distance_transform_cdt(inner, "chessboard")
    width = rng.uniform(2, 9, n) * (rng.random(n) < style.headlands)
    width[np.minimum(plots.length, plots.width) < 12] = 0
    edge = (depth < width[canvas.plots]) & (canvas.cover == Cover.OPEN)
    cells = np.flatnonzero(edge)
    tone = _directions(n, rng) * rng.normal(0, 0.45, (n, 1))
    for axis in range(3):
        land[axis][cells] += tone[:, axis].astype(np.float32)[canvas.plots.reshape(-1)[cells]]
