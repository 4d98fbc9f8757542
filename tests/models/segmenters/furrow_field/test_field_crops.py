"""What the decoder is given, and how its masks come back to the image's pixels."""

from __future__ import annotations

import numpy as np
import pytest

from furrow.core.fields.segmenter import Prompts
from furrow.models.segmenters.furrow_field.field_crops import (
    FINE,
    GRID,
    LEVELS,
    UNUSED,
    Decode,
    decoder_inputs,
    decodes,
)
from furrow.models.segmenters.furrow_field.field_masks import field_mask, upsampled


def boxed(*box: float) -> Prompts:
    return Prompts(np.zeros((0, 2)), np.zeros(0, bool), np.array(box, float))


def maps_of(height: int, width: int) -> dict:
    """Features whose channels are the x, the y and one, of the centres of their cells."""
    found = {}
    for stride in LEVELS:
        for kind, cell in (("context", stride), ("detail", stride // 2)):
            rows, columns = np.mgrid[0 : -(-height // cell), 0 : -(-width // cell)]
            centres = [(columns + 0.5) * cell, (rows + 0.5) * cell, np.ones(rows.shape)]
            found[f"{kind}{stride}"] = np.stack(centres).astype(np.float16)
    return found


@pytest.mark.parametrize(("side", "count"), [(40, 3), (128, 3), (200, 3), (256, 4), (1024, 4)])
def test_levels_of_a_click_follow_the_image(side: int, count: int) -> None:
    found = decodes((side, 30), Prompts.click(3, 3))
    assert [decode.level for decode in found] == list(range(count))


@pytest.mark.parametrize(
    ("side", "levels"),
    [(5, [0, 1]), (30, [0, 1]), (50, [0, 1, 2]), (150, [1, 2, 3]), (900, [2, 3])],
)
def test_levels_of_a_box_follow_its_size(side: float, levels: list) -> None:
    found = decodes((1000, 1000), boxed(20, 20, 20 + side, 24))
    assert [decode.level for decode in found] == levels


@pytest.mark.parametrize(
    ("side", "levels"), [(3, [0, 1, 2]), (25, [0, 1, 2]), (50, [1, 2, 3]), (900, [1, 2, 3])]
)
def test_a_click_with_a_least_side_spares_the_other_levels(side: float, levels: list) -> None:
    found = decodes((1000, 1000), Prompts.click(300, 300, side))
    assert [decode.level for decode in found] == levels


@pytest.mark.parametrize("click", [(0.0, 0.0), (57.3, 41.2), (120.0, 77.0)])
def test_crops_lie_around_the_click(click: tuple) -> None:
    height, width = 77, 120
    prompt = Prompts.click(*click)
    asked = [(prompt, decode) for decode in decodes((height, width), prompt)]
    inputs = decoder_inputs(maps_of(height, width), asked)
    for k, (_, decode) in enumerate(asked):
        x, y = inputs["points"][k, 0]
        assert GRID / 2 <= min(x, y) and max(x, y) <= GRID / 2 + 1
        inside = inputs["inside"][k, 0] > 0
        assert np.array_equal(inside, inputs["context"][k, 2] > 0)
        for channel in (0, 1):
            steps = (np.arange(GRID) + 0.5) * decode.stride + decode.offset[channel]
            shown = inputs["context"][k, channel]
            wanted = np.broadcast_to(steps if channel == 0 else steps[:, None], shown.shape)
            assert np.abs(shown - wanted)[inside].max() < 0.1
        fine = inputs["detail"][k, 2] > 0
        assert np.array_equal(np.argwhere(fine).min(axis=0), 2 * np.argwhere(inside).min(axis=0))
        rows, columns = decode.known((height, width))
        assert fine[rows, columns].all() and fine.sum() == fine[rows, columns].size


def test_points_beyond_the_crop() -> None:
    points = np.array([[100.0, 100.0], [180.0, 100.0], [100.0, 20.0], [104.0, 100.0]])
    prompt = Prompts(points, np.array([True, True, False, False]))
    fine, _, coarse = decodes((200, 200), prompt)
    inputs = decoder_inputs(maps_of(200, 200), [(prompt, fine), (prompt, coarse)])
    assert inputs["labels"].tolist() == [[1, 1, UNUSED, 0], [1, 1, 0, 0]]
    assert inputs["points"][0, 1].tolist() == [GRID - 0.5, 16.0]
    assert inputs["points"][1, 1].tolist() == [26.5, 16.5]


def test_prompts_with_fewer_points_are_filled_up() -> None:
    prompts = [Prompts(np.full((3, 2), 50.0), np.ones(3, bool)), boxed(40, 40, 60, 70)]
    asked = [(prompt, decodes((100, 100), prompt)[0]) for prompt in prompts]
    inputs = decoder_inputs(maps_of(100, 100), asked)
    assert inputs["labels"].tolist() == [[1, 1, 1], [UNUSED] * 3]
    assert inputs["boxes"][0].tolist() == [0, 0, 0, 0]
    assert inputs["boxes"][1].tolist() == [11.0, 9.0, 21.0, 24.0]


def whole(values: np.ndarray, frame: tuple, shape: tuple) -> np.ndarray:
    image = np.zeros(shape, bool)
    image[frame] = values > 0
    return image


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("click", [(0.5, 0.5), (61.5, 40.2), (149.5, 98.0)])
def test_upsampling_keeps_places(level: int, click: tuple) -> None:
    """A slanting plane of logits ends where it crosses zero, and at the image's edges."""
    shape = (99, 150)
    stride = LEVELS[level]
    decode = Decode(level, tuple(int(v // stride) - GRID // 2 for v in click))
    x, y = ((np.arange(FINE) + 0.5) * decode.step + offset for offset in decode.offset)
    logits = (x[None] + 0.5 * y[:, None] - click[0] - 0.5 * click[1] - 0.3).astype(np.float32)
    found = whole(*upsampled(logits, decode, shape), shape)
    columns, rows = np.meshgrid(np.arange(150) + 0.5, np.arange(99) + 0.5)
    wanted = columns + 0.5 * rows - click[0] - 0.5 * click[1] - 0.3 > 0
    half = decode.step / 2
    inner = (columns > x[0]) & (columns < x[-1]) & (rows > y[0]) & (rows < y[-1])
    inner &= (columns > half) & (columns < 150 - half) & (rows > half) & (rows < 99 - half)
    known = decode.known(shape)
    last_row, last_column = (part.stop - 1 for part in known)
    inner &= (columns < x[last_column]) & (rows < y[last_row])
    assert np.array_equal(found[inner], wanted[inner])


def test_cells_beyond_the_image_are_not_looked_at() -> None:
    logits = np.full((FINE, FINE), 5.0, np.float32)
    decode = Decode(1, (-16, -16))
    logits[decode.known((20, 30))] = -5
    assert not upsampled(logits, decode, (20, 30))[0].size
    logits = -logits
    assert whole(*upsampled(logits, decode, (20, 30)), (20, 30)).all()


def blobs() -> tuple:
    """Two discs with a hole in the first, at full resolution around (40, 40)."""
    rows, columns = np.mgrid[0:FINE, 0:FINE] + 0.5
    first, second = np.hypot(rows - 20, columns - 20), np.hypot(rows - 45, columns - 45)
    positive = ((first < 12) & (first > 4)) | (second < 9)
    return np.where(positive, 3.0, -3.0).astype(np.float32), Decode(0, (4, 4))


def test_a_mask_is_the_piece_at_the_click_without_holes() -> None:
    logits, decode = blobs()
    mask, held = field_mask(logits, decode, (80, 80), Prompts.click(8 + 20 + 8, 8 + 20))
    assert held and mask[28, 28] and not mask[8 + 45, 8 + 45]


def test_a_click_beside_a_mask_takes_the_nearest_piece() -> None:
    logits, decode = blobs()
    mask, held = field_mask(logits, decode, (80, 80), Prompts.click(8 + 58, 8 + 58))
    assert not held and mask[53, 53] and not mask[8 + 20 + 8, 28]


def test_each_wanted_point_gets_its_piece() -> None:
    logits, decode = blobs()
    prompt = Prompts(np.array([[36.0, 28.0], [53.0, 53.0]]), np.array([True, True]))
    mask, held = field_mask(logits, decode, (80, 80), prompt)
    assert held and mask[28, 36] and mask[53, 53]


def test_a_box_takes_the_largest_piece() -> None:
    logits, decode = blobs()
    mask, held = field_mask(logits, decode, (80, 80), boxed(40, 40, 64, 64))
    assert held and mask[28, 28] and not mask[53, 53]


def test_nothing_gives_nothing() -> None:
    empty = np.full((FINE, FINE), -1, np.float32)
    mask, held = field_mask(empty, Decode(2, (0, 0)), (80, 80), Prompts.click(70, 70))
    assert mask.shape == (80, 80) and not mask.any() and not held
