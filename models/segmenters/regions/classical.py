"""Field masks without a model: trees of merging regions, numpy and scipy only.

Every field that the method can see is a node of the region tree of the image or of its copy at
half the size, where large mottled fields hold together. A click stands on one leaf of each tree,
so its candidates are the nodes between these leaves and the roots. Each gets a chance of being
the wanted field, from its outline, its shape, its rivals on the path and its partner in the other
tree (`region_choice.py`); the masks are those three that make the expected IoU of the best of
them highest, and the score of a mask is its own expected IoU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Callable, Optional, Tuple

import numpy as np
from scipy import ndimage

from ....core.fields.masks import component_at, fill_holes
from ....core.fields.segmenter import Embedding, Masks, Prompts, check_picture
from ..odds import chance, log_odds
from .region_choice import MASKS_PER_PROMPT, SCALES, Candidates, View, candidates, pack, three
from .region_tree import Tuning, grow

EMBEDDING_VERSION = 3
"""To be raised with every change of what `encode` gives for the same image, here or in `pieces.py`,
`region_tree.py` and `region_choice.py`: embeddings that users keep on disk are then made again."""
CALIBRATION = (-0.50, 0.60)
"""Offset and slope from the logit of the expected overlap to the logit of the score. The trees
do not always hold the field at all, so the expectation alone is too sure of itself."""
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
_HALF_SMOOTHING = 0.8
"""Like :attr:`.region_tree.Tuning.smoothing`, in pixels of the half-size picture."""
_LARGE = 600
"""Images with a longer side, in pixels, are looked at at half their size: such windows are for
fields that do not fit into smaller ones, and trees of a million pixels take four seconds."""
_EVERYWHERE = (slice(None), slice(None))
_OPENED_PIXELS = 40
"""Masks from this size on lose spurs one or two pixels wide: along roads and field margins."""


class _Answer:
    """The masks for one prompt on one embedding."""

    def __init__(self, data: Mapping[str, np.ndarray], prompts: Prompts):
        self._views = [View.stored(data, scale) for scale in SCALES]
        self._shape = self._views[0].ranks.shape
        self._anchor = _clamped(self._shape, *prompts.anchor)
        pixels = [_clamped(self._shape, x, y) for x, y in prompts.points]
        self._wanted = [p for p, good in zip(pixels, prompts.foreground) if good]
        self._unwanted = [p for p, good in zip(pixels, prompts.foreground) if not good]
        self._box = None if prompts.box is None else _inside(self._shape, prompts.box)

    def masks(self) -> Tuple[np.ndarray, np.ndarray]:
        """(3, H, W) bool from fine to coarse, (3,) float scores."""
        found = self._around(self._anchor, _EVERYWHERE if self._box is None else self._box)
        chances = found.chances * self._agreement(found)
        if self._box is not None:
            chances = chances * self._fit_to_box(found) ** _BOX_POWER
        if not chances.any():
            chances = np.ones(chances.size)
        picks, expected = three(chances / chances.sum(), found.overlap)
        masks = np.stack([self._draw(found, pick) for pick in picks])
        order = np.argsort(masks.sum(axis=(1, 2)), kind="stable")
        masks = self._nested(masks[order], int(np.argmax(expected[picks][order])))
        # Nothing is left where the box shuts out the wanted point, and an image of one piece
        # shows no field at all.
        known = masks.any(axis=(1, 2)) & (self._views[0].leaf.size > 1)
        return masks, np.where(known, self._score(expected[picks])[order], 0)

    def _around(self, pixel: Tuple[int, int], window: Tuple[slice, slice]) -> Candidates:
        return candidates(self._views, pixel, window)

    def _nested(self, masks: np.ndarray, best: int) -> np.ndarray:
        """(3, H, W) bool: each mask holds those before it; the best one stays as it is."""
        for finer in range(best - 1, -1, -1):
            # Masks of two trees may cross, and a cut may leave crumbs.
            masks[finer] = self._pieces(masks[finer] & masks[finer + 1])
        for coarser in range(best + 1, len(masks)):
            masks[coarser] |= masks[coarser - 1]
        return masks

    def _score(self, expected: np.ndarray) -> np.ndarray:
        """Expected overlap among the nodes -> expected IoU with the wanted field, both 0..1."""
        offset, slope = CALIBRATION if self._box is None else BOX_CALIBRATION
        return chance(offset + slope * log_odds(expected, 1e-3))

    def _agreement(self, found: Candidates) -> np.ndarray:
        """(k,) factor on the chances from all points of the prompt."""
        factor = np.ones(found.node.size)
        for pixel in self._wanted:
            factor[~found.hold(pixel)] *= _MISSED_POINT
        for pixel in self._unwanted:
            factor[found.hold(pixel)] *= _CUT_NODE
        return factor

    def _fit_to_box(self, found: Candidates) -> np.ndarray:
        """(k,) float 0..1: how well node and box frame each other."""
        fit = np.zeros(found.node.size)
        for index in range(fit.size):
            whole = found.draw(index)
            mask = whole[self._box]
            frame = _length(mask.any(axis=1)) * _length(mask.any(axis=0)) / mask.size
            fit[index] = frame * mask.sum() / whole.sum()
        return fit

    def _draw(self, found: Candidates, index: int) -> np.ndarray:
        """(H, W) bool: a node without holes, points and box obeyed; one piece per wanted point."""
        mask = found.draw(index)
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
        return self._pieces(mask)

    def _pieces(self, mask: np.ndarray) -> np.ndarray:
        """(H, W) bool: what of a mask is connected to the wanted points, tidied."""
        pieces = _on_extent(_tidied, mask, self._anchor)
        for pixel in self._wanted:
            if mask[pixel] and not pieces[pixel]:
                pieces |= _on_extent(_tidied, mask, pixel)
        return pieces

    def _companion(self, pixel: Tuple[int, int]) -> np.ndarray:
        """(H, W) bool: the likeliest node around a further wanted point without the anchor."""
        found = self._around(pixel, _EVERYWHERE)
        expected = found.overlap @ found.chances
        expected[found.hold(self._anchor)] = -1
        return found.draw(int(np.argmax(expected)))

    def _refused(self, pixel: Tuple[int, int]) -> np.ndarray:
        """(H, W) bool: the largest node around a background point without a wanted point."""
        keep = [self._anchor, *self._wanted]
        # The tree of the half picture is too coarse to cut with.
        view = self._views[0]
        path = view.path(pixel)
        free = ~np.any([view.tree.covers(path, view.ranks[p]) for p in keep], axis=0)
        if free.any():
            return view.draw(path[free][-1])
        return view.draw(path[0]) & _nearer(self._shape, pixel, keep)


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


def _halved(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (ceil(H / 2), ceil(W / 2), 3) uint8, means of 2 x 2 pixels."""
    height, width = image.shape[:2]
    even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    blocks = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, 3)
    return (blocks.mean(axis=(1, 3), dtype=np.float32) + 0.5).astype(np.uint8)


def _is_large(shape: Tuple[int, int]) -> bool:
    return max(shape) > _LARGE


def _halfway(prompt: Prompts) -> Prompts:
    """A prompt on the halved image."""
    box = None if prompt.box is None else prompt.box / 2
    return Prompts(prompt.points / 2, prompt.foreground, box)


def _doubled(masks: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
    """(m, h, w) bool of the halved image -> (m, H, W) bool of the image."""
    whole = masks.repeat(2, axis=1).repeat(2, axis=2)
    return whole[:, : shape[0], : shape[1]]


class ClassicalSegmenter:
    """Merge-tree segmentation; fulfils :class:`furrow.core.fields.segmenter.Segmenter`."""

    id = "classical"

    def __init__(self, tuning: Optional[Tuning] = None):
        self._tuning = tuning or Tuning()
        self._half_tuning = replace(self._tuning, smoothing=_HALF_SMOOTHING)

    def encode(self, image: np.ndarray) -> Embedding:
        """Build the merge trees of one image.

        :param image: (H, W, 3) uint8, never changed.
        """
        check_picture(image)
        seen = _halved(image) if _is_large(image.shape[:2]) else image
        shape = seen.shape[:2]
        fine = pack(grow(seen, self._tuning), SCALES[0], shape)
        coarse = pack(grow(_halved(seen), self._half_tuning), SCALES[1], shape)
        return Embedding(self.id, image.shape[:2], {**fine, **coarse})

    def predict(self, embedding: Embedding, prompts: Sequence[Prompts]) -> Masks:
        """Three nested masks for each prompt.

        :param embedding: made by this engine.
        :return: masks (n, 3, H, W) bool, scores (n, 3) float32 in 0..1.
        """
        masks = np.zeros((len(prompts), MASKS_PER_PROMPT, *embedding.shape), dtype=bool)
        scores = np.zeros((len(prompts), MASKS_PER_PROMPT), dtype=np.float32)
        large = _is_large(embedding.shape)
        for index, prompt in enumerate(prompts):
            seen = _halfway(prompt) if large else prompt
            found, scores[index] = _Answer(embedding.data, seen).masks()
            masks[index] = _doubled(found, embedding.shape) if large else found
        return Masks(masks, scores)
