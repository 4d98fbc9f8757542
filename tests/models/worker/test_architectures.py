# ruff: noqa: E402 (what needs torch is imported only where it is there)
"""Networks of the published sizes, built and loaded by the shapes of their weights alone."""

from __future__ import annotations

import importlib.util
from typing import Dict

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the worker needs torch: make test")
for package in ("segment_anything", "transformers", "torchvision"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the worker needs {package}: make test", allow_module_level=True)

from furrow.core.errors import ModelError
from furrow.models.segmenters.catalogue import read_catalogue
from furrow.models.worker.architectures import VisionTransformer, recognise
from furrow.models.worker.networks import Parts, assemble
from furrow.models.worker.torchvision_repair import repair
from furrow.models.worker.weight_names import part, uniform
from furrow.tests.models.worker import tiny_models

CATALOGUE = {entry.id: entry for entry in read_catalogue()}
VITS = {
    "b": VisionTransformer(1024, 16, 768, 12, 12, 14, (2, 5, 8, 11), 3072, 256),
    "l": VisionTransformer(1024, 16, 1024, 24, 16, 14, (5, 11, 17, 23), 4096, 256),
    "h": VisionTransformer(1024, 16, 1280, 32, 16, 14, (7, 15, 23, 31), 5120, 256),
}
HIERAS_2 = {
    "tiny": ((1, 2, 4, 8), (8, 4, 14, 7), (5, 7, 9)),
    "small": ((1, 2, 4, 8), (8, 4, 14, 7), (7, 10, 13)),
    "base+": ((2, 4, 8, 16), (8, 4, 14, 7), (12, 16, 20)),
    "large": ((2, 4, 8, 16), (8, 4, 16, 8), (23, 33, 43)),
}
"""Heads, windows, and blocks that see everything, as the authors' settings have it."""
ENOUGH = 0.01
"""By which share a catalogue's number of parameters may be rounded."""


def built(weights: Dict[str, torch.Tensor], source: str) -> Parts:
    """The network of weights without content, with every weight that it has taken over."""
    named = uniform(weights)
    parts = assemble(recognise(named, source), named, source)
    for module in (parts.encoder, parts.prompts, parts.decoder):
        devices = {values.device.type for values in module.state_dict().values() if values.ndim}
        assert devices == {"meta"}
    return parts


def check_count(entry_id: str, shapes: Dict[str, tuple]) -> None:
    """The catalogue tells how many numbers the file holds."""
    count = sum(int(np.prod(shape)) for shape in shapes.values())
    assert count == pytest.approx(CATALOGUE[entry_id].parameters, rel=ENOUGH)


@pytest.mark.parametrize("size", ["b", "l", "h"])
def test_segment_anything(size: str) -> None:
    """Names and shapes are those of the authors' own package."""
    repair()
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        weights = sam_model_registry[f"vit_{size}"]().state_dict()
    parts = built(weights, f"sam_vit_{size}.pth")
    assert parts.architecture == VITS[size]
    assert parts.architecture.title == f"Segment Anything ViT-{size.upper()}"
    own, taken = parts.encoder.state_dict(), part(weights, "image_encoder.")
    assert {n: v.shape for n, v in own.items()} == {n: v.shape for n, v in taken.items()}
    check_count(f"segment-anything-vit-{size}", {n: v.shape for n, v in weights.items()})


def test_mobile_sam() -> None:
    with torch.device("meta"):
        sam = tiny_models.mobile_sam(tiny_models.MOBILE, hidden=2048)
        classifier = tiny_models.mobile_classifier(sam, 1000)
    parts = built({**sam.state_dict(), **classifier}, "mobile_sam.pt")
    assert parts.architecture == tiny_models.MOBILE
    learned = {**dict(sam.named_parameters()), **classifier}
    check_count("mobile-sam", {name: tuple(values.shape) for name, values in learned.items()})


@pytest.mark.parametrize("version", ["2", "2.1"])
@pytest.mark.parametrize("size", list(tiny_models.SIZES_2))
def test_segment_anything_2(size: str, version: str) -> None:
    shapes = tiny_models.published_shapes_2(tiny_models.SIZES_2[size], version)
    weights = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    architecture = built(weights, f"sam{version}_hiera.pt").architecture
    width, stages, _, background = tiny_models.SIZES_2[size]
    assert (architecture.size, architecture.version) == (size, version)
    assert (architecture.width, architecture.stages) == (width, stages)
    assert architecture.background == background
    found = (architecture.heads, architecture.windows, architecture.global_blocks)
    assert found == HIERAS_2[size]
    assert (architecture.channels, architecture.side) == (256, 1024)
    check_count(f"segment-anything-{version}-{size.replace('+', '-plus')}", shapes)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mask_decoder.hf_token.weight", "HQ-SAM, which Furrow does not run"),
        ("image_encoder.stages.0.weight", "EdgeSAM, which Furrow runs from ONNX files only"),
        ("mask_decoder.final_output_upscaling_layers.0.weight", "EfficientSAM, which Furrow runs"),
    ],
)
def test_relatives_that_do_not_run_are_named(name: str, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        recognise(uniform({name: torch.empty(1, device="meta")}), "some.pth")


def test_other_networks_are_refused_by_how_they_begin() -> None:
    weights = {"conv1.weight": torch.empty(64, 3, 7, 7, device="meta")}
    with pytest.raises(ModelError, match=r"resnet\.pth is not of the .* conv1\.weight 64x3x7x7"):
        recognise(weights, "resnet.pth")


def test_a_weight_that_is_missing_is_named() -> None:
    shapes = tiny_models.published_shapes_2(tiny_models.SIZES_2["tiny"], "2.1")
    weights = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    del weights["sam_mask_decoder.iou_token.weight"]
    with pytest.raises(ModelError, match="Segment Anything 2.1 tiny, but .* not complete"):
        built(weights, "cut.pt")


@pytest.mark.parametrize("wrapper", ["module.", "model.", "sam."])
def test_what_training_programs_put_around_names_is_taken_off(wrapper: str) -> None:
    shapes = tiny_models.published_shapes_2(tiny_models.SIZES_2["tiny"], "2")
    weights = {wrapper + n: torch.empty(shape, device="meta") for n, shape in shapes.items()}
    assert built(weights, "wrapped.pt").architecture.size == "tiny"
