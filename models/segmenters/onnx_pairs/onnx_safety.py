"""Which ONNX files may be opened: those that keep to their own folder and to known operators."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from ....core.errors import ModelError
from .onnx_graph import Graph

STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Domains of the operators that onnxruntime brings along."""
_CODE = frozenset({"PythonOp", "PythonOpGrad", "PyOp", "EPContext"})
"""Operators of onnxruntime's own domain that run code from elsewhere."""
_MEMORY = "_ORT_MEM_ADDR_"
"""In the name of a file onnxruntime takes it as: read the weights from an address in memory."""


def check_safe(graph: Graph) -> None:
    """Refuse a file that reaches beyond its own folder or needs operators from elsewhere.

    :raises ModelError: weights in a file that is missing or lies outside the folder, or an operator
        that onnxruntime itself does not have.
    """
    for domain, operator in sorted(graph.operators):
        if domain not in STANDARD or operator in _CODE:
            raise ModelError(
                f"MODEL: {graph.path.name} needs the operator {_shown(f'{domain}.{operator}')}, "
                "which onnxruntime does not have or which runs code; export the model again with "
                "standard operators only."
            )
    for location in graph.external:
        _check_location(graph.path, location)


def _check_location(path: Path, location: str) -> None:
    """:raises ModelError: the weights are not in a file within the folder of `path`."""
    if _leads_out(location):
        raise ModelError(_outside(path, location))
    folder = path.parent
    try:
        found = (folder / location).resolve(strict=True)
        inside = folder.resolve(strict=True) in found.parents
        present = found.is_file()
    except (OSError, RuntimeError, ValueError):  # RuntimeError: links in a circle
        inside, present = True, False
    if not inside:
        raise ModelError(_outside(path, location))
    if not present:
        raise ModelError(
            f"MODEL: {path.name} needs its weights in the file {_shown(location)} beside it, which "
            f"is missing; copy it into {folder}."
        )


def _leads_out(location: str) -> bool:
    """Whether a location is no plain relative path, on any system."""
    odd = any(mark in location for mark in (_MEMORY, "*", "\\"))
    if not location or odd or not location.isprintable():
        return True
    flavours = (PurePosixPath(location), PureWindowsPath(location))
    return any(way.root or way.drive or ".." in way.parts for way in flavours)


def _outside(path: Path, location: str) -> str:
    return (
        f"MODEL: {path.name} wants its weights from {_shown(location)}, which is not in its own "
        f"folder; use an export whose files lie beside each other in {path.parent}."
    )


def _shown(location: str) -> str:
    """A location as it may stand in a sentence."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in location)
    return f"'{printable[:80]}'"
