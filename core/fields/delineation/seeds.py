"""Where an engine is asked: deep inside what is left, once for each field that there may be."""

from __future__ import annotations

from typing import List, Optional, Sequence

import numpy as np
from scipy import ndimage

from .edge_regions import EdgeRegions
from .sight import Seed

_WIDE, _NARROW = 3.0, 1.4
"""A seed lies at least so many pixels within its region, where five pixels are free; after the
first round where three are: most narrow regions are then covered by masks of their neighbours."""
_GRID_DEPTH = 4
"""Places of the grid lie at least so many pixels within what is left."""
_MOSTLY_EDGE = 0.6
"""A region with a higher mean chance of an edge is a hedge, a road or a wood."""
_DENSE = 0.5
"""Texture is made of pixels with at least this chance of an edge ..."""
_DENSE_WIDTH = 21
"""... that, grown by _GAP, fill a square of this side."""
_GAP = 6


def what_is_left(valid: np.ndarray, done: np.ndarray, growth: int, least: int) -> np.ndarray:
    """(H, W) bool: pixels that no field covers or comes near to, without patches that are small.

    :param growth: pixels around fields, in steps between 4-neighbours.
    :param least: pixels of a patch.
    """
    grown = ndimage.binary_dilation(done, iterations=growth) if growth else done
    left = valid & ~grown
    labels, _ = ndimage.label(left)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= least)[labels]


def texture(edges: np.ndarray) -> np.ndarray:
    """(H, W) bool: where edges are so dense that there is no room for fields.

    A lone edge, grown, is a band narrower than the square that has to fit in.

    :param edges: (H, W) float32 0..1.
    """
    grown = ndimage.maximum_filter(edges >= _DENSE, 2 * _GAP + 1)
    return ndimage.minimum_filter(grown, _DENSE_WIDTH)


def region_seeds(
    regions: EdgeRegions,
    level: float,
    left: np.ndarray,
    edges: np.ndarray,
    least: int,
    first: bool,
) -> List[Seed]:
    """The deepest place of each region in what is left, and how wide the region is.

    :param level: no edge above this chance divides a region.
    :param left: (H, W) bool.
    :param edges: (H, W) float32 0..1.
    :param least: pixels that have to be left of a region.
    :param first: whether this is the first round.
    """
    labels = regions.cut(level)
    numbers, place = np.unique(labels, return_inverse=True)
    place = place.reshape(labels.shape)
    inner = left.copy()
    inner[:, 1:] &= labels[:, 1:] == labels[:, :-1]
    inner[1:] &= labels[1:] == labels[:-1]
    # Half a pixel off to one side, which a field does not notice. The tile's rim is no border.
    depth = ndimage.distance_transform_edt(np.pad(inner, 1, mode="edge"))[1:-1, 1:-1]
    many = np.arange(len(numbers))
    pixels = np.bincount(place[left], minlength=many.size)
    blurred = np.bincount(place[left], edges[left], minlength=many.size)
    wanted = (pixels >= least) & (blurred <= _MOSTLY_EDGE * pixels)
    worth = depth * (1 - edges)
    places = ndimage.maximum_position(worth, place, many[wanted]) if wanted.any() else []
    enough = _WIDE if first else _NARROW
    sides = np.sqrt(np.bincount(place.ravel())[wanted])
    return [
        Seed((int(r), int(c)), float(side))
        for (r, c), side in zip(places, sides)
        if depth[r, c] >= enough
    ]


def grid_seeds(left: np.ndarray, points_per_side: int, taken: Sequence[Seed]) -> List[Seed]:
    """Places of a regular grid within what is left, none of them near one that is taken.

    :param left: (H, W) bool.
    :param points_per_side: along the longer side.
    """
    pitch = max(max(left.shape) / points_per_side, 1.0)
    depth = ndimage.distance_transform_edt(np.pad(left, 1))[1:-1, 1:-1]
    free = depth >= min(_GRID_DEPTH, pitch / 2)
    for row, col in (seed.place for seed in taken):
        near = _window(row, pitch), _window(col, pitch)
        free[near] = False
    rows, cols = ((np.arange(pitch / 2, side, pitch)).astype(int) for side in left.shape)
    return [Seed((int(r), int(c))) for r in rows for c in cols if free[r, c]]


def _window(middle: int, width: float) -> slice:
    return slice(max(int(middle - width / 2), 0), int(middle + width / 2) + 1)


def seeds(
    regions: EdgeRegions,
    left: np.ndarray,
    edges: np.ndarray,
    level: Optional[float],
    least: int,
    grid: Optional[int],
    first: bool,
) -> List[Seed]:
    """All places of a round.

    :param level: of the regions that get a seed each; None: none do.
    :param grid: points per side; None: no grid.
    """
    found = [] if level is None else region_seeds(regions, level, left, edges, least, first)
    return found + ([] if grid is None else grid_seeds(left, grid, found))
