"""PREVIEW of furrow:delineate: what is told of fields while they are found."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from furrow.core.fields.delineation import scene as scene_delineation
from furrow.core.fields.delineation.tile_records import TileFolder
from furrow.qgis_io import field_preview
from furrow.tests.algorithms.test_delineate import TILE, paint, shown

TILES = 4


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """Parameters of a run over four tiles."""
    return {
        "INPUT": str(paint(tmp_path / "land.tif", shown())), "MODEL": "classical", "TILE": TILE,
        "REFINE": False, "MIN_AREA_HA": 0.0, "SIMPLIFY_M": 0.0, "PREVIEW": True,
        "OUTPUT": str(tmp_path / "fields.gpkg"),
    }  # fmt: skip


@pytest.fixture
def delineate(run_algorithm: Any, given: dict) -> Callable[..., dict]:
    def run(feedback: Any = None, **more: Any) -> dict:
        return run_algorithm("delineate", {**given, **more}, feedback=feedback)

    return run


@pytest.fixture
def heard(furrow_provider: Any) -> Iterator[list[tuple]]:
    """What a listener is told: begun, found or ended, the run, and polygons."""
    preview = furrow_provider.preview
    told: list[tuple] = []
    pairs = [
        (preview.begun, lambda run: told.append(("begun", run))),
        (preview.found, lambda run, shapes: told.append(("found", run, shapes))),
        (preview.ended, lambda run: told.append(("ended", run))),
    ]
    for signal, slot in pairs:
        signal.connect(slot)
    yield told
    for signal, slot in pairs:
        signal.disconnect(slot)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many polygons were made of each tile."""
    counts: list[int] = []
    plain = field_preview.core_polygons

    def counting(*what: Any) -> Any:
        shapes = plain(*what)
        counts.append(len(shapes))
        return shapes

    monkeypatch.setattr(field_preview, "core_polygons", counting)
    return counts


@pytest.fixture
def feedback(qgis_app: Any) -> Any:
    from qgis.core import QgsProcessingFeedback

    return QgsProcessingFeedback(False)


def kinds(heard: list[tuple]) -> list[str]:
    return [kind for kind, *_ in heard]


def union(shapes: Any) -> Any:
    from qgis.core import QgsGeometry

    return QgsGeometry.unaryUnion(list(shapes))


def outlines(output: str) -> Any:
    from qgis.core import QgsVectorLayer

    return [feature.geometry() for feature in QgsVectorLayer(output, "x").getFeatures()]


def test_polygons_come_tile_by_tile(delineate: Any, heard: list, feedback: Any) -> None:
    result = delineate(feedback)
    assert kinds(heard) == ["begun", *["found"] * TILES, "ended"]
    run = heard[0][1]
    assert all(told[1] is run for told in heard)
    assert run.image == "land" and "32632" in run.grid.crs
    so_far = union(shape for told in heard[1:-1] for shape in told[2])
    whole = union(outlines(result["OUTPUT"]))
    assert so_far.symDifference(whole).area() < 0.01 * whole.area()
    assert "PREVIEW" not in feedback.textLog()


def test_nothing_is_drawn_where_nobody_listens(
    delineate: Any, drawn: list, feedback: Any
) -> None:
    assert delineate(feedback)["FIELD_COUNT"] >= 25
    assert drawn == []
    assert feedback.textLog().count("no window of QGIS to show fields in") == 1


def test_nothing_is_told_unless_it_is_asked_for(
    delineate: Any, heard: list, drawn: list, feedback: Any
) -> None:
    delineate(feedback, PREVIEW=False)
    assert heard == [] == drawn
    assert "PREVIEW" not in feedback.textLog()


def test_an_algorithm_without_a_provider_previews_nothing(
    furrow_provider: Any, given: dict, heard: list, feedback: Any
) -> None:
    from qgis.core import QgsProcessingContext

    from furrow.algorithms.delineate import Delineate

    algorithm = Delineate()
    algorithm.initAlgorithm({})
    result, worked = algorithm.run(given, QgsProcessingContext(), feedback)
    assert worked and result["FIELD_COUNT"] >= 25 and heard == []
    assert "no window of QGIS" in feedback.textLog()


def test_whoever_looks_no_more_costs_nothing(
    delineate: Any, furrow_provider: Any, heard: list, drawn: list
) -> None:
    def leave(run: Any, shapes: Any) -> None:
        run.unwanted.set()

    furrow_provider.preview.found.connect(leave)
    assert delineate()["FIELD_COUNT"] >= 25
    furrow_provider.preview.found.disconnect(leave)
    assert len(drawn) == 1 and kinds(heard) == ["begun", "found", "ended"]


def test_tiles_of_an_earlier_run_are_shown_too(
    delineate: Any, heard: list, feedback: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, plain = [], TileFolder.put

    def stopping(self: TileFolder, *what: Any) -> None:
        plain(self, *what)
        done.append(what)
        if len(done) == 2:
            feedback.cancel()

    monkeypatch.setattr(TileFolder, "put", stopping)
    assert delineate(feedback) == {}
    assert heard[-1][0] == "ended" and 1 <= kinds(heard).count("found") <= 2
    monkeypatch.setattr(TileFolder, "put", plain)
    del heard[:]
    result = delineate()
    assert kinds(heard) == ["begun", *["found"] * TILES, "ended"]
    so_far = union(shape for told in heard[1:-1] for shape in told[2])
    assert so_far.area() == pytest.approx(union(outlines(result["OUTPUT"])).area(), rel=0.01)


def test_cancelling_is_noticed_between_kept_tiles(
    delineate: Any, furrow_provider: Any, heard: list, feedback: Any, monkeypatch: Any
) -> None:
    from qgis.core import QgsProcessingException

    def no_room(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scene_delineation, "joined", no_room)
    with pytest.raises(QgsProcessingException, match="make room on the disk"):
        delineate()
    assert kinds(heard) == ["begun", *["found"] * TILES, "ended"]
    del heard[:]

    def stop(run: Any, shapes: Any) -> None:
        feedback.cancel()

    furrow_provider.preview.found.connect(stop)
    assert delineate(feedback) == {}
    furrow_provider.preview.found.disconnect(stop)
    assert kinds(heard) == ["begun", "found", "ended"]


def test_processes_and_memory_layers_are_previewed_as_well(delineate: Any, heard: list) -> None:
    assert delineate(WORKERS="2", OUTPUT="memory:")["FIELD_COUNT"] >= 25
    assert kinds(heard) == ["begun", *["found"] * TILES, "ended"]
