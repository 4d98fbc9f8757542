"""A trained network as files: ONNX for QGIS, safetensors to go on training."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Mapping

import numpy as np
import onnx
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ...core.errors import ModelError
from ..worker.onnx_files import Traced, graph_of
from .crops import SCALARS
from .network import FieldNetwork
from .onnx_classifier import INPUTS, OUTPUT, NetworkClassifier

_MOST_DIFFERENT = 1e-3
"""Largest difference of a probability between torch and onnxruntime."""


class _Graph(nn.Module):
    """The network with probabilities in the end."""

    def __init__(self, network: FieldNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, mask: Tensor, scalars: Tensor) -> Tensor:
        """(n, c) probabilities."""
        return self.network(image, mask, scalars).softmax(dim=1)


def export(network: FieldNetwork, path: Path, side: int) -> float:
    """Write a network as ONNX and try it; the largest difference of a probability.

    :raises ModelError: onnxruntime gives other probabilities than torch.
    """
    graph = _Graph(copy.deepcopy(network).cpu().float()).eval()
    given = dict(zip(INPUTS, example(2, side, 0)))
    free = {name: {0: "n"} for name in (*INPUTS, OUTPUT)}
    model = graph_of(Traced(graph, given, (OUTPUT,), free))
    model.producer_name = "furrow"
    model.doc_string = "Classes of fields from masked crops, made with Furrow."
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return _parity(graph, path, side)


def save_weights(network: FieldNetwork, path: Path, said: Mapping[str, Any]) -> None:
    """Write all weights with what they belong to."""
    state = network.state_dict()
    plain = {name: values.detach().cpu().contiguous() for name, values in state.items()}
    save_file(plain, str(path), {"network": json.dumps(dict(said))})


def example(count: int, side: int, seed: int) -> tuple:
    """Made-up inputs of the network."""
    make = torch.Generator().manual_seed(seed)
    image = torch.rand(count, 3, side, side, generator=make) * 255
    mask = (torch.rand(count, 1, side, side, generator=make) > 0.3).float()
    return image, mask, torch.rand(count, len(SCALARS), generator=make)


@torch.no_grad()
def _parity(graph: nn.Module, path: Path, side: int) -> float:
    inputs = example(3, side, 1)
    expected = graph(*inputs).numpy()
    found = NetworkClassifier(path, expected.shape[1]).of_inputs(*(each.numpy() for each in inputs))
    different = float(np.abs(found - expected).max())
    if not different < _MOST_DIFFERENT:
        raise ModelError(f"{path} differs from the network by {different:.4f} in a probability.")
    return different
