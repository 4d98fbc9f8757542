"""A made-up piece of farmland: who owns each pixel, known exactly.

The land is drawn on a grid twice as fine as the image (5 m for 10 m pixels), so that tracks and
hedges are narrower than a pixel and field edges are mixed pixels, as in a real scene. What stands
in the way of the plough comes first (river, woods, village, main roads); what is left open is cut
by straight lines in slightly bent coordinates, first into blocks, then into fields.

Lengths are metres. Arrays are (rows, columns). `fine` arrays have twice the size of the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from scipy import ndimage

from .noise import smooth_noise

PIXEL = 10.0
"""Ground size of an image pixel."""
OVERSAMPLE = 2
"""Fine cells along one side of an image pixel."""
CELL = PIXEL / OVERSAMPLE
CELL_HA = CELL * CELL / 1e4
MIN_FIELD_HA = 1.2
"""Smaller scraps between lines are left as grass."""


class Cover(IntEnum):
    """What covers the ground."""

    OPEN = 0
    FIELD = 1
    GRASS = 2
    TRACK = 3
    ROAD = 4
    HEDGE = 5
    TREES = 6
    GARDEN = 7
    TILE_ROOF = 8
    GREY_ROOF = 9
    WATER = 10


@dataclass(frozen=True)
class Landscape:
    """The finished land.

    fields: (H, W) int32, field id 1..n per image pixel, 0 outside fields.
    cover: (H, W) uint8, Cover per image pixel.
    fine_fields, fine_cover: the same at (2H, 2W); what the sensor really sees.
    row_angles: (n + 1,) direction of the long axis of each field in radians; index 0 unused.
    pivots: ids of the circular fields.
    """

    fields: np.ndarray
    cover: np.ndarray
    fine_fields: np.ndarray
    fine_cover: np.ndarray
    row_angles: np.ndarray
    pivots: tuple[int, ...]

    @property
    def field_count(self) -> int:
        """Number of fields; their ids are 1..field_count."""
        return len(self.row_angles) - 1


class _Canvas:
    """The land while it is being drawn; cells are addressed by flat index."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.rng = rng
        self.side = size * OVERSAMPLE
        self.length = size * PIXEL
        shape = (self.side, self.side)
        self.cover = np.zeros(shape, np.uint8)
        self.fields = np.zeros(shape, np.int32)
        self.count = 0
        self.pivots: list[int] = []
        rows, columns = np.mgrid[0 : self.side, 0 : self.side].astype(np.float32) * CELL
        bend = min(24.0, 0.01 * self.length)
        self.x = columns + bend * smooth_noise(shape, 300, rng, 5.0)
        self.y = rows + bend * smooth_noise(shape, 300, rng, 5.0)

    def across(self, centre: tuple[float, float], angle: float) -> np.ndarray:
        """Signed distance of every cell from the line through `centre` along `angle`."""
        return (self.y - centre[1]) * np.cos(angle) - (self.x - centre[0]) * np.sin(angle)

    def paint(self, mask: np.ndarray, cover: Cover, over: tuple[Cover, ...] = ()) -> None:
        """Set `cover` where mask is true, and, when `over` is given, only on those covers."""
        if over:
            mask = mask & np.isin(self.cover, over)
        self.cover[mask] = cover

    def open_regions(self) -> list[np.ndarray]:
        """Flat indices of each connected open area."""
        labels, count = ndimage.label(self.cover == Cover.OPEN)
        flat = labels.ravel()
        order = np.argsort(flat, kind="stable")
        starts = np.searchsorted(flat[order], np.arange(1, count + 1))
        return np.split(order, starts)[1:]


def lay_out(size: int, rng: np.random.Generator) -> Landscape:
    """Draw the farmland of a square image of `size` pixels (96 or more)."""
    canvas = _Canvas(size, rng)
    village = canvas.rng.uniform(0.28, 0.72, 2) * canvas.length
    heading = rng.uniform(0.1, 1.2)
    _river(canvas, village, heading)
    _woods(canvas)
    _village(canvas, village, heading)
    _main_roads(canvas, village, heading)
    blocks = _blocks(canvas)
    for block in _carve_pivots(canvas, blocks):
        _plough(canvas, block)
    _scatter_trees(canvas)
    return _finish(canvas)


def _river(canvas: _Canvas, village: np.ndarray, heading: float) -> None:
    """A stream with trees on its banks, well away from the village."""
    side = 1 if village[1] < canvas.length / 2 else -1
    centre = (village[0], village[1] + side * 0.34 * canvas.length)
    rough = smooth_noise(canvas.cover.shape, 260, canvas.rng, 4.0)
    wild = smooth_noise(canvas.cover.shape, 30, canvas.rng, 2.5)
    distance = np.abs(canvas.across(centre, heading - 0.35) + 0.03 * canvas.length * rough)
    canvas.paint(distance < 24 + 10 * wild, Cover.GRASS)
    canvas.paint(distance < 13 + 12 * wild, Cover.TREES)
    canvas.paint(distance < 6.5, Cover.WATER)


def _woods(canvas: _Canvas) -> None:
    """Ragged woods on about a twentieth of the land."""
    shape = canvas.cover.shape
    broad = smooth_noise(shape, canvas.side / 3, canvas.rng, 4.0)
    surface = broad + 0.10 * smooth_noise(shape, 24, canvas.rng, 2.5)
    woods = surface > np.quantile(surface, 0.955)
    canvas.paint(woods, Cover.TREES, over=(Cover.OPEN, Cover.GRASS))


def _village(canvas: _Canvas, centre: np.ndarray, heading: float) -> None:
    """Streets parallel to the main road, houses in their plots, gardens behind."""
    across = canvas.across(tuple(centre), heading)
    along = canvas.across(tuple(centre), heading + np.pi / 2)
    long, wide = 0.095 * canvas.length, 0.055 * canvas.length
    edge = 0.12 * smooth_noise(canvas.cover.shape, 40, canvas.rng)
    inside = (along / long) ** 2 + (across / wide) ** 2 < 1 + edge
    canvas.paint(inside, Cover.GARDEN)
    green = smooth_noise(canvas.cover.shape, 8, canvas.rng, 2.0) > 1.1
    canvas.paint(inside & green, Cover.TREES)
    _houses(canvas, inside, along, across)
    streets = (np.abs(_wrapped(across, 104.0)) < 3.5) | (np.abs(_wrapped(along, 190.0)) < 3.5)
    canvas.paint(inside & streets, Cover.ROAD)


def _wrapped(values: np.ndarray, period: float) -> np.ndarray:
    """Distance from the nearest multiple of the period, with its sign."""
    return values - period * np.round(values / period)


def _houses(canvas: _Canvas, inside: np.ndarray, along: np.ndarray, across: np.ndarray) -> None:
    """One house a plot of 23 m along each street, some plots empty, a few large sheds."""
    plot = np.floor(along / 23.0).astype(int)
    row = np.floor(across / 52.0).astype(int)
    draw = canvas.rng.random((6, 64, 64))[:, plot % 64, row % 64]
    built, wide, deep, setback, roof, shed = draw
    deep = 8 + 9 * deep + 14 * (shed > 0.93)
    front = np.abs(_wrapped(across, 104.0)) - 11 - 9 * setback - deep / 2
    house = (np.abs(along / 23.0 % 1 - 0.5) * 23.0 < 4.5 + 5 * wide) & (np.abs(front) < deep / 2)
    house &= inside & (built < 0.85)
    canvas.paint(house & (roof < 0.6), Cover.TILE_ROOF)
    canvas.paint(house & (roof >= 0.6), Cover.GREY_ROOF)


def _main_roads(canvas: _Canvas, village: np.ndarray, heading: float) -> None:
    """The road through the village and one that crosses it, with grass verges and trees."""
    other = tuple(village + canvas.rng.uniform(-0.2, 0.2, 2) * canvas.length)
    turn = canvas.rng.uniform(1.2, 1.9)
    beads = smooth_noise(canvas.cover.shape, 10, canvas.rng, 2.0) > 0.6
    built = (Cover.GARDEN, Cover.TILE_ROOF, Cover.GREY_ROOF)
    outside = ~np.isin(canvas.cover, built)
    for centre, angle in ((tuple(village), heading), (other, heading + turn)):
        distance = canvas.across(centre, angle)
        canvas.paint(outside & (np.abs(distance) < 10), Cover.GRASS, over=(Cover.OPEN,))
        canvas.paint(outside & beads & (np.abs(distance - 9) < 4), Cover.TREES)
        canvas.paint(np.abs(distance) < 4.5, Cover.ROAD)


def _blocks(canvas: _Canvas) -> list[np.ndarray]:
    """Open land cut into blocks by tracks and hedges; a block is 0.3 to 1.5 square kilometres."""
    target = max(22.0, (canvas.length / 1e3) ** 2 * 100 / 22)
    done, todo = [], canvas.open_regions()
    while todo:
        region = todo.pop()
        if region.size * CELL_HA < MIN_FIELD_HA:
            canvas.cover.ravel()[region] = Cover.GRASS
            continue
        if region.size * CELL_HA < target * canvas.rng.uniform(1.1, 1.9):
            done.append(region)
            continue
        hedge = canvas.rng.random() < 0.25
        line = (Cover.HEDGE, 11.0) if hedge else (Cover.TRACK, 6.0)
        axis = _long_axis(canvas, region) + canvas.rng.normal(0, 0.08)
        todo.extend(_cut(canvas, region, axis, line))
    return done


def _long_axis(canvas: _Canvas, cells: np.ndarray) -> float:
    """Direction of the longest extent of some cells, in radians."""
    x, y = canvas.x.ravel()[cells], canvas.y.ravel()[cells]
    (xx, xy), (_, yy) = np.cov(x, y)
    return float(0.5 * np.arctan2(2 * xy, xx - yy))


def _cut(
    canvas: _Canvas, cells: np.ndarray, axis: float, line: tuple[Cover, float]
) -> list[np.ndarray]:
    """Two parts of a region, cut square to `axis` near the middle; the line takes its width."""
    place = _place(canvas, cells, axis)
    limit = np.quantile(place, canvas.rng.uniform(0.36, 0.64))
    return _part(canvas, cells, place - limit, line)


def _place(canvas: _Canvas, cells: np.ndarray, axis: float) -> np.ndarray:
    """How far along `axis` each cell lies."""
    return canvas.x.ravel()[cells] * np.cos(axis) + canvas.y.ravel()[cells] * np.sin(axis)


def _part(
    canvas: _Canvas, cells: np.ndarray, offset: np.ndarray, line: tuple[Cover, float]
) -> list[np.ndarray]:
    """Cells before and behind offset 0; those within half the line's width become the line."""
    cover, width = line
    near = np.abs(offset) < width / 2
    canvas.cover.ravel()[cells[near]] = cover
    return [cells[~near & (offset < 0)], cells[~near & (offset >= 0)]]


def _carve_pivots(canvas: _Canvas, blocks: list[np.ndarray]) -> list[np.ndarray]:
    """Put a circular field into each of the roomiest blocks; returns what is left of all."""
    wanted = int(np.clip(round(canvas.length / 1500), 1, 4))
    depths = [_depth(canvas, block) for block in blocks]
    roomy = sorted(range(len(blocks)), key=lambda i: -depths[i][0])[:wanted]
    left = list(blocks)
    for index in roomy:
        radius, row, column = depths[index]
        reach = min(radius * 0.94, 85.0 * canvas.rng.uniform(0.75, 1.0))
        rows, columns = np.divmod(blocks[index], canvas.side)
        inside = np.hypot(rows - row, columns - column) < reach
        _add_field(canvas, blocks[index][inside])
        canvas.pivots.append(canvas.count)
        left[index] = blocks[index][~inside]
    return left


def _depth(canvas: _Canvas, cells: np.ndarray) -> tuple[float, int, int]:
    """Radius, row and column of the largest circle inside a region, in cells."""
    corner, mask = _local(canvas, cells)
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(distance.argmax(), distance.shape)
    return float(distance.max()), int(row) + corner[0], int(column) + corner[1]


def _local(canvas: _Canvas, cells: np.ndarray) -> tuple[tuple[int, int], np.ndarray]:
    """Upper left corner and mask of the box around some cells."""
    rows, columns = np.divmod(cells, canvas.side)
    top, left = int(rows.min()), int(columns.min())
    mask = np.zeros((int(rows.max()) - top + 1, int(columns.max()) - left + 1), bool)
    mask[rows - top, columns - left] = True
    return (top, left), mask


def _plough(canvas: _Canvas, block: np.ndarray) -> None:
    """Divide a block into fields: long strips, a few large fields, or a patchwork."""
    style = canvas.rng.choice(["strips", "large", "patchwork"], p=[0.22, 0.18, 0.60])
    if style == "strips":
        parts = _strips(canvas, block)
    else:
        parts = _patchwork(canvas, block, 22.0 if style == "large" else 8.0)
    for part in parts:
        _add_field(canvas, part)


def _strips(canvas: _Canvas, block: np.ndarray) -> list[np.ndarray]:
    """Parallel fields of 70 to 170 m width along the block's long axis, touching or nearly."""
    axis = _long_axis(canvas, block)
    place = _place(canvas, block, axis + np.pi / 2)
    place = place - place.min()
    parts, rest, edge = [], block, 0.0
    while rest.size:
        edge += canvas.rng.uniform(70, 170)
        near, far = _part(canvas, rest, place - edge, (Cover.GRASS, canvas.rng.choice([0.0, 5.0])))
        place = place[np.isin(rest, far, assume_unique=True)]
        parts.append(near)
        rest = far
    return parts


def _patchwork(canvas: _Canvas, block: np.ndarray, median_ha: float) -> list[np.ndarray]:
    """Fields of about `median_ha`, all of a block parallel to each other."""
    done, todo = [], [block]
    axis = _long_axis(canvas, block) + canvas.rng.normal(0, 0.05)
    slender = canvas.rng.uniform(1.0, 2.6)
    while todo:
        part = todo.pop()
        limit = 1.45 * median_ha * canvas.rng.lognormal(0.0, 0.45)
        if part.size * CELL_HA < max(limit, 3 * MIN_FIELD_HA):
            done.append(part)
        else:
            turned = _extent(canvas, part, axis) < slender * _extent(canvas, part, axis + np.pi / 2)
            direction = axis + turned * np.pi / 2 + canvas.rng.normal(0, 0.025)
            todo.extend(_cut(canvas, part, direction, _boundary(canvas)))
    return done


def _extent(canvas: _Canvas, cells: np.ndarray, axis: float) -> float:
    """Length of a region along `axis`, its tips left out."""
    low, high = np.quantile(_place(canvas, cells, axis), [0.04, 0.96])
    return float(high - low)


def _boundary(canvas: _Canvas) -> tuple[Cover, float]:
    """What lies between two neighbours: most often nothing or a grass strip."""
    lines = ((Cover.GRASS, 0.0), (Cover.GRASS, 5.0), (Cover.TRACK, 5.0), (Cover.HEDGE, 9.0))
    return lines[canvas.rng.choice(len(lines), p=[0.5, 0.24, 0.12, 0.14])]


def _add_field(canvas: _Canvas, cells: np.ndarray) -> None:
    """Make each connected piece of the cells a field; scraps become grass."""
    if cells.size == 0:
        return
    (top, left), mask = _local(canvas, cells)
    pieces, count = ndimage.label(mask)
    box = (slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1]))
    for piece in range(1, count + 1):
        member = pieces == piece
        # A narrow leftover is no field even if it is long: nobody can turn a tractor there.
        roomy = ndimage.distance_transform_edt(np.pad(member, 1)).max() * CELL >= 30
        if member.sum() * CELL_HA < MIN_FIELD_HA or not roomy:
            canvas.cover[box][member] = Cover.GRASS
            continue
        canvas.count += 1
        canvas.fields[box][member] = canvas.count
        canvas.cover[box][member] = Cover.FIELD


def _scatter_trees(canvas: _Canvas) -> None:
    """Lone trees and bushes on grass, so that verges and scraps are not even."""
    bushes = smooth_noise(canvas.cover.shape, 6, canvas.rng, 2.0) > 1.3
    canvas.paint(bushes, Cover.TREES, over=(Cover.GRASS,))


def _finish(canvas: _Canvas) -> Landscape:
    """Go down to image pixels; every field stays one connected piece there."""
    canvas.paint(canvas.cover == Cover.OPEN, Cover.GRASS)
    fields = _majority(canvas.fields)
    stray = _strays(fields, canvas.count)
    fields[stray] = 0
    fine = stray.repeat(OVERSAMPLE, 0).repeat(OVERSAMPLE, 1)
    canvas.fields[fine] = 0
    canvas.paint(fine, Cover.GRASS, over=(Cover.FIELD,))
    cover = np.where(fields > 0, Cover.FIELD, _majority(canvas.cover)).astype(np.uint8)
    # Half-covered pixels of no field may still count FIELD twice; they are margins.
    cover[(fields == 0) & (cover == Cover.FIELD)] = Cover.GRASS
    angles = np.zeros(canvas.count + 1)
    for index, box in enumerate(ndimage.find_objects(canvas.fields), start=1):
        rows, columns = np.nonzero(canvas.fields[box] == index)
        cells = (rows + box[0].start) * canvas.side + columns + box[1].start
        angles[index] = _long_axis(canvas, cells)
    return Landscape(fields, cover, canvas.fields, canvas.cover, angles, tuple(canvas.pivots))


def _majority(fine: np.ndarray) -> np.ndarray:
    """The commonest of the four cells of each pixel; the larger value when two and two tie."""
    quads = [fine[r::OVERSAMPLE, c::OVERSAMPLE] for r in (0, 1) for c in (0, 1)]
    low, second, third, high = np.sort(np.stack(quads), axis=0)
    return np.where(second == third, second, np.where(third == high, high, low))


def _strays(fields: np.ndarray, count: int) -> np.ndarray:
    """Pixels cut off from the main piece of their field."""
    stray = np.zeros(fields.shape, bool)
    for index, box in enumerate(ndimage.find_objects(fields, count), start=1):
        if box is None:
            continue
        member = fields[box] == index
        pieces, found = ndimage.label(member)
        if found > 1:
            main = np.bincount(pieces.ravel())[1:].argmax() + 1
            stray[box] |= member & (pieces != main)
    return stray
