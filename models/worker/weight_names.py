"""The names that the weights of a network have in different files, brought to one form.

    image_encoder.     names of the module that encodes: of the package segment-anything, of our
                       TinyViT, of transformers' Sam2VisionModel, or of Segment Anything 3's authors
    prompt_encoder.    names of the package segment-anything, whatever the family
    mask_decoder.      the same; Segment Anything 2 has some more

Files come from the authors of the networks, or are written by the package transformers, which
has names of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Dict, Mapping, Match, Sequence, Tuple

import torch
from torch import Tensor

_Rules = Sequence[Tuple[str, str]]
"""Patterns, and what takes the place of what they find; one after the other."""

_PLACES = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_LAYER = r"^(mask_decoder\.transformer\.layers\.\d+)"
_HEADS = (
    r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))"
    r"\.(proj_in|proj_out|layers\.(\d+))\.(weight|bias)$"
)

_FROM_TRANSFORMERS: _Rules = (
    (r"^vision_encoder\.", "image_encoder."),
    (r"^shared_image_embedding\.positional_embedding$", _PLACES),
    (r"^prompt_encoder\.shared_embedding\.positional_embedding$", _PLACES),
    (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"^no_memory_embedding$", "no_mem_embed"),
    (rf"{_LAYER}\.layer_norm(\d)\.", r"\1.norm\2."),
    (rf"{_LAYER}\.mlp\.proj_in\.", r"\1.mlp.lin1."),
    (rf"{_LAYER}\.mlp\.proj_out\.", r"\1.mlp.lin2."),
    (r"^(mask_decoder\.transformer\..*)\.o_proj\.", r"\1.out_proj."),
    (r"^mask_decoder\.transformer\.layer_norm_final_attn\.",
     "mask_decoder.transformer.norm_final_attn."),
    (r"^mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
    (r"^mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
    (r"^mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
)  # fmt: skip
_VIT_FROM_TRANSFORMERS: _Rules = (
    (r"^image_encoder\.patch_embed\.projection\.", "image_encoder.patch_embed.proj."),
    (r"^image_encoder\.layers\.(\d+)\.layer_norm(\d)\.", r"image_encoder.blocks.\1.norm\2."),
    (r"^image_encoder\.layers\.", "image_encoder.blocks."),
    (r"^image_encoder\.neck\.conv1\.", "image_encoder.neck.0."),
    (r"^image_encoder\.neck\.layer_norm1\.", "image_encoder.neck.1."),
    (r"^image_encoder\.neck\.conv2\.", "image_encoder.neck.2."),
    (r"^image_encoder\.neck\.layer_norm2\.", "image_encoder.neck.3."),
)
_NEWER_DECODER: _Rules = (
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (rf"{_LAYER}\.mlp\.layers\.0\.", r"\1.mlp.lin1."),
    (rf"{_LAYER}\.mlp\.layers\.1\.", r"\1.mlp.lin2."),
)
_SEGMENT_ANYTHING_2: _Rules = (
    (r"^image_encoder\.trunk\.", "image_encoder.backbone."),
    (r"^(image_encoder\.backbone\.patch_embed)\.proj\.", r"\1.projection."),
    (r"^(image_encoder\.backbone\.blocks\.\d+)\.norm(\d)\.", r"\1.layer_norm\2."),
    (r"^(image_encoder\.backbone\.blocks\.\d+)\.mlp\.layers\.0\.", r"\1.mlp.proj_in."),
    (r"^(image_encoder\.backbone\.blocks\.\d+)\.mlp\.layers\.1\.", r"\1.mlp.proj_out."),
    (r"^(image_encoder\.neck\.convs\.\d+)\.conv\.", r"\1."),
    *_NEWER_DECODER,
)
_SEGMENT_ANYTHING_3: _Rules = (
    (r"^detector\.backbone\.vision_backbone\.trunk\.", "image_encoder.trunk."),
    (r"^detector\.backbone\.vision_backbone\.sam2_convs\.", "image_encoder.convs."),
    (r"^tracker\.", ""),
    *_NEWER_DECODER,
)
_3_FROM_TRANSFORMERS: _Rules = (
    (r"^(?:detector_model\.)?vision_encoder\.backbone\.", "image_encoder.trunk."),
    (r"^(?:tracker_neck|vision_encoder\.neck)\.fpn_layers\.", "image_encoder.convs."),
    (r"^tracker_model\.", ""),
    (r"^(image_encoder\.trunk)\.embeddings\.position_embeddings$", r"\1.pos_embed"),
    (r"^(image_encoder\.trunk)\.embeddings\.patch_embeddings\.projection\.",
     r"\1.patch_embed.proj."),
    (r"^(image_encoder\.trunk)\.layer_norm\.", r"\1.ln_pre."),
    (r"^(image_encoder\.trunk)\.layers\.(\d+)\.layer_norm(\d)\.", r"\1.blocks.\2.norm\3."),
    (r"^(image_encoder\.trunk)\.layers\.(\d+)\.attention\.o_proj\.", r"\1.blocks.\2.attn.proj."),
    (r"^(image_encoder\.trunk)\.layers\.(\d+)\.attention\.", r"\1.blocks.\2.attn."),
    (r"^(image_encoder\.trunk)\.layers\.", r"\1.blocks."),
    (r"^(image_encoder\.convs\.0)\.scale_layers\.0\.", r"\1.dconv_2x2_0."),
    (r"^(image_encoder\.convs\.0)\.scale_layers\.2\.", r"\1.dconv_2x2_1."),
    (r"^(image_encoder\.convs\.1)\.scale_layers\.0\.", r"\1.dconv_2x2."),
    (r"^(image_encoder\.convs\.\d+)\.proj1\.", r"\1.conv_1x1."),
    (r"^(image_encoder\.convs\.\d+)\.proj2\.", r"\1.conv_3x3."),
    *_FROM_TRANSFORMERS,
)  # fmt: skip
_PLACES_3 = "vision_encoder.backbone.embeddings.position_embeddings"
_APART = re.compile(r"^(image_encoder\.trunk\.blocks\.\d+\.attn)\.q_proj\.(weight|bias)$")
_WRAPPERS = ("module.", "sam.", "sam_model.", "model.", "tracker_model.")
"""What training programs, and transformers at times, put in front of every name."""
_POINTS = "prompt_encoder.point_embeddings.weight"


def uniform(weights: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Weights under the names that this package uses; names that are not known stay."""
    weights = _unwrapped(weights)
    rules = _rules(weights)
    named = {_renamed(name, rules): values for name, values in weights.items()}
    if _FROM_TRANSFORMERS[0] in rules:
        named = _joined(_numbered_layers(named))
    if _POINTS in named:
        for kind, values in enumerate(named.pop(_POINTS)):
            named[f"prompt_encoder.point_embeddings.{kind}.weight"] = values[None]
    return named


def _rules(weights: Mapping[str, Tensor]) -> _Rules:
    """How names are changed, by whose they are."""
    if _PLACES_3 in weights or f"detector_model.{_PLACES_3}" in weights:
        return _3_FROM_TRANSFORMERS
    if "detector.backbone.vision_backbone.trunk.pos_embed" in weights:
        return _SEGMENT_ANYTHING_3
    if any(name.startswith("vision_encoder.") for name in weights):
        hiera = "vision_encoder.backbone.pos_embed" in weights
        return (*_FROM_TRANSFORMERS, *(() if hiera else _VIT_FROM_TRANSFORMERS))
    return _SEGMENT_ANYTHING_2 if "image_encoder.trunk.pos_embed" in weights else ()


def part(weights: Mapping[str, Tensor], start: str) -> Dict[str, Tensor]:
    """The weights whose names begin with something, without it."""
    return {name[len(start) :]: w for name, w in weights.items() if name.startswith(start)}


def _unwrapped(weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    for wrapper in _WRAPPERS:
        if weights and all(name.startswith(wrapper) for name in weights):
            weights = part(weights, wrapper)
    return weights


def _renamed(name: str, rules: _Rules) -> str:
    for pattern, new in rules:
        name = re.sub(pattern, new, name)
    return name


def _joined(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Queries, keys and values in one, as in the authors' files."""
    for match in list(filter(None, map(_APART.match, weights))):
        start, kind = match.groups()
        apart = [f"{start}.{name}_proj.{kind}" for name in "qkv"]
        if all(name in weights for name in apart):
            weights[f"{start}.qkv.{kind}"] = torch.cat([weights.pop(name) for name in apart])
    return weights


def _numbered_layers(weights: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Heads of the decoder: proj_in, layers 0 .. k, proj_out become layers 0 .. k + 2."""
    matches = {name: re.match(_HEADS, name) for name in weights}
    between = Counter(m[1] for m in matches.values() if m and m[3] and m[4] == "weight")
    return {
        _numbered(match, between) if match else name: weights[name]
        for name, match in matches.items()
    }


def _numbered(match: Match[str], between: Mapping[str, int]) -> str:
    head, kind, number, rest = match.groups()
    if kind == "proj_in":
        place = 0
    elif kind == "proj_out":
        place = between[head] + 1
    else:
        place = int(number) + 1
    return f"{head}.layers.{place}.{rest}"
