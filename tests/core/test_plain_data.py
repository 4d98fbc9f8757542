"""Data classes through JSON and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from furrow.core.fields.delineation.options import DelineationOptions
from furrow.core.fields.delineation.refinement import RefinementOptions
from furrow.core.fields.delineation.tiling import Lattice, Tile
from furrow.core.imagery.grid import Grid
from furrow.core.imagery.local_colours import LocalColours
from furrow.core.imagery.scene_images import SceneImage
from furrow.core.places import Places
from furrow.core.plain_data import from_plain, to_plain
from furrow.models.segmenters.tiles.tile_work import ModelChoice, SceneWork


def through_json(value: object) -> object:
    return from_plain(type(value), json.loads(json.dumps(to_plain(value))))


def test_a_scene_comes_back_as_it_was() -> None:
    colours = LocalColours(1, 1, (0.1, 2.0, 3.0, 4.0, 5.0, 6.25))
    image = SceneImage("/a/b.tif", (4, 3, 2), ((0.1, 2 / 3), (1.0, 9.0), (0.0, 1e-17)), colours)
    model = ModelChoice("classical", None, Places.under(Path("/tmp/x")))
    grid = Grid(10, 20, (0.1, 1.0, 0.0, 0.3, 0.0, -1.0), "WKT")
    for refinement in (None, RefinementOptions(), RefinementOptions.reference()):
        work = SceneWork((image, image), grid, None, DelineationOptions(), refinement, model)
        assert through_json(work) == work


def test_a_tile_comes_back_as_it_was() -> None:
    for tile in Lattice((300, 300), 128, 32).tiles:
        assert through_json(tile) == tile


@dataclass(frozen=True)
class Odd:
    thing: object


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(TypeError, match="complex"):
        to_plain(Odd(1j))
    with pytest.raises(KeyError):
        from_plain(Tile, {"row": 1})
