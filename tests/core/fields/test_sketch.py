"""What the user has drawn: marks, masks in turn, outlines that grow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from furrow.core.fields.field_mask import FieldMask, grown
from furrow.core.fields.sketch import Sketch
from furrow.core.imagery.grid import Grid, Window

GRID = Grid(60, 50, (0.0, 10.0, 0.0, 500.0, 0.0, -10.0))


def field(mask: np.ndarray, row: int = 20, col: int = 20, score: float = 0.5) -> FieldMask:
    window = Window(row, col, *mask.shape)
    return FieldMask(0, window, mask, score, 0, False, None, "image.tif")


def test_an_empty_sketch_and_one_of_background_only_cannot_be_answered() -> None:
    assert not Sketch().ready
    assert not Sketch().with_click(3, 4, foreground=False).ready
    assert Sketch().with_click(3, 4, foreground=False).with_click(1, 1).ready
    assert Sketch().with_box(1, 1, 2, 2).ready


def test_prompts_hold_the_clicks_in_order_and_the_last_box() -> None:
    sketch = Sketch().with_click(5, 6).with_box(9, 8, 1, 2).with_click(7, 7, False)
    prompts = sketch.with_box(4, 4, 8, 9).prompts
    assert prompts.points.tolist() == [[5, 6], [7, 7]]
    assert prompts.foreground.tolist() == [True, False]
    assert prompts.box.tolist() == [4, 4, 8, 9]
    assert sketch.prompts.box.tolist() == [1, 2, 9, 8]


def test_undo_takes_the_marks_back_one_by_one() -> None:
    sketch = Sketch().with_click(1, 1).with_box(0, 0, 4, 4)
    assert sketch.without_last() == Sketch().with_click(1, 1)
    assert sketch.without_last().without_last().without_last() == Sketch()


def test_masks_come_in_turn_from_the_best_one_on_and_start_again_after_a_click() -> None:
    masks = [field(np.ones((2, 2), bool), score=score) for score in (0.2, 0.9, 0.4)]
    sketch = Sketch().with_click(1, 1)
    seen = [sketch.turned(k).position(masks) for k in range(4)]
    assert seen == [1, 2, 0, 1]
    assert sketch.turned(-1).position(masks) == 0
    assert sketch.turned(1).with_click(2, 2).position(masks) == 1


@pytest.mark.parametrize("pixels, side", [(1, 12), (2, 14), (-1, 8), (-3, 4)])
def test_a_square_grows_and_shrinks_by_pixels(pixels: int, side: int) -> None:
    result = grown(field(np.ones((10, 10), bool)), pixels, GRID)
    assert (result.window.height, result.window.width) == (side, side)
    rows, cols = result.pixels
    assert rows.mean() == cols.mean() == 24.5


def test_a_field_never_shrinks_to_nothing_nor_grows_beyond_the_grid() -> None:
    small = field(np.ones((3, 3), bool))
    assert grown(small, -2, GRID) is small
    corner = grown(field(np.ones((5, 5), bool), 0, 0), 4, GRID)
    assert corner.window.row == corner.window.col == 0
    far = grown(field(np.ones((5, 5), bool), 45, 55), 4, GRID)
    assert far.window.row + far.window.height == 50


def test_what_shrinking_cuts_in_two_keeps_its_larger_part() -> None:
    mask = np.zeros((9, 20), bool)
    mask[:, :8], mask[4, 8:14], mask[2:7, 14:] = True, True, True
    result = grown(field(mask), -1, GRID)
    assert result.window == Window(21, 21, 7, 7)  # one pixel of the bridge is left


@given(st.integers(1, 5), st.integers(1, 8), st.integers(1, 8))
def test_growing_holds_the_field(pixels: int, height: int, width: int) -> None:
    start = field(np.ones((height, width), bool))
    result = grown(start, pixels, GRID)
    inside = result.within(start.window)
    assert inside.all() and result.mask.sum() > start.mask.sum()
