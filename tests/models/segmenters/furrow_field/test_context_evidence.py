"""Evenness and contrast of masks in the encoder's features."""

from __future__ import annotations

import numpy as np
import pytest

from furrow.models.segmenters.furrow_field.context_evidence import context_evidence
from furrow.models.segmenters.furrow_field.field_crops import FINE, LEVELS, Decode, View

SIDE = 256
ANCHOR = (100.0, 120.0)


def square_maps(left: int, top: int, size: int) -> dict:
    """One channel that is 1 in a square of pixels, one that is noise everywhere."""
    rng = np.random.default_rng(0)
    maps = {}
    for stride in LEVELS:
        centres = (np.arange(SIDE // stride) + 0.5) * stride
        on = ((centres > left) & (centres < left + size))[None] & (
            (centres > top) & (centres < top + size)
        )[:, None]
        maps[f"context{stride}"] = np.stack([on, rng.normal(size=on.shape)]).astype(np.float16)
    return maps


def drawn(decode: Decode, left: int, top: int, size: int) -> np.ndarray:
    """(1, 1, FINE, FINE): a square of pixels on a crop."""
    x, y = (offset + (np.arange(FINE) + 0.5) * decode.step for offset in decode.offset)
    on = ((x > left) & (x < left + size)) & ((y > top) & (y < top + size))[:, None]
    return on[None, None]


@pytest.mark.parametrize(
    "decode",
    [
        Decode(1, (9, 14)),
        Decode(2, (-4, -1)),
        Decode(1, (0, 0), View((82, 104), (42, 42), 3)),
    ],
)
def test_the_true_field_is_even_and_differs_from_its_surroundings(decode: Decode) -> None:
    left, top, size = 88, 112, 24
    maps = square_maps(left, top, size)
    positive = drawn(decode, left, top, size)
    figures = context_evidence(maps, positive, [decode], np.array([size**2]), ANCHOR)
    assert figures.shape == (1, 4)
    assert figures[0, 0] > 0.85, "difference of the first channel"
    assert figures[0, 2] < 0.35, "deviation of the first channel within"
    assert figures[0, 3] > 0.5, "the noise is not even"


def test_a_leak_is_uneven() -> None:
    decode = Decode(1, (9, 14))
    maps = square_maps(90, 110, 20)
    positive = drawn(decode, 70, 100, 50)
    figures = context_evidence(maps, positive, [decode], np.array([2500.0]), ANCHOR)
    assert figures[0, 0] < 0.5
    assert figures[0, 2] > 0.3


def test_empty_masks_have_no_figures() -> None:
    decode = Decode(1, (9, 14))
    nothing = np.zeros((1, 3, FINE, FINE), bool)
    figures = context_evidence(square_maps(1, 1, 9), nothing, [decode], np.zeros(3), ANCHOR)
    assert figures.shape == (3, 4)
    assert not figures.any()
