"""A tile as an engine sees it: encoded once for each date, asked for fields as often as needed.

Where fields are only some pixels wide, the tile is also looked at enlarged (`enlarging.py`):
engines that see with a fixed stride then find far more of them. Fields and edges lie on the tile's
own pixels all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np
from scipy import ndimage

from ...monitor import Monitor, watched
from ..segmenter import Embedding, Prompts, Segmenter, encoded, known_edges
from .enlarging import Enlarger, enlarged, enlarged_in_parts
from .pieces import FieldPiece, trimmed

_BATCH = 8
"""Prompts that are asked together: few enough to stop soon, many enough to be quick."""
_MARGIN = 1e-3
"""Keeps the logarithms of the odds of 0 and 1 finite."""
_SURE_EDGE = 0.5
_SURE_SCORE = 0.675
"""Within a mask with this score nothing is asked again, where engines know fields."""
_CROWDED = 0.37
"""Where a larger share of a tile is edge, edges run into each other and fields are found better in
an enlarged picture: Danish parcels at 10 m have 0.43, fields twice as wide 0.3."""

Place = Tuple[int, int]
"""Row and column of a pixel."""


@dataclass(frozen=True)
class Seed:
    """Where an engine is asked."""

    place: Place
    side: Optional[float] = None
    """How wide the field there is at least, in pixels; None: who knows."""


@dataclass(frozen=True)
class Sight:
    """The encoded tile."""

    segmenter: Segmenter
    embedding: Embedding
    """Of the picture that is asked, enlarged by `zoom`: the date that shows the edges of all dates
    best. To ask each date costs as many times more and finds no more: a date on which neighbours
    look alike is sure that they are one field."""
    zoom: int
    edges: np.ndarray
    """(H, W) float32 0..1, the chance that a field ends at a pixel, on all dates together."""
    reliable: bool = False
    """Whether a mask that the engine is sure of needs no second answer from within. The engine has
    to know fields for that, and they must not be crowded: there the second is often the right
    one."""

    def ask(
        self, seeds: Sequence[Seed], valid: np.ndarray, number: int, spare: bool, monitor: Monitor
    ) -> Iterator[Tuple[Place, List[FieldPiece]]]:
        """The masks of each seed's place, those that are empty left out; the widest seeds first.

        :param valid: (H, W) bool; masks are cut to it.
        :param number: of the round.
        :param spare: leave out seeds within masks that need no second answer.
        :raises Cancelled:
        """
        left = sorted(seeds, key=lambda seed: seed.side or 0.0)
        settled = np.zeros(valid.shape, bool)
        while True:
            part = _next(left, settled)
            if not part:
                return
            prompts = [self._prompt(seed) for seed in part]
            work = partial(self.segmenter.predict, self.embedding, prompts)
            answers = watched(work, monitor)
            for seed, masks, scores in zip(part, answers.masks, answers.scores):
                drawn = (
                    _piece(mask, float(score), self.zoom, valid, number)
                    for mask, score in zip(masks, scores)
                )
                pieces = [piece for piece in drawn if piece is not None]
                best = max(pieces, key=lambda piece: piece.score, default=None)
                if spare and self.reliable and best is not None and best.score >= _SURE_SCORE:
                    settled[best.frame] |= best.mask
                yield seed.place, pieces

    def _prompt(self, seed: Seed) -> Prompts:
        row, col = seed.place
        side = None if seed.side is None else seed.side * self.zoom
        return Prompts.click((col + 0.5) * self.zoom, (row + 0.5) * self.zoom, side)


def _next(left: List[Seed], settled: np.ndarray) -> List[Seed]:
    """Some of the seeds that are left, from the end; those in what is settled are dropped."""
    part: List[Seed] = []
    while left and len(part) < _BATCH:
        seed = left.pop()
        if not settled[seed.place]:
            part.append(seed)
    return part


def look(
    images: Sequence[np.ndarray],
    valid: np.ndarray,
    segmenter: Segmenter,
    zoom: Optional[int],
    monitor: Monitor,
    enlarger: Optional[Enlarger] = None,
    colours: Optional[Sequence[Optional[np.ndarray]]] = None,
) -> Sight:
    """Encode a tile.

    :param images: (H, W, 3) uint8 each, never changed.
    :param colours: for each image (H, W, 6) float32, what is around each pixel, or None; as
        `LocalColours` gives it.
    :param zoom: 1 or 2; None: 2 where fields are small and the engine knows edges.
    :param enlarger: enlarges the tile in any case, by its own factor in place of `zoom`.
    :raises ModelError: the enlarger cannot run here.
    :raises Cancelled:
    """
    around = list(colours or [None] * len(images))
    seen = [_encoded(*each, segmenter, monitor) for each in zip(images, around)]
    edges = [_edges(segmenter, each, image) for each, image in zip(seen, images)]
    fused = _fused(edges)
    knows = known_edges(segmenter, seen[0]) is not None
    if enlarger is not None:
        zoom = enlarger.factor
    elif zoom is None:
        zoom = 2 if knows and edge_share(fused, valid) > _CROWDED else 1
    if zoom > 1:
        views = [_view(image, zoom, enlarger, monitor) for image in images]
        wider = [None if each is None else _repeated(each, zoom) for each in around]
        seen = [_encoded(*each, segmenter, monitor) for each in zip(views, wider)]
        closer = [_edges(segmenter, each, view) for each, view in zip(seen, views)]
        edges += [_reduced(each, zoom) for each in closer]
        fused = _fused(edges)
    clearest = _clearest(edges[-len(images) :], fused, valid)
    return Sight(segmenter, seen[clearest], zoom, fused, knows and zoom == 1)


def _clearest(edges: Sequence[np.ndarray], fused: np.ndarray, valid: np.ndarray) -> int:
    """Which date's edges differ least from those of all dates; the first of equals."""
    return int(np.argmin([np.abs(each - fused)[valid].mean() for each in edges]))


def edge_share(edges: np.ndarray, valid: np.ndarray) -> float:
    """Share of the valid pixels that are rather edge than field, 0..1.

    :param edges: (H, W) float32 0..1.
    :param valid: (H, W) bool; some is True.
    """
    return float((edges[valid] >= _SURE_EDGE).mean())


def gradient_edges(image: np.ndarray) -> np.ndarray:
    """(H, W) float32 0..1: how steep the picture is beside the steepest twentieth of its pixels."""
    smooth = ndimage.gaussian_filter(image.astype(np.float32), (1, 1, 0))
    steps = (ndimage.sobel(smooth, axis=axis) for axis in (0, 1))
    strength = np.sqrt(sum((step**2).sum(axis=2) for step in steps))
    top = float(np.percentile(strength, 95))
    if top <= 0:
        return np.zeros(strength.shape, np.float32)
    return np.clip(strength / top, 0, 1).astype(np.float32)


def _view(
    image: np.ndarray, zoom: int, enlarger: Optional[Enlarger], monitor: Monitor
) -> np.ndarray:
    """(H, W, 3) uint8 -> (zoom H, zoom W, 3) uint8."""
    if enlarger is None:
        return enlarged(image, zoom)
    return enlarged_in_parts(image, enlarger, monitor)


def _encoded(
    image: np.ndarray, colours: Optional[np.ndarray], segmenter: Segmenter, monitor: Monitor
) -> Embedding:
    return watched(partial(encoded, segmenter, image, colours), monitor)


def _repeated(values: np.ndarray, zoom: int) -> np.ndarray:
    """(H, W, k) -> (zoom H, zoom W, k)."""
    return values.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _edges(segmenter: Segmenter, embedding: Embedding, image: np.ndarray) -> np.ndarray:
    known = known_edges(segmenter, embedding)
    return gradient_edges(image) if known is None else known


def _fused(edges: Sequence[np.ndarray]) -> np.ndarray:
    """(H, W) float32: the mean of the logarithms of the odds, as a chance again."""
    inside = [np.clip(each, _MARGIN, 1 - _MARGIN) for each in edges]
    odds = np.mean([np.log(each / (1 - each)) for each in inside], axis=0)
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def _reduced(values: np.ndarray, zoom: int) -> np.ndarray:
    """(zoom H, zoom W) -> (H, W), means."""
    height, width = values.shape[0] // zoom, values.shape[1] // zoom
    return values.reshape(height, zoom, width, zoom).mean(axis=(1, 3))


def _piece(
    mask: np.ndarray, score: float, zoom: int, valid: np.ndarray, number: int
) -> Optional[FieldPiece]:
    """A mask of the enlarged picture as a piece of the tile; None where nothing is left of it."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    top, bottom = rows[0] // zoom, -(-int(rows[-1] + 1) // zoom)
    left, right = cols[0] // zoom, -(-int(cols[-1] + 1) // zoom)
    part = mask[top * zoom : bottom * zoom, left * zoom : right * zoom]
    if zoom > 1:
        part = _reduced(part, zoom) >= 0.5
    return trimmed(part & valid[top:bottom, left:right], score, 1.0, number, int(top), int(left))
