"""Small even pieces of an image: the graph method of Felzenszwalb and Huttenlocher (2004).

Edges between neighbouring pixels are looked at by rising weight; each joins two pieces where both
are as uneven within. What an edge does depends on its two pieces alone, so all that are the
lightest of both their pieces are decided at once. The pieces are the same as one after another.
"""

from __future__ import annotations

from typing import Callable, Tuple

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from ....core.fields.merge_forest import numbered, settled

_PARTS = 6
"""Edges are taken up in so many parts, light ones first: most of the heavy ones have nothing left
to decide when their turn comes, and those that wait are looked at again in each round."""
_TOO_FEW = 500
"""Where only one edge of so many can be decided, as around a piece with a thousand small
neighbours, they are decided one after another."""

Edges = Tuple[np.ndarray, np.ndarray, np.ndarray]
"""Two pixels (flat numbers) and the distance of their colours, for each edge."""
_Rule = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
_Done = Callable[[np.ndarray, np.ndarray], np.ndarray]


def grid_edges(colours: np.ndarray) -> Edges:
    """All pairs of 4-neighbours and their colour distance.

    :param colours: (H, W, 3) float32.
    :return: (m,) int32, (m,) int32, (m,) float32.
    """
    height, width = colours.shape[:2]
    index = np.arange(height * width, dtype=np.int32).reshape(height, width)
    right = _length(colours[:, 1:] - colours[:, :-1])
    down = _length(colours[1:] - colours[:-1])
    first = np.concatenate([index[:, :-1].ravel(), index[:-1].ravel()])
    second = np.concatenate([index[:, 1:].ravel(), index[1:].ravel()])
    return first, second, np.concatenate([right.ravel(), down.ravel()])


def _length(difference: np.ndarray) -> np.ndarray:
    """(..., 3) -> (...); many times faster than numpy's norm along so short an axis."""
    red, green, blue = difference[..., 0], difference[..., 1], difference[..., 2]
    return np.sqrt(red * red + green * green + blue * blue)


def rising(values: np.ndarray) -> np.ndarray:
    """(n,) positions by rising value; equal ones shuffled, the same way each time.

    By place, equal neighbours would be long chains, of which only one end could be dealt with at a
    time.
    """
    shuffled = np.random.default_rng(0).permutation(values.size)
    return shuffled[np.argsort(values[shuffled], kind="stable")]


def even_pieces(shape: Tuple[int, int], edges: Edges, scale: float, least: int) -> np.ndarray:
    """Cut an image into small even pieces, each 4-connected.

    :param shape: (H, W) of the image.
    :param edges: of the image, as :func:`grid_edges` gives them for colours in 0..1.
    :param scale: the larger, the larger the pieces (`k` of the graph method).
    :param least: pieces of fewer pixels join their most similar neighbour.
    :return: (H, W) int32 numbers 0..n-1.
    """
    count = shape[0] * shape[1]
    first, second, weight = _spanning_edges(*edges, count)
    piece = _joined_if_even(first, second, weight, scale, count)
    size = np.bincount(piece)
    first, second = piece[first], piece[second]
    small = np.flatnonzero((first != second) & ~_both_large(size, least)(first, second))
    return _joined_if_small(first[small], second[small], size, least)[piece].reshape(shape)


def _spanning_edges(
    first: np.ndarray, second: np.ndarray, weight: np.ndarray, count: int
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges of the minimum spanning tree, lightest first.

    The graph method hardly ever needs an edge outside this tree, which has half as many.
    """
    # A stored zero counts as no edge, so weights are lifted by a hair.
    graph = sparse.coo_matrix((weight.astype(np.float64) + 1e-7, (first, second)), (count, count))
    tree = csgraph.minimum_spanning_tree(graph.tocsr(), overwrite=True).tocoo()
    order = rising(tree.data)
    return tree.row[order], tree.col[order], tree.data[order]


def _joined_if_even(
    first: np.ndarray, second: np.ndarray, weight: np.ndarray, scale: float, count: int
) -> np.ndarray:
    """Join what is no more different than the pieces are within.

    :return: (count,) int32, the number of each pixel's piece.
    """
    size, limit = np.ones(count, np.int64), np.full(count, float(scale))
    final = np.zeros(count, dtype=bool)

    def decide(edges: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        enough_a, enough_b = weight[edges] <= limit[a], weight[edges] <= limit[b]
        # All later edges are at least as heavy.
        final[a[~enough_a]] = final[b[~enough_b]] = True
        join = enough_a & enough_b
        a, b = a[join], b[join]
        size[a] += size[b]
        limit[a] = weight[edges[join]] + scale / size[a]
        return join

    return _decided(first, second, count, decide, lambda a, b: final[a] | final[b])


def _joined_if_small(
    first: np.ndarray, second: np.ndarray, size: np.ndarray, least: int
) -> np.ndarray:
    """Join pieces of which one is too small.

    :param size: (n,) int64, pixels of each piece; overwritten.
    :return: (n,) int32, the new number of each piece.
    """

    def decide(edges: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        size[a] += size[b]
        return np.ones(a.size, dtype=bool)

    return _decided(first, second, size.size, decide, _both_large(size, least))


def _both_large(size: np.ndarray, least: int) -> _Done:
    return lambda a, b: (size[a] >= least) & (size[b] >= least)


def _decided(
    first: np.ndarray, second: np.ndarray, count: int, decide: _Rule, done: _Done
) -> np.ndarray:
    """Decide edges between things in their order, as many as possible at a time.

    :param count: of the things that are joined to pieces, pixels or pieces.
    :param decide: takes numbers of edges and the pieces on both sides, no piece twice; tells which
        join and keeps book of the pieces. The second piece becomes a part of the first.
    :param done: takes pieces; tells between which nothing will be joined any more.
    :return: (count,) int32, the number of each one's piece, 0..n-1.
    """
    piece = np.arange(count)
    foremost = np.empty(count, np.int64)
    parts = np.linspace(0, first.size, _PARTS + 1).astype(np.intp)
    for start, stop in zip(parts[:-1], parts[1:]):
        edges = np.arange(start, stop)
        piece = settled(piece)
        a, b = piece[first[start:stop]], piece[second[start:stop]]
        while edges.size:
            waiting = np.flatnonzero(~done(a, b))
            edges, a, b = edges[waiting], a[waiting], b[waiting]
            ready = foremost_of_both(a, b, foremost)
            if np.count_nonzero(ready) * _TOO_FEW < edges.size:
                _decide_one_by_one(edges, a, b, piece, decide, done)
                break
            x, y = a[ready], b[ready]
            join = decide(edges[ready], x, y)
            piece[y[join]] = x[join]
            waiting = np.flatnonzero(~ready)
            edges, a, b = edges[waiting], piece[a[waiting]], piece[b[waiting]]
    return numbered(settled(piece))


def foremost_of_both(a: np.ndarray, b: np.ndarray, foremost: np.ndarray) -> np.ndarray:
    """Which edges come first for the things on both sides.

    :param a: (m,) things on one side of the edges, in the order of the edges.
    :param b: (m,) things on the other side.
    :param foremost: (count,) int64, a place for each thing; overwritten.
    :return: (m,) bool.
    """
    places = np.arange(a.size)
    # Of several values for one place the last is kept.
    foremost[np.stack([a, b], axis=1)[::-1].ravel()] = places[::-1].repeat(2)
    return (foremost[a] == places) & (foremost[b] == places)


def _decide_one_by_one(
    edges: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    piece: np.ndarray,
    decide: _Rule,
    done: _Done,
) -> None:
    """Decide edges in their order; `piece` is brought up to date."""
    for k in range(edges.size):
        x, y = _root(piece, a[k : k + 1]), _root(piece, b[k : k + 1])
        if not done(x, y)[0] and decide(edges[k : k + 1], x, y)[0]:
            piece[y] = x


def _root(above: np.ndarray, node: np.ndarray) -> np.ndarray:
    """The root of one node, (1,) as the node is."""
    while above[node] != node:
        above[node] = node = above[above[node]]
    return node
