"""The work on one tile, wherever it runs."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from furrow.core.fields.delineation.options import DelineationOptions
from furrow.core.fields.delineation.scene import TileJob
from furrow.core.fields.delineation.tile_records import STAGES
from furrow.core.fields.delineation.tiling import Lattice
from furrow.core.fields.segmenter import Embedding
from furrow.core.imagery.raster_gdal import describe
from furrow.core.imagery.scene_images import measured_image
from furrow.core.places import Places
from furrow.models.segmenters.regions.classical import ClassicalSegmenter
from furrow.models.segmenters.tiles import tile_work
from furrow.models.segmenters.tiles.tile_work import (
    ModelChoice,
    SceneWork,
    TimedSegmenter,
    open_model,
    scene_zoom,
    work_on_tile,
)
from furrow.tests.core.series_files import write_image

SIDE = 160


@dataclass(frozen=True)
class Seen:
    zoom: int


@pytest.fixture
def scene(tmp_path: Path) -> SceneWork:
    """Data on the left half only."""
    values = np.random.default_rng(1).integers(200, 3000, (3, SIDE, SIDE))
    values[:, :, SIDE // 2 :] = 0
    path = str(write_image(tmp_path / "a.tif", dict(zip("abc", values)), nodata=0))
    model = ModelChoice("classical", None, Places.under(tmp_path))
    image, grid = measured_image(path, (1, 2, 3)), describe(path).grid
    return SceneWork((image,), grid, None, DelineationOptions(rounds=1), None, model)


def test_a_tile_without_data_of_its_own_is_not_looked_at(
    scene: SceneWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The middle of its window has data, its core has none."""
    opened: list[Any] = []
    monkeypatch.setattr(tile_work, "open_model", opened.append)
    tiles = Lattice((SIDE, SIDE), 96, 48).tiles
    last = tiles[-1]
    assert last.window.col < SIDE // 2 < last.core.col
    record = work_on_tile(scene, TileJob(last))
    assert record.count == 0 and not record.valid.any() and opened == []


def test_what_is_asked_for_bounds_what_is_looked_at(scene: SceneWork) -> None:
    first = Lattice((SIDE, SIDE), 96, 48).tiles[0]
    asked = np.zeros((first.area.height, first.area.width), bool)
    asked[10:40, 5:30] = True
    record = work_on_tile(scene, TileJob(first, np.packbits(asked, axis=1)))
    assert np.array_equal(record.valid, asked)
    assert not record.labels[~asked].any()
    seconds = dict(zip(STAGES, record.seconds))
    assert seconds["read"] and seconds["encode"] and seconds["decode"] and not seconds["enlarge"]


def test_most_samples_say_the_enlargement(
    scene: SceneWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    votes = iter((2, 1, 2, 2, 1))
    monkeypatch.setattr(tile_work, "look", lambda *_, **__: Seen(next(votes)))
    monkeypatch.setattr(tile_work, "_LARGE", 100)
    monkeypatch.setattr(tile_work, "_SAMPLE", 300)
    assert scene_zoom(scene) == 2
    told = replace(scene, options=DelineationOptions(zoom=1))
    assert scene_zoom(told) == 1


class MindingColours(ClassicalSegmenter):
    """An engine that remembers what it was told of the colours around."""

    def __init__(self) -> None:
        super().__init__()
        self.around: list[np.ndarray] = []

    def encode_among(self, image: np.ndarray, colours: np.ndarray) -> Embedding:
        self.around.append(colours)
        return self.encode(image)


def test_a_tile_is_shown_among_the_colours_of_the_scene(
    scene: SceneWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = MindingColours()
    monkeypatch.setattr(tile_work, "open_model", lambda *_: engine)
    tile = Lattice((SIDE, SIDE), 96, 48).tiles[0]
    work_on_tile(scene, TileJob(tile))
    assert engine.around == []
    image = measured_image(scene.images[0].path, (1, 2, 3), scene.grid)
    work_on_tile(replace(scene, images=(image,)), TileJob(tile))
    assert np.array_equal(engine.around[0], image.colours.within(tile.window))


def test_the_enlargement_is_open_where_samples_have_no_data(
    scene: SceneWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = tile_work._Shown([], [], np.zeros((3, 3), bool))
    monkeypatch.setattr(tile_work, "_read", lambda *_: nothing)
    assert scene_zoom(scene) is None


def test_a_model_file_that_has_changed_is_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile_work.Registry, "load", lambda *_: object())
    inside = tmp_path / "pair" / "encoder.onnx"
    inside.parent.mkdir()
    inside.write_bytes(b"1")
    for given, written in ((inside, inside), (inside.parent, inside)):
        choice = ModelChoice("", str(given), Places.under(tmp_path))
        first = open_model(choice)
        assert open_model(choice) is first
        later = written.stat().st_mtime + 10
        os.utime(written, (later, later))
        assert open_model(choice) is not first


def test_time_is_taken_and_edges_are_passed_on() -> None:
    class Knowing(ClassicalSegmenter):
        def edges(self, embedding: Embedding) -> np.ndarray:
            return np.ones(embedding.shape, np.float32)

    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    timed = TimedSegmenter(Knowing())
    embedding = timed.encode(image)
    assert timed.id == "classical" and timed.encoding > 0 and timed.decoding == 0
    timed.predict(embedding, [])
    assert timed.decoding > 0
    assert timed.edges(embedding).all()
