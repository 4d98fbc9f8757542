"""Regions of the classical engine in the clothes of the decoder's answers."""

from __future__ import annotations

import numpy as np

from furrow.core.fields.segmenter import Prompts
from furrow.models.segmenters.furrow_field.field_crops import FINE
from furrow.models.segmenters.furrow_field.field_masks import field_mask
from furrow.models.segmenters.furrow_field.region_rivals import region_answers, region_data
from furrow.models.segmenters.regions.classical import ClassicalSegmenter


def chequered(side: int, count: int) -> np.ndarray:
    """(side * count, side * count, 3) uint8: squares of even colours."""
    rng = np.random.default_rng(0)
    colours = rng.integers(30, 220, (count, count, 3))
    noise = rng.normal(0, 3, (side * count, side * count, 3))
    return np.clip(colours.repeat(side, 0).repeat(side, 1) + noise, 0, 255).astype(np.uint8)


def answers(image: np.ndarray, x: float, y: float) -> tuple:
    engine = ClassicalSegmenter()
    data = region_data(engine, image)
    prompt = Prompts.click(x, y)
    direct = engine.predict(engine.encode(image), [prompt])
    decode, found = region_answers(engine, data, image.shape[:2], prompt, 7)
    return prompt, direct, decode, found


def test_a_region_comes_back_as_it_was() -> None:
    image = chequered(30, 6)
    prompt, direct, decode, found = answers(image, 100.5, 70.5)
    for mask, logits in zip(direct.masks[0], found["logits"][0]):
        again, held = field_mask(logits, decode, image.shape[:2], prompt)
        assert held
        assert (again & mask).sum() / (again | mask).sum() > 0.93


def test_scores_are_logits_and_traits_are_empty() -> None:
    _, direct, _, found = answers(chequered(30, 6), 10.5, 20.5)
    assert found["logits"].shape == (1, 3, FINE, FINE)
    assert found["traits"].shape == (1, 3, 7)
    assert not found["traits"].any()
    back = 1 / (1 + np.exp(-found["scores"][0]))
    np.testing.assert_allclose(back, np.clip(direct.scores[0], 1e-3, 1 - 1e-3), rtol=1e-4)


def test_an_image_without_regions_has_empty_masks() -> None:
    _, _, _, found = answers(np.full((70, 90, 3), 90, np.uint8), 20, 20)
    assert np.isfinite(found["scores"]).all()
