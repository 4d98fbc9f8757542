"""Tiles enlarged by a model: the parts fit, fields stay on the tile's own pixels."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from furrow.core.errors import Cancelled
from furrow.core.fields.delineation import enlarging
from furrow.core.fields.delineation.enlarging import enlarged, enlarged_in_parts
from furrow.core.fields.delineation.options import DelineationOptions
from furrow.core.fields.delineation.pieces import label_raster
from furrow.core.fields.delineation.rounds import delineate_tile
from furrow.core.fields.delineation.sight import look
from furrow.core.monitor import SILENT, Monitor
from furrow.models.segmenters.regions.classical import ClassicalSegmenter
from furrow.tests.core.fields.delineation.test_rounds import (
    EdgeKnowingSegmenter,
    EvenSegmenter,
    assert_sound,
    checkerboard,
)


class Repeating:
    """Pixels become squares."""

    def __init__(self, factor: int) -> None:
        self.factor = factor
        self.shapes = []

    def __call__(self, image: np.ndarray) -> np.ndarray:
        self.shapes.append(image.shape[:2])
        return image.repeat(self.factor, axis=0).repeat(self.factor, axis=1)


class FarSighted(Repeating):
    """As a network does: takes the surroundings of 24 pixels into account, black beyond the end."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        weights = np.arange(1, 50)
        seen = image.astype(np.int64)
        for axis in (0, 1):
            seen = ndimage.correlate1d(seen, weights, axis, mode="constant")
        return super().__call__((seen % 256).astype(np.uint8))


class Slow(Repeating):
    """Takes its time, and says when it has begun."""

    def __init__(self, factor: int) -> None:
        super().__init__(factor)
        self.begun = threading.Event()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        self.begun.set()
        time.sleep(3)
        return super().__call__(image)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (300, 130), (333, 335)])
def test_parts_make_the_whole(factor: int, shape: tuple) -> None:
    image, enlarger = noise(*shape), FarSighted(factor)
    before = image.copy()
    parts = enlarged_in_parts(image, enlarger)
    count = len(enlarger.shapes)
    assert np.array_equal(parts, enlarger(image)) and parts.dtype == np.uint8
    assert np.array_equal(image, before)
    most = enlarging._LARGEST // factor - 2 * enlarging._BORDER
    assert (count > 1) == (max(shape) > most)
    largest = max(max(each) for each in enlarger.shapes[:count])
    assert factor * largest <= enlarging._LARGEST


@settings(max_examples=30)
@given(height=st.integers(1, 90), width=st.integers(1, 90), factor=st.integers(2, 4))
def test_parts_of_any_size_make_the_whole(height: int, width: int, factor: int) -> None:
    image, enlarger = noise(height, width), FarSighted(factor)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(enlarging, "_LARGEST", factor * 60)
        parts = enlarged_in_parts(image, enlarger)
    assert np.array_equal(parts, enlarger(image))


def test_interpolated_pictures_keep_their_place() -> None:
    image = np.zeros((6, 8, 3), np.uint8)
    image[2:4, 4:6] = 200
    for zoom in (2, 3, 4):
        large = enlarged(image, zoom)
        assert large.shape == (6 * zoom, 8 * zoom, 3) and large.dtype == np.uint8
        rows, cols = (np.flatnonzero((large[..., 0] > 100).any(axis=k)) for k in (1, 0))
        assert (rows[0], rows[-1] + 1) == (2 * zoom, 4 * zoom)
        assert (cols[0], cols[-1] + 1) == (4 * zoom, 6 * zoom)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("engine", [EvenSegmenter, EdgeKnowingSegmenter])
def test_fields_lie_on_the_tiles_own_pixels(factor: int, engine: type) -> None:
    image, labels = checkerboard(fields=4)
    valid = np.ones(labels.shape, bool)
    valid[:, -7:] = False
    enlarger = Repeating(factor)
    fields = delineate_tile(
        [image], valid, engine(), DelineationOptions(zoom=1), enlarger=enlarger
    )
    assert enlarger.shapes == [labels.shape]
    assert_sound(fields, valid)
    raster = label_raster(fields.pieces, labels.shape)
    for label in range(1, labels.max() + 1):
        square = (labels == label) & valid
        most = np.bincount(raster[square]).argmax()
        assert most > 0
        assert abs(np.count_nonzero(raster == most) / np.count_nonzero(square) - 1) < 0.15
        assert np.count_nonzero((raster == most) & square) > 0.85 * np.count_nonzero(square)


def test_classical_regions_are_looked_for_in_the_enlarged_picture() -> None:
    image, labels = checkerboard(fields=4, noise=2.0)
    valid = np.ones(labels.shape, bool)
    fields = delineate_tile([image], valid, ClassicalSegmenter(), enlarger=Repeating(2))
    assert_sound(fields, valid)
    assert (label_raster(fields.pieces, labels.shape) > 0).mean() > 0.9


def test_the_engine_sees_the_tile_as_it_is_and_enlarged_without_a_vote() -> None:
    image, labels = checkerboard(fields=2)
    seen = []

    class Watched(EdgeKnowingSegmenter):
        def encode(self, picture):
            seen.append(picture.shape[0] // len(labels))
            return super().encode(picture)

    valid = np.ones(labels.shape, bool)
    sight = look([image, image], valid, Watched(), None, SILENT, Repeating(3))
    assert seen == [1, 1, 3, 3] and sight.zoom == 3
    assert sight.edges.shape == labels.shape


def test_cancelled_within_a_second() -> None:
    image, labels = checkerboard(fields=2)
    enlarger, began = Slow(2), []

    def cancelled() -> bool:
        if enlarger.begun.is_set() and not began:
            began.append(time.perf_counter())
        return enlarger.begun.is_set()

    with pytest.raises(Cancelled):
        delineate_tile(
            [image], np.ones(labels.shape, bool), EvenSegmenter(),
            monitor=Monitor(cancelled), enlarger=enlarger,
        )  # fmt: skip
    assert time.perf_counter() - began[0] < 1
