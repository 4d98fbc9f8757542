"""Writing small GeoTIFFs."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence

import numpy as np
from osgeo import gdal, gdal_array

from ..errors import OutputError
from .grid import Grid
from .raster_gdal import quiet

_OPTIONS = ("COMPRESS=DEFLATE",)


def write_geotiff(
    path: Path,
    values: np.ndarray,
    grid: Grid,
    band_names: Sequence[str] = (),
    nodata: Optional[float] = None,
) -> None:
    """Write bands as a GeoTIFF.

    :param values: (b, h, w) of any number type that GDAL has.
    :param grid: of h x w pixels.
    :raises OutputError: it cannot be written.
    """
    kind = gdal_array.NumericTypeCodeToGDALTypeCode(values.dtype)
    with quiet():
        driver = gdal.GetDriverByName("GTiff")
        try:
            count, height, width = values.shape
            dataset = driver.Create(str(path), width, height, count, kind, list(_OPTIONS))
            if dataset is None:
                raise RuntimeError(gdal.GetLastErrorMsg())
            dataset.SetGeoTransform(grid.transform)
            dataset.SetProjection(grid.crs)
            for k, band_values in enumerate(values):
                band = dataset.GetRasterBand(k + 1)
                if nodata is not None:
                    band.SetNoDataValue(nodata)
                band.SetDescription(band_names[k] if k < len(band_names) else "")
                band.WriteArray(band_values)
            dataset.FlushCache()
            dataset = None
            failed = gdal.GetLastErrorType() >= gdal.CE_Failure
        except RuntimeError as error:
            raise OutputError(f"OUTPUT: {path} cannot be written ({error}).") from error
        if failed:
            reason = gdal.GetLastErrorMsg()
            raise OutputError(f"OUTPUT: {path} cannot be written ({reason}).")
