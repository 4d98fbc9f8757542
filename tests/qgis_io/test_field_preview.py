"""Fields that are told of while a run lasts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List, Tuple

import numpy as np
import pytest
from qgis.core import QgsGeometry

from furrow.core.fields.delineation.tile_records import TileRecord, empty_record
from furrow.core.fields.delineation.tiling import Lattice, Tile
from furrow.core.imagery.grid import Grid
from furrow.qgis_io.field_preview import FieldPreview, core_polygons

GRID = Grid(192, 90, (500_000.0, 10.0, 0.0, 5_300_000.0, 0.0, -10.0))
TILES = Lattice((90, 192), 128, 64).tiles
"""Two, side by side."""


def record(tile: Tile) -> TileRecord:
    """Fields of 16 x 10 pixels of the scene, which do not end at the seam."""
    rows, cols = np.mgrid[tile.area.slices]
    labels = np.unique(rows // 16 * 100 + cols // 10, return_inverse=True)[1] + 1
    return replace(empty_record(tile), labels=labels.reshape(rows.shape).astype(np.int32))


@pytest.fixture
def preview(qgis_app: Any) -> FieldPreview:
    return FieldPreview()


@pytest.fixture
def told(preview: FieldPreview) -> List[Tuple]:
    """What a listener gets."""
    heard: List[Tuple] = []
    preview.begun.connect(lambda run: heard.append(("begun", run)))
    preview.found.connect(lambda run, shapes: heard.append(("found", run, shapes)))
    preview.ended.connect(lambda run: heard.append(("ended", run)))
    return heard


def test_each_tile_gives_the_fields_of_its_core() -> None:
    both = [core_polygons(tile, record(tile), GRID) for tile in TILES]
    for tile, shapes in zip(TILES, both):
        core = QgsGeometry.unaryUnion(shapes)
        west, north = 500_000 + 10 * tile.core.col, 5_300_000 - 10 * tile.core.row
        box = core.boundingBox()
        assert (box.xMinimum(), box.yMaximum()) == (west, north)
        assert core.area() == pytest.approx(100 * tile.core.width * tile.core.height)
    shapes = [shape for shapes in both for shape in shapes]
    whole = QgsGeometry.unaryUnion(shapes)
    assert whole.area() == pytest.approx(100 * GRID.width * GRID.height)
    assert whole.area() == pytest.approx(sum(shape.area() for shape in shapes))


def test_a_listener_is_told_from_beginning_to_end(preview: FieldPreview, told: List) -> None:
    with preview.run("land", GRID) as tell:
        for tile in TILES:
            tell(tile, record(tile))
    assert [kind for kind, *_ in told] == ["begun", "found", "found", "ended"]
    assert len({run for _, run, *_ in told}) == 1
    assert told[0][1].image == "land" and told[0][1].grid is GRID


def test_an_error_ends_a_run_too(preview: FieldPreview, told: List) -> None:
    with pytest.raises(OSError, match="full"), preview.run("land", GRID):
        raise OSError("full")
    assert [kind for kind, *_ in told] == ["begun", "ended"]


def test_whoever_looks_no_more_is_told_no_more(preview: FieldPreview, told: List) -> None:
    with preview.run("land", GRID) as tell:
        told[0][1].unwanted.set()
        tell(TILES[0], record(TILES[0]))
    assert [kind for kind, *_ in told] == ["begun", "ended"]


def test_it_is_known_whether_anybody_listens(preview: FieldPreview) -> None:
    def listener(run: object, shapes: object) -> None:
        pass

    assert not preview.listening
    preview.found.connect(listener)
    assert preview.listening
    preview.found.disconnect(listener)
    assert not preview.listening
