"""Training batches: pictures, prompts on them and what is true, drawn from a seed and a number.

Batch number n of seed s is always the same, so a training run that was killed goes on exactly
where it stopped, however many processes prepare its batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from ..segmenters.furrow_field.field_crops import GRID, LEVELS
from ..segmenters.furrow_field.standardising import standardised
from .prompting import Question, levels_for, origin, questions, target
from .sampling import RealPicture, Sample, augmented, boundaries
from .scene_pool import ScenePool

SHAPES: Tuple[Tuple[int, int, int], ...] = ((128, 15, 3), (192, 7, 6), (256, 4, 11))
"""Side of the crops, crops and prompts per crop: each about as much work as the others."""
_SHAPE_SHARES = (0.4, 0.35, 0.25)


class Batch(NamedTuple):
    """Tensors of b pictures and n decodes; some prompts are decoded at two levels."""

    images: Tensor
    """(b, 3, S, S) float32, standardised."""
    edges: Tensor
    """(b, S / 2, S / 2) float32 0 or 1: where a field ends."""
    edges_known: Tensor
    """(b, S / 2, S / 2) float32 0 or 1."""
    picture: Tensor
    """(n,) int64."""
    level: Tensor
    """(n,) int64, ascending."""
    origin: Tensor
    """(n, 2) int64 cells."""
    points: Tensor
    """(n, k, 2) float32 cells of the crop."""
    labels: Tensor
    """(n, k) int64."""
    boxes: Tensor
    """(n, 4) float32 cells of the crop."""
    truths: Tensor
    """(n, 3, 2 GRID, 2 GRID) float32: part, field, block."""
    outside: Tensor
    """(n, 3) float32: area of the truth beyond the crop."""
    question: Tensor
    """(n,) int64 from 0 on: decodes of the same prompt have the same number."""
    real: Tensor
    """(n,) bool: on a real picture."""
    nested: Tensor
    """(n, 3) bool: the part and the block differ from the field; the middle is always true."""


@dataclass(frozen=True)
class Sources:
    """Where crops come from."""

    scenes: Sequence[ScenePool]
    pictures: Sequence[RealPicture]
    weights: np.ndarray
    """(pictures,) how often each real picture is drawn."""
    real_share: float

    def sample(self, size: int, rng: np.random.Generator) -> Sample:
        """One augmented crop."""
        if self.pictures and (not self.scenes or rng.random() < self.real_share):
            k = int(rng.choice(len(self.pictures), p=self.weights))
            return augmented(self.pictures[k].sample(size, rng), rng)
        counts = np.array([len(pool.images) for pool in self.scenes], float)
        pool = self.scenes[int(rng.choice(len(counts), p=counts / counts.sum()))]
        return augmented(pool.sample(size, rng), rng)


def make_batch(sources: Sources, seed: Sequence[int]) -> Batch:
    """The batch of a seed."""
    rng = np.random.default_rng(list(seed))
    size, count, prompts = SHAPES[int(rng.choice(len(SHAPES), p=_SHAPE_SHARES))]
    samples: List[Sample] = []
    asked: List[Tuple[int, Question]] = []
    while len(samples) < count:
        sample = sources.sample(size, rng)
        found = questions(sample.labels, prompts, rng)
        if found:
            asked += [(len(samples), question) for question in found]
            samples.append(sample)
    return _assembled(samples, asked, rng)


def _assembled(
    samples: List[Sample], asked: List[Tuple[int, Question]], rng: np.random.Generator
) -> Batch:
    decodes = [
        (level, picture, number)
        for number, (picture, question) in enumerate(asked)
        for level in levels_for(question, rng)
    ]
    decodes.sort()
    rows = [_decode(asked[number][1], level) for level, _, number in decodes]
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    shown = [standardised(sample.image) for sample in samples]
    images = np.stack(shown).transpose(0, 3, 1, 2)
    edges = np.stack([boundaries(sample.labels[1]) for sample in samples])
    known = np.stack([_edges_known(sample) for sample in samples])
    picture = np.array([picture for _, picture, _ in decodes], np.int64)
    named: Dict[str, np.ndarray] = {
        "images": np.ascontiguousarray(images, np.float32),
        "edges": edges.astype(np.float32),
        "edges_known": known.astype(np.float32),
        "picture": picture,
        "level": np.array([level for level, _, _ in decodes], np.int64),
        "question": np.array([number for _, _, number in decodes], np.int64),
        "real": np.array([samples[k].real for k in picture]),
        **columns,
    }
    return Batch(**{name: torch.from_numpy(named[name]) for name in Batch._fields})


def _decode(question: Question, level: int) -> Dict[str, np.ndarray]:
    """The arrays of one prompt at one level."""
    corner = origin(question, level)
    stride = np.float32(LEVELS[level])
    truths, outside = target(question.truths, level, corner)
    boxed = question.box[2] > question.box[0]
    box = question.box / stride - np.tile(corner, 2).astype(np.float32)
    field = question.truths[1]
    nested = np.array([(layer != field).any() for layer in question.truths])
    nested[1] = True
    return {
        "origin": corner,
        "points": question.points / stride - corner.astype(np.float32),
        "labels": question.labels,
        "boxes": box if boxed else np.zeros(4, np.float32),
        "truths": truths,
        "outside": outside.astype(np.float32),
        "nested": nested,
    }


def _edges_known(sample: Sample) -> np.ndarray:
    """(S / 2, S / 2) bool: all of a generated scene; of a real picture the fields and their rim."""
    half = sample.labels.shape[1] // 2
    if not sample.real:
        return np.ones((half, half), bool)
    field = sample.labels[1].reshape(half, 2, half, 2).any(axis=(1, 3))
    rim = np.pad(field, 2)
    grown = np.zeros_like(field)
    for row in range(5):
        for column in range(5):
            grown |= rim[row : row + half, column : column + half]
    return grown


class BatchStream(IterableDataset):
    """Batches first, first + 1, ... of a seed, shared out among the loader's processes."""

    def __init__(self, sources: Sources, seed: Sequence[int], first: int) -> None:
        super().__init__()
        self.sources, self.seed, self.first = sources, seed, first

    def __iter__(self):  # noqa: ANN204 (an endless generator of Batch)
        worker = torch.utils.data.get_worker_info()
        step = worker.num_workers if worker else 1
        number = self.first + (worker.id if worker else 0)
        while True:
            yield make_batch(self.sources, (*self.seed, number))
            number += step


def inside_cells(side: int, level: Tensor, origin: Tensor) -> Tensor:
    """(n, 1, 2 GRID, 2 GRID) float: 1 where a fine cell of the crop lies in a square picture."""
    strides = torch.tensor(LEVELS, device=level.device)[level]
    steps = torch.arange(2 * GRID, device=level.device)
    limit = (2 * side // strides)[:, None]
    known = [
        ((2 * origin[:, k : k + 1] + steps >= 0) & (2 * origin[:, k : k + 1] + steps < limit))
        for k in (0, 1)
    ]
    return (known[1][:, :, None] & known[0][:, None, :]).float()[:, None]
