"""Planar fields on the map: the same points, so neighbours share their edges to the bit."""

from __future__ import annotations

import struct
from typing import List

import numpy as np
from qgis.core import QgsGeometry

from ..core.fields.coverage.planar import PlanarField
from ..core.imagery.grid import Grid

# Well-known binary.
_LITTLE_ENDIAN, _POLYGON, _MULTI_POLYGON = 1, 3, 6


def geometry_of(field: PlanarField, grid: Grid) -> QgsGeometry:
    """A field as a multipolygon in map coordinates.

    Outer rings run counter-clockwise on the map and holes clockwise, as OGC has it.
    """
    _, xc, xr, _, yc, yr = grid.transform
    mirrored = xc * yr - xr * yc < 0
    parts = [_polygon([_on_map(ring, grid, mirrored) for ring in part]) for part in field.parts]
    geometry = QgsGeometry()
    geometry.fromWkb(_head(_MULTI_POLYGON, len(parts)) + b"".join(parts))
    return geometry


def _on_map(ring: np.ndarray, grid: Grid, mirrored: bool) -> np.ndarray:
    """(k, 2) map coordinates, the other way round where the map is a mirror image of the pixels."""
    x, y = grid.to_map(ring[:, 0], ring[:, 1])
    points = np.stack((x, y), axis=1)
    return points[::-1] if mirrored else points


def _polygon(rings: List[np.ndarray]) -> bytes:
    """Well-known binary of a polygon."""
    data = [_head(_POLYGON, len(rings))]
    for ring in rings:
        data += [struct.pack("<I", len(ring)), ring.astype("<f8").tobytes()]
    return b"".join(data)


def _head(kind: int, count: int) -> bytes:
    return struct.pack("<BII", _LITTLE_ENDIAN, kind, count)
