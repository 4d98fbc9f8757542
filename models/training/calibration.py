"""Fits what is said of offered masks to how good they are.

The ranker learns the IoU of all candidates of a prompt. Those that are offered are those that it
thinks best of, so what it thinks of them is too much; and more so on pictures unlike its own.
"""

from __future__ import annotations

from typing import Iterator, Sequence, Tuple

import numpy as np
from scipy.optimize import minimize

from ...core.fields.masks import iou
from ..segmenters.furrow_field.field_model import FieldModelSegmenter
from ..segmenters.furrow_field.ranking import calibrated
from .batches import Sources
from .ranking import prompt_of, shown

_TINY = 1e-6


def offered_masks(
    segmenter: FieldModelSegmenter, sources: Sources, size: int, pictures: int, seed: int
) -> np.ndarray:
    """Scores and true IoU of the masks that are offered for single clicks.

    :param size: side of the pictures in pixels.
    :return: (n, 2) float; empty masks are left out.
    """
    rows = [
        row
        for number in range(pictures)
        for row in _on_one(segmenter, sources, size, np.random.default_rng([seed, number]))
    ]
    return np.array(rows).reshape(-1, 2)


def _on_one(
    segmenter: FieldModelSegmenter, sources: Sources, size: int, rng: np.random.Generator
) -> Iterator[Tuple[float, float]]:
    _, embedding, asked = shown(segmenter, sources, size, rng)
    for question in asked:
        prompt = prompt_of(question)
        if prompt.box is not None or len(prompt.points) > 1:
            continue
        answer = segmenter.predict(embedding, [prompt])
        for mask, score in zip(answer.masks[0], answer.scores[0]):
            if mask.any():
                yield float(score), iou(mask, question.truths[1])


def calibration(tables: Sequence[np.ndarray]) -> np.ndarray:
    """Slope and shift for `Ranker.recalibrated`, by logistic regression.

    Each table counts the same, and in each of them a mask counts by its score: who looks at scores
    looks at those of good masks.

    :param tables: (n, 2) each, scores as they are said now and true IoU.
    :return: (2,) float32.
    """

    def loss(line: np.ndarray) -> float:
        return sum(_surprise(table, line) for table in tables)

    return minimize(loss, [1.0, 0.0], method="Nelder-Mead").x.astype(np.float32)


def _surprise(table: np.ndarray, line: np.ndarray) -> float:
    """Mean cross entropy of the true IoU, weighted by the scores."""
    scores, truth = table.T
    said = np.clip(calibrated(scores, line), _TINY, 1 - _TINY)
    entropy = -(truth * np.log(said) + (1 - truth) * np.log(1 - said))
    return float((scores * entropy).sum() / scores.sum())
