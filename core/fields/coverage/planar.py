"""A raster of field labels as polygons whose neighbours share their edges exactly.

    corners of the raster    coverage/corners.py         where edges turn or meet
    -> fields apart          coverage/pinches.py         where they meet at a corner only
    -> arcs between nodes    coverage/arcs.py            each found once, shared by both sides
    -> which points matter   coverage/simplification.py  Douglas-Peucker on the middles of steps
    -> as fine as need be    coverage/settling.py        nothing crosses, touches or is lost
    -> outlines of pieces    coverage/arcs.py            outer ones and holes

Arcs are changed, never polygons, so no gaps and no overlaps can come to be. Before all that a
raster can be tidied: `closed_gaps`, then `cleaned_labels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Tuple

import numpy as np

from ...monitor import SILENT, Monitor
from .arcs import Arcs, Rings, arcs_of, rings_of
from .candidates import UNIT, Paths, exact_paths
from .cleaning import cleaned_labels
from .corners import corners_of, segments_of
from .gaps import closed_gaps
from .pinches import opened_pinches
from .ragged import offsets
from .runs import runs_of
from .settling import Drawing

__all__ = ["PlanarField", "Ring", "cleaned_labels", "closed_gaps", "planar_fields"]

Ring = np.ndarray
"""(k, 2) float64 x, y in pixels; the first point is the last one, too."""


@dataclass(frozen=True)
class PlanarField:
    """A field as polygons, in pixels: the upper left corner of the raster is (0, 0), y points
    down."""

    label: int
    parts: Tuple[Tuple[Ring, ...], ...]
    """Of each part the outer ring, of positive area where y is taken to point up, then its holes,
    of negative area. Parts, and rings of a part, meet in single points at most."""


def planar_fields(
    labels: np.ndarray,
    simplify: float = 0.0,
    straighten: float = 0.0,
    monitor: Monitor = SILENT,
) -> Tuple[PlanarField, ...]:
    """The fields of a raster as a coverage: no overlaps, no gaps, shared edges equal to the bit.

    Points where three labels meet (no field and the outside of the raster are labels, too) stay
    where they are, unless two fields meet there at nothing but a corner: then what is no field
    passes between them, and they come apart there where anything is simplified or straightened.
    The edge of the raster stays straight. Stretches that would cross another one, or change the
    area of a piece by more than a tenth, are drawn more finely, in the end exactly.

    :param labels: (H, W) int32, 0 where there is no field, never less; a label may have several
        4-connected pieces, which become parts.
    :param simplify: how far an outline may leave the middle of the staircase that pixels make of
        it, in pixels; 0: not at all, outlines then run along the edges of pixels.
    :param straighten: how far long runs may bend and still become straight, in pixels; 0: as far
        as all others.
    :return: by label.
    :raises Cancelled:
    """
    if not labels.size:
        return ()
    arcs = _arcs(labels, monitor.part(0.0, 0.5))
    if not arcs.count:
        return ()
    rings = rings_of(arcs)
    if simplify <= 0 and straighten <= 0:
        paths = exact_paths(arcs)
        kept = paths.corner
    else:
        drawing = Drawing(arcs, simplify, straighten, monitor.part(0.5, 0.8))
        paths, kept = drawing.paths, drawing.settle(monitor)
    monitor.progress(0.9)
    fields = _fields(rings, paths, kept)
    monitor.progress(1.0)
    return fields


def _arcs(labels: np.ndarray, monitor: Monitor) -> Arcs:
    runs = runs_of(labels, monitor=monitor.part(0.0, 0.5))
    corners = corners_of(labels, monitor.part(0.5, 1.0))
    pieces = runs.pieces()
    corners, segments = opened_pinches(corners, segments_of(corners, labels), runs, pieces)
    return arcs_of(corners, segments, runs, pieces)


def _fields(rings: Rings, paths: Paths, kept: np.ndarray) -> Tuple[PlanarField, ...]:
    points, starts = _outlines(rings, paths, kept)
    fields: Dict[int, List[List[Ring]]] = {}
    for k, (label, outer) in enumerate(zip(rings.label.tolist(), rings.outer.tolist())):
        parts = fields.setdefault(label, [])
        if outer:
            parts.append([])
        parts[-1].append(points[starts[k] : starts[k + 1]])
    return tuple(
        PlanarField(label, tuple(tuple(part) for part in parts)) for label, parts in fields.items()
    )


def _outlines(rings: Rings, paths: Paths, kept: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """(n, 2) float64 points of all rings, and (rings + 1,) where each starts."""
    at = np.flatnonzero(kept)
    starts = np.searchsorted(at, paths.starts)
    first, last = starts[rings.arc], starts[rings.arc + 1] - 1
    lengths = last - first  # the last point of an arc is the first one of the next
    closing = np.zeros(len(rings.arc), dtype=np.int64)
    closing[rings.starts[1:] - 1] = 1
    begins = offsets(lengths + closing)
    # Along an arc positions go up, against it down.
    way = np.where(rings.backward, -1, 1)
    steps = np.arange(begins[-1]) - np.repeat(begins[:-1], lengths + closing)
    base = np.where(rings.backward, last, first)
    taken = at[np.repeat(base, lengths + closing) + np.repeat(way, lengths + closing) * steps]
    points = np.stack((paths.x[taken], paths.y[taken]), axis=1) / UNIT
    return points, begins[rings.starts]
