"""Polygons of two layers laid over each other."""

from __future__ import annotations

import numpy as np
import pytest
from qgis.core import QgsFeature, QgsGeometry, QgsProcessingContext, QgsVectorLayer

from furrow.core.errors import Cancelled
from furrow.core.monitor import Monitor
from furrow.qgis_io.field_overlaps import (
    NO_AREA,
    TOO_SMALL,
    comparison_plane,
    outlines_near,
    overlaps_of,
    read_polygons,
)

pytestmark = pytest.mark.usefixtures("qgis_app")


def square(x, y, side=100.0):
    ring = [(x, y), (x + side, y), (x + side, y + side), (x, y + side), (x, y)]
    return "Polygon ((" + ", ".join(f"{a!r} {b!r}" for a, b in ring) + "))"


def layer_of(shapes, crs="EPSG:25832", groups=None):
    kind = "Polygon?field=image:string" + (f"&crs={crs}" if crs else "")
    layer = QgsVectorLayer(kind, "fields", "memory")
    for k, wkt in enumerate(shapes):
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromWkt(wkt) if wkt else QgsGeometry())
        feature.setAttributes([groups[k] if groups else None])
        layer.dataProvider().addFeatures([feature])
    layer.updateExtents()
    return layer


def read(layer, plane=None, **options):
    context = QgsProcessingContext()
    return read_polygons(layer, plane or comparison_plane(layer, context), context, **options)


def test_overlaps_by_hand():
    fields = read(layer_of([square(0, 0), square(500, 0), square(150, 0)]))
    truths = read(layer_of([square(50, 0), square(500, 0), square(100, 100)]))
    found = overlaps_of(fields, truths)
    pairs = {(int(f), int(t)): a for f, t, a in zip(found.field, found.truth, found.area)}
    assert pairs == {(0, 0): 5000, (1, 1): 10000}  # the third only touches
    assert found.iou[0] == pytest.approx(1 / 3)
    assert found.field_area.tolist() == [10000] * 3


def test_groups_keep_apart_what_lies_on_the_same_place():
    fields = read(layer_of([square(0, 0)], groups=["a"]), group_field="image")
    truths = read(layer_of([square(0, 0), square(0, 0)], groups=["b", "a"]), group_field="image")
    found = overlaps_of(fields, truths)
    assert found.truth.tolist() == [1]


def test_degrees_are_compared_in_metres():
    wkt = "Polygon ((10 56, 10.002 56, 10.002 56.001, 10 56.001, 10 56))"
    layer = layer_of([wkt], "EPSG:4326")
    plane = comparison_plane(layer, QgsProcessingContext())
    assert not plane.isGeographic()
    found = read(layer, plane)
    assert found.areas[0] == pytest.approx(124.7 * 111.3, rel=0.01)


def test_layers_of_different_reference_systems_meet():
    utm = layer_of([square(500000, 6200000)])
    degrees = layer_of([], "EPSG:4326")
    shape = QgsGeometry.fromWkt(square(500000, 6200000))
    from qgis.core import QgsCoordinateReferenceSystem, QgsCoordinateTransform, QgsProject

    move = QgsCoordinateTransform(utm.crs(), QgsCoordinateReferenceSystem("EPSG:4326"),
                                  QgsProject.instance())  # fmt: skip
    shape.transform(move)
    feature = QgsFeature(degrees.fields())
    feature.setGeometry(shape)
    degrees.dataProvider().addFeatures([feature])
    plane = comparison_plane(utm, QgsProcessingContext())
    found = overlaps_of(read(utm, plane), read(degrees, plane))
    assert found.iou[0] > 0.999


def test_without_reference_system_units_are_what_they_are():
    layer = layer_of([square(0, 0)], crs="")
    from qgis.core import QgsCoordinateReferenceSystem

    layer.setCrs(QgsCoordinateReferenceSystem())
    assert read(layer).areas[0] == 10000


def test_what_cannot_be_compared_is_left_out_with_its_reason():
    bow = "Polygon ((0 0, 100 100, 100 0, 0 100, 0 0))"
    flat = "Polygon ((0 0, 100 0, 0 0))"
    layer = layer_of([None, flat, bow, square(0, 0, 3.0), square(0, 0)])
    found = read(layer, least_area=20.0)
    assert [reason for _, reason in found.skipped] == [NO_AREA, NO_AREA, TOO_SMALL]
    assert found.areas.tolist() == [5000, 10000]


def test_outlines_near_each_other():
    fields = read(layer_of([square(0, 0), square(1000, 0)]))
    truths = read(layer_of([square(4, 0)]))
    found = outlines_near(fields, truths, 5.0)
    assert found.length.tolist() == [400, 400]
    assert found.near[0] == pytest.approx(400) and found.near[1] == 0
    shifted = outlines_near(fields, read(layer_of([square(20, 0)])), 5.0)
    # Upper and lower side from 20 - 5 on; the left and the right side lie 20 apart.
    assert shifted.near[0] == pytest.approx(2 * 85 + 2 * 5, abs=8)


def test_cancelling_stops():
    fields = read(layer_of([square(0, 0)]))
    with pytest.raises(Cancelled):
        overlaps_of(fields, fields, Monitor(cancelled=lambda: True))


def test_empty_layers():
    nothing = read(layer_of([]))
    found = overlaps_of(nothing, nothing)
    assert found.area.size == 0 and found.field_area.size == 0
    assert np.isfinite(outlines_near(nothing, nothing, 5.0).near).all()
