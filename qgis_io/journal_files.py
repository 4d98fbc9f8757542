"""Files of unsaved fields: a GeoPackage with a row for each, and a lock that tells whose it is."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from osgeo import gdal, ogr
from qgis.core import QgsFeature, QgsGeometry, QgsVectorLayer
from qgis.PyQt.QtCore import QLockFile

from ..core.imagery.raster_gdal import quiet
from .compat import plain
from .texts import tr

_TABLE = "unsaved"
_COLUMNS = ("layer_id", "layer_name", "layer_source", "feature", "crs", "attributes")
_SIDE_FILES = ("-wal", "-shm", "-journal", ".lock")


@dataclass(frozen=True)
class JournalRow:
    """One field that was not saved."""

    shape: QgsGeometry
    attributes: Dict[str, Any]
    """Name to value; dates as ISO text."""
    crs: str
    """Well-known text of the layer's reference system; empty where it had none."""


@dataclass(frozen=True)
class JournalEntry:
    """What one layer of a process that has ended had not saved."""

    path: Path
    layer_id: str
    layer_name: str
    layer_source: str
    rows: Tuple[JournalRow, ...]


def new_file(path: Path) -> gdal.Dataset:
    """Make an empty file and open it.

    :raises OSError: it cannot be made.
    """
    file = ogr.GetDriverByName("GPKG").CreateDataSource(str(path))
    if file is None:
        raise OSError(gdal.GetLastErrorMsg() or tr("the file cannot be made"))
    layer = file.CreateLayer(_TABLE, None, ogr.wkbUnknown, ["SPATIAL_INDEX=NO"])
    if layer is None:
        raise OSError(gdal.GetLastErrorMsg())
    for column in _COLUMNS:
        _check(layer.CreateField(ogr.FieldDefn(column, ogr.OFTString)))
    layer.SyncToDisk()
    del layer, file
    opened = gdal.OpenEx(str(path), gdal.OF_VECTOR | gdal.OF_UPDATE)
    if opened is None:
        raise OSError(gdal.GetLastErrorMsg())
    return opened


def insert(file: gdal.Dataset, layer: QgsVectorLayer, feature: QgsFeature) -> None:
    """Add a row for a feature of a layer.

    :raises OSError, RuntimeError: it cannot be.
    """
    rows = file.GetLayer(0)
    row = ogr.Feature(rows.GetLayerDefn())
    crs = layer.crs().toWkt() if layer.crs().isValid() else ""
    # The public source has no password in it.
    place = layer.id(), layer.name(), layer.publicSource(), str(feature.id())
    for column, value in zip(_COLUMNS, (*place, crs, _as_json(feature))):
        row.SetField(column, value)
    if feature.hasGeometry():
        row.SetGeometry(ogr.CreateGeometryFromWkb(bytes(feature.geometry().asWkb())))
    _check(rows.CreateFeature(row))


@contextmanager
def transaction(file: gdal.Dataset) -> Iterator[None]:
    """All changes of its rows, or none.

    :raises OSError, RuntimeError: they cannot be written.
    """
    table = file.GetLayer(0)
    _check(table.StartTransaction())
    try:
        yield
        _check(table.CommitTransaction())
    except (OSError, RuntimeError):
        table.RollbackTransaction()
        raise


def is_empty(file: gdal.Dataset) -> bool:
    """Whether it holds no row."""
    return file.GetLayer(0).GetFeatureCount() == 0


def delete_rows(file: gdal.Dataset, layer_id: str, more: str = "") -> None:
    """Delete the rows of a layer.

    :param more: a further condition on them, from " AND" on.
    :raises OSError: it cannot be done.
    """
    gdal.ErrorReset()
    # The id is quoted, and what comes with it is made of numbers.
    file.ExecuteSQL(
        f"DELETE FROM {_TABLE} WHERE layer_id = {_quoted(layer_id)}{more}"  # nosec B608
    )
    if gdal.GetLastErrorType() >= gdal.CE_Failure:
        raise OSError(gdal.GetLastErrorMsg())


def lock_of(path: Path) -> QLockFile:
    """What the process holds that writes a file."""
    lock = QLockFile(f"{path}.lock")
    lock.setStaleLockTime(0)  # only the end of its process makes a lock void, no time does
    return lock


def is_left(path: Path) -> bool:
    """Whether the process that wrote a journal has ended."""
    lock = lock_of(path)
    if not lock.tryLock(0):
        return False
    lock.unlock()
    return True


def entries_of(path: Path) -> Optional[List[JournalEntry]]:
    """What a file holds, by layer; None where it cannot be read."""
    with quiet():
        file = gdal.OpenEx(str(path), gdal.OF_VECTOR)
        table = None if file is None else file.GetLayerByName(_TABLE)
        if table is None:
            return None
        groups: Dict[Tuple[str, str, str], List[JournalRow]] = defaultdict(list)
        for row in table:
            shape = QgsGeometry()
            if row.GetGeometryRef() is not None:
                shape.fromWkb(bytes(row.GetGeometryRef().ExportToWkb()))
            key = tuple(row.GetField(column) for column in _COLUMNS[:3])
            attributes = json.loads(row.GetField("attributes"))
            groups[key].append(JournalRow(shape, attributes, row.GetField("crs") or ""))
    return [JournalEntry(path, *key, tuple(rows)) for key, rows in groups.items()]


def remove(path: Path) -> None:
    """Delete a file and what lies beside it."""
    for suffix in ("", *_SIDE_FILES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _check(code: int) -> None:
    if code != ogr.OGRERR_NONE:
        raise OSError(gdal.GetLastErrorMsg() or tr("a row cannot be written"))


def _as_json(feature: QgsFeature) -> str:
    names = feature.fields().names()
    values = {name: _storable(plain(feature[name])) for name in names if name != "fid"}
    return json.dumps(values, ensure_ascii=False)


def _storable(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
