"""Edges along and within masks."""

from __future__ import annotations

import numpy as np
import pytest

from furrow.models.segmenters.furrow_field.edge_evidence import MEASURES, edge_evidence
from furrow.models.segmenters.furrow_field.field_crops import FINE, Decode

SHAPE = (300, 280)


def square(decode: Decode, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """(1, 1, FINE, FINE): the fine cells whose centres lie in a rectangle of pixels."""
    centres = (np.arange(FINE) + 0.5) * decode.step
    x, y = decode.offset[0] + centres, decode.offset[1] + centres
    inside = (x > left) & (x < right) & ((y > top) & (y < bottom))[:, None]
    return inside[None, None]


def field_edges(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """(H / 2, W / 2) chances: 1 in the cells just inside a rectangle of pixels, else 0."""
    chances = np.zeros((SHAPE[0] // 2, SHAPE[1] // 2), np.float32)
    chances[top // 2 : bottom // 2, left // 2 : right // 2] = 1
    chances[top // 2 + 1 : bottom // 2 - 1, left // 2 + 1 : right // 2 - 1] = 0
    return chances


@pytest.mark.parametrize("level", range(4))
def test_the_true_outline_has_edges_and_nothing_within(level: int) -> None:
    step = 2**level
    decode = Decode(level, (64 // (2 * step) - 8, 64 // (2 * step) - 8))
    box = (64, 64, 64 + 32 * step // 2, 64 + 32 * step // 2) if level < 3 else (64, 64, 192, 192)
    figures = edge_evidence(field_edges(*box), square(decode, *box), [decode], SHAPE)[0]
    mean, weakest, missing, within, strongest = figures
    assert mean > 0.9
    assert weakest == 1
    assert missing < 0.1
    assert within == strongest == 0


def test_a_leak_is_a_stretch_without_an_edge() -> None:
    decode = Decode(1, (0, 0))
    chances = field_edges(20, 20, 60, 60)
    true = edge_evidence(chances, square(decode, 20, 20, 60, 60), [decode], SHAPE)[0]
    leaking = edge_evidence(chances, square(decode, 20, 20, 90, 60), [decode], SHAPE)[0]
    assert true[2] < 0.05
    assert leaking[2] > 0.4
    assert leaking[4] == 1, "the edge that it runs over lies within"


def test_there_is_no_outline_where_the_image_ends() -> None:
    decode = Decode(0, (-8, -8))
    chances = field_edges(0, 0, 24, 24)
    chances[0, :] = chances[:, 0] = 0
    figures = edge_evidence(chances, square(decode, -50, -50, 24, 24), [decode], SHAPE)[0]
    assert figures[2] < 0.1


def test_empty_masks_have_no_figures() -> None:
    decode = Decode(0, (0, 0))
    nothing = np.zeros((1, 3, FINE, FINE), bool)
    figures = edge_evidence(field_edges(0, 0, 20, 20), nothing, [decode], SHAPE)
    assert figures.shape == (3, MEASURES)
    assert not figures.any()
