"""References: the labelled points that samples are grown from, and their place on the grid."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Dict, Hashable, List, Sequence, Tuple

import numpy as np

from ..imagery.grid import Grid
from .cleaning import Reason


@dataclass(frozen=True)
class Reference:
    """A labelled point."""

    id: Hashable
    """Unique; a whole number or text."""
    label: Hashable
    """Its class, as the user's field holds it."""
    x: float
    """In the reference system of the grid."""
    y: float


@dataclass(frozen=True)
class SkippedReference:
    """A reference that cannot be used."""

    id: Hashable
    label: Hashable
    """None where it has no class."""
    x: float
    """NaN where it has no point."""
    y: float
    reason: Reason


@dataclass(frozen=True)
class Placed:
    """References on the pixels of a grid."""

    references: Tuple[Reference, ...]
    """In order of their place, row by row: results do not depend on the order of the input."""
    x: np.ndarray
    """(r,) float64 pixel coordinates."""
    y: np.ndarray
    rows: np.ndarray
    """(r,) int."""
    cols: np.ndarray
    skipped: Tuple[SkippedReference, ...]

    def select(self, keep: np.ndarray) -> Placed:
        """The references at which `keep` (r,) bool is True."""
        chosen = tuple(r for r, kept in zip(self.references, keep) if kept)
        return Placed(
            chosen, self.x[keep], self.y[keep], self.rows[keep], self.cols[keep], self.skipped
        )


def place(references: Sequence[Reference], grid: Grid) -> Placed:
    """Find the pixel of each reference.

    Points outside the grid are skipped. Of references of one class in one pixel the one with
    the first id stays; references of different classes in one pixel are all skipped.
    """
    x, y = grid.to_pixel(
        np.array([r.x for r in references], dtype=np.float64),
        np.array([r.y for r in references], dtype=np.float64),
    )
    rows, cols = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    inside = (rows >= 0) & (rows < grid.height) & (cols >= 0) & (cols < grid.width)
    order = sorted(
        range(len(references)), key=lambda k: (rows[k], cols[k], str(references[k].id))
    )
    reasons = _shared_pixels(references, rows, cols, [k for k in order if inside[k]])
    reasons.update({k: Reason.OUTSIDE for k in order if not inside[k]})
    used = np.array([k for k in order if k not in reasons], dtype=np.int64)
    skipped = tuple(
        SkippedReference(r.id, r.label, r.x, r.y, reasons[k])
        for k, r in enumerate(references)
        if k in reasons
    )
    chosen = tuple(references[k] for k in used)
    return Placed(chosen, x[used], y[used], rows[used], cols[used], skipped)


def _shared_pixels(
    references: Sequence[Reference], rows: np.ndarray, cols: np.ndarray, order: Sequence[int]
) -> Dict[int, Reason]:
    """Positions to skip because another reference lies in the same pixel."""
    at: Dict[Tuple[int, int], List[int]] = defaultdict(list)
    for k in order:
        at[int(rows[k]), int(cols[k])].append(k)
    reasons: Dict[int, Reason] = {}
    for members in at.values():
        if len({references[k].label for k in members}) > 1:
            reasons.update({k: Reason.CONTRADICTION for k in members})
        else:
            reasons.update({k: Reason.SAME_PIXEL for k in members[1:]})
    return reasons
