"""Colours beside those around them."""

from __future__ import annotations

import numpy as np
import pytest

from furrow.core.imagery.grid import Window
from furrow.core.imagery.local_colours import local_colours
from furrow.models.segmenters.furrow_field.field_model import FieldModelSegmenter
from furrow.models.segmenters.furrow_field.standardising import own_colours, standardised


def noise(height: int, width: int, mean: float = 120.0) -> np.ndarray:
    values = np.random.default_rng(8).normal(mean, 20, (height, width, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


def test_mean_and_deviation() -> None:
    image = noise(200, 150)
    before = image.copy()
    seen = standardised(image, own_colours(image))
    assert seen.shape == image.shape and seen.dtype == np.float32
    assert np.abs(seen.mean((0, 1))).max() < 0.01
    assert seen.std((0, 1)) == pytest.approx(20 / 24 * np.ones(3), abs=0.02)
    assert np.array_equal(image, before)


def test_brightness_and_even_pictures() -> None:
    image = noise(64, 64)
    brighter = image + np.uint8(30)
    assert np.allclose(
        standardised(image, own_colours(image)), standardised(brighter, own_colours(brighter)),
        atol=1e-3,
    )  # fmt: skip
    even = np.full((40, 40, 3), 90, np.uint8)
    assert np.abs(standardised(even, own_colours(even))).max() < 0.01


def test_what_stands_out_ends_somewhere() -> None:
    image = np.full((80, 80, 3), 10, np.uint8)
    image[40, 40] = 255
    seen = standardised(image, own_colours(image))
    assert seen.max() == 4


@pytest.fixture(scope="module")
def engine() -> FieldModelSegmenter:
    return FieldModelSegmenter(threads=1, thorough=False)


def test_an_image_alone_is_among_its_own_colours(engine) -> None:
    image = noise(96, 128)
    alone, among = engine.encode(image), engine.encode_among(image, own_colours(image))
    assert alone.data.keys() == among.data.keys()
    assert all(np.array_equal(alone.data[name], among.data[name]) for name in alone.data)


def test_a_field_looks_the_same_from_two_windows(engine) -> None:
    """Dark land in the west: each window by itself sees the bright fields otherwise."""
    image = np.concatenate([noise(512, 128, 40.0), noise(512, 512, 140.0)], axis=1)
    image[200:300, 300:400] -= 30
    colours = local_colours(image, np.ones(image.shape[:2], bool), image.shape[:2])
    windows = Window(0, 0, 512, 512), Window(0, 128, 512, 512)
    parts = [np.ascontiguousarray(image[window.slices]) for window in windows]
    among = [engine.encode_among(*each) for each in zip(parts, map(colours.within, windows))]
    alone = [engine.encode(part) for part in parts]

    def difference(pair: list) -> float:
        """Of the chances of an edge in the middle of what both show."""
        one, other = (engine.edges(each) for each in pair)
        return float(np.abs(one[192:320, 320:448] - other[192:320, 192:320]).mean())

    assert difference(among) < 0.5 * difference(alone)
