"""A checkpoint for super-resolution as an ONNX file, which runs without torch."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional

import numpy as np
import torch

from ...core.errors import ModelError
from ...core.monitor import SILENT, Monitor
from ..segmenters.file_hash import file_hash
from ..segmenters.onnx_pairs.onnx_session import GraphRunner, close_sessions
from ..segmenters.own_models import ONNX_SUFFIX
from ..super_resolution.onnx_enlarger import OnnxEnlarger
from .onnx_files import Precision, Traced, write
from .onnx_parity import example
from .super_resolution import SuperResolution, open_super_resolution

PICTURE, ENLARGED = "picture", "enlarged"
"""Input and output of the graph: (1, 3, H, W) and (1, 3, factor H, factor W) of 0..1, red first."""
_MOST_APART = {Precision.FLOAT32: 1e-4, Precision.FLOAT16: 1 / 255}
"""How far a value may be from that of torch; where weights are rounded a level of 255."""
_SIZES = ((64, 90), (47, 33))
"""Heights and widths of the pictures that are tried: sides must be free."""


@dataclass(frozen=True)
class WantedFile:
    """What an export is to be like."""

    factor: Optional[int] = None
    """2, 3 or 4; None: the largest that the checkpoint has."""
    precision: Precision = Precision.FLOAT32
    """FLOAT32 or FLOAT16."""
    replace: bool = False
    """Whether a file that is there already is replaced."""


def export_super_resolution(
    checkpoint: Path, file: Path, wanted: WantedFile = WantedFile(), monitor: Monitor = SILENT
) -> SuperResolution:
    """Turn a checkpoint of CARN-M or RFDN into an ONNX file.

    The file is tried first, on made-up pictures; it appears only when all is well.

    :param checkpoint: a .pth, .pt or .safetensors file, or a folder with one.
    :param file: to be made, ending in .onnx.
    :param monitor: told what happens.
    :return: the network that the file was made of.
    :raises ModelError: the checkpoint cannot be read, the file not be made, or it does not answer
        as the checkpoint does; nothing is left then.
    """
    file = file.absolute()
    _check_file(file, wanted.replace)
    temporary = file.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        temporary.mkdir()
        opened = _exported(checkpoint, temporary / file.name, wanted, monitor)
        close_sessions()  # Windows moves and deletes no file that is open
        (temporary / file.name).replace(file)
    except OSError as error:
        raise ModelError(
            f"{file} cannot be written ({error.strerror or error}); make room on that disk, end "
            "what uses the file, or choose another one."
        ) from error
    except (RuntimeError, MemoryError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        raise ModelError(
            f"torch {torch.__version__} cannot turn {checkpoint} into an ONNX file here ({reason});"
            " end other programs if the memory is full, or repair the environment of the heavy "
            "tools under Models of Furrow > Packages."
        ) from error
    finally:
        close_sessions()
        shutil.rmtree(temporary, ignore_errors=True)
    return opened


def _exported(
    checkpoint: Path, path: Path, wanted: WantedFile, monitor: Monitor
) -> SuperResolution:
    """Write and try the file in a folder that is there."""
    monitor.message(f"Reading {checkpoint}")
    opened = open_super_resolution(checkpoint, wanted.factor)
    monitor.message(f"{opened.architecture}, {opened.factor} times; writing {path.name}")
    free = {PICTURE: {2: "height", 3: "width"},
            ENLARGED: {2: "enlarged_height", 3: "enlarged_width"}}  # fmt: skip
    given = {PICTURE: torch.rand(1, 3, 48, 40)}
    write(
        Traced(opened.network, given, (ENLARGED,), free), path, wanted.precision,
        _said(opened, wanted.precision),
    )  # fmt: skip
    apart, allowed = _apart(opened, path), _MOST_APART[wanted.precision]
    told = f"values of 0 to 1 differ by {apart:.2g} at most ({allowed:.2g} is allowed)"
    monitor.message(f"Compared with torch, {told}")
    if not apart <= allowed:
        raise ModelError(
            f"The file does not answer as {checkpoint} does: {told}; choose another precision."
        )
    _check_use(checkpoint, path)
    return opened


def _check_use(checkpoint: Path, path: Path) -> None:
    """:raises ModelError: the file would be refused where it is to be used."""
    try:
        OnnxEnlarger(path)
    except ModelError as error:
        reason = str(error).split(";")[0]
        raise ModelError(
            f"{checkpoint} is no network that enlarges pictures as they are ({reason}); choose the "
            "published checkpoint."
        ) from error


def _said(opened: SuperResolution, precision: Precision) -> Dict[str, str]:
    """What the file says of itself."""
    return {
        "furrow.architecture": opened.architecture,
        "furrow.factor": str(opened.factor),
        "furrow.checkpoint": file_hash(opened.checkpoint),
        "furrow.precision": precision.value,
    }


@torch.no_grad()
def _apart(opened: SuperResolution, path: Path) -> float:
    """The largest difference between what torch and onnxruntime make of pictures."""
    # On the processor alone: graphics cards round otherwise.
    runner = GraphRunner(path, accelerated=False)
    whole = example()[0].transpose(2, 0, 1)[None].astype(np.float32) / 255
    differences = []
    for height, width in _SIZES:
        picture = np.ascontiguousarray(whole[:, :, :height, :width])
        expected = opened.network(torch.from_numpy(picture)).numpy()
        (found,) = runner.run([ENLARGED], {PICTURE: picture})
        if found.shape != expected.shape:
            return float("inf")
        differences.append(float(np.abs(found - expected).max()))
    return float(np.max(differences))


def _check_file(file: Path, replaced: bool) -> None:
    """:raises ModelError: it cannot be made."""
    if file.suffix.lower() != ONNX_SUFFIX:
        raise ModelError(f"{file} must end in {ONNX_SUFFIX}; call it {file.stem}{ONNX_SUFFIX}.")
    if not file.parent.is_dir():
        raise ModelError(
            f"The folder {file.parent} does not exist; create it or choose another one."
        )
    if file.is_dir():
        raise ModelError(f"{file} is a folder; give the name of a file.")
    if file.exists() and not replaced:
        raise ModelError(
            f"{file} exists already; choose another name, or replace it with --replace."
        )
