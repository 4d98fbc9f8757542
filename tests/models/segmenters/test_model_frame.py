"""Images, prompts and logits on their way into a model's square and back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from furrow.models.segmenters.model_frame import Fit, ModelFrame

SHAPES = [(200, 200), (64, 64), (133, 57), (57, 133), (300, 1024), (1, 40), (700, 350)]


def picture(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_images_are_resized_as_pillow_does(shape):
    image_module = pytest.importorskip("PIL.Image")
    frame = ModelFrame(256)
    image = picture(shape)
    height, width = frame.inner(shape)
    expected = image_module.fromarray(image).resize((width, height), image_module.BILINEAR)
    assert (frame.resized(image) == np.asarray(expected)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_stretched_images_are_resized_as_torch_does(shape):
    torch = pytest.importorskip("torch")
    frame = ModelFrame(128, Fit.STRETCH, whole_numbers=False)
    image = picture(shape)
    bands = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32))
    expected = torch.nn.functional.interpolate(
        bands, (128, 128), mode="bilinear", antialias=True, align_corners=False
    )
    assert np.abs(frame.resized(image) - expected[0].numpy().transpose(1, 2, 0)).max() < 1e-3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fit", list(Fit))
def test_logits_come_back_as_in_the_models_own_predictors(shape, fit):
    torch = pytest.importorskip("torch")
    resize = torch.nn.functional.interpolate
    frame = ModelFrame(256, fit)
    low = np.random.default_rng(1).normal(size=(2, 3, 64, 64)).astype(np.float32)
    values = torch.from_numpy(low)
    if fit is Fit.PAD:
        height, width = frame.inner(shape)
        values = resize(values, (256, 256), mode="bilinear", align_corners=False)
        values = values[..., :height, :width]
    expected = resize(values, shape, mode="bilinear", align_corners=False).numpy()
    assert np.abs(frame.logits(low, shape) - expected).max() < 1e-4
    sure = np.abs(expected) > 1e-3
    assert (frame.masks(low, shape) == (expected > 0))[sure].all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fit", list(Fit))
@pytest.mark.parametrize("smooth", [0, 4])
def test_masks_are_where_logits_are_above_0(shape, fit, smooth):
    random = np.random.default_rng(2).normal(size=(2, 3, 64, 64))
    low = ndimage.gaussian_filter(random, (0, 0, smooth, smooth)).astype(np.float32)
    low[0, 0], low[0, 1, :9], low[1, 2, 5, 5] = -1, 0, np.nan
    frame = ModelFrame(256, fit)
    logits, masks = frame.logits(low, shape), frame.masks(low, shape)
    sure = ~(np.abs(logits) < 1e-5)
    assert (masks == (logits > 0))[sure].all() and not masks[0, 0].any()


def test_the_longer_side_fills_a_padded_square():
    assert ModelFrame().inner((100, 200)) == (512, 1024)
    assert ModelFrame().inner((1, 5000)) == (1, 1024)
    assert ModelFrame(fit=Fit.STRETCH).inner((100, 200)) == (1024, 1024)


def test_the_padding_is_zero_after_normalising():
    frame = ModelFrame(64)
    square = frame.square(picture((20, 40)))
    assert square.shape == (1, 3, 64, 64) and square.dtype == np.float32
    assert not square[0, :, 32:].any() and square[0, :, :32].any()
    grey = np.full((8, 8, 3), 127, np.uint8)
    expected = (127 - np.array(frame.mean)) / np.array(frame.std)
    assert np.allclose(frame.square(grey)[0, :, 5, 5], expected, atol=1e-5)


def test_images_are_never_changed():
    image = picture((50, 70))
    before = image.copy()
    ModelFrame(64).square(image)
    assert (image == before).all()


def test_points_follow_the_image():
    frame = ModelFrame(1024)
    centres = np.array([[0.5, 0.5], [200.5, 100.5]])
    assert np.allclose(frame.points(centres, (200, 400)), [[0, 0], [512, 256]])
    assert np.allclose(frame.box(np.array([0.5, 0.5, 400.5, 200.5]), (200, 400)),
                       [[0, 0], [1024, 512]])  # fmt: skip
    stretched = ModelFrame(1024, Fit.STRETCH)
    assert np.allclose(stretched.points(centres, (200, 400)), [[0, 0], [512, 512]])
