"""LabelMe's files as polygons on the map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsGeometry,
    QgsPointXY,
    QgsProcessingContext,
)

from ..core.errors import OutputError, ParameterError
from ..core.fields.classification.labelme import (
    LabelledPicture,
    LabelledShape,
    Placement,
    read_json,
)
from ..core.imagery.grid import Grid
from ..core.monitor import SILENT, Monitor
from .polygons import clean_polygons, moved_by

_PIXELS = Placement((0.0, 1.0, 0.0, 0.0, 0.0, 1.0), "")
"""Of files of other origin: columns and rows, y downwards."""
_ENDING = "*.json"


@dataclass(frozen=True)
class LabelFiles:
    """All shapes of some files."""

    shapes: Tuple[LabelledShape, ...]
    pictures: Tuple[LabelledPicture, ...]
    """The picture of each shape."""
    skipped: Tuple[Tuple[str, str], ...]
    """File name and reason of those that hold no labels."""


def read_label_files(folder: Path, monitor: Monitor = SILENT) -> LabelFiles:
    """Read every JSON file in a folder and in its folder `pictures`.

    :raises ParameterError: there is none that can be read.
    :raises Cancelled:
    """
    paths = sorted([*folder.glob(_ENDING), *folder.glob(f"pictures/{_ENDING}")])
    shapes: List[LabelledShape] = []
    pictures: List[LabelledPicture] = []
    skipped: List[Tuple[str, str]] = []
    for done, path in enumerate(paths):
        monitor.check()
        monitor.progress(done / len(paths))
        if path.name.endswith(".run.json"):
            continue
        try:
            picture = read_json(path)
        except ParameterError as error:
            skipped.append((path.name, str(error)))
            continue
        shapes.extend(picture.shapes)
        pictures.extend([picture] * len(picture.shapes))
    if not shapes:
        raise ParameterError(
            f"LABELS: {folder} holds no JSON file of LabelMe or X-AnyLabeling with shapes; choose "
            "the folder that exportfieldcrops wrote, or its folder pictures."
        )
    return LabelFiles(tuple(shapes), tuple(pictures), tuple(skipped))


def crs_of_labels(files: LabelFiles) -> QgsCoordinateReferenceSystem:
    """The reference system of the first file that has one; else an invalid one."""
    for picture in files.pictures:
        if picture.placement is not None and picture.placement.crs:
            return QgsCoordinateReferenceSystem.fromWkt(picture.placement.crs)
    return QgsCoordinateReferenceSystem()


class ShapePlacer:
    """Puts shapes on the map, in one reference system."""

    def __init__(self, crs: QgsCoordinateReferenceSystem, context: QgsProcessingContext) -> None:
        self._crs, self._context = crs, context
        self._transforms: Dict[str, QgsCoordinateTransform] = {}

    def __call__(self, shape: LabelledShape, picture: LabelledPicture) -> Optional[QgsGeometry]:
        """The multi-polygon of a shape; None where it encloses nothing or lies off the map."""
        placement = picture.placement or _PIXELS
        x, y = Grid(1, 1, placement.transform).to_map(*np.asarray(shape.points).T)
        ring = [QgsPointXY(*place) for place in zip(x.tolist(), y.tolist())]
        outline = clean_polygons(QgsGeometry.fromPolygonXY([[*ring, ring[0]]]))
        if outline.isEmpty():
            return None
        try:
            outline = moved_by(outline, self._transform(placement.crs))
        except OutputError:
            return None
        outline.convertToMultiType()
        return outline

    def _transform(self, crs: str) -> QgsCoordinateTransform:
        if crs not in self._transforms:
            source = QgsCoordinateReferenceSystem.fromWkt(crs) if crs else self._crs
            target = self._crs if self._crs.isValid() else source
            self._transforms[crs] = QgsCoordinateTransform(
                source, target, self._context.transformContext()
            )
        return self._transforms[crs]


def joined(outlines: Sequence[QgsGeometry]) -> QgsGeometry:
    """One multi-polygon of several, which may touch where pictures were cut."""
    whole = QgsGeometry.unaryUnion(list(outlines))
    whole.convertToMultiType()
    return whole
