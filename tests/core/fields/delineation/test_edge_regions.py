"""The tree of regions between edges, and where prompts are set in it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from furrow.core.fields.delineation.edge_regions import edge_regions
from furrow.core.fields.delineation.pieces import trimmed
from furrow.core.fields.delineation.seeds import grid_seeds, region_seeds, texture, what_is_left
from furrow.core.fields.delineation.sight import Seed, edge_share, enlarged


def window(edge: float = 0.8) -> np.ndarray:
    """Edges like a window of four panes; the upright bar is weaker."""
    edges = np.full((40, 40), 0.05, np.float32)
    edges[:, 19:21] = edge / 2
    edges[19:21] = edge
    return edges


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), height=st.integers(1, 30), width=st.integers(1, 30))
def test_nodes_are_what_their_masks_say(seed: int, height: int, width: int) -> None:
    random = np.random.default_rng(seed)
    edges = random.random((height, width)).astype(np.float32)
    valid = random.random((height, width)) < 0.8
    regions = edge_regions(edges, valid)
    assert regions.size[-1] == valid.sum()
    assert (regions.parent == -1).sum() == 1 and regions.parent[-1] == -1
    piece = trimmed(random.random((height, width)) < 0.5 + np.eye(height, width), 1, 1, 1)
    shared = regions.shared(piece)
    whole = np.zeros((height, width), bool)
    whole[piece.row :, piece.col :][: piece.mask.shape[0], : piece.mask.shape[1]] = piece.mask
    for node in random.integers(0, len(regions.size), 5):
        row, col, mask = regions.draw(node)
        drawn = np.zeros((height, width), bool)
        drawn[row : row + mask.shape[0], col : col + mask.shape[1]] = mask
        assert np.count_nonzero(drawn & valid) == regions.size[node]
        assert np.count_nonzero(drawn & whole) == shared[node]
        inside = regions.within[regions.parent[node]] if regions.parent[node] >= 0 else 1
        assert regions.within[node] <= inside
        for place in np.argwhere(drawn)[:1]:
            assert regions.above(*place)[node]


def test_a_cut_keeps_what_no_edge_divides() -> None:
    regions = edge_regions(window(), np.ones((40, 40), bool))
    panes = [(5, 5), (5, 35), (35, 5), (35, 35)]
    for level, parts in ((0.2, 4), (0.5, 2), (1.0, 1)):
        labels = regions.cut(level)
        assert len({labels[place] for place in panes}) == parts


def test_seeds_are_deep_within_what_is_left() -> None:
    edges = window()
    regions = edge_regions(edges, np.ones((40, 40), bool))
    left = np.ones((40, 40), bool)
    left[:15] = False
    found = region_seeds(regions, 0.2, left, edges, 10, False)
    assert len(found) == 4
    assert all(16 <= seed.side <= 20 for seed in found), "the whole pane, not what is left of it"
    deepest = [seed.place for seed in found if seed.place[0] > 20]
    assert all(min(abs(r - 30), 9) <= 9 and abs(edges[r, c]) < 0.1 for r, c in deepest)
    assert region_seeds(regions, 0.2, np.zeros((40, 40), bool), edges, 10, False) == []
    assert region_seeds(regions, 0.2, left, edges, 2000, False) == []


def test_the_grid_keeps_off_borders_and_other_seeds() -> None:
    left = np.zeros((64, 64), bool)
    left[8:40, 8:40] = True
    places = [seed.place for seed in grid_seeds(left, 8, [Seed((28, 28))])]
    assert places and all(11 <= r < 37 and 11 <= c < 37 for r, c in places)
    assert all(max(abs(r - 28), abs(c - 28)) > 4 for r, c in places)
    assert grid_seeds(np.zeros((64, 64), bool), 8, []) == []


def test_small_patches_are_not_left() -> None:
    valid, done = np.ones((30, 30), bool), np.zeros((30, 30), bool)
    done[:, 10:27] = True
    left = what_is_left(valid, done, growth=1, least=100)
    assert left[:, :9].all() and not left[:, 9:].any()
    assert np.array_equal(what_is_left(valid, done, 0, 1), ~done)


def test_texture_is_dense_and_a_line_is_none() -> None:
    random = np.random.default_rng(5)
    edges = np.zeros((100, 100), np.float32)
    edges[:, 20] = 1
    edges[30:95, 40:95] = random.random((65, 55)) < 0.3
    found = texture(edges)
    assert not found[:, :30].any() and found[50:80, 55:80].all()


def test_the_share_of_edges_tells_of_small_fields() -> None:
    shares = []
    for pitch in (10, 40):
        edges = np.zeros((160, 160), np.float32)
        edges[::pitch], edges[:, ::pitch] = 1, 1
        shares.append(edge_share(edges, np.ones((160, 160), bool)))
    assert abs(shares[0] - 0.19) < 1e-6 and abs(shares[1] - 0.049375) < 1e-6


def test_enlarged_pictures_keep_their_place() -> None:
    image = np.zeros((6, 8, 3), np.uint8)
    image[2:4, 4:6] = 200
    large = enlarged(image, 2)
    assert large.shape == (12, 16, 3) and large.dtype == np.uint8
    assert large[5:7, 9:11].min() == 200 and large[:3].max() == 0
