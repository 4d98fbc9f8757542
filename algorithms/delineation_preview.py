"""PREVIEW of furrow:delineate: fields in the map while they are found."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterBoolean,
)

from ..core.fields.delineation.tile_records import TileRecord
from ..core.fields.delineation.tiling import Tile
from ..core.imagery.grid import Grid
from ..qgis_io.field_preview import TileTold
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm


def add_preview(algorithm: FurrowAlgorithm) -> None:
    """PREVIEW."""
    algorithm.add(
        QgsProcessingParameterBoolean(
            "PREVIEW", tr("Show fields in the map while they are found"), False
        ),
        tr(
            "In QGIS' window only: a layer above all others shows what was found so far, as the "
            "edges of pixels and cut off where tiles end. It goes when the run ends."
        ),
        advanced=True,
    )


@contextmanager
def previewed(
    algorithm: FurrowAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    grid: Grid,
    feedback: QgsProcessingFeedback,
) -> Iterator[TileTold]:
    """What is to be told of each tile that is done; it does nothing where nobody looks.

    :param grid: of INPUT.
    """
    if not algorithm.parameterAsBoolean(parameters, "PREVIEW", context):
        yield _nothing
        return
    provider = algorithm.provider()
    if provider is None or not provider.preview.listening:
        feedback.pushInfo(tr("There is no window of QGIS to show fields in; PREVIEW is left out."))
        yield _nothing
        return
    image = algorithm.parameterAsRasterLayer(parameters, "INPUT", context)
    with provider.preview.run(image.name(), grid) as told:
        yield told


def _nothing(tile: Tile, record: TileRecord) -> None:
    """Nobody looks."""
