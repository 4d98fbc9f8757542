"""What is around each place of an image, the same for all its windows."""

from __future__ import annotations

import numpy as np
import pytest

from furrow.core.imagery.grid import Window
from furrow.core.imagery.local_colours import SURROUNDINGS, LocalColours, local_colours


def land(height: int, width: int) -> np.ndarray:
    """Dark in the west, bright and more varied in the east."""
    random = np.random.default_rng(4)
    share = np.linspace(0, 1, width)[None, :, None]
    values = 60 + 100 * share + random.normal(0, 8 + 20 * share, (height, width, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


def measured(picture: np.ndarray) -> LocalColours:
    return local_colours(picture, np.ones(picture.shape[:2], bool), picture.shape[:2])


def test_a_small_image_is_its_own_surroundings() -> None:
    picture = land(300, 200)
    around = measured(picture).within(Window(0, 0, 300, 200))
    assert around.shape == (300, 200, 6) and around.dtype == np.float32
    assert around.reshape(-1, 6).ptp(axis=0).max() < 1e-4
    assert around[0, 0, :3] == pytest.approx(picture.mean((0, 1)), abs=0.01)
    assert around[0, 0, 3:] == pytest.approx(picture.std((0, 1)), abs=0.01)


def test_every_window_is_told_the_same() -> None:
    picture = land(700, 1500)
    colours = measured(picture)
    whole = colours.within(Window(0, 0, 700, 1500))
    for window in (Window(0, 0, 512, 512), Window(37, 51, 512, 512), Window(180, 980, 520, 520)):
        assert np.array_equal(colours.within(window), whole[window.slices])


def test_what_is_far_away_does_not_count() -> None:
    picture = land(600, 3000)
    around = measured(picture).within(Window(0, 0, 600, 3000))
    half = SURROUNDINGS // 2
    for col in (640, 1500, 2432):
        seen = picture[:, col - half : col + half].reshape(-1, 3)
        assert around[300, col, :3] == pytest.approx(seen.mean(axis=0), abs=2)
        assert around[300, col, 3:] == pytest.approx(seen.std(axis=0), abs=2)
    steps = np.abs(np.diff(around, axis=1)).max()
    assert steps < 0.2, "nowhere do the surroundings change at once"


def test_every_third_row_and_column_tell_nearly_as_much() -> None:
    picture = land(900, 1200)
    few = picture[::3, ::3]
    some = local_colours(few, np.ones(few.shape[:2], bool), picture.shape[:2])
    window = Window(100, 200, 600, 700)
    assert np.abs(some.within(window) - measured(picture).within(window)).max() < 1.5


def test_pixels_without_data_do_not_count() -> None:
    picture = land(600, 2400)
    valid = np.ones(picture.shape[:2], bool)
    valid[:, 1300:] = False
    around = local_colours(picture, valid, picture.shape[:2]).within(Window(0, 0, 600, 2400))
    known = picture[:, :1300].reshape(-1, 3)
    assert around[300, 2300, :3] == pytest.approx(known.mean(axis=0), abs=0.1)
    blackened = np.where(valid[..., None], picture, 0).astype(np.uint8)
    again = local_colours(blackened, valid, picture.shape[:2])
    assert np.array_equal(again.within(Window(0, 0, 600, 2400)), around)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (513, 511), (256, 257)])
def test_odd_shapes(shape: tuple) -> None:
    around = measured(land(*shape)).within(Window(0, 0, *shape))
    assert around.shape == (*shape, 6) and np.isfinite(around).all()
