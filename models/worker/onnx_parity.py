"""Whether a pair of ONNX files answers as the network does that it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, Sequence, Tuple

import numpy as np
import torch

from ...core.fields.segmenter import Prompts
from ..segmenters.model_frame import ModelFrame
from ..segmenters.onnx_pairs.onnx_graph import read_graph
from ..segmenters.onnx_pairs.onnx_session import GraphRunner
from .networks import Parts, picture_of, prompt_points
from .onnx_files import Precision

IMAGE = "image"
"""Input of the encoder: the normalised square."""
LOGITS, SCORES = "logits", "scores"
"""Outputs of the decoder: four masks and what each is worth, the single mask first."""
POINTS, LABELS = "points", "labels"
"""Inputs of the decoder, besides the features."""
_NEAR, _SHARE = 1e-3, 1e-4
"""How far logits may be from those of torch: by that much, or by that share of the largest."""
_LEAST_OVERLAP = {Precision.FLOAT16: 0.98, Precision.INT8: 0.9}
"""Of the masks on average, where weights are rounded."""
_FIELD = 64


@dataclass(frozen=True)
class Answers:
    """All four masks for each prompt."""

    logits: np.ndarray
    """(n, 4, h, w) float32 over the model's square."""
    scores: np.ndarray
    """(n, 4) float32."""


@dataclass(frozen=True)
class Agreement:
    """How near two answers are."""

    difference: float
    """Of logits and scores, the largest."""
    allowed: float
    """What that may be where nothing is rounded."""
    overlap: float
    """Intersection over union of the masks, the mean."""
    least_overlap: float
    """Of the mask that differs most."""

    def suffices(self, precision: Precision) -> bool:
        """Whether the files may be used in place of the network."""
        if precision in _LEAST_OVERLAP:
            return self.overlap >= _LEAST_OVERLAP[precision]
        return self.difference <= self.allowed

    def told(self, precision: Precision) -> str:
        """In words, with what is wanted."""
        logits = f"logits differ by {self.difference:.2g} at most"
        masks = f"masks overlap by {self.overlap:.3f} on average"
        if precision in _LEAST_OVERLAP:
            masks += f" (at least {_LEAST_OVERLAP[precision]} is wanted)"
        else:
            logits += f" ({self.allowed:.2g} is allowed)"
        return f"{logits}, {masks}, the worst by {self.least_overlap:.3f}"


def example() -> Tuple[np.ndarray, List[Prompts]]:
    """A made-up picture of fields, (270, 450, 3) uint8, and prompts of all kinds on it."""
    rng = np.random.default_rng(0)
    colours = rng.integers(40, 200, (5, 8, 3)).repeat(_FIELD, axis=0).repeat(_FIELD, axis=1)
    fields = colours[:270, :450]
    image = np.clip(fields + rng.normal(0, 8, fields.shape), 0, 255).astype(np.uint8)
    near = np.array([[100.0, 90.5], [150.0, 95.0], [90.0, 140.0]])
    box, other_box = np.array([64.0, 60.0, 130.0, 129.5]), np.array([190.5, 0.0, 322.0, 131.0])
    nothing = np.zeros((0, 2)), np.zeros(0, bool)
    prompts = [
        Prompts.click(100.2, 90.0),
        Prompts.click(449.5, 269.5),
        Prompts(near, np.array([True, False, False])),
        Prompts(*nothing, box),
        Prompts(*nothing, other_box),
        Prompts(near[:2], np.array([True, False]), box),
    ]
    return image, prompts


@torch.no_grad()
def network_answers(
    parts: Parts,
    features: Sequence[torch.Tensor],
    shape: Tuple[int, int],
    prompts: Sequence[Prompts],
) -> Answers:
    """What torch says, asked for one prompt after the other.

    :param features: of the image, from coarse to fine.
    :param shape: H and W of the image.
    """
    picture = picture_of(parts, features)
    found = []
    for prompt in prompts:
        points, labels = (torch.from_numpy(v)[None] for v in prompt_points(parts, prompt, shape))
        answered = parts.decoder(picture, parts.prompts(points, labels))
        found.append([values[0].numpy() for values in answered])
    return _stacked(found)


def file_answers(
    encoder: Path, decoder: Path, parts: Parts, image: np.ndarray, prompts: Sequence[Prompts]
) -> Answers:
    """What onnxruntime says, asked for all prompts with as many points at once.

    :param image: (H, W, 3) uint8.
    :raises ModelError: it cannot open or run the files.
    """
    # On the processor alone: graphics cards round otherwise.
    runner = GraphRunner(encoder, accelerated=False)
    names = [value.name for value in read_graph(encoder).outputs]
    features = dict(zip(names, runner.run(names, {IMAGE: parts.frame.square(image)})))
    runner = GraphRunner(decoder, accelerated=False)
    asked = [prompt_points(parts, prompt, image.shape[:2]) for prompt in prompts]
    found: Dict[int, Tuple[np.ndarray, np.ndarray]] = {}
    for count in {len(labels) for _, labels in asked}:
        rows = [k for k, (_, labels) in enumerate(asked) if len(labels) == count]
        points, labels = (np.stack([asked[k][part] for k in rows]) for part in (0, 1))
        given = {**features, POINTS: points, LABELS: labels.astype(np.float32)}
        found.update(zip(rows, zip(*runner.run([LOGITS, SCORES], given))))
    return _stacked(found[k] for k in range(len(prompts)))


def agreement(
    expected: Answers, found: Answers, frame: ModelFrame, shape: Tuple[int, int]
) -> Agreement:
    """How near answers are to those that were expected.

    :param shape: H and W of the image.
    """
    apart = [abs(found.logits - expected.logits).max(), abs(found.scores - expected.scores).max()]
    one, other = (frame.masks(answers.logits, shape) for answers in (expected, found))
    shared, either = ((join(one, other)).sum((2, 3)) for join in (np.logical_and, np.logical_or))
    overlaps = np.where(either, shared / np.maximum(either, 1), 1.0)
    return Agreement(
        difference=float(np.max(apart)),
        allowed=max(_NEAR, _SHARE * float(abs(expected.logits).max())),
        overlap=float(overlaps.mean()),
        least_overlap=float(overlaps.min()),
    )


def _stacked(answers: Iterable[Sequence[np.ndarray]]) -> Answers:
    logits, scores = (np.stack(values) for values in zip(*answers))
    return Answers(logits, scores)
