"""The tree of merging regions: its books are true, and the cheapest neighbours merge first."""

from __future__ import annotations

from typing import Dict, FrozenSet, List, Set, Tuple

import numpy as np
import pytest

from furrow.models.segmenters.regions import region_tree
from furrow.models.segmenters.regions.pieces import even_pieces, grid_edges
from furrow.models.segmenters.regions.region_tree import Growth, Tuning, grow

TUNING = Tuning()


def picture(seed: int, side: int = 40) -> np.ndarray:
    random = np.random.default_rng(seed)
    blocks = random.integers(40, 220, (5, 5, 3)).repeat(side // 5, 0).repeat(side // 5, 1)
    return np.clip(blocks + random.normal(0, 8, (side, side, 3)), 0, 255).astype(np.uint8)


def grown(seed: int) -> Tuple[Growth, region_tree._Regions, np.ndarray, np.ndarray]:
    """Tree, its books, colours and pieces of a picture."""
    image = picture(seed)
    colours = region_tree._smooth(image, TUNING.smoothing)
    edges = grid_edges(colours)
    pieces = even_pieces(image.shape[:2], edges, TUNING.piece_scale, TUNING.piece_pixels)
    regions, borders = region_tree._leaves(pieces, colours, edges, TUNING)
    region_tree._grow_tree(regions, borders, TUNING)
    return grow(image, TUNING), regions, colours, pieces


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_area_colour_and_outline_of_each_node_are_those_of_its_pixels(seed: int) -> None:
    growth, regions, colours, _ = grown(seed)
    first, second, gradient = grid_edges(colours)
    for node in range(growth.tree.first.size):
        mask = growth.tree.draw(growth.ranks, node)
        assert regions.area[node] == mask.sum()
        assert regions.total[node] == pytest.approx(colours[mask].sum(axis=0, dtype=float))
        border = mask.ravel()[first] != mask.ravel()[second]
        truth = border.sum(), gradient[border].sum(dtype=float)
        assert regions.outline[node] == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_halves_make_up_their_node_and_the_last_is_the_whole(seed: int) -> None:
    growth, regions, _, pieces = grown(seed)
    tree, leaves = growth.tree, regions.leaves
    assert leaves == pieces.max() + 1 and tree.first.size == 2 * leaves - 1
    assert (tree.first[-1], tree.end[-1], tree.parent[-1]) == (0, leaves, -1)
    for node in range(leaves, tree.first.size):
        a, b = regions.halves[node]
        assert max(a, b) < node and tree.parent[a] == tree.parent[b] == node
        assert (tree.first[a], tree.end[a], tree.end[b]) == (
            tree.first[node], tree.first[b], tree.end[node],
        )  # fmt: skip
    held = regions.halves[leaves:]
    assert (regions.cost[leaves:, None] >= regions.cost[held]).all()


class PairByPair:
    """Always merges the cheapest pair of all."""

    def __init__(self, colours: np.ndarray, pieces: np.ndarray) -> None:
        flat = pieces.ravel()
        values = colours.reshape(-1, 3).astype(float)
        count = int(flat.max()) + 1
        self.area = [float((flat == k).sum()) for k in range(count)]
        self.total = [values[flat == k].sum(axis=0) for k in range(count)]
        self.held = [frozenset([k]) for k in range(count)]
        self.shared: Dict[FrozenSet[int], np.ndarray] = {}
        for a, b, gradient in zip(*grid_edges(colours)):
            if flat[a] != flat[b]:
                self._share(int(flat[a]), int(flat[b]), np.array([1, gradient]))

    def _share(self, a: int, b: int, border: np.ndarray) -> None:
        pair = frozenset((a, b))
        self.shared[pair] = self.shared.get(pair, np.zeros(2)) + border

    def _cost(self, pair: FrozenSet[int]) -> float:
        a, b = pair
        m, n = self.area[a], self.area[b]
        length, gradient = self.shared[pair]
        distance = np.linalg.norm(self.total[a] / m - self.total[b] / n)
        contrast = distance + TUNING.edge_weight * gradient / length
        return float(contrast * (m * n / (m + n)) ** TUNING.size_power)

    def nodes(self) -> Set[FrozenSet[int]]:
        """The leaves of each node."""
        while self.shared:
            self._merge(*min(self.shared, key=self._cost))
        return set(self.held)

    def _merge(self, a: int, b: int) -> None:
        new = len(self.area)
        for values in (self.area, self.total):
            values.append(values[a] + values[b])
        self.held.append(self.held[a] | self.held[b])
        for pair in [pair for pair in self.shared if a in pair or b in pair]:
            border = self.shared.pop(pair)
            for other in pair - {a, b}:
                self._share(other, new, border)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_most_nodes_are_those_of_always_merging_the_cheapest_pair(seed: int) -> None:
    growth, regions, colours, pieces = grown(seed)
    leaf_of_rank = np.argsort(growth.tree.first[: regions.leaves])
    found = {
        frozenset(leaf_of_rank[start:end].tolist())
        for start, end in zip(growth.tree.first, growth.tree.end)
    }
    truth = PairByPair(colours, pieces).nodes()
    assert len(found & truth) >= 0.93 * len(truth)


def test_the_same_picture_gives_the_same_tree() -> None:
    one, other = grow(picture(5), TUNING), grow(picture(5), TUNING)
    assert np.array_equal(one.ranks, other.ranks)
    assert np.array_equal(one.tree.parent, other.tree.parent)


def test_a_row_of_equal_tiles_merges_in_few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """From one end of the row to the other it would be a round for every third tile."""
    tiles = np.arange(2400) // 6
    image = np.where(tiles % 2, 60, 190).astype(np.uint8)[None, :, None].repeat(6, 0).repeat(3, 2)
    rounds: List[int] = []
    plain = region_tree.foremost_of_both

    def counted(a: np.ndarray, b: np.ndarray, cheapest: np.ndarray) -> np.ndarray:
        rounds.append(a.size)
        return plain(a, b, cheapest)

    monkeypatch.setattr(region_tree, "foremost_of_both", counted)
    leaves = (grow(image, TUNING).tree.first.size + 1) // 2
    assert leaves > 1000 and len(rounds) < leaves / 8


def test_one_piece_is_its_own_tree() -> None:
    growth = grow(np.full((9, 7, 3), 80, np.uint8), TUNING)
    assert growth.tree.parent.tolist() == [-1] and not growth.ranks.any()
    assert growth.traits["area"].tolist() == [63]
