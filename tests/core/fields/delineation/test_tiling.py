"""The lattice of tiles: cores cover the scene once, and hang on the raster alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from furrow.core.errors import ParameterError
from furrow.core.fields.delineation.tiling import Lattice, neighbours


@given(
    st.integers(1, 900), st.integers(1, 900), st.integers(64, 300), st.floats(0, 0.5),
    st.tuples(st.integers(0, 400), st.integers(0, 400)),
)  # fmt: skip
def test_cores_cover_the_scene_once(height, width, size, share, origin) -> None:
    covered = np.zeros((height, width), int)
    lattice = Lattice((height, width), size, int(size * share), origin)
    for tile in lattice.tiles:
        covered[tile.core.slices] += 1
        labels = np.arange(tile.window.height * tile.window.width)
        window = labels.reshape(tile.window.height, tile.window.width)
        core = window[tile.area_in_window][tile.core_in_area]
        assert core.shape == (tile.core.height, tile.core.width)
        assert min(size, height) <= tile.window.height <= size + 31
        assert tile.window.row % 32 == 0 and tile.window.col % 32 == 0
        assert tile.window.row >= 0 and tile.window.row + tile.window.height <= height
    assert (covered == 1).all()


def test_tiles_share_their_overlap_and_look_a_little_beyond_the_seam() -> None:
    tiles = Lattice((512, 1280), 512, 128).tiles
    assert [tile.window.col for tile in tiles] == [0, 384, 768]
    assert [tile.core.col for tile in tiles] == [0, 448, 832]
    assert [(tile.area.col, tile.area.col + tile.area.width) for tile in tiles] == [
        (0, 480), (416, 864), (800, 1280)
    ]  # fmt: skip


def test_a_scene_smaller_than_a_tile_is_one() -> None:
    (tile,) = Lattice((226, 413), 512, 128).tiles
    assert tile.window == tile.area == tile.core


def test_neighbours_share_a_seam() -> None:
    tiles = Lattice((690, 980), 400, 112).tiles
    pairs = list(neighbours(tiles))
    assert len(tiles) == 6 and len(pairs) == 7
    for one, other in pairs:
        across = one.core.col + one.core.width == other.core.col and one.row == other.row
        down = one.core.row + one.core.height == other.core.row and one.col == other.col
        assert across != down


def test_a_whole_sentinel_tile() -> None:
    assert len(Lattice((10980, 10980), 512, 128).tiles) == 841


@pytest.mark.parametrize(("size", "overlap"), [(40, 0), (100, 51), (100, -1)])
def test_tiles_that_hardly_step_on_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(ParameterError, match="TILE|OVERLAP"):
        Lattice((500, 500), size, overlap)
