"""Unsaved fields survive the end of QGIS, whatever end that is."""

from __future__ import annotations

import datetime as dt
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsDataProvider,
    QgsFeature,
    QgsGeometry,
    QgsProject,
    QgsVectorLayer,
)

from furrow.qgis_io.field_journal import FieldJournal
from furrow.qgis_io.field_layers import (
    FieldMapping,
    FieldValues,
    add_field,
    new_geopackage_layer,
    new_memory_layer,
)

CRS = QgsCoordinateReferenceSystem("EPSG:32632")
CONTEXT = QgsCoordinateTransformContext()
VALUES = FieldValues("wheat", 7, 0.8125, dt.date(2022, 6, 1), "classical", "a.tif", 3)

CHILD = """
import sys, time
sys.path[:0] = [{demo!r}]
import furrow_package; furrow_package.register()
from qgis.core import QgsApplication
application = QgsApplication([], True); application.initQgis()
sys.path.insert(0, {tests!r})
from test_field_journal import CRS, field
from furrow.qgis_io.field_journal import FieldJournal
from furrow.qgis_io.field_layers import new_memory_layer
from pathlib import Path
layer = new_memory_layer(CRS, "Fields of O'Hara")
journal = FieldJournal(Path({folder!r}))
journal.watch(layer)
for k in range(5):
    field(layer, 1000 * k)
print("ready", journal.trouble, flush=True)
time.sleep(60)
"""


def square(x: float, side: float = 100.0) -> QgsGeometry:
    return QgsGeometry.fromWkt(
        f"MultiPolygon((({x} 0, {x + side} 0, {x + side} {side}, {x} {side}, {x} 0)))"
    )


def field(layer: QgsVectorLayer, x: float) -> int:
    return add_field(layer, square(x), CRS, VALUES, FieldMapping.guess(layer), CONTEXT)


def rows_in(folder: Path) -> int:
    """Rows that a crash now would leave."""
    count = 0
    for path in folder.glob("*.gpkg"):
        with closing(sqlite3.connect(path)) as file:
            count += file.execute("SELECT COUNT(*) FROM unsaved").fetchone()[0]
    return count


@pytest.fixture
def journal(qgis_app: Any, tmp_path: Path) -> Any:
    made = FieldJournal(tmp_path / "unsaved")
    yield made
    made.close()


def test_fields_survive_a_killed_process(qgis_app: Any, tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "unsaved"
    code = CHILD.format(
        demo=str(root / "demo"), tests=str(Path(__file__).parent), folder=str(folder)
    )
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True
    )
    try:
        line = child.stdout.readline()
        assert line.strip() == "ready None"
        mine = FieldJournal(folder)
        assert mine.recoverable() == []  # its process lives
        os.kill(child.pid, signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
    entries = mine.recoverable()
    assert [(e.layer_name, len(e.rows)) for e in entries] == [("Fields of O'Hara", 5)]
    layer = mine.recovered_layer(entries[0])
    assert layer.crs() == CRS
    features = sorted(layer.getFeatures(), key=lambda f: f.geometry().boundingBox().xMinimum())
    for k, feature in enumerate(features):
        assert feature.geometry().equals(square(1000 * k))
        assert (feature["class"], feature["code"], feature["score"]) == ("wheat", "7", 0.8125)
        assert feature["date"] == "2022-06-01"
    mine.forget(entries[0])
    assert mine.recoverable() == [] and not list(folder.glob("*.gpkg*"))


def test_undo_and_rolling_back_take_rows_out_again(journal: FieldJournal, tmp_path: Path) -> None:
    layer = new_geopackage_layer(tmp_path / "fields.gpkg", CRS, "fields")
    journal.watch(layer)
    folder = tmp_path / "unsaved"
    for k in range(3):
        field(layer, 1000 * k)
    assert rows_in(folder) == 3
    layer.undoStack().undo()
    assert rows_in(folder) == 2
    layer.undoStack().redo()
    assert rows_in(folder) == 3
    layer.rollBack()
    assert rows_in(folder) == 0


def test_saved_fields_are_no_longer_kept(journal: FieldJournal, tmp_path: Path) -> None:
    layer = new_geopackage_layer(tmp_path / "fields.gpkg", CRS, "fields")
    journal.watch(layer)
    field(layer, 0)
    assert layer.commitChanges(False)
    assert rows_in(tmp_path / "unsaved") == 0
    field(layer, 1000)
    assert rows_in(tmp_path / "unsaved") == 1


def test_a_layer_in_memory_is_kept_whether_saved_or_not(
    journal: FieldJournal, tmp_path: Path
) -> None:
    layer = new_memory_layer(CRS, "fields")
    field(layer, 0)
    layer.commitChanges()
    journal.watch(layer)
    field(layer, 1000)
    layer.commitChanges(False)
    assert rows_in(tmp_path / "unsaved") == 2
    layer.changeGeometry(next(layer.getFeatures()).id(), square(5000))
    assert rows_in(tmp_path / "unsaved") == 2


def test_a_removed_layer_and_a_closed_journal_leave_nothing(
    qgis_app: Any, tmp_path: Path
) -> None:
    journal = FieldJournal(tmp_path / "unsaved")
    layer = new_memory_layer(CRS, "fields")
    project = QgsProject()
    project.addMapLayer(layer)
    journal.watch(layer)
    field(layer, 0)
    project.removeMapLayer(layer)
    assert rows_in(tmp_path / "unsaved") == 0
    journal.close()
    assert not list((tmp_path / "unsaved").iterdir())


def test_a_folder_that_cannot_be_made_is_told_and_editing_goes_on(
    qgis_app: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    journal = FieldJournal(tmp_path / "file" / "unsaved")
    layer = new_memory_layer(CRS, "fields")
    journal.watch(layer)
    field(layer, 0)
    assert layer.featureCount() == 1 and "not secured" in journal.trouble
    journal.close()


def test_damaged_files_are_passed_over_and_kept(journal: FieldJournal, tmp_path: Path) -> None:
    folder = tmp_path / "unsaved"
    folder.mkdir()
    damaged = folder / "unsaved-1-abc.gpkg"
    damaged.write_bytes(b"no GeoPackage")
    assert journal.recoverable() == [] and damaged.exists()


def test_a_saved_field_that_is_changed_stays_kept_when_another_layer_is_edited(
    journal: FieldJournal, tmp_path: Path
) -> None:
    layers = [new_geopackage_layer(tmp_path / f"{name}.gpkg", CRS, name) for name in "ab"]
    field(layers[0], 0)
    assert layers[0].commitChanges(False)
    journal.watch(layers[0])
    layers[0].changeGeometry(next(layers[0].getFeatures()).id(), square(5000))
    for layer in (layers[1], layers[0], layers[1]):
        journal.watch(layer)
        assert rows_in(tmp_path / "unsaved") == 1
    field(layers[1], 0)
    field(layers[0], 300)
    assert rows_in(tmp_path / "unsaved") == 3
    assert layers[0].commitChanges()  # no longer the layer that fields go into
    assert rows_in(tmp_path / "unsaved") == 1
    layers[1].rollBack()
    assert rows_in(tmp_path / "unsaved") == 0


def test_a_layer_in_memory_that_is_made_permanent_is_no_longer_kept(
    journal: FieldJournal, tmp_path: Path
) -> None:
    layer = new_memory_layer(CRS, "fields")
    journal.watch(layer)
    field(layer, 0)
    layer.commitChanges()
    assert rows_in(tmp_path / "unsaved") == 1
    saved = new_geopackage_layer(tmp_path / "fields.gpkg", CRS, "fields")
    layer.setDataSource(saved.source(), "fields", "ogr", QgsDataProvider.ProviderOptions())
    assert rows_in(tmp_path / "unsaved") == 0


def test_an_edit_of_many_features_is_written_at_once(journal: FieldJournal) -> None:
    layer = new_memory_layer(CRS, "fields")
    journal.watch(layer)
    first = layer.getFeature(field(layer, 0))
    layer.addFeatures([QgsFeature(first) for _ in range(500)])
    position = layer.fields().lookupField("score")
    start = time.perf_counter()
    layer.beginEditCommand("field calculator")
    for fid in layer.allFeatureIds():
        layer.changeAttributeValue(fid, position, 0.5)
    layer.endEditCommand()
    assert time.perf_counter() - start < 2


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX only")
def test_fields_that_a_full_disk_refused_are_written_when_there_is_room(
    journal: FieldJournal, tmp_path: Path
) -> None:
    import resource

    layer = new_memory_layer(CRS, "fields")
    journal.watch(layer)
    field(layer, 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        field(layer, 1000)
        trouble = journal.trouble
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "not secured" in trouble and layer.featureCount() == 2
    field(layer, 2000)
    assert journal.trouble is None and rows_in(tmp_path / "unsaved") == 3


def test_a_field_is_written_in_milliseconds(journal: FieldJournal) -> None:
    layer = new_memory_layer(CRS, "fields")
    journal.watch(layer)
    field(layer, 0)
    start = time.perf_counter()
    for k in range(1, 21):
        field(layer, 1000 * k)
    assert (time.perf_counter() - start) / 20 < 0.2
