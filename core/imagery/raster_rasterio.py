"""The raster driver of worker processes without QGIS: rasterio, which brings a GDAL of its own.

Two copies of GDAL in one process may not agree, so nothing imports this where QGIS' own is there.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import Iterator, Optional, Sequence, Tuple

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.transform import Affine
from rasterio.warp import reproject, transform
from rasterio.windows import Window as RasterioWindow

from ..errors import RasterError
from .grid import Grid, Window
from .raster import UNPLACED, RasterInfo
from .warping import blank, same_place, seen_window, thinned

_NOWHERE = CRS.from_epsg(3857)
"""Stands for the one reference system of two rasters that have none: any plane will do."""


class RasterioRaster:
    """An open raster; fulfils `Raster`. Use it in the thread that opened it."""

    def __init__(self, path: str) -> None:
        with _reading(path), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", NotGeoreferencedWarning)
            self._dataset = rasterio.open(path)
            # It gives a raster without a place that of pixels, and tells so in this way only.
            transform = self._dataset.transform
        placed = not any(issubclass(each.category, NotGeoreferencedWarning) for each in said)
        self.info = _described(
            path, self._dataset, transform.to_gdal() if placed else UNPLACED
        )

    def read(
        self,
        bands: Sequence[int],
        window: Window,
        onto: Optional[Grid] = None,
        categorical: bool = False,
        shape: Optional[Tuple[int, int]] = None,
    ) -> np.ndarray:
        """See `Raster.read`."""
        if onto is None or _same_grid(onto, self.info.grid):
            return self._window(bands, window, shape)
        values = self._warped(bands, window, onto, categorical)
        return values if shape is None else thinned(values, shape)

    def close(self) -> None:
        """Release the file."""
        self._dataset.close()

    def _window(
        self, bands: Sequence[int], window: Window, shape: Optional[Tuple[int, int]]
    ) -> np.ndarray:
        height, width = shape or (window.height, window.width)
        with _reading(self.info.path):
            return self._dataset.read(
                list(bands),
                window=RasterioWindow(window.col, window.row, window.width, window.height),
                out_shape=(len(bands), height, width),
                resampling=Resampling.nearest,
            )

    def _warped(
        self, bands: Sequence[int], window: Window, onto: Grid, categorical: bool
    ) -> np.ndarray:
        """Read what lies under a window of another grid, and warp it in memory."""
        missing = self.info.nodata[bands[0] - 1]
        shape = (len(bands), window.height, window.width)
        target = np.full(shape, 0 if missing is None else missing, self.info.dtype)
        seen = seen_window(self.info.grid, onto, window, _moved)
        if seen is None:
            return target
        source, here, there = self._window(bands, seen, None), self.info.grid.crs, onto.crs
        with _reading(self.info.path):
            reproject(
                source,
                target,
                src_transform=Affine.from_gdal(*self.info.grid.window_transform(seen)),
                dst_transform=Affine.from_gdal(*onto.window_transform(window)),
                src_crs=_system(here or there),
                dst_crs=_system(there or here),
                src_nodata=blank(self.info, bands, categorical) if missing is None else missing,
                dst_nodata=0 if missing is None else missing,
                resampling=Resampling.nearest if categorical else Resampling.bilinear,
            )
        return target


def _described(
    path: str, dataset: rasterio.DatasetReader, transform: Sequence[float]
) -> RasterInfo:
    return RasterInfo(
        path=path,
        grid=Grid(
            dataset.width,
            dataset.height,
            tuple(transform),
            dataset.crs.to_wkt() if dataset.crs else "",
        ),
        band_names=tuple(name or "" for name in dataset.descriptions),
        dtype=np.dtype(dataset.dtypes[0]),
        nodata=tuple(dataset.nodatavals),
        scales=tuple(scale or 1.0 for scale in dataset.scales),
        offsets=tuple(offset or 0.0 for offset in dataset.offsets),
        block=tuple(dataset.block_shapes[0]),
        tags={**dataset.tags(ns="IMAGERY"), **dataset.tags()},
    )


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Turn the library's errors into RasterError."""
    try:
        yield
    except (RasterioError, OSError) as error:
        reason = str(error).strip().rstrip(".") or "not a raster"
        raise RasterError(f"Cannot read {path}: {reason}.") from error


def _same_grid(a: Grid, b: Grid) -> bool:
    """Whether two grids have the same pixels. A missing reference system equals any."""
    if (a.width, a.height) != (b.width, b.height) or not same_place(a, b):
        return False
    return a.crs == b.crs or not a.crs or not b.crs or _system(a.crs) == _system(b.crs)


def _moved(
    x: np.ndarray, y: np.ndarray, source: str, target: str
) -> Tuple[np.ndarray, np.ndarray]:
    """Points in another reference system; as they are where either is missing."""
    if not source or not target or source == target:
        return x, y
    moved = transform(_system(source), _system(target), x.tolist(), y.tolist())
    return np.array(moved[0]), np.array(moved[1])


def _system(text: str) -> CRS:
    return CRS.from_wkt(text) if text else _NOWHERE
