"""Checkpoints that need PyTorch, run by a worker process: Segment Anything and its relatives.

The worker gives features as float16, which are the embedding, and remembers those of the last
images by a token, so that a click sends only prompts. Low-resolution logits come back and are
brought to the image's own pixels here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from ....core.errors import ModelError
from ....core.fields.segmenter import Embedding, Masks, Prompts, check_picture
from ....core.monitor import SILENT, Monitor
from ...dependencies.environment import interpreter_of
from ...worker.framing import Frame
from ...worker.messages import FEATURE, packed_prompts
from ..model_frame import Fit, ModelFrame
from .worker_client import About, Worker, shared_worker

EMBEDDING_VERSION = 1
"""To be raised with every change of what `encode` gives for the same image and checkpoint."""
MASKS_PER_PROMPT = 3
_KNOWN_AS = "known_as"
"""Among the embedding's data: uint8, the name under which the worker may know the features."""
_MOST_PROMPTS = 32
"""Together: their low-resolution logits take 33 MB."""
_STRETCHING = ("segment-anything-2", "segment-anything-2.1", "segment-anything-3")
"""Families whose networks see the image stretched to a square."""


def open_checkpoint(
    checkpoint: Path, model_id: str, environment: Path, device: str = "auto"
) -> TorchSegmenter:
    """The engine of a checkpoint; its process starts when it is first asked, or with `start`.

    :param environment: folder of the virtual environment that has PyTorch.
    :param device: "auto", "cpu", "cuda", ...
    :raises ModelError: the checkpoint or the environment is missing.
    """
    return TorchSegmenter(model_id, shared_worker(interpreter_of(environment), checkpoint, device))


class TorchSegmenter:
    """A network in a worker; fulfils :class:`furrow.core.fields.segmenter.Segmenter`."""

    def __init__(self, model_id: str, worker: Worker) -> None:
        """Nothing is started yet."""
        self.id = model_id
        self._worker = worker

    def start(self, monitor: Monitor = SILENT) -> About:
        """Start the worker where it does not run; what it runs, and how long it took to start.

        :raises ModelError: the checkpoint cannot be opened, or the worker has failed.
        :raises Cancelled:
        """
        return self._worker.start(monitor)

    def memory(self) -> Dict[str, Optional[int]]:
        """Bytes at most so far: "memory" of the worker, "device_memory" of a graphics card.

        :raises ModelError: the worker has failed.
        """
        return self._worker.memory()

    def encode(self, image: np.ndarray) -> Embedding:
        """Features of one image.

        :param image: (H, W, 3) uint8, never changed.
        :raises ModelError: not enough memory, or the worker has failed.
        """
        check_picture(image)
        answer = self._worker.ask(Frame({"kind": "encode"}, {"image": image}))
        token = np.frombuffer(bytes.fromhex(answer.header["token"]), np.uint8)
        return Embedding(self.id, image.shape[:2], {**answer.arrays, _KNOWN_AS: token})

    def predict(self, embedding: Embedding, prompts: Sequence[Prompts]) -> Masks:
        """Three masks for each prompt, the finest first.

        :param embedding: made by this engine.
        :return: masks (n, 3, H, W) bool, scores (n, 3) float32 in 0..1.
        :raises ModelError: not enough memory, or the worker has failed.
        """
        masks = np.zeros((len(prompts), MASKS_PER_PROMPT, *embedding.shape), dtype=bool)
        scores = np.zeros((len(prompts), MASKS_PER_PROMPT), dtype=np.float32)
        for start in range(0, len(prompts), _MOST_PROMPTS):
            part = slice(start, start + _MOST_PROMPTS)
            masks[part], scores[part] = self._answers(embedding, prompts[part])
        return Masks(masks, scores)

    def _answers(
        self, embedding: Embedding, prompts: Sequence[Prompts]
    ) -> Tuple[np.ndarray, np.ndarray]:
        answers = self._decode(embedding, packed_prompts(prompts))
        # Not start() alone: that may wait for a child that another thread starts.
        frame = _frame(self._worker.about or self._worker.start())
        seen = _seen(frame, embedding.shape, answers["logits"].shape[-2:])
        taken = _taken(answers["logits"][:, :, seen[0], seen[1]], prompts)
        masks = frame.masks(_chosen(answers["logits"], taken), embedding.shape)
        scores = np.clip(np.nan_to_num(_chosen(answers["scores"], taken)), 0, 1)
        # Along axes numpy counts ten times as slowly.
        areas = [[np.count_nonzero(mask) for mask in answers] for answers in masks]
        order = np.argsort(areas, axis=1, kind="stable")
        return _chosen(masks, order), _chosen(scores, order)

    def _decode(
        self, embedding: Embedding, prompts: Mapping[str, np.ndarray]
    ) -> Mapping[str, np.ndarray]:
        """Low-resolution logits and scores; features are sent where the worker has not got them."""
        token = embedding.data[_KNOWN_AS].tobytes().hex()
        header = {"kind": "decode", "token": token, "shape": [int(n) for n in embedding.shape]}
        answer = self._worker.ask(Frame(header, prompts))
        if answer.header["kind"] == "unknown":
            features = {
                FEATURE + name: values
                for name, values in embedding.data.items()
                if name != _KNOWN_AS
            }
            answer = self._worker.ask(Frame(header, {**prompts, **features}))
        if answer.header["kind"] != "answers":
            raise ModelError(f"MODEL: the embedding of {self.id} is empty; encode the image again.")
        return answer.arrays


def _frame(about: About) -> ModelFrame:
    return ModelFrame(about.side, Fit.STRETCH if about.family in _STRETCHING else Fit.PAD)


def _seen(frame: ModelFrame, shape: Tuple[int, int], low: Sequence[int]) -> Tuple[slice, slice]:
    """The cells of the logits that lie on the image."""
    height, width = (
        -(-cells * inner // frame.side) for cells, inner in zip(low, frame.inner(shape))
    )
    return slice(0, height), slice(0, width)


def _taken(low: np.ndarray, prompts: Sequence[Prompts]) -> np.ndarray:
    """Which three of a network's four answers are offered for each prompt: (n, 3) int.

    For one click, the three from part to whole. A box or several points say which field is meant:
    the single answer to them takes the place of that of the three which is most like it.

    :param low: (n, 4, h, w) logits on the image, the single answer first.
    """
    taken = np.tile(np.arange(1, 1 + MASKS_PER_PROMPT), (len(prompts), 1))
    for row, masks, prompt in zip(taken, low > 0, prompts):
        if prompt.box is not None or len(prompt.points) > 1:
            shared = (masks[1:] & masks[0]).sum(axis=(1, 2))
            either = (masks[1:] | masks[0]).sum(axis=(1, 2))
            row[np.argmax(shared / np.maximum(either, 1))] = 0
    return taken


def _chosen(values: np.ndarray, which: np.ndarray) -> np.ndarray:
    """(n, k, ...) values by (n, m) positions on the second axis: (n, m, ...)."""
    return values[np.arange(len(values))[:, None], which]
