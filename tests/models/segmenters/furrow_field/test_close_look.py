"""Enlarged views: where they lie, what they show, and that masks come back to the image."""

from __future__ import annotations

import numpy as np
import pytest

from furrow.core.fields.segmenter import Prompts
from furrow.models.segmenters.furrow_field.close_look import (
    CLOSER_LOOKS,
    close_decodes,
    enlarged,
    view_around,
)
from furrow.models.segmenters.furrow_field.field_crops import FINE, GRID, decoder_inputs
from furrow.models.segmenters.furrow_field.field_masks import field_mask

CLOSEST = CLOSER_LOOKS[0]
SIDE, ZOOM = CLOSEST.side, CLOSEST.zoom
PLACES = [(0.0, 0.0), (70.4, 33.9), (119.9, 76.9), (120.0, 77.0)]


@pytest.mark.parametrize("place", PLACES)
def test_a_view_lies_in_the_image_around_the_prompt(place: tuple) -> None:
    view = view_around((77, 120), Prompts.click(*place), CLOSEST)
    (left, top), (height, width) = view.corner, view.shape
    assert (height, width) == (SIDE, SIDE)
    assert 0 <= left <= min(place[0], 120 - SIDE)
    assert 0 <= top <= min(place[1], 77 - SIDE)
    assert left + width >= place[0]


def test_the_smaller_the_field_the_closer_the_look() -> None:
    assert [look.zoom for look in CLOSER_LOOKS] == sorted({x.zoom for x in CLOSER_LOOKS})[::-1]
    for look in CLOSER_LOOKS:
        view = view_around((400, 400), Prompts.click(200, 200), look)
        assert enlarged(np.zeros((400, 400, 3), np.uint8), view).shape[0] == look.side * look.zoom


def test_a_small_image_is_its_own_view() -> None:
    view = view_around((20, 30), Prompts.click(3, 3), CLOSEST)
    assert view.shape == (20, 30)
    assert enlarged(np.zeros((20, 30, 3), np.uint8), view).shape == (60, 90, 3)


def test_enlarging_keeps_colours_in_place() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    image[20:30, 24:40] = 200
    view = view_around(image.shape[:2], Prompts.click(30, 30), CLOSEST)
    shown = enlarged(image, view)
    left, top = view.corner
    inner = shown[(21 - top) * ZOOM : (29 - top) * ZOOM, (25 - left) * ZOOM : (39 - left) * ZOOM]
    assert (inner == 200).all()
    assert shown[: (19 - top) * ZOOM].max() == 0


@pytest.mark.parametrize("place", PLACES)
def test_a_mask_of_a_view_comes_back_to_its_pixels(place: tuple) -> None:
    """A rectangle drawn in fine cells of the view is found at the same pixels of the image."""
    shape = (77, 120)
    prompt = Prompts.click(*place)
    view = view_around(shape, prompt, CLOSEST)
    column, row = min(int(place[0]), 119), min(int(place[1]), 76)
    wanted = np.zeros(shape, bool)
    wanted[max(row - 2, view.corner[1]) : row + 3, max(column - 4, view.corner[0]) : column + 3] = 1
    for decode in close_decodes(shape, view, prompt):
        centres = (np.arange(FINE) + 0.5) * decode.step
        columns = np.floor(decode.offset[0] + centres).astype(int)
        rows = np.floor(decode.offset[1] + centres).astype(int)
        on = ((rows >= 0) & (rows < 77))[:, None] & (columns >= 0) & (columns < 120)
        cells = on & wanted[np.clip(rows, 0, 76)[:, None], np.clip(columns, 0, 119)]
        logits = np.where(cells, 5.0, -5.0).astype(np.float32)
        mask, held = field_mask(logits, decode, shape, prompt)
        assert held
        assert (mask != wanted).sum() <= (0 if decode.level == 0 else 14)


def test_the_click_is_in_the_middle_of_the_crop_of_a_view() -> None:
    prompt = Prompts.click(50.2, 40.7)
    view = view_around((200, 200), prompt, CLOSEST)
    side = SIDE * ZOOM
    maps = {}
    for stride in (2, 4):
        maps[f"context{stride}"] = np.ones((48, -(-side // stride), -(-side // stride)), np.float16)
        fine = -(-side * 2 // stride)
        maps[f"detail{stride}"] = np.ones((16, fine, fine), np.float16)
    asked = [(prompt, decode) for decode in close_decodes((200, 200), view, prompt)]
    inputs = decoder_inputs(maps, asked)
    assert (np.abs(inputs["points"][:, 0] - (GRID / 2 + 0.5)) <= 0.5).all()
    assert inputs["inside"][1].sum() < GRID * GRID
