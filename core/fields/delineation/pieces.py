"""Fields of one tile: pieces that do not overlap, and how each round found them.

A piece is kept as a small mask with its place, never as a mask of the whole tile, so a tile with a
thousand fields costs no more memory than the tile itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np


@dataclass(frozen=True)
class FieldPiece:
    """A field, or what one tile shows of it."""

    mask: np.ndarray
    """(h, w) bool, tight around the field: its first and last row and column hold pixels of it."""
    row: int
    """Of the mask's upper left pixel, on the tile (later on the scene)."""
    col: int
    score: float
    """0..1, the IoU with a true field that the engine expects."""
    stability: float
    """0..1, how little the mask changes when it is asked for a little differently."""
    round: int
    """Which round found it; the first is 1."""
    refined: bool = False
    """It came to be when a large mixed field was looked at again."""

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))

    @property
    def frame(self) -> Tuple[slice, slice]:
        """Its rows and columns."""
        height, width = self.mask.shape
        return slice(self.row, self.row + height), slice(self.col, self.col + width)


@dataclass(frozen=True)
class RoundCount:
    """What a round did on one tile; all but the first three in pixels."""

    round: int
    prompts: int
    """Places that the engine was asked at."""
    fields: int
    """Pieces that were new."""
    added: int
    """Pixels of the new pieces."""
    residual: int
    """Pixels that may be field and still belong to none after the round."""


@dataclass(frozen=True)
class TileFields:
    """All fields of one tile."""

    pieces: Tuple[FieldPiece, ...]
    """Disjoint; each 4-connected or of several parts that are large enough."""
    rounds: Tuple[RoundCount, ...]
    valid: int
    """Pixels with data that were to be looked at: the denominator of shares."""
    residual: np.ndarray
    """(H, W) bool: pixels to be looked at that belong to no field."""
    edges: np.ndarray
    """(H, W) float32 0..1: the chance that a field ends at a pixel."""


def label_raster(pieces: Tuple[FieldPiece, ...], shape: Tuple[int, int]) -> np.ndarray:
    """(H, W) int32: 1 + position of the piece at each pixel, 0 where there is none."""
    labels = np.zeros(shape, dtype=np.int32)
    for number, piece in enumerate(pieces, start=1):
        labels[piece.frame][piece.mask] = number
    return labels


def trimmed(
    mask: np.ndarray, score: float, stability: float, number: int, row: int = 0, col: int = 0
) -> Optional[FieldPiece]:
    """A piece without empty rows and columns around it; None where all are empty.

    :param mask: (h, w) bool.
    :param number: of the round that found it.
    :param row: of the mask's upper left pixel in the tile.
    :param col: likewise.
    """
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    tight = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].copy()
    return FieldPiece(tight, row + int(rows[0]), col + int(cols[0]), score, stability, number)
