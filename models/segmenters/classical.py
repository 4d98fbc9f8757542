"""Field masks without a model: a tree of merging regions, numpy and scipy only.

Encoding cuts the image into small even pieces (the graph method of Felzenszwalb and Huttenlocher
on the minimum spanning tree of the pixel grid) and merges the two most similar neighbours again
and again until one region is left. The record of the merges is a binary tree; every field that
the method can see is one of its nodes. A click stands on one leaf, so its candidates are the
nodes between that leaf and the root: they are nested, and their scores are known beforehand.

Leaves are numbered so that each node covers a contiguous run of numbers, so a node turns into a
mask by two comparisons.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Dict, List, Mapping, Sequence, Tuple

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from ...core.fields.masks import component_at, fill_holes
from ...core.fields.segmenter import Embedding, Masks, Prompts

MASKS_PER_PROMPT = 3

STORED = ("utility", "contrast", "compact", "life")
"""What the embedding keeps of each node for the choice."""


@dataclass(frozen=True)
class Tuning:
    """What steers the tree; colours run from 0 to 1."""

    smoothing: float = 0.4
    """Standard deviation in pixels of the Gaussian that takes out sensor noise."""
    piece_scale: float = 0.06
    """The larger, the larger the pieces before merging (`k` of the graph method)."""
    piece_pixels: int = 6
    """Pieces below this size join their most similar neighbour."""
    edge_weight: float = 4.0
    """Weight of the gradient along the common boundary beside the difference of the means."""
    size_power: float = 0.3
    """How much the size of the smaller partner delays a merge."""

# Fitted on 2026-11-21 by a softmax over the nodes of each path (probability of the node times its
# IoU to the power of 4), on `denmark` (81 parcels left of column 113), `naip_midwest` (pictures
# 1-22 at a half, a quarter and an eighth of their size) and `ontario` 1921 and 1924; see
# `bench/segmenters.py` for what the rest of these data says. Names: see `_describe`.
UTILITY: Dict[str, float] = {
    "merge": -0.99,
    "merge_squared": -0.55,
    "next_merge": 1.14,
    "life": 6.44,
    "compact": 2.02,
    "next_compact": -0.86,
    "step": 0.61,
    "next_contrast": 1.16,
    "next_deviation": -2.23,
    "evenness": 2.74,
}
RIVALRY: Dict[str, float] = {
    "contrast_above": -2.31,
    "compact_above": 2.04,
    "compact_below": -1.55,
    "life_above": 3.42,
}
CALIBRATION = (-0.43, 0.73)
"""Offset and slope from the logit of the expected overlap to the logit of the score. The tree
does not always hold the field at all, so the expectation alone is too sure of itself."""

_MISSED_POINT = 0.05
"""Factor on the chance of a node for each foreground point that it leaves out."""
_CUT_NODE = 0.3
"""Factor on the chance of a node for each background point that had to be cut out of it."""
_BOX_POWER = 4.0
"""How strongly the fit to a box rules over the chances."""
_BOX_MARGIN = 1.0
"""Pixels by which a mask may exceed the box."""


# ------------------------------------------------------------------------------------ pieces


def _smooth(image: np.ndarray, sigma: float) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W, 3) float32 in 0..1, smoothed."""
    colours = image.astype(np.float32) / 255
    return ndimage.gaussian_filter(colours, (sigma, sigma, 0), mode="nearest")


def _grid_edges(colours: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of 4-neighbours (flat pixel numbers) and their colour distance."""
    height, width = colours.shape[:2]
    index = np.arange(height * width, dtype=np.int32).reshape(height, width)
    right = np.linalg.norm(colours[:, 1:] - colours[:, :-1], axis=-1)
    down = np.linalg.norm(colours[1:] - colours[:-1], axis=-1)
    first = np.concatenate([index[:, :-1].ravel(), index[:-1].ravel()])
    second = np.concatenate([index[:, 1:].ravel(), index[1:].ravel()])
    return first, second, np.concatenate([right.ravel(), down.ravel()])


def _spanning_edges(
    first: np.ndarray, second: np.ndarray, weight: np.ndarray, count: int
) -> Tuple[List[int], List[int], List[float]]:
    """Edges of the minimum spanning tree, lightest first.

    The graph method looks at edges by rising weight and hardly ever needs one outside this
    tree; half as many edges go through the loop in Python.
    """
    # A stored zero counts as no edge, so weights are lifted by a hair.
    graph = sparse.coo_matrix((weight.astype(np.float64) + 1e-7, (first, second)), (count, count))
    tree = csgraph.minimum_spanning_tree(graph.tocsr()).tocoo()
    order = np.argsort(tree.data, kind="stable")
    return tree.row[order].tolist(), tree.col[order].tolist(), tree.data[order].tolist()


def _find(parent: List[int], node: int) -> int:
    """Root of a node in a union-find forest, halving the path on the way."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


def _join(
    edges: Tuple[List[int], List[int], List[float]], count: int, scale: float, least: int
) -> List[int]:
    """Union-find parents after joining pixels along the edges of the spanning tree."""
    parent = list(range(count))
    size = [1] * count
    limit = [scale] * count
    for a, b, weight in zip(*edges):
        a, b = _find(parent, a), _find(parent, b)
        if weight <= limit[a] and weight <= limit[b]:
            parent[b] = a
            size[a] += size[b]
            limit[a] = weight + scale / size[a]
    for a, b in zip(edges[0], edges[1]):
        a, b = _find(parent, a), _find(parent, b)
        if a != b and (size[a] < least or size[b] < least):
            parent[b] = a
            size[a] += size[b]
    return parent


def _pieces(colours: np.ndarray, tuning: Tuning) -> np.ndarray:
    """(H, W) int32 numbers of small even pieces, 0..n-1, each 4-connected."""
    height, width = colours.shape[:2]
    count = height * width
    edges = _spanning_edges(*_grid_edges(colours), count)
    roots = np.array(_join(edges, count, tuning.piece_scale, tuning.piece_pixels), dtype=np.int64)
    while True:
        above = roots[roots]
        if np.array_equal(above, roots):
            break
        roots = above
    labels = np.unique(roots, return_inverse=True)[1]
    return labels.reshape(height, width).astype(np.int32)


# ------------------------------------------------------------------------------- merge tree


@dataclass
class _Regions:
    """Lists that grow by one entry with each merge; entry i describes node i."""

    area: List[float]
    """Pixels."""
    total: List[Tuple[float, float, float]]
    """Sum of the colours."""
    neighbours: List[Dict[int, Tuple[float, float]]]
    """Per neighbour: length of the common boundary and sum of the gradient along it."""
    left: List[int]
    right: List[int]
    cost: List[float]
    """Cost of the merge that made the node; 0 for leaves."""


def _boundaries(pieces: np.ndarray, colours: np.ndarray) -> Tuple[np.ndarray, ...]:
    """Pairs of neighbouring pieces (first < second), boundary lengths and gradient sums."""
    first, second, weight = _grid_edges(colours)
    flat = pieces.ravel()
    first, second = flat[first], flat[second]
    apart = first != second
    low = np.minimum(first, second)[apart].astype(np.int64)
    high = np.maximum(first, second)[apart].astype(np.int64)
    count = int(flat.max()) + 1
    keys, where = np.unique(low * count + high, return_inverse=True)
    lengths = np.bincount(where, minlength=keys.size)
    gradients = np.bincount(where, weight[apart], minlength=keys.size)
    return keys // count, keys % count, lengths, gradients


def _leaves(pieces: np.ndarray, colours: np.ndarray) -> _Regions:
    """The regions before any merge."""
    flat = pieces.ravel()
    area = np.bincount(flat).astype(float)
    total = np.stack([np.bincount(flat, colours[..., k].ravel()) for k in range(3)], axis=1)
    neighbours: List[Dict[int, Tuple[float, float]]] = [{} for _ in range(area.size)]
    columns = (column.tolist() for column in _boundaries(pieces, colours))
    for a, b, length, gradient in zip(*columns):
        neighbours[a][b] = neighbours[b][a] = (length, gradient)
    none = [-1] * area.size
    return _Regions(
        area.tolist(), list(map(tuple, total.tolist())), neighbours, none, none[:],
        [0.0] * area.size,
    )


def _merge_cost(regions: _Regions, a: int, b: int, tuning: Tuning) -> float:
    """How unlike two neighbours are; larger regions are dearer to merge."""
    length, gradient = regions.neighbours[a][b]
    size_a, size_b = regions.area[a], regions.area[b]
    (ra, ga, ba), (rb, gb, bb) = regions.total[a], regions.total[b]
    red, green, blue = ra / size_a - rb / size_b, ga / size_a - gb / size_b, ba / size_a - bb / size_b
    distance = (red * red + green * green + blue * blue) ** 0.5
    contrast = distance + tuning.edge_weight * gradient / length
    return contrast * (size_a * size_b / (size_a + size_b)) ** tuning.size_power


def _merge(regions: _Regions, a: int, b: int, cost: float) -> int:
    """Append the union of two live regions; returns its number."""
    node = len(regions.area)
    regions.area.append(regions.area[a] + regions.area[b])
    regions.total.append(tuple(p + q for p, q in zip(regions.total[a], regions.total[b])))
    regions.left.append(a)
    regions.right.append(b)
    regions.cost.append(max(cost, regions.cost[a], regions.cost[b]))
    joined = regions.neighbours[a]
    del joined[b]
    for other, (length, gradient) in regions.neighbours[b].items():
        if other != a:
            more, steeper = joined.get(other, (0.0, 0.0))
            joined[other] = (length + more, gradient + steeper)
            del regions.neighbours[other][b]
    for other, shared in joined.items():
        regions.neighbours[other].pop(a, None)
        regions.neighbours[other][node] = shared
    regions.neighbours.append(joined)
    return node


def _grow_tree(regions: _Regions, tuning: Tuning) -> np.ndarray:
    """Merge until one region is left; (nodes, 2) outer boundary length and gradient sum."""
    alive = [True] * len(regions.area)
    outline = [_outline(shared) for shared in regions.neighbours]
    heap = [
        (_merge_cost(regions, a, b, tuning), a, b)
        for a, shared in enumerate(regions.neighbours)
        for b in shared
        if a < b
    ]
    heapq.heapify(heap)
    while heap:
        cost, a, b = heapq.heappop(heap)
        if not (alive[a] and alive[b]):
            continue
        alive[a] = alive[b] = False
        node = _merge(regions, a, b, cost)
        alive.append(True)
        outline.append(_outline(regions.neighbours[node]))
        for other in regions.neighbours[node]:
            heapq.heappush(heap, (_merge_cost(regions, node, other, tuning), node, other))
    return np.array(outline, dtype=np.float64)


def _outline(shared: Dict[int, Tuple[float, float]]) -> Tuple[float, float]:
    """Length of a region's boundary to others, and the sum of the gradient along it."""
    return sum(s[0] for s in shared.values()), sum(s[1] for s in shared.values())


@dataclass(frozen=True)
class _Tree:
    """The hierarchy; nodes are numbered by their making, leaves first, the root last."""

    first: np.ndarray
    """(nodes,) int32, rank of the first leaf of each node."""
    end: np.ndarray
    """(nodes,) int32, one past the rank of its last leaf."""
    parent: np.ndarray
    """(nodes,) int32; the root has -1."""


def _arrange(regions: _Regions, leaves: int) -> _Tree:
    """Rank the leaves so that every node covers a run of ranks."""
    count = len(regions.area)
    width = [1] * leaves + [0] * (count - leaves)
    for node in range(leaves, count):
        width[node] = width[regions.left[node]] + width[regions.right[node]]
    start = [0] * count
    parent = [-1] * count
    for node in range(count - 1, leaves - 1, -1):
        a, b = regions.left[node], regions.right[node]
        parent[a] = parent[b] = node
        start[a] = start[node]
        start[b] = start[node] + width[a]
    first = np.array(start, dtype=np.int32)
    return _Tree(first, first + np.array(width, dtype=np.int32), np.array(parent, dtype=np.int32))


# -------------------------------------------------------------------------------- features


def _sums(values: np.ndarray, pieces: np.ndarray, first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Sum of a per-pixel value over each node; values (H, W), result (nodes,) float64."""
    leaves = int(pieces.max()) + 1
    by_rank = np.zeros(leaves + 1)
    by_rank[first[:leaves] + 1] = np.bincount(pieces.ravel(), values.ravel(), minlength=leaves)
    running = np.cumsum(by_rank)
    return running[end] - running[first]


def _border_sides(shape: Tuple[int, int]) -> np.ndarray:
    """(H, W): how many sides of each pixel lie on the border of the image."""
    sides = np.zeros(shape)
    for line in (sides[0], sides[-1], sides[:, 0], sides[:, -1]):
        line += 1
    return sides


def _log(values: np.ndarray, floor: float) -> np.ndarray:
    """Logarithm that does not fall below `floor`; one grey level of 255 is added to tame noise."""
    return np.maximum(np.log(np.maximum(values, 0) + 0.004), floor)


def _describe(
    pieces: np.ndarray, colours: np.ndarray, regions: _Regions, outline: np.ndarray, tree: _Tree
) -> Dict[str, np.ndarray]:
    """Per node: what the choice is made from; each (nodes,) float64. See `UTILITY`."""
    first, end = tree.first, tree.end
    above = np.where(tree.parent < 0, np.arange(first.size), tree.parent)
    area = np.array(regions.area)
    mean = np.array(regions.total) / area[:, None]
    square = _sums((colours.astype(np.float64) ** 2).sum(axis=-1), pieces, first, end) / area
    deviation = np.sqrt(np.maximum(square - (mean**2).sum(axis=1), 0))
    perimeter = outline[:, 0] + _sums(_border_sides(pieces.shape), pieces, first, end)
    contrast = _log(outline[:, 1] / np.maximum(outline[:, 0], 1), -4.0)
    compact = np.log(4 * np.pi * area / perimeter**2)
    merge = _log(np.array(regions.cost), -2.5)
    step = np.linalg.norm(mean - mean[above], axis=1) * area[above]
    return {
        "merge": merge,
        "merge_squared": merge**2,
        "next_merge": merge[above],
        "life": np.clip(merge[above] - merge, 0, 1),
        "compact": compact,
        "next_compact": compact[above],
        "step": _log(step / np.maximum(area[above] - area, 1), -6.0),
        "next_contrast": contrast[above],
        "next_deviation": _log(deviation[above], -6.0),
        "evenness": _smaller_share(regions),
        "contrast": contrast,
    }


def _smaller_share(regions: _Regions) -> np.ndarray:
    """(nodes,) share of a node's area that its smaller half has; 0 for leaves."""
    area = np.array(regions.area)
    left, right = np.array(regions.left), np.array(regions.right)
    return np.where(left < 0, 0, np.minimum(area[left], area[right]) / area)


# --------------------------------------------------------------------------------- choosing


def _path(tree: _Tree, leaf: int) -> np.ndarray:
    """(k,) nodes from a leaf to the root."""
    path = [leaf]
    while tree.parent[path[-1]] >= 0:
        path.append(int(tree.parent[path[-1]]))
    return np.array(path)


def _lead_above(values: np.ndarray) -> np.ndarray:
    """How far the best proper ancestor exceeds each node of a path; the root does not count."""
    best = np.full(values.size, -np.inf)
    if values.size > 2:
        best[:-2] = np.maximum.accumulate(values[-2:0:-1])[::-1]
    return np.where(np.isfinite(best), np.clip(best - values, -1, 2), 0)


def _lead_below(values: np.ndarray) -> np.ndarray:
    """How far the best node further down exceeds each node of a path."""
    best = np.maximum.accumulate(values)
    return np.clip(np.concatenate([values[:1], best[:-1]]) - values, -1, 2)


def _chances(utility: np.ndarray, contrast: np.ndarray, compact: np.ndarray, life: np.ndarray) -> np.ndarray:
    """(k,) probability that each node of a path is the wanted field; sums to 1."""
    total = (
        utility
        + RIVALRY["contrast_above"] * _lead_above(contrast)
        + RIVALRY["compact_above"] * _lead_above(compact)
        + RIVALRY["compact_below"] * _lead_below(compact)
        + RIVALRY["life_above"] * _lead_above(life)
    )
    chances = np.exp(total - total.max())
    return chances / chances.sum()


def _three(chances: np.ndarray, areas: np.ndarray) -> Tuple[List[int], np.ndarray]:
    """Three steps of a path, and the overlap to expect from every step.

    Nodes of a path are nested, so the IoU of two is the ratio of their areas. The first pick has
    the highest expected IoU; the others add most to the expected IoU of the best of the three.
    """
    overlap = np.minimum.outer(areas, areas) / np.maximum(np.maximum.outer(areas, areas), 1)
    expected = overlap @ chances
    picks = [int(np.argmax(expected))]
    covered = overlap[picks[0]]
    while len(picks) < MASKS_PER_PROMPT:
        gain = np.maximum(overlap, covered) @ chances
        gain[picks] = -1
        picks.append(int(np.argmax(gain)) if gain.max() > 0 else picks[0])
        covered = np.maximum(covered, overlap[picks[-1]])
    return sorted(picks), expected


def _score(expected: np.ndarray) -> np.ndarray:
    """Expected overlap within the tree -> expected IoU with the wanted field, both 0..1."""
    inside = np.clip(expected, 1e-3, 1 - 1e-3)
    offset, slope = CALIBRATION
    return 1 / (1 + np.exp(-offset - slope * np.log(inside / (1 - inside))))


class _Answer:
    """The masks for one prompt on one embedding."""

    def __init__(self, data: Mapping[str, np.ndarray], prompts: Prompts):
        self._data = data
        self._ranks = data["ranks"]
        self._tree = _Tree(data["first"], data["end"], data["parent"])
        self._anchor = _clamped(self._ranks.shape, *prompts.anchor)
        pixels = [_clamped(self._ranks.shape, x, y) for x, y in prompts.points]
        self._wanted = [p for p, good in zip(pixels, prompts.foreground) if good]
        self._unwanted = [p for p, good in zip(pixels, prompts.foreground) if not good]
        self._box = None if prompts.box is None else _inside(self._ranks.shape, prompts.box)

    def masks(self) -> Tuple[np.ndarray, np.ndarray]:
        """(3, H, W) bool from fine to coarse, (3,) float scores."""
        path = self._path_of(self._anchor)
        chances = _chances(*(self._data[name][path] for name in STORED)) * self._agreement(path)
        areas = self._data["area"][path]
        if self._box is not None:
            areas, fit = self._fit_to_box(path)
            chances = chances * fit**_BOX_POWER
        chances = np.full(path.size, 1 / path.size) if not chances.any() else chances
        picks, expected = _three(chances / chances.sum(), areas)
        masks = np.stack([self._draw(path[pick]) for pick in picks])
        order = np.argsort(masks.sum(axis=(1, 2)), kind="stable")
        return masks[order], _score(expected[picks])[order]

    def _path_of(self, pixel: Tuple[int, int]) -> np.ndarray:
        return _path(self._tree, int(self._data["leaf"][self._ranks[pixel]]))

    def _holds(self, nodes: np.ndarray, pixel: Tuple[int, int]) -> np.ndarray:
        """(k,) bool: which nodes contain a pixel."""
        rank = self._ranks[pixel]
        return (self._tree.first[nodes] <= rank) & (rank < self._tree.end[nodes])

    def _agreement(self, path: np.ndarray) -> np.ndarray:
        """(k,) factor on the chances from all points of the prompt."""
        factor = np.ones(path.size)
        for pixel in self._wanted:
            factor[~self._holds(path, pixel)] *= _MISSED_POINT
        for pixel in self._unwanted:
            factor[self._holds(path, pixel)] *= _CUT_NODE
        return factor

    def _fit_to_box(self, path: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Per node: pixels within the box, and 0..1 how well node and box frame each other."""
        rows, columns = self._box
        window = self._ranks[rows, columns]
        inside, fit = np.zeros(path.size), np.zeros(path.size)
        for step, node in enumerate(path):
            mask = self._node(window, node)
            inside[step] = mask.sum()
            frame = _length(mask.any(axis=1)) * _length(mask.any(axis=0)) / mask.size
            fit[step] = frame * inside[step] / self._data["area"][node]
        return inside, fit

    def _node(self, ranks: np.ndarray, node: int) -> np.ndarray:
        """Where an array of ranks belongs to a node."""
        return (ranks >= self._tree.first[node]) & (ranks < self._tree.end[node])

    def _draw(self, node: int) -> np.ndarray:
        """(H, W) bool: a node as one piece without holes, background points and box obeyed."""
        mask = fill_holes(self._node(self._ranks, node))
        for pixel in self._unwanted:
            mask &= ~self._refused(pixel)
        if self._box is not None:
            limited = np.zeros_like(mask)
            limited[self._box] = mask[self._box]
            mask = limited
        row, column = self._anchor
        return component_at(mask, column + 0.5, row + 0.5)

    def _refused(self, pixel: Tuple[int, int]) -> np.ndarray:
        """(H, W) bool: the largest node around a background point without a wanted point."""
        keep = [self._anchor, *self._wanted]
        path = self._path_of(pixel)
        free = ~np.any([self._holds(path, wanted) for wanted in keep], axis=0)
        if free.any():
            return self._node(self._ranks, path[free][-1])
        leaf = self._node(self._ranks, path[0])
        return leaf & _nearer(self._ranks.shape, pixel, keep)


def _clamped(shape: Tuple[int, int], x: float, y: float) -> Tuple[int, int]:
    """Row and column of the pixel nearest to a point."""
    height, width = shape
    return int(min(max(y, 0), height - 1)), int(min(max(x, 0), width - 1))


def _inside(shape: Tuple[int, int], box: np.ndarray) -> Tuple[slice, slice]:
    """Rows and columns of a box with its margin, at least one pixel, within the image."""
    top, left = _clamped(shape, box[0] - _BOX_MARGIN, box[1] - _BOX_MARGIN)
    bottom, right = _clamped(shape, box[2] + _BOX_MARGIN, box[3] + _BOX_MARGIN)
    return slice(top, bottom + 1), slice(left, right + 1)


def _length(line: np.ndarray) -> int:
    """Extent from the first to the last True, 0 when there is none."""
    places = np.flatnonzero(line)
    return int(places[-1] - places[0] + 1) if places.size else 0


def _nearer(
    shape: Tuple[int, int], pixel: Tuple[int, int], others: Sequence[Tuple[int, int]]
) -> np.ndarray:
    """(H, W) bool: nearer to a pixel than to all others."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]

    def square(p: Tuple[int, int]) -> np.ndarray:
        return (rows - p[0]) ** 2 + (columns - p[1]) ** 2

    return square(pixel) < np.min([square(other) for other in others], axis=0)


class ClassicalSegmenter:
    """Merge-tree segmentation; fulfils :class:`furrow.core.fields.segmenter.Segmenter`."""

    id = "classical"

    def __init__(self, tuning: Tuning = Tuning()):
        self._tuning = tuning

    def encode(self, image: np.ndarray) -> Embedding:
        """Build the merge tree of one image.

        :param image: (H, W, 3) uint8, never changed.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(f"Expected a uint8 image (H, W, 3), got {image.dtype} {image.shape}.")
        colours = _smooth(image, self._tuning.smoothing)
        pieces = _pieces(colours, self._tuning)
        regions = _leaves(pieces, colours)
        leaves = len(regions.area)
        outline = _grow_tree(regions, self._tuning)
        tree = _arrange(regions, leaves)
        nodes = _describe(pieces, colours, regions, outline, tree)
        return Embedding(self.id, pieces.shape, {
            "ranks": tree.first[:leaves][pieces],
            "leaf": np.argsort(tree.first[:leaves]).astype(np.int32),
            "first": tree.first,
            "end": tree.end,
            "parent": tree.parent,
            "area": np.array(regions.area),
            "utility": sum(weight * nodes[name] for name, weight in UTILITY.items()),
            "contrast": nodes["contrast"],
            "compact": nodes["compact"],
            "life": nodes["life"],
        })

    def predict(self, embedding: Embedding, prompts: Sequence[Prompts]) -> Masks:
        """Three nested masks for each prompt.

        :param embedding: made by this engine.
        :return: masks (n, 3, H, W) bool, scores (n, 3) float32 in 0..1.
        """
        masks = np.zeros((len(prompts), MASKS_PER_PROMPT, *embedding.shape), dtype=bool)
        scores = np.zeros((len(prompts), MASKS_PER_PROMPT), dtype=np.float32)
        for index, prompt in enumerate(prompts):
            masks[index], scores[index] = _Answer(embedding.data, prompt).masks()
        return Masks(masks, scores)
