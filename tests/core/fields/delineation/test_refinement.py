"""How mixed fields look, and mixed ones looked at again: on pictures drawn by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from furrow.core.errors import Cancelled
from furrow.core.fields.delineation.field_measures import field_measures, scene_median
from furrow.core.fields.delineation.pieces import FieldPiece, TileFields, label_raster, trimmed
from furrow.core.fields.delineation.refinement import (
    RefinementOptions,
    children_of,
    refined_pieces,
    to_be_refined,
)
from furrow.core.fields.delineation.season_split import season_parts, spread
from furrow.core.fields.edges import EdgeLimits, edges_of
from furrow.core.monitor import Monitor
from furrow.core.samples.profiles import Profiles
from furrow.models.segmenters.regions.classical import ClassicalSegmenter
from furrow.tests.core.series_files import day

AS_IT_IS = RefinementOptions(most_enlarged=1)
COLOURS = ((200, 60, 60), (60, 190, 70), (70, 80, 210), (230, 220, 90))


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2)


def quilt(side: int = 40, noise: float = 4.0) -> np.ndarray:
    """Four squares of one colour each."""
    picture = np.zeros((2 * side, 2 * side, 3))
    for k, colour in enumerate(COLOURS):
        row, col = divmod(k, 2)
        picture[row * side : (row + 1) * side, col * side : (col + 1) * side] = colour
    picture += np.random.default_rng(1).normal(0, noise, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def tile_of(pieces: list[FieldPiece], shape: tuple[int, int]) -> TileFields:
    left = label_raster(tuple(pieces), shape) == 0
    return TileFields(tuple(pieces), (), left.size, left, np.zeros(left.shape, np.float32))


# -- edges -------------------------------------------------------------------------------------


def test_an_edge_is_one_pixel_wide() -> None:
    picture = np.zeros((20, 30))
    picture[:, 15:] = 120
    edges = edges_of(grey(picture))
    assert (edges.sum(axis=1) == 1).all()
    assert set(np.nonzero(edges)[1]) <= {14, 15}


@pytest.mark.parametrize("turn", range(4))
def test_edges_turn_with_the_picture(turn: int) -> None:
    """Up to which of two equal neighbours stays."""
    picture = np.zeros((40, 40))
    rows, cols = np.indices(picture.shape)
    picture[rows + 2 * cols > 60] = 150
    straight, turned = edges_of(grey(picture)), edges_of(grey(np.rot90(picture, turn)))
    back = np.rot90(turned, -turn)
    assert abs(int(straight.sum()) - int(back.sum())) <= 0.1 * straight.sum()
    assert edges_of(grey(picture)).sum() > 30


def test_weak_edges_go_on_from_strong_ones_only() -> None:
    picture = np.zeros((40, 40))
    picture[:20, 20:] = 60
    picture[20:, 20:] = np.linspace(60, 22, 20)[:, None]  # the step fades
    alone = picture[25:, :]
    limits = EdgeLimits(low=60, high=140)
    assert edges_of(grey(picture), limits=limits)[28].any()
    assert not edges_of(grey(alone), limits=limits).any()


def test_no_edge_at_missing_data_and_none_in_even_pictures() -> None:
    picture = np.full((30, 30), 200)
    assert not edges_of(grey(picture)).any()
    valid = np.ones((30, 30), bool)
    valid[:, 20:] = False
    assert not edges_of(grey(np.where(valid, picture, 0)), valid).any()


# -- measures ----------------------------------------------------------------------------------


def test_edge_ratio_counts_edges_inside_against_all() -> None:
    """A square with a bright square in it: 8 pixels off the rim, so its whole outline is inside."""
    picture = np.zeros((60, 60))
    picture[10:50, 10:50] = 100
    picture[22:38, 22:38] = 200
    labels = np.zeros((60, 60), np.int32)
    labels[10:50, 10:50] = 1
    edges = edges_of(grey(picture))
    inside = int(edges[15:45, 15:45].sum())
    found = field_measures([grey(picture)], labels)
    assert inside > 50
    assert found.edge_ratio[0] == pytest.approx(inside / edges.sum(), abs=1e-6)


def test_edges_between_fields_are_no_edges_inside() -> None:
    labels = np.zeros((80, 80), np.int32)
    for k in range(4):
        row, col = divmod(k, 2)
        labels[row * 40 : (row + 1) * 40, col * 40 : (col + 1) * 40] = k + 1
    found = field_measures([quilt(noise=0)], labels)
    assert (found.edge_ratio == 0).all()
    whole = field_measures([quilt(noise=0)], np.ones((80, 80), np.int32))
    assert whole.edge_ratio[0] == 1  # the border of the picture has no edge


def test_the_rim_is_three_pixels_wide() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[5:35, 5:35] = 1
    for depth, low, high in ((2, 0.0, 0.0), (6, 0.7, 0.9)):
        picture = np.full((40, 40), 50)
        picture[:, 5 + depth :] = 200
        assert low <= field_measures([grey(picture)], labels).edge_ratio[0] <= high


def test_entropy_in_bits() -> None:
    rows, cols = np.indices((16, 16))
    labels = np.ones((16, 16), np.int32)
    cases = ((rows * 0, 0.0), (rows % 2 * 99, 1.0), (rows % 4 * 9, 2.0), (16 * rows + cols, 8.0))
    for values, bits in cases:
        found = field_measures([grey(values)], labels)
        assert found.entropy[0] == pytest.approx(bits, abs=1e-6)


def test_entropy_is_the_mean_of_the_channels() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[::2, :, 0] = 1  # 1 bit
    picture[:, :, 1] = np.arange(8)  # 3 bits
    assert field_measures([picture], np.ones((8, 8), int)).entropy[0] == pytest.approx(4 / 3)


def test_many_fields_are_measured_as_each_alone() -> None:
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 256, (60, 90, 3)).astype(np.uint8)
    rows, cols = np.indices((60, 90))
    labels = (rows // 20 * 9 + cols // 10 + 1).astype(np.int32)
    labels[labels % 5 == 0] = 0
    together = field_measures([picture], labels)
    assert len(together.pixels) == 27 and together.pixels[4] == 0
    for k in (1, 7, 26, 27):
        alone = field_measures([picture], (labels == k).astype(int))
        assert together.entropy[k - 1] == pytest.approx(alone.entropy[0])
        assert together.edge_ratio[k - 1] == pytest.approx(alone.edge_ratio[0])


def test_fields_beyond_those_counted_at_once() -> None:
    labels = np.arange(1, 5001, dtype=np.int32).reshape(50, 100).repeat(2, 0).repeat(2, 1)
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[::2] = 7
    assert field_measures([picture], labels).entropy == pytest.approx(np.ones(5000))


def test_of_several_dates_the_one_that_shows_most_counts() -> None:
    labels = np.ones((80, 80), np.int32)
    even, mixed = grey(np.full((80, 80), 90)), quilt()
    both, alone = field_measures([even, mixed], labels), field_measures([mixed], labels)
    assert both.edge_ratio[0] == alone.edge_ratio[0] > 0
    assert both.entropy[0] == alone.entropy[0] > 0


def test_missing_pixels_do_not_count() -> None:
    picture = grey(np.arange(100).reshape(10, 10))
    valid = np.zeros((10, 10), bool)
    valid[0, :4] = True
    found = field_measures([picture], np.ones((10, 10), int), valid)
    assert found.pixels[0] == 4 and found.entropy[0] == pytest.approx(2)
    nothing = field_measures([picture], np.zeros((10, 10), int), valid, count=2)
    assert (nothing.pixels == 0).all() and (nothing.entropy == 0).all()
    assert len(field_measures([picture], np.zeros((10, 10), int)).pixels) == 0


def test_the_median_of_a_scene_goes_by_area() -> None:
    assert scene_median(np.array([2.0, 2.0, 2.0, 5.0]), np.array([10, 10, 10, 100])) == 5
    assert scene_median(np.array([]), np.array([])) == 0


# -- which fields ------------------------------------------------------------------------------


def test_what_is_looked_at_again() -> None:
    labels = np.zeros((80, 160), np.int32)
    labels[:, :80], labels[:, 80:] = 1, 2
    picture = np.concatenate([quilt(), grey(np.full((80, 80), 100))], axis=1)
    found = field_measures([picture], labels)
    sure, unknown = np.array([0.9, 0.9]), np.array([np.nan, np.nan])
    options = RefinementOptions()
    for scores in (sure, unknown):
        assert to_be_refined(found, scores, options).tolist() == [True, False]
    assert to_be_refined(found, np.array([0.9, 0.4]), options).tolist() == [True, True]
    high = replace(options, entropy=7.9)
    assert to_be_refined(found, sure, high).tolist() == [False, False]
    reference = RefinementOptions.reference()
    assert (reference.edge_ratio, reference.entropy, reference.least_share) == (0.4, 6.0, 0.01)
    few_colours = to_be_refined(found, np.array([0.1, 0.1]), reference)
    assert not few_colours.any()  # less than 6 bits


# -- looked at again ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine() -> ClassicalSegmenter:
    return ClassicalSegmenter()


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, TileFields]:
    """A mixed field of four among two even ones, on a tile of 100 x 220 pixels."""
    picture = np.full((100, 220, 3), (120, 110, 100), np.uint8)
    picture[10:90, 20:100] = quilt()
    picture[10:90, 110:160] = (40, 160, 60)
    masks = [np.zeros((100, 220), bool) for _ in range(3)]
    masks[0][10:90, 20:100] = True
    masks[1][10:90, 110:160] = True
    masks[2][10:90, 165:210] = True
    pieces = [trimmed(mask, 0.5 if k == 0 else 0.9, 0.8, k + 1) for k, mask in enumerate(masks)]
    return picture, tile_of(pieces, (100, 220))


def test_a_mixed_field_falls_into_its_fields(
    engine: ClassicalSegmenter, scene: tuple[np.ndarray, TileFields]
) -> None:
    picture, fields = scene
    before = picture.copy()
    valid = np.ones(picture.shape[:2], bool)
    found = refined_pieces(fields, [picture], valid, engine, AS_IT_IS)
    assert (picture == before).all()
    new = [piece for piece in found.pieces if piece.refined]
    assert len(new) == 4
    assert all(piece.round == 1 for piece in new)
    assert [p for p in found.pieces if not p.refined] == list(fields.pieces[1:])
    labels = label_raster(tuple(new), valid.shape)
    assert sum(piece.pixels for piece in new) == 80 * 80 == np.count_nonzero(labels[10:90, 20:100])
    for row, col in ((10, 20), (10, 60), (50, 20), (50, 60)):
        square = labels[row : row + 40, col : col + 40]
        share = np.bincount(square.ravel()).max() / square.size
        assert share > 0.93
    assert (found.residual == fields.residual).all() and found.valid == fields.valid


def test_pieces_stay_tight_and_disjoint(
    engine: ClassicalSegmenter, scene: tuple[np.ndarray, TileFields]
) -> None:
    picture, fields = scene
    found = refined_pieces(
        fields, [picture], np.ones(picture.shape[:2], bool), engine, AS_IT_IS
    )
    count = np.zeros(picture.shape[:2], int)
    for piece in found.pieces:
        height, width = piece.mask.shape
        count[piece.row : piece.row + height, piece.col : piece.col + width] += piece.mask
        for side in (piece.mask[0], piece.mask[-1], piece.mask[:, 0], piece.mask[:, -1]):
            assert side.any()
    assert count.max() == 1


def test_the_same_field_found_again_is_no_child(engine: ClassicalSegmenter) -> None:
    picture = np.full((90, 90, 3), 90, np.uint8)
    picture[20:70, 20:70] = (60, 180, 60)
    parent = np.zeros((90, 90), bool)
    parent[20:70, 20:70] = True
    options = replace(AS_IT_IS, gain=-1.0)
    assert children_of(parent, 0.5, [picture], engine, options) is None


def test_a_sure_field_needs_surer_ones(
    engine: ClassicalSegmenter, scene: tuple[np.ndarray, TileFields]
) -> None:
    picture, _ = scene
    parent = np.zeros(picture.shape[:2], bool)
    parent[10:90, 20:100] = True
    assert children_of(parent, 0.5, [picture], engine, AS_IT_IS) is not None
    assert children_of(parent, 1.0, [picture], engine, AS_IT_IS) is None


@pytest.mark.parametrize("times", [2, 3])
def test_enlarged_pictures_lie_where_they_lay(engine: ClassicalSegmenter, times: int) -> None:
    """Borders stay where they are to a pixel."""
    side = 24
    picture = quilt(side)
    options = RefinementOptions(most_enlarged=times)
    children = children_of(np.ones(picture.shape[:2], bool), 0.4, [picture], engine, options)
    assert children is not None and children.labels.max() == 4
    assert (children.labels > 0).all()
    for row in (0, side):
        for col in (0, side):
            inner = children.labels[row + 2 : row + side - 2, col + 2 : col + side - 2]
            assert np.bincount(inner.ravel()).max() > 0.97 * inner.size


def test_children_stay_within_their_field(engine: ClassicalSegmenter) -> None:
    """The colours go on beside the field; the field is no rectangle."""
    picture = quilt(50)
    rows, cols = np.indices((100, 100))
    parent = (rows - 50) ** 2 + (cols - 50) ** 2 < 40**2
    children = children_of(parent, 0.4, [picture], engine, AS_IT_IS)
    assert children is not None
    assert ((children.labels > 0) == parent).all()


def test_a_field_of_two_parts_keeps_both(engine: ClassicalSegmenter) -> None:
    picture = np.full((90, 140, 3), 100, np.uint8)
    picture[5:85, 5:85] = quilt()
    parent = np.zeros((90, 140), bool)
    parent[5:85, 5:85] = True
    parent[30:34, 110:114] = True
    children = children_of(parent, 0.4, [picture], engine, AS_IT_IS)
    assert children is not None
    assert ((children.labels > 0) == parent).all()
    assert len(children.scores) == children.labels.max()


def test_slivers_go_to_the_fields(engine: ClassicalSegmenter) -> None:
    """Nothing smaller than a tenth of the field is made of what the engine leaves."""
    picture = quilt()
    parent = np.ones((80, 80), bool)
    whole = children_of(parent, 0.2, [picture], engine, AS_IT_IS)
    assert whole is not None
    assert not np.isnan(whole.scores).any()
    counts = np.bincount(whole.labels.ravel())[1:]
    assert counts.min() >= 0.1 * parent.size


def test_nothing_to_look_at(engine: ClassicalSegmenter) -> None:
    picture = quilt()
    valid = np.ones((80, 80), bool)
    none = TileFields((), (), 0, valid, np.zeros(valid.shape, np.float32))
    assert refined_pieces(none, [picture], valid, engine) == none
    tiny = np.zeros((80, 80), bool)
    tiny[40:44, 40:44] = True
    one = tile_of([trimmed(tiny, 0.1, 0.1, 1)], (80, 80))
    assert refined_pieces(one, [picture], valid, engine).pieces == one.pieces


def test_cancelled(engine: ClassicalSegmenter, scene: tuple[np.ndarray, TileFields]) -> None:
    picture, fields = scene
    stopped = Monitor(cancelled=lambda: True)
    with pytest.raises(Cancelled):
        refined_pieces(
            fields, [picture], np.ones(picture.shape[:2], bool), engine, monitor=stopped
        )


# -- seasons -----------------------------------------------------------------------------------


def seasons(kinds: np.ndarray) -> tuple[Profiles, np.ndarray, np.ndarray]:
    """Profiles of a field whose pixels (h, w) were sown at days of these kinds."""
    days = np.arange(90, 300, 15)
    rows, cols = np.nonzero(np.ones(kinds.shape))
    peak = 140 + 45 * kinds[rows, cols]
    values = 0.2 + 0.6 * np.exp(-(((days - peak[:, None]) / 35.0) ** 2))
    values += np.random.default_rng(5).normal(0, 0.015, values.shape)
    values = values.astype(np.float32)
    return Profiles(values, np.isfinite(values), tuple(day(int(d)) for d in days)), rows, cols


def test_one_season_is_one_part() -> None:
    assert (season_parts(*seasons(np.zeros((20, 30), int))) == 1).all()


@pytest.mark.parametrize("count", [2, 3])
def test_seasons_side_by_side_are_parts(count: int) -> None:
    kinds = np.arange(16 * count)[None, :].repeat(24, axis=0) // 16
    profiles, rows, cols = seasons(kinds)
    parts = season_parts(profiles, rows, cols)
    assert set(parts) == set(range(1, count + 1))
    for kind in range(count):
        own = parts[kinds[rows, cols] == kind]
        assert np.bincount(own).max() > 0.9 * len(own)


def test_labels_spread_to_the_nearest() -> None:
    labels = np.zeros((3, 7), int)
    labels[1, 1], labels[1, 5] = 4, 9
    spreaded = spread(labels)
    assert (spreaded[:, :3] == 4).all() and (spreaded[:, 4:] == 9).all()
