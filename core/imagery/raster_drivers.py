"""Which library opens rasters: GDAL as QGIS brings it, else rasterio, as in worker processes.

Imported when a raster is opened, so that a process needs only the one that it has.
"""

from __future__ import annotations

import importlib.util

from ..errors import RasterError
from .raster import Raster


def open_raster(path: str) -> Raster:
    """Open a raster file; use it in this thread only.

    :raises RasterError: it cannot be read, or neither library is installed.
    """
    if _has("osgeo"):
        from .raster_gdal import GdalRaster

        return GdalRaster(path)
    if _has("rasterio"):
        from .raster_rasterio import RasterioRaster

        return RasterioRaster(path)
    raise RasterError(
        f"Cannot read {path}: this Python has neither GDAL nor the package rasterio; install "
        "rasterio where the work runs."
    )


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
