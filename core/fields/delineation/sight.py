"""A tile as an engine sees it: encoded once for each date, asked for fields as often as needed.

Where fields are only some pixels wide, the tile is also looked at enlarged: engines that see with a
fixed stride then find far more of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np
from scipy import ndimage

from ...monitor import Monitor, watched
from ..segmenter import Embedding, Prompts, Segmenter, known_edges
from .pieces import FieldPiece

_BATCH = 8
"""Prompts that are asked together: few enough to stop soon, many enough to be quick."""
_MARGIN = 1e-3
"""Keeps the logarithms of the odds of 0 and 1 finite."""
_SURE_EDGE = 0.5
_CROWDED = 0.37
"""Where a larger share of a tile is edge, edges run into each other and fields are found better in
an enlarged picture: Danish parcels at 10 m have 0.43, fields twice as wide 0.3."""

Place = Tuple[int, int]
"""Row and column of a pixel."""


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

    def ask(
        self, places: Sequence[Place], valid: np.ndarray, number: int, monitor: Monitor
    ) -> Iterator[Tuple[Place, List[FieldPiece]]]:
        """The masks of each place, those that are empty left out.

        :param valid: (H, W) bool; masks are cut to it.
        :param number: of the round.
        :raises Cancelled:
        """
        for start in range(0, len(places), _BATCH):
            part = places[start : start + _BATCH]
            prompts = [self._prompt(place) for place in part]
            work = partial(self.segmenter.predict, self.embedding, prompts)
            answers = watched(work, monitor)
            for place, masks, scores in zip(part, answers.masks, answers.scores):
                found = (
                    _piece(mask, float(score), self.zoom, valid, number)
                    for mask, score in zip(masks, scores)
                )
                yield place, [piece for piece in found if piece is not None]

    def _prompt(self, place: Place) -> Prompts:
        row, col = place
        return Prompts.click((col + 0.5) * self.zoom, (row + 0.5) * self.zoom)


def look(
    images: Sequence[np.ndarray],
    valid: np.ndarray,
    segmenter: Segmenter,
    zoom: Optional[int],
    monitor: Monitor,
) -> Sight:
    """Encode a tile.

    :param images: (H, W, 3) uint8 each, never changed.
    :param zoom: 1 or 2; None: 2 where fields are small and the engine knows edges.
    :raises Cancelled:
    """
    seen = [_encoded(image, segmenter, monitor) for image in images]
    edges = [_edges(segmenter, each, image) for each, image in zip(seen, images)]
    fused = _fused(edges)
    if zoom is None:
        knows = known_edges(segmenter, seen[0]) is not None
        zoom = 2 if knows and edge_share(fused, valid) > _CROWDED else 1
    if zoom > 1:
        views = [enlarged(image, zoom) for image in images]
        seen = [_encoded(view, segmenter, monitor) for view in views]
        closer = [_edges(segmenter, each, view) for each, view in zip(seen, views)]
        edges += [_reduced(each, zoom) for each in closer]
        fused = _fused(edges)
    clearest = _clearest(edges[-len(images) :], fused, valid)
    return Sight(segmenter, seen[clearest], zoom, fused)


def _clearest(edges: Sequence[np.ndarray], fused: np.ndarray, valid: np.ndarray) -> int:
    """Which date's edges differ least from those of all dates; the first of equals."""
    return int(np.argmin([np.abs(each - fused)[valid].mean() for each in edges]))


def edge_share(edges: np.ndarray, valid: np.ndarray) -> float:
    """Share of the valid pixels that are rather edge than field, 0..1.

    :param edges: (H, W) float32 0..1.
    :param valid: (H, W) bool; some is True.
    """
    return float((edges[valid] >= _SURE_EDGE).mean())


def enlarged(image: np.ndarray, zoom: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (zoom H, zoom W, 3) uint8, interpolated between the pixels' centres."""
    wide = ndimage.zoom(
        image.astype(np.float32), (zoom, zoom, 1), order=1, mode="nearest", grid_mode=True
    )
    return np.clip(wide + 0.5, 0, 255).astype(np.uint8)


def gradient_edges(image: np.ndarray) -> np.ndarray:
    """(H, W) float32 0..1: how steep the picture is beside the steepest twentieth of its pixels."""
    smooth = ndimage.gaussian_filter(image.astype(np.float32), (1, 1, 0))
    steps = (ndimage.sobel(smooth, axis=axis) for axis in (0, 1))
    strength = np.sqrt(sum((step**2).sum(axis=2) for step in steps))
    top = float(np.percentile(strength, 95))
    if top <= 0:
        return np.zeros(strength.shape, np.float32)
    return np.clip(strength / top, 0, 1).astype(np.float32)


def _encoded(image: np.ndarray, segmenter: Segmenter, monitor: Monitor) -> Embedding:
    return watched(lambda: segmenter.encode(image), monitor)


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
    return trimmed(part & valid[top:bottom, left:right], int(top), int(left), score, 1.0, number)


def trimmed(
    mask: np.ndarray, row: int, col: int, score: float, stability: float, number: int
) -> Optional[FieldPiece]:
    """A piece without empty rows and columns around it; None where all are empty."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    tight = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].copy()
    return FieldPiece(tight, row + int(rows[0]), col + int(cols[0]), score, stability, number)
