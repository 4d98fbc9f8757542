"""Modules of PyTorch as ONNX files: traced, made smaller where that is wanted, saved."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Mapping, Tuple

import numpy as np
import onnx
import torch
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from torch import Tensor, nn

OPSET = 17
"""The newest that the tracing exporter knows well, the first with layer normalisation."""
MOST_IN_ONE_FILE = 2_000_000_000
"""Bytes of weights; protobuf allows no file of more than 2 GB."""
_LEAST_VALUES = 256
"""Weights with fewer values, which are biases mostly, stay float32."""


class Precision(Enum):
    """How the weights of a model are stored. It computes in float32 with all but the last."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    """Half the size; they are made float32 when the file is opened, so it is as fast."""
    INT8 = "int8"
    """A quarter of the size of the matrices, which are multiplied as whole numbers: faster."""


@dataclass(frozen=True)
class Traced:
    """A module, and what the graph that is made of it is called with."""

    module: nn.Module
    given: Mapping[str, Tensor]
    """Names of the inputs and examples of them, in the order of the module's arguments."""
    outputs: Tuple[str, ...]
    free: Mapping[str, Mapping[int, str]]
    """Inputs and outputs with axes of any length: positions of the axes, and their names."""


def write(traced: Traced, path: Path, precision: Precision, said: Mapping[str, str]) -> None:
    """Write the graph of a module.

    Weights of more than 2 GB lie in a file of their own beside it: "<name of the file>.data".

    :param path: in a folder with room for some copies of the graph, which are deleted.
    :param said: what the file says of itself, its metadata.
    :raises RuntimeError: torch cannot trace the module, or the memory does not suffice.
    :raises OSError: the file cannot be written.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as scratch:
        graph = _trace(traced, Path(scratch) / "graph.onnx")
        model = onnx.load(_with_whole_numbers(graph) if precision is Precision.INT8 else graph)
    if precision is Precision.FLOAT16:
        halve(model.graph)
    model.producer_name, model.producer_version = "furrow", ""
    helper.set_model_props(model, dict(said))
    _save(model, path)


def graph_of(traced: Traced) -> onnx.ModelProto:
    """The graph of a module with its weights, of less than 2 GB, as they are.

    :raises RuntimeError: see `write`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        return onnx.load(_trace(traced, Path(scratch) / "graph.onnx"))


def _trace(traced: Traced, path: Path) -> Path:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            traced.module.eval(), tuple(traced.given.values()), str(path), dynamo=False,
            opset_version=OPSET, input_names=list(traced.given),
            output_names=list(traced.outputs), dynamic_axes=dict(traced.free),
        )  # fmt: skip
    return path


def _with_whole_numbers(path: Path) -> Path:
    """A copy of a graph that multiplies by its matrices of weights in whole numbers.

    Unsigned, because sums of signed ones are cut off by processors without VNNI; a scale for each
    column costs nothing.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    smaller = path.with_name("smaller.onnx")
    with _without_warnings():
        quantize_dynamic(
            path, smaller, op_types_to_quantize=["MatMul"], per_channel=True,
            weight_type=QuantType.QUInt8,
        )  # fmt: skip
    return smaller


@contextmanager
def _without_warnings() -> Iterator[None]:
    """onnxruntime recommends steps that are of no use for matrices alone."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def halve(graph: onnx.GraphProto) -> None:
    """Store large weights as float16, and put a Cast to float32 in front of their users."""
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _LEAST_VALUES:
            continue
        name = tensor.name
        with np.errstate(over="ignore"):  # what is too large shows when the graph is tried
            half = values.astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _save(model: onnx.ModelProto, path: Path) -> None:
    large = sum(tensor.ByteSize() for tensor in model.graph.initializer) > MOST_IN_ONE_FILE
    weights = path.with_name(f"{path.name}.data")
    if large:
        external_data_helper.convert_model_to_external_data(model, location=weights.name)
    onnx.save_model(model, path)
    if large:
        weights.chmod(path.stat().st_mode)  # onnx lets nobody but the user read it
