"""The encoder of Segment Anything 2 and 2.1: that of the package transformers."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, Mapping, Tuple

import torch
from torch import Tensor, nn

from ...core.errors import ModelError
from .architectures import Hiera
from .torchvision_repair import repair

_STRIDES = (4, 8, 16)
"""Of the features, in pixels."""


class FilmEncoder(nn.Module):
    """Features at three scales, as the decoder takes them."""

    no_memory: Tensor

    def __init__(self, vision: nn.Module, channels: int) -> None:
        """Put an encoder in front.

        :param vision: its answer has `fpn_hidden_states`, three levels from fine to coarse.
        """
        super().__init__()
        self.vision = vision
        self.conv_s0 = nn.Conv2d(channels, channels // 8, 1)
        self.conv_s1 = nn.Conv2d(channels, channels // 4, 1)
        # Networks for films add what they remember; a picture has nothing before it.
        self.register_buffer("no_memory", torch.zeros(1, channels, 1, 1))

    def forward(self, square: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """(1, 3, side, side) normalised -> features at a 16th, an 8th and a 4th of the side."""
        finest, fine, coarse = self.vision(square).fpn_hidden_states
        return coarse + self.no_memory, self.conv_s1(fine), self.conv_s0(finest)


def encoder(architecture: Hiera, weights: Mapping[str, Tensor]) -> nn.Module:
    """The encoder with its weights, without a copy.

    :param weights: all weights, under the names of :func:`.weight_names.uniform`.
    :raises ModelError: the package is missing, too old, or does not load.
    :raises RuntimeError: the weights do not fit.
    """
    package = _package()
    with torch.device("meta"):
        vision = package.Sam2VisionModel(_config(package, architecture))
    vision.load_state_dict(
        {name: weights["image_encoder." + name] for name in vision.state_dict()}, assign=True
    )
    return with_decoder_parts(vision, architecture.channels, weights)


def with_decoder_parts(
    vision: nn.Module, channels: int, weights: Mapping[str, Tensor]
) -> FilmEncoder:
    """An encoder with what the decoder's weights add to it, without a copy.

    :param vision: with its weights.
    :param weights: all weights, under the names of :func:`.weight_names.uniform`.
    :raises KeyError, RuntimeError: the weights do not fit.
    """
    with torch.device("meta"):
        made = FilmEncoder(nn.Identity(), channels)
    wanted = {
        name: weights["mask_decoder." + name] for name in made.state_dict() if name != "no_memory"
    }
    wanted["no_memory"] = weights["no_mem_embed"].reshape(1, -1, 1, 1)
    made.load_state_dict(wanted, assign=True)
    made.vision = vision
    return made


def _config(package: Any, architecture: Hiera) -> Any:
    """What transformers needs to know to make the encoder."""
    widths = [architecture.width << k for k in range(len(architecture.stages))]
    backbone = package.Sam2HieraDetConfig(
        hidden_size=architecture.width,
        num_attention_heads=architecture.heads[0],
        image_size=[architecture.side] * 2,
        blocks_per_stage=list(architecture.stages),
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=list(architecture.heads),
        window_size_per_stage=list(architecture.windows),
        global_attention_blocks=list(architecture.global_blocks),
        window_positional_embedding_background_size=list(architecture.background),
    )
    return package.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=widths[::-1],
        backbone_feature_sizes=[[architecture.side // stride] * 2 for stride in _STRIDES],
        fpn_hidden_size=architecture.channels,
    )


def _package() -> ModuleType:
    try:
        repair()
        package = importlib.import_module("transformers")
        for name in ("Sam2VisionModel", "Sam2VisionConfig", "Sam2HieraDetConfig"):
            getattr(package, name)
        return package
    except (ImportError, AttributeError, RuntimeError, OSError) as failure:
        raise ModelError(
            "Checkpoints of Segment Anything 2 need the Python package transformers from version "
            f"4.56 on, which does not load here ({failure}); repair the environment of the heavy "
            "tools under Models of Furrow > Packages."
        ) from failure
