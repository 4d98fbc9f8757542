"""The raster driver that QGIS' own Python has: GDAL."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Iterator, Optional, Sequence, Tuple

import numpy as np
from osgeo import gdal, osr

from ..errors import RasterError
from .grid import Grid, Window
from .raster import RasterInfo

_DTYPES = {
    gdal.GDT_Byte: np.uint8,
    gdal.GDT_UInt16: np.uint16,
    gdal.GDT_Int16: np.int16,
    gdal.GDT_UInt32: np.uint32,
    gdal.GDT_Int32: np.int32,
    gdal.GDT_Float32: np.float32,
    gdal.GDT_Float64: np.float64,
}
_PLACED = 1e-3
"""Two grids are one where their corners differ by less than this share of a pixel."""


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
        with quiet() as messages:
            try:
                warped = _warp(self._dataset, self.info, bands, window, onto, categorical)
                values = warped.ReadAsArray()
            except RuntimeError as error:
                raise RasterError(_unreadable(self.info.path, [str(error)])) from error
        if values is None or messages:
            raise RasterError(_unreadable(self.info.path, messages))
        values = values.reshape(len(bands), window.height, window.width)
        return values if shape is None else _thinned(values, shape)

    def close(self) -> None:
        """Release the file."""
        self._dataset = None


def describe(path: str) -> RasterInfo:
    """Open a file only to see what it says of itself.

    :raises RasterError: where it is not a readable raster.
    """
    return _describe(path, _open(path))


def same_grid(a: Grid, b: Grid) -> bool:
    """Whether two grids have the same pixels. A missing reference system equals any."""
    if (a.width, a.height) != (b.width, b.height) or not _same_place(a, b):
        return False
    return a.crs == b.crs or not a.crs or not b.crs or bool(_system(a.crs).IsSame(_system(b.crs)))


@contextmanager
def quiet() -> Iterator[list]:
    """Collect GDAL's error messages in a list instead of printing them; drop its warnings."""
    messages: list = []
    _errors.push(lambda level, _, text: level >= gdal.CE_Failure and messages.append(text))
    try:
        yield messages
    finally:
        _errors.pop()


class _ErrorHandlers(threading.local):
    """GDAL keeps a stack of error handlers for each thread; the callables must stay alive."""

    def __init__(self) -> None:
        self.handlers: list = []

    def push(self, handler: object) -> None:
        self.handlers.append(handler)
        gdal.PushErrorHandler(handler)

    def pop(self) -> None:
        gdal.PopErrorHandler()
        self.handlers.pop()


_errors = _ErrorHandlers()


def _open(path: str) -> gdal.Dataset:
    with quiet() as messages:
        try:
            dataset = gdal.OpenEx(path, gdal.OF_RASTER | gdal.OF_READONLY)
        except RuntimeError as error:  # another plugin may have called gdal.UseExceptions()
            raise RasterError(_unreadable(path, [str(error)])) from error
    if dataset is None or dataset.RasterCount == 0:
        raise RasterError(_unreadable(path, messages))
    return dataset


def _unreadable(path: str, messages: Sequence[str]) -> str:
    reason = messages[0].strip().rstrip(".") if messages else "not a raster"
    return f"Cannot read {path}: {reason}."


def _describe(path: str, dataset: gdal.Dataset) -> RasterInfo:
    bands = [dataset.GetRasterBand(k + 1) for k in range(dataset.RasterCount)]
    block_width, block_height = bands[0].GetBlockSize()
    return RasterInfo(
        path=path,
        grid=Grid(
            dataset.RasterXSize,
            dataset.RasterYSize,
            tuple(dataset.GetGeoTransform()),
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
    with quiet() as messages:
        try:
            values = dataset.ReadAsArray(
                window.col, window.row, window.width, window.height,
                buf_xsize=width, buf_ysize=height, band_list=list(bands),
            )  # fmt: skip
        except RuntimeError as error:
            raise RasterError(_unreadable(info.path, [str(error)])) from error
    if values is None or messages:
        raise RasterError(_unreadable(info.path, messages))
    return values.reshape(len(bands), height, width)


def _warp(
    dataset: gdal.Dataset,
    info: RasterInfo,
    bands: Sequence[int],
    window: Window,
    onto: Grid,
    categorical: bool,
) -> gdal.Dataset:
    chosen = gdal.Translate("", dataset, format="VRT", bandList=list(bands))
    kind = dataset.GetRasterBand(bands[0]).DataType
    target = gdal.GetDriverByName("MEM").Create("", window.width, window.height, len(bands), kind)
    target.SetGeoTransform(onto.window_transform(window))
    target.SetProjection(onto.crs)
    for k, number in enumerate(bands, start=1):
        nodata = info.nodata[number - 1]
        band = target.GetRasterBand(k)
        band.Fill(nodata if nodata is not None else 0)
        if nodata is not None:
            band.SetNoDataValue(nodata)
    gdal.Warp(
        target,
        chosen,
        resampleAlg="near" if categorical else "bilinear",
        srcNodata=_blank(info, bands, categorical),
        srcSRS=info.grid.crs or onto.crs,
        dstSRS=onto.crs,
        multithread=False,
    )
    return target


def _blank(info: RasterInfo, bands: Sequence[int], categorical: bool) -> Optional[int]:
    """0 in digital numbers without a no data value: it must not blend with its neighbours."""
    declared = any(info.nodata[number - 1] is not None for number in bands)
    return None if declared or categorical or info.dtype.kind not in "ui" else 0


def _thinned(values: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
    rows = np.linspace(0, values.shape[1] - 1, shape[0]).round().astype(int)
    cols = np.linspace(0, values.shape[2] - 1, shape[1]).round().astype(int)
    return values[:, rows][:, :, cols]


def _same_place(a: Grid, b: Grid) -> bool:
    corners = np.array([0, a.width, a.width]), np.array([0, 0, a.height])
    x, y = b.to_pixel(*a.to_map(*corners))
    return bool(np.abs(x - corners[0]).max() < _PLACED and np.abs(y - corners[1]).max() < _PLACED)


def _system(text: str) -> osr.SpatialReference:
    system = osr.SpatialReference()
    system.ImportFromWkt(text)
    return system
