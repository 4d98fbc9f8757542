"""Engines that know where fields end say so, also through a store; the others say nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from furrow.core.fields.delineation.options import DelineationOptions
from furrow.core.fields.delineation.pieces import label_raster
from furrow.core.fields.delineation.rounds import delineate_tile
from furrow.core.fields.segmenter import known_edges
from furrow.models.segmenters.embeddings.embedding_store import EmbeddingStore
from furrow.models.segmenters.embeddings.stored_segmenter import StoredSegmenter
from furrow.models.segmenters.furrow_field.field_masks import enlarged_map
from furrow.models.segmenters.furrow_field.field_model import FieldModelSegmenter
from furrow.models.segmenters.regions.classical import ClassicalSegmenter

pytest.importorskip("onnxruntime")

MEGABYTES = 64 * 10**6


@pytest.fixture(scope="module")
def field_model() -> FieldModelSegmenter:
    return FieldModelSegmenter(threads=1, thorough=False)


def two_fields(height: int, width: int) -> np.ndarray:
    """A dark field beside a bright one, with some noise."""
    random = np.random.default_rng(2)
    image = np.where(np.arange(width) < width // 2, 60.0, 170.0)[None, :, None]
    image = image + random.normal(0, 4, (height, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(96, 128), (75, 101)])
def test_edges_of_the_field_model_lie_where_fields_end(field_model, shape) -> None:
    edges = known_edges(field_model, field_model.encode(two_fields(*shape)))
    assert edges.shape == shape and edges.dtype == np.float32
    assert edges.min() >= 0 and edges.max() <= 1
    middle = slice(20, shape[0] - 20)
    border = edges[middle, shape[1] // 2 - 2 : shape[1] // 2 + 2].max(axis=1).mean()
    assert border > 0.5 > edges[middle, shape[1] // 4].mean() + 0.1


def test_a_store_passes_edges_on(field_model, tmp_path: Path) -> None:
    stored = StoredSegmenter(
        field_model, EmbeddingStore(tmp_path, MEGABYTES, MEGABYTES), "fingerprint"
    )
    image = two_fields(64, 64)
    plain = known_edges(field_model, field_model.encode(image))
    assert np.array_equal(known_edges(stored, stored.encode(image)), plain)
    assert np.array_equal(known_edges(stored, stored.encode(image)), plain)
    assert stored.reused == 1


def test_an_engine_without_edges_says_nothing(tmp_path: Path) -> None:
    engine = ClassicalSegmenter()
    embedding = engine.encode(two_fields(40, 40))
    assert known_edges(engine, embedding) is None
    stored = StoredSegmenter(engine, EmbeddingStore(tmp_path, MEGABYTES, MEGABYTES), "fingerprint")
    assert known_edges(stored, embedding) is None


def test_maps_are_enlarged_about_the_centres_of_their_cells() -> None:
    ramp = np.arange(5, dtype=np.float32)[None].repeat(3, axis=0)
    wide = enlarged_map(ramp, 2, (5, 9))
    assert wide.shape == (5, 9)
    assert np.allclose(wide[2], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75])


@pytest.mark.parametrize("zoom", [1, 2])
def test_the_field_model_delineates_a_small_scene(field_model, zoom: int) -> None:
    image = two_fields(80, 96)
    fields = delineate_tile(
        [image], np.ones((80, 96), bool), field_model, DelineationOptions(zoom=zoom)
    )
    raster = label_raster(fields.pieces, (80, 96))
    for part in (slice(0, 48), slice(48, 96)):
        most = np.bincount(raster[:, part].ravel()).argmax()
        half = np.zeros(raster.shape, bool)
        half[:, part] = True
        assert most > 0
        assert np.sum(half & (raster == most)) / np.sum(half | (raster == most)) > 0.8
