"""Small even pieces: the same as one edge after another, whatever the picture."""

from __future__ import annotations

from typing import Callable, Dict, List

import numpy as np
import pytest
from scipy import ndimage

from furrow.models.segmenters.regions import pieces as pieces_module
from furrow.models.segmenters.regions.pieces import even_pieces, grid_edges

SCALE, LEAST = 0.06, 6
SIDE = 48


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((SIDE, SIDE, 3)).astype(np.float32)


def fields(seed: int) -> np.ndarray:
    blocks = np.random.default_rng(seed).random((6, 6, 3)).repeat(8, 0).repeat(8, 1)
    return (0.8 * blocks + 0.05 * noise(seed + 1)).astype(np.float32)


def dots(seed: int) -> np.ndarray:
    """Many small islands, each a neighbour of the same large piece."""
    rows, columns = np.indices((SIDE, SIDE))
    island = (rows % 4 < 2) & (columns % 4 < 2)
    grey = np.random.default_rng(seed).uniform(0.4, 0.9, (SIDE // 4, SIDE // 4)).repeat(4, 0)
    return np.where(island, grey.repeat(4, 1), 0.2)[..., None].repeat(3, 2).astype(np.float32)


def ramp(seed: int) -> np.ndarray:
    line = np.round(np.linspace(0, 1, SIDE) * (50 + seed)) / 255
    return np.broadcast_to(line[None, :, None], (SIDE, SIDE, 3)).astype(np.float32)


def flat(seed: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), seed / 255, np.float32)


PICTURES: Dict[str, Callable[[int], np.ndarray]] = {
    "noise": noise, "fields": fields, "dots": dots, "ramp": ramp, "flat": flat,
}  # fmt: skip


def one_after_another(colours: np.ndarray, scale: float, least: int) -> np.ndarray:
    """The graph method as its authors describe it, on the same edges in the same order."""
    count = colours.shape[0] * colours.shape[1]
    edges = pieces_module._spanning_edges(*grid_edges(colours), count)
    above, size, limit = list(range(count)), [1] * count, [scale] * count

    def root(node: int) -> int:
        while above[node] != node:
            node = above[node]
        return node

    triples = list(zip(*(column.tolist() for column in edges)))
    for first, second, weight in triples:
        a, b = root(first), root(second)
        if weight <= min(limit[a], limit[b]):
            above[b] = a
            size[a] += size[b]
            limit[a] = weight + scale / size[a]
    for first, second, _ in triples:
        a, b = root(first), root(second)
        if a != b and min(size[a], size[b]) < least:
            above[b] = a
            size[a] += size[b]
    return np.array([root(node) for node in range(count)]).reshape(colours.shape[:2])


def cut(colours: np.ndarray, scale: float = SCALE) -> np.ndarray:
    return even_pieces(colours.shape[:2], grid_edges(colours), scale, LEAST)


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = np.unique(np.stack([one.ravel(), other.ravel()], axis=1), axis=0)
    return len(pairs) == len(np.unique(one)) == len(np.unique(other))


@pytest.mark.parametrize("name", sorted(PICTURES))
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("too_few", [0, 20, 10**9])
def test_pieces_are_those_of_one_edge_after_another(
    name: str, seed: int, too_few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces_module, "_TOO_FEW", too_few)
    colours = PICTURES[name](seed)
    found = cut(colours)
    assert found.dtype == np.int32 and found.shape == (SIDE, SIDE)
    assert same_partition(found, one_after_another(colours, SCALE, LEAST))


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_pieces_are_connected_large_enough_and_numbered(name: str) -> None:
    found = cut(PICTURES[name](4))
    sizes = np.bincount(found.ravel())
    assert (sizes >= LEAST).all()
    assert all(ndimage.label(found == number)[1] == 1 for number in range(len(sizes)))


def test_even_areas_are_pieces_and_edges_are_kept() -> None:
    colours = np.full((20, 30, 3), 0.2, np.float32)
    colours[:, 13:] = 0.5
    found = cut(colours)
    assert len(np.unique(found)) == 2 and same_partition(found, (colours[..., 0] > 0.3).astype(int))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_tiny_pictures(shape: tuple) -> None:
    assert not cut(np.zeros((*shape, 3), np.float32)).any()


def test_a_larger_scale_makes_larger_pieces() -> None:
    colours = fields(9)
    counts = [cut(colours, scale).max() + 1 for scale in (0.02, 0.06, 0.2)]
    assert counts[0] > counts[1] > counts[2] > 1


def test_many_islands_of_one_piece_are_decided_in_few_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of them wait for the same piece: round by round it would be thousands."""
    rounds: List[int] = []
    plain = pieces_module.foremost_of_both

    def counted(a: np.ndarray, b: np.ndarray, foremost: np.ndarray) -> np.ndarray:
        rounds.append(a.size)
        return plain(a, b, foremost)

    monkeypatch.setattr(pieces_module, "foremost_of_both", counted)
    rows, columns = np.indices((240, 240))
    greys = np.random.default_rng(1).uniform(0.6, 0.98, (40, 40)).repeat(6, 0).repeat(6, 1)
    island = (rows % 6 < 3) & (columns % 6 < 3)
    colours = np.where(island, greys, 0.2)[..., None].repeat(3, 2).astype(np.float32)
    smooth = ndimage.gaussian_filter(colours, (0.4, 0.4, 0), mode="nearest")
    assert cut(smooth).max() > 1000 and len(rounds) < 2000
