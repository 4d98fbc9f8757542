# ruff: noqa: E402 (what needs torch is imported only where it is there)
"""Fitting the ranker finds what tells good masks from bad ones."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch: make test")

from furrow.models.segmenters.furrow_field.field_model import WEIGHTS
from furrow.models.training.batches import Sources
from furrow.models.training.ranking import Judged, fit, judged, quality
from furrow.models.training.scene_pool import ScenePool
from furrow.models.training.scenes import generate


def made_up(count: int, seed: int) -> Judged:
    """Six masks each; the second feature tells how good a mask is, the first is misleading."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, 6, 5)).astype(np.float32)
    overlaps = 1 / (1 + np.exp(-values[..., 1] + 0.5 * values[..., 2]))
    overlaps[:, 4:] = np.where(rng.random((count, 1)) < 0.3, -1, overlaps[:, 4:])
    values[..., 0] = -values[..., 1] + rng.normal(size=(count, 6))
    return Judged(values, overlaps.astype(np.float32), rng.random(count) < 0.5)


def test_it_learns_to_choose_and_to_be_honest() -> None:
    known, unseen = made_up(600, 0), made_up(200, 1)
    ranker = fit(known, np.ones(600), steps=400)
    taken, best = quality(ranker, unseen)
    misled, _ = quality(None, unseen)
    assert taken > best - 0.02
    assert misled < best - 0.2
    there = unseen.overlaps >= 0
    error = np.abs(ranker.scores(unseen.features[there]) - unseen.overlaps[there])
    assert error.mean() < 0.07


def test_candidates_of_simulated_prompts_are_judged_by_the_truth() -> None:
    scene = generate(5, 256)
    labels = np.stack([scene.parts, scene.fields, scene.blocks])[None].astype(np.int16)
    sources = Sources((ScenePool(scene.image[None], labels),), (), np.zeros(0), 0.0)
    data = judged(WEIGHTS, sources, 2, 0)
    assert len(data.features) == len(data.overlaps) >= 2
    assert not data.real.any()
    assert data.overlaps.max() <= 1
    # The network is better than chance: its best candidate mostly overlaps the field.
    assert np.median(data.overlaps.max(axis=1)) > 0.3
    two = Judged.joined([data, data])
    assert len(two.features) == 2 * len(data.features)
