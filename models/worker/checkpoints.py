"""Reading checkpoints: numbers under names, never code.

PyTorch's own files are pickles, which can name any code to be run when they are read. They are read
with torch's restricted reader alone; what it refuses is refused here. safetensors files hold
nothing but numbers.
"""

from __future__ import annotations

import importlib
import json
import struct
import zipfile
from pathlib import Path
from typing import Any, Dict, Mapping

import torch
from torch import Tensor

from ...core.errors import ModelError
from ..segmenters.catalogue import CONFIG_FILE

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
"""Of checkpoints, the preferred one first."""
_INSIDE = ("model", "state_dict", "model_state_dict", "ema", "module")
"""Where training programs put the weights in a file."""
_WRONG_KINDS = (
    (b"<", "is a web page, not a checkpoint: its download went wrong; download it again"),
    (b"version https://git-lfs", "only stands for the checkpoint; download the file itself"),
    (b"\x89HDF", "is an HDF5 file, not a checkpoint of PyTorch; choose another file"),
    (b"\x1f\x8b", "is a gzip archive; unpack it and choose the checkpoint inside"),
    (b"GGUF", "is a GGUF file, not a checkpoint of PyTorch; choose another file"),
)
"""How files begin that are often taken for checkpoints."""
_ONNX_VERSIONS = range(3, 64)
_MOST_HEADER = 100_000_000
_HEADER_LENGTH = struct.Struct("<Q")
_CODE = ("GLOBAL", "not an allowed", "unrecognized function", "unsupported class")
"""In what torch's restricted reader says of files that name something that is not numbers."""
# torch raises pickle's exception; this module has no other use for pickle.
_Refused = torch.serialization.pickle.UnpicklingError


def find(path: Path) -> Path:
    """The checkpoint file that a path stands for: itself, or the one in the folder.

    :raises ModelError: there is none, or the folder holds more than one.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise ModelError(f"{path} does not exist; choose a file that does.")
    for suffix in SUFFIXES:
        found = sorted(path.glob(f"*{suffix}"))
        if len(found) > 1:
            raise ModelError(f"{path} holds {len(found)} {suffix} files; choose one of them.")
        if found:
            return found[0]
    raise ModelError(f"{path} holds no checkpoint ({', '.join(SUFFIXES)}); choose another folder.")


def read(path: Path) -> Dict[str, Tensor]:
    """The weights of a checkpoint file, in memory; float32 where they are of any float type.

    :raises ModelError: it is of another kind, damaged, or asks for code to be run.
    """
    start = _start(path)
    if _is_safetensors(start):
        content: Any = _read_safetensors(path)
    else:
        _refuse_wrong_kind(path, start)
        content = _read_pytorch(path)
    weights = _weights_in(content)
    if not weights:
        raise ModelError(f"{path} holds no weights under names; choose another checkpoint.")
    return {name: values.float() if values.is_floating_point() else values
            for name, values in weights.items()}  # fmt: skip


def read_config(path: Path) -> Mapping[str, Any]:
    """What the file config.json beside a checkpoint says; empty where there is none.

    :raises ModelError: it is damaged.
    """
    config = path.with_name(CONFIG_FILE)
    if not config.is_file():
        return {}
    try:
        said = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{config} is damaged; download it again.") from error
    return said if isinstance(said, dict) else {}


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not start:
        raise ModelError(f"{path} is empty; download it again.")
    return start


def _is_safetensors(start: bytes) -> bool:
    if len(start) <= _HEADER_LENGTH.size:
        return False
    (length,) = _HEADER_LENGTH.unpack_from(start)
    return length <= _MOST_HEADER and start[_HEADER_LENGTH.size :].lstrip()[:1] == b"{"


def _refuse_wrong_kind(path: Path, start: bytes) -> None:
    """:raises ModelError: the file is of a kind that is known and is no checkpoint."""
    for mark, sentence in _WRONG_KINDS:
        if start.lstrip().startswith(mark):
            raise ModelError(f"{path} {sentence}.")
    if start[:1] == b"\x08" and start[1:2] and start[1] in _ONNX_VERSIONS:
        raise ModelError(f"{path} is an ONNX file; give it the ending .onnx and choose it again.")
    if not start.startswith(b"PK"):
        return
    if not zipfile.is_zipfile(path):
        raise ModelError(_damaged(path))
    with zipfile.ZipFile(path) as archive:
        inside = {name.rpartition("/")[2] for name in archive.namelist()}
    if "constants.pkl" in inside:
        raise ModelError(_needs_code(path))
    if "data.pkl" not in inside:
        raise ModelError(
            f"{path} is a zip archive, no checkpoint; unpack it and choose the checkpoint inside."
        )


def _read_safetensors(path: Path) -> Any:
    try:
        damaged = importlib.import_module("safetensors").SafetensorError
        load = importlib.import_module("safetensors.torch").load_file
    except ImportError as error:
        raise ModelError(
            f"{path} needs the Python package safetensors; repair the environment of the heavy "
            "tools under Models of Furrow > Packages."
        ) from error
    try:
        return load(str(path))
    except (damaged, ValueError, KeyError, OSError) as error:
        raise ModelError(_damaged(path)) from error


def _read_pytorch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except _Refused as error:
        wants_code = any(mark in str(error) for mark in _CODE)
        raise ModelError(_needs_code(path) if wants_code else _damaged(path)) from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError,
            OSError, AssertionError) as error:  # fmt: skip
        raise ModelError(_damaged(path)) from error


def _weights_in(content: Any) -> Dict[str, Tensor]:
    """The weights, wherever in the content of a file they are."""
    if not isinstance(content, dict):
        return {}
    for name in _INSIDE:
        found = _tensors(content.get(name))
        if found:
            return found
    return _tensors(content)


def _tensors(content: Any) -> Dict[str, Tensor]:
    if not isinstance(content, dict):
        return {}
    return {name: values for name, values in content.items()
            if isinstance(name, str) and isinstance(values, Tensor)}  # fmt: skip


def _needs_code(path: Path) -> str:
    return (
        f"{path} asks for code to be run when it is read, which Furrow never does; choose a "
        "checkpoint that holds weights alone, best a .safetensors file."
    )


def _damaged(path: Path) -> str:
    return f"{path} is cut off, damaged or no checkpoint of PyTorch; download it again."
