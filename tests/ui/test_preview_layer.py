"""The layer that shows fields while they are found, with QGIS' own project, canvas and tasks."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import numpy as np
import pytest
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
    QgsRectangle,
    QgsVectorFileWriter,
    QgsVectorLayer,
)
from qgis.gui import QgsLayerTreeMapCanvasBridge, QgsMapCanvas
from qgis.PyQt.QtCore import QCoreApplication, QEvent

from furrow.core.fields.delineation.tile_records import TileRecord, empty_record
from furrow.core.fields.delineation.tiling import Lattice, Tile
from furrow.core.imagery.grid import Grid
from furrow.qgis_io.field_preview import FieldPreview, TileTold
from furrow.tests.algorithms.test_delineate import TILE, paint, shown
from furrow.tests.ui.waiting import wait_until
from furrow.ui import preview_layer
from furrow.ui.preview_layer import PreviewLayers

SIDE = 1024
UTM32 = QgsCoordinateReferenceSystem("EPSG:32632")
GRID = Grid(SIDE, SIDE, (500_000.0, 10.0, 0.0, 5_300_000.0, 0.0, -10.0), UTM32.toWkt())
TILES = Lattice((SIDE, SIDE), 512, 128).tiles
"""Nine; the first is above on the left, the third above on the right."""
TITLE = "Fields so far: land"


def record(tile: Tile) -> TileRecord:
    """Some 400 fields of 16 x 22 pixels."""
    rows, cols = np.mgrid[tile.area.slices]
    labels = np.unique(rows // 16 * 100 + cols // 22, return_inverse=True)[1] + 1
    return replace(empty_record(tile), labels=labels.reshape(rows.shape).astype(np.int32))


def settle() -> None:
    """Work off what is due, objects to delete included."""
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QgsApplication.processEvents()


@pytest.fixture
def project(qgis_app: Any) -> Iterator[QgsProject]:
    """QGIS' project with one layer, not changed since it was saved."""
    project = QgsProject.instance()
    project.clear()
    project.setCrs(UTM32)
    project.addMapLayer(QgsVectorLayer("Polygon?crs=EPSG:32632", "below", "memory"))
    project.setDirty(False)
    yield project
    project.clear()


@pytest.fixture
def canvas(project: QgsProject) -> Iterator[QgsMapCanvas]:
    """A map that follows the project's layers."""
    canvas = QgsMapCanvas()
    bridge = QgsLayerTreeMapCanvasBridge(project.layerTreeRoot(), canvas)
    canvas.setDestinationCrs(UTM32)
    canvas.resize(300, 300)
    canvas.setExtent(QgsRectangle(*GRID.bounds()))
    canvas.show()
    yield canvas
    canvas.stopRendering()
    bridge.deleteLater()
    canvas.deleteLater()
    settle()


@pytest.fixture
def preview(furrow_provider: Any) -> FieldPreview:
    return furrow_provider.preview


@pytest.fixture
def layers(preview: FieldPreview, canvas: QgsMapCanvas) -> Iterator[PreviewLayers]:
    made = PreviewLayers(preview, canvas)
    yield made
    made.close()
    settle()
    assert not preview.listening


def shown_layer() -> Optional[QgsVectorLayer]:
    """The preview in the project."""
    found = [each for each in QgsProject.instance().mapLayers().values() if is_preview(each.name())]
    assert len(found) <= 1
    return found[0] if found else None


def is_preview(name: str) -> bool:
    return name.startswith("Fields so far")


def count() -> int:
    layer = shown_layer()
    return layer.featureCount() if layer is not None else 0


def tell(told: TileTold, *tiles: Tile) -> None:
    """Some tiles are done; wait until they are shown."""
    before = count()
    fields = sum(len(np.unique(record(tile).labels[tile.core_in_area])) for tile in tiles)
    for tile in tiles:
        told(tile, record(tile))
    wait_until(lambda: count() == before + fields)


# --- while a run lasts ------------------------------------------------------------------------


def test_a_layer_appears_fills_and_goes(
    layers: PreviewLayers, preview: FieldPreview, project: QgsProject, canvas: QgsMapCanvas
) -> None:
    before = set(project.mapLayers())
    with preview.run("land", GRID) as told:
        settle()
        assert shown_layer() is None
        tell(told, TILES[0])
        layer = shown_layer()
        assert layer.name() == TITLE and layer.crs() == UTM32
        assert layer.readOnly() and count() > 400
        top = project.layerTreeRoot().children()[0]
        assert top.layer() is layer and top.isVisible()
        assert layer.extent() == QgsRectangle(*GRID.bounds())
        tell(told, *TILES[1:])
        area = sum(feature.geometry().area() for feature in layer.getFeatures())
        assert area == pytest.approx(100 * SIDE * SIDE)
        wait_until(lambda: layer in canvas.layers())
    wait_until(lambda: shown_layer() is None)
    wait_until(lambda: not layers._leaving)
    assert set(project.mapLayers()) == before and not project.isDirty()
    assert [node.name() for node in project.layerTreeRoot().children()] == ["below"]
    settle()
    project.setDirty(True)
    assert project.isDirty()


def test_fields_are_drawn(
    layers: PreviewLayers, preview: FieldPreview, canvas: QgsMapCanvas
) -> None:
    def orange() -> int:
        image = canvas.grab().toImage()
        colours = [image.pixelColor(x, 60) for x in range(100)]
        return sum(colour.red() > colour.blue() for colour in colours)

    with preview.run("land", GRID) as told:
        tell(told, TILES[2])
        wait_until(lambda: orange() == 0)
        tell(told, TILES[0])
        wait_until(lambda: orange() > 0)
    wait_until(lambda: shown_layer() is None)
    wait_until(lambda: orange() == 0)


def test_two_runs_have_a_layer_each(
    layers: PreviewLayers, preview: FieldPreview, project: QgsProject
) -> None:
    def names() -> List[str]:
        return sorted(each.name() for each in project.mapLayers().values())

    with preview.run("land", GRID) as told:
        with preview.run("coast", GRID) as other:
            told(TILES[0], record(TILES[0]))
            other(TILES[1], record(TILES[1]))
            wait_until(lambda: len(names()) == 3)
            assert names() == ["Fields so far: coast", TITLE, "below"]
        wait_until(lambda: names() == [TITLE, "below"])
    wait_until(lambda: names() == ["below"])


def test_an_image_that_lies_nowhere_is_previewed_as_well(
    layers: PreviewLayers, preview: FieldPreview
) -> None:
    with preview.run("land", replace(GRID, crs="")) as told:
        tell(told, TILES[0])
        assert not shown_layer().crs().isValid()
    wait_until(lambda: shown_layer() is None)


def test_a_run_without_a_field_has_no_layer(
    layers: PreviewLayers, preview: FieldPreview, project: QgsProject
) -> None:
    added: List[Any] = []
    project.layersAdded.connect(added.extend)
    with preview.run("land", GRID) as told:
        told(TILES[0], empty_record(TILES[0]))
    settle()
    wait_until(lambda: not layers._layers)
    assert added == []
    project.layersAdded.disconnect(added.extend)


def test_others_wait_a_moment_at_most(
    preview: FieldPreview, canvas: QgsMapCanvas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many tiles at once, as when a run goes on. Time of the processor: others use it as well."""
    took: List[float] = []
    plain = PreviewLayers._work

    def timed(self: PreviewLayers) -> None:
        began = time.thread_time()
        plain(self)
        took.append(time.thread_time() - began)

    monkeypatch.setattr(PreviewLayers, "_work", timed)
    layers = PreviewLayers(preview, canvas)
    with preview.run("land", GRID) as told:
        for tile in TILES * 5:
            told(tile, record(tile))
        wait_until(lambda: count() > 8000 and not layers._waiting)
    wait_until(lambda: shown_layer() is None and not layers._leaving)
    layers.close()
    assert len(took) > 2 and max(took) < 0.05


# --- what users do meanwhile ------------------------------------------------------------------


def test_who_removes_the_layer_has_seen_enough(
    layers: PreviewLayers, preview: FieldPreview, project: QgsProject
) -> None:
    with preview.run("land", GRID) as told:
        tell(told, TILES[0])
        (run,) = layers._layers
        project.removeMapLayer(shown_layer().id())
        told(TILES[1], record(TILES[1]))
        wait_until(run.unwanted.is_set)
        told(TILES[2], record(TILES[2]))
        settle()
        assert shown_layer() is None
    settle()
    assert len(project.mapLayers()) == 1


@pytest.mark.parametrize("tiles", [0, 2])
def test_another_project_shows_nothing_of_the_run(
    layers: PreviewLayers, preview: FieldPreview, project: QgsProject, tiles: int
) -> None:
    with preview.run("land", GRID) as told:
        for tile in TILES[:tiles]:
            tell(told, tile)
        settle()
        (run,) = layers._layers
        told(TILES[2], record(TILES[2]))
        project.clear()
        told(TILES[3], record(TILES[3]))
        settle()
        assert run.unwanted.is_set()
    wait_until(lambda: not layers._waiting)
    assert not project.mapLayers() and not project.isDirty()


def test_a_project_saved_amid_a_run_opens_without_the_layer(
    layers: PreviewLayers, preview: FieldPreview, project: QgsProject, tmp_path: Path
) -> None:
    with preview.run("land", GRID) as told:
        tell(told, TILES[0])
        assert project.write(str(tmp_path / "mine.qgs"))
        assert not project.isDirty()
    wait_until(lambda: shown_layer() is None)
    assert project.read(str(tmp_path / "mine.qgs"))
    assert [layer.name() for layer in project.mapLayers().values()] == ["below"]
    assert not project.isDirty()


def test_a_layer_that_was_saved_is_the_users_own(
    layers: PreviewLayers, preview: FieldPreview, project: QgsProject, tmp_path: Path
) -> None:
    """QGIS' "make permanent" gives a layer in memory another source."""
    with preview.run("land", GRID) as told:
        tell(told, TILES[0])
        (run,) = layers._layers
        layer, path = shown_layer(), str(tmp_path / "mine.gpkg")
        options = QgsVectorFileWriter.SaveVectorOptions()
        context = project.transformContext()
        QgsVectorFileWriter.writeAsVectorFormatV3(layer, path, context, options)
        layer.setDataSource(path, "mine", "ogr")
        kept = layer.featureCount()
        told(TILES[1], record(TILES[1]))
        wait_until(run.unwanted.is_set)
    settle()
    assert layer.featureCount() == kept and layer.id() in project.mapLayers()


def test_closing_takes_all_layers_back(
    preview: FieldPreview, canvas: QgsMapCanvas, project: QgsProject
) -> None:
    layers = PreviewLayers(preview, canvas)
    with preview.run("land", GRID) as told:
        tell(told, TILES[0])
        (run,) = layers._layers
        told(TILES[1], record(TILES[1]))
        layers.close()
        layers.close()
        assert shown_layer() is None and not project.isDirty()
        assert run.unwanted.is_set() and not preview.listening
        told(TILES[2], record(TILES[2]))
        settle()
        again = PreviewLayers(preview, canvas)
        run.unwanted.clear()
        told(TILES[3], record(TILES[3]))
        settle()
    settle()
    again.close()
    assert len(project.mapLayers()) == 1


# --- the algorithm in a task ------------------------------------------------------------------


class Run:
    """furrow:delineate in the background, as the Toolbox runs it."""

    def __init__(self, provider: Any, parameters: Dict[str, Any]) -> None:
        self.results: List[Any] = []
        self.feedback, self._context = QgsProcessingFeedback(False), QgsProcessingContext()
        self._context.setProject(QgsProject.instance())
        algorithm = provider.algorithm("delineate")
        self._task = QgsProcessingAlgRunnerTask(
            algorithm, parameters, self._context, self.feedback
        )
        self._task.executed.connect(lambda worked, results: self.results.append(worked))
        QgsApplication.taskManager().addTask(self._task)

    def cancel(self) -> None:
        self._task.cancel()

    def wait(self) -> None:
        wait_until(lambda: bool(self.results))


@pytest.fixture
def given(tmp_path: Path) -> Dict[str, Any]:
    return {
        "INPUT": str(paint(tmp_path / "land.tif", shown())), "MODEL": "classical", "TILE": TILE,
        "REFINE": False, "MIN_AREA_HA": 0.0, "PREVIEW": True,
        "OUTPUT": str(tmp_path / "fields.gpkg"),
    }  # fmt: skip


@pytest.fixture
def counts(project: QgsProject, monkeypatch: pytest.MonkeyPatch) -> List[int]:
    """How many fields the layer had after each addition."""
    seen: List[int] = []
    plain = PreviewLayers._add

    def added(self: PreviewLayers, *what: Any) -> None:
        assert threading.current_thread() is threading.main_thread()
        plain(self, *what)
        seen.append(count())

    monkeypatch.setattr(preview_layer.PreviewLayers, "_add", added)
    return seen


def test_a_task_fills_the_layer_from_its_thread(
    layers: PreviewLayers, preview: FieldPreview, furrow_provider: Any, given: Dict[str, Any],
    counts: List[int], project: QgsProject,
) -> None:  # fmt: skip
    before = set(project.mapLayers())
    run = Run(furrow_provider, given)
    run.wait()
    wait_until(lambda: shown_layer() is None)
    assert run.results == [True], run.feedback.textLog()
    assert len(counts) == 4 and counts == sorted(counts) and counts[-1] >= 25
    assert set(project.mapLayers()) == before and not project.isDirty()
    assert not layers._layers


def test_a_cancelled_task_takes_its_layer_along(
    layers: PreviewLayers, furrow_provider: Any, given: Dict[str, Any], counts: List[int]
) -> None:
    run = Run(furrow_provider, given)
    wait_until(lambda: bool(counts))
    run.cancel()
    run.wait()
    wait_until(lambda: shown_layer() is None and not layers._layers)
    del counts[:]
    run = Run(furrow_provider, given)  # goes on, and shows what was there
    run.wait()
    wait_until(lambda: not layers._layers)
    assert run.results == [True] and len(counts) == 4


def test_a_task_that_fails_takes_its_layer_along(
    layers: PreviewLayers, furrow_provider: Any, given: Dict[str, Any], counts: List[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from furrow.core.fields.delineation import scene

    def no_room(*_: Any) -> None:
        wait_for_counts.wait(20)
        raise OSError(28, "No space left on device")

    wait_for_counts = threading.Event()
    monkeypatch.setattr(scene, "joined", no_room)
    run = Run(furrow_provider, given)
    wait_until(lambda: len(counts) == 4)
    assert shown_layer() is not None
    wait_for_counts.set()
    run.wait()
    wait_until(lambda: shown_layer() is None and not layers._layers)
    assert run.results == [False] and "make room" in run.feedback.textLog()


def test_closing_amid_a_task_lets_it_end_well(
    preview: FieldPreview, canvas: QgsMapCanvas, furrow_provider: Any, given: Dict[str, Any],
    counts: List[int],
) -> None:  # fmt: skip
    layers = PreviewLayers(preview, canvas)
    run = Run(furrow_provider, given)
    wait_until(lambda: bool(counts))
    layers.close()
    assert shown_layer() is None
    run.wait()
    settle()
    assert run.results == [True] and shown_layer() is None
