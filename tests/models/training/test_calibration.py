# ruff: noqa: E402 (what needs torch is imported only where it is there)
"""What is said of offered masks comes to be what is true of them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch: make test")

from furrow.models.segmenters.furrow_field.field_model import WEIGHTS, FieldModelSegmenter
from furrow.models.segmenters.odds import chance, log_odds
from furrow.models.training.batches import Sources
from furrow.models.training.calibration import calibration, offered_masks
from furrow.models.training.scene_pool import ScenePool
from furrow.models.training.scenes import generate


def boasting(slope: float, shift: float, seed: int) -> np.ndarray:
    """Scores of masks whose true IoU is lower, on average by a known rule."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.05, 0.98, 4000)
    truth = chance(slope * log_odds(scores, 1e-3) + shift)
    return np.stack([scores, np.clip(truth + rng.normal(0, 0.03, 4000), 0, 1)], axis=1)


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.6, -0.2), (1.3, 0.4)])
def test_the_rule_is_found(slope: float, shift: float) -> None:
    found = calibration([boasting(slope, shift, 0), boasting(slope, shift, 1)[:500]])
    assert found == pytest.approx([slope, shift], abs=0.03)


def test_each_table_counts_the_same() -> None:
    many, few = boasting(1.0, 0.0, 0), boasting(1.0, -1.0, 1)[:400]
    assert calibration([many, few])[1] == pytest.approx(-0.5, abs=0.1)


def test_masks_are_compared_with_the_field() -> None:
    scene = generate(5, 256)
    labels = np.stack([scene.parts, scene.fields, scene.blocks])[None].astype(np.int16)
    sources = Sources((ScenePool(scene.image[None], labels),), (), np.zeros(0), 0.0)
    segmenter = FieldModelSegmenter(WEIGHTS, 1, thorough=False)
    table = offered_masks(segmenter, sources, 256, 3, 0)
    assert len(table) >= 6 and ((table >= 0) & (table <= 1)).all()
    good = table[:, 0] > np.median(table[:, 0])
    assert table[good, 1].mean() > table[~good, 1].mean()
