"""What networks are shown of a field."""

from __future__ import annotations

import numpy as np
import pytest

from furrow.models.fieldnets.crops import (
    SCALARS,
    CropBatch,
    CropFiles,
    TrainingCrops,
    field_crop,
)
from furrow.models.fieldnets.order import TrainingOrder, line, read_line


def disc(side=60, radius=20):
    y, x = np.mgrid[:side, :side] - side / 2 + 0.5
    return np.hypot(x, y) < radius


def green(side, background):
    colours = np.full((3, side, side), background, np.float32)
    colours[:, disc(side)] = np.array([[0.2], [0.6], [0.3]])
    return colours


def test_nothing_beside_the_field_leaks_in():
    dark, bright = (field_crop(green(60, value), disc(), 32) for value in (0.0, 1.0))
    assert np.array_equal(dark.image, bright.image)
    assert np.array_equal(dark.scalars, bright.scalars)
    inside = dark.mask > 0
    assert np.abs(dark.image[inside].astype(int) - [51, 153, 76]).max() <= 1
    assert (dark.image[~inside] == 0).all()
    assert dark.mask.sum() / 255 == pytest.approx(disc().sum() * (32 / 60) ** 2, rel=0.02)


def test_hue_is_taken_before_the_crop_is_resized():
    crop = field_crop(green(60, 0.5), disc(), 32)
    said = dict(zip(SCALARS, crop.scalars.tolist()))
    hue = np.deg2rad(135)
    assert (said["hue_cos"], said["hue_sin"]) == pytest.approx((np.cos(hue), np.sin(hue)), abs=1e-5)
    assert said["richness"] == pytest.approx(1 / 256) and said["entropy"] == 0


def test_a_thread_of_a_field_is_still_seen():
    own = np.zeros((200, 200), bool)
    own[100, :] = True
    crop = field_crop(np.full((3, 200, 200), 0.5, np.float32), own, 32)
    assert crop.mask.max() > 0 and crop.image.max() in (127, 128)


def test_files_give_back_what_was_added(tmp_path):
    crops = [field_crop(green(60, value), disc(), 32) for value in (0.0, 0.4, 0.8)]
    files = CropFiles(tmp_path, 5, 32)
    for crop in crops:
        files.add(crop)
    files.finish(np.array([0, 1, 0]), np.array([True, False, False]))
    read = TrainingCrops.open(tmp_path)
    assert read.labels.tolist() == [0, 1, 0] and len(read.images) == 3
    batch = read.batch(np.array([0, 2]))
    assert np.array_equal(batch.images, CropBatch.of((crops[0], crops[2])).images)
    image, mask, scalars = batch.inputs()
    assert image.shape == (2, 3, 32, 32) and mask.shape == (2, 1, 32, 32)
    assert mask.max() == 1 and scalars.shape == (2, 7)


def test_orders_and_lines():
    order = TrainingOrder(3, weights="Größe.pth")
    assert TrainingOrder.from_text(order.as_text()) == order
    assert read_line(line(share=0.5, said="ä")) == {"share": 0.5, "said": "ä"}
    assert read_line("warning: {") == {} and read_line("{broken") == {} and read_line("{}") == {}
