"""The field model that ships with Furrow: two ONNX graphs, run by onnxruntime.

The encoder sees an image once. The decoder answers a prompt on crops of several levels at once and
gives three masks for each (part of a field, field, block of fields), so there are about twelve
candidates; three that differ are offered. `models/training/network.py` describes the network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ....core.fields.segmenter import Embedding, Masks, Prompts, check_picture
from ..odds import chance
from ..onnx_pairs.onnx_session import open_session
from ..regions.classical import ClassicalSegmenter
from .candidates import Candidates
from .close_look import CLOSER_LOOKS, close_decodes, enlarged, view_around
from .context_evidence import context_evidence
from .edge_evidence import edge_evidence
from .field_crops import FINE, GRID, LEVELS, Decode, anchor_within, decoder_inputs, decodes
from .field_masks import enlarged_map
from .offers import MASKS_PER_PROMPT, corrected_whole, offered, put_first
from .ranking import Ranker, features
from .region_rivals import region_answers, region_data
from .selection import frame_overlap, outlined, sample_points, similarity
from .standardising import standardised

MODEL_ID, FAST_ID = "furrow-field", "furrow-field-fast"
ENCODER_FILE, DECODER_FILE = f"{MODEL_ID}-encoder.onnx", f"{MODEL_ID}-decoder.onnx"
RANKER_FILE = f"{MODEL_ID}-ranker.npz"
WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
"""Where the files are that ship with Furrow."""
EMBEDDING_VERSION = 2
"""To be raised with every change of what `encode` gives for the same image and files: embeddings
that users keep on disk are then made again. Regions have the classical engine's number."""
_MULTIPLE, _LEAST_SIDE = 32, 64
"""Sides of what the encoder is given, in pixels."""
_MOST_DECODES = 48


class FieldModelSegmenter:
    """The shipped field model; fulfils :class:`furrow.core.fields.segmenter.Segmenter`."""

    def __init__(
        self, folder: Path = WEIGHTS, threads: Optional[int] = None, thorough: bool = True
    ) -> None:
        """Open both graphs and the ranker.

        :param folder: holds ENCODER_FILE and DECODER_FILE, and RANKER_FILE where there is one;
            without a ranker the network's own scores count.
        :param threads: of one run of onnxruntime; None: its default.
        :param thorough: look at small fields a second time, enlarged, and let regions of the
            classical engine compete with the network's masks.
        :raises ModelError: onnxruntime or a file is missing.
        """
        self._encoder = open_session(folder / ENCODER_FILE, threads)
        self._decoder = open_session(folder / DECODER_FILE, threads)
        self.id = MODEL_ID if thorough else FAST_ID
        self._regions = ClassicalSegmenter() if thorough else None
        ranked = (folder / RANKER_FILE).is_file()
        self._ranker = Ranker.open(folder / RANKER_FILE) if ranked else None

    def encode(self, image: np.ndarray) -> Embedding:
        """Features of one image, about 80 bytes a pixel.

        :param image: (H, W, 3) uint8, never changed.
        """
        return self.encode_among(image, None)

    def encode_among(self, image: np.ndarray, colours: Optional[np.ndarray]) -> Embedding:
        """Features of a window of a larger image; see `LocalSegmenter.encode_among`. None: nothing
        larger is known."""
        check_picture(image)
        data = self._features(standardised(image, colours))
        data["edges"] = chance(data.pop("boundary")[0].astype(np.float32)).astype(np.float16)
        if self._regions is not None:
            data.update(region_data(self._regions, image), image=image.copy())
        return Embedding(self.id, image.shape[:2], data)

    def _features(self, image: np.ndarray) -> Dict[str, np.ndarray]:
        """Names of the encoder's outputs to (channels, rows, columns) float16.

        :param image: (H, W, 3) float32, standardised.
        """
        height, width = image.shape[:2]
        grown = ((0, _missing(height)), (0, _missing(width)), (0, 0))
        padded = np.pad(image, grown, mode="symmetric").transpose(2, 0, 1)[None]
        names = [output.name for output in self._encoder.get_outputs()]
        maps = self._encoder.run(names, {"image": np.ascontiguousarray(padded)})
        return {
            name: _cut(values[0], (height, width), padded.shape[2])
            for name, values in zip(names, maps)
        }

    def edges(self, embedding: Embedding) -> np.ndarray:
        """The chance that a field ends at a pixel; see `EdgeSegmenter.edges`.

        :param embedding: made by this engine.
        :return: (H, W) float32 0..1.
        """
        edges = embedding.data["edges"].astype(np.float32)
        return enlarged_map(edges, LEVELS[0], embedding.shape)

    def predict(self, embedding: Embedding, prompts: Sequence[Prompts]) -> Masks:
        """Three masks for each prompt.

        :param embedding: made by this engine.
        :return: masks (n, 3, H, W) bool, scores (n, 3) float32 in 0..1.
        """
        masks = np.zeros((len(prompts), MASKS_PER_PROMPT, *embedding.shape), dtype=bool)
        scores = np.zeros((len(prompts), MASKS_PER_PROMPT), dtype=np.float32)
        for k, candidates in enumerate(self.candidates(embedding, prompts)):
            expected = self._expected(candidates, prompts[k])
            masks[k], scores[k] = offered(candidates, expected, embedding.shape, prompts[k])
            whole = self._corrected_whole(embedding, prompts[k])
            if whole is not None:
                masks[k], scores[k] = put_first(whole, masks[k], scores[k])
            if self._ranker is not None:
                scores[k] = self._ranker.honest(scores[k])
        return Masks(masks, scores)

    def _corrected_whole(self, embedding: Embedding, prompt: Prompts) -> Optional[np.ndarray]:
        """(H, W) bool: the whole field that answers the first click, as the others correct it."""
        corrects = prompt.box is None and prompt.foreground.any() and len(prompt.points) > 1
        if self._regions is None or not corrects:
            return None
        click = Prompts.click(*prompt.anchor)
        # Regions are found in a tenth of the time of all candidates, and mostly rule it out.
        level, regions = region_answers(self._regions, embedding.data, embedding.shape, click, 0)
        edges = embedding.data["edges"]
        shown = edge_evidence(edges, regions["logits"] > 0, [level], embedding.shape)
        if not outlined(shown).any():
            return None
        candidates = next(self.candidates(embedding, [click]))
        expected = self._expected(candidates, click)
        return corrected_whole(candidates, expected, embedding.shape, prompt)

    def candidates(self, embedding: Embedding, prompts: Sequence[Prompts]) -> Iterator[Candidates]:
        """All masks of each prompt, before any is chosen.

        :param embedding: made by this engine.
        """
        asked = [decodes(embedding.shape, prompt) for prompt in prompts]
        for start, stop in _chunks([len(levels) for levels in asked]):
            pairs = [(prompts[k], level) for k in range(start, stop) for level in asked[k]]
            answers = self._decode(embedding.data, pairs)
            row = 0
            for k in range(start, stop):
                rows = slice(row, row + len(asked[k]))
                own = {name: values[rows] for name, values in answers.items()}
                levels, own = self._looked_closer(asked[k], own, embedding, prompts[k])
                levels, own = self._with_regions(levels, own, embedding, prompts[k])
                yield _gathered(own, levels, embedding, prompts[k])
                row = rows.stop

    def _looked_closer(
        self,
        levels: Sequence[Decode],
        answers: Dict[str, np.ndarray],
        embedding: Embedding,
        prompt: Prompts,
    ) -> Tuple[Sequence[Decode], Dict[str, np.ndarray]]:
        """The answers for a prompt, and those of closer looks where the field seems small."""
        if self._regions is None:
            return levels, answers
        side = _side_of_best(levels, answers)
        for closer in CLOSER_LOOKS:
            if side < closer.below:
                view = view_around(embedding.shape, prompt, closer)
                more = close_decodes(embedding.shape, view, prompt)
                shown = enlarged(embedding.data["image"], view)
                maps = self._features(standardised(shown))
                seen = self._decode(maps, [(prompt, level) for level in more])
                levels, answers = [*levels, *more], _joined(answers, seen)
        return levels, answers

    def _with_regions(
        self,
        levels: Sequence[Decode],
        answers: Dict[str, np.ndarray],
        embedding: Embedding,
        prompt: Prompts,
    ) -> Tuple[Sequence[Decode], Dict[str, np.ndarray]]:
        """The network's answers for a prompt, and regions where they are wanted."""
        if self._regions is None:
            return levels, answers
        traits = answers["traits"].shape[-1]
        level, more = region_answers(self._regions, embedding.data, embedding.shape, prompt, traits)
        return [*levels, level], _joined(answers, more)

    def _expected(self, candidates: Candidates, prompt: Prompts) -> np.ndarray:
        """(m,) float 0..1: the IoU with the wanted field that each candidate may have."""
        if self._ranker is None:
            return candidates.scores
        return self._ranker.scores(features(candidates, prompt))

    def _decode(
        self, maps: Mapping[str, np.ndarray], pairs: Sequence[Tuple[Prompts, Decode]]
    ) -> Dict[str, np.ndarray]:
        names = ["logits", "scores", "traits"]
        return dict(zip(names, self._decoder.run(names, decoder_inputs(maps, pairs))))


def _missing(side: int) -> int:
    """Pixels by which a side is grown."""
    return max(-(-side // _MULTIPLE) * _MULTIPLE, _LEAST_SIDE) - side


def _cut(values: np.ndarray, shape: Tuple[int, int], padded: int) -> np.ndarray:
    """(channels, rows, columns) without the cells that lie beyond the image altogether.

    :param padded: rows of the image as the encoder was given it.
    """
    stride = padded // values.shape[1]
    height, width = (-(-side // stride) for side in shape)
    return np.ascontiguousarray(values[:, :height, :width])


def _chunks(sizes: Sequence[int]) -> Iterator[Tuple[int, int]]:
    """Runs of prompts, start and stop, with at most _MOST_DECODES decodes together."""
    start, total = 0, 0
    for k, size in enumerate(sizes):
        if total + size > _MOST_DECODES and k > start:
            yield start, k
            start, total = k, 0
        total += size
    if sizes:
        yield start, len(sizes)


def _joined(answers: Dict[str, np.ndarray], more: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    return {name: np.concatenate([values, more[name]]) for name, values in answers.items()}


def _side_of_best(levels: Sequence[Decode], answers: Dict[str, np.ndarray]) -> float:
    """Side in pixels of the mask that scores best."""
    level, mask = np.unravel_index(answers["scores"].argmax(), answers["scores"].shape)
    cells = np.count_nonzero(answers["logits"][level, mask] > 0)
    return levels[level].step * float(np.sqrt(cells))


def _gathered(
    answers: Dict[str, np.ndarray],
    levels: Sequence[Decode],
    embedding: Embedding,
    prompt: Prompts,
) -> Candidates:
    """The candidates of one prompt, described."""
    shape = embedding.shape
    logits = answers["logits"]
    per_level = logits.shape[1]
    positive = logits > 0
    area, frames = _extents(positive, levels, shape)
    samples, weights = _samples(levels, shape, prompt)
    return Candidates(
        decodes=tuple(level for level in levels for _ in range(per_level)),
        logits=logits.reshape(-1, FINE, FINE),
        scores=chance(answers["scores"]).ravel(),
        traits=answers["traits"].reshape(area.size, -1),
        stride=np.repeat([level.stride for level in levels], per_level),
        area=area,
        similarity=similarity(chance(_looked_up(logits, levels, samples, -30.0)), weights),
        missed=_missed(positive, levels, prompt),
        box_fit=np.ones(area.size) if prompt.box is None else frame_overlap(frames, prompt.box),
        edges=edge_evidence(embedding.data["edges"], positive, levels, shape),
        context=context_evidence(
            embedding.data, positive, levels, area, anchor_within(shape, prompt)
        ),
    )


def _extents(
    positive: np.ndarray, levels: Sequence[Decode], shape: Tuple[int, int]
) -> Tuple[np.ndarray, np.ndarray]:
    """(m,) areas in pixels and (m, 4) bounding boxes of the masks within the image."""
    areas: List[float] = []
    frames: List[Tuple[float, ...]] = []
    for masks, decode in zip(positive, levels):
        rows, columns = decode.known(shape)
        for mask in masks[:, rows, columns]:
            areas.append(np.count_nonzero(mask) * float(decode.step) ** 2)
            left, right = _ends(mask.any(axis=0), columns.start, decode.offset[0], decode.step)
            top, bottom = _ends(mask.any(axis=1), rows.start, decode.offset[1], decode.step)
            frames.append((left, top, right, bottom))
    return np.array(areas), np.array(frames)


def _ends(line: np.ndarray, start: int, offset: float, step: float) -> Tuple[float, float]:
    """First and last pixel border of what is True; the same twice where nothing is."""
    places = np.flatnonzero(line)
    if not places.size:
        return 0.0, 0.0
    first, last = start + int(places[0]), start + int(places[-1]) + 1
    return float(offset + first * step), float(offset + last * step)


def _samples(
    levels: Sequence[Decode], shape: Tuple[int, int], prompt: Prompts
) -> Tuple[np.ndarray, np.ndarray]:
    """Sample points in pixels of the image, and their weights; those beyond it weigh nothing."""
    offsets, weights = sample_points(GRID / 2 * max(level.stride for level in levels) * 2**0.5)
    points = offsets + np.array(anchor_within(shape, prompt))
    inside = ((points >= 0) & (points < (shape[1], shape[0]))).all(axis=1)
    return points[inside], weights[inside]


def _looked_up(
    values: np.ndarray, levels: Sequence[Decode], points: np.ndarray, beyond: float
) -> np.ndarray:
    """Values of the candidates at points of the image.

    :param values: (levels, masks, FINE, FINE).
    :param points: (s, 2) x and y in pixels.
    :param beyond: value at points off the crop.
    :return: (levels x masks, s).
    """
    found = np.empty((*values.shape[:2], len(points)), values.dtype)
    for k, decode in enumerate(levels):
        cells = np.floor((points - decode.offset) / decode.step).astype(np.intp)
        on = ((cells >= 0) & (cells < FINE)).all(axis=1)
        x, y = np.clip(cells, 0, FINE - 1).T
        found[k] = np.where(on, values[k][:, y, x], beyond)
    return found.reshape(values.shape[0] * values.shape[1], len(points))


def _missed(positive: np.ndarray, levels: Sequence[Decode], prompt: Prompts) -> np.ndarray:
    """(m,) bool: leaves out a foreground point or holds a background point."""
    held = _looked_up(positive, levels, prompt.points, False)
    return (held != prompt.foreground).any(axis=1)
