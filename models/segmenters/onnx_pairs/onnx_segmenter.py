"""Models of the Segment Anything family as a pair of ONNX files, run by onnxruntime.

The decoder answers with logits in low resolution, which are enlarged here: within the graph that
takes several times as long as everything else. EfficientSAM's decoder always enlarges to
`orig_im_size`; it is given the size of its own logits, which leaves them as they are, and points
in pixels of that small square.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from pathlib import Path
from threading import Lock
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ....core.errors import ModelError
from ....core.fields.segmenter import Embedding, Masks, Prompts, Segmenter, check_picture
from .onnx_conventions import Padding, PairPlan, PictureInput, Size, Values, plan_pair
from .onnx_graph import Value, read_graph
from .onnx_kinds import SEGMENT_ANYTHING_2
from .onnx_safety import check_safe
from .onnx_session import CPU, GraphRunner

EMBEDDING_VERSION = 1
"""To be raised with every change of what `encode` gives for the same image and files: embeddings
that users keep on disk are then made again."""
MASKS_PER_PROMPT = 3
_AT_ONCE, _AT_ONCE_ACCELERATED = 8, 32
"""Prompts in one run of a decoder, each of which takes some 40 MB; more is no faster."""
_PART = 64
"""Prompts whose logits in low resolution are held together; they take some 50 MB."""
_SINGLE_AND_SEVERAL = 4
"""Masks of a decoder that gives the single one first, and then the three for one click."""
_MARGIN, _LEAST_STEADY = 0.05, 0.98
"""Of logits, and the share of a mask's area that must stay when the threshold moves by it."""
_NO_POINT = -1
_CORNERS = (2, 3)
"""Labels of a box's upper left and lower right corner."""


def open_pair(
    encoder: Path, decoder: Path, model_id: str, threads: Optional[int] = None
) -> Segmenter:
    """The segmenter of two ONNX files.

    :param model_id: what embeddings and run records call it.
    :param threads: of one run of onnxruntime; None: its default.
    :raises ModelError: onnxruntime or a file is missing, a file is not safe to open, or they are no
        pair that Furrow knows.
    """
    return OnnxSegmenter(encoder, decoder, model_id, threads)


class OnnxSegmenter:
    """A pair of ONNX files; fulfils :class:`furrow.core.fields.segmenter.Segmenter`."""

    def __init__(
        self, encoder: Path, decoder: Path, model_id: str, threads: Optional[int] = None
    ) -> None:
        """Open the decoder; the encoder, which may be large, is opened when it is first needed.

        :raises ModelError: as :func:`open_pair`.
        """
        self.id = model_id
        graphs = read_graph(encoder), read_graph(decoder)
        for graph in graphs:
            check_safe(graph)
        self.plan = plan_pair(*graphs)
        """How the two are asked."""
        self._decoder = GraphRunner(decoder, threads)
        self._encoder: Optional[GraphRunner] = None
        self._encoder_file, self._threads = encoder, threads
        self._opening = Lock()
        self._ready: Tuple[Optional[weakref.ref[Embedding]], Dict[str, np.ndarray]] = (None, {})
        """The embedding that was asked last, and its features as the decoder takes them."""

    def encode(self, image: np.ndarray) -> Embedding:
        """Features of one image, as float16 where they fit into it: 2 to 8 MB for most models.

        :param image: (H, W, 3) uint8, never changed.
        :raises ModelError: the encoder cannot be opened or run.
        """
        check_picture(image)
        features = {name: _stored(values) for name, values in self.features(image).items()}
        return Embedding(self.id, image.shape[:2], features)

    def predict(self, embedding: Embedding, prompts: Sequence[Prompts]) -> Masks:
        """Masks for each prompt: three, or one where the decoder gives no more.

        :param embedding: made by this engine.
        :return: masks (n, m, H, W) bool from fine to coarse, scores (n, m) float32 in 0..1.
        :raises ModelError: the decoder cannot be run.
        """
        features, shape = self._prepared(embedding), embedding.shape
        masks = np.zeros((len(prompts), MASKS_PER_PROMPT, *shape), bool)
        scores = np.zeros((len(prompts), MASKS_PER_PROMPT), np.float32)
        for start in range(0, len(prompts), _PART):
            some = self.logits(features, shape, prompts[start : start + _PART])
            for k, (low, rated) in enumerate(some, start):
                found = self.plan.picture.frame.masks(low[None], shape)[0]
                order = np.argsort([np.count_nonzero(mask) for mask in found], kind="stable")
                if len(found) != masks.shape[1]:  # the same for all prompts
                    masks = np.zeros((len(prompts), len(found), *shape), bool)
                    scores = np.zeros((len(prompts), len(found)), np.float32)
                masks[k], scores[k] = found[order], np.clip(np.nan_to_num(rated), 0, 1)[order]
        return Masks(masks, scores)

    def features(self, image: np.ndarray) -> Dict[str, np.ndarray]:
        """What the encoder makes of an image.

        :param image: (H, W, 3) uint8, never changed.
        :return: names of the encoder's outputs to arrays, in its own precision.
        :raises ModelError: the encoder cannot be opened or run.
        """
        names = [name for name, _ in self.plan.features]
        given = {self.plan.picture.name: _picture(image, self.plan.picture)}
        return dict(zip(names, self._opened_encoder().run(names, given)))

    def logits(
        self,
        features: Mapping[str, np.ndarray],
        shape: Tuple[int, int],
        prompts: Sequence[Prompts],
    ) -> List[Tuple[np.ndarray, np.ndarray]]:
        """Masks in low resolution: for each prompt logits (m, h, w) and scores (m,), both float32.

        :param features: of :meth:`features`.
        :param shape: H and W of the image.
        :raises ModelError: the decoder cannot be run.
        """
        found: Dict[int, Tuple[np.ndarray, np.ndarray]] = {}
        tokens = [_tokens(prompt, shape, self.plan) for prompt in prompts]
        for members in _groups(tokens, self._at_once()):
            points = np.stack([tokens[k][0] for k in members])
            labels = np.stack([tokens[k][1] for k in members])
            for k, low, scores in zip(members, *self._decode(features, points, labels)):
                found[k] = self._offered(low, scores, shape, prompts[k])
        return [found[k] for k in range(len(prompts))]

    def _at_once(self) -> int:
        """How many prompts go into one run at most."""
        if not self.plan.several:
            return 1
        return _AT_ONCE if self._decoder.provider == CPU else _AT_ONCE_ACCELERATED

    def _offered(
        self, low: np.ndarray, scores: np.ndarray, shape: Tuple[int, int], prompt: Prompts
    ) -> Tuple[np.ndarray, np.ndarray]:
        """The masks that are offered of (m, h, w) logits and (m,) scores: all, but for four."""
        if len(low) != _SINGLE_AND_SEVERAL:
            return low, scores
        newer = self.plan.family.startswith(SEGMENT_ANYTHING_2)
        click = prompt.box is None and len(prompt.points) == 1
        if click or (newer and not _steady(low[0])):
            return low[1:], scores[1:]
        frame = self.plan.picture.frame
        rows, columns = (-(-side * low.shape[-1] // frame.side) for side in frame.inner(shape))
        taken = _with_single(low[:, :rows, :columns] > 0)
        return low[taken], scores[taken]

    def _decode(
        self, features: Mapping[str, np.ndarray], points: np.ndarray, labels: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray]:
        """One run of the decoder.

        :param points: (n, k, 2) and labels (n, k).
        :return: logits (n, m, h, w) and scores (n, m), float32.
        """
        plan, count = self.plan, len(points)
        given = {
            value.name: features[name].astype(value.dtype, copy=False)
            for name, value in plan.features
        }
        for value, array in ((plan.points, points), (plan.labels, labels)):
            given[value.name] = (array[None] if plan.nested else array).astype(value.dtype)
        for value in plan.earlier:
            given[value.name] = np.zeros(_sides(value, count, plan), value.dtype)
        if plan.size is not None:
            given[plan.size.name] = np.full(2, plan.wanted, plan.size.dtype)
        masks, scores = self._decoder.run([plan.masks, plan.scores], given)
        if masks.ndim < 4 or masks.size % count or scores.size % count:
            raise ModelError(self._odd(masks, scores))
        masks = masks.reshape(count, -1, *masks.shape[-2:])
        # Some exports give the score of every mask although they give only one mask.
        scores = scores.reshape(count, -1)[:, : masks.shape[1]]
        if not masks.size or scores.shape != masks.shape[:2]:
            raise ModelError(self._odd(masks, scores))
        return masks.astype(np.float32, copy=False), scores.astype(np.float32, copy=False)

    def _odd(self, masks: np.ndarray, scores: np.ndarray) -> str:
        return (
            f"MODEL: the decoder of {self.id} gives masks {masks.shape} and scores {scores.shape}, "
            "which do not fit each other; choose another export of the model."
        )

    def _prepared(self, embedding: Embedding) -> Dict[str, np.ndarray]:
        """Features in the decoder's precision; kept, because clicks come one after the other."""
        last, features = self._ready
        if last is not None and last() is embedding:
            return features
        try:
            features = {
                name: embedding.data[name].astype(value.dtype, copy=False)
                for name, value in self.plan.features
            }
        except KeyError as error:
            raise ModelError(
                f"MODEL: an encoded image of {embedding.model_id} is not one that {self.id} can "
                "read; clear the encoded images and try again."
            ) from error
        self._ready = weakref.ref(embedding), features
        return features

    def _opened_encoder(self) -> GraphRunner:
        with self._opening:
            if self._encoder is None:
                self._encoder = GraphRunner(self._encoder_file, self._threads)
            return self._encoder


def _picture(image: np.ndarray, wanted: PictureInput) -> np.ndarray:
    """An image as an encoder takes it."""
    frame = wanted.frame
    if wanted.size is Size.SQUARE and wanted.values is Values.NORMALISED:
        square = frame.square(image)
        return (square if wanted.planes else square[0].transpose(1, 2, 0)).astype(wanted.dtype)
    values = image if wanted.size is Size.OWN else frame.resized(image)
    if wanted.size is Size.SQUARE:
        # The mean, because the encoder makes it 0, as the model's own predictor fills up.
        filled = np.full((frame.side, frame.side, 3), frame.mean, np.float32)
        filled[: values.shape[0], : values.shape[1]] = values
        values = filled
    if wanted.values is Values.UNIT:
        values = values / np.float32(255)
    elif wanted.values is Values.NORMALISED:
        values = (values - np.float32(frame.mean)) / np.float32(frame.std)
    if wanted.dtype == "uint8":
        values = np.rint(values)
    if wanted.planes:
        values = values.transpose(2, 0, 1)[None]
    return np.ascontiguousarray(values, dtype=wanted.dtype)


def _stored(values: np.ndarray) -> np.ndarray:
    """Features as float16, which takes half the room; as they are if that cannot hold them."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.isfinite(half).all() else values


def _tokens(
    prompt: Prompts, shape: Tuple[int, int], plan: PairPlan
) -> Tuple[np.ndarray, np.ndarray]:
    """A prompt as points (k, 2) in the decoder's square and their labels (k,), both float32.

    :raises ModelError: the decoder takes fewer points.
    """
    frame = plan.picture.frame
    points = [frame.points(prompt.points, shape)]
    labels = [np.asarray(prompt.foreground, np.float32)]
    if prompt.box is not None:
        # First, because EfficientSAM's graph leaves out what comes after six points.
        points.insert(0, frame.box(prompt.box, shape))
        labels.insert(0, np.array(_CORNERS, np.float32))
    boxless = plan.padding is Padding.WITHOUT_BOX and prompt.box is None
    empty = 1 if boxless or plan.padding is Padding.ALL else 0
    count = sum(map(len, labels)) + empty
    if plan.slots is not None:
        if count > plan.slots:
            raise ModelError(
                f"MODEL: this model takes at most {plan.slots} points at once and the corners of a "
                "box are two of them; give fewer points or choose another model."
            )
        empty += plan.slots - count
    scaled = np.concatenate(points) * np.float32(plan.square / frame.side)
    labels.append(np.full(empty, _NO_POINT, np.float32))
    return np.concatenate([scaled, np.zeros((empty, 2), np.float32)]), np.concatenate(labels)


def _groups(tokens: Sequence[Tuple[np.ndarray, np.ndarray]], most: int) -> Iterator[Sequence[int]]:
    """Positions of prompts that go into one run: those with equally many points."""
    alike = defaultdict(list)
    for k, (_, labels) in enumerate(tokens):
        alike[len(labels)].append(k)
    for members in alike.values():
        yield from (members[start : start + most] for start in range(0, len(members), most))


def _sides(value: Value, count: int, plan: PairPlan) -> Tuple[int, ...]:
    """Shape of an input for an earlier mask: (n, 1, h, w), or (1,) that says there is none."""
    small = plan.picture.frame.side // 4
    if value.shape is None:
        return (1,) if value.name.startswith("has_") else (1, 1, small, small)
    if len(value.shape) < 4:
        return tuple(side or 1 for side in value.shape)
    return tuple(side or free for side, free in zip(value.shape, (count, 1, small, small)))


def _with_single(masks: np.ndarray) -> np.ndarray:
    """Which of four masks are offered where the prompt says which field is meant.

    The first is the answer to such prompts; it takes the place of the most similar of the others.

    :param masks: (4, h, w) bool, on the image.
    :return: (3,) positions.
    """
    shared = (masks[1:] & masks[0]).sum(axis=(1, 2))
    either = (masks[1:] | masks[0]).sum(axis=(1, 2))
    taken = np.arange(1, _SINGLE_AND_SEVERAL)
    taken[np.argmax(shared / np.maximum(either, 1))] = 0
    return taken


def _steady(low: np.ndarray) -> bool:
    """Whether a mask hardly depends on the threshold.

    Segment Anything 2 takes the single mask only then, else the best of the three.
    """
    surely, maybe = (np.count_nonzero(low > limit) for limit in (_MARGIN, -_MARGIN))
    return surely >= _LEAST_STEADY * maybe
