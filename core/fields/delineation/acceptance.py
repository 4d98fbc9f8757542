"""Which of the masks that an engine offers become fields: the best first, never two on a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np
from scipy import ndimage

from ..masks import iou_in_place
from .edge_regions import EdgeRegions
from .options import DelineationOptions
from .pieces import FieldPiece, trimmed
from .sight import Place

_RAW_MASK = 0.7
"""Factor on the worth of a mask beside that of a region, which ends where edges are: a region is
taken where it shares more than this with the mask."""
_LEAST_WORTH = 0.15
_INNER_POWER = 0.25
_FRAGMENT = 0.2
"""What is left of a mask falls apart; parts below this share of the mask are crumbs."""
_RIM = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Candidate:
    """A field that may be."""

    worth: float
    """What comes first: the higher, the better."""
    piece: Optional[FieldPiece] = None
    node: int = -1
    """Of the tree of regions, where there is no piece."""


class Support:
    """What all answers so far say for each region: grows with each round."""

    def __init__(self, regions: EdgeRegions) -> None:
        count = len(regions.size)
        self._regions = regions
        self.score = np.zeros(count)
        """IoU with a true field to expect: highest product of a mask's score and likeness."""
        self._alike, self._asked = np.zeros(count), np.zeros(count)

    def add(self, place: Place, pieces: Sequence[FieldPiece]) -> None:
        """Take in the answers of one place."""
        if not pieces:
            return
        alike = np.stack([self._likeness(piece) for piece in pieces])
        scores = np.array([piece.score for piece in pieces])[:, None]
        self.score = np.maximum(self.score, (alike * scores).max(axis=0))
        above = self._regions.above(*place)
        self._alike[above] += alike.max(axis=0)[above]
        self._asked[above] += 1

    def _likeness(self, piece: FieldPiece) -> np.ndarray:
        """(nodes,) IoU of each region with a piece."""
        shared = self._regions.shared(piece)
        return shared / (self._regions.size + piece.pixels - shared)

    @property
    def stability(self) -> np.ndarray:
        """(nodes,) mean over the places within of the best IoU with a mask from there."""
        return self._alike / np.maximum(self._asked, 1)


def region_candidates(
    regions: EdgeRegions, support: Support, done: np.ndarray, limit: float, least: int
) -> Iterator[Candidate]:
    """Regions of which enough is left.

    :param done: (H, W) bool.
    :param limit: share of the valid pixels found already from which on a region is left out.
    """
    worth = support.score * regions.outline * (1 - regions.within) ** _INNER_POWER
    found = regions.sums(np.bincount(regions.ranks[done], minlength=regions.leaves))
    free = (regions.size >= least) & (found < limit * regions.size) & (worth >= _LEAST_WORTH)
    for node in np.flatnonzero(free):
        yield Candidate(float(worth[node]), node=int(node))


def mask_worth(piece: FieldPiece, edges: np.ndarray) -> float:
    """What a mask is worth beside regions: its score and the edge along its outline."""
    height, width = piece.mask.shape
    frame = np.pad(piece.mask, 1)
    rim = ndimage.binary_dilation(frame, _RIM) & ~ndimage.binary_erosion(frame, _RIM)
    top, left = max(piece.row - 1, 0), max(piece.col - 1, 0)
    seen = edges[top : piece.row + height + 1, left : piece.col + width + 1]
    row, col = top - piece.row + 1, left - piece.col + 1
    known = rim[row : row + seen.shape[0], col : col + seen.shape[1]]
    return _RAW_MASK * piece.score * (float(seen[known].mean()) if known.any() else 0.0)


Answers = Sequence[Tuple[Place, List[FieldPiece]]]
"""What an engine said at some places."""


def mask_candidates(answers: Answers, edges: np.ndarray, least_score: float) -> Iterator[Candidate]:
    """The masks themselves.

    :param edges: (H, W) float32 0..1.
    :param least_score: masks with a lower score are left out.
    """
    for _, pieces in answers:
        for piece in pieces:
            if piece.score >= least_score:
                yield Candidate(mask_worth(piece, edges), piece)


def agreement(piece: FieldPiece, answers: Answers) -> float:
    """Mean over the other places within a mask of its best IoU with a mask from there.

    :return: 1 where nobody asked at another place within.
    """
    likeness = []
    for (row, col), others in answers:
        own = any(piece is other for other in others)
        if not own and holds(piece, row, col):
            likeness.append(max((overlap(piece, other) for other in others), default=0.0))
    return float(np.mean(likeness)) if likeness else 1.0


def holds(piece: FieldPiece, row: int, col: int) -> bool:
    """Whether a pixel belongs to a piece."""
    height, width = piece.mask.shape
    row, col = row - piece.row, col - piece.col
    return 0 <= row < height and 0 <= col < width and bool(piece.mask[row, col])


def overlap(one: FieldPiece, other: FieldPiece) -> float:
    """IoU of two pieces."""
    return iou_in_place(one.mask, (one.row, one.col), other.mask, (other.row, other.col))


class Acceptance:
    """Candidates become fields as long as enough of them is free."""

    def __init__(
        self,
        regions: EdgeRegions,
        valid: np.ndarray,
        options: DelineationOptions,
    ) -> None:
        self.done = np.zeros(valid.shape, bool)
        """(H, W) bool: the pixels of all fields."""
        self.support = Support(regions)
        self._regions, self._valid, self._options = regions, valid, options

    def take(self, answers: Answers, edges: np.ndarray, number: int) -> List[FieldPiece]:
        """The fields that a round adds.

        :param answers: of the round.
        :param edges: (H, W) float32 0..1.
        :param number: of the round.
        """
        options, limit = self._options, self._options.overlap_limit(number)
        candidates = list(mask_candidates(answers, edges, options.pred_iou))
        if options.regions:
            for place, pieces in answers:
                self.support.add(place, pieces)
            candidates += region_candidates(
                self._regions, self.support, self.done, limit, options.least_pixels
            )
        taken: List[FieldPiece] = []
        for candidate in sorted(candidates, key=lambda each: -each.worth):
            piece = candidate.piece or self._drawn(candidate.node, number)
            if piece is None or not self._is_free(piece, limit):
                continue
            stable = self._stability(candidate, answers)
            if stable >= options.stability:
                taken += self._parts(piece, stable)
        return taken

    def _drawn(self, node: int, number: int) -> Optional[FieldPiece]:
        top, left, mask = self._regions.draw(node)
        valid = self._valid[top : top + mask.shape[0], left : left + mask.shape[1]]
        return trimmed(mask & valid, float(self.support.score[node]), 1.0, number, top, left)

    def _free(self, piece: FieldPiece) -> np.ndarray:
        """(h, w) bool: what of a piece no field has yet."""
        return piece.mask & ~self.done[piece.frame]

    def _is_free(self, piece: FieldPiece, limit: float) -> bool:
        whole, free = piece.pixels, int(np.count_nonzero(self._free(piece)))
        return free >= self._options.least_pixels and whole - free < max(limit * whole, 1)

    def _stability(self, candidate: Candidate, answers: Answers) -> float:
        if candidate.piece is None:
            return float(self.support.stability[candidate.node])
        return agreement(candidate.piece, answers)

    def _parts(self, piece: FieldPiece, stable: float) -> Iterator[FieldPiece]:
        """What is free of a piece, each 4-connected part for itself; then it is done."""
        free = self._free(piece)
        labels, _ = ndimage.label(free)
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        least = max(self._options.least_pixels, _FRAGMENT * piece.pixels)
        for label in np.flatnonzero(sizes >= least):
            part = trimmed(labels == label, piece.score, stable, piece.round, piece.row, piece.col)
            if part is not None:
                self.done[part.frame] |= part.mask
                yield part
