"""Polygons cut along the borders of labels: by hand."""

from __future__ import annotations

import numpy as np
import pytest
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsGeometry,
    QgsProject,
)

from furrow.core.imagery.grid import Grid
from furrow.qgis_io.field_splitting import split_polygon

GRID = Grid(20, 10, (100.0, 2.0, 0.0, 50.0, 0.0, -2.0))
"""x 100..140, y 30..50, pixels of 2."""
SQUARE = "Polygon ((102.5 32.5, 130.7 32.5, 130.7 47.5, 102.5 47.5, 102.5 32.5))"


def columns(*ends: int) -> np.ndarray:
    """(10, 20) labels 1, 2, ... that end at columns."""
    labels = np.zeros((10, 20), np.int32)
    for number, (start, end) in enumerate(zip((0, *ends), ends), start=1):
        labels[:, start:end] = number
    return labels


def split(wkt: str, labels: np.ndarray, simplify: float = 0.0, onto: object = None) -> list:
    parts = split_polygon(
        QgsGeometry.fromWkt(wkt), labels, GRID, onto or QgsCoordinateTransform(), simplify
    )
    assert parts is not None
    return parts


def test_parts_are_in_the_order_of_their_labels() -> None:
    parts = split(SQUARE, columns(5, 9, 20))
    assert [round(part.boundingBox().xMaximum(), 6) for part in parts] == [110, 118, 130.7]
    assert sum(part.area() for part in parts) == pytest.approx(28.2 * 15)


def test_what_lies_beyond_the_grid_goes_to_the_largest() -> None:
    wide = "Polygon ((102 32, 190 32, 190 48, 102 48, 102 32))"
    small, large = split(wide, columns(5, 20))
    assert small.area() == pytest.approx(8 * 16) and large.area() == pytest.approx(80 * 16)


def test_a_label_beside_the_polygon_has_no_part() -> None:
    none, all_of_it = split(SQUARE, columns(1, 20))
    assert none.isEmpty() and all_of_it.area() == pytest.approx(28.2 * 15)


def test_holes_and_parts() -> None:
    wkt = (
        "MultiPolygon (((102 32, 126 32, 126 48, 102 48, 102 32), "
        "(106 36, 114 36, 114 44, 106 44, 106 36)), ((130 34, 136 34, 136 40, 130 40, 130 34)))"
    )
    parts = split(wkt, columns(6, 20))
    whole = QgsGeometry.fromWkt(wkt)
    assert sum(part.area() for part in parts) == pytest.approx(whole.area())
    assert parts[0].intersection(parts[1]).area() == 0
    assert parts[1].isMultipart()


def test_crumbs_go_to_the_part_beside_them() -> None:
    """A corner of label 2 that reaches 0.1 into the polygon."""
    labels = columns(5, 20)
    labels[0, :5] = 2
    parts = split("Polygon ((104 32, 130 32, 130 48.1, 104 48.1, 104 32))", labels)
    assert all(len(part.asGeometryCollection()) == 1 for part in parts)
    assert sum(part.area() for part in parts) == pytest.approx(26 * 16.1)


def test_a_polygon_that_crosses_itself_is_mended() -> None:
    parts = split("Polygon ((102 32, 130 48, 130 32, 102 48, 102 32))", columns(5, 20))
    assert sum(part.area() for part in parts) == pytest.approx(28 * 16 / 2)


def test_in_another_reference_system() -> None:
    systems = [QgsCoordinateReferenceSystem(f"EPSG:{code}") for code in (32632, 4326)]
    onto = QgsCoordinateTransform(*systems, QgsProject.instance())
    grid = Grid(20, 10, (500000.0, 10.0, 0.0, 5300000.0, 0.0, -10.0))
    shape = QgsGeometry.fromWkt(
        "Polygon ((500012 5299912, 500153 5299915, 500150 5299991, 500013 5299988, 500012 5299912))"
    )
    shape.transform(onto)
    parts = split_polygon(shape, columns(6, 12, 20), grid, onto, 0.5)
    assert parts is not None and len(parts) == 3
    assert sum(part.area() for part in parts) == pytest.approx(shape.area(), rel=1e-12)
    assert parts[0].intersection(parts[1]).area() == 0
    assert parts[0].intersection(parts[1]).length() > 0
