"""The raster driver that QGIS' own Python has: GDAL."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, Optional, Sequence, Tuple

import numpy as np
from osgeo import gdal, osr

from ..errors import RasterError
from .grid import Grid, Window
from .raster import UNPLACED, RasterInfo
from .warping import blank, same_place, seen_window, thinned

_DTYPES = {
    gdal.GDT_Byte: np.uint8,
    gdal.GDT_UInt16: np.uint16,
    gdal.GDT_Int16: np.int16,
    gdal.GDT_UInt32: np.uint32,
    gdal.GDT_Int32: np.int32,
    gdal.GDT_Float32: np.float32,
    gdal.GDT_Float64: np.float64,
}


class GdalRaster:
    """An open raster; fulfils `Raster`. Use it in the thread that opened it."""

    def __init__(self, path: str) -> None:
        self._dataset = _open(path)
        self.info = _describe(path, self._dataset)

    def read(
        self,
        bands: Sequence[int],
        window: Window,
        onto: Optional[Grid] = None,
        categorical: bool = False,
        shape: Optional[Tuple[int, int]] = None,
    ) -> np.ndarray:
        """See `Raster.read`."""
        if onto is None or same_grid(onto, self.info.grid):
            return _read_window(self._dataset, self.info, bands, window, shape)
        values = self._warped(bands, window, onto, categorical)
        return values if shape is None else thinned(values, shape)

    def close(self) -> None:
        """Release the file."""
        self._dataset = None

    def _warped(
        self, bands: Sequence[int], window: Window, onto: Grid, categorical: bool
    ) -> np.ndarray:
        """Read what lies under a window of another grid, and warp it in memory.

        The warper never reads the file itself, so that a broken file fails in a plain read.
        """
        nodata = [self.info.nodata[number - 1] for number in bands]
        kind = self._dataset.GetRasterBand(bands[0]).DataType
        target = _in_memory(onto, window, nodata, kind)
        seen = seen_window(self.info.grid, onto, window, _moved)
        if seen is not None:
            stored = _read_window(self._dataset, self.info, bands, seen, None)
            with _reading(self.info.path):
                source = _in_memory(self.info.grid, seen, nodata, kind, stored)
                _warp(source, target, blank(self.info, bands, categorical), categorical)
        return target.ReadAsArray().reshape(len(bands), window.height, window.width)


def describe(path: str) -> RasterInfo:
    """Open a file only to see what it says of itself.

    :raises RasterError: where it is not a readable raster.
    """
    return _describe(path, _open(path))


def same_grid(a: Grid, b: Grid) -> bool:
    """Whether two grids have the same pixels. A missing reference system equals any."""
    if (a.width, a.height) != (b.width, b.height) or not same_place(a, b):
        return False
    return a.crs == b.crs or not a.crs or not b.crs or bool(_system(a.crs).IsSame(_system(b.crs)))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep GDAL from printing messages.

    GDAL's own silent handler is used: a Python function would be called from many threads.
    """
    gdal.ErrorReset()
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    try:
        yield
    finally:
        gdal.PopErrorHandler()


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Turn GDAL's errors into RasterError, whether or not somebody called gdal.UseExceptions()."""
    with quiet():
        try:
            yield
        except RuntimeError as error:
            raise RasterError(_unreadable(path, str(error))) from error
        if gdal.GetLastErrorType() >= gdal.CE_Failure:
            raise RasterError(_unreadable(path, gdal.GetLastErrorMsg()))


def _unreadable(path: str, reason: str) -> str:
    return f"Cannot read {path}: {reason.strip().rstrip('.') or 'not a raster'}."


def _open(path: str) -> gdal.Dataset:
    with _reading(path):
        dataset = gdal.OpenEx(path, gdal.OF_RASTER | gdal.OF_READONLY)
    if dataset is None or dataset.RasterCount == 0:
        raise RasterError(_unreadable(path, ""))
    return dataset


def _describe(path: str, dataset: gdal.Dataset) -> RasterInfo:
    bands = [dataset.GetRasterBand(k + 1) for k in range(dataset.RasterCount)]
    block_width, block_height = bands[0].GetBlockSize()
    return RasterInfo(
        path=path,
        grid=Grid(
            dataset.RasterXSize,
            dataset.RasterYSize,
            tuple(dataset.GetGeoTransform(can_return_null=True) or UNPLACED),
            dataset.GetProjection() or "",
        ),
        band_names=tuple(band.GetDescription() or "" for band in bands),
        dtype=np.dtype(_DTYPES.get(bands[0].DataType, np.float64)),
        nodata=tuple(band.GetNoDataValue() for band in bands),
        scales=tuple(band.GetScale() or 1.0 for band in bands),
        offsets=tuple(band.GetOffset() or 0.0 for band in bands),
        block=(block_height, block_width),
        tags={**dataset.GetMetadata("IMAGERY"), **dataset.GetMetadata()},
    )


def _read_window(
    dataset: gdal.Dataset,
    info: RasterInfo,
    bands: Sequence[int],
    window: Window,
    shape: Optional[Tuple[int, int]],
) -> np.ndarray:
    height, width = shape or (window.height, window.width)
    with _reading(info.path):
        values = dataset.ReadAsArray(
            window.col, window.row, window.width, window.height,
            buf_xsize=width, buf_ysize=height, band_list=list(bands),
        )  # fmt: skip
    return values.reshape(len(bands), height, width)


def _in_memory(
    grid: Grid,
    window: Window,
    nodata: Sequence[Optional[float]],
    kind: int,
    values: Optional[np.ndarray] = None,
) -> gdal.Dataset:
    """A data set in memory on a window of a grid; filled with no data (or 0) without values."""
    driver = gdal.GetDriverByName("MEM")
    dataset = driver.Create("", window.width, window.height, len(nodata), kind)
    dataset.SetGeoTransform(grid.window_transform(window))
    dataset.SetProjection(grid.crs)
    for k, missing in enumerate(nodata):
        band = dataset.GetRasterBand(k + 1)
        if missing is not None:
            band.SetNoDataValue(missing)
        if values is not None:
            band.WriteArray(values[k])
        elif missing is not None:
            band.Fill(missing)
    return dataset


def _warp(
    source: gdal.Dataset, target: gdal.Dataset, blank: Optional[int], categorical: bool
) -> None:
    here, there = source.GetProjection(), target.GetProjection()
    gdal.Warp(
        target,
        source,
        resampleAlg="near" if categorical else "bilinear",
        srcNodata=blank,
        srcSRS=here or there or None,
        dstSRS=there or here or None,
        multithread=False,
    )


def _moved(
    x: np.ndarray, y: np.ndarray, source: str, target: str
) -> Tuple[np.ndarray, np.ndarray]:
    """Points in another reference system; as they are where either is missing."""
    if not source or not target or source == target:
        return x, y
    systems = [_system(source), _system(target)]
    for system in systems:
        system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    with quiet():
        points = osr.CoordinateTransformation(*systems).TransformPoints(np.column_stack((x, y)))
    moved = np.array(points, dtype=np.float64)
    return moved[:, 0], moved[:, 1]


def _system(text: str) -> osr.SpatialReference:
    system = osr.SpatialReference()
    system.ImportFromWkt(text)
    return system
