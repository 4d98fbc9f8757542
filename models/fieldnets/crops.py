"""What a network is shown of a field: a masked square of fixed size, and a few numbers.

The numbers are those of hue and richness, taken of the field's own pixels before anything is
enlarged or normalised; the background is 0 in every channel after normalising, so that only the
mask tells where the field ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

import numpy as np

from ...core.fields.classification.colour import colour_features
from ..segmenters.model_frame import Fit, ModelFrame

SCALARS = (
    "hue_cos",
    "hue_sin",
    "hue_length",
    "saturation_mean",
    "brightness_mean",
    "entropy",
    "richness",
)
"""In the order in which the network gets them."""
_FULL = 255.0
_LEAST_SHARE = 1e-3
IMAGES, MASKS, NUMBERS, LABELS, HELD = (
    "images.npy", "masks.npy", "scalars.npy", "labels.npy", "held.npy",
)  # fmt: skip


@dataclass(frozen=True)
class FieldCrop:
    """One field."""

    image: np.ndarray
    """(side, side, 3) uint8; 0 beside the field."""
    mask: np.ndarray
    """(side, side) uint8: share of a pixel that belongs to the field, 255 = all of it."""
    scalars: np.ndarray
    """(7,) float32, see SCALARS."""


@dataclass(frozen=True)
class CropBatch:
    """n fields."""

    images: np.ndarray
    """(n, side, side, 3) uint8."""
    masks: np.ndarray
    """(n, side, side) uint8."""
    scalars: np.ndarray
    """(n, 7) float32."""

    def inputs(self) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As the network takes them: (n, 3, side, side) 0..255, (n, 1, side, side) 0..1, (n, 7)."""
        images = np.ascontiguousarray(self.images.transpose(0, 3, 1, 2), np.float32)
        return images, self.masks[:, None].astype(np.float32) / _FULL, self.scalars

    @classmethod
    def of(cls, crops: Tuple[FieldCrop, ...]) -> CropBatch:
        """Several crops in one."""
        return cls(
            np.stack([crop.image for crop in crops]),
            np.stack([crop.mask for crop in crops]),
            np.stack([crop.scalars for crop in crops]),
        )


def field_crop(colours: np.ndarray, own: np.ndarray, side: int) -> FieldCrop:
    """A field as the network is shown it.

    :param colours: (3, s, s) float 0..1; anything where `own` is False.
    :param own: (s, s) bool, the field's pixels with data; at least one.
    :param side: of the square in pixels.
    """
    found = colour_features(colours[:, own])
    scalars = np.array([found[name] for name in SCALARS], np.float32)
    share = own.astype(np.float32)
    # Colours are averaged over the field alone: what lies beside it must not bleed in.
    stacked = np.concatenate([np.where(own, colours, 0), share[None]]).transpose(1, 2, 0)
    frame = ModelFrame(side, Fit.STRETCH, whole_numbers=False)
    resized = frame.resized(stacked.astype(np.float32))
    mask = np.clip(resized[..., 3], 0, 1)
    mean = resized[..., :3] / np.maximum(mask, _LEAST_SHARE)[..., None]
    image = np.where((mask > _LEAST_SHARE)[..., None], mean, 0)
    return FieldCrop(_bytes(image), _bytes(mask), scalars)


class CropFiles:
    """Crops in a folder: more than fit into memory."""

    def __init__(self, folder: Path, count: int, side: int) -> None:
        """Make the files.

        :param count: how many crops there may be.
        :raises OSError: they cannot be written.
        """
        self.folder, self.count = folder, 0
        make = np.lib.format.open_memmap
        self._images = make(folder / IMAGES, "w+", np.uint8, (count, side, side, 3))
        self._masks = make(folder / MASKS, "w+", np.uint8, (count, side, side))
        self._scalars = np.zeros((count, len(SCALARS)), np.float32)

    def add(self, crop: FieldCrop) -> None:
        """Append one."""
        self._images[self.count], self._masks[self.count] = crop.image, crop.mask
        self._scalars[self.count] = crop.scalars
        self.count += 1

    def finish(self, labels: np.ndarray, held: np.ndarray) -> None:
        """Write the rest.

        :param labels: (n,) int, the class of each crop that was added.
        :param held: (n,) bool: kept aside for the test.
        """
        self._images.flush()
        self._masks.flush()
        del self._images, self._masks  # else Windows could not delete the files
        np.save(self.folder / NUMBERS, self._scalars)
        np.save(self.folder / LABELS, labels.astype(np.int64))
        np.save(self.folder / HELD, held.astype(bool))


@dataclass(frozen=True)
class TrainingCrops:
    """Crops with their classes, read as they are needed."""

    images: np.ndarray
    masks: np.ndarray
    scalars: np.ndarray
    labels: np.ndarray
    """(n,) int64."""
    held: np.ndarray
    """(n,) bool: kept aside for the test."""

    @classmethod
    def open(cls, folder: Path) -> TrainingCrops:
        """What :class:`CropFiles` wrote."""
        labels = np.load(folder / LABELS, allow_pickle=False)
        arrays = [
            np.load(folder / name, mmap_mode="r", allow_pickle=False)[: len(labels)]
            for name in (IMAGES, MASKS, NUMBERS)
        ]
        return cls(*arrays, labels, np.load(folder / HELD, allow_pickle=False))

    def batch(self, rows: np.ndarray) -> CropBatch:
        """Some of them, by position."""
        return CropBatch(self.images[rows], self.masks[rows], self.scalars[rows])


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 1) * _FULL).astype(np.uint8)
