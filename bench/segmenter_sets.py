"""The labelled sets that segmentation engines are measured on, ready to be asked about.

Ontario: Sentinel-2 patches with masks of SAM ViT-H, which are no truth. Denmark: Sentinel-2 with
true parcels. NAIP: aerial pictures with fields drawn by hand. Generated: made-up farmland that
shares no seed with training. The first three are described in docs/benchmarks.md; none of them
is part of the repository.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Tuple

import numpy as np
from osgeo import gdal
from scipy import ndimage

from furrow.models.training import labelled_sets
from furrow.models.training.scenes import generate

TWO_HECTARES = 200
"""Pixels of 10 m."""
NAIP_LEAST_PIXELS = 40
ONTARIO_FITTED = ("1921", "1924")
"""Patches that the classical engine's constants were fitted on."""

GENERATED_SEED = 900_000
"""Training scenes have seeds from 1,000,000 on."""
GENERATED_SCENES = 24
GENERATED_SIZE = 256
GENERATED_FIELDS = 8
"""At most so many fields of a scene."""
GENERATED_LEAST_PIXELS = 60
MAIN_PART = 0.9
"""A field is of one look when its largest part covers this share of it."""

DENMARK_RIGHT, DENMARK_RIGHT_LARGE = "denmark right", "denmark right, 2 ha and more"
DENMARK_LEFT, DENMARK_LEFT_LARGE = "denmark left", "denmark left, 2 ha and more"
DENMARK_ALL, DENMARK_ALL_LARGE = "denmark all", "denmark all, 2 ha and more"
NAIP = "naip 23-30, half size"
ONTARIO, ONTARIO_FREE = "ontario, SAM mask 1", "ontario, the four not fitted on"
GENERATED, GENERATED_EVEN = "generated", "generated, fields of one look"
GENERATED_PATCHY = "generated, stripes or mottles"

TRAINED_ON = (DENMARK_LEFT, DENMARK_LEFT_LARGE, DENMARK_ALL, DENMARK_ALL_LARGE)
"""Groups with fields that engines were fitted or trained on."""


class AbsentError(Exception):
    """A set cannot be had here; the message says why."""


@dataclass(frozen=True)
class Field:
    """One wanted object with a click inside."""

    mask: np.ndarray
    """(H, W) bool."""
    x: float
    y: float
    groups: Tuple[str, ...]
    """Names of the groups that figures are told for."""

    @property
    def area(self) -> int:
        """Pixels."""
        return int(self.mask.sum())


@dataclass(frozen=True)
class Scene:
    """An image with the fields that are known in it."""

    name: str
    image: np.ndarray
    """(H, W, 3) uint8."""
    fields: Tuple[Field, ...]
    rivals: Optional[np.ndarray] = None
    """(3, H, W) bool: the masks of another engine for the only field."""


@dataclass(frozen=True)
class LabelledSet:
    """Scenes of one origin."""

    name: str
    groups: Tuple[str, ...]
    """In the order of the table; the first one stands for the set."""
    scenes: Tuple[Scene, ...]


def inner_point(mask: np.ndarray) -> Tuple[float, float]:
    """A point deep inside a mask, as central as possible; x and y in pixels."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    deep = np.argwhere(depth >= 0.75 * depth.max())
    row, column = deep[((deep - deep.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    return column + 0.5, row + 0.5


def denmark(data: Path) -> LabelledSet:
    """One scene with all parcels."""
    _present(data / "denmark")
    picture = labelled_sets.denmark(data)
    fields = tuple(Field(m, *inner_point(m), _denmark_groups(m)) for m in picture.masks)
    groups = (DENMARK_RIGHT, DENMARK_RIGHT_LARGE, *TRAINED_ON)
    return LabelledSet("denmark", groups, (Scene("denmark", picture.image, fields),))


def _denmark_groups(mask: np.ndarray) -> Tuple[str, ...]:
    columns = mask.any(axis=0).nonzero()[0]
    groups = [(DENMARK_ALL, DENMARK_ALL_LARGE)]
    if columns[0] >= labelled_sets.DENMARK_SPLIT:
        groups.append((DENMARK_RIGHT, DENMARK_RIGHT_LARGE))
    if columns[-1] < labelled_sets.DENMARK_SPLIT:
        groups.append((DENMARK_LEFT, DENMARK_LEFT_LARGE))
    large = mask.sum() >= TWO_HECTARES
    return tuple(name for pair in groups for name in pair[: 1 + large])


def naip(data: Path) -> LabelledSet:
    """The pictures that nothing was trained on, with the fields that are not too small."""
    _present(data / "naip_midwest")
    names = labelled_sets.naip_names(data)[labelled_sets.NAIP_TRAINING :]
    scenes = []
    for picture in labelled_sets.naip(data, names, reduction=2):
        masks = [mask for mask in picture.masks if mask.sum() >= NAIP_LEAST_PIXELS]
        fields = tuple(Field(mask, *inner_point(mask), (NAIP,)) for mask in masks)
        scenes.append(Scene(picture.name[:9], picture.image, fields))
    return LabelledSet("naip", (NAIP,), tuple(scenes))


def ontario(data: Path) -> LabelledSet:
    """Six patches of 200 x 200 pixels; the wanted field is SAM's first mask."""
    scenes = []
    for path in sorted(_present(data / "ontario").glob("*_rgb.tif")):
        name = path.name[:4]
        masks = gdal.Open(str(path).replace("_rgb", "_sam_vit_h_masks")).ReadAsArray() > 0
        groups = (ONTARIO,) if name in ONTARIO_FITTED else (ONTARIO, ONTARIO_FREE)
        field = Field(masks[0], 100.5, 100.5, groups)
        scenes.append(Scene(name, labelled_sets.read_image(path), (field,), masks))
    return LabelledSet("ontario", (ONTARIO, ONTARIO_FREE), tuple(scenes))


def generated(_data: Path) -> LabelledSet:
    """Scenes with seeds of their own."""
    scenes = []
    for seed in range(GENERATED_SEED, GENERATED_SEED + GENERATED_SCENES):
        scene = generate(seed, GENERATED_SIZE)
        fields = tuple(_generated_fields(scene.fields, scene.parts))
        if fields:
            scenes.append(Scene(str(seed), scene.image, fields))
    return LabelledSet("generated", (GENERATED, GENERATED_EVEN, GENERATED_PATCHY), tuple(scenes))


def _generated_fields(labels: np.ndarray, parts: np.ndarray) -> Iterator[Field]:
    for k in spread_over_sizes(labels, GENERATED_LEAST_PIXELS, GENERATED_FIELDS):
        mask = labels == k
        one_look = np.bincount(parts[mask]).max() >= MAIN_PART * mask.sum()
        groups = (GENERATED, GENERATED_EVEN if one_look else GENERATED_PATCHY)
        yield Field(mask, *inner_point(mask), groups)


def spread_over_sizes(labels: np.ndarray, least: int, count: int) -> np.ndarray:
    """Up to `count` labels, evenly from the smallest area of at least `least` to the largest."""
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    known = np.flatnonzero(areas >= least)
    known = known[np.argsort(areas[known], kind="stable")]
    places = np.linspace(0, len(known) - 1, min(count, len(known)))
    return known[places.round().astype(int)]


def _present(folder: Path) -> Path:
    """The folder, which must be there."""
    if not folder.is_dir():
        raise AbsentError(f"{folder} does not exist")
    return folder


SETS: Tuple[Tuple[str, Callable[[Path], LabelledSet]], ...] = (
    ("denmark", denmark),
    ("naip", naip),
    ("ontario", ontario),
    ("generated", generated),
)
