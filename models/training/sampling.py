"""Square crops of labelled pictures at random scales, turned, mirrored and recoloured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

import numpy as np
from scipy import ndimage

from .labelled_sets import LabelledPicture, halved

SMALLEST, LARGEST = 7.0, 150.0
"""Sides of the wanted field in pixels that a crop of a real picture is scaled to."""
_LEAST_PIXELS = 40


@dataclass(frozen=True)
class Sample:
    """What the network is shown and what is true of it."""

    image: np.ndarray
    """(S, S, 3) float32, 0..255."""
    labels: np.ndarray
    """(3, S, S) int32: parts, fields, blocks; 0 is no field or not known."""
    real: bool


@dataclass(frozen=True)
class RealPicture:
    """A labelled picture at several reductions."""

    pyramid: Tuple[np.ndarray, ...]
    """(H / 2^k, W / 2^k, 3) uint8."""
    labels: np.ndarray
    """(H, W) int32."""
    areas: np.ndarray
    """Pixels of each label; 0 for label 0."""
    boxes: Tuple
    """Rows and columns of each label."""
    largest_scale: float
    """How far the picture may be enlarged."""

    @classmethod
    def of(cls, picture: LabelledPicture, largest_scale: float) -> RealPicture:
        """Prepare one picture."""
        labels = picture.labels()
        areas = np.bincount(labels.ravel(), minlength=labels.max() + 1)
        areas[0] = 0
        pyramid = [picture.image]
        while min(pyramid[-1].shape[:2]) > 256:
            pyramid.append(halved(pyramid[-1]))
        boxes = tuple(ndimage.find_objects(labels))
        return cls(tuple(pyramid), labels, areas, boxes, largest_scale)

    def sample(self, size: int, rng: np.random.Generator) -> Sample:
        """A crop around one field, scaled so that the field gets a random size."""
        known = np.flatnonzero(self.areas >= _LEAST_PIXELS)
        k = int(rng.choice(known))
        wanted = np.exp(rng.uniform(np.log(SMALLEST), np.log(min(LARGEST, 0.9 * size))))
        shape = self.labels.shape
        scale = wanted / np.sqrt(self.areas[k])
        scale = float(np.clip(scale, size / min(shape), self.largest_scale))
        cut = min(int(round(size / scale)), *shape)
        corner = [
            int(np.clip(rng.uniform(part.start - 0.7 * cut, part.stop - 0.3 * cut), 0, n - cut))
            for part, n in zip(self.boxes[k - 1], shape)
        ]
        image = self._image(corner, cut, size, rng)
        row, column = corner
        labels = nearest(self.labels[None, row : row + cut, column : column + cut], size)
        return Sample(image, np.repeat(labels, 3, axis=0), True)

    def _image(
        self, corner: Sequence[int], cut: int, size: int, rng: np.random.Generator
    ) -> np.ndarray:
        """The crop's pixels, from a reduction whose sharpness is about right."""
        level = int(np.floor(np.log2(max(cut / size, 1.0)) + rng.uniform(-0.3, 0.3)))
        level = int(np.clip(level, 0, len(self.pyramid) - 1))
        source, factor = self.pyramid[level], 2**level
        side = max(cut // factor, 8)
        row, column = (min(start // factor, n - side) for start, n in zip(corner, source.shape[:2]))
        return resized(source[row : row + side, column : column + side], size)


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """A square picture at another size, bilinear: (h, h, 3) -> (size, size, 3) float32."""
    side = image.shape[0]
    if side == size:
        return image.astype(np.float32)
    at = np.clip((np.arange(size) + 0.5) * side / size - 0.5, 0, side - 1.001)
    low = at.astype(int)
    share = (at - low).astype(np.float32)
    rows = image[low] * (1 - share)[:, None, None] + image[low + 1] * share[:, None, None]
    return rows[:, low] * (1 - share)[:, None] + rows[:, low + 1] * share[:, None]


def nearest(labels: np.ndarray, size: int) -> np.ndarray:
    """Square label maps at another size: (k, h, h) -> (k, size, size) int32."""
    side = labels.shape[-1]
    at = ((np.arange(size) + 0.5) * side / size).astype(int)
    return labels[:, at[:, None], at].astype(np.int32)


def augmented(sample: Sample, rng: np.random.Generator) -> Sample:
    """The sample turned, mirrored, recoloured, and sometimes blurred and made noisy."""
    turns, mirror = int(rng.integers(4)), rng.random() < 0.5
    image = np.rot90(sample.image, turns, (0, 1))
    labels = np.rot90(sample.labels, turns, (1, 2))
    if mirror:
        image, labels = image[:, ::-1], labels[:, :, ::-1]
    image = _recoloured(image.astype(np.float32), rng)
    image = _degraded(image, rng, 0.4 if sample.real else 0.15)
    return Sample(np.clip(image, 0, 255), np.ascontiguousarray(labels), sample.real)


def _recoloured(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other band order, mixed bands, other gamma and contrast, an inverted band."""
    if rng.random() < 0.6:
        image = image[..., rng.permutation(3)]
    if rng.random() < 0.3:
        mix = np.eye(3) + rng.normal(0, 0.25, (3, 3))
        image = image @ (mix / np.clip(mix.sum(1, keepdims=True), 0.5, None)).T.astype(np.float32)
    if rng.random() < 0.06:
        image = np.repeat(image.mean(-1, keepdims=True), 3, axis=-1)
    if rng.random() < 0.35:
        image = 255 * np.clip(image / 255, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.35)))
    if rng.random() < 0.3:
        gain, shift = np.exp(rng.normal(0, 0.25)), rng.normal(0, 15)
        image = (image - 128) * np.float32(gain) + np.float32(128 + shift)
    if rng.random() < 0.08:
        image = image.copy()
        band = int(rng.integers(3))
        image[..., band] = 255 - image[..., band]
    return image


def _degraded(image: np.ndarray, rng: np.random.Generator, chance: float) -> np.ndarray:
    """Blur and noise, as another sensor would have it."""
    if rng.random() < chance:
        width = rng.uniform(0.3, 1.1)
        image = ndimage.gaussian_filter(image, (width, width, 0))
    if rng.random() < chance:
        deviation = np.float32(np.exp(rng.uniform(np.log(0.5), np.log(6))))
        image = image + rng.standard_normal(image.shape, dtype=np.float32) * deviation
    return image


def boundaries(labels: np.ndarray) -> np.ndarray:
    """(S, S) int -> (S / 2, S / 2) bool: cells of 2 x 2 pixels that an edge or no field touches."""
    edge = labels == 0
    across = labels[:, 1:] != labels[:, :-1]
    down = labels[1:] != labels[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    half = labels.shape[0] // 2
    return edge.reshape(half, 2, half, 2).any(axis=(1, 3))
