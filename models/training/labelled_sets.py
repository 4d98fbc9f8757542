"""Pictures of farmland with true field outlines: reading them for training and for measuring.

The files are described in docs/benchmarks.md; none of them is part of the repository. Splits are
those that the published figures use: NAIP pictures 1-22 by name and the Danish parcels wholly in
columns 0-112 are for training, the rest is for measuring.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple

import numpy as np
from osgeo import gdal, ogr, osr

NAIP_TRAINING = 22
"""The first pictures by name may be trained on."""
DENMARK_SPLIT = 113
"""Parcels wholly left of this column may be trained on."""


@dataclass(frozen=True)
class LabelledPicture:
    """A picture and the outlines known in it."""

    name: str
    image: np.ndarray
    """(H, W, 3) uint8."""
    masks: List[np.ndarray]
    """(H, W) bool each; they may overlap."""

    def labels(self) -> np.ndarray:
        """(H, W) int32: 1 + position of the mask that covers a pixel (the last one), 0 without."""
        labels = np.zeros(self.image.shape[:2], np.int32)
        for k, mask in enumerate(self.masks):
            labels[mask] = k + 1
        return labels


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3), the first three bands in their own type."""
    return np.ascontiguousarray(gdal.Open(str(path)).ReadAsArray()[:3].transpose(1, 2, 0))


def stretch(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> uint8 between the 2nd and 98th percentile of each band."""
    low, high = np.percentile(image, (2, 98), axis=(0, 1))
    return (np.clip((image - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def halved(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 at half its size."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    blocks = image[: 2 * height, : 2 * width].astype(np.float32)
    return blocks.reshape(height, 2, width, 2, 3).mean(axis=(1, 3)).astype(np.uint8)


def burn(geometry: ogr.Geometry, shape: Tuple[int, int], transform: Tuple) -> np.ndarray:
    """(H, W) bool: the pixels whose centre a polygon covers."""
    raster = gdal.GetDriverByName("MEM").Create("", shape[1], shape[0], 1, gdal.GDT_Byte)
    raster.SetGeoTransform(transform)
    # Any reference will do: GDAL warns about every polygon without one.
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(32632)
    raster.SetProjection(reference.ExportToWkt())
    source = ogr.GetDriverByName("Memory").CreateDataSource("")
    layer = source.CreateLayer("polygon", reference, ogr.wkbUnknown)
    feature = ogr.Feature(layer.GetLayerDefn())
    feature.SetGeometry(geometry)
    layer.CreateFeature(feature)
    gdal.RasterizeLayer(raster, [1], layer, burn_values=[1])
    return raster.ReadAsArray() > 0


def denmark(data: Path) -> LabelledPicture:
    """The Danish scene with all its parcels."""
    path = data / "denmark" / "s2_rgb.tif"
    image = stretch(read_image(path))
    transform = gdal.Open(str(path)).GetGeoTransform()
    source = ogr.Open(str(data / "denmark" / "fields.gpkg"))
    shapes = [feature.GetGeometryRef().Clone() for feature in source.GetLayer()]
    masks = [burn(shape, image.shape[:2], transform) for shape in shapes]
    return LabelledPicture("denmark", image, [mask for mask in masks if mask.any()])


def denmark_training(data: Path) -> LabelledPicture:
    """The columns of the Danish scene that may be trained on, with the parcels wholly in them."""
    whole = denmark(data)
    masks = [mask for mask in whole.masks if not mask[:, DENMARK_SPLIT:].any()]
    image = np.ascontiguousarray(whole.image[:, :DENMARK_SPLIT])
    return LabelledPicture("denmark left", image, [mask[:, :DENMARK_SPLIT] for mask in masks])


def naip_names(data: Path) -> List[str]:
    """Names of all NAIP pictures in their order."""
    return sorted(json.loads((data / "naip_midwest" / "polygons.json").read_text()))


def naip(data: Path, names: List[str], reduction: int = 1) -> Iterator[LabelledPicture]:
    """NAIP pictures with their outlines.

    :param reduction: 1, 2 or 4: side of a pixel in pixels of the file.
    """
    outlines = json.loads((data / "naip_midwest" / "polygons.json").read_text())
    for name in names:
        image = read_image(data / "naip_midwest" / "images" / name)
        for _ in range(int(reduction).bit_length() - 1):
            image = halved(image)
        rings = [ring + ring[:1] for ring in outlines[name] if len(ring) > 2]
        shapes = [_polygon(ring, reduction) for ring in rings]
        masks = [burn(shape, image.shape[:2], (0, 1, 0, 0, 0, 1)) for shape in shapes]
        yield LabelledPicture(name, image, masks)


def _polygon(ring: List[List[float]], reduction: int) -> ogr.Geometry:
    text = ", ".join(f"{x / reduction} {y / reduction}" for x, y in ring)
    return ogr.CreateGeometryFromWkt(f"POLYGON(({text}))")
