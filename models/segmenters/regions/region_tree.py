"""A tree of merging regions: every even area of an image, from small pieces to the whole.

The image is cut into small even pieces (the graph method of Felzenszwalb and Huttenlocher on the
minimum spanning tree of the pixel grid). The two most similar neighbours merge again and again
until one region is left. The record of the merges is a binary tree. Its leaves are ranked so that
each node covers a contiguous run of ranks: a node turns into a mask by two comparisons.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Dict, List, Tuple

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph


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
    apart: List[Tuple[int, int]] = []
    for a, b, weight in zip(*edges):
        # As `_find` does: calls would take half of the time here.
        while parent[a] != a:
            parent[a] = a = parent[parent[a]]
        while parent[b] != b:
            parent[b] = b = parent[parent[b]]
        if weight <= limit[a] and weight <= limit[b]:
            parent[b] = a
            size[a] += size[b]
            limit[a] = weight + scale / size[a]
        else:
            apart.append((a, b))
    for a, b in apart:
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
        area=area.tolist(),
        total=[tuple(colour) for colour in total.tolist()],
        neighbours=neighbours,
        left=none,
        right=none[:],
        cost=[0.0] * area.size,
    )


def _merge_cost(regions: _Regions, a: int, b: int, tuning: Tuning) -> float:
    """How unlike two neighbours are; larger regions are dearer to merge."""
    length, gradient = regions.neighbours[a][b]
    size_a, size_b = regions.area[a], regions.area[b]
    (ra, ga, ba), (rb, gb, bb) = regions.total[a], regions.total[b]
    red, green = ra / size_a - rb / size_b, ga / size_a - gb / size_b
    blue = ba / size_a - bb / size_b
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
class Tree:
    """The hierarchy; nodes are numbered by their making, leaves first, the root last."""

    first: np.ndarray
    """(nodes,) int32, rank of the first leaf of each node."""
    end: np.ndarray
    """(nodes,) int32, one past the rank of its last leaf."""
    parent: np.ndarray
    """(nodes,) int32; the root has -1."""

    def path(self, leaf: int) -> np.ndarray:
        """(k,) nodes from a leaf to the root."""
        path = [leaf]
        while self.parent[path[-1]] >= 0:
            path.append(int(self.parent[path[-1]]))
        return np.array(path)

    def covers(self, nodes: np.ndarray, rank: int) -> np.ndarray:
        """(k,) bool: which nodes contain a leaf, given by its rank."""
        return (self.first[nodes] <= rank) & (rank < self.end[nodes])

    def draw(self, ranks: np.ndarray, node: int) -> np.ndarray:
        """Where an array of leaf ranks belongs to a node; bool of the same shape."""
        return (ranks >= self.first[node]) & (ranks < self.end[node])


def _arrange(regions: _Regions, leaves: int) -> Tree:
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
    return Tree(first, first + np.array(width, dtype=np.int32), np.array(parent, dtype=np.int32))


# ---------------------------------------------------------------------------------- traits


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
    pieces: np.ndarray, colours: np.ndarray, regions: _Regions, outline: np.ndarray, tree: Tree
) -> Dict[str, np.ndarray]:
    """What the choice among nodes is made from; see :class:`Growth`."""
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
        "area": area,
        "contrast": contrast,
    }


def _smaller_share(regions: _Regions) -> np.ndarray:
    """(nodes,) share of a node's area that its smaller half has; 0 for leaves."""
    area = np.array(regions.area)
    left, right = np.array(regions.left), np.array(regions.right)
    return np.where(left < 0, 0, np.minimum(area[left], area[right]) / area)


# ---------------------------------------------------------------------------------- growing


@dataclass(frozen=True)
class Growth:
    """The tree of one image."""

    tree: Tree
    ranks: np.ndarray
    """(H, W) int32, rank of the leaf of each pixel."""
    traits: Dict[str, np.ndarray]
    """Per node, (nodes,) float64: `area` in pixels; logarithms of the `merge` cost (and its
    square), of the colour `contrast` along the outline, of the compactness (`compact`, 0 for a
    disc) and of the colour `step` to the partner of the next merge; `life` 0..1 between the own
    and the next merge; `evenness` 0..0.5 of the own merge; `next_...`: of the parent."""


def grow(image: np.ndarray, tuning: Tuning) -> Growth:
    """Build the tree of an image.

    :param image: (H, W, 3) uint8, never changed.
    :param tuning: how pieces are cut and merged.
    """
    colours = _smooth(image, tuning.smoothing)
    pieces = _pieces(colours, tuning)
    regions = _leaves(pieces, colours)
    leaves = len(regions.area)
    outline = _grow_tree(regions, tuning)
    tree = _arrange(regions, leaves)
    traits = _describe(pieces, colours, regions, outline, tree)
    return Growth(tree, tree.first[:leaves][pieces], traits)
