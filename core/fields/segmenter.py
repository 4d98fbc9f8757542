"""The protocol that every segmentation engine fulfils.

An engine encodes an image once and then answers any number of prompts on it. A prompt is
geometry only: points on (or off) the wanted field and optionally a box around it. The crop
class of a reference never reaches an engine (specification A6, defect 1).

Pixel coordinates: x to the right, y downwards, the centre of the upper left pixel is (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Protocol, Sequence, Tuple

import numpy as np


@dataclass(frozen=True)
class Prompts:
    """What the user points at, for one object."""

    points: np.ndarray
    """(k, 2) float64, x and y in pixels; k may be 0 when there is a box."""
    foreground: np.ndarray
    """(k,) bool, True on the wanted field, False off it."""
    box: Optional[np.ndarray] = None
    """(4,) float64: x minimum, y minimum, x maximum, y maximum in pixels; or None."""
    side: Optional[float] = None
    """About how wide the object is at least, in pixels, where whoever asks knows: an engine may
    spare itself looking for smaller and for far larger ones."""

    @classmethod
    def click(cls, x: float, y: float, side: Optional[float] = None) -> Prompts:
        """One foreground point."""
        return cls(np.array([[x, y]], dtype=np.float64), np.array([True]), side=side)

    @property
    def anchor(self) -> Tuple[float, float]:
        """The point that a mask must contain: the first foreground point, else the box centre."""
        if self.foreground.any():
            x, y = self.points[np.argmax(self.foreground)]
            return float(x), float(y)
        if self.box is None:
            raise ValueError("A prompt needs a foreground point or a box.")
        return float(self.box[[0, 2]].mean()), float(self.box[[1, 3]].mean())


@dataclass(frozen=True)
class Embedding:
    """What an engine remembers of one image; only the engine that made it can read `data`."""

    model_id: str
    shape: Tuple[int, int]
    """Height and width of the image in pixels."""
    data: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Masks:
    """Answers to n prompts, m masks each, ordered from the finest to the coarsest."""

    masks: np.ndarray
    """(n, m, H, W) bool."""
    scores: np.ndarray
    """(n, m) float32 in 0..1: the IoU with the wanted field that the engine expects."""


def check_picture(image: np.ndarray) -> None:
    """Refuse what no engine can encode.

    :raises ValueError: not (H, W, 3) uint8, or empty.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"Expected a uint8 image (H, W, 3), got {image.dtype} {image.shape}.")


class Segmenter(Protocol):
    """A promptable engine. Stateless and safe to call from several threads."""

    id: str
    """Registry id, written into outputs and run records."""

    def encode(self, image: np.ndarray) -> Embedding:
        """Prepare one image.

        :param image: (H, W, 3) uint8, a stretched composite; never changed.
        """

    def predict(self, embedding: Embedding, prompts: Sequence[Prompts]) -> Masks:
        """Masks for a batch of prompts on an encoded image; n = len(prompts), which may be 0."""


class EdgeSegmenter(Segmenter, Protocol):
    """A segmenter that also knows where fields end."""

    def edges(self, embedding: Embedding) -> Optional[np.ndarray]:
        """The chance that a field ends at a pixel.

        :param embedding: made by this engine.
        :return: (H, W) float32 0..1, or None where the engine behind this one knows of none.
        """


class LocalSegmenter(Segmenter, Protocol):
    """A segmenter that judges colours by those around them."""

    def encode_among(self, image: np.ndarray, colours: np.ndarray) -> Embedding:
        """Prepare one window of a larger image.

        :param image: as for `encode`.
        :param colours: (H, W, 6) float32, means and deviations of the three colours around each
            pixel; see `LocalColours`.
        """


def encoded(
    segmenter: Segmenter, image: np.ndarray, colours: Optional[np.ndarray] = None
) -> Embedding:
    """An image as a segmenter sees it, among the colours around it where they are known and it
    minds them."""
    among = getattr(segmenter, "encode_among", None)
    if among is None or colours is None:
        return segmenter.encode(image)
    return among(image, colours)


def known_edges(segmenter: Segmenter, embedding: Embedding) -> Optional[np.ndarray]:
    """(H, W) float32 0..1, where a field ends; None for an engine that does not say."""
    edges = getattr(segmenter, "edges", None)
    return None if edges is None else edges(embedding)
