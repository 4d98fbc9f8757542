"""Fields of tiles joined to fields of the scene."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from furrow.core.fields.delineation.seams import joined
from furrow.core.fields.delineation.tile_records import STAGES, TileRecord
from furrow.core.fields.delineation.tiling import Lattice, Tile
from furrow.core.simulation.landscape import lay_out

SHAPE = (90, 160)
LATTICE = Lattice(SHAPE, 96, 32)
"""Two tiles, side by side: columns 0 to 96 and 64 to 160; the seam is in the middle."""
SEAM = 80


def outlines(labels: np.ndarray) -> np.ndarray:
    """(h, w) uint8: 255 on both sides of where a field ends."""
    edges = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        ends = np.diff(labels, axis=axis) != 0
        edges |= np.insert(ends, 0, False, axis) | np.insert(ends, ends.shape[axis], False, axis)
    return 255 * edges.astype(np.uint8)


def record(labels: np.ndarray, **columns: np.ndarray) -> TileRecord:
    """A record with labels 1..n."""
    n = int(labels.max())
    ones = np.ones(n, np.float32)
    values = {
        "round": np.ones(n, np.int32), "score": ones, "stability": ones, "edge_ratio": ones,
        "entropy": ones, "refined": np.zeros(n, bool), "edges": outlines(labels), **columns,
    }  # fmt: skip
    seconds = np.zeros(len(STAGES))
    return TileRecord(labels=labels.astype(np.int32), valid=np.ones(labels.shape, bool),
                      prompts=np.array([n]), seconds=seconds, **values)  # fmt: skip


def cut(labels: np.ndarray, tile: Tile) -> TileRecord:
    """What a tile would see of true fields: renumbered, pieces apart are fields apart."""
    return record(apart(labels[tile.area.slices]))


def apart(labels: np.ndarray) -> np.ndarray:
    """Labels 1..n of the connected pieces of fields."""
    pieces, count = np.zeros(labels.shape, np.int32), 0
    for label, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is not None:
            parts, n = ndimage.label(labels[window] == label)
            pieces[window][parts > 0] = parts[parts > 0] + count
            count += n
    return pieces


def join(lattice: Lattice, records: dict[Tile, TileRecord]) -> tuple[np.ndarray, object]:
    labels = np.zeros(lattice.shape, np.int32)
    return labels, joined(lattice.tiles, records.__getitem__, labels)


def pair(one: np.ndarray, other: np.ndarray, **columns: dict) -> tuple[np.ndarray, object]:
    """Two tiles with labels given on the whole scene."""
    first, second = LATTICE.tiles
    return join(LATTICE, {
        first: record(one[first.area.slices], **columns.get("left", {})),
        second: record(other[second.area.slices], **columns.get("right", {})),
    })  # fmt: skip


def land(*fields: tuple[int, int, int, int]) -> np.ndarray:
    """Rectangles (row, column, height, width) as labels 1, 2, ..."""
    labels = np.zeros(SHAPE, np.int32)
    for number, (row, col, height, width) in enumerate(fields, start=1):
        labels[row : row + height, col : col + width] = number
    return labels


def same_parts(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two labellings divide the plane alike."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1).T
    return len(pairs) == len(np.unique(one)) == len(np.unique(other))


def test_a_field_that_both_see_alike_becomes_one() -> None:
    labels, fields = pair(land((20, 60, 30, 50)), land((20, 60, 30, 50)))
    assert same_parts(labels, land((20, 60, 30, 50)))
    assert fields.pixels.tolist() == [1500]


def test_each_tile_decides_on_its_side_of_the_seam() -> None:
    labels, fields = pair(land((20, 60, 30, 50)), land((22, 60, 30, 50)))
    assert len(fields.pixels) == 1
    assert (labels[:, 79] > 0).nonzero()[0].tolist() == list(range(20, 50))
    assert (labels[:, SEAM] > 0).nonzero()[0].tolist() == list(range(22, 52))


LEFT = land((20, 40, 40, 60))
RIGHT = land((20, 60, 20, 40), (40, 60, 20, 40))


def test_what_only_the_seam_divides_is_one() -> None:
    """The left tile sees one field, the right one two; no edge runs along the seam."""
    labels, fields = pair(LEFT, RIGHT)
    assert fields.pixels.tolist() == [2400]
    # The edge between the two of the right one lies beside the seam; most of the way is open.
    assert same_parts(labels, LEFT)


@pytest.mark.parametrize("chance", [0.3, 0.7])
def test_what_they_see_differently_ends_at_the_seam_where_there_is_an_edge(chance) -> None:
    edges = np.zeros(SHAPE, np.uint8)
    edges[:, SEAM] = round(255 * chance)
    first, second = LATTICE.tiles
    columns = {
        "left": {"edges": edges[first.area.slices]}, "right": {"edges": edges[second.area.slices]}
    }  # fmt: skip
    labels, fields = pair(LEFT, RIGHT, **columns)
    if chance < 0.5:
        assert fields.pixels.tolist() == [2400]
        return
    assert fields.pixels.tolist() == [1600, 400, 400]
    assert (np.unique(labels[:, 79]) == [0, 1]).all()
    assert (np.unique(labels[:, SEAM]) == [0, 2, 3]).all()


def test_fields_that_only_touch_at_the_seam_stay_two() -> None:
    labels, fields = pair(land((20, 40, 30, 40)), land((20, 80, 30, 40)))
    assert len(fields.pixels) == 2


def test_a_scrap_goes_to_the_field_that_the_other_tile_sees() -> None:
    """The left tile sees the end of a field and a little more; the right one all of it."""
    labels, fields = pair(land((20, 77, 13, 13), (33, 77, 7, 13)), land((20, 77, 20, 40)))
    assert len(fields.pixels) == 1
    assert same_parts(labels, land((20, 77, 20, 40)))


def test_numbers_are_means_by_pixels_and_the_largest_piece_says_the_round() -> None:
    columns = {
        "left": {"score": np.array([0.5], np.float32), "round": np.array([1], np.int32)},
        "right": {"score": np.array([0.8], np.float32), "round": np.array([3], np.int32),
                  "refined": np.array([True])},
    }  # fmt: skip
    _, fields = pair(land((20, 70, 30, 40)), land((20, 70, 30, 40)), **columns)
    assert fields.score[0] == pytest.approx(0.25 * 0.5 + 0.75 * 0.8)
    assert fields.round[0] == 3 and fields.refined[0]


def test_tiles_without_overlap_are_put_side_by_side() -> None:
    lattice = Lattice(SHAPE, 64, 0)
    field = land((20, 40, 40, 60))
    labels, fields = join(lattice, {tile: cut(field, tile) for tile in lattice.tiles})
    assert len(lattice.tiles) > 1 and fields.pixels.sum() == 2400
    assert np.array_equal(labels > 0, field > 0)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """(256, 256) int32: fields of a made-up land."""
    return lay_out(256, np.random.default_rng(8)).fields


@pytest.mark.parametrize("origin", [(0, 0), (33, 70), (64, 1)])
def test_true_fields_come_together_whole(truth: np.ndarray, origin: tuple[int, int]) -> None:
    pieces = apart(truth)
    count = int(pieces.max())
    lattice = Lattice(truth.shape, 128, 48, origin)
    labels, fields = join(lattice, {tile: cut(pieces, tile) for tile in lattice.tiles})
    assert np.array_equal(labels > 0, truth > 0)
    assert fields.pixels.sum() == np.count_nonzero(truth)
    # A field that a tile sees in two pieces may stay cut; large ones are whole.
    pairs = np.unique(np.stack([pieces[truth > 0], labels[truth > 0]]), axis=1)[0]
    assert np.count_nonzero(np.bincount(pairs)[1:] == 1) >= 0.97 * count
    assert len(fields.pixels) <= 1.05 * count


def test_the_order_of_tiles_without_records_does_not_matter() -> None:
    """Tiles left out are ground without fields."""
    first, second = LATTICE.tiles
    labels = np.zeros(SHAPE, np.int32)
    only = {second: record(land((20, 60, 30, 50))[second.area.slices])}
    fields = joined([second], only.__getitem__, labels)
    assert fields.pixels.tolist() == [900] and not labels[:, :SEAM].any()


def test_no_tiles_are_no_fields() -> None:
    labels = np.zeros(SHAPE, np.int32)
    assert len(joined([], {}.__getitem__, labels).pixels) == 0
