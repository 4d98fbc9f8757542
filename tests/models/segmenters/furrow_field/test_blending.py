"""The vote of good masks about a rim."""

from __future__ import annotations

from typing import Optional

import numpy as np
import pytest

from furrow.core.fields.segmenter import Prompts
from furrow.models.segmenters.furrow_field.blending import blended
from furrow.models.segmenters.furrow_field.candidates import Candidates
from furrow.models.segmenters.furrow_field.edge_evidence import MEASURES
from furrow.models.segmenters.furrow_field.field_crops import FINE, Decode
from furrow.models.segmenters.furrow_field.offers import offered

SHAPE = (64, 64)
SURE = 8.0


def square(side: int, at: int = 20) -> np.ndarray:
    """(FINE, FINE) logits of a square; a fine cell of level 0 is a pixel."""
    logits = np.full((FINE, FINE), -SURE, np.float32)
    logits[at : at + side, at : at + side] = SURE
    return logits


def candidates(*logits: np.ndarray, level: int = 0) -> Candidates:
    count = len(logits)
    nothing = np.zeros((count, 1), np.float32)
    return Candidates(
        decodes=(Decode(level, (0, 0)),) * count,
        logits=np.stack(logits),
        scores=np.full(count, 0.5, np.float32),
        traits=np.ones((count, 1), np.float32),
        stride=np.full(count, 2.0),
        area=np.array([(each > 0).sum() for each in logits], float),
        similarity=np.eye(count, dtype=np.float32),
        missed=np.zeros(count, bool),
        box_fit=np.ones(count),
        edges=np.zeros((count, MEASURES), np.float32),
        context=nothing,
    )


def area(masks: Candidates, *scores: float) -> int:
    mask, (rows, columns) = blended(masks, np.array(scores), SHAPE)
    assert mask.shape == (rows.stop - rows.start, columns.stop - columns.start)
    return int(mask.sum())


def test_most_of_the_equally_good_decide() -> None:
    masks = candidates(square(20), square(10), square(10))
    assert area(masks, 0.8, 0.8, 0.8) == 100
    assert area(candidates(square(10), square(20), square(20)), 0.8, 0.8, 0.8) == 400


def test_a_mask_that_is_plainly_the_best_decides_alone() -> None:
    masks = candidates(square(20), square(10), square(10))
    assert area(masks, 0.8, 0.6, 0.6) == 400
    assert area(masks, 0.8, 0.0, 0.0) == 400


def test_the_mask_lies_where_the_best_does() -> None:
    masks = candidates(square(10, 5), square(10, 40))
    mask, (rows, columns) = blended(masks, np.array([0.5, 0.9]), SHAPE)
    image = np.zeros(SHAPE, bool)
    image[rows, columns] = mask
    assert image[40:50, 40:50].all() and image.sum() == 100


@pytest.mark.parametrize("scores", [(0.8, 0.8), (0.8, 0.1)])
def test_empty_masks_do_not_matter(scores: tuple) -> None:
    empty = np.full((FINE, FINE), -SURE, np.float32)
    assert area(candidates(empty, empty), *scores) == 0
    assert area(candidates(square(12), empty), *scores) in (0, 144)
    assert area(candidates(square(12), empty), 0.8, 0.0) == 144


def test_a_crop_that_reaches_beyond_the_image() -> None:
    masks = candidates(square(30, 30), square(30, 30), level=1)
    mask, (rows, columns) = blended(masks, np.array([0.7, 0.7]), SHAPE)
    assert mask.any() and rows.stop <= 64 and columns.stop <= 64


@pytest.mark.parametrize(("side", "pixels"), [(None, 100), (9.0, 400)])
def test_masks_of_scenes_are_not_voted_on(side: Optional[float], pixels: int) -> None:
    masks = candidates(square(20), square(10), square(10))
    prompt = Prompts.click(25.5, 25.5, side)
    found, scores = offered(masks, np.array([0.81, 0.8, 0.8]), SHAPE, prompt)
    assert found[int(scores.argmax())].sum() == pixels
