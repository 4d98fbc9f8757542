"""Fits the ranker: which of the field model's masks for a prompt is the field?

The field model stays as it is. It answers simulated users on generated scenes with new seeds and on
the real pictures for training; the ranker learns the true IoU of all its masks and to take the
best. The pictures kept aside from the network's training count most: on those that the network
knows by heart its own scores are too good to learn from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from ...core.fields.masks import iou
from ...core.fields.segmenter import Embedding, Prompts
from ..segmenters.furrow_field.field_masks import field_mask
from ..segmenters.furrow_field.field_model import FieldModelSegmenter
from ..segmenters.furrow_field.ranking import Ranker, features
from .batches import Sources
from .prompting import Question, correction, questions
from .sampling import Sample

_SIZE, _PROMPTS = 256, 6
_CORRECTED = 0.35
_WIDTHS = (96, 48)


@dataclass(frozen=True)
class Judged:
    """Candidates of n prompts; where a prompt has fewer than the most, the rest is empty."""

    features: np.ndarray
    """(n, m, f) float32."""
    overlaps: np.ndarray
    """(n, m) float32: true IoU with the wanted field; -1 where there is no candidate."""
    real: np.ndarray
    """(n,) bool."""

    @classmethod
    def joined(cls, parts: List[Judged]) -> Judged:
        """Several as one."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts])
                     for name in ("features", "overlaps", "real")))  # fmt: skip

    @classmethod
    def open(cls, path: Path) -> Judged:
        """Read what `save` has written."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(stored["features"].astype(np.float32), stored["overlaps"], stored["real"])

    def save(self, path: Path) -> None:
        """Write a .npz file, features as float16."""
        halves = np.clip(self.features, -6e4, 6e4).astype(np.float16)
        np.savez(path, features=halves, overlaps=self.overlaps, real=self.real)


class _Interviews(Dataset):
    """What the field model answers to simulated users on one picture after another."""

    def __init__(self, folder: Path, sources: Sources, pictures: int, seed: int) -> None:
        self.folder, self.sources, self.pictures, self.seed = folder, sources, pictures, seed
        self._segmenter: Optional[FieldModelSegmenter] = None

    def __len__(self) -> int:
        return self.pictures

    def __getitem__(self, number: int) -> List[Tuple[np.ndarray, np.ndarray, bool]]:
        if self._segmenter is None:
            # Each process opens its own: a session of onnxruntime does not survive a fork.
            self._segmenter = FieldModelSegmenter(self.folder, 1)
        rng = np.random.default_rng([self.seed, number])
        sample, embedding, asked = shown(self._segmenter, self.sources, _SIZE, rng)
        return [
            (values, overlaps, sample.real)
            for question in asked
            for values, overlaps in _answers(self._segmenter, embedding, question, rng)
        ]


def _as_they_are(answers: list) -> list:
    return answers


def judged(folder: Path, sources: Sources, pictures: int, seed: int, processes: int = 0) -> Judged:
    """The candidates of simulated prompts on some pictures, and how good they really are.

    :param folder: of the field model's files.
    :param processes: that share the work; 0: this one does it.
    """
    interviews = _Interviews(folder, sources, pictures, seed)
    loader = DataLoader(interviews, batch_size=None, num_workers=processes, collate_fn=_as_they_are)
    rows = [row for answers in loader for row in answers]
    most = max(len(row[0]) for row in rows)
    shape = (len(rows), most, rows[0][0].shape[1])
    table, truth = np.zeros(shape, np.float32), np.full(shape[:2], -1, np.float32)
    for k, (values, overlaps, _) in enumerate(rows):
        table[k, : len(values)], truth[k, : len(values)] = values, overlaps
    return Judged(table, truth, np.array([row[2] for row in rows]))


def shown(
    segmenter: FieldModelSegmenter, sources: Sources, size: int, rng: np.random.Generator
) -> Tuple[Sample, Embedding, List[Question]]:
    """A picture, what the field model makes of it, and what simulated users ask there.

    :param size: side of the picture in pixels.
    """
    sample = sources.sample(size, rng)
    embedding = segmenter.encode(np.round(sample.image).astype(np.uint8))
    return sample, embedding, questions(sample.labels, _PROMPTS, rng)


def _answers(
    segmenter: FieldModelSegmenter,
    embedding: Embedding,
    question: Question,
    rng: np.random.Generator,
) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    """Features and true overlaps for a prompt, and sometimes again after a correction."""
    prompt: Optional[Prompts] = prompt_of(question)
    field = question.truths[1]
    for _ in range(1 + (rng.random() < _CORRECTED)):
        if prompt is None:
            return
        (candidates,) = segmenter.candidates(embedding, [prompt])
        masks = [
            field_mask(logits, decode, embedding.shape, prompt)[0]
            for logits, decode in zip(candidates.logits, candidates.decodes)
        ]
        yield features(candidates, prompt), np.array([iou(mask, field) for mask in masks])
        prompt = _corrected(prompt, masks[int(candidates.scores.argmax())], field)


def prompt_of(question: Question) -> Prompts:
    """A simulated prompt as the engines take it."""
    used = question.labels >= 0
    box = question.box.astype(np.float64) if question.box[2] > question.box[0] else None
    return Prompts(question.points[used].astype(np.float64), question.labels[used] == 1, box)


def _corrected(prompt: Prompts, mask: np.ndarray, field: np.ndarray) -> Optional[Prompts]:
    click = correction(mask, field)
    if click is None:
        return None
    x, y, sign = click
    points = np.concatenate([prompt.points, [[x, y]]])
    return Prompts(points, np.append(prompt.foreground, sign == 1), prompt.box)


class _Network(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        widths = (inputs, *_WIDTHS, 1)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:]))
        self.shortcut = nn.Parameter(torch.zeros(inputs))

    def forward(self, x: Tensor) -> Tensor:
        straight = functional.dropout(x, 0.15, self.training) @ self.shortcut
        for layer in self.layers[:-1]:
            x = functional.dropout(functional.relu(layer(x)), 0.15, self.training)
        return self.layers[-1](x)[..., 0] + straight


def fit(data: Judged, weights: np.ndarray, steps: int = 2500, seed: int = 0) -> Ranker:
    """Learn the overlaps and the choice.

    :param weights: (n,) how often each prompt is drawn.
    """
    torch.manual_seed(seed)
    there = data.overlaps >= 0
    known = data.features[there]
    mean, deviation = known.mean(0), known.std(0) + 0.05
    inputs = torch.from_numpy(np.clip((data.features - mean) / deviation, -5, 5))
    truth, mask = torch.from_numpy(data.overlaps), torch.from_numpy(there)
    network = _Network(inputs.shape[-1])
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps)
    chances = torch.from_numpy(weights / weights.sum())
    for _ in range(steps):
        rows = torch.multinomial(chances, 192, replacement=True)
        loss = _loss(network(inputs[rows]), truth[rows], mask[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    weights_of = tuple(layer.weight.detach().numpy().T.copy() for layer in network.layers)
    biases_of = tuple(layer.bias.detach().numpy() for layer in network.layers)
    return Ranker(mean, deviation, weights_of, biases_of, network.shortcut.detach().numpy())


def _loss(scores: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Honest scores, and little lost by taking the mask that scores best."""
    honest = functional.binary_cross_entropy_with_logits(
        scores, truth.clamp(min=0), weight=mask.float()
    )
    shares = torch.softmax(torch.where(mask, 4 * scores, torch.tensor(-1e4)), 1)
    lost = truth.amax(1) - (shares * truth).sum(1)
    return honest + lost.mean()


def quality(ranker: Optional[Ranker], data: Judged) -> Tuple[float, float]:
    """Mean IoU of the candidate that is taken, and of the best there is.

    :param ranker: None: as the network's own scores say.
    """
    taken = []
    for values, overlaps in zip(data.features, data.overlaps):
        there = overlaps >= 0
        # The first feature is the network's own score.
        scores = values[there][:, 0] if ranker is None else ranker.scores(values[there])
        taken.append(overlaps[there][int(scores.argmax())])
    return float(np.mean(taken)), float(data.overlaps.max(1).mean())
