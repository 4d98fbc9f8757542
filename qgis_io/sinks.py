"""Writing layers: all or nothing.

Algorithms write only when everything is worked out. What could not be written whole is removed
again, and the file is opened once more to see that every feature arrived: GeoPackage tells of a
full disk only when it is closed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsFeatureSink,
    QgsFields,
    QgsGeometry,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingUtils,
    QgsVectorLayer,
    QgsWkbTypes,
)

from ..core.errors import OutputError

Row = Tuple[Optional[QgsGeometry], Sequence[Any]]
"""A geometry (None for tables) and the attributes in the order of the fields."""

_SIDE_FILES = ("", "-journal", "-wal", "-shm")
_TABLE = re.compile(r"ogr:dbname='(.+?)' table=")
"""How Processing names a table of a GeoPackage."""


def write_layer(
    algorithm: QgsProcessingAlgorithm,
    parameters: Dict[str, Any],
    name: str,
    context: QgsProcessingContext,
    fields: QgsFields,
    wkb: QgsWkbTypes.Type,
    crs: QgsCoordinateReferenceSystem,
    rows: Iterable[Row],
) -> Optional[str]:
    """Write the rows to the sink parameter `name`.

    :returns: the destination (layer id or path); None where the parameter asks for no layer.
    :raises OutputError: where the layer cannot be made or not all features arrive.
    """
    features = [_feature(fields, *row) for row in rows]
    before = _file_of(str(_destination(parameters.get(name))))
    existed = before is not None and before.exists()
    options = _layer_options(fields, before)
    sink, destination = algorithm.parameterAsSink(
        parameters, name, context, fields, wkb, crs, QgsFeatureSink.SinkFlags(),
        {"layerOptions": options}, [], options,  # for a table in a file, and for a file
    )  # fmt: skip
    if destination is None or (sink is None and not destination):
        return None
    if sink is None:
        raise OutputError(
            f"{name}: {destination} cannot be created; choose a folder that you may write to."
        )
    written = sink.addFeatures(features, QgsFeatureSink.Flag.FastInsert)
    reason = "" if written else sink.lastError()
    del sink  # closes the file
    if not crs.isValid():
        _without_crs(destination, context)
    if not written or not _arrived(destination, len(features), context):
        _remove(destination, existed)
        raise OutputError(
            f"{name}: {destination} could not be written{': ' + reason if reason else ''}; is the "
            "disk full or the file open elsewhere?"
        )
    return destination


def file_of(destination: Optional[str]) -> Optional[Path]:
    """The file behind a destination, None for memory layers and databases."""
    return _file_of(destination or "")


def _destination(value: Any) -> Any:
    """The text of a sink parameter's value."""
    sink = getattr(value, "sink", value)
    return sink.staticValue() if hasattr(sink, "staticValue") else sink


def _file_of(text: str) -> Optional[Path]:
    table = _TABLE.match(text)
    path = table.group(1) if table else text.split("|")[0]
    if not path or path.startswith(("memory:", "ogr:", "postgres:", "TEMPORARY")):
        return None
    candidate = Path(path)
    return candidate if candidate.suffix else None


def _layer_options(fields: QgsFields, path: Optional[Path]) -> List[str]:
    """A table may hold a column `fid` of its own: the GeoPackage's key gets another name."""
    named_fid = fields.lookupField("fid") >= 0
    in_geopackage = path is not None and path.suffix.lower() == ".gpkg"
    return ["FID=row_id"] if named_fid and in_geopackage else []


def _feature(fields: QgsFields, geometry: Optional[QgsGeometry], values: Sequence[Any]) -> Any:
    feature = QgsFeature(fields)
    if geometry is not None:
        feature.setGeometry(geometry)
    feature.setAttributes(list(values))
    return feature


def _arrived(destination: str, expected: int, context: QgsProcessingContext) -> bool:
    """Whether a file holds all features; layers in memory always do."""
    if _file_of(destination) is None:
        layer = QgsProcessingUtils.mapLayerFromString(destination, context)
        return layer is None or layer.featureCount() in (expected, -1)
    layer = QgsVectorLayer(destination, "check", "ogr")
    return layer.isValid() and sum(1 for _ in layer.getFeatures()) == expected


def _without_crs(destination: str, context: QgsProcessingContext) -> None:
    """QGIS gives a layer in memory EPSG:4326 where none is known: take that back."""
    layer = None
    if _file_of(destination) is None:
        layer = QgsProcessingUtils.mapLayerFromString(destination, context)
    if layer is not None:
        layer.setCrs(QgsCoordinateReferenceSystem())


def _remove(destination: str, existed: bool) -> None:
    """Take a half-written file away; a table in a file that was there before stays."""
    path = _file_of(destination)
    if path is None or existed and "|" in destination:
        return
    for suffix in _SIDE_FILES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
