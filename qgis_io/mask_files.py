"""Masks of a scene as GeoTIFF, written window by window, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, Tuple

import numpy as np
from osgeo import gdal

from ..core.errors import OutputError
from ..core.imagery.grid import Grid, Window
from ..core.imagery.raster_gdal import quiet
from ..core.monitor import Monitor

NO_DATA = 255
_OPTIONS = ("TILED=YES", "COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER")


def write_mask(
    path: Path,
    grid: Grid,
    parts: Iterable[Tuple[Window, np.ndarray, np.ndarray]],
    monitor: Monitor,
) -> None:
    """Write a mask: 1 and 0, and 255 where there is no data.

    :param parts: windows without overlap, (h, w) bool where there is data, (h, w) bool of what
        is 1; where there is no window there is no data.
    :raises OutputError: it cannot be written.
    :raises Cancelled: nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.part.tif")
    try:
        with quiet():
            dataset = _created(partial, grid)
            band = dataset.GetRasterBand(1)
            for window, valid, mask in parts:
                monitor.check()
                values = np.where(valid, mask, NO_DATA).astype(np.uint8)
                band.WriteArray(values, window.col, window.row)
            band = None
            dataset.FlushCache()
            dataset = None
            if gdal.GetLastErrorType() >= gdal.CE_Failure:
                raise OutputError(_unwritable(path, gdal.GetLastErrorMsg()))
        partial.replace(path)
    except RuntimeError as error:
        raise OutputError(_unwritable(path, str(error))) from error
    finally:
        partial.unlink(missing_ok=True)


def _created(path: Path, grid: Grid) -> gdal.Dataset:
    """:raises OutputError:"""
    driver = gdal.GetDriverByName("GTiff")
    dataset = driver.Create(
        str(path), grid.width, grid.height, 1, gdal.GDT_Byte, options=list(_OPTIONS)
    )
    if dataset is None:
        raise OutputError(_unwritable(path, gdal.GetLastErrorMsg()))
    dataset.SetGeoTransform(grid.transform)
    dataset.SetProjection(grid.crs)
    band = dataset.GetRasterBand(1)
    band.SetNoDataValue(NO_DATA)
    band.Fill(NO_DATA)
    return dataset


def _unwritable(path: Path, reason: str) -> str:
    return (
        f"{path} cannot be written ({reason.strip().rstrip('.') or 'unknown reason'}); is the disk "
        "full or the file open elsewhere?"
    )
