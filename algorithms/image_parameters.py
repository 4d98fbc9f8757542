"""Parameters of one image: its file, and the bands that are shown to the segmentation model."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingParameterBand,
    QgsProcessingParameterRasterLayer,
)

from ..core.errors import ParameterError
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm

_BANDS = ("RED", "GREEN", "BLUE")


def add_image(algorithm: FurrowAlgorithm) -> None:
    """INPUT."""
    algorithm.add(
        QgsProcessingParameterRasterLayer("INPUT", tr("Image")),
        tr("Any raster file; it is read at its own resolution, in windows."),
    )


def add_bands(algorithm: FurrowAlgorithm) -> None:
    """RED, GREEN and BLUE of INPUT."""
    for name, label in zip(_BANDS, (tr("Red band"), tr("Green band"), tr("Blue band"))):
        algorithm.add(
            QgsProcessingParameterBand(
                name, label, parentLayerParameterName="INPUT", optional=True
            ),
            tr("Empty: by the names of the bands, else the first three."),
            advanced=True,
        )


def read_image(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> str:
    """The file behind INPUT.

    :raises ParameterError: there is none.
    """
    path = algorithm.raster_path(parameters, "INPUT", context)
    if path is None:
        raise ParameterError("INPUT: choose the image to segment.")
    return path


def read_bands(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> Optional[List[int]]:
    """RED, GREEN and BLUE; None where they are empty.

    :raises ParameterError: only some are given.
    """
    bands = [algorithm.parameterAsInt(parameters, name, context) for name in _BANDS]
    if any(bands) and not all(bands):
        raise ParameterError("RED, GREEN, BLUE: give all three bands or none.")
    return bands if all(bands) else None
