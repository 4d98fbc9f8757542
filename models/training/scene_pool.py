"""Generated scenes on disk: made once, read in small pieces by every training process."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Sequence, Tuple

import numpy as np

from .sampling import Sample, nearest, resized
from .scenes import generate

CHUNK = 100
"""Scenes in one pair of files; a run that is killed loses at most so many."""


@dataclass(frozen=True)
class ScenePool:
    """Generated scenes in memory-mapped files."""

    images: np.ndarray
    """(n, H, W, 3) uint8."""
    labels: np.ndarray
    """(n, 3, H, W) int16, or (n, H, W) where parts, fields and blocks are the same."""

    @classmethod
    def open(cls, folder: Path) -> List[ScenePool]:
        """All pools of a folder: pairs of NAME_images.npy and NAME_labels.npy."""
        pairs = [(path, path.with_name(path.name.replace("_images", "_labels")))
                 for path in sorted(folder.glob("*_images.npy"))]  # fmt: skip
        return [cls(*(np.load(path, mmap_mode="r") for path in pair)) for pair in pairs]

    def split(self, kept_aside: float) -> Tuple[ScenePool, ScenePool]:
        """The scenes to learn from, and the last ones, one at least, kept aside for validation."""
        border = min(round(len(self.images) * (1 - kept_aside)), len(self.images) - 1)
        first = ScenePool(self.images[:border], self.labels[:border])
        return first, ScenePool(self.images[border:], self.labels[border:])

    def sample(self, size: int, rng: np.random.Generator) -> Sample:
        """A crop of one scene: at its own scale, or enlarged or reduced."""
        k = int(rng.integers(len(self.images)))
        side = self.images.shape[1]
        widest = min(side, 2 * size)
        zoomed = rng.random() < 0.6
        cut = int(np.exp(rng.uniform(np.log(size / 2.2), np.log(widest)))) if zoomed else size
        cut = min(cut, side)
        row, column = rng.integers(0, side - cut + 1, 2)
        window = (slice(row, row + cut), slice(column, column + cut))
        labels = np.broadcast_to(self.labels[k], (3, side, side))[(slice(None), *window)]
        return Sample(resized(self.images[k][window], size), nearest(labels, size), False)


def write_scenes(
    folder: Path,
    seed: int,
    count: int,
    size: int,
    wanted: Callable[[int, int], bool] = lambda seed, size: True,
) -> None:
    """Generate the scenes from a seed on and keep them; files that are there stay.

    :param count: rounded up to whole chunks.
    :param size: pixels a side.
    :param wanted: told a seed and the size, says whether that scene is to be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seeds = filter(lambda number: wanted(number, size), itertools.count(seed))
    for _ in range(-(-count // CHUNK)):
        chunk = list(itertools.islice(seeds, CHUNK))
        stem = folder / f"scenes_{size}_{chunk[0]:08d}"
        if not stem.with_name(f"{stem.name}_images.npy").exists():
            _write_chunk(stem, chunk, size)


def _write_chunk(stem: Path, seeds: Sequence[int], size: int) -> None:
    scenes = [generate(seed, size) for seed in seeds]
    labels = [np.stack([s.parts, s.fields, s.blocks]).astype(np.int16) for s in scenes]
    _write(stem.with_name(f"{stem.name}_labels.npy"), np.stack(labels))
    # The images come last: a chunk counts only when both of its files are whole.
    _write(stem.with_name(f"{stem.name}_images.npy"), np.stack([s.image for s in scenes]))


def _write(path: Path, values: np.ndarray) -> None:
    new = path.with_suffix(".new")
    with new.open("wb") as handle:
        np.save(handle, values)
    new.replace(path)
