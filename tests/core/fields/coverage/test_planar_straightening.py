"""Nearly straight runs become straight; corners and curves stay."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from furrow.core.fields.coverage.planar import planar_fields


def ragged_square(seed: int, turn: float = 0.3, size: int = 120, side: float = 80) -> np.ndarray:
    """A turned square whose sides wander by about a pixel."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    off = ndimage.gaussian_filter(random.standard_normal((size, size)), 1.5)
    inside = np.maximum(np.abs(u), np.abs(v)) + off * (0.6 / off.std()) < side / 2
    labels, _ = ndimage.label(ndimage.binary_fill_holes(inside))
    return (labels == labels[size // 2, size // 2]).astype(np.int32)


def outline(labels: np.ndarray, simplify: float, straighten: float) -> np.ndarray:
    (field,) = planar_fields(labels, simplify, straighten)
    ((ring,),) = field.parts
    return ring


@pytest.mark.parametrize("seed", range(6))
def test_ragged_sides_become_straight(seed):
    labels = ragged_square(seed)
    assert len(outline(labels, 1.0, 0.0)) - 1 > 8
    ring = outline(labels, 1.0, 3.0)
    assert 4 <= len(ring) - 1 <= 8


@pytest.mark.parametrize("seed", range(6))
def test_corners_stay_where_they_are(seed):
    ring = outline(ragged_square(seed), 1.0, 3.0)
    c, s = np.cos(0.3) * 40, np.sin(0.3) * 40
    corners = 60 + np.array([(c - s, s + c), (c + s, s - c), (-c + s, -s - c), (-c - s, -s + c)])
    nearest = np.hypot(*(ring[:, None] - corners).transpose(2, 0, 1)).min(axis=0)
    assert nearest.max() < 4


def test_a_circle_stays_round():
    y, x = np.mgrid[:160, :160] + 0.5
    labels = (np.hypot(y - 80, x - 80) < 60).astype(np.int32)
    ring = outline(labels, 1.0, 3.0)
    away = np.hypot(ring[:, 0] - 80, ring[:, 1] - 80)
    middles = (ring[1:] + ring[:-1]) / 2
    inside = np.hypot(middles[:, 0] - 80, middles[:, 1] - 80)
    assert np.abs(away - 60).max() < 1.5 and (60 - inside).max() < 2.5


def test_straightening_alone_keeps_the_steps_of_curves():
    y, x = np.mgrid[:80, :80] + 0.5
    labels = (np.hypot(y - 40, x - 40) < 10).astype(np.int32)
    exact = outline(labels, 0.0, 0.0)
    straight = outline(labels, 0.0, 1.0)
    assert len(straight) <= len(exact)
    assert set(map(tuple, straight)) <= set(map(tuple, exact))
