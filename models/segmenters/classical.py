"""Field masks without a model: a tree of merging regions, numpy and scipy only.

Every field that the method can see is a node of the region tree. A click stands on one leaf, so
its candidates are the nodes between that leaf and the root. They are nested: the IoU of two
candidates is the ratio of their areas. Each candidate gets a chance of being the wanted field,
from its outline, its shape and its rivals on the path; the masks are those three that make the
expected IoU of the best of them highest, and the score of a mask is its own expected IoU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np
from scipy import ndimage

from ...core.fields.masks import component_at, fill_holes
from ...core.fields.segmenter import Embedding, Masks, Prompts
from .region_tree import Tree, Tuning, grow

MASKS_PER_PROMPT = 3

STORED = ("utility", "contrast", "compact", "life")
"""What the embedding keeps of each node for the choice."""


# Fitted on 2026-11-21: a softmax over the nodes of each path, with the chance of a node times the
# fourth power of its IoU as likelihood and fields weighted by the fourth root of their area. Data:
# `denmark` (81 parcels left of column 113), `naip_midwest` (pictures 1-22 at a half, a quarter and
# an eighth of their size) and `ontario` 1921 and 1924; `bench/bench_segmenters.py` measures on
# the rest.
UTILITY: Dict[str, float] = {
    "merge": -0.84,
    "merge_squared": -0.56,
    "next_merge": 1.25,
    "life": 6.18,
    "compact": 1.81,
    "next_compact": -0.71,
    "step": 0.62,
    "next_contrast": 1.15,
    "next_deviation": -2.48,
    "evenness": 2.55,
}
"""Weights of a node's own traits; see :class:`.region_tree.Growth`."""
RIVALRY: Dict[str, float] = {
    "contrast_above": -2.40,
    "compact_above": 1.89,
    "compact_below": -1.62,
    "life_above": 3.23,
}
"""Weights of the lead that the best node above or below has in a trait."""
CALIBRATION = (-0.43, 0.73)
"""Offset and slope from the logit of the expected overlap to the logit of the score. The tree
does not always hold the field at all, so the expectation alone is too sure of itself."""
BOX_CALIBRATION = (-0.28, 0.55)
"""The same when there is a box."""

_MISSED_POINT = 0.4
"""Factor on the chance of a node for each foreground point that it leaves out. Not lower: the
smallest node around both points is often far too large, and two nodes together are better."""
_CUT_NODE = 0.3
"""Factor on the chance of a node for each background point that had to be cut out of it."""
_BOX_POWER = 4.0
"""How strongly the fit to a box rules over the chances."""
_BOX_MARGIN = 1.0
"""Pixels by which a mask may exceed the box."""
_OPENED_PIXELS = 40
"""Masks from this size on lose spurs one or two pixels wide: along roads and field margins."""


# --------------------------------------------------------------------------------- choosing


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


def _chances(
    utility: np.ndarray, contrast: np.ndarray, compact: np.ndarray, life: np.ndarray
) -> np.ndarray:
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


class _Answer:
    """The masks for one prompt on one embedding."""

    def __init__(self, data: Mapping[str, np.ndarray], prompts: Prompts):
        self._data = data
        self._ranks = data["ranks"]
        self._tree = Tree(data["first"], data["end"], data["parent"])
        self._anchor = _clamped(self._ranks.shape, *prompts.anchor)
        pixels = [_clamped(self._ranks.shape, x, y) for x, y in prompts.points]
        self._wanted = [p for p, good in zip(pixels, prompts.foreground) if good]
        self._unwanted = [p for p, good in zip(pixels, prompts.foreground) if not good]
        self._box = None if prompts.box is None else _inside(self._ranks.shape, prompts.box)

    def masks(self) -> Tuple[np.ndarray, np.ndarray]:
        """(3, H, W) bool from fine to coarse, (3,) float scores."""
        path = self._path_of(self._anchor)
        chances = self._chances_on(path) * self._agreement(path)
        areas = self._data["area"][path]
        if self._box is not None:
            areas, fit = self._fit_to_box(path)
            chances = chances * fit**_BOX_POWER
        chances = np.full(path.size, 1 / path.size) if not chances.any() else chances
        picks, expected = _three(chances / chances.sum(), areas)
        masks = np.stack([self._draw(path[pick]) for pick in picks])
        order = np.argsort(masks.sum(axis=(1, 2)), kind="stable")
        # Opening may take from a coarse mask what a finer one holds.
        masks = np.logical_or.accumulate(masks[order], axis=0)
        pixels = masks.sum(axis=(1, 2))
        # Nothing is left where the box shuts out the wanted point, and an image of one piece
        # shows no field at all.
        known = (pixels > 0) & (path.size > 1)
        return masks, np.where(known, self._score(expected[picks])[order], 0)

    def _score(self, expected: np.ndarray) -> np.ndarray:
        """Expected overlap within the tree -> expected IoU with the wanted field, both 0..1."""
        inside = np.clip(expected, 1e-3, 1 - 1e-3)
        offset, slope = CALIBRATION if self._box is None else BOX_CALIBRATION
        return 1 / (1 + np.exp(-offset - slope * np.log(inside / (1 - inside))))

    def _path_of(self, pixel: Tuple[int, int]) -> np.ndarray:
        """(k,) nodes around a pixel, from its leaf to the root."""
        return self._tree.path(int(self._data["leaf"][self._ranks[pixel]]))

    def _chances_on(self, path: np.ndarray) -> np.ndarray:
        """(k,) chances of the nodes of a path from the image alone."""
        return _chances(*(self._data[name][path] for name in STORED))

    def _holds(self, nodes: np.ndarray, pixel: Tuple[int, int]) -> np.ndarray:
        """(k,) bool: which nodes contain a pixel."""
        return self._tree.covers(nodes, self._ranks[pixel])

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
            mask = self._tree.draw(window, node)
            inside[step] = mask.sum()
            frame = _length(mask.any(axis=1)) * _length(mask.any(axis=0)) / mask.size
            fit[step] = frame * inside[step] / self._data["area"][node]
        return inside, fit

    def _draw(self, node: int) -> np.ndarray:
        """(H, W) bool: a node without holes, points and box obeyed; one piece per wanted point."""
        mask = self._tree.draw(self._ranks, node)
        for pixel in self._wanted:
            if not mask[pixel]:
                mask |= self._companion(pixel)
        mask = _on_extent(fill_holes, mask)
        for pixel in self._unwanted:
            mask &= ~self._refused(pixel)
        if self._box is not None:
            limited = np.zeros_like(mask)
            limited[self._box] = mask[self._box]
            mask = limited
        pieces = _on_extent(_tidied, mask, self._anchor)
        for pixel in self._wanted:
            if mask[pixel] and not pieces[pixel]:
                pieces |= _on_extent(_tidied, mask, pixel)
        return pieces

    def _companion(self, pixel: Tuple[int, int]) -> np.ndarray:
        """(H, W) bool: the likeliest node around a further wanted point without the anchor."""
        path = self._path_of(pixel)
        expected = _three(self._chances_on(path), self._data["area"][path])[1]
        expected[self._holds(path, self._anchor)] = -1
        return self._tree.draw(self._ranks, path[np.argmax(expected)])

    def _refused(self, pixel: Tuple[int, int]) -> np.ndarray:
        """(H, W) bool: the largest node around a background point without a wanted point."""
        keep = [self._anchor, *self._wanted]
        path = self._path_of(pixel)
        free = ~np.any([self._holds(path, wanted) for wanted in keep], axis=0)
        if free.any():
            return self._tree.draw(self._ranks, path[free][-1])
        leaf = self._tree.draw(self._ranks, path[0])
        return leaf & _nearer(self._ranks.shape, pixel, keep)


def _tidied(mask: np.ndarray, x: float, y: float) -> np.ndarray:
    """(h, w) bool: the component at a point, without spurs if the point is not on one."""
    piece = component_at(mask, x, y)
    if np.count_nonzero(piece) < _OPENED_PIXELS:
        return piece
    # Repeating the border keeps fields whole that the edge of the image cuts off.
    opened = ndimage.binary_opening(np.pad(piece, 1, mode="edge"))[1:-1, 1:-1]
    core = component_at(opened, x, y)
    return core if core.any() else piece


def _on_extent(
    function: Callable[..., np.ndarray], mask: np.ndarray, pixel: Optional[Tuple[int, int]] = None
) -> np.ndarray:
    """Apply a function of masks to the extent of a mask only, which is much faster.

    :param pixel: row and column, handed on as the centre of the pixel (x, y) in the extent.
    """
    extents = ndimage.find_objects(mask.view(np.uint8))
    if not extents:
        return mask
    rows, columns = extents[0]
    place = () if pixel is None else (pixel[1] + 0.5 - columns.start, pixel[0] + 0.5 - rows.start)
    result = np.zeros_like(mask)
    result[rows, columns] = function(mask[rows, columns], *place)
    return result


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

    def __init__(self, tuning: Optional[Tuning] = None):
        self._tuning = tuning or Tuning()

    def encode(self, image: np.ndarray) -> Embedding:
        """Build the merge tree of one image.

        :param image: (H, W, 3) uint8, never changed.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(f"Expected a uint8 image (H, W, 3), got {image.dtype} {image.shape}.")
        growth = grow(image, self._tuning)
        tree, traits = growth.tree, growth.traits
        leaves = int(growth.ranks.max()) + 1
        utility = np.sum([weight * traits[name] for name, weight in UTILITY.items()], axis=0)
        return Embedding(
            self.id,
            growth.ranks.shape,
            {
                "ranks": growth.ranks,
                "leaf": np.argsort(tree.first[:leaves]).astype(np.int32),
                "first": tree.first,
                "end": tree.end,
                "parent": tree.parent,
                "utility": utility,
                **{name: traits[name] for name in ("area", *STORED[1:])},
            },
        )

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
