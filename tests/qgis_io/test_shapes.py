"""Masks to polygons and back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from furrow.core.imagery.grid import Grid, Window
from furrow.qgis_io.shapes import PolygonMask, burn, polygon_of, window_of

GRID = Grid(80, 60, (500000.0, 10.0, 0.0, 5000000.0, 0.0, -10.0))
ROTATED = Grid(80, 60, (500000.0, 8.0, 6.0, 5000000.0, 6.0, -8.0))


def piece(seed: int) -> np.ndarray:
    """A ragged connected mask with holes and corners that meet."""
    noise = np.random.default_rng(seed).random((24, 31)) < 0.62
    labels, count = ndimage.label(noise)
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]) if count else noise


@pytest.mark.parametrize("grid", [GRID, ROTATED], ids=["north up", "rotated"])
@pytest.mark.parametrize("seed", range(12))
def test_a_connected_mask_is_one_valid_polygon_of_its_area(qgis_app, seed, grid):
    mask = piece(seed)
    polygon = polygon_of(mask, Window(7, 11, *mask.shape), grid)
    assert polygon.isGeosValid() and not polygon.isMultipart()
    assert polygon.area() == pytest.approx(100 * mask.sum())


@pytest.mark.parametrize("seed", range(4))
def test_a_polygon_burns_back_to_its_mask(qgis_app, seed):
    mask, window = piece(seed), Window(7, 11, 24, 31)
    polygon = polygon_of(mask, window, GRID)
    assert (burn([polygon], window, GRID) == mask).all()
    whole = PolygonMask([polygon], GRID)(GRID.whole)
    assert whole.sum() == mask.sum() and (whole[window.slices] == mask).all()


def test_the_window_of_a_polygon_is_cut_at_the_grid(qgis_app):
    mask = np.ones((10, 10), dtype=bool)
    assert window_of(polygon_of(mask, Window(-4, 75, 10, 10), GRID), GRID) == Window(0, 75, 6, 5)
    assert window_of(polygon_of(mask, Window(100, 0, 10, 10), GRID), GRID) is None
