"""What the network is punished for: wrong masks, dishonest scores, missed field edges."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .batches import Batch, inside_cells
from .network import Answers

FIELD = 1
"""Position of the mask that is the field; 0 is a part of it, 2 a block around it."""
_CLOSEST, _SIDE, _SCORE, _RANK, _EDGE = 0.5, 0.5, 1.0, 1.0, 0.5


class Losses(NamedTuple):
    """Parts of the loss, each a number with its weight in it."""

    masks: Tensor
    scores: Tensor
    ranking: Tensor
    edges: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.masks + self.scores + self.ranking + self.edges


def losses(batch: Batch, answers: Answers, boundary: Tensor) -> Losses:
    """All losses of a batch; masks and scores count for n decodes."""
    inside = inside_cells(batch.images.shape[-1], batch.level, batch.origin)
    overlaps = true_overlaps(answers.logits, batch, inside)
    edge = functional.binary_cross_entropy_with_logits(
        boundary[:, 0], batch.edges, weight=batch.edges_known
    )
    return Losses(
        _mask_loss(answers.logits, batch, inside),
        _SCORE * _score_loss(answers.scores, overlaps),
        _RANK * _ranking_loss(answers.scores, overlaps, batch.question),
        _EDGE * edge,
    )


def _mask_loss(logits: Tensor, batch: Batch, inside: Tensor) -> Tensor:
    """The field's mask against the field; the others against part and block, or the closest."""
    to_field = _dissimilarity(logits, batch.truths[:, FIELD : FIELD + 1], inside)
    to_own = _dissimilarity(logits, batch.truths, inside)
    nested = batch.nested.to(logits.dtype)
    closest = to_field.min(1).values
    side = (to_own * nested)[:, (0, 2)].sum(1)
    plain = 1 - nested[:, (0, 2)].amax(1)
    loss = to_field[:, FIELD] + _CLOSEST * plain * closest + _SIDE * side
    # A level whose crop shows only a part of the field cannot be right; it matters less.
    total = batch.truths[:, FIELD].sum((1, 2))
    seen = total / (total + batch.outside[:, FIELD]).clamp(min=1e-3)
    weight = seen.clamp(min=0.2)
    return (loss * weight).sum() / weight.sum()


def _dissimilarity(logits: Tensor, truths: Tensor, inside: Tensor) -> Tensor:
    """(n, MASKS): cross entropy per area and the Dice loss."""
    truths = truths.expand_as(logits)
    area = truths.sum((2, 3))
    entropy = functional.binary_cross_entropy_with_logits(logits, truths, reduction="none")
    entropy = (entropy * inside).sum((2, 3)) / (2 * area + 50)
    mask = torch.sigmoid(logits) * inside
    dice = 1 - (2 * (mask * truths).sum((2, 3)) + 1) / (mask.sum((2, 3)) + area + 1)
    return entropy + dice


@torch.no_grad()
def true_overlaps(logits: Tensor, batch: Batch, inside: Tensor) -> Tensor:
    """(n, MASKS): IoU of each mask with the whole field, also with what lies beyond the crop."""
    masks = (logits > 0).to(logits.dtype) * inside
    field = batch.truths[:, FIELD : FIELD + 1]
    shared = (masks * field).sum((2, 3))
    whole = field.sum((2, 3)) + batch.outside[:, FIELD : FIELD + 1]
    return shared / (masks.sum((2, 3)) + whole - shared).clamp(min=1)


def _score_loss(scores: Tensor, overlaps: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(scores, overlaps)


def _ranking_loss(scores: Tensor, overlaps: Tensor, question: Tensor) -> Tensor:
    """How much IoU is lost by taking masks as their scores say, among all answers to a prompt."""
    known, truth = by_question(scores, question, -1e4), by_question(overlaps, question, 0.0)
    taken = (torch.softmax(2 * known, 1) * truth).sum(1)
    return (truth.amax(1) - taken).mean()


def by_question(values: Tensor, question: Tensor, missing: float) -> Tensor:
    """(n, MASKS) of the decodes -> (prompts, 2 MASKS): all answers to a prompt in one row.

    :param missing: stands where a prompt was decoded at one level only.
    """
    order = torch.argsort(question, stable=True)
    ordered = question[order]
    second = torch.zeros_like(ordered)
    second[1:] = (ordered[1:] == ordered[:-1]).long()
    rows = values.new_full((int(question.max()) + 1, 2, values.shape[1]), missing)
    rows[ordered, second] = values[order]
    return rows.flatten(1)
