"""What furrow:delineate is to delineate: its images, its area, its tiles."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

import numpy as np
from qgis.core import QgsProcessingContext, QgsProcessingFeedback

from ..core.errors import ParameterError
from ..core.execution import Workers
from ..core.fields.delineation.scene import TileJob
from ..core.fields.delineation.tile_records import FORMAT
from ..core.fields.delineation.tiling import Lattice
from ..core.imagery.grid import Grid
from ..core.imagery.pictures import FilePictures, default_bands
from ..core.imagery.raster_gdal import describe
from ..core.monitor import Monitor
from ..core.report.run_record import json_safe
from ..models.segmenters.tiles.tile_work import SceneWork
from ..qgis_io.ground import Ground, crs_of
from ..qgis_io.shapes import PolygonMask, window_of
from ..qgis_io.sources import moved
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm, furrow_version
from .delineation_parameters import read_dates, read_lattice
from .delineation_workers import read_workers
from .image_parameters import read_bands, read_image


@dataclass(frozen=True)
class Scene:
    """What is to be delineated."""

    paths: Tuple[str, ...]
    """INPUT, then DATES."""
    bands: Tuple[int, ...]
    """Shown as red, green and blue."""
    grid: Grid
    """Of INPUT."""
    area: Optional[PolygonMask]
    """AOI; None: all of the image."""
    cropland: Optional[str]
    lattice: Lattice
    workers: Workers
    ground: Ground

    @property
    def pixel(self) -> Tuple[float, float]:
        """Height and width of a pixel in metres."""
        return self.ground.pixel(self.grid)

    @property
    def metres(self) -> float:
        """Side of a square pixel of that area."""
        height, width = self.pixel
        return float((height * width) ** 0.5)

    def jobs(self, monitor: Monitor) -> Iterator[TileJob]:
        """The tiles that decide about a pixel that is asked for.

        :raises Cancelled:
        """
        for tile in self.lattice.tiles:
            monitor.check()
            if self.area is None:
                yield TileJob(tile)
                continue
            asked = self.area(tile.area)
            if asked[tile.core_in_area].any():
                yield TileJob(tile, np.packbits(asked, axis=1))

    def key(self, work: SceneWork, jobs: Tuple[TileJob, ...], models: Mapping[str, str]) -> str:
        """A hash of all that the fields of a tile depend on.

        :param models: what the run record says of them, with the SHA-256 of each file.
        """
        asked = hashlib.sha256()
        for job in jobs:
            asked.update(repr(job.tile).encode("ascii"))
            asked.update(b"" if job.asked is None else job.asked.tobytes())
        content = {
            "format": (FORMAT, furrow_version()),
            "images": work.images,
            "files": [_identity(path) for path in (*self.paths, self.cropland) if path],
            "grid": work.grid,
            "options": (work.options, work.refinement),
            "models": models,
            "lattice": self.lattice,
            "asked": asked.hexdigest(),
        }
        return hashlib.sha256(json.dumps(json_safe(content)).encode("utf-8")).hexdigest()


def read_scene(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> Scene:
    """INPUT, bands, DATES, AOI, CROPLAND, TILE, OVERLAP and WORKERS; no pixel is read.

    :raises FurrowError: one of them cannot be used.
    """
    path = read_image(algorithm, parameters, context)
    chosen = read_bands(algorithm, parameters, context)
    bands = tuple(chosen or default_bands(describe(path).band_names))
    dates = read_dates(algorithm, parameters, context)
    grid = [FilePictures(each, None, bands).grid for each in (path, *dates)][0]
    return Scene(
        (path, *dates),
        bands,
        grid,
        _area(algorithm, parameters, context, grid),
        algorithm.raster_path(parameters, "CROPLAND", context),
        read_lattice(algorithm, parameters, context, grid),
        read_workers(algorithm, parameters, context),
        Ground(crs_of(grid), context.transformContext()),
    )


def tell(scene: Scene, feedback: QgsProcessingFeedback) -> None:
    """What the user should know of the image."""
    if not scene.grid.crs:
        feedback.pushWarning(
            tr("The image has no coordinate reference system: its units count as metres.")
        )
    if len(set(scene.bands)) == 1:
        text = tr("Band {} is shown as red, green and blue.")
        feedback.pushInfo(text.format(scene.bands[0]))


def _area(
    algorithm: FurrowAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    grid: Grid,
) -> Optional[PolygonMask]:
    """AOI.

    :raises ParameterError: it lies beside the image.
    """
    source = algorithm.parameterAsSource(parameters, "AOI", context)
    if source is None:
        return None
    shapes = list(moved(list(source.getFeatures()), source, crs_of(grid), context))
    if not any(not shape.isEmpty() and window_of(shape, grid) for shape in shapes):
        raise ParameterError(
            "AOI: no polygon lies in the area of the image; check its coordinate reference system."
        )
    return PolygonMask(shapes, grid)


def _identity(path: str) -> Tuple[str, int, int]:
    """Path, bytes and time of change of a file; its name alone where it is none here."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return path, 0, 0
    return path, status.st_size, status.st_mtime_ns
