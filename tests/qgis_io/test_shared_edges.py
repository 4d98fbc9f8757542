"""Neighbours share their edges: random fields of pixels, staircases and simplified outlines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qgis.core import (
    Qgis,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsFeature,
    QgsGeometry,
    QgsPointXY,
    QgsRectangle,
    QgsVectorLayer,
)
from scipy import ndimage

from furrow.core.errors import OutputError
from furrow.core.imagery.grid import Grid, Window
from furrow.qgis_io.polygons import clean_polygons, without_spikes
from furrow.qgis_io.shapes import burn, polygon_of
from furrow.qgis_io.shared_edges import fitted

UTM = QgsCoordinateReferenceSystem("EPSG:32633")
CONTEXT = QgsCoordinateTransformContext()
PIXEL = 10.0
SIDE = 50
GRID = Grid(80, 80, (500000.0, PIXEL, 0.0, 5000000.0, 0.0, -PIXEL))
WINDOW = Window(15, 15, SIDE, SIDE)
NO_AREA = 1e-6


def layer_of(*shapes: QgsGeometry, crs: str = "EPSG:32633") -> QgsVectorLayer:
    layer = QgsVectorLayer(f"MultiPolygon?crs={crs}", "fields", "memory")
    layer.startEditing()
    for shape in shapes:
        keep(layer, shape)
    return layer


def keep(layer: QgsVectorLayer, shape: QgsGeometry) -> int:
    feature = QgsFeature()
    feature.setGeometry(shape)
    assert layer.addFeature(feature)
    return feature.id()


def box(left: float, bottom: float, right: float, top: float) -> QgsGeometry:
    """In pixels."""
    return QgsGeometry.fromRect(
        QgsRectangle(*(500000 + PIXEL * v if k % 2 == 0 else 4999000 + PIXEL * v
                       for k, v in enumerate((left, bottom, right, top))))
    )  # fmt: skip


def fit(shape, layer, crs=UTM, tolerance=PIXEL, own_fid=None) -> QgsGeometry:
    return fitted(shape, layer, crs, CONTEXT, tolerance, own_fid)


def corners(shape: QgsGeometry, digits: int = 6) -> set:
    return {(round(v.x(), digits), round(v.y(), digits)) for v in shape.vertices()}


def regions(rng: np.random.Generator, count: int) -> np.ndarray:
    """(SIDE, SIDE) a plane cut into pieces around points."""
    y, x = np.mgrid[:SIDE, :SIDE]
    points = rng.uniform(0, SIDE, (count, 2))
    return ((y[..., None] - points[:, 0]) ** 2 + (x[..., None] - points[:, 1]) ** 2).argmin(-1)


def biggest(mask: np.ndarray) -> np.ndarray:
    labels, _ = ndimage.label(mask)
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])


def outline(mask: np.ndarray) -> QgsGeometry:
    return polygon_of(mask, WINDOW, GRID)


def between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pixels with one on a side and the other opposite."""
    found = np.zeros_like(one)
    for a, b in ((one, other), (other, one)):
        found[1:-1] |= a[:-2] & b[2:]
        found[:, 1:-1] |= a[:, :-2] & b[:, 2:]
    return found & ~one & ~other


def narrow_holes(shapes) -> list:
    """Holes between shapes that are no wider than a pixel."""
    union = QgsGeometry.unaryUnion(shapes)
    rings = [ring for part in union.asGeometryCollection() for ring in part.asPolygon()[1:]]
    holes = [QgsGeometry.fromPolygonXY([ring]) for ring in rings]
    mitre = Qgis.EndCapStyle.Flat, Qgis.JoinStyle.Miter, 2.0
    return [
        hole
        for hole in holes
        if hole.area() > NO_AREA and hole.buffer(-0.49 * PIXEL, 4, *mitre).isEmpty()
    ]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), simplified=st.floats(0, 1), ragged=st.booleans())
def test_random_neighbours_share_their_edges(qgis_app, seed, simplified, ragged):
    rng = np.random.default_rng(seed)
    labels = regions(rng, 8)
    layer, kept = layer_of(), []
    for label in rng.permutation(8):
        mask = labels == label
        if ragged and rng.random() < 0.7:
            mask = (ndimage.binary_erosion if rng.random() < 0.5 else ndimage.binary_dilation)(mask)
        if mask.sum() < 25:
            continue
        shape = outline(biggest(mask))
        if rng.random() < simplified:
            shape = clean_polygons(shape.simplify(0.8 * PIXEL))
        new = fit(shape, layer)
        if new.isEmpty():
            continue
        assert new.isGeosValid()
        assert max((new.intersection(other).area() for other in kept), default=0.0) <= NO_AREA
        keep(layer, new)
        kept.append(new)
    assert narrow_holes(kept) == []


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), crs=st.sampled_from(["EPSG:32633", "EPSG:4326"]))
def test_a_gap_of_a_pixel_is_closed_along_the_neighbours_vertices(qgis_app, seed, crs):
    labels = regions(np.random.default_rng(seed), 4)
    theirs, whole = biggest(labels == 0), labels == 1
    mine = whole & ~ndimage.binary_dilation(theirs)
    if (
        not between(mine, theirs).any()
        or min(theirs.sum(), mine.sum()) < 50
        or ndimage.label(mine)[1] > 1
    ):
        return
    neighbour = outline(theirs)
    to_layer = QgsCoordinateTransform(UTM, QgsCoordinateReferenceSystem(crs), CONTEXT)
    stored = QgsGeometry(neighbour)
    stored.transform(to_layer)
    new = fit(outline(mine), layer_of(stored, crs=crs))
    assert new.isGeosValid()
    covered = burn([new], WINDOW, GRID)
    assert covered[mine | between(mine, theirs)].all() and not (covered & theirs).any()
    square = np.ones((3, 3), dtype=bool)
    near = [ndimage.binary_dilation(mask, square) for mask in (mine, theirs)]
    assert not (covered & ~mine & ~(near[0] & near[1])).any()
    shared = [v for v in neighbour.vertices() if new.distance(QgsGeometry(v.clone())) < 1e-5]
    assert {(round(v.x(), 4), round(v.y(), 4)) for v in shared} <= corners(new, 4)
    there = QgsGeometry(new)
    there.transform(to_layer)
    metres = 111_000.0**2 if crs == "EPSG:4326" else 1.0
    assert there.intersection(stored).area() * metres <= NO_AREA


def test_a_gap_between_straight_edges_is_closed_exactly(qgis_app):
    new = fit(box(0, 0, 9, 10), layer_of(box(10, 0, 20, 10)))
    assert new.isGeosEqual(box(0, 0, 10, 10))


def test_a_wider_gap_stays(qgis_app):
    shape = box(0, 0, 8.8, 10)
    assert fit(shape, layer_of(box(10, 0, 20, 10))).isGeosEqual(shape)


def test_what_overlaps_is_cut_off(qgis_app):
    new = fit(box(0, 0, 12, 10), layer_of(box(10, 0, 20, 10)))
    assert new.isGeosEqual(box(0, 0, 10, 10))


def test_vertices_of_the_neighbours_lie_on_the_new_edge(qgis_app):
    layer = layer_of(box(10, 0, 20, 4), box(10, 4, 20, 10))
    assert corners(box(10, 4, 10, 4)) < corners(fit(box(0, 0, 9, 10), layer))


def test_gaps_among_neighbours_are_left_to_them(qgis_app):
    layer = layer_of(box(10, 0, 20, 4.6), box(10, 5.4, 20, 10))
    new = fit(box(0, 0, 9, 10), layer)
    assert new.isGeosValid() and new.area() == pytest.approx(100 * PIXEL**2, rel=1e-3)


def test_a_field_around_another_gets_a_hole(qgis_app):
    inner = box(4, 4, 8, 8)
    new = fit(box(0, 0, 12, 12), layer_of(inner))
    assert new.isGeosEqual(box(0, 0, 12, 12).difference(inner))


@pytest.mark.parametrize("rim", [0, 1, 2])
def test_a_field_that_neighbours_swallow_is_empty(qgis_app, rim):
    shape = box(-rim, -rim, 20 + rim, 20 + rim)
    assert fit(shape, layer_of(box(0, 0, 20, 20))).isEmpty()


def test_slivers_beyond_a_neighbour_go(qgis_app):
    new = fit(box(0, 0, 21, 10), layer_of(box(10, -1, 20, 11)))
    assert new.isGeosEqual(box(0, 0, 10, 10))


def test_a_narrow_field_is_no_sliver(qgis_app):
    strip = box(0, 0, 1, 30)
    assert fit(strip, layer_of(box(1, 0, 10, 30))).isGeosEqual(strip)


def test_nothing_changes_without_neighbours(qgis_app):
    shape = outline(biggest(np.random.default_rng(1).random((SIDE, SIDE)) < 0.7))
    assert fit(shape, layer_of()).isGeosEqual(shape)
    assert fit(shape, layer_of(box(300, 300, 310, 310))).isGeosEqual(shape)


def test_the_field_itself_gives_no_way(qgis_app):
    layer = layer_of()
    fid = keep(layer, box(0, 0, 10, 10))
    assert fit(box(0, 0, 12, 10), layer, own_fid=fid).isGeosEqual(box(0, 0, 12, 10))


def test_without_tolerance_the_overlap_alone_goes(qgis_app):
    layer = layer_of(box(10, 0, 20, 10))
    assert fit(box(0, 0, 12, 10), layer, tolerance=0).isGeosEqual(box(0, 0, 10, 10))
    assert fit(box(0, 0, 9.5, 10), layer, tolerance=0).isGeosEqual(box(0, 0, 9.5, 10))


def test_crossed_outlines_and_heights_are_no_trouble(qgis_app):
    crossed = QgsGeometry.fromWkt("POLYGON((100 0, 200 100, 200 0, 100 100, 100 0))")
    crossed.translate(500000, 4999000)
    raised = box(10, 0, 20, 10)
    raised.get().addZValue(400)
    layer = QgsVectorLayer("MultiPolygonZ?crs=EPSG:32633", "fields", "memory")
    layer.startEditing()
    keep(layer, raised)
    keep(layer, crossed)
    new = fit(box(0, 0, 12, 10), layer)
    assert new.isGeosEqual(box(0, 0, 10, 10)) and not new.get().is3D()
    assert fit(QgsGeometry(), layer).isEmpty()
    assert fit(QgsGeometry.fromPointXY(QgsPointXY(0, 0)), layer).isEmpty()


def test_a_layer_that_does_not_reach_there_is_told(qgis_app):
    layer = layer_of(crs="EPSG:32633")
    nowhere = QgsGeometry.fromRect(QgsRectangle(0, 1e9, 10, 2e9))
    with pytest.raises(OutputError, match="cannot be moved"):
        fit(nowhere, layer, crs=QgsCoordinateReferenceSystem("EPSG:4326"))


def test_spikes_go_and_corners_stay(qgis_app):
    spiked = QgsGeometry.fromWkt(
        "POLYGON((0 0, 10 0, 10 5, 30 5.0000000001, 10 5.0000000002, 10 10, 10 10, 0 10, 0 0),"
        "(2 2, 3 2, 3 3, 2 3, 2 2))"
    )
    left = without_spikes(spiked, 1e-8)
    assert left.isGeosValid() and left.area() == pytest.approx(99, abs=1e-6)
    assert left.boundingBox().xMaximum() == 10
    assert without_spikes(QgsGeometry(), 1e-8).isEmpty()
