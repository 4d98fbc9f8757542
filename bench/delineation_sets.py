"""The scenes that delineation is measured on, with the true fields as label rasters.

Denmark: Sentinel-2 with its parcels; they cover three quarters of it. NAIP:
pictures 23-30, which nothing was trained on, at half size, fields drawn by hand. Farm pictures:
no truth, coverage only. Demo: the generated scene of `make demo`, on its clearest date and on four.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, List, Optional, Tuple

import numpy as np

from furrow.core.simulation.scene import SceneSpec, simulate
from furrow.models.training import labelled_sets

_CLOUDY = (0, 1, 3, 8, 9, 10, 11)
_MOST_CLOUD = 0.01
_SPLIT = labelled_sets.DENMARK_SPLIT
_FALSE_COLOURS = (3, 2, 1)
"""Near infrared, red, green among the bands of the generated scene."""
MIDDLE_PLACE = 2
"""Which of the four dates stands alone: the one in early summer."""


@dataclass(frozen=True)
class Scene:
    """One tile to delineate."""

    name: str
    images: Tuple[np.ndarray, ...]
    """(H, W, 3) uint8, one a date."""
    truth: Optional[np.ndarray]
    """(H, W) int32, 0 where no field is known; None without any."""

    @property
    def shape(self) -> Tuple[int, int]:
        return self.images[0].shape[:2]


@dataclass(frozen=True)
class SceneSet:
    """Scenes whose figures are told together."""

    name: str
    scenes: Tuple[Scene, ...]

    @property
    def megapixels(self) -> float:
        return sum(scene.shape[0] * scene.shape[1] for scene in self.scenes) / 1e6


def denmark(data: Path) -> SceneSet:
    picture = labelled_sets.denmark(data)
    return SceneSet("denmark", (Scene("denmark", (picture.image,), picture.labels()),))


def denmark_left(data: Path) -> SceneSet:
    """The parcels that the field model was trained on; the whole picture is shown."""
    return _denmark_part("left half", data, lambda columns: columns[-1] < _SPLIT)


def denmark_right(data: Path) -> SceneSet:
    """The parcels that nothing was trained on; the whole picture is shown."""
    return _denmark_part("right half", data, lambda columns: columns[0] >= _SPLIT)


def _denmark_part(name: str, data: Path, wanted: Callable[[np.ndarray], bool]) -> SceneSet:
    picture = labelled_sets.denmark(data)
    parcels = [mask for mask in picture.masks if wanted(mask.any(axis=0).nonzero()[0])]
    truth = replace(picture, masks=parcels).labels()
    return SceneSet(f"denmark, {name}", (Scene("denmark", (picture.image,), truth),))


def naip(data: Path) -> SceneSet:
    names = labelled_sets.naip_names(data)[labelled_sets.NAIP_TRAINING :]
    pictures = labelled_sets.naip(data, names, reduction=2)
    scenes = [Scene(each.name, (each.image,), each.labels()) for each in pictures]
    return SceneSet("naip 23-30, half size", tuple(scenes))


def farm_pictures(data: Path) -> SceneSet:
    paths = sorted((data / "farm_pictures").glob("*.jpg"))
    images = [labelled_sets.halved(labelled_sets.read_image(path)) for path in paths]
    scenes = [Scene(path.stem, (image,), None) for path, image in zip(paths, images)]
    return SceneSet("farm pictures, half size", tuple(scenes))


def demo(_data: Path) -> SceneSet:
    images, truth = _demo_pictures()
    return SceneSet("demo scene, one date", (Scene("demo", (images[MIDDLE_PLACE],), truth),))


def demo_dates(_data: Path) -> SceneSet:
    images, truth = _demo_pictures()
    return SceneSet("demo scene, four dates", (Scene("demo", tuple(images), truth),))


def _demo_pictures() -> Tuple[List[np.ndarray], np.ndarray]:
    """Four clear dates spread over the season, and the true fields."""
    scene = simulate(SceneSpec(size=512))
    clear = [image for image in _clear(scene.iter_images())]
    chosen = clear[:: max(len(clear) // 4, 1)][:4]
    return chosen, scene.landscape.fields.astype(np.int32)


def _clear(dated: Iterator) -> Iterator[np.ndarray]:
    for _, image in dated:
        if np.isin(image[4], _CLOUDY).mean() < _MOST_CLOUD:
            bands = image[list(_FALSE_COLOURS)].transpose(1, 2, 0)
            yield labelled_sets.stretch(bands.astype(np.float32))


SETS: Tuple[Tuple[str, Callable[[Path], SceneSet]], ...] = (
    ("denmark", denmark),
    ("denmark-left", denmark_left),
    ("denmark-right", denmark_right),
    ("naip", naip),
    ("demo", demo),
    ("demo-dates", demo_dates),
    ("farm", farm_pictures),
)
