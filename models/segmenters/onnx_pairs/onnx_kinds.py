"""What a single ONNX file is, judged by its inputs, outputs and metadata."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Optional, Sequence, Tuple

from .onnx_graph import Graph, Value

FAMILY = "furrow.family"
"""Metadata of the pairs that Furrow exports; "furrow.side" and so on lie beside it."""
SEGMENT_ANYTHING, SEGMENT_ANYTHING_2 = "segment-anything", "segment-anything-2"
EFFICIENT_SAM = "efficient-sam"
_TITLES = {
    SEGMENT_ANYTHING: "Segment Anything or a relative such as MobileSAM",
    SEGMENT_ANYTHING_2: "Segment Anything 2 or 2.1",
    EFFICIENT_SAM: "EfficientSAM",
}
_FIELD_MODEL = "furrow-field"
_STRIDE = 16
"""Pixels of the square that a cell of the coarsest features stands for, in all these families."""
_LEAST_CHANNELS = 32
_COLOURS = 3


class Role(Enum):
    """What part of a model a file is."""

    ENCODER = "encoder"
    DECODER = "decoder"
    OTHER = "other"
    """Nothing that Furrow runs."""


@dataclass(frozen=True)
class Kind:
    """What a file is."""

    role: Role
    family: str
    """Of an encoder or decoder; else empty."""
    words: str
    """Completes the sentence "this file is ..."."""
    own: bool = False
    """Whether Furrow exported it."""


def kind_of(graph: Graph) -> Kind:
    """What a file is."""
    image = image_input(graph)
    points, labels = prompt_inputs(graph)
    if graph.metadata.get("model_id", "").startswith(_FIELD_MODEL):
        part = "encoder" if image is not None else "decoder"
        words = f"the {part} of Furrow's own field model, which is among the models already"
        return Kind(Role.OTHER, "", words)
    if points is not None and labels is not None:
        return _with_prompts(graph, image, points)
    if image is not None and len(graph.inputs) == 1:
        return _of_images(graph, image)
    return Kind(Role.OTHER, "", "no model that Furrow knows")


def image_input(graph: Graph) -> Optional[Value]:
    """The input that takes a picture: (n, 3, rows, columns) or (rows, columns, 3)."""
    for value in graph.inputs:
        shape = value.shape or ()
        planes = len(shape) == 4 and shape[1] == _COLOURS
        if planes or (len(shape) == 3 and shape[2] == _COLOURS):
            return value
    return None


def prompt_inputs(graph: Graph) -> Tuple[Optional[Value], Optional[Value]]:
    """The inputs that take points and their labels."""
    labels = next((value for value in graph.inputs if "label" in value.name), None)
    points = next((v for v in graph.inputs if "point" in v.name and "label" not in v.name), None)
    return points, labels


def other_inputs(graph: Graph) -> Tuple[Sequence[Value], Sequence[Value], Optional[Value]]:
    """What a decoder takes besides prompts: features, earlier masks, the size of the masks."""
    rest = [value for value in graph.inputs if value not in prompt_inputs(graph)]
    size = next((value for value in rest if "size" in value.name), None)
    masks = [value for value in rest if "mask" in value.name and value is not size]
    return [v for v in rest if v is not size and v not in masks], masks, size


def square_of(features: Sequence[Value]) -> Optional[int]:
    """Side in pixels of the square that features were made of, where their shapes tell."""
    grids = [value.shape[-1] for value in features if value.shape and len(value.shape) == 4]
    known = [side for side in grids if side is not None]
    return _STRIDE * min(known) if known else None


def _with_prompts(graph: Graph, image: Optional[Value], points: Value) -> Kind:
    features, _, _ = other_inputs(graph)
    if image is not None:
        words = "encoder and decoder in one, which Furrow needs as two files"
        return Kind(Role.OTHER, "", words)
    if points.name.startswith("input_"):
        words = "a decoder as transformers exports it, which Furrow cannot give boxes"
        return Kind(Role.OTHER, "", words)
    if FAMILY in graph.metadata:
        return _exported(graph, Role.DECODER)
    if points.name.startswith("batched_"):
        return _published(Role.DECODER, EFFICIENT_SAM)
    if not features:
        return Kind(Role.OTHER, "", "a decoder that takes no features")
    several = len(features) >= 3
    return _published(Role.DECODER, SEGMENT_ANYTHING_2 if several else SEGMENT_ANYTHING)


def _of_images(graph: Graph, image: Value) -> Kind:
    """A file whose only input is a picture."""
    if FAMILY in graph.metadata:
        return _exported(graph, Role.ENCODER)
    if image.name == "pixel_values":
        words = "an encoder as transformers exports it, which Furrow cannot run"
        return Kind(Role.OTHER, "", words)
    if image.name == "images" and any(value.rank == 3 for value in graph.outputs):
        return Kind(Role.OTHER, "", "a YOLO network, which finds objects of its own choice")
    features = [value for value in graph.outputs if _is_feature(value, image)]
    if image.name.startswith("batched_") and features:
        return _published(Role.ENCODER, EFFICIENT_SAM)
    if len(features) >= 3:
        return _published(Role.ENCODER, SEGMENT_ANYTHING_2)
    if features:
        return _published(Role.ENCODER, SEGMENT_ANYTHING)
    return Kind(Role.OTHER, "", _other_network(graph))


def _is_feature(value: Value, image: Value) -> bool:
    """Whether an output holds features: many channels, and fewer cells than the picture."""
    named = "embed" in value.name or "feat" in value.name
    if value.shape is None or len(value.shape) != 4:
        return named and value.shape is None
    channels, rows = value.shape[1:3]
    side = image.shape[2] if image.rank == 4 and image.shape else None
    fewer = rows is None or side is None or rows < side
    return fewer and (named or (channels or 0) >= _LEAST_CHANNELS)


def _other_network(graph: Graph) -> str:
    """What a network for pictures is that has no features to offer."""
    ranks = [value.rank for value in graph.outputs]
    if ranks == [2]:
        return "a network that sorts whole pictures into classes"
    if ranks == [4]:
        return "a network that gives each pixel a class"
    return "a network for pictures that takes no clicks"


def _exported(graph: Graph, role: Role) -> Kind:
    family = graph.metadata[FAMILY]
    words = f"the {role.value} of a {family} pair that Furrow exported"
    return Kind(role, family, words, own=True)


def _published(role: Role, family: str) -> Kind:
    return Kind(role, family, f"the {role.value} of {_TITLES[family]}")
