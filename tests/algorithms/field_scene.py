"""A made-up picture of two kinds of land, with polygons whose class is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from osgeo import gdal, osr
from qgis.core import QgsFeature, QgsField, QgsGeometry, QgsPointXY, QgsVectorLayer
from qgis.PyQt.QtCore import QVariant

SIDE, ROOM = 20, 24
"""Pixels of a polygon's side, and from one to the next."""
CORNER = (500_000.0, 5_300_000.0)
METRES = 10.0


@dataclass(frozen=True)
class FieldScene:
    """A picture and its polygons."""

    image: Path
    layer: QgsVectorLayer
    places: tuple[tuple[int, int, str], ...]
    """Row, column and class of each polygon's upper left pixel."""


def pixels(rows: int, cols: int, seed: int) -> tuple[np.ndarray, tuple]:
    """(3, h, w) uint8 with even green fields and rough brown scrub in a random pattern."""
    rng = np.random.default_rng(seed)
    image = rng.normal(120, 4, (3, rows * ROOM, cols * ROOM))
    places = []
    for row in range(rows):
        for col in range(cols):
            field = bool(rng.random() < 0.5)
            top, left = row * ROOM + 2, col * ROOM + 2
            colour = np.array([70, 130, 60] if field else [110, 90, 70])[:, None, None]
            rough = 4 if field else 25
            image[:, top : top + SIDE, left : left + SIDE] = (
                colour + rng.normal(0, 10) + rng.normal(0, rough, (1, SIDE, SIDE))
            )
            places.append((top, left, "field" if field else "nonfield"))
    return np.clip(image, 0, 255).astype(np.uint8), tuple(places)


def save(path: Path, values: np.ndarray, placed: bool = True, nodata=None, names=()) -> Path:
    kinds = {"uint8": gdal.GDT_Byte, "uint16": gdal.GDT_UInt16, "float32": gdal.GDT_Float32}
    count, height, width = values.shape
    data = gdal.GetDriverByName("GTiff").Create(
        str(path), width, height, count, kinds[values.dtype.name]
    )
    if placed:
        system = osr.SpatialReference()
        system.ImportFromEPSG(32632)
        data.SetProjection(system.ExportToWkt())
        data.SetGeoTransform((CORNER[0], METRES, 0, CORNER[1], 0, -METRES))
    for k in range(count):
        band = data.GetRasterBand(k + 1)
        band.WriteArray(values[k])
        if names:
            band.SetDescription(names[k])
        if nodata is not None:
            band.SetNoDataValue(nodata)
    return path


def polygon(top, left, side=SIDE, placed=True) -> QgsGeometry:
    """A square of pixels on the map; in pixels, y downwards, where the picture has no place."""
    corners = [(left, top), (left + side, top), (left + side, top + side), (left, top + side)]
    if placed:
        corners = [(CORNER[0] + METRES * x, CORNER[1] - METRES * y) for x, y in corners]
    return QgsGeometry.fromPolygonXY([[QgsPointXY(*c) for c in (*corners, corners[0])]])


def layer_of(rows, crs="EPSG:32632", kind="MultiPolygon", class_type=QVariant.String):
    """From (geometry or None, class, image) rows."""
    layer = QgsVectorLayer(f"{kind}?crs={crs}" if crs else kind, "fields", "memory")
    provider = layer.dataProvider()
    provider.addAttributes([QgsField("class", class_type), QgsField("image", QVariant.String)])
    layer.updateFields()
    for shape, label, image in rows:
        feature = QgsFeature(layer.fields())
        if shape is not None:
            copy = QgsGeometry(shape)
            copy.convertToMultiType()
            feature.setGeometry(copy)
        feature.setAttributes([label, image])
        assert provider.addFeature(feature)
    layer.updateExtents()
    return layer


def scene(folder: Path, seed: int, rows=6, cols=8, placed=True, labelled=True) -> FieldScene:
    values, places = pixels(rows, cols, seed)
    path = save(folder / f"scene_{seed}.tif", values, placed)
    layer = layer_of(
        [(polygon(t, c, placed=placed), k if labelled else None, path.name) for t, c, k in places],
        "EPSG:32632" if placed else "",
    )
    return FieldScene(path, layer, places)
