"""The pixels that a raster layer is read on: its own, or some that suit a web service."""

from __future__ import annotations

import math
from typing import Optional, Tuple

from qgis.core import Qgis, QgsCoordinateReferenceSystem, QgsPointXY, QgsRasterLayer

from ..core.errors import RasterError
from ..core.imagery.grid import Grid
from .ground import Ground
from .texts import tr

_STEPS = 2**20
"""A step this much smaller than a layer tells how long its unit is on the ground."""
_TOP_OF_PYRAMID = 156543.03392804097
"""Pixel size of Web Mercator's tiles at zoom level 0, in its own metres."""
_ROUNDING = 1e-6
"""Share of a pixel that does not make another one."""
_WKT_OF_GDAL = (
    Qgis.CrsWktVariant.PreferredGdal
    if hasattr(Qgis, "CrsWktVariant")  # since QGIS 3.36
    else QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED_GDAL
)


def own_grid(layer: QgsRasterLayer) -> Grid:
    """The provider's pixels, which are north up whatever the file's are."""
    provider = layer.dataProvider()
    extent, width, height = provider.extent(), provider.xSize(), provider.ySize()
    return _grid(layer, width, height, extent.width() / width, extent.height() / height)


def web_grid(layer: QgsRasterLayer, metres: float, centre: Optional[QgsPointXY]) -> Grid:
    """Pixels of a size that suits the ground, from the upper left corner of the layer."""
    extent = layer.dataProvider().extent()
    size = _pixel_size(layer, metres, extent.center() if centre is None else centre)
    width, height = (
        max(1, math.ceil(length / size - _ROUNDING)) for length in (extent.width(), extent.height())
    )
    return _grid(layer, width, height, size, size)


def edges(layer: QgsRasterLayer) -> Tuple[float, float, float, float]:
    """West, south, east and north edge as the provider says, not a rounding error beside it."""
    extent = layer.dataProvider().extent()
    return extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()


def _grid(layer: QgsRasterLayer, width: int, height: int, x_size: float, y_size: float) -> Grid:
    extent = layer.dataProvider().extent()
    transform = (extent.xMinimum(), x_size, 0.0, extent.yMaximum(), 0.0, -y_size)
    return Grid(width, height, transform, layer.crs().toWkt(_WKT_OF_GDAL))


def _pixel_size(layer: QgsRasterLayer, metres: float, centre: QgsPointXY) -> float:
    """The largest of the service's pixel sizes that is not above `metres` on the ground.

    Where the service names none: Web Mercator's, or powers of two of the map unit. So a small
    move of the centre seldom makes another grid.

    :returns: map units.
    """
    provider = layer.dataProvider()
    step = provider.extent().width() / _STEPS
    around = Grid(1, 1, (centre.x(), step, 0.0, centre.y(), 0.0, -step))
    ground = max(Ground(layer.crs(), layer.transformContext()).pixel(around))
    if not (math.isfinite(ground) and ground > 0):
        text = tr("The layer {name} tells no size on the ground; choose a place within its extent.")
        raise RasterError(text.format(name=layer.name()))
    wanted = metres / ground * step
    offered = [size for size in provider.nativeResolutions() if size > 0]
    if offered:
        return max((size for size in offered if size <= wanted), default=min(offered))
    unit = _TOP_OF_PYRAMID if layer.crs().authid() == "EPSG:3857" else 1.0
    return unit * 2.0 ** math.floor(math.log2(wanted / unit))
