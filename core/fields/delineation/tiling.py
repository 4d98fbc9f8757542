"""The tiles of a scene: a fixed lattice of windows that overlap, each the owner of its core.

The lattice hangs on the upper left pixel of the raster, never on the area that is looked at, so a
pixel lies in the same tiles whatever is asked for. Where two neighbours overlap, the seam between
them runs along the middle; between its seams a tile owns its core, and the cores cover the scene
without overlap. Fields are looked for a little beyond the seams, so that two tiles can compare what
they found there; the rest of the window is only shown to the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, Sequence, Tuple

from ...errors import ParameterError
from ...imagery.grid import Window

LEAST_TILE = 64
"""Pixels; an engine sees too little of the land in smaller ones."""
_CELL = 32
"""Windows begin at multiples of so many pixels. Engines see in cells of up to this size, which then
lie on the same pixels in every tile, so that neighbours see a field alike."""
_MARGIN = 32
"""Pixels beyond the seams where fields are looked for at least, as far as they are shown: fields
at the seam would else be cut off too near."""


@dataclass(frozen=True)
class Tile:
    """One window of the lattice."""

    row: int
    """Place in the lattice, from 0."""
    col: int
    window: Window
    """What the engine is shown."""
    area: Window
    """The part of it where fields are looked for: the core and a little beyond its seams."""
    core: Window
    """The part of it whose pixels this tile decides about."""

    @property
    def area_in_window(self) -> Tuple[slice, slice]:
        """Slices of the area in an array of the window."""
        return within(self.area, self.window)

    @property
    def core_in_area(self) -> Tuple[slice, slice]:
        """Slices of the core in an array of the area."""
        return within(self.core, self.area)


@dataclass(frozen=True)
class Lattice:
    """All tiles of a scene, row by row."""

    shape: Tuple[int, int]
    """Height and width of the scene in pixels."""
    size: int
    """Side of the tiles in pixels; those at the end of the scene are larger by less than a cell."""
    overlap: int
    """Pixels that neighbours share at least."""
    origin: Tuple[int, int] = (0, 0)
    """Row and column of a corner of the lattice, for measuring how much it matters."""

    def __post_init__(self) -> None:
        """:raises ParameterError: tiles that are too small, or that hardly step on."""
        if self.size < LEAST_TILE:
            raise ParameterError(
                f"TILE: {self.size} pixels are too few; give {LEAST_TILE} or more."
            )
        if self.overlap < 0 or 2 * self.overlap > self.size:
            raise ParameterError(
                f"OVERLAP: {self.overlap} of {self.size} pixels; tiles may share at most half of "
                "TILE, so give 0 to 50 percent."
            )

    @property
    def tiles(self) -> Tuple[Tile, ...]:
        """Row by row."""
        rows = _spans(self.shape[0], self.size, self.overlap, self.origin[0])
        cols = _spans(self.shape[1], self.size, self.overlap, self.origin[1])
        margin = max(self.overlap // 4, _MARGIN)
        return tuple(
            Tile(
                i,
                k,
                _window(top.shown, left.shown),
                _window(_grown(top, margin), _grown(left, margin)),
                _window(top.core, left.core),
            )
            for i, top in enumerate(rows)
            for k, left in enumerate(cols)
        )


@dataclass(frozen=True)
class _Span:
    """The rows (or columns) of a row (or column) of tiles: first one and the one after the last."""

    shown: Tuple[int, int]
    core: Tuple[int, int]


def neighbours(tiles: Sequence[Tile]) -> Iterator[Tuple[Tile, Tile]]:
    """All pairs of tiles that share a seam: each with the one on its right and the one below."""
    by_place = {(tile.row, tile.col): tile for tile in tiles}
    for tile in tiles:
        for place in ((tile.row, tile.col + 1), (tile.row + 1, tile.col)):
            if place in by_place:
                yield tile, by_place[place]


def _spans(length: int, size: int, overlap: int, origin: int) -> List[_Span]:
    """Tiles along one side of a scene; the last one is moved inward, not made smaller."""
    starts = _starts(length, size, size - overlap, origin)
    ends = [min(start + size, length) for start in starts[:-1]] + [length]
    seams = [0, *((end + start) // 2 for end, start in zip(ends, starts[1:])), length]
    return [
        _Span((start, end), (first, last))
        for start, end, first, last in zip(starts, ends, seams, seams[1:])
    ]


def _grown(span: _Span, margin: int) -> Tuple[int, int]:
    """The core and a margin, as far as they are shown."""
    return max(span.core[0] - margin, span.shown[0]), min(span.core[1] + margin, span.shown[1])


def _window(rows: Tuple[int, int], cols: Tuple[int, int]) -> Window:
    return Window(rows[0], cols[0], rows[1] - rows[0], cols[1] - cols[0])


def within(part: Window, whole: Window) -> Tuple[slice, slice]:
    """Rows and columns of a part in an array of the whole."""
    top, left = part.row - whole.row, part.col - whole.col
    return slice(top, top + part.height), slice(left, left + part.width)


def _starts(length: int, size: int, pitch: int, origin: int) -> List[int]:
    """Where tiles begin, at multiples of a cell; one that adds nothing to others is left out."""
    pitch, origin = pitch // _CELL * _CELL, origin // _CELL * _CELL
    last = max(0, (length - size) // _CELL * _CELL)
    first = origin % pitch - (pitch if origin % pitch else 0)
    return sorted({min(max(place, 0), last) for place in range(first, last + pitch, pitch)})
