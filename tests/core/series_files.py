"""Small dated GeoTIFFs, written as a test needs them, and segmenters simple enough to predict."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Tuple

import numpy as np
from osgeo import gdal, osr

from furrow.core.fields.segmenter import Embedding, Masks, Prompts

TRANSFORM = (500000.0, 10.0, 0.0, 5000000.0, 0.0, -10.0)
UTM32, UTM33, WGS84 = 32632, 32633, 4326
_KINDS = {
    "uint8": gdal.GDT_Byte,
    "uint16": gdal.GDT_UInt16,
    "int16": gdal.GDT_Int16,
    "float32": gdal.GDT_Float32,
}
NIR = 4000
"""Stored near infrared of every pixel that `ndvi_bands` makes."""


def wkt(epsg: int) -> str:
    system = osr.SpatialReference()
    system.ImportFromEPSG(epsg)
    return system.ExportToWkt()


def day(number: int) -> dt.date:
    """A day of 2022; 0 is the first of January."""
    return dt.date(2022, 1, 1) + dt.timedelta(days=int(number))


def write_image(
    path: Path,
    bands: Mapping[str, np.ndarray],
    *,
    dtype: str = "uint16",
    nodata: Optional[float] = None,
    scale: Optional[float] = None,
    offset: Optional[float] = None,
    epsg: Optional[int] = UTM32,
    transform: Sequence[float] = TRANSFORM,
    tags: Optional[Mapping[str, str]] = None,
    options: Sequence[str] = (),
    named: bool = True,
) -> Path:
    """Write stored values as one GeoTIFF; `bands` maps descriptions to (h, w) arrays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = next(iter(bands.values())).shape
    driver = gdal.GetDriverByName("GTiff")
    data = driver.Create(str(path), width, height, len(bands), _KINDS[dtype], list(options))
    if len(transform):
        data.SetGeoTransform(list(transform))
    if epsg is not None:
        data.SetProjection(wkt(epsg))
    data.SetMetadata(dict(tags or {}))
    for number, (name, values) in enumerate(bands.items(), start=1):
        band = data.GetRasterBand(number)
        if named:
            band.SetDescription(name)
        if nodata is not None:
            band.SetNoDataValue(nodata)
        if name != "SCL" and scale is not None:
            band.SetScale(scale)
        if name != "SCL" and offset is not None:
            band.SetOffset(offset)
        band.WriteArray(values.astype(dtype))
    data.FlushCache()
    return path


def ndvi_bands(ndvi: np.ndarray, scl: Optional[np.ndarray] = None) -> Mapping[str, np.ndarray]:
    """Digital numbers of B03, B04, B08 (and SCL) that have this NDVI, (h, w)."""
    red = np.rint(NIR * (1 - ndvi) / (1 + ndvi))
    bands = {"B03": np.rint(red / 2) + 300, "B04": red, "B08": np.full(ndvi.shape, NIR)}
    return bands if scl is None else {**bands, "SCL": scl}


def write_dates(
    folder: Path,
    ndvi: np.ndarray,
    days: Sequence[int],
    scl: Optional[np.ndarray] = None,
    **how: object,
) -> Path:
    """Write a series; `ndvi` (T, h, w), and `scl` likewise, on the given days of 2022."""
    for k, number in enumerate(days):
        codes = None if scl is None else scl[k]
        write_image(folder / f"S2_{day(number):%Y%m%d}.tif", ndvi_bands(ndvi[k], codes), **how)
    return folder


def shorten(path: Path, share: float) -> Path:
    """Cut a file off; what remains is this share of it."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def stored_ndvi(bands: Mapping[str, np.ndarray]) -> np.ndarray:
    """NDVI of stored values, by plain numpy."""
    nir, red = bands["B08"].astype(np.float64), bands["B04"].astype(np.float64)
    return (nir - red) / (nir + red)


class Recording:
    """What every segmenter here is: it keeps what it was shown and asked."""

    id = "recording"

    def __init__(self) -> None:
        self.images: List[np.ndarray] = []
        self.prompts: List[Prompts] = []

    def encode(self, image: np.ndarray) -> Embedding:
        self.images.append(image.copy())
        return Embedding(self.id, image.shape[:2], {"image": image})

    def predict(self, embedding: Embedding, prompts: Sequence[Prompts]) -> Masks:
        self.prompts.extend(prompts)
        answers = [self.masks(embedding.data["image"], prompt) for prompt in prompts]
        return Masks(np.stack([masks for masks, _ in answers]),
                     np.array([scores for _, scores in answers], np.float32))  # fmt: skip

    def masks(self, image: np.ndarray, prompt: Prompts) -> Tuple[np.ndarray, List[float]]:
        """(m, H, W) bool and m scores."""
        raise NotImplementedError


class Blocks(Recording):
    """Rectangles around the prompt, one mask for each half side."""

    def __init__(self, *reach: int) -> None:
        super().__init__()
        self._reach = reach

    def masks(self, image: np.ndarray, prompt: Prompts) -> Tuple[np.ndarray, List[float]]:
        masks = np.zeros((len(self._reach), *image.shape[:2]), dtype=bool)
        col, row = (int(v) for v in prompt.anchor)
        for mask, reach in zip(masks, self._reach):
            mask[max(0, row - reach) : row + reach + 1, max(0, col - reach) : col + reach + 1] = 1
        return masks, [0.9 - 0.1 * k for k in range(len(self._reach))]


class SameColour(Recording):
    """All pixels of the colour at the prompt, connected or not."""

    def masks(self, image: np.ndarray, prompt: Prompts) -> Tuple[np.ndarray, List[float]]:
        col, row = (int(v) for v in prompt.anchor)
        return (image == image[row, col]).all(axis=2)[None], [0.9]
