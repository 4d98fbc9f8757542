"""Write the field model for onnxruntime, which runs it in QGIS without torch.

Weights are stored as float16 and features pass from the encoder to the decoder as float16; both
compute in float32.
"""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from ...core.errors import ModelError
from ...core.fields.segmenter import Prompts
from ..segmenters.furrow_field.field_crops import LEVELS, decoder_inputs, decodes
from ..segmenters.furrow_field.field_model import (
    DECODER_FILE,
    ENCODER_FILE,
    MODEL_ID,
    FieldModelSegmenter,
)
from ..segmenters.furrow_field.standardising import standardised
from ..segmenters.onnx_pairs.onnx_session import open_session
from ..worker.onnx_files import Traced, graph_of, halve
from .network import Answers, Clicks, Crops, FieldNetwork, crop

LICENCE = "GPL-3.0-or-later"
DECODER_INPUTS = (*Crops._fields, *Clicks._fields)
_DIFFERENT = 0.001
"""Largest share of a mask's pixels that may differ after the export."""


class _EncoderGraph(nn.Module):
    """The encoder with its features as a tuple, in float16."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> Tuple[Tensor, ...]:
        """(n, 3, H, W) float32 standardised -> the features by their names' order."""
        return tuple(value.half() for value in self.encoder(image).values())


class _DecoderGraph(nn.Module):
    """The decoder with separate inputs, features in float16."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, context: Tensor, detail: Tensor, *others: Tensor) -> Answers:
        """Inputs in the order of DECODER_INPUTS."""
        inside, level, *clicks = others
        crops = Crops(context.float(), detail.float(), inside, level)
        return self.decoder(crops, Clicks(*clicks))


def export(network: FieldNetwork, folder: Path) -> None:
    """Write both graphs into a folder, and try them.

    :param network: its weights and its mode stay as they are.
    :param folder: is made where it does not exist.
    :raises ModelError: the graphs' masks differ from those of the network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # In a copy, because the mode of a graph's module is that of all that is in it: a wrapper in
    # training mode would normalise by the batch.
    network = copy.deepcopy(network).cpu().float().eval()
    version = f"1-{_checksum(network)[:12]}"
    with torch.no_grad():
        _write(_traced_encoder(network), folder / ENCODER_FILE, version)
        _write(_traced_decoder(network), folder / DECODER_FILE, version)
    parity(network, folder)


def parity(network: FieldNetwork, folder: Path) -> float:
    """Largest difference of the decoder's logits between torch and the graphs of a folder.

    Both see a made-up picture of fields, from the picture to the answers.

    :raises ModelError: more than one in a thousand pixels of the masks differ.
    """
    network = copy.deepcopy(network).cpu().float().eval()
    image, prompts = example()
    given = FieldModelSegmenter(folder, thorough=False).encode(image)
    pairs = [(prompt, decode) for prompt in prompts for decode in decodes(given.shape, prompt)]
    pairs.sort(key=lambda pair: pair[1].level)
    inputs = decoder_inputs(given.data, pairs)
    answers = open_session(folder / DECODER_FILE).run(["logits"], inputs)[0]
    corners = np.array([decode.corner for _, decode in pairs], np.int64)
    expected = _torch_logits(network, image, inputs, corners)
    inside = inputs["inside"].repeat(2, axis=2).repeat(2, axis=3) > 0
    wrong = ((answers > 0) != (expected > 0)) & inside
    share = wrong.sum() / (inside.sum() * answers.shape[1])
    if share > _DIFFERENT:
        raise ModelError(f"{share:.2%} of the pixels differ between torch and {folder}.")
    return float(np.abs(answers - expected).max(initial=0, where=inside))


def example() -> Tuple[np.ndarray, List[Prompts]]:
    """A made-up picture of fields, (160, 192, 3) uint8, and prompts of all kinds on it."""
    rng = np.random.default_rng(0)
    colours = rng.integers(40, 200, (5, 6, 3)).repeat(32, axis=0).repeat(32, axis=1)
    image = np.clip(colours + rng.normal(0, 8, colours.shape), 0, 255).astype(np.uint8)
    box = np.array([33.0, 30.0, 62.0, 65.0])
    several = Prompts(np.array([[48.0, 48.0], [80.5, 50.0]]), np.array([True, False]))
    boxed = Prompts(np.zeros((0, 2)), np.zeros(0, bool), box)
    clicks = [Prompts.click(x, y) for x, y in ((10.0, 10.0), (100.2, 77.9), (191.5, 159.5))]
    return image, [*clicks, several, boxed]


@torch.no_grad()
def _torch_logits(
    network: FieldNetwork, image: np.ndarray, inputs: Dict[str, np.ndarray], corners: np.ndarray
) -> np.ndarray:
    """The network's own logits, with its own crops, for the prompts of `inputs`."""
    picture = _shown(image)
    tensors = {name: torch.from_numpy(values) for name, values in inputs.items()}
    which = torch.zeros(len(corners), dtype=torch.int64)
    crops = crop(network.encoder(picture), which, tensors["level"], torch.from_numpy(corners))
    clicks = Clicks(*(tensors[name] for name in Clicks._fields))
    return network.decoder(crops, clicks).logits.numpy()


def _shown(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32 standardised."""
    seen = standardised(image)
    return torch.from_numpy(np.ascontiguousarray(seen.transpose(2, 0, 1)[None]))


def _traced_encoder(network: FieldNetwork) -> Traced:
    image = torch.randn(1, 3, 96, 64)
    names = tuple(network.encoder(image))
    axes = {name: {0: "n", 2: f"rows_{name}", 3: f"columns_{name}"} for name in names}
    axes["image"] = {0: "n", 2: "rows", 3: "columns"}
    return Traced(_EncoderGraph(network.encoder), {"image": image}, names, axes)


def _traced_decoder(network: FieldNetwork) -> Traced:
    image, prompts = example()
    maps = network.encoder(_shown(image))
    halves = {name: value[0].half().numpy() for name, value in maps.items()}
    pairs = [(prompt, decode) for prompt in prompts for decode in decodes(image.shape[:2], prompt)]
    inputs = decoder_inputs(halves, pairs)
    given = {name: torch.from_numpy(inputs[name]) for name in DECODER_INPUTS}
    axes: Dict[str, Dict[int, str]] = {
        name: {0: "n"} for name in (*DECODER_INPUTS, *Answers._fields)
    }
    axes["points"][1] = axes["labels"][1] = "k"
    return Traced(_DecoderGraph(network.decoder), given, Answers._fields, axes)


def _write(traced: Traced, path: Path, version: str) -> None:
    """Weights to float16, then what the file says of itself."""
    model = graph_of(traced)
    halve(model.graph)
    model.producer_name, model.producer_version = "furrow", version
    model.doc_string = "Field model of Furrow: outlines fields on satellite images at clicks."
    said = {
        "model_id": MODEL_ID,
        "version": version,
        "licence": LICENCE,
        "levels": ",".join(map(str, LEVELS)),
    }
    helper.set_model_props(model, said)
    onnx.checker.check_model(model)
    # Not onnx.save: a session may hold the file open, and a file written in part must not remain.
    new = path.with_suffix(".new")
    new.write_bytes(model.SerializeToString(deterministic=True))
    new.replace(path)


def _checksum(network: FieldNetwork) -> str:
    """SHA-256 of all weights."""
    total = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        total.update(name.encode())
        total.update(value.numpy().tobytes())
    return total.hexdigest()
