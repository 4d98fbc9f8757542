"""Does an engine answer the same when the picture changes but the field does not?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Callable, Dict, List, Tuple

import numpy as np
from scipy import ndimage
from segmenter_asking import Encoded, picked, predictions
from segmenter_figures import Figure, mean_of
from segmenter_sets import DENMARK_ALL, DENMARK_RIGHT, TRAINED_ON, Field

from furrow.core.fields.masks import iou
from furrow.core.fields.segmenter import Prompts, Segmenter

SEED = 20212
NAIP_PICTURES = 2
SCENE_FIELDS = 64
"""At most so many fields of a scene."""

_Picture = Callable[[np.ndarray], np.ndarray]
_Place = Callable[[float, float, Tuple[int, int]], Tuple[float, float]]
_Back = Callable[[np.ndarray], List[np.ndarray]]


def _stay(x: float, y: float, _shape: Tuple[int, int]) -> Tuple[float, float]:
    return x, y


def _as_it_is(mask: np.ndarray) -> List[np.ndarray]:
    return [mask]


@dataclass(frozen=True)
class Change:
    """A change of the picture that leaves the field what it is."""

    name: str
    picture: _Picture
    place: _Place = _stay
    """Where a point of the unchanged picture, of a shape, comes to lie."""
    back: _Back = _as_it_is
    """What a mask on the changed picture means on the unchanged one."""


@dataclass(frozen=True)
class Stability:
    """How chosen masks on a changed picture agree with those on the unchanged one and the truth."""

    change: str
    overlap: Figure
    truth: Dict[str, Figure]
    """By group: few pictures say more when they are looked at in several ways."""


def _levels(factor: float, about_mean: bool = False) -> _Picture:
    def changed(image: np.ndarray) -> np.ndarray:
        middle = image.mean() if about_mean else 0.0
        return np.clip((image - middle) * factor + middle, 0, 255).round().astype(np.uint8)

    return changed


def _turned_place(x: float, y: float, shape: Tuple[int, int]) -> Tuple[float, float]:
    return y, shape[1] - x


def _half_pixel(image: np.ndarray) -> np.ndarray:
    """Moved by half a pixel to the right and down."""
    moved = ndimage.shift(image.astype(np.float32), (0.5, 0.5, 0), order=1, mode="nearest")
    return moved.round().astype(np.uint8)


def _either_rounding(mask: np.ndarray) -> List[np.ndarray]:
    """Half a pixel cannot be taken back; every way of rounding it to whole pixels is right.

    An engine may count the half pixels in on either side, on both or on neither.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    height, width = mask.shape
    moved = [padded[r : r + height, c : c + width] for r in (0, 1) for c in (0, 1)]
    return [*moved, np.logical_and.reduce(moved), np.logical_or.reduce(moved)]


CHANGES = (
    Change("bands reversed", lambda image: np.ascontiguousarray(image[..., ::-1])),
    Change("brightness -15 %", _levels(0.85)),
    Change("brightness +15 %", _levels(1.15)),
    Change("contrast x 0.8", _levels(0.8, about_mean=True)),
    Change("contrast x 1.2", _levels(1.2, about_mean=True)),
    Change(
        "turned by 90 degrees",
        lambda image: np.ascontiguousarray(np.rot90(image)),
        _turned_place,
        lambda mask: [np.rot90(mask, -1)],
    ),
    Change(
        "moved by half a pixel",
        _half_pixel,
        lambda x, y, shape: (min(x + 0.5, shape[1] - 0.5), min(y + 0.5, shape[0] - 0.5)),
        _either_rounding,
    ),
)


def stability(engine: Segmenter, scenes: Iterable[Encoded]) -> Tuple[Stability, ...]:
    """The figures of each change, over fields of all scenes."""
    overlaps: List[List[float]] = [[] for _ in CHANGES]
    truths: List[Dict[str, List[float]]] = [defaultdict(list) for _ in CHANGES]
    for encoded in scenes:
        fields = _sample(encoded.scene.fields)
        usual = _answers(engine, encoded, Change("none", np.array), fields)
        for found, true, change in zip(overlaps, truths, CHANGES):
            moved = Encoded(encoded.scene, engine.encode(change.picture(encoded.scene.image)))
            for field, before, after in zip(fields, usual, _answers(engine, moved, change, fields)):
                masks = change.back(after)
                found.append(max(iou(before, mask) for mask in masks))
                true[_group(field)].append(max(iou(field.mask, mask) for mask in masks))
    return tuple(
        Stability(change.name, mean_of(o), {group: mean_of(t) for group, t in true.items()})
        for change, o, true in zip(CHANGES, overlaps, truths)
    )


def few(scenes: Sequence[Encoded], count: int = NAIP_PICTURES) -> List[Encoded]:
    """A seeded choice of scenes: changed pictures have to be encoded again."""
    rng = np.random.default_rng(SEED)
    picks = rng.choice(len(scenes), min(count, len(scenes)), replace=False)
    return [scenes[k] for k in sorted(picks)]


def _sample(fields: Sequence[Field]) -> List[Field]:
    """Fields that engines have not been trained on, not too many."""
    free = [f for f in fields if DENMARK_ALL not in f.groups or DENMARK_RIGHT in f.groups]
    rng = np.random.default_rng(SEED)
    picks = rng.choice(len(free), min(SCENE_FIELDS, len(free)), replace=False)
    return [free[k] for k in sorted(picks)]


def _group(field: Field) -> str:
    """The first group of a field that no engine has been trained on."""
    return next(group for group in field.groups if group not in TRAINED_ON)


def _answers(
    engine: Segmenter, encoded: Encoded, change: Change, fields: Sequence[Field]
) -> List[np.ndarray]:
    """The chosen mask for a click on each field, on the changed picture."""
    shape = encoded.scene.image.shape[:2]
    clicks = [Prompts.click(*change.place(f.x, f.y, shape)) for f in fields]
    return [picked(*answer) for answer in predictions(engine, encoded.embedding, clicks)]
