"""Training of the field model: resumable at any moment, on a CPU or a GPU.

The state lives in one folder: checkpoint_0.pt (weights, their running mean, the optimiser, the
step), log_0.csv (one line per REPORT steps) and validation.csv. A checkpoint replaces the one
before only when it is written whole, so a kill at any time loses at most the steps since then.

On a CPU two processes with one thread each learn more than one process with two. Members of a run
share the folder, each with its own number and its own batches; every MEET steps a member moves its
weights half way to the mean of those that the others left there last. Nobody waits for anybody
(elastic averaging, Zhang, Choromanska and LeCun 2015), so a member may be slow or killed.
"""

from __future__ import annotations

import copy
import csv
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from .batches import Batch, BatchStream, Sources, inside_cells, make_batch
from .losses import FIELD, by_question, losses, true_overlaps
from .network import Answers, Clicks, Crops, FieldNetwork, crop
from .prompting import correction

REPORT, KEEP, MEET = 50, 50, 20
"""Steps between lines of the log, between checkpoints, and between meetings of members."""
MEAN_DECAY = 0.998
_CORRECTED = 0.3


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn."""

    steps: int
    """All steps of the run, over all sessions."""
    rate: float = 1e-3
    warm: int = 100
    """Steps in which the rate rises."""
    fall: float = 0.35
    """Share of the steps at the end in which the rate falls to nothing."""
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: rises, stays, falls along a line."""
        rising = min(1.0, (step + 1) / self.warm)
        falling = min(1.0, (self.steps - step) / max(self.fall * self.steps, 1))
        return self.rate * rising * max(falling, 0.01)


class Trainer:
    """The state of a run and one step of it."""

    def __init__(
        self, folder: Path, schedule: Schedule, device: str = "cpu", member: int = 0
    ) -> None:
        self.folder, self.schedule, self.device = folder, schedule, torch.device(device)
        self.member = member
        self._met: Dict[Path, float] = {}
        torch.manual_seed(schedule.seed)
        self.network = FieldNetwork().to(self.device, memory_format=torch.channels_last)
        self.mean = copy.deepcopy(self.network).eval()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=schedule.rate, weight_decay=0.02
        )
        self.step = 0

    # ---------------------------------------------------------------------------- checkpoints

    def resume(self) -> bool:
        """Go on from the folder's checkpoint; False where there is none.

        A member that is new begins as the first one is.
        """
        path = self._checkpoint if self._checkpoint.is_file() else self.folder / "checkpoint_0.pt"
        if not path.is_file():
            return False
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.mean.load_state_dict(state["mean"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])
        return True

    @property
    def _checkpoint(self) -> Path:
        return self.folder / f"checkpoint_{self.member}.pt"

    def keep(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "mean": self.mean.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }
        _save(state, self._checkpoint)

    def start_from(self, path: Path) -> None:
        """Begin with the weights of a file (.npz, as `save_weights` writes them)."""
        load_weights(self.network, path)
        self.mean.load_state_dict(self.network.state_dict())

    @torch.no_grad()
    def meet(self) -> int:
        """Leave the weights for other members and move half way to the mean of theirs.

        :return: how many others have left weights since the last meeting.
        """
        own = self.folder / f"weights_{self.member}.pt"
        _save({"network": self.network.state_dict(), "step": self.step}, own)
        left = [path for path in self.folder.glob("weights_*.pt") if path != own]
        fresh = {path: path.stat().st_mtime for path in left}
        fresh = {path: time for path, time in fresh.items() if time != self._met.get(path)}
        self._met.update(fresh)
        others = [torch.load(p, map_location=self.device, weights_only=True) for p in fresh]
        for name, value in self.network.state_dict().items():
            if others and value.dtype.is_floating_point:
                value.lerp_(torch.stack([o["network"][name] for o in others]).mean(0), 0.5)
        # The schedule follows the fastest, so that all of them end together.
        self.step = max([self.step, *(int(other["step"]) for other in others)])
        return len(others)

    # -------------------------------------------------------------------------------- learning

    def learn(self, batch: Batch) -> Dict[str, float]:
        """One step; returns figures for the log."""
        rng = np.random.default_rng([self.schedule.seed, self.step, self.member, 1])
        batch = Batch(*(value.to(self.device) for value in batch))
        self.network.train()
        features = self.network.encoder(batch.images.contiguous(memory_format=torch.channels_last))
        crops = crop(features, batch.picture, batch.level, batch.origin)
        if rng.random() < _CORRECTED:
            rounds = 1 + (rng.random() < 0.4)
            batch = _corrected(self.network.decoder, batch, crops, rounds)
        answers = self.network.decoder(crops, _clicks(batch))
        parts = losses(batch, answers, features["boundary"])
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.rate_at(self.step)
        self.optimiser.zero_grad(set_to_none=True)
        parts.total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._follow()
        figures = {name: value.item() for name, value in parts._asdict().items()}
        return {**figures, **_figures(batch, answers)}

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the running mean of the weights."""
        decay = min(MEAN_DECAY, (self.step + 1) / (self.step + 50))
        pairs = zip(self.mean.state_dict().values(), self.network.state_dict().values())
        for mean, value in pairs:
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


def _clicks(batch: Batch) -> Clicks:
    """The prompts without slots that no prompt uses."""
    used = max(int((batch.labels >= 0).sum(1).max()), 1)
    return Clicks(batch.points[:, :used], batch.labels[:, :used], batch.boxes)


@torch.no_grad()
def _corrected(decoder: nn.Module, batch: Batch, crops: Crops, rounds: int) -> Batch:
    """The batch after a simulated user has corrected the answers once or twice."""
    decoder.eval()
    points, labels, truths = batch.points.clone(), batch.labels.clone(), batch.truths
    for _ in range(rounds):
        answers = decoder(crops, _clicks(batch._replace(points=points, labels=labels)))
        best = answers.scores.argmax(1)
        masks = (answers.logits[torch.arange(len(best)), best] > 0).cpu().numpy()
        wanted = (truths[:, FIELD] > 0.5).cpu().numpy()
        inside = inside_cells(batch.images.shape[-1], batch.level, batch.origin)[:, 0] > 0
        inside = inside.cpu().numpy()
        for k in range(len(best)):
            _add_click(points[k], labels[k], correction(masks[k] & inside[k], wanted[k]))
    decoder.train()
    field = truths[:, FIELD : FIELD + 1].expand_as(truths).contiguous()
    outside = batch.outside[:, FIELD : FIELD + 1].expand_as(batch.outside).contiguous()
    nested = torch.zeros_like(batch.nested)
    nested[:, FIELD] = True
    return batch._replace(
        points=points, labels=labels, truths=field, outside=outside, nested=nested
    )


def _add_click(points: torch.Tensor, labels: torch.Tensor, click) -> None:  # noqa: ANN001
    """Put a click of `correction` (in fine cells) into a free slot."""
    free = torch.nonzero(labels < 0)
    if click is None or not len(free):
        return
    slot = int(free[0])
    x, y, sign = click
    points[slot, 0], points[slot, 1], labels[slot] = x / 2, y / 2, sign


@torch.no_grad()
def _figures(batch: Batch, answers: Answers) -> Dict[str, float]:
    """IoU of the mask that scores best, and of the best mask, on real and generated pictures."""
    inside = inside_cells(batch.images.shape[-1], batch.level, batch.origin)
    overlaps = true_overlaps(answers.logits, batch, inside)
    scores = by_question(answers.scores, batch.question, -1e4)
    grouped = by_question(overlaps, batch.question, 0.0)
    real = by_question(batch.real[:, None], batch.question, False)[:, 0]
    chosen = grouped.gather(1, scores.argmax(1, keepdim=True))[:, 0]
    best = grouped.amax(1)
    return {
        "real_chosen": _mean(chosen[real]),
        "real_best": _mean(best[real]),
        "generated_chosen": _mean(chosen[~real]),
        "generated_best": _mean(best[~real]),
    }


def _mean(values: torch.Tensor) -> float:
    return float(values.mean()) if len(values) else float("nan")


def run(
    trainer: Trainer,
    sources: Sources,
    validate: Optional[Callable[[nn.Module], Dict[str, float]]] = None,
    validate_every: int = 500,
    workers: int = 1,
) -> None:
    """Train to the end of the schedule, keeping checkpoints, a log and validation figures."""
    seed = (trainer.schedule.seed, trainer.member)
    stream = BatchStream(sources, seed, trainer.step)
    loader = DataLoader(stream, batch_size=None, num_workers=workers, prefetch_factor=4)
    seen: List[Dict[str, float]] = []
    start = time.perf_counter()
    for number, batch in enumerate(_until(loader, trainer), start=1):
        seen.append(trainer.learn(batch))
        if len(seen) == REPORT:
            _log(trainer, seen, (time.perf_counter() - start) / len(seen))
            seen, start = [], time.perf_counter()
        done = trainer.step >= trainer.schedule.steps
        if number % KEEP == 0 or done:
            trainer.keep()
        if number % MEET == 0 and not done:
            trainer.meet()
        if validate and (number % validate_every == 0 or done):
            _append(trainer.folder / "validation.csv", trainer.step, validate(trainer.mean))
            start = time.perf_counter()


def validation(sources: Sources, batches: int = 10) -> Callable[[nn.Module], Dict[str, float]]:
    """A function that measures a network on fixed prompts on pictures that are kept aside."""
    fixed = [make_batch(sources, (2**31, k)) for k in range(batches)]

    @torch.no_grad()
    def measure(network: nn.Module) -> Dict[str, float]:
        device = next(network.parameters()).device
        rows = []
        for batch in fixed:
            moved = Batch(*(value.to(device) for value in batch))
            features = network.encoder(moved.images)
            crops = crop(features, moved.picture, moved.level, moved.origin)
            rows.append(_figures(moved, network.decoder(crops, _clicks(moved))))
        return _averages(rows)

    return measure


def _until(loader: DataLoader, trainer: Trainer) -> Iterator[Batch]:
    for batch in loader:
        if trainer.step >= trainer.schedule.steps:
            return
        yield batch


def _log(trainer: Trainer, seen: List[Dict[str, float]], seconds: float) -> None:
    figures = {**_averages(seen), "seconds_per_step": seconds}
    _append(trainer.folder / f"log_{trainer.member}.csv", trainer.step, figures)
    print(trainer.step, " ".join(f"{k} {v:.3f}" for k, v in figures.items()), flush=True)


def _averages(rows: List[Dict[str, float]]) -> Dict[str, float]:
    """Means by name; a figure that a batch does not have (NaN) does not count."""
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    known = {name: values[np.isfinite(values)] for name, values in table.items()}
    return {name: float(values.mean()) if len(values) else np.nan for name, values in known.items()}


def _save(state: Dict[str, object], path: Path) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    torch.save(state, new)
    new.replace(path)


def _append(path: Path, step: int, figures: Dict[str, float]) -> None:
    """One more line of a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        if new:
            writer.writerow(["step", *figures])
        writer.writerow([step, *(f"{value:.4f}" for value in figures.values())])


def save_weights(network: nn.Module, path: Path) -> None:
    """Weights as float16 in a .npz file: nothing in it can be executed."""
    values = {name: value.cpu().numpy() for name, value in network.state_dict().items()}
    halves = {
        name: value.astype(np.float16) if value.dtype == np.float32 else value
        for name, value in values.items()
    }
    np.savez_compressed(path, **halves)


def load_weights(network: nn.Module, path: Path) -> None:
    """Put the weights of `save_weights` into a network."""
    with np.load(path, allow_pickle=False) as stored:
        state = {name: torch.from_numpy(stored[name]) for name in stored.files}
    network.load_state_dict({name: value.float() if value.is_floating_point() else value
                             for name, value in state.items()})  # fmt: skip
