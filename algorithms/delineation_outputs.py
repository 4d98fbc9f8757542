"""The outputs of furrow:delineate: polygons with their measures, the residual, the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
from qgis.core import QgsGeometry, QgsProcessingContext, QgsWkbTypes

from ..core.fields.coverage.planar import planar_fields
from ..core.fields.delineation.scene import SceneDelineation
from ..core.imagery.scene_images import SceneImage
from ..core.monitor import Monitor
from ..core.report.from_delineation import DelineationPage, delineation_report
from ..core.report.run_record import utc_now
from ..core.report.table_report import render_tables
from ..qgis_io.compat import BOOLEAN, INTEGER, REAL, make_fields
from ..qgis_io.ground import Ground, crs_of
from ..qgis_io.mask_files import write_mask
from ..qgis_io.planar_polygons import geometry_of
from ..qgis_io.sinks import Row, write_layer
from ..qgis_io.styles import apply_style, plain_field_renderer
from .base import FurrowAlgorithm, versions
from .delineation_scene import Scene

_COLUMNS = (
    ("round", INTEGER),
    ("score", REAL),
    ("stability", REAL),
    ("area_ha", REAL),
    ("perimeter_m", REAL),
    ("edge_ratio", REAL),
    ("entropy", REAL),
    ("refined", BOOLEAN),
)
_AREA, _PERIMETER, _EDGE_RATIO, _ENTROPY = 3, 4, 5, 6
"""Places of columns."""
_HALF_A_PIXEL = 0.5
_DRAWN = 0.8
"""Share of the progress at which all outlines are drawn."""


def polygons_of(
    algorithm: FurrowAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    scene: Scene,
    found: SceneDelineation,
    monitor: Monitor,
) -> List[Row]:
    """The polygons with the attributes of each; SIMPLIFY_M and STRAIGHTEN_M.

    :raises Cancelled:
    """
    metres = scene.metres
    simplify = algorithm.optional_number(parameters, "SIMPLIFY_M", context)
    straighten = algorithm.parameterAsDouble(parameters, "STRAIGHTEN_M", context)
    planar = planar_fields(
        found.labels,
        _HALF_A_PIXEL if simplify is None else simplify / metres,
        straighten / metres,
        monitor.part(0, _DRAWN),
    )
    rows: List[Row] = []
    for done, field in enumerate(planar, start=1):
        monitor.check()
        shape = geometry_of(field, scene.grid)
        rows.append((shape, _values(found, field.label - 1, shape, scene.ground)))
        monitor.progress(_DRAWN + (1 - _DRAWN) * done / len(planar))
    return rows


def write_fields(
    algorithm: FurrowAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    scene: Scene,
    rows: List[Row],
) -> Optional[str]:
    """OUTPUT.

    :raises OutputError: it cannot be written.
    """
    output = write_layer(
        algorithm, parameters, "OUTPUT", context, make_fields(*_COLUMNS),
        QgsWkbTypes.Type.MultiPolygon, crs_of(scene.grid), rows,
    )  # fmt: skip
    apply_style(output, plain_field_renderer(), context, algorithm.keep)
    return output


def write_residual(
    algorithm: FurrowAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    scene: Scene,
    found: SceneDelineation,
    monitor: Monitor,
) -> Optional[str]:
    """RESIDUAL; None where it is not asked for.

    :raises OutputError: it cannot be written.
    :raises Cancelled:
    """
    path = algorithm.parameterAsOutputLayer(parameters, "RESIDUAL", context)
    if not path:
        return None
    write_mask(Path(path), scene.grid, found.residuals(), monitor)
    return str(path)


def report_of(
    algorithm: FurrowAlgorithm,
    image: SceneImage,
    found: SceneDelineation,
    rows: List[Row],
    seconds: Dict[str, float],
) -> str:
    """The text of REPORT."""
    columns = np.array([values for _, values in rows], dtype=np.float64).reshape(-1, len(_COLUMNS))
    page = DelineationPage(
        image,
        found,
        columns[:, _AREA],
        columns[:, _PERIMETER],
        columns[:, _EDGE_RATIO],
        columns[:, _ENTROPY],
        seconds,
        [(name, str(value)) for name, value in algorithm.given.items()],
        list(versions().items()),
        utc_now(),
    )
    return render_tables(delineation_report(page))


def _values(found: SceneDelineation, place: int, shape: QgsGeometry, ground: Ground) -> List[Any]:
    """The attributes of a field, in the order of the columns."""
    fields = found.fields
    return [
        int(fields.round[place]),
        round(float(fields.score[place]), 4),
        round(float(fields.stability[place]), 4),
        ground.hectares(shape),
        ground.perimeter(shape),
        round(float(fields.edge_ratio[place]), 4),
        round(float(fields.entropy[place]), 3),
        bool(fields.refined[place]),
    ]
