"""Parameters of furrow:delineate, and how they are read."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from ..core.errors import ParameterError
from ..core.fields.delineation.options import DelineationOptions
from ..core.fields.delineation.refinement import RefinementOptions
from ..core.fields.delineation.tiling import LEAST_TILE, Lattice
from ..core.imagery.grid import Grid
from ..models.segmenters.file_hash import file_hash
from ..models.super_resolution.onnx_enlarger import open_enlarger
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm, SourceType, source_of
from .series_parameters import Real, Whole, choice, number

BEST, REFERENCE = "best", "reference"
MOST_DATES = 4
_SQUARE_METRES_PER_HECTARE = 10_000.0


def add_area(algorithm: FurrowAlgorithm) -> None:
    """DATES, AOI and CROPLAND."""
    algorithm.add(
        QgsProcessingParameterMultipleLayers(
            "DATES",
            tr("Images of other dates"),
            QgsProcessing.SourceType.TypeRaster,
            optional=True,
        ),
        tr(
            "Up to three more images of the same place with the same bands: borders that show on "
            "one date only are found. They are read on the grid of INPUT."
        ),
        advanced=True,
    )
    algorithm.add(
        QgsProcessingParameterFeatureSource(
            "AOI", tr("Area of interest"), [SourceType.TypeVectorPolygon], optional=True
        ),
        tr("Fields are looked for within these polygons only; empty: in the whole image."),
    )
    algorithm.add(
        QgsProcessingParameterRasterLayer("CROPLAND", tr("Cropland mask"), optional=True),
        tr("A raster on any grid: fields are looked for where its first band is not 0."),
    )


def add_tiles(algorithm: FurrowAlgorithm) -> None:
    """TILE and OVERLAP."""
    algorithm.add(
        number("TILE", tr("Tile in pixels"), Whole, 512, LEAST_TILE, 2048),
        tr("Side of the squares in which the image is looked at."),
        advanced=True,
    )
    algorithm.add(
        number("OVERLAP", tr("Overlap of tiles in percent"), Real, 25.0, 0.0),
        tr(
            "Neighbouring tiles share so much of their side, at most 50; fields that cross a seam "
            "are joined where both tiles see the same there."
        ),
        advanced=True,
    )


def add_super_resolution(algorithm: FurrowAlgorithm) -> None:
    """SUPER_RESOLUTION."""
    algorithm.add(
        QgsProcessingParameterFile(
            "SUPER_RESOLUTION",
            tr("Super-resolution model"),
            optional=True,
            fileFilter=tr("ONNX files (*.onnx);;All files (*)"),
        ),
        tr(
            "An ONNX file that enlarges pictures 2, 3 or 4 times: the model is shown the tile "
            "enlarged by it, in place of the usual interpolation where fields are small. Fields "
            "and their areas stay on the pixels of INPUT. With 4 times, give TILE 256."
        ),
        advanced=True,
    )


def add_rounds(algorithm: FurrowAlgorithm) -> None:
    """How fields are looked for on a tile."""
    algorithm.add(
        number("ROUNDS", tr("Rounds"), Whole, DelineationOptions.rounds, 1, 20),
        tr(
            "Each round looks for fields only where the rounds before found none. The first finds "
            "nearly all, the second some more, others next to nothing."
        ),
    )
    for name, label, kind, default, limits, text in (
        (
            "POINTS_PER_SIDE", tr("Points along a side of a tile"), Whole, 32, (2, 128),
            tr("How densely a tile is asked; more points find smaller fields and take longer."),
        ),
        (
            "PRED_IOU", tr("Least expected IoU"), Real, None, (0.0, 1.0),
            tr("Masks that the model is less sure of are left out. Empty: as PRESET says."),
        ),
        (
            "STABILITY", tr("Least stability"), Real, None, (0.0, 1.0),
            tr("Masks that change more when asked for a little differently are left out. Empty: as "
               "PRESET says."),
        ),
        (
            "MIN_GAIN", tr("Least gain of a round in percent"), Real, 0.5, (0.0, 100.0),
            tr("Rounds end when one adds less than this share of a tile."),
        ),
        (
            "STOP_RESIDUAL", tr("Rest that may stay in percent"), Real, 5.0, (0.0, 100.0),
            tr("Rounds end when no more than this share of a tile is left."),
        ),
    ):  # fmt: skip
        algorithm.add(number(name, label, kind, default, *limits), text, advanced=True)
    algorithm.add(
        choice("PRESET", tr("Preset"), (BEST, REFERENCE), BEST),
        tr(
            "What no parameter says. best: measured best on the real data. reference: the "
            "constants of the reference system."
        ),
        advanced=True,
    )
    algorithm.add(
        QgsProcessingParameterBoolean("REFINE", tr("Look at mixed fields again"), True),
        tr("Large fields that look like several are looked at again, each in its own picture."),
    )


def add_shapes(algorithm: FurrowAlgorithm) -> None:
    """MIN_AREA_HA, MIN_WIDTH_M, SIMPLIFY_M and STRAIGHTEN_M."""
    algorithm.add(
        number("MIN_AREA_HA", tr("Least area in hectares"), Real, 0.1, 0.0),
        tr("Smaller fields go to the field beside them, or nowhere."),
    )
    algorithm.add(
        number("MIN_WIDTH_M", tr("Least width in metres"), Real, 0.0, 0.0),
        tr("Narrower fields go to the field beside them, or nowhere; 0: any width."),
        advanced=True,
    )
    algorithm.add(
        number("SIMPLIFY_M", tr("Simplify by metres"), Real, None, 0.0),
        tr(
            "How far outlines may leave the edges of pixels; neighbours keep their edges in "
            "common. 0: exact pixel outlines; empty: half a pixel."
        ),
    )
    algorithm.add(
        number("STRAIGHTEN_M", tr("Straighten by metres"), Real, 0.0, 0.0),
        tr("How far long edges may bend and still become straight; 0: as SIMPLIFY_M."),
        advanced=True,
    )


def add_workers(algorithm: FurrowAlgorithm) -> None:
    """WORKERS and RESUME."""
    algorithm.add(
        QgsProcessingParameterString("WORKERS", tr("Workers"), defaultValue="1"),
        tr(
            "How many tiles are worked on at a time, each in a process of its own; threads:4 for "
            "threads in this one; or the address of a Dask scheduler (tcp://host:8786) whose "
            "workers see the same files and have this plugin, onnxruntime and rasterio."
        ),
        advanced=True,
    )
    algorithm.add(
        QgsProcessingParameterBoolean("RESUME", tr("Go on with an earlier run"), True),
        tr(
            "Tiles are kept in the folder OUTPUT.tiles until the run ends well; a run that was "
            "stopped goes on from there if nothing that matters has changed."
        ),
        advanced=True,
    )


def read_lattice(
    algorithm: FurrowAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    grid: Grid,
) -> Lattice:
    """TILE and OVERLAP.

    :raises ParameterError: tiles hardly step on.
    """
    size = algorithm.parameterAsInt(parameters, "TILE", context)
    percent = algorithm.parameterAsDouble(parameters, "OVERLAP", context)
    return Lattice((grid.height, grid.width), size, round(size * percent / 100))


def read_options(
    algorithm: FurrowAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    pixel: Tuple[float, float],
) -> DelineationOptions:
    """The rounds, and which pieces are kept.

    :param pixel: height and width of a pixel in metres.
    """
    reference = algorithm.parameterAsEnumString(parameters, "PRESET", context) == REFERENCE
    preset = DelineationOptions.reference() if reference else DelineationOptions()
    given = {
        "rounds": algorithm.parameterAsInt(parameters, "ROUNDS", context),
        "points_per_side": algorithm.parameterAsInt(parameters, "POINTS_PER_SIDE", context),
        "least_pixels": least_pixels(algorithm, parameters, context, pixel),
        "min_gain": algorithm.parameterAsDouble(parameters, "MIN_GAIN", context) / 100,
        "stop_residual": algorithm.parameterAsDouble(parameters, "STOP_RESIDUAL", context) / 100,
        "pred_iou": algorithm.optional_number(parameters, "PRED_IOU", context),
        "stability": algorithm.optional_number(parameters, "STABILITY", context),
    }
    return replace(preset, **{name: value for name, value in given.items() if value is not None})


def read_refinement(
    algorithm: FurrowAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    options: DelineationOptions,
) -> Optional[RefinementOptions]:
    """REFINE; None: mixed fields are not looked at again."""
    if not algorithm.parameterAsBoolean(parameters, "REFINE", context):
        return None
    reference = algorithm.parameterAsEnumString(parameters, "PRESET", context) == REFERENCE
    preset = RefinementOptions.reference() if reference else RefinementOptions()
    return replace(preset, least_pixels=options.least_pixels)


def read_super_resolution(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> Optional[str]:
    """SUPER_RESOLUTION; None: there is no such step.

    :raises ModelError: it is not a file that enlarges pictures, or cannot run here.
    """
    path = algorithm.text(parameters, "SUPER_RESOLUTION", context)
    if not path:
        return None
    open_enlarger(Path(path))
    return path


def super_resolution_record(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> Dict[str, str]:
    """What the run record says of SUPER_RESOLUTION: its SHA-256; empty without such a step.

    :raises ModelError: as for :func:`read_super_resolution`.
    """
    path = read_super_resolution(algorithm, parameters, context)
    return {} if path is None else {"super_resolution": file_hash(Path(path))}


def least_pixels(
    algorithm: FurrowAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    pixel: Tuple[float, float],
) -> int:
    """MIN_AREA_HA in pixels.

    :param pixel: height and width of a pixel in metres.
    """
    hectares = algorithm.parameterAsDouble(parameters, "MIN_AREA_HA", context)
    return max(1, math.ceil(hectares * _SQUARE_METRES_PER_HECTARE / (pixel[0] * pixel[1])))


def read_dates(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> Tuple[str, ...]:
    """The files behind DATES.

    :raises ParameterError: too many, or one that is no file.
    """
    layers = algorithm.parameterAsLayerList(parameters, "DATES", context) or []
    if len(layers) >= MOST_DATES:
        raise ParameterError(
            f"DATES: {len(layers)} images and INPUT are too many; give up to {MOST_DATES - 1}."
        )
    return tuple(source_of("DATES", layer) for layer in layers)
