"""Planar fields on the map, judged by GEOS: valid, without gaps and overlaps, true in area."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qgis.core import QgsGeometry, QgsWkbTypes
from scipy import ndimage

from furrow.core.fields.coverage.planar import PlanarField, planar_fields
from furrow.core.imagery.grid import Grid
from furrow.qgis_io.planar_polygons import geometry_of

NO_AREA = 1e-6
"""Square metres."""
TRANSFORMS = {
    "north up": (500000.0, 10.0, 0.0, 5000000.0, 0.0, -10.0),
    "south up": (500000.0, 10.0, 0.0, 5000000.0, 0.0, 10.0),
    "rotated": (500000.0, 8.0, 6.0, 5000000.0, 6.0, -8.0),
}


def grid_of(labels: np.ndarray, name: str = "north up") -> Grid:
    return Grid(labels.shape[1], labels.shape[0], TRANSFORMS[name])


def patches(seed: int, size: int = 60, fields: int = 25, gaps: float = 0.2) -> np.ndarray:
    """Ragged patches around random places, some of them no field."""
    random = np.random.default_rng(seed)
    places = random.uniform(0, size, (fields, 2))
    y, x = np.mgrid[:size, :size] + random.normal(0, 0.7, (2, size, size))
    nearest = np.hypot(y[..., None] - places[:, 0], x[..., None] - places[:, 1]).argmin(axis=2)
    numbers = np.where(random.random(fields) < gaps, 0, np.arange(1, fields + 1))
    return numbers[nearest].astype(np.int32)


def noise(seed: int, height: int, width: int, labels: int, smooth: float) -> np.ndarray:
    """Random pixels, or blots of them."""
    random = np.random.default_rng(seed)
    layers = random.random((labels + 1, height, width))
    return ndimage.gaussian_filter(layers, (0, smooth, smooth)).argmax(axis=0).astype(np.int32)


def gapped(seed: int, size: int = 60, fields: int = 20, width: float = 1.0) -> np.ndarray:
    """Fields with straight edges and gaps of about a pixel between them, at any angle."""
    random = np.random.default_rng(seed)
    places = random.uniform(0, size, (fields, 2))
    y, x = np.mgrid[:size, :size]
    away = np.hypot(y[..., None] - places[:, 0], x[..., None] - places[:, 1])
    first, second = np.sort(away, axis=2)[..., :2].transpose(2, 0, 1)
    labels = np.where(second - first < width, 0, 1 + away.argmin(axis=2))
    return labels.astype(np.int32)


def check(labels: np.ndarray, simplify: float, straighten: float, name: str = "north up") -> None:
    """Everything that a coverage promises."""
    grid = grid_of(labels, name)
    fields = planar_fields(labels, simplify, straighten)
    assert [field.label for field in fields] == [n for n in np.unique(labels) if n > 0]
    shapes = [geometry_of(field, grid) for field in fields]
    for shape in shapes:
        assert shape.isGeosValid(), shape.validateGeometry()
        assert shape.wkbType() == QgsWkbTypes.Type.MultiPolygon
    if not shapes:
        return
    total = sum(shape.area() for shape in shapes)
    union = QgsGeometry.unaryUnion(shapes)
    assert abs(union.area() - total) < NO_AREA
    check_no_gaps(union, labels, grid)
    check_areas(shapes, fields, labels, simplify + straighten > 0)


def check_no_gaps(union: QgsGeometry, labels: np.ndarray, grid: Grid) -> None:
    """Where every pixel is a field, the fields cover the raster."""
    if (labels > 0).all():
        height, width = labels.shape
        assert abs(union.area() - height * width * 100) < NO_AREA


def check_areas(shapes, fields, labels: np.ndarray, drawn: bool) -> None:
    pixels = np.bincount(labels.ravel())
    for shape, field in zip(shapes, fields):
        exact = 100 * pixels[field.label]
        bound = 0.1 * exact if drawn else 0.0
        assert abs(shape.area() - exact) <= bound + NO_AREA


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("simplify, straighten", [(0, 0), (1, 0), (1, 3), (0, 3), (4, 0)])
def test_patches_are_a_coverage(qgis_app, simplify, straighten, name):
    check(patches(1), simplify, straighten, name)


@settings(max_examples=60)
@given(
    st.integers(0, 10**6),
    st.integers(1, 24),
    st.integers(1, 24),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.7, 1.5]),
    st.sampled_from([0.0, 0.5, 1.0, 2.0, 6.0]),
    st.sampled_from([0.0, 2.0]),
)
def test_random_labels_are_a_coverage(
    qgis_app, seed, height, width, count, smooth, simplify, straighten
):
    check(noise(seed, height, width, count, smooth), simplify, straighten)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([0.7, 1.0, 3.0]), st.sampled_from([0.0, 2.5]))
def test_random_patches_are_a_coverage(qgis_app, seed, simplify, straighten):
    check(patches(seed, 50, 30), simplify, straighten)


@settings(max_examples=20)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.6, 1.0, 1.5]),
    st.sampled_from([0.5, 1.0, 3.0]),
    st.sampled_from([0.0, 2.0]),
)
def test_fields_with_narrow_gaps_are_a_coverage(qgis_app, seed, width, simplify, straighten):
    check(gapped(seed, 40, 15, width), simplify, straighten)


def test_a_line_that_stays_wrong_is_looked_at_again(qgis_app):
    check(patches(121655, 50, 30), 3.0, 0.0)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_outer_rings_run_counter_clockwise_on_the_map(qgis_app, name):
    labels = np.zeros((9, 12), np.int32)
    labels[1:8, 1:8] = 1
    labels[3:5, 3:6] = 0
    (field,) = planar_fields(labels)
    outer, hole = geometry_of(field, grid_of(labels, name)).asMultiPolygon()[0]
    assert signed_area(outer) == pytest.approx(4900)
    assert signed_area(hole) == pytest.approx(-600)


def signed_area(ring) -> float:
    x, y = np.array([(p.x(), p.y()) for p in ring]).T
    x, y = x - x[0], y - y[0]
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_neighbours_share_edges_to_the_bit(qgis_app, name):
    labels = patches(3, gaps=0.0)
    grid = grid_of(labels, name)
    edges = Counter(
        edge for field in planar_fields(labels, 1.0) for edge in edges_of(geometry_of(field, grid))
    )
    assert set(edges.values()) == {1}
    outline = [edge for edge in edges if edge[::-1] not in edges]
    x, y = grid.to_pixel(*np.array(outline).reshape(-1, 2).T)
    assert (np.isclose(x % 60, 0, atol=1e-6) | np.isclose(y % 60, 0, atol=1e-6)).all()
    assert len(outline) < len(edges) / 4


def edges_of(shape: QgsGeometry) -> list:
    """Directed edges of all rings."""
    return [
        ((one.x(), one.y()), (other.x(), other.y()))
        for part in shape.asMultiPolygon()
        for ring in part
        for one, other in zip(ring[:-1], ring[1:])
    ]


def test_a_field_at_the_origin_is_where_its_pixels_are(qgis_app):
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
    shape = geometry_of(PlanarField(1, ((square,),)), grid_of(np.ones((4, 4))))
    assert shape.boundingBox().toString(0) == "500000,4999990 : 500010,5000000"
