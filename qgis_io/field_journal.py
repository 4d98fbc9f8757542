"""Fields that are not saved yet, written ahead: nothing is lost when QGIS ends unexpectedly.

Each process keeps one GeoPackage, with a row for every feature of the watched layer that is
nowhere else: uncommitted ones, and all of a layer in memory. A row is committed before the edit
returns. The file goes when nothing is left in it; one whose process has ended is offered again.
"""

from __future__ import annotations

import json
import os
import uuid
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from osgeo import gdal, ogr
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QLockFile

from ..core.errors import OutputError
from ..core.imagery.raster_gdal import quiet
from .compat import BOOLEAN, INTEGER, REAL, TEXT, make_field, plain
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


class FieldJournal:
    """Watches one layer at a time."""

    def __init__(self, folder: Path) -> None:
        """:param folder: of the journals of all processes; made with the first row."""
        self.trouble: Optional[str] = None
        """Why fields are not written ahead, for the user; editing goes on."""
        self._folder = folder
        self._path = folder / f"unsaved-{os.getpid()}-{uuid.uuid4().hex[:8]}.gpkg"
        self._lock: Optional[QLockFile] = None
        self._file: Optional[gdal.Dataset] = None
        self._layer: Optional[QgsVectorLayer] = None
        self._connected: List[Tuple[Any, Callable[..., None]]] = []

    # --- writing ---

    def watch(self, layer: QgsVectorLayer) -> None:
        """Write this layer's unsaved features ahead from now on; the one before is let go."""
        self.unwatch()
        self._layer = layer
        self._connected = [
            (layer.featureAdded, self._on_changed),
            (layer.geometryChanged, self._on_changed),
            (layer.attributeValueChanged, self._on_changed),
            (layer.featureDeleted, self._on_deleted),
            (layer.afterCommitChanges, self._on_settled),
            (layer.afterRollBack, self._on_settled),
            (layer.willBeDeleted, self._on_gone),
        ]
        for signal, slot in self._connected:
            signal.connect(slot)
        self._on_settled()

    def unwatch(self) -> None:
        """Let the layer go; what it has not saved stays written."""
        for signal, slot in self._connected:
            signal.disconnect(slot)
        self._connected, self._layer = [], None

    def close(self) -> None:
        """Close; the file goes if nothing is left in it."""
        self.unwatch()
        if self._file is None:
            return
        empty = self._file.GetLayer(0).GetFeatureCount() == 0
        self._file = None
        self._lock.unlock()
        if empty:
            _remove(self._path)

    def _on_changed(self, fid: int, *_: Any) -> None:
        self._guarded(lambda: self._write(fid))

    def _on_deleted(self, fid: int) -> None:
        self._guarded(lambda: self._erase(fid))

    def _on_settled(self) -> None:
        """All is saved, or given up; a layer in memory is never saved."""
        self._guarded(self._write_all)

    def _on_gone(self) -> None:
        """The user has removed the layer, and QGIS has asked whether that is meant."""
        self._guarded(self._erase_all)
        self.unwatch()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            with quiet():
                work()
            self.trouble = None
        except (OSError, RuntimeError) as error:
            self.trouble = tr(
                "Fields are not secured against a crash ({}): save them often, or free space in {}."
            ).format(str(error).strip().rstrip("."), self._folder)

    def _write_all(self) -> None:
        self._erase_all()
        if self._layer.providerType() == "memory":
            fids = [feature.id() for feature in self._layer.getFeatures()]
        else:
            buffer = self._layer.editBuffer()
            fids = [] if buffer is None else list(buffer.addedFeatures())
        if not fids:
            return
        self._table().StartTransaction()  # one commit for all of them
        for fid in fids:
            self._write(fid)
        _check(self._table().CommitTransaction())

    def _write(self, fid: int) -> None:
        layer = self._layer
        feature = layer.getFeature(fid)
        if not feature.isValid():
            return
        self._erase(fid)
        rows = self._table()
        row = ogr.Feature(rows.GetLayerDefn())
        crs = layer.crs().toWkt() if layer.crs().isValid() else ""
        values = (layer.id(), layer.name(), layer.source(), str(fid), crs, _as_json(feature))
        for column, value in zip(_COLUMNS, values):
            row.SetField(column, value)
        if feature.hasGeometry():
            row.SetGeometry(ogr.CreateGeometryFromWkb(bytes(feature.geometry().asWkb())))
        _check(rows.CreateFeature(row))

    def _erase(self, fid: int) -> None:
        self._delete(f"layer_id = {_quoted(self._layer.id())} AND feature = '{int(fid)}'")

    def _erase_all(self) -> None:
        self._delete(f"layer_id = {_quoted(self._layer.id())}")

    def _delete(self, where: str) -> None:
        if self._file is not None:
            self._file.ExecuteSQL(f"DELETE FROM {_TABLE} WHERE {where}")

    def _table(self) -> ogr.Layer:
        """The open table; the file is made with the first row.

        :raises OSError, RuntimeError: it cannot be.
        """
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock_of(self._path)
            if not self._lock.tryLock(0):
                raise OSError(tr("the folder cannot be written to"))
            self._file = _new_file(self._path)
        return self._file.GetLayer(0)

    # --- what was left by processes that have ended ---

    def recoverable(self) -> List[JournalEntry]:
        """Unsaved fields of processes that have ended, by layer; empty files are removed."""
        entries: List[JournalEntry] = []
        for path in sorted(self._folder.glob("unsaved-*.gpkg")):
            if path == self._path or not _is_left(path):
                continue
            found = _entries(path)
            if found:
                entries.extend(found)
            else:
                _remove(path)
        return entries

    def recovered_layer(self, entry: JournalEntry) -> QgsVectorLayer:
        """A layer in memory with the fields of an entry."""
        layer = QgsVectorLayer("MultiPolygon", tr("{} (recovered)").format(entry.layer_name),
                               "memory")  # fmt: skip
        layer.setCrs(QgsCoordinateReferenceSystem.fromWkt(entry.rows[0].crs))
        provider = layer.dataProvider()
        kinds = _kinds(entry.rows)
        provider.addAttributes([make_field(name, kind) for name, kind in kinds.items()])
        layer.updateFields()
        features = [_feature(layer, row) for row in entry.rows]
        if not provider.addFeatures(features)[0]:
            raise OutputError(
                tr("The unsaved fields in {} cannot be read; open the file as a layer.").format(
                    entry.path
                )
            )
        layer.updateExtents()
        return layer

    def forget(self, entry: JournalEntry) -> None:
        """Drop an entry for good; the file goes with its last one."""
        with quiet():
            file = gdal.OpenEx(str(entry.path), gdal.OF_VECTOR | gdal.OF_UPDATE)
            if file is None:
                return
            where = f"layer_id = {_quoted(entry.layer_id)}"
            file.ExecuteSQL(f"DELETE FROM {_TABLE} WHERE {where}")
            empty = file.GetLayer(0).GetFeatureCount() == 0
            del file
        if empty:
            _remove(entry.path)


def _new_file(path: Path) -> gdal.Dataset:
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


def _check(code: int) -> None:
    if code != ogr.OGRERR_NONE:
        raise OSError(gdal.GetLastErrorMsg() or tr("a row cannot be written"))


def _lock_of(path: Path) -> QLockFile:
    lock = QLockFile(f"{path}.lock")
    lock.setStaleLockTime(0)  # only the end of its process makes a lock void, no time does
    return lock


def _is_left(path: Path) -> bool:
    """Whether the process that wrote a journal has ended."""
    lock = _lock_of(path)
    if not lock.tryLock(0):
        return False
    lock.unlock()
    return True


def _entries(path: Path) -> List[JournalEntry]:
    with quiet():
        file = gdal.OpenEx(str(path), gdal.OF_VECTOR)
        table = None if file is None else file.GetLayerByName(_TABLE)
        if table is None:
            return []
        groups: Dict[Tuple[str, str, str], List[JournalRow]] = defaultdict(list)
        for row in table:
            shape = QgsGeometry()
            if row.GetGeometryRef() is not None:
                shape.fromWkb(bytes(row.GetGeometryRef().ExportToWkb()))
            key = tuple(row.GetField(column) for column in _COLUMNS[:3])
            attributes = json.loads(row.GetField("attributes"))
            groups[key].append(JournalRow(shape, attributes, row.GetField("crs") or ""))
    return [JournalEntry(path, *key, tuple(rows)) for key, rows in groups.items()]


def _as_json(feature: QgsFeature) -> str:
    names = feature.fields().names()
    values = {name: _storable(plain(feature[name])) for name in names if name != "fid"}
    return json.dumps(values, ensure_ascii=False)


def _storable(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _kinds(rows: Sequence[JournalRow]) -> Dict[str, str]:
    """Columns and their kinds, told by the first value of each."""
    kinds: Dict[str, str] = {}
    for row in rows:
        for name, value in row.attributes.items():
            if value is not None:
                kinds.setdefault(name, _kind(value))
    return {name: kinds.get(name, TEXT) for name in rows[0].attributes}


def _kind(value: Any) -> str:
    kinds = ((bool, BOOLEAN), (int, INTEGER), (float, REAL))
    return next((kind for python, kind in kinds if isinstance(value, python)), TEXT)


def _feature(layer: QgsVectorLayer, row: JournalRow) -> QgsFeature:
    feature = QgsFeature(layer.fields())
    shape = QgsGeometry(row.shape)
    if shape.type() == QgsWkbTypes.GeometryType.PolygonGeometry:
        shape.convertToMultiType()
    feature.setGeometry(shape)
    for name, value in row.attributes.items():
        feature[name] = value
    return feature


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _remove(path: Path) -> None:
    for suffix in ("", *_SIDE_FILES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
