"""The three masks of a prompt that are offered, of all that the field model has for it."""

from __future__ import annotations

from typing import List, Optional, Tuple

import numpy as np

from ....core.fields.segmenter import Prompts
from .blending import blended
from .candidates import Candidates
from .corrections import corrected
from .field_masks import field_mask, field_of
from .selection import obeyed, outlined_whole, pick, seen_by_network

MASKS_PER_PROMPT = 3
_AHEAD = 0.01
"""By how much a whole field is put before the piece of it that seemed best."""
_NOT_HELD = 0.5
"""Factor on the score of a mask that does not hold the prompt's anchor."""

Offer = Tuple[np.ndarray, np.ndarray]
"""(3, H, W) bool from fine to coarse, (3,) scores."""


def offered(
    candidates: Candidates, expected: np.ndarray, shape: Tuple[int, int], prompt: Prompts
) -> Offer:
    """Three masks for a prompt; what those nearly as good say changes the rim of the best.

    :param expected: (m,) float 0..1, the IoU with the wanted field that each may have.
    :param shape: height and width of the image in pixels.
    """
    scores = _said(candidates, expected)
    whole = None if prompt.box is not None else _whole(candidates, scores)
    # Who knows a least side, as scenes do, brings masks to the edges around: a vote blurs them.
    votes = whole is None and prompt.side is None
    if whole is not None:
        scores[whole] = scores.max() + _AHEAD
    masks = np.zeros((MASKS_PER_PROMPT, *shape), dtype=bool)
    final = np.zeros(MASKS_PER_PROMPT)
    for place, k in enumerate(_picked(candidates, scores, prompt)):
        if place == 0 and votes and scores[k] > 0:
            masks[place], held = field_of(*blended(candidates, scores, shape), shape, prompt)
        else:
            masks[place], held = field_mask(
                candidates.logits[k], candidates.decodes[k], shape, prompt
            )
        final[place] = scores[k] * (1 if held else _NOT_HELD)
    areas = masks.sum(axis=(1, 2))
    return _fine_to_coarse(masks, np.where(areas > 0, final, 0))


def corrected_whole(
    candidates: Candidates, expected: np.ndarray, shape: Tuple[int, int], prompt: Prompts
) -> Optional[np.ndarray]:
    """The whole field that answers a prompt's first click, as its other points correct it.

    :param candidates: for the first click alone.
    :param expected: (m,) float 0..1, as for `offered`.
    :return: (H, W) bool; None where the first click is answered otherwise, or where the others mean
        another field.
    """
    whole = _whole(candidates, _said(candidates, expected))
    if whole is None:
        return None
    click = Prompts.click(*prompt.anchor)
    mask, _ = field_mask(candidates.logits[whole], candidates.decodes[whole], shape, click)
    return corrected(mask, prompt.points, prompt.foreground)


def put_first(mask: np.ndarray, masks: np.ndarray, scores: np.ndarray) -> Offer:
    """A mask with the highest score in place of the one with the lowest.

    :param mask: (H, W) bool.
    :param masks: (3, H, W) bool.
    :param scores: (3,).
    """
    masks, scores = masks.copy(), scores.copy()
    best, worst = min(float(scores.max()) + _AHEAD, 1.0), int(np.argmin(scores))
    masks[worst], scores[worst] = mask, best
    return _fine_to_coarse(masks, scores)


def _fine_to_coarse(masks: np.ndarray, scores: np.ndarray) -> Offer:
    order = np.argsort(masks.sum(axis=(1, 2)), kind="stable")
    return masks[order], scores[order]


def _said(candidates: Candidates, expected: np.ndarray) -> np.ndarray:
    """(m,) scores after what the user has said; empty masks have none."""
    scores = obeyed(expected, candidates.missed, candidates.box_fit)
    return np.where(candidates.area > 0, scores, 0)


def _whole(candidates: Candidates, scores: np.ndarray) -> Optional[int]:
    """Position of the region that the best mask is only a piece of; None where there is none."""
    seen = seen_by_network(candidates.similarity, candidates.region)
    possible = candidates.region & ~candidates.missed & seen
    return outlined_whole(scores, candidates.area, possible, candidates.edges)


def _picked(candidates: Candidates, scores: np.ndarray, prompt: Prompts) -> List[int]:
    """Positions of the candidates that are offered."""
    says_where_alone = prompt.box is None and len(prompt.points) == 1
    regions = candidates.region & says_where_alone
    return pick(scores, candidates.similarity, candidates.area, regions, MASKS_PER_PROMPT)
