"""Training a network on crops of fields; what is held back is only looked at in the end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Iterator, List, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from .crops import SCALARS, CropBatch, TrainingCrops
from .network import FieldNetwork

_SMOOTHING = 0.05
_WEIGHT_DECAY = 0.01
_WARM_UP = 0.1
_BRIGHTER = 0.2
"""A crop is made up to so much brighter or darker."""
_BRIGHTNESS = SCALARS.index("brightness_mean")
_CLIP = 1.0
_ANSWER_BATCH = 64


@dataclass(frozen=True)
class Schedule:
    """How long and how fast."""

    epochs: int = 30
    batch: int = 32
    rate: float = 5e-4
    seed: int = 0


Tell = Callable[[float, str], None]
"""Told the share done and a line for the log."""


def train(
    network: FieldNetwork,
    crops: TrainingCrops,
    schedule: Schedule,
    device: torch.device,
    tell: Tell,
) -> None:
    """Train a network in place, on the crops that are not held back.

    AdamW with a rate that rises and falls as a cosine; classes weigh the same.

    :param tell: called after each epoch.
    """
    rng = np.random.default_rng(schedule.seed)
    rows = np.flatnonzero(~crops.held)
    network.standardise(torch.from_numpy(np.array(crops.scalars[rows])))
    network.to(device).train()
    optimiser = torch.optim.AdamW(_parameters(network), lr=schedule.rate)
    steps = schedule.epochs * max(1, math.ceil(len(rows) / schedule.batch))
    pace = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _pace(step / steps))
    weights = _class_weights(crops.labels[rows], network.head.out_features).to(device)
    loss_of = nn.CrossEntropyLoss(weights, label_smoothing=_SMOOTHING)
    for epoch in range(schedule.epochs):
        losses: List[float] = []
        for chosen in _batches(rows, schedule.batch, rng):
            inputs = _tensors(augmented(crops.batch(chosen), rng), device)
            labels = torch.from_numpy(crops.labels[chosen]).to(device)
            loss = loss_of(network(*inputs), labels)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
            optimiser.step()
            pace.step()
            losses.append(float(loss.detach()))
        share = (epoch + 1) / schedule.epochs
        tell(share, f"epoch {epoch + 1} of {schedule.epochs}, loss {np.mean(losses):.3f}")


@torch.no_grad()
def chances(
    network: FieldNetwork, crops: TrainingCrops, rows: np.ndarray, device: torch.device
) -> np.ndarray:
    """(k, c) float32 probabilities of some crops."""
    network.to(device).eval()
    parts = [np.zeros((0, network.head.out_features), np.float32)]
    for start in range(0, len(rows), _ANSWER_BATCH):
        inputs = _tensors(crops.batch(rows[start : start + _ANSWER_BATCH]), device)
        parts.append(network(*inputs).softmax(dim=1).cpu().numpy())
    return np.concatenate(parts)


def augmented(batch: CropBatch, rng: np.random.Generator) -> CropBatch:
    """The crops turned, mirrored, and brighter or darker, each in its own way.

    Hue, richness and entropy hardly depend on any of it; brightness follows.
    """
    images, masks = batch.images.copy(), batch.masks.copy()
    scalars = batch.scalars.copy()
    for k in range(len(images)):
        turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
        factor = float(rng.uniform(1 - _BRIGHTER, 1 + _BRIGHTER))
        images[k], masks[k] = (_turned(each, turns, mirrored) for each in (images[k], masks[k]))
        images[k] = np.clip(images[k] * np.float32(factor), 0, 255).astype(np.uint8)
        scalars[k, _BRIGHTNESS] = min(1.0, scalars[k, _BRIGHTNESS] * factor)
    return CropBatch(images, masks, scalars)


def _turned(image: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    image = np.rot90(image, turns)
    return image[:, ::-1] if mirrored else image


def _batches(rows: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """All rows in random order; none alone, for its spread would be 0."""
    order = rng.permutation(rows)
    for part in np.array_split(order, math.ceil(len(order) / size)):
        if len(part) > 1 or len(order) == 1:
            yield np.sort(part)


def _tensors(batch: CropBatch, device: torch.device) -> Tuple[Tensor, ...]:
    return tuple(torch.from_numpy(values).to(device) for values in batch.inputs())


def _parameters(network: nn.Module) -> List[dict]:
    """Weights decay; biases and what normalises do not."""
    decaying = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [
        {"params": decaying, "weight_decay": _WEIGHT_DECAY},
        {"params": others, "weight_decay": 0.0},
    ]


def _pace(done: float) -> float:
    if done < _WARM_UP:
        return max(done / _WARM_UP, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))


def _class_weights(labels: np.ndarray, classes: int) -> Tensor:
    counts = np.bincount(labels, minlength=classes)
    weights = np.where(counts > 0, len(labels) / np.maximum(counts, 1) / (counts > 0).sum(), 0)
    return torch.from_numpy(weights.astype(np.float32))
