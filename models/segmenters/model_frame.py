"""The square that a model of the Segment Anything family looks at, and the way there and back.

An image is resized to the model's square and normalised; prompts go along; low-resolution logits
come back to the image's own pixels. Numbers as in the models' own predictors: Segment Anything and
its relatives keep the aspect ratio and fill up with zeros at the right and below, Segment
Anything 2 and EfficientSAM stretch (specification part D). numpy only: the worker uses it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Tuple

import numpy as np

_PILLOW_BITS = 22
"""Of the fixed-point weights that Pillow resizes bytes with."""
_ROWS = 64
"""Of masks that are worked out together."""
_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_STD = (58.395, 57.12, 57.375)


class Fit(Enum):
    """How an image fills the square."""

    PAD = "pad"
    """The longer side fills it; zeros after normalising at the right or below."""
    STRETCH = "stretch"
    """Both sides fill it."""


@dataclass(frozen=True)
class ModelFrame:
    """What a model wants to be given."""

    side: int = 1024
    """Of the square, in pixels."""
    fit: Fit = Fit.PAD
    mean: Tuple[float, float, float] = _IMAGENET_MEAN
    """Subtracted from each band, which has values 0..255."""
    std: Tuple[float, float, float] = _IMAGENET_STD
    """By which each band is then divided."""
    whole_numbers: bool = True
    """Resized images have whole numbers after each direction, as with Pillow."""

    def inner(self, shape: Tuple[int, int]) -> Tuple[int, int]:
        """Height and width that an image of a shape takes in the square."""
        if self.fit is Fit.STRETCH:
            return self.side, self.side
        scale = self.side / max(shape)
        height, width = (max(1, int(side * scale + 0.5)) for side in shape)
        return height, width

    def resized(self, image: np.ndarray) -> np.ndarray:
        """An image in the size that it has in the square.

        :param image: (H, W, 3) uint8, never changed.
        :return: (h, w, 3) float32, 0..255.
        """
        height, width = self.inner(image.shape[:2])
        resize = Taps.bytes_along if self.whole_numbers else Taps.along
        wide = resize(_filtered(image.shape[1], width), image, 1)
        return resize(_filtered(image.shape[0], height), wide, 0).astype(np.float32)

    def square(self, image: np.ndarray) -> np.ndarray:
        """An image as the model sees it.

        :param image: (H, W, 3) uint8, never changed.
        :return: (1, 3, side, side) float32.
        """
        inner = self.resized(image)
        height, width = inner.shape[:2]
        filled = np.zeros((1, 3, self.side, self.side), np.float32)
        normalised = (inner - np.float32(self.mean)) / np.float32(self.std)
        filled[0, :, :height, :width] = normalised.transpose(2, 0, 1)
        return filled

    def points(self, points: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
        """Points of an image in the square.

        The centre of the first pixel is 0 in the square, because the models add the half pixel
        themselves.

        :param points: (k, 2) x and y in pixels of the image, centres at .5.
        :return: (k, 2) float32.
        """
        height, width = self.inner(shape)
        scale = np.array([width / shape[1], height / shape[0]])
        return ((np.asarray(points, np.float64) - 0.5) * scale).astype(np.float32)

    def box(self, box: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
        """A box in the square: (2, 2) float32, its upper left and its lower right corner.

        :param box: (4,) x minimum, y minimum, x maximum, y maximum in pixels of the image.
        """
        return self.points(np.asarray(box, np.float64).reshape(2, 2), shape)

    def logits(self, low: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
        """Logits in the pixels of an image.

        :param low: (..., h, w) float, logits over the whole square.
        :param shape: H and W of the image.
        :return: (..., H, W) float32.
        """
        rows, columns = self._way_back(low.shape[-2:], shape)
        return rows.along(columns.along(low.astype(np.float32), -1), -2)

    def masks(self, low: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
        """Where logits are above 0 in the pixels of an image.

        :param low: (n, m, h, w) float.
        :return: (n, m, H, W) bool.
        """
        rows, columns = self._way_back(low.shape[-2:], shape)
        masks = np.zeros((*low.shape[:2], *shape), dtype=bool)
        for place in np.ndindex(low.shape[:2]):  # one at a time: logits take four bytes each
            masks[place] = rows.above(columns.along(low[place].astype(np.float32), -1))
        return masks

    def _way_back(self, low: Tuple[int, int], shape: Tuple[int, int]) -> Tuple[Taps, Taps]:
        """What each row and each column of the image is made of, in cells of the logits."""
        ways = []
        for cells, inner, pixels in zip(low, self.inner(shape), shape):
            if self.fit is Fit.STRETCH:
                ways.append(_interpolated(cells, pixels))
            else:
                enlarged = _interpolated(cells, self.side)
                ways.append(_interpolated(inner, pixels).after(enlarged))
        return ways[0], ways[1]


@dataclass(frozen=True)
class Taps:
    """A resized axis: what each new pixel is made of."""

    places: np.ndarray
    """(n, k) int, positions on the old axis."""
    weights: np.ndarray
    """(n, k) float64; each row sums up to 1."""

    def along(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Values with one axis resized, float32."""
        if self._idle(values.shape[axis]):
            return values.astype(np.float32)
        return self._sum(values, axis, self.weights.astype(np.float32))

    def above(self, values: np.ndarray) -> np.ndarray:
        """Where values with their rows resized are above 0.

        A few rows at a time, which stay in the processor's cache.

        :param values: (rows, columns) float32.
        :return: (n, columns) bool.
        """
        found = np.empty((len(self.places), values.shape[1]), dtype=bool)
        for start in range(0, len(found), _ROWS):
            some = slice(start, start + _ROWS)
            part = Taps(self.places[some], self.weights[some])
            found[some] = part.along(values, 0) > 0
        return found

    def bytes_along(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Values with one axis resized: uint8 from uint8, to the bit what Pillow gives."""
        if self._idle(values.shape[axis]):
            return values
        weights = np.floor(self.weights * (1 << _PILLOW_BITS) + 0.5).astype(np.int32)
        total = self._sum(values, axis, weights) + np.int32(1 << (_PILLOW_BITS - 1))
        return np.clip(total >> _PILLOW_BITS, 0, 255).astype(np.uint8)

    def after(self, first: Taps) -> Taps:
        """Both steps in one: `first`, then this."""
        count = len(self.places)
        places = first.places[self.places].reshape(count, -1)
        weights = (self.weights[..., None] * first.weights[self.places]).reshape(count, -1)
        heaviest = np.take_along_axis(places, weights.argmax(axis=1)[:, None], 1)
        places = np.where(weights > 0, places, heaviest)
        # Both steps reach for the same few neighbours: each once.
        least = places.min(axis=1)
        offsets = places - least[:, None]
        joined = np.zeros((count, int(offsets.max()) + 1))
        np.add.at(joined, (np.arange(count)[:, None], offsets), weights)
        most = int(first.places.max())
        return Taps(np.minimum(least[:, None] + np.arange(joined.shape[1]), most), joined)

    def _sum(self, values: np.ndarray, axis: int, weights: np.ndarray) -> np.ndarray:
        shape = [1] * values.ndim
        shape[axis] = -1
        parts = (
            np.take(values, places, axis=axis) * share.reshape(shape)
            for places, share in zip(self.places.T, weights.T)
        )
        total = next(parts)
        for part in parts:
            total += part
        return total

    def _idle(self, old: int) -> bool:
        """Whether the axis stays as it is."""
        if len(self.places) != old:
            return False
        own = self.places == np.arange(old)[:, None]
        return bool(np.allclose((self.weights * own).sum(axis=1), 1.0))


def _interpolated(old: int, new: int) -> Taps:
    """Linear interpolation between pixel centres, no smoothing: as torch resizes logits."""
    centres = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    left = np.floor(centres).astype(np.int64)
    right = np.minimum(left + 1, old - 1)
    share = centres - left
    return Taps(np.stack([left, right], axis=1), np.stack([1 - share, share], axis=1))


def _filtered(old: int, new: int) -> Taps:
    """Linear interpolation that smooths where the axis shrinks: as Pillow resizes images."""
    scale = old / new
    reach = max(scale, 1.0)
    centres = (np.arange(new) + 0.5) * scale
    first = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centres + reach + 0.5).astype(np.int64), old)
    places = first[:, None] + np.arange(int((last - first).max()))
    weights = np.maximum(1 - np.abs(places + 0.5 - centres[:, None]) / reach, 0)
    weights[places >= last[:, None]] = 0
    return Taps(np.minimum(places, old - 1), weights / weights.sum(axis=1, keepdims=True))
