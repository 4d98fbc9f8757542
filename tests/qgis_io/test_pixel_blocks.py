"""QGIS' blocks of pixels as arrays."""

from __future__ import annotations

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import Qgis, QgsRasterBlock, QgsRasterLayer, QgsRasterRange, QgsRectangle
from qgis.PyQt.QtGui import QColor, QImage

from furrow.qgis_io.pixel_blocks import colours_of, missing, values_of
from furrow.tests.core.series_files import TRANSFORM, write_image

pytestmark = pytest.mark.usefixtures("qgis_app")


def noise(kind: str) -> np.ndarray:
    values = np.random.default_rng(5).integers(0, 250, (90, 130)).astype(kind)
    if kind == "float32":
        values[10:20, 15:25] = np.nan
    return values


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32"])
def test_blocks_hold_the_numbers_of_the_file(tmp_path, kind):
    path = write_image(tmp_path / "a.tif", {"B02": noise(kind), "B03": noise(kind)}, dtype=kind)
    layer = QgsRasterLayer(str(path))
    west, north = TRANSFORM[0], TRANSFORM[3]
    extent = QgsRectangle(west + 110, north - 700, west + 610, north - 60)
    values = values_of(layer.dataProvider().block(2, extent, 50, 64))
    stored = gdal.Open(str(path)).ReadAsArray(11, 6, 50, 64)[1]
    assert values.dtype == stored.dtype
    np.testing.assert_array_equal(values, stored)


@pytest.mark.parametrize("bounds", list(range(4)))
def test_ranges_of_no_data_are_those_of_qgis(tmp_path, bounds):
    kinds = QgsRasterRange.BoundsType
    kind = (kinds.IncludeMinAndMax, kinds.IncludeMax, kinds.IncludeMin, kinds.Exclusive)[bounds]
    path = write_image(tmp_path / "a.tif", {"B02": noise("uint8")}, dtype="uint8")
    layer = QgsRasterLayer(str(path))
    ranges = [QgsRasterRange(10, 20, kind), QgsRasterRange(200, float("nan"), kind)]
    layer.dataProvider().setUserNoDataValue(1, ranges)
    block = layer.dataProvider().block(1, layer.extent(), 130, 90)
    told = np.array([[block.isNoData(r, c) for c in range(130)] for r in range(90)])
    assert (missing(block, values_of(block), ranges) == told).all() and told.any()


@pytest.mark.parametrize("premultiplied", [False, True])
def test_colours_are_as_before_they_were_made_transparent(premultiplied):
    formats, types = QImage.Format, Qgis.DataType
    image = QImage(5, 3, formats.Format_ARGB32)
    image.fill(QColor(200, 100, 50))
    image.setPixelColor(1, 2, QColor(200, 100, 50, 128))
    image.setPixelColor(4, 0, QColor(200, 100, 50, 0))
    if premultiplied:
        image = image.convertToFormat(formats.Format_ARGB32_Premultiplied)
    kind = types.ARGB32_Premultiplied if premultiplied else types.ARGB32
    block = QgsRasterBlock(kind, 5, 3)
    assert block.setImage(image)
    colours, valid = colours_of(block)
    assert not valid[0, 4] and valid.sum() == 14 and (colours[0, 4] == 0).all()
    assert np.abs(colours[valid].astype(int) - (200, 100, 50)).max() <= 1
