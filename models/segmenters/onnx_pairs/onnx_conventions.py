"""How an encoder and a decoder in ONNX files want to be asked, and what their answers mean.

Exports of the Segment Anything family differ in names, in how a picture goes in, in what a box is
and in whether masks are enlarged. All of it is read from the inputs and outputs of the two graphs:

* Segment Anything and relatives: segment-anything's own decoder with an encoder that takes a
  normalised square, or samexporter's that normalises itself; decoders without `orig_im_size`,
  with one mask, with three or with four.
* EfficientSAM: pictures of any size with values 0..1, prompts as (1, prompts, points, 2).
* Segment Anything 2 and 2.1: features at three strides, masks enlarged or not.
* Furrow's own exports, which describe themselves in their metadata.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from ....core.errors import ModelError
from ..model_frame import Fit, ModelFrame
from .onnx_graph import Graph, Value, read_graph
from .onnx_kinds import (
    EFFICIENT_SAM,
    SEGMENT_ANYTHING,
    SEGMENT_ANYTHING_2,
    Role,
    image_input,
    kind_of,
    other_inputs,
    prompt_inputs,
    square_of,
)

_USUAL_SIDE = 1024
_LOW_SHARE = 4
"""Pixels of the square that a cell of the logits stands for."""
_LOW_MASKS = ("low_res_masks", "low_res_logits", "logits")
_MASKS = ("masks", "output_masks", "pred_masks")
_SCORES = ("iou_predictions", "scores", "iou_scores", "iou_preds")
_MOST_SHOWN = 6
_PICTURE_TYPES = ("float32", "float16", "float64", "uint8")
_ARITHMETIC = frozenset({"Sub", "Div", "Mul", "Add", "BatchNormalization"})
_CARRIERS = frozenset(
    {"Cast", "Transpose", "Unsqueeze", "Squeeze", "Identity", "Reshape", "Pad", "Resize", "Slice"}
)
"""Operators that a picture passes unchanged in colour."""


class Values(Enum):
    """What numbers a picture has when an encoder is given it."""

    NORMALISED = "normalised"
    BYTES = "0..255"
    UNIT = "0..1"


class Size(Enum):
    """How large a picture is when an encoder is given it."""

    SQUARE = "square"
    """Resized and filled up."""
    RESIZED = "resized"
    """Resized, not filled up."""
    OWN = "own"
    """As it is."""


class Padding(Enum):
    """Which prompts get one more point that means nothing, labelled -1."""

    NONE = "none"
    """Or the graph adds it itself."""
    WITHOUT_BOX = "without box"
    ALL = "all"


@dataclass(frozen=True)
class PictureInput:
    """How an encoder is given a picture."""

    name: str
    dtype: str
    frame: ModelFrame
    planes: bool
    """(1, 3, rows, columns), else (rows, columns, 3)."""
    values: Values
    size: Size


@dataclass(frozen=True)
class PairPlan:
    """How to ask a pair of graphs."""

    family: str
    picture: PictureInput
    features: Tuple[Tuple[str, Value], ...]
    """Outputs of the encoder, and the inputs of the decoder that they go into."""
    points: Value
    labels: Value
    earlier: Tuple[Value, ...]
    """Inputs for an earlier mask; zeros say that there is none."""
    size: Optional[Value]
    """Input for the size of the masks."""
    wanted: int
    """What goes into `size`: the side of the square of logits that is asked for."""
    square: int
    """Side of the square that points are given in."""
    padding: Padding
    masks: str
    scores: str

    @property
    def nested(self) -> bool:
        """Whether points are (1, prompts, points, 2), not (prompts, points, 2)."""
        return self.points.rank == 4

    @property
    def several(self) -> bool:
        """Whether the graph answers several prompts at once."""
        return self._free(-3)

    @property
    def slots(self) -> Optional[int]:
        """How many points each prompt must have; None: any number."""
        return None if self._free(-2) else (self.points.shape or ())[-2]

    def _free(self, axis: int) -> bool:
        return self.points.shape is None or self.points.shape[axis] is None


def plan_pair(encoder: Graph, decoder: Graph) -> PairPlan:
    """How to ask two graphs.

    :raises ModelError: one of them is something else, or they do not belong together.
    """
    kinds = kind_of(encoder), kind_of(decoder)
    for graph, kind, role in zip((encoder, decoder), kinds, (Role.ENCODER, Role.DECODER)):
        if kind.role is not role:
            raise ModelError(_wrong(graph, f"choose the {role.value} of a pair"))
    family, own = kinds[1].family, kinds[1].own
    features = _joined(encoder, decoder)
    if (kinds[0].family, kinds[0].own) != (family, own) or features is None:
        raise ModelError(_strangers(encoder, decoder))
    side = _side(encoder, features)
    picture = _picture(encoder, family, _own_frame(encoder) if own else _frame(family, side))
    points, labels = prompt_inputs(decoder)
    scores, masks, low = _answers(decoder)
    if not all(value.dtype for value in decoder.inputs):
        raise ModelError(_wrong(decoder, "choose one in 16 or 32 bits"))
    if points is None or labels is None or masks is None or scores is None:
        raise ModelError(_wrong(decoder, "choose one that gives masks and their scores"))
    _, earlier, size = other_inputs(decoder)
    side = picture.frame.side
    exact = size is None or low or family != SEGMENT_ANYTHING
    small = (square_of([value for _, value in features]) or side) // _LOW_SHARE
    return PairPlan(
        family=family,
        picture=picture,
        features=features,
        points=points,
        labels=labels,
        earlier=tuple(earlier),
        size=size,
        # Segment Anything's graph enlarges to the whole square first, so only that is exact.
        wanted=small if exact else side,
        square=small if family == EFFICIENT_SAM else side,
        padding=_padding(family, own),
        masks=masks,
        scores=scores,
    )


def diagnosis(path: Path) -> str:
    """What an ONNX file is, in one short sentence that starts with "furrow: this file is"."""
    try:
        return f"furrow: {_said(read_graph(path), 'this file')}."
    except ModelError:
        return "furrow: this file is missing, damaged or not an ONNX file."


def find_pair(path: Path) -> Tuple[Path, Path]:
    """Encoder and decoder, one of which is at `path`, or which both lie in the folder `path`.

    The partner is the file with "encoder" and "decoder" exchanged in its name, else the only one
    in the folder that fits.

    :raises ModelError: there is no pair, there are several, or the file is something else.
    """
    if path.is_dir():
        return _pair_in(path)
    graph = read_graph(path)
    kind = kind_of(graph)
    if kind.role is Role.OTHER:
        raise ModelError(_wrong(graph, "choose the encoder or decoder of a pair"))
    encodes = kind.role is Role.ENCODER
    named = _exchanged(path)
    pairs = [(path, other) if encodes else (other, path) for other in _graphs(path.parent, path)]
    fitting = [pair for pair in pairs if _fit(*pair)]
    alike = [pair for pair in fitting if named in pair]
    if len(alike or fitting) == 1:
        return (alike or fitting)[0]
    missing = "decoder" if encodes else "encoder"
    if not fitting:
        raise ModelError(
            f"MODEL_FILE: {path.name} is {kind.words}, but its {missing} is not in {path.parent}; "
            "copy it there."
        )
    raise ModelError(
        f"MODEL_FILE: several files in {path.parent} may be the {missing} of {path.name} "
        f"({_names([pair[encodes].name for pair in fitting])}); give the right one the same name "
        "with encoder and decoder exchanged."
    )


def _pair_in(folder: Path) -> Tuple[Path, Path]:
    """:raises ModelError: there is not exactly one pair in the folder."""
    files = _graphs(folder)
    pairs = [(a, b) for a in files for b in files if a != b and _fit(a, b)]
    if len(pairs) > 1:
        pairs = [(a, b) for a, b in pairs if _exchanged(a) == b] or pairs
    if len(pairs) == 1:
        return pairs[0]
    if not pairs:
        raise ModelError(
            f"MODEL_FILE: there is no encoder with its decoder in {folder}; choose a folder that "
            "holds both as ONNX files."
        )
    raise ModelError(
        f"MODEL_FILE: there are several pairs in {folder}; choose one of the files: "
        f"{_names([pair[0].name for pair in pairs])}."
    )


def _graphs(folder: Path, but: Optional[Path] = None) -> List[Path]:
    return sorted(each for each in folder.glob("*.onnx") if each.is_file() and each != but)


def _exchanged(path: Path) -> Optional[Path]:
    """The path with encoder and decoder exchanged in its name; None where it says neither."""
    swaps = (("encoder", "decoder"), ("decoder", "encoder"), ("Encoder", "Decoder"),
             ("Decoder", "Encoder"), ("enc", "dec"), ("dec", "enc"))  # fmt: skip
    for old, new in swaps:
        if old in path.name:
            return path.with_name(path.name.replace(old, new))
    return None


def _fit(encoder: Path, decoder: Path) -> bool:
    try:
        plan_pair(read_graph(encoder), read_graph(decoder))
    except ModelError:
        return False
    return True


def _joined(encoder: Graph, decoder: Graph) -> Optional[Tuple[Tuple[str, Value], ...]]:
    """Which output of the encoder goes into which input of the decoder; None: they do not fit."""
    features, _, _ = other_inputs(decoder)
    found = []
    for value in features:
        same = [output for output in encoder.outputs if output.name == value.name]
        others = [output for output in encoder.outputs if _agree(output, value)]
        one = same or (others if len(others) == 1 else [])
        if not one or not _agree(one[0], value):
            return None
        found.append((one[0].name, value))
    return tuple(found) or None


def _agree(output: Value, value: Value) -> bool:
    """Whether the shapes may be the same."""
    if output.shape is None or value.shape is None:
        return True
    sides = zip(output.shape[1:], value.shape[1:])
    same = all(a is None or b is None or a == b for a, b in sides)
    return len(output.shape) == len(value.shape) and same


def _answers(decoder: Graph) -> Tuple[Optional[str], Optional[str], bool]:
    """Outputs for scores and masks, and whether those masks are in low resolution for certain."""
    names = [value.name for value in decoder.outputs]
    scores = next((name for name in _SCORES if name in names), None)
    large = next((name for name in _MASKS if name in names), None)
    maps = [value for value in decoder.outputs if value.rank in (4, None) and value.name != scores]
    # An output may be misnamed: segment-anything's script calls scores so when they are extra.
    named = [value.name for value in maps if value.name in _LOW_MASKS]
    unnamed = [value.name for value in maps if value.name != large and value.rank == 4]
    low = next(iter(named or unnamed), None)
    return scores, low or large, low is not None


def _picture(encoder: Graph, family: str, frame: ModelFrame) -> PictureInput:
    """:raises ModelError: the encoder wants pictures that Furrow cannot make."""
    image = image_input(encoder)
    if image is None or image.shape is None or image.dtype not in _PICTURE_TYPES:
        raise ModelError(_wrong(encoder, "choose an encoder of pictures"))
    planes = len(image.shape) == 4
    rows, columns = image.shape[-2:] if planes else image.shape[:2]
    if rows != columns or rows not in (None, frame.side):
        raise ModelError(_wrong(encoder, f"choose one for squares of {frame.side} pixels"))
    passed = _passed(encoder, image.name)
    values = Values.NORMALISED
    if family == EFFICIENT_SAM:
        values = Values.UNIT
    elif passed & _ARITHMETIC or image.dtype == "uint8":
        values = Values.BYTES
    size = Size.SQUARE
    if rows is None and family == EFFICIENT_SAM:
        size = Size.OWN
    elif rows is None and (not planes or "Pad" in passed):
        size = Size.RESIZED
    return PictureInput(image.name, image.dtype, frame, planes, values, size)


def _side(encoder: Graph, features: Sequence[Tuple[str, Value]]) -> int:
    """Of the square that the encoder looks at: it says so itself, or its features do."""
    image = image_input(encoder)
    rows = image.shape[-2] if image and image.shape and len(image.shape) == 4 else None
    return rows or square_of([value for _, value in features]) or _USUAL_SIDE


def _passed(graph: Graph, name: str) -> frozenset[str]:
    """Operators that an input passes until something is made of it."""
    reached, passed = {name}, set()
    for node in graph.nodes:  # each comes after those that it reads from
        if reached.intersection(node.inputs):
            passed.add(node.operator)
            if node.operator in _CARRIERS or node.operator in _ARITHMETIC:
                reached.update(node.outputs)
    return frozenset(passed)


def _frame(family: str, side: int) -> ModelFrame:
    if family == SEGMENT_ANYTHING:
        return ModelFrame(side)
    return ModelFrame(side, Fit.STRETCH, whole_numbers=False)


def _padding(family: str, own: bool) -> Padding:
    """As the models were trained; graphs of others do it themselves but for Segment Anything's."""
    if family.startswith(SEGMENT_ANYTHING_2):
        return Padding.ALL if own else Padding.NONE
    return Padding.NONE if family == EFFICIENT_SAM else Padding.WITHOUT_BOX


def _own_frame(encoder: Graph) -> ModelFrame:
    """:raises ModelError: what an export of Furrow says of itself makes no sense."""
    said = encoder.metadata
    try:
        fit = Fit(said["furrow.fit"])
        mean, std = _three(said["furrow.mean"]), _three(said["furrow.std"])
        return ModelFrame(int(said["furrow.side"]), fit, mean, std, fit is Fit.PAD)
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"MODEL_FILE: {encoder.path.name} does not say how pictures go in; export the pair "
            "again."
        ) from error


def _three(text: str) -> Tuple[float, float, float]:
    red, green, blue = (float(number) for number in text.strip("[]() ").split(","))
    return red, green, blue


def _wrong(graph: Graph, remedy: str) -> str:
    return f"MODEL_FILE: {_said(graph, graph.path.name)}; {remedy} instead."


def _strangers(encoder: Graph, decoder: Graph) -> str:
    return (
        f"MODEL_FILE: {encoder.path.name} and {decoder.path.name} do not belong together; choose "
        "an encoder and a decoder that were exported from the same model."
    )


def _said(graph: Graph, subject: str) -> str:
    inputs = _names([value.name for value in graph.inputs])
    outputs = _names([value.name for value in graph.outputs])
    return f"{subject} is {kind_of(graph).words} (inputs: {inputs}; outputs: {outputs})"


def _names(names: Sequence[str]) -> str:
    more = ["..."] if len(names) > _MOST_SHOWN else []
    return ", ".join([*(name[:40] for name in names[:_MOST_SHOWN]), *more]) or "none"
