"""Crops must show what their labels describe, at the scale that was asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from furrow.models.training import scene_pool
from furrow.models.training.labelled_sets import LabelledPicture
from furrow.models.training.sampling import (
    RealPicture,
    Sample,
    augmented,
    boundaries,
    nearest,
    resized,
)
from furrow.models.training.scene_pool import ScenePool, write_scenes
from furrow.models.training.scenes import generate


def disc_picture(side: int = 300, radius: int = 40) -> LabelledPicture:
    """Bright discs on black."""
    rows, columns = np.mgrid[0:side, 0:side]
    centres = [(80, 80), (80, 220), (220, 150)]
    masks = [np.hypot(rows - r, columns - c) < radius for r, c in centres]
    bright = np.any(masks, axis=0)
    return LabelledPicture("discs", np.repeat(bright[..., None] * np.uint8(200), 3, 2), masks)


@pytest.mark.parametrize("seed", range(8))
def test_labels_move_with_the_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sample = RealPicture.of(disc_picture(), 3.0).sample(128, rng)
    assert sample.image.shape == (128, 128, 3)
    assert sample.labels.shape == (3, 128, 128)
    bright = sample.image.mean(-1) > 100
    assert (bright != (sample.labels[1] > 0)).mean() < 0.04


def test_augmentation_turns_both_alike_and_stays_in_range() -> None:
    rng = np.random.default_rng(3)
    picture = RealPicture.of(disc_picture(), 3.0)
    for _ in range(40):
        sample = augmented(picture.sample(128, rng), rng)
        assert 0 <= sample.image.min() <= sample.image.max() <= 255
        inside = sample.labels[1] > 0
        gap = np.abs(sample.image[inside].mean(0) - sample.image[~inside].mean(0)).max()
        assert gap > 25


def test_crops_of_scenes_are_reproducible_and_in_three_layers() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (4, 200, 200, 3), np.uint8)
    labels = rng.integers(0, 9, (4, 3, 200, 200)).astype(np.int16)
    for pool in (ScenePool(images, labels), ScenePool(images, labels[:, 1])):
        one = pool.sample(128, np.random.default_rng(5))
        two = pool.sample(128, np.random.default_rng(5))
        assert one.labels.shape == (3, 128, 128)
        np.testing.assert_array_equal(one.image, two.image)
        np.testing.assert_array_equal(one.labels, two.labels)


def test_scenes_on_disk_are_those_of_their_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene_pool, "CHUNK", 2)
    write_scenes(tmp_path, 40, 3, 64)
    pools = ScenePool.open(tmp_path)
    assert [len(pool.images) for pool in pools] == [2, 2]
    scene = generate(42, 64)
    np.testing.assert_array_equal(pools[1].images[0], scene.image)
    np.testing.assert_array_equal(pools[1].labels[0], [scene.parts, scene.fields, scene.blocks])


def test_only_wanted_scenes_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_pool, "CHUNK", 2)
    write_scenes(tmp_path, 40, 2, 64, lambda seed, size: seed % 3 == 0)
    (pool,) = ScenePool.open(tmp_path)
    for image, seed in zip(pool.images, (42, 45)):
        np.testing.assert_array_equal(image, generate(seed, 64).image)


def test_scenes_already_there_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene_pool, "CHUNK", 1)
    write_scenes(tmp_path, 7, 1, 64)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    write_scenes(tmp_path, 7, 2, 64)
    assert len(list(tmp_path.iterdir())) == 4
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_scenes_kept_aside_are_not_learned_from() -> None:
    images = np.arange(50, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    learned, aside = ScenePool(images, images[..., 0].astype(np.int16)).split(0.1)
    assert len(learned.images) == 45
    assert set(learned.images[:, 0, 0, 0]).isdisjoint(aside.images[:, 0, 0, 0])


def test_resizing_keeps_a_ramp_and_the_mean() -> None:
    ramp = np.repeat(np.arange(64, dtype=np.float32)[None, :, None], 64, 0) * np.ones(3, np.float32)
    large = resized(ramp, 128)
    inner = large[:, 4:-4, 0]
    np.testing.assert_allclose(np.diff(inner, axis=1), 0.5, atol=1e-4)
    assert abs(large.mean() - ramp.mean()) < 0.1


def test_nearest_keeps_labels() -> None:
    labels = np.arange(16).reshape(1, 4, 4)
    np.testing.assert_array_equal(nearest(labels, 8)[0, ::2, ::2], labels[0])


def test_boundaries_are_where_fields_end() -> None:
    labels = np.ones((8, 8), np.int32)
    labels[:, 4:] = 2
    assert boundaries(labels)[:, 1:3].all()
    assert not boundaries(labels)[:, [0, 3]].any()
    labels[0, 0] = 0
    assert boundaries(labels)[0, 0]


def test_samples_of_one_layer_have_equal_parts_fields_and_blocks() -> None:
    sample = RealPicture.of(disc_picture(), 3.0).sample(64, np.random.default_rng(0))
    assert isinstance(sample, Sample)
    assert sample.real
    np.testing.assert_array_equal(sample.labels[0], sample.labels[2])
