"""Networks for super-resolution, opened from checkpoints; all sizes are read from the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Mapping, Optional, Sequence

import torch
from torch import Tensor, nn

from ...core.errors import ModelError
from ..super_resolution.onnx_enlarger import FACTORS
from .checkpoints import find, read
from .super_resolution_networks import COLOURS, CarnM, Rfdn

_WHITE = 255.0
"""What RFDN's published weights call white. CARN-M's call it 1: pictures come out 2 to 17 dB worse
the other way round."""
_MISFITS = (KeyError, IndexError, ValueError, TypeError, ZeroDivisionError)
"""What comes of weights that are missing or of odd shapes."""


@dataclass(frozen=True)
class SuperResolution:
    """A network that is ready to enlarge."""

    architecture: str
    """CARN-M or RFDN."""
    factor: int
    checkpoint: Path
    """The file with its weights."""
    network: nn.Module
    """(1, 3, H, W) float32 of 0..1, red first, to (1, 3, factor H, factor W) of the same kind."""


def open_super_resolution(checkpoint: Path, factor: Optional[int] = None) -> SuperResolution:
    """The network of a checkpoint of CARN-M or RFDN.

    :param checkpoint: a .pth, .pt or .safetensors file.
    :param factor: of those that it has; None: the largest.
    :raises ModelError: the file cannot be read, is of another network or lacks the factor.
    """
    path = find(checkpoint)
    weights = read(path)
    if "fea_conv.weight" in weights:
        return _rfdn(path, weights, factor)
    if "entry.weight" in weights:
        return _carn(path, weights, factor)
    raise ModelError(
        f"{path} is no checkpoint of CARN-M or RFDN, which are the networks for super-resolution "
        "that Furrow knows; choose another file, or an ONNX file that its publisher made."
    )


class _Graph(nn.Module):
    """A network that takes and gives colours of 0 to 1, whatever it was trained with."""

    def __init__(self, network: nn.Module, white: float) -> None:
        """:param white: what the network calls 1."""
        super().__init__()
        self.network, self._white = network, white

    def forward(self, picture: Tensor) -> Tensor:
        return (self.network(picture * self._white) / self._white).clamp(0, 1)


def _carn(path: Path, weights: Mapping[str, Tensor], factor: Optional[int]) -> SuperResolution:
    offered = [each for each in FACTORS if f"upsample.up{each}.body.0.weight" in weights]
    factor = _chosen(path, offered, factor)
    try:
        width = len(weights["entry.weight"])
        groups = width // weights["b1.b1.body.0.weight"].shape[1]
        parts = {each: width // weights[f"upsample.up{each}.body.0.weight"].shape[1]
                 for each in offered}  # fmt: skip
        with torch.device("meta"):
            network = CarnM(width, groups, parts, factor)
    except _MISFITS as error:
        raise _unlike(path, "CARN-M", str(error)) from error
    return _filled(SuperResolution("CARN-M", factor, path, network), weights, 1.0)


def _rfdn(path: Path, weights: Mapping[str, Tensor], factor: Optional[int]) -> SuperResolution:
    try:
        own = math.isqrt(len(weights["upsampler.0.weight"]) // COLOURS)
        factor = _chosen(path, [own] if own in FACTORS else [], factor)
        blocks = sum(f"B{number}.c4.weight" in weights for number in range(1, len(weights) + 1))
        sizes = (len(weights[name]) for name in
                 ("fea_conv.weight", "B1.c1_d.weight", "B1.esa.conv1.weight"))  # fmt: skip
        with torch.device("meta"):
            network = Rfdn(*sizes, blocks, factor)
    except _MISFITS as error:
        raise _unlike(path, "RFDN", str(error)) from error
    return _filled(SuperResolution("RFDN", factor, path, network), weights, _WHITE)


def _chosen(path: Path, offered: Sequence[int], factor: Optional[int]) -> int:
    """:raises ModelError: the checkpoint does not have the factor."""
    if factor is None and offered:
        return max(offered)
    if factor not in offered:
        has = ", ".join(map(str, offered))
        advice = f"choose a factor that it has: {has}" if has else "choose another checkpoint"
        raise ModelError(f"{path} does not enlarge {factor or '2, 3 or 4'} times; {advice}.")
    return factor


def _filled(
    empty: SuperResolution, weights: Mapping[str, Tensor], white: float
) -> SuperResolution:
    """The network with its weights.

    :raises ModelError: they are not exactly those that it has.
    """
    try:
        empty.network.load_state_dict(dict(weights), strict=True, assign=True)
    except RuntimeError as error:
        raise _unlike(empty.checkpoint, empty.architecture, str(error)) from error
    network = _Graph(empty.network, white).eval().requires_grad_(False)
    return replace(empty, network=network)


def _unlike(path: Path, architecture: str, reason: str) -> ModelError:
    told = " ".join(reason.split())[:200].rstrip(".")
    return ModelError(
        f"{path} is not the checkpoint of {architecture} that it looks like ({told}); download the "
        "published file again or choose another one."
    )
