"""A network for super-resolution in an ONNX file: what it is is found out by trying it.

It takes one picture (1, 3, H, W) of numbers 0 to 1, red first, and gives it two, three or four
times as large.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from ...core.errors import ModelError
from ..segmenters.onnx_pairs.onnx_graph import Graph, read_graph
from ..segmenters.onnx_pairs.onnx_safety import check_safe
from ..segmenters.onnx_pairs.onnx_session import PACKAGE, GraphRunner, available

PARAMETER = "SUPER_RESOLUTION"
"""What the sentences for users call it."""
FACTORS = (2, 3, 4)
"""So many times the sides of a picture become longer."""
_MODEL = "MODEL: "
_TYPES = ("float32", "float16")
_LEAST = 32
"""Pixels: smaller pictures are continued to this side, for networks that look at a coarser copy."""
_TRIED = (32, 40)
"""Height and width of the picture that a network is tried on."""
_FURTHEST = 0.1
"""How far the mean of a colour may move; networks that want numbers up to 255 move it further."""
_OTHER = f"choose another file or leave {PARAMETER} empty"


class OnnxEnlarger:
    """Enlarges pictures with one network; see `Enlarger`. Safe for several threads."""

    factor: int
    """How many times longer the sides become."""

    def __init__(self, path: Path) -> None:
        """Open a file and try it on a small picture.

        :raises ModelError: no onnxruntime, no such file, or not a network of this kind.
        """
        _require_runtime(path)
        graph = _graph_of(path)
        self._path = path
        self._input, self._dtype = graph.inputs[0].name, np.dtype(graph.inputs[0].dtype)
        self._output = graph.outputs[0].name
        self._runner = _runner_of(path)
        tried = _slopes(*_TRIED)
        answer = self._run(tried)
        self.factor = _factor_of(path.name, answer)
        _check_colours(path.name, tried, answer)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """See `Enlarger.__call__`.

        :raises ModelError: the network cannot run on this picture, as when the memory is full.
        """
        height, width = image.shape[:2]
        more = max(_LEAST - height, 0), max(_LEAST - width, 0)
        shown = np.pad(image, ((0, more[0]), (0, more[1]), (0, 0)), mode="edge")
        picture = shown.transpose(2, 0, 1)[None].astype(np.float32) / 255
        large = self._run(picture)[0, :, : self.factor * height, : self.factor * width]
        if large.shape != (3, self.factor * height, self.factor * width):
            raise ModelError(
                f"{PARAMETER}: {self._path.name} enlarges a picture of {width} x {height} pixels "
                f"by another factor than small ones; {_OTHER}."
            )
        return np.clip(255 * large + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)

    def _run(self, picture: np.ndarray) -> np.ndarray:
        """(1, 3, H, W) float32 of 0..1 -> what the network gives, as float32.

        :raises ModelError: it cannot run, or gives what is no number.
        """
        given = {self._input: picture.astype(self._dtype, order="C")}
        try:
            (found,) = self._runner.run([self._output], given)
        except ModelError as error:
            raise _renamed(error) from error
        large = np.asarray(found, np.float32)
        if not np.isfinite(large).all():
            raise ModelError(
                f"{PARAMETER}: {self._path.name} answers with values that are no numbers; export "
                f"it again with --precision float32, or {_OTHER}."
            )
        return large


def open_enlarger(path: Path) -> OnnxEnlarger:
    """The network in a file; one that was opened before is given again.

    :raises ModelError: as :class:`OnnxEnlarger`.
    """
    if not path.is_file():
        raise ModelError(f"{PARAMETER}: {path} does not exist; {_OTHER}.")
    status = path.stat()
    return _opened(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1)
def _opened(path: Path, size: int, changed: int) -> OnnxEnlarger:
    """:param changed: when the file was written; part of the key, so a new file is read anew."""
    return OnnxEnlarger(path)


def _require_runtime(path: Path) -> None:
    """:raises ModelError: onnxruntime is not installed."""
    if not available():
        raise ModelError(
            f"{PARAMETER}: {path.name} needs the Python package {PACKAGE}, which is not installed; "
            f"install it under Models of Furrow > Packages or leave {PARAMETER} empty."
        )


def _graph_of(path: Path) -> Graph:
    """What a file says of itself.

    :raises ModelError: it is no ONNX file, not safe, or takes something else than a picture.
    """
    try:
        graph = read_graph(path)
    except ModelError as error:
        raise ModelError(
            f"{PARAMETER}: {path} is damaged or not an ONNX file; make it anew with "
            f"export-super-resolution, {_OTHER}."
        ) from error
    try:
        check_safe(graph)
    except ModelError as error:
        raise _renamed(error) from error
    _check_picture(graph)
    return graph


def _check_picture(graph: Graph) -> None:
    """:raises ModelError: it takes something else than one picture of any size."""
    name, inputs = graph.path.name, graph.inputs
    if len(inputs) != 1:
        raise ModelError(
            f"{PARAMETER}: {name} has {len(inputs)} inputs where one picture is expected; {_OTHER}."
        )
    shape = inputs[0].shape
    channels = shape is not None and len(shape) == 4 and shape[0] in (None, 1)
    if inputs[0].dtype not in _TYPES or not channels or shape[1] not in (None, 3):
        dtype = inputs[0].dtype or "values"
        raise ModelError(
            f"{PARAMETER}: {name} takes {dtype} of shape {_told(shape)} where a picture "
            f"(1, 3, H, W) of float32 is expected; {_OTHER}."
        )
    if shape[2] is not None or shape[3] is not None:
        raise ModelError(
            f"{PARAMETER}: {name} takes pictures of one size only, {_told(shape)}; export it again "
            f"with free height and width, or leave {PARAMETER} empty."
        )


def _told(shape: object) -> str:
    if not isinstance(shape, tuple):
        return "unknown"
    return f"({', '.join('?' if side is None else str(side) for side in shape)})"


def _runner_of(path: Path) -> GraphRunner:
    """:raises ModelError: onnxruntime does not load, or cannot read the file."""
    try:
        return GraphRunner(path)
    except ModelError as error:
        raise ModelError(
            f"{PARAMETER}: {PACKAGE} does not load here or cannot read {path}; repair it under "
            f"Models of Furrow > Packages, export the file again or leave {PARAMETER} empty."
        ) from error


def _renamed(error: ModelError) -> ModelError:
    """An error of a segmentation model as one of this parameter."""
    return ModelError(f"{PARAMETER}: {str(error).replace(_MODEL, '', 1)}")


def _slopes(height: int, width: int) -> np.ndarray:
    """(1, 3, height, width) float32 of 0..1: even slopes, each colour brighter than the last."""
    slope = np.add.outer(np.arange(height), np.arange(width)) / (height + width)
    return np.stack([0.3 * slope + start for start in (0.2, 0.3, 0.4)])[None].astype(np.float32)


def _factor_of(name: str, answer: np.ndarray) -> int:
    """By what factor a network has enlarged the picture that it was tried on.

    :raises ModelError: by none that is known, or it gave something else than a picture.
    """
    if answer.ndim != 4 or answer.shape[:2] != (1, 3):
        raise ModelError(
            f"{PARAMETER}: {name} gives values of shape {answer.shape} where one picture with "
            f"three colours is expected; {_OTHER}."
        )
    high, wide = (side / before for side, before in zip(answer.shape[2:], _TRIED))
    if high != wide or high not in FACTORS:
        raise ModelError(
            f"{PARAMETER}: {name} makes pictures {wide:g} times as wide and {high:g} times as high;"
            f" choose one that enlarges 2, 3 or 4 times, or leave {PARAMETER} empty."
        )
    return int(high)


def _check_colours(name: str, picture: np.ndarray, answer: np.ndarray) -> None:
    """:raises ModelError: a network wants or gives other numbers than 0 to 1."""
    moved = np.abs(answer.mean(axis=(0, 2, 3)) - picture.mean(axis=(0, 2, 3)))
    if moved.max() > _FURTHEST:
        raise ModelError(
            f"{PARAMETER}: {name} does not give back the colours that it is shown; use one that "
            "takes and gives red, green and blue of 0 to 1 (export-super-resolution makes such "
            f"files), or leave {PARAMETER} empty."
        )
