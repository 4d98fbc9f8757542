"""The learned judge of the field model's masks: which of a prompt's candidates is the field?

The network scores each mask from its own crop. The ranker sees all masks of a prompt together:
where several levels agree, where a mask is alone, which size is likely. A small network in numpy;
`models/training/ranking.py` fits it to masks on pictures that the field model has not learned.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Tuple

import numpy as np

from ....core.fields.segmenter import Prompts
from ..odds import chance, log_odds
from .candidates import Candidates

_UNCALIBRATED = np.array([1.0, 0.0], np.float32)
_CERTAIN = 1e-3
"""Scores closer to 0 and 1 than this are not told apart."""
_LIMIT = 5.0
"""Standardised features are cut here, so that nothing unseen gets far."""


@dataclass(frozen=True)
class Ranker:
    """Layers of a small network; all arrays float32."""

    mean: np.ndarray
    """(f,) of the features."""
    deviation: np.ndarray
    """(f,) of the features."""
    weights: Tuple[np.ndarray, ...]
    """(inputs, outputs) of each layer; the last has one output."""
    biases: Tuple[np.ndarray, ...]
    """(outputs,) of each layer."""
    shortcut: np.ndarray
    """(f,) weights that lead from the standardised features straight to the answer."""
    calibration: np.ndarray = field(default_factory=lambda: _UNCALIBRATED)
    """(2,) slope and shift of the log-odds of what is said of offered masks."""

    @classmethod
    def open(cls, path: Path) -> Ranker:
        """Read a file that `save` has written; nothing in it can be executed."""
        with np.load(path, allow_pickle=False) as stored:
            values = {name: stored[name].astype(np.float32) for name in stored.files}
        count = sum(name.startswith("weights") for name in values)
        return cls(
            values["mean"],
            values["deviation"],
            tuple(values[f"weights{k}"] for k in range(count)),
            tuple(values[f"biases{k}"] for k in range(count)),
            values["shortcut"],
            values.get("calibration", _UNCALIBRATED),
        )

    def save(self, path: Path) -> None:
        """Write a .npz file."""
        layers = {f"weights{k}": value for k, value in enumerate(self.weights)}
        layers.update({f"biases{k}": value for k, value in enumerate(self.biases)})
        names = ("mean", "deviation", "shortcut", "calibration")
        np.savez_compressed(path, **{name: getattr(self, name) for name in names}, **layers)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Expected IoU of masks with the wanted field.

        :param features: (m, f) float32.
        :return: (m,) float32 0..1.
        """
        known = np.clip((features - self.mean) / self.deviation, -_LIMIT, _LIMIT)
        values = known
        for k, (weights, biases) in enumerate(zip(self.weights, self.biases)):
            values = values @ weights + biases
            if k < len(self.weights) - 1:
                values = np.maximum(values, 0)
        return chance(values[:, 0] + known @ self.shortcut)

    def honest(self, scores: np.ndarray) -> np.ndarray:
        """What may be expected of masks that were offered because they scored well.

        Of many candidates, those that are taken for the best are mostly not quite as good.

        :param scores: (n,) float 0..1; 0 stays 0.
        :return: (n,) float 0..1 in the same order.
        """
        return np.where(scores > 0, calibrated(scores, self.calibration), 0)

    def recalibrated(self, line: np.ndarray) -> Ranker:
        """The same judge, with what it says of offered masks moved along a further line.

        :param line: (2,) slope and shift of the log-odds.
        """
        (slope, shift), (own_slope, own_shift) = line, self.calibration
        both = np.array([slope * own_slope, slope * own_shift + shift], np.float32)
        return replace(self, calibration=both)


def calibrated(scores: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Scores with their log-odds moved along a line.

    :param scores: (n,) float 0..1.
    :param line: (2,) slope and shift.
    :return: (n,) float 0..1.
    """
    return chance(line[0] * log_odds(scores, _CERTAIN) + line[1])


def features(candidates: Candidates, prompt: Prompts) -> np.ndarray:
    """What the ranker knows of each candidate of a prompt.

    :return: (m, f) float32.
    """
    scores = np.clip(candidates.scores, 1e-4, 1 - 1e-4)
    side = np.sqrt(candidates.area)
    own = [
        log_odds(scores, 1e-4),
        scores - scores.max(),
        0.2 * np.log1p(candidates.area),
        np.log2((side + 1) / candidates.stride),
        np.log2(candidates.stride),
        candidates.missed,
        candidates.box_fit,
        candidates.region,
    ]
    head = np.eye(3)[np.arange(len(scores)) % 3]
    context = np.broadcast_to(_prompt_features(prompt), (len(scores), 3))
    own_side = [np.stack(own, axis=1), head, context, candidates.edges]
    columns = [*own_side, _agreement(candidates), candidates.context, candidates.traits]
    return np.concatenate(columns, axis=1).astype(np.float32)


def _prompt_features(prompt: Prompts) -> np.ndarray:
    """(3,): foreground points, background points, is there a box."""
    positive = int(prompt.foreground.sum())
    return np.array([positive, len(prompt.foreground) - positive, prompt.box is not None], float)


def _agreement(candidates: Candidates) -> np.ndarray:
    """(m, 7): how like a mask is to the others, of its own level and of other levels."""
    alike = candidates.similarity.astype(np.float64)
    others = alike - np.diag(np.diag(alike))
    elsewhere = np.where(candidates.stride[:, None] != candidates.stride, others, 0)
    ranked = -np.sort(-others, axis=1)
    certain = candidates.scores / max(float(candidates.scores.sum()), 1e-6)
    finer = np.where(candidates.area < candidates.area[:, None], others, 0)
    coarser = np.where(candidates.area > candidates.area[:, None], others, 0)
    count = max(len(alike) - 1, 1)
    return np.stack(
        [
            others.sum(1) / count,
            ranked[:, 0],
            ranked[:, min(2, len(alike) - 1)],
            elsewhere.max(1),
            others @ certain,
            finer.max(1),
            coarser.max(1),
        ],
        axis=1,
    )
