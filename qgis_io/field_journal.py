"""Fields that are not saved yet, written ahead: nothing is lost when QGIS ends unexpectedly.

Each process keeps one GeoPackage, with a row for every feature of the watched layers that is
nowhere else: uncommitted ones, and all of a layer in memory. Rows are committed before the edit
returns. The file goes when nothing is left in it; one whose process has ended is offered again.
"""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from osgeo import gdal
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsFeatureRequest,
    QgsGeometry,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QLockFile

from ..core.errors import OutputError
from ..core.imagery.raster_gdal import quiet
from .compat import BOOLEAN, INTEGER, REAL, TEXT, make_field
from .journal_files import (
    JournalEntry,
    JournalRow,
    delete_rows,
    entries_of,
    insert,
    is_empty,
    is_left,
    lock_of,
    new_file,
    remove,
    transaction,
)
from .texts import tr


class _Watch:
    """A layer, and which of its features have changed since they were written ahead."""

    def __init__(self, layer: QgsVectorLayer, write: Callable[[_Watch], None]) -> None:
        self.layer, self.layer_id = layer, layer.id()
        self.wanted = True
        """False: it is let go as soon as all of it is saved."""
        self.changed: Set[int] = set()
        self.everything = True
        """All rows have to be written again."""
        self._write = write
        # QGIS tells of the undo stack at the end of each edit, undo and redo, however many
        # features it changes: they are written together.
        self._connected: Tuple[Tuple[Any, Callable[..., None]], ...] = (
            (layer.featureAdded, self._on_changed),
            (layer.geometryChanged, self._on_changed),
            (layer.attributeValueChanged, self._on_changed),
            (layer.featureDeleted, self._on_changed),
            (layer.undoStack().indexChanged, self._on_edited),
            (layer.afterCommitChanges, self.on_settled),
            (layer.afterRollBack, self.on_settled),
            (layer.dataSourceChanged, self.on_settled),
        )
        for signal, slot in self._connected:
            signal.connect(slot)

    def end(self) -> None:
        """Hear no more of the layer."""
        for signal, slot in self._connected:
            signal.disconnect(slot)
        self._connected = ()

    @property
    def in_memory(self) -> bool:
        """Whether the layer has no other place than this process."""
        return self.layer.providerType() == "memory"

    def unsaved(self) -> Set[int]:
        """Features that are nowhere else."""
        if self.in_memory:
            return set(self.layer.allFeatureIds())
        buffer = self.layer.editBuffer()
        return set() if buffer is None else set(buffer.allAddedOrEditedFeatures())

    def on_settled(self) -> None:
        """All is saved, or given up; a layer in memory is never saved."""
        self.everything = True
        self._write(self)

    def _on_changed(self, fid: int, *_: Any) -> None:
        self.changed.add(fid)

    def _on_edited(self, *_: Any) -> None:
        if self.changed:
            self._write(self)


class FieldJournal:
    """Watches the layer that is edited, and those before it until they are saved."""

    def __init__(self, folder: Path) -> None:
        """:param folder: of the journals of all processes; made with the first row."""
        self.trouble: Optional[str] = None
        """Why fields are not written ahead, for the user; editing goes on."""
        self._folder = folder
        self._path = folder / f"unsaved-{os.getpid()}-{uuid.uuid4().hex[:8]}.gpkg"
        self._lock: Optional[QLockFile] = None
        self._file: Optional[gdal.Dataset] = None
        self._watches: Dict[str, _Watch] = {}

    def watch(self, layer: QgsVectorLayer) -> None:
        """Write this layer's unsaved features ahead from now on; others are let go once saved."""
        self.unwatch()
        if layer.id() in self._watches:
            self._watches[layer.id()].wanted = True
            return
        self._watches[layer.id()] = watch = _Watch(layer, self._write)
        # Before it removes a layer, QGIS has asked whether that is meant.
        layer.willBeDeleted.connect(partial(self._forget_layer, watch))
        self._write(watch)

    def unwatch(self) -> None:
        """Let the layers go, each as soon as nothing of it is unsaved."""
        for watch in list(self._watches.values()):
            watch.wanted = False
            self._let_go(watch)

    def close(self) -> None:
        """Close; the file goes if nothing is left in it."""
        for watch in self._watches.values():
            watch.end()
        self._watches = {}
        if self._file is None:
            return
        empty = is_empty(self._file)
        self._file = None
        self._lock.unlock()
        if empty:
            remove(self._path)

    def _let_go(self, watch: _Watch) -> None:
        if not watch.wanted and not watch.unsaved():
            self._forget_layer(watch)

    def _forget_layer(self, watch: _Watch) -> None:
        """Stop watching a layer of which nothing is unsaved, or that the user has removed."""
        if self._watches.pop(watch.layer_id, None) is not None:
            watch.end()
            self._guarded(partial(self._delete, watch))

    def _write(self, watch: _Watch) -> None:
        """Write what has changed in one transaction; what fails is tried again next time."""
        self._guarded(partial(self._write_changes, watch))
        self._let_go(watch)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            with quiet():
                work()
        except (OSError, RuntimeError) as error:
            self.trouble = tr(
                "Fields are not secured against a crash ({}): save them often, or free space in {}."
            ).format(str(error).strip().rstrip("."), self._folder)
            return
        if not any(watch.changed or watch.everything for watch in self._watches.values()):
            self.trouble = None

    def _write_changes(self, watch: _Watch) -> None:
        if watch.in_memory and not watch.everything:
            written = watch.changed
        else:
            unsaved = watch.unsaved()
            written = unsaved if watch.everything else unsaved & watch.changed
        if self._file is None and not written:
            watch.changed, watch.everything = set(), False
            return
        with transaction(self._opened()):
            self._replace(watch, written)
        watch.changed, watch.everything = set(), False

    def _replace(self, watch: _Watch, written: Set[int]) -> None:
        """Take out what has changed, put in what of it is unsaved."""
        if watch.everything:
            self._delete(watch)
        else:
            for fid in watch.changed:
                self._delete(watch, f" AND feature = '{int(fid)}'")
        request = QgsFeatureRequest().setFilterFids(list(written))
        for feature in watch.layer.getFeatures(request):
            insert(self._file, watch.layer, feature)

    def _delete(self, watch: _Watch, more: str = "") -> None:
        if self._file is not None:
            delete_rows(self._file, watch.layer_id, more)

    def _opened(self) -> gdal.Dataset:
        """The open file; it is made with the first row.

        :raises OSError, RuntimeError: it cannot be.
        """
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock_of(self._path)
            if not self._lock.tryLock(0):
                raise OSError(tr("the folder cannot be written to"))
            self._file = new_file(self._path)
        return self._file

    def recoverable(self) -> List[JournalEntry]:
        """Unsaved fields of processes that have ended, by layer.

        Empty files are removed; those that cannot be read stay for whoever can mend them.
        """
        entries: List[JournalEntry] = []
        for path in sorted(self._folder.glob("unsaved-*.gpkg")):
            if path == self._path or not is_left(path):
                continue
            found = entries_of(path)
            if found:
                entries.extend(found)
            elif found is not None:
                remove(path)
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
            with suppress(OSError):  # then it is offered once more
                delete_rows(file, entry.layer_id)
            empty = is_empty(file)
            del file
        if empty:
            remove(entry.path)


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
