"""ONNX files that enlarge pictures, of one or two operators each."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence, Tuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Sides = Sequence[object]
FREE: Sides = (1, 3, "h", "w")


def repeating(path: Path, factor: float = 2, **how: object) -> Path:
    """Pixels become squares; a channel or a size of its own where that is asked for."""
    scales = numpy_helper.from_array(np.array([1, 1, factor, factor], np.float32), "scales")
    node = helper.make_node(
        "Resize", ["picture", "", "scales"], ["large"], mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    return save(path, [node], [scales], **how)


def times(path: Path, number: float, offset: float = 0.0) -> Path:
    """Pixels become squares of another colour."""
    values = {"scales": np.array([1, 1, 2, 2], np.float32), "times": np.float32(number),
              "offset": np.float32(offset)}  # fmt: skip
    tensors = [numpy_helper.from_array(np.asarray(each), name) for name, each in values.items()]
    nodes = [
        helper.make_node("Resize", ["picture", "", "scales"], ["wide"], mode="nearest"),
        helper.make_node("Mul", ["wide", "times"], ["bright"]),
        helper.make_node("Add", ["bright", "offset"], ["large"]),
    ]
    return save(path, nodes, tensors)


def no_numbers(path: Path) -> Path:
    """The root of what is below 0."""
    two = numpy_helper.from_array(np.array(2, np.float32), "two")
    nodes = [
        helper.make_node("Sub", ["picture", "two"], ["below"]),
        helper.make_node("Sqrt", ["below"], ["large"]),
    ]
    return save(path, nodes, [two])


def grey(path: Path) -> Path:
    """One channel comes out."""
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    nodes = [
        helper.make_node("ReduceMean", ["picture"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Resize", ["mean", "", "scales"], ["large"], mode="nearest"),
    ]
    return save(path, nodes, [scales])


def two_inputs(path: Path) -> Path:
    node = helper.make_node("Add", ["picture", "other"], ["large"])
    return save(path, [node], [], more=("other",))


def foreign(path: Path) -> Path:
    """Needs an operator that onnxruntime does not have."""
    node = helper.make_node("Steal", ["picture"], ["large"], domain="evil.corp")
    return save(path, [node], [], domain="evil.corp")


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    values: Sequence[onnx.TensorProto],
    shape: Optional[Sides] = FREE,
    dtype: int = TensorProto.FLOAT,
    more: Tuple[str, ...] = (),
    domain: str = "",
) -> Path:
    """Write a graph from "picture" (and more inputs) to "large"."""
    free = None if shape is None else ["n", "c", "large_h", "large_w"]
    graph = helper.make_graph(
        list(nodes), "enlarger",
        [helper.make_tensor_value_info(name, dtype, shape) for name in ("picture", *more)],
        [helper.make_tensor_value_info("large", dtype, free)], list(values),
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17)]
    opsets += [helper.make_opsetid(domain, 1)] if domain else []
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path
