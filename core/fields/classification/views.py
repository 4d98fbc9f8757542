"""What is known of one field: its pixels, and its shape on the ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

import numpy as np

Rings = Sequence[np.ndarray]
"""A polygon: (k, 2) float x, y of each ring, the exterior first, the first point repeated."""

_COARSE = np.deg2rad(np.arange(0.0, 90.0, 1.0))
_FINE = np.deg2rad(np.arange(-1.0, 1.0, 0.05))


@dataclass(frozen=True)
class FieldShape:
    """A field's outline in numbers."""

    area: float
    """Square metres."""
    perimeter: float
    """Metres, holes included."""
    compactness: float
    """4 pi area / perimeter squared: 1 for a disc, 0.79 for a square, near 0 for a thread."""
    elongation: float
    """Long side over short side of the smallest rectangle around the field, 1 or more."""
    rectangularity: float
    """Share of that rectangle that the field fills, 0..1."""


@dataclass(frozen=True)
class FieldView:
    """The window around a field as it is seen for classification."""

    values: np.ndarray
    """(b, h, w) float32, NaN where a band has no data."""
    mask: np.ndarray
    """(h, w) bool: pixels whose centre lies in the field."""
    shape: FieldShape

    @property
    def own(self) -> np.ndarray:
        """(h, w) bool: pixels of the field with data in every band."""
        return self.mask & np.isfinite(self.values).all(axis=0)


def shape_of(parts: Sequence[Rings], area: float, perimeter: float) -> FieldShape:
    """Measures of a field of one or more parts.

    :param parts: rings in metres on any local plane; for elongation and rectangularity.
    :param area: square metres on the ground.
    :param perimeter: metres on the ground.
    """
    outline = np.concatenate([rings[0] for rings in parts])
    long, short = _least_rectangle(outline - outline.mean(axis=0))
    flat = sum(_area(rings) for rings in parts)
    return FieldShape(
        area,
        perimeter,
        4 * np.pi * area / perimeter**2 if perimeter > 0 else 0.0,
        long / short if short > 0 else np.inf,
        min(1.0, flat / (long * short)) if long * short > 0 else 0.0,
    )


def _area(rings: Rings) -> float:
    """Of a polygon with holes, whatever way its rings run."""
    exterior, *holes = (abs(_signed_area(ring)) for ring in rings)
    return exterior - sum(holes)


def _signed_area(ring: np.ndarray) -> float:
    x, y = (ring - ring[0]).T
    return float(x[:-1] @ y[1:] - x[1:] @ y[:-1]) / 2


def _least_rectangle(points: np.ndarray) -> Tuple[float, float]:
    """Long and short side of the rectangle of least area around points, to 0.05 degrees."""
    best = _turned(points, _COARSE)
    angle, sides = min(zip(_COARSE, best), key=lambda pair: pair[1][0] * pair[1][1])
    finer = min(_turned(points, angle + _FINE), key=lambda pair: pair[0] * pair[1])
    sides = min(tuple(sides), tuple(finer), key=lambda pair: pair[0] * pair[1])
    return max(sides), min(sides)


def _turned(points: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(a, 2) extents of points along two axes at right angles, turned by each angle."""
    along = points @ np.stack([np.cos(angles), np.sin(angles)])
    across = points @ np.stack([-np.sin(angles), np.cos(angles)])
    return np.stack([np.ptp(along, axis=0), np.ptp(across, axis=0)], axis=1)
