"""Large fields that look mixed are looked at again, each in its own picture (specification B2, B5).

A field that was found on a whole tile may hold several: their borders show once it fills the
picture. The smaller fields take the place of the large one where they cover most of it; what is
left of it goes to them or, where it is large enough, stays a field. So fields never overlap and
no pixel is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import List, Optional, Sequence, Tuple

import numpy as np
from scipy import ndimage

from ...monitor import SILENT, Monitor
from ..edges import EdgeLimits
from ..segmenter import Segmenter
from .field_measures import FieldMeasures, field_measures, scene_median
from .pieces import FieldPiece, TileFields, label_raster
from .rounds import DelineationOptions, delineate_tile

_SCENE = 10
"""Fewer fields are no scene to compare a field with: its edges alone count."""
_SLIVER = np.ones((3, 3), dtype=bool)
"""What of a rest is nowhere as wide as this is a sliver."""


@dataclass(frozen=True)
class RefinementOptions:
    """Which fields are looked at again, and when they are split."""

    edge_ratio: float = 0.15
    """Fields with a larger share of their edges inside look mixed ..."""
    entropy: Optional[float] = None
    """... if their entropy in bits is larger than this; None: than that of the scene by far."""
    entropy_above: float = 0.5
    """How far, in bits."""
    doubtful: float = 0.5
    """Fields that the engine expected a lower IoU of are looked at again, too."""
    least_share: float = 0.01
    """Of the picture: fields that are no larger are not looked at again."""
    least_size: int = 150
    """The same in pixels; in smaller fields an edge is never far from the outline."""
    margin: float = 0.1
    """Of the field's extent: what is shown around it."""
    side: int = 256
    """Pixels: smaller pictures are enlarged to about this side ..."""
    most_enlarged: int = 4
    """... but at most so many times."""
    coverage: float = 0.6
    """Share of a field that smaller ones must cover to take its place."""
    duplicate: float = 0.9
    """A smaller field that covers more than this share is the large one found again."""
    least_score: float = 0.5
    """Smaller fields of which the engine expects a lower IoU do not count."""
    certainty: float = 0.6
    """The IoU expected of those that count, by area, what they do not cover as 0: at least this ...
    """
    gain: float = 0.15
    """... and so much more than that of the large field, where it has a score."""
    part_share: float = 0.25
    """Parts smaller than this share of what the middle pixel lies in go to what is beside them."""
    least_pixels: int = 20
    """Smaller pieces go to the fields beside them."""
    limits: EdgeLimits = EdgeLimits()
    delineation: DelineationOptions = field(default_factory=DelineationOptions)

    @classmethod
    def reference(cls) -> RefinementOptions:
        """The constants of the reference system (specification B2): whatever covers is taken."""
        return cls(
            edge_ratio=0.4,
            entropy=6.0,
            doubtful=0.0,
            least_score=0.0,
            certainty=0.0,
            gain=-1.0,
            part_share=0.0,
            least_pixels=50,
            delineation=DelineationOptions.reference(),
        )


@dataclass(frozen=True)
class Children:
    """The fields that one field was split into."""

    labels: np.ndarray
    """(h, w) int32: 1..k within the field, 0 beside it; every pixel of the field has one."""
    scores: Tuple[float, ...]
    """k values 0..1; NaN for what is left of the field itself."""
    stabilities: Tuple[float, ...]


def refined_pieces(
    fields: TileFields,
    images: Sequence[np.ndarray],
    valid: np.ndarray,
    segmenter: Segmenter,
    options: RefinementOptions = RefinementOptions(),
    monitor: Monitor = SILENT,
) -> TileFields:
    """Fields of one tile after those that look mixed were looked at again.

    :param images: one to four (H, W, 3) uint8, dates on the same grid; never changed.
    :param valid: (H, W) bool: pixels with data.
    :return: the same pixels in more pieces, rounds and residual as they were.
    :raises Cancelled:
    """
    labels = label_raster(fields.pieces, valid.shape)
    measures = field_measures(images, labels, valid, options.limits, len(fields.pieces))
    scores = np.array([piece.score for piece in fields.pieces])
    least = max(options.least_share * valid.size, options.least_size)
    chosen = to_be_refined(measures, scores, options) & (measures.pixels > least)
    pieces: List[FieldPiece] = []
    for done, piece in enumerate(fields.pieces):
        monitor.check()
        if not chosen[done]:
            pieces.append(piece)
            continue
        pieces += _refined(piece, images, segmenter, options, monitor)
        monitor.progress((done + 1) / len(fields.pieces))
    return replace(fields, pieces=tuple(pieces))


def to_be_refined(
    measures: FieldMeasures, scores: np.ndarray, options: RefinementOptions
) -> np.ndarray:
    """(n,) bool: fields of one scene that look as if they were several.

    :param scores: (n,) 0..1, the IoU that the engine expects; NaN where it is not known.
    """
    mixed = measures.edge_ratio > options.edge_ratio
    if options.entropy is not None:
        mixed &= measures.entropy > options.entropy
    elif len(scores) >= _SCENE:
        middle = scene_median(measures.entropy, measures.pixels)
        mixed &= measures.entropy > middle + options.entropy_above
    return mixed | (scores < options.doubtful)


def children_of(
    parent: np.ndarray,
    score: float,
    images: Sequence[np.ndarray],
    segmenter: Segmenter,
    options: RefinementOptions = RefinementOptions(),
    monitor: Monitor = SILENT,
) -> Optional[Children]:
    """The fields that a field is split into; None where it stays whole.

    :param parent: (h, w) bool, with what is around it.
    :param score: 0..1, the IoU that the engine expects of it; NaN where it is not known.
    :param images: one to four (h, w, 3) uint8, dates on the same grid; never changed.
    :raises Cancelled:
    """
    found = _found(parent, images, segmenter, options, monitor)
    found = _counted(found, parent, options)
    if not _replaces(found, parent, score, options):
        return None
    labels = _shared_out(found, parent, options)
    numbers = np.unique(labels[parent])
    if len(numbers) < 2:
        return None
    known = [k - 1 if k <= len(found.scores) else None for k in numbers]
    return Children(
        np.where(parent, np.searchsorted(numbers, labels) + 1, 0).astype(np.int32),
        tuple(np.nan if k is None else found.scores[k] for k in known),
        tuple(np.nan if k is None else found.stabilities[k] for k in known),
    )


def around(
    row: int, col: int, height: int, width: int, shape: Tuple[int, int], margin: float
) -> Tuple[slice, slice]:
    """Rows and columns of an extent with its margin, cut at the picture."""
    down, right = int(np.ceil(margin * height)), int(np.ceil(margin * width))
    return (
        slice(max(row - down, 0), min(row + height + down, shape[0])),
        slice(max(col - right, 0), min(col + width + right, shape[1])),
    )


def _refined(
    piece: FieldPiece,
    images: Sequence[np.ndarray],
    segmenter: Segmenter,
    options: RefinementOptions,
    monitor: Monitor,
) -> List[FieldPiece]:
    """The pieces that take the place of one, or the piece itself."""
    height, width = piece.mask.shape
    place = around(piece.row, piece.col, height, width, images[0].shape[:2], options.margin)
    rows, cols = place
    parent = np.zeros((rows.stop - rows.start, cols.stop - cols.start), dtype=bool)
    top, left = piece.row - rows.start, piece.col - cols.start
    parent[top : top + height, left : left + width] = piece.mask
    shown = [image[place] for image in images]
    children = children_of(parent, piece.score, shown, segmenter, options, monitor)
    if children is None:
        return [piece]
    found = []
    for k, (own_rows, own_cols) in enumerate(ndimage.find_objects(children.labels)):
        score, stability = children.scores[k], children.stabilities[k]
        known = not np.isnan(score)
        found.append(
            FieldPiece(
                children.labels[own_rows, own_cols] == k + 1,
                rows.start + own_rows.start,
                cols.start + own_cols.start,
                score if known else piece.score,
                stability if known else piece.stability,
                piece.round,
                refined=True,
            )
        )
    return found


def _found(
    parent: np.ndarray,
    images: Sequence[np.ndarray],
    segmenter: Segmenter,
    options: RefinementOptions,
    monitor: Monitor,
) -> Children:
    """The fields that the engine sees within one; pixels that belong to none have label 0."""
    factor = max(1, min(options.most_enlarged, options.side // max(parent.shape)))
    wanted = parent.repeat(factor, axis=0).repeat(factor, axis=1)
    how = replace(options.delineation, least_pixels=options.least_pixels * factor**2)
    shown = [_enlarged(image, factor) for image in images]
    pieces = delineate_tile(shown, wanted, segmenter, how, monitor).pieces
    half = factor // 2
    labels = label_raster(pieces, wanted.shape)[half::factor, half::factor]
    sizes = np.bincount(labels.ravel())
    labels = np.where(parent & (sizes[labels] >= options.least_pixels), labels, 0)
    return Children(
        labels, tuple(piece.score for piece in pieces), tuple(piece.stability for piece in pieces)
    )


def _enlarged(image: np.ndarray, factor: int) -> np.ndarray:
    """(h, w, 3) uint8 -> (factor h, factor w, 3) uint8; pixel centres stay where they are."""
    if factor == 1:
        return image
    zoom = (factor, factor, 1)
    large = ndimage.zoom(
        image.astype(np.float32), zoom, order=3, mode="nearest", grid_mode=True
    )
    return np.clip(np.rint(large), 0, 255).astype(np.uint8)


def _counted(found: Children, parent: np.ndarray, options: RefinementOptions) -> Children:
    """Without smaller fields that the engine is not sure of, and without slivers."""
    sizes = _sizes(found, parent)
    counts = (np.array(found.scores) >= options.least_score) & (sizes > 0)
    least = options.part_share * scene_median(sizes[counts], sizes[counts])
    counts &= sizes >= least
    return replace(found, labels=np.where(np.append(False, counts)[found.labels], found.labels, 0))


def _replaces(
    found: Children, parent: np.ndarray, score: float, options: RefinementOptions
) -> bool:
    """Whether smaller fields cover enough of a field, none nearly all of it, and are better."""
    whole, sizes = np.count_nonzero(parent), _sizes(found, parent)
    if not sizes.any():
        return False
    expected = float(sizes @ np.array(found.scores)) / whole
    return (
        sizes.sum() >= options.coverage * whole
        and sizes.max() <= options.duplicate * whole
        and expected >= options.certainty
        and not expected < score + options.gain  # which NaN never is
    )


def _sizes(found: Children, parent: np.ndarray) -> np.ndarray:
    """Pixels of each of the smaller fields."""
    return np.bincount(found.labels[parent], minlength=len(found.scores) + 1)[1:]


def _shared_out(found: Children, parent: np.ndarray, options: RefinementOptions) -> np.ndarray:
    """Labels of all pixels of a field.

    What is left of the field and large enough gets labels of its own, larger than all others;
    slivers go to what is beside them.
    """
    labels, last, own = found.labels, len(found.scores), _sizes(found, parent)
    pieces, _ = ndimage.label(ndimage.binary_opening(parent & (labels == 0), _SLIVER))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    least = max(options.least_pixels, options.part_share * scene_median(own, own))
    kept = np.where(sizes >= least, np.arange(len(sizes)) + last, 0)
    labels = _grown(np.where(labels > 0, labels, kept[pieces]), parent)
    # Parts of the field that no label reaches are fields of their own.
    apart, _ = ndimage.label(parent & (labels == 0))
    return np.where(apart > 0, apart + max(int(labels.max()), last), labels)


def _grown(labels: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Labels spread step by step between 4-neighbours until they fill what they reach of a mask."""
    while True:
        around = np.pad(labels, 1)
        spread = labels
        for moved in (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]):
            spread = np.where((spread == 0) & within, moved, spread)
        if (spread == labels).all():
            return labels
        labels = spread
