"""The encoder of Segment Anything: the vision transformer of the package segment-anything."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Mapping

import torch
from torch import Tensor, nn

from ...core.errors import ModelError
from .architectures import VisionTransformer
from .torchvision_repair import repair

_EPSILON = 1e-6


def encoder(architecture: VisionTransformer, weights: Mapping[str, Tensor]) -> nn.Module:
    """The encoder with its weights, without a copy: (1, 3, side, side) -> (1, c, h, w).

    :param weights: those of `image_encoder`, without that.
    :raises ModelError: the package is missing or does not load.
    :raises RuntimeError: the weights do not fit.
    """
    with torch.device("meta"):
        made = _package().ImageEncoderViT(
            img_size=architecture.side,
            patch_size=architecture.patch,
            embed_dim=architecture.width,
            depth=architecture.depth,
            num_heads=architecture.heads,
            mlp_ratio=architecture.hidden / architecture.width,
            out_chans=architecture.channels,
            qkv_bias="blocks.0.attn.qkv.bias" in weights,
            norm_layer=partial(nn.LayerNorm, eps=_EPSILON),
            use_rel_pos=True,
            window_size=architecture.window,
            global_attn_indexes=architecture.global_blocks,
        )
    made.load_state_dict({name: weights[name] for name in made.state_dict()}, assign=True)
    return made


def _package() -> object:
    try:
        repair()
        return importlib.import_module("segment_anything.modeling")
    except (ImportError, RuntimeError, OSError) as failure:
        raise ModelError(
            "Checkpoints of Segment Anything need the Python packages segment-anything and "
            f"torchvision, which do not load here ({failure}); repair the environment of the heavy "
            "tools under Models of Furrow > Packages."
        ) from failure
