"""The encoder of Segment Anything 3: a vision transformer, written anew under its weights' names.

Prompts and masks are those of Segment Anything 2. What finds objects by words is left out: Furrow
gives clicks and boxes.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .architectures import RotaryTransformer
from .segment_anything_2 import with_decoder_parts

_EPSILON = 1e-5
_SLOWEST = 10_000.0
"""Cells to a radian of the pair of numbers that is turned least."""


class Levels(NamedTuple):
    """Features at three strides, named as by the encoder of Segment Anything 2."""

    fpn_hidden_states: Tuple[Tensor, Tensor, Tensor]
    """From fine to coarse."""


class Attention(nn.Module):
    """Cells look at each other; queries and keys are turned by angles that tell their places."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.heads = heads

    def forward(self, windows: Tensor, angles: Tensor) -> Tensor:
        """(n, cells, width) with angles (cells, d / 2) -> the same shape."""
        n, cells, width = windows.shape
        parts = self.qkv(windows).view(n, cells, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        turned = (_turned(part, angles).to(value.dtype) for part in (query, key))
        seen = functional.scaled_dot_product_attention(*turned, value)
        return self.proj(seen.transpose(1, 2).reshape(n, cells, width))


class Mlp(nn.Module):
    """What is done with each cell alone."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, cells: Tensor) -> Tensor:
        """(..., width), the same shape."""
        return self.fc2(functional.gelu(self.fc1(cells)))


class Block(nn.Module):
    """Attention within windows or in the whole picture, and a perceptron."""

    def __init__(self, architecture: RotaryTransformer, window: int) -> None:
        super().__init__()
        width = architecture.width
        self.norm1 = nn.LayerNorm(width, eps=_EPSILON)
        self.attn = Attention(width, architecture.heads)
        self.norm2 = nn.LayerNorm(width, eps=_EPSILON)
        self.mlp = Mlp(width, architecture.hidden)
        self._window, self._reach = window, architecture.window

    def forward(self, cells: Tensor) -> Tensor:
        """(1, h, w, width), the same shape; h and w are multiples of the window."""
        _, height, width, channels = cells.shape
        side = self._window
        rows, columns = height // side, width // side
        windows = self.norm1(cells).view(rows, side, columns, side, channels).transpose(1, 2)
        # Larger windows are told apart no finer than small ones.
        angles = _angles(side, self._reach / side, self.attn, cells)
        seen = self.attn(windows.reshape(rows * columns, side * side, channels), angles)
        seen = seen.view(rows, columns, side, side, channels).transpose(1, 2)
        cells = cells + seen.reshape(1, height, width, channels)
        return cells + self.mlp(self.norm2(cells))


class Trunk(nn.Module):
    """The transformer."""

    def __init__(self, architecture: RotaryTransformer) -> None:
        super().__init__()
        width, patch = architecture.width, architecture.patch
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch, bias=False)})
        self.pos_embed = nn.Parameter(torch.zeros(1, architecture.learned**2, width))
        self.ln_pre = nn.LayerNorm(width, eps=_EPSILON)
        grid = architecture.side // patch
        windows = [
            grid if k in architecture.global_blocks else architecture.window
            for k in range(architecture.depth)
        ]
        self.blocks = nn.ModuleList(Block(architecture, window) for window in windows)
        self._times = -(-grid // architecture.learned)
        self._grid, self._learned = grid, architecture.learned

    def forward(self, square: Tensor) -> Tensor:
        """(1, 3, side, side) normalised -> (1, width, rows, columns)."""
        cells = self.patch_embed["proj"](square).permute(0, 2, 3, 1)
        places = self.pos_embed.view(1, self._learned, self._learned, -1)
        places = places.repeat(1, self._times, self._times, 1)
        cells = self.ln_pre(cells + places[:, : self._grid, : self._grid])
        for block in self.blocks:
            cells = block(cells)
        return cells.permute(0, 3, 1, 2)


class Vision(nn.Module):
    """The transformer, and what makes three scales of its features."""

    def __init__(self, architecture: RotaryTransformer) -> None:
        super().__init__()
        width, channels = architecture.width, architecture.channels
        self.trunk = Trunk(architecture)
        half, quarter = width // 2, width // 4
        finest = {
            "dconv_2x2_0": nn.ConvTranspose2d(width, half, 2, 2),
            "gelu": nn.GELU(),
            "dconv_2x2_1": nn.ConvTranspose2d(half, quarter, 2, 2),
        }
        fine = {"dconv_2x2": nn.ConvTranspose2d(width, half, 2, 2)}
        self.convs = nn.ModuleList([
            _scale(finest, quarter, channels), _scale(fine, half, channels),
            _scale({}, width, channels),
        ])  # fmt: skip

    def forward(self, square: Tensor) -> Levels:
        """(1, 3, side, side) normalised -> features of 4, 2 and 1 cells a patch."""
        cells = self.trunk(square)
        finest, fine, coarse = (conv(cells) for conv in self.convs)
        return Levels((finest, fine, coarse))


def encoder(architecture: RotaryTransformer, weights: Mapping[str, Tensor]) -> nn.Module:
    """The encoder with its weights, without a copy.

    :param weights: all weights, under the names of :func:`.weight_names.uniform`.
    :raises KeyError: a weight is missing.
    :raises RuntimeError: the weights do not fit.
    """
    with torch.device("meta"):
        vision = Vision(architecture)
    own = {name: weights["image_encoder." + name] for name in vision.state_dict()}
    # The first place may be that of a cell for the whole picture, which only training had.
    own["trunk.pos_embed"] = own["trunk.pos_embed"][:, -(architecture.learned**2) :]
    vision.load_state_dict(own, assign=True)
    return with_decoder_parts(vision, architecture.channels, weights)


def _scale(before: Mapping[str, nn.Module], taken: int, given: int) -> nn.Sequential:
    made = nn.Sequential()
    for name, module in before.items():
        made.add_module(name, module)
    made.add_module("conv_1x1", nn.Conv2d(taken, given, 1))
    made.add_module("conv_3x3", nn.Conv2d(given, given, 3, padding=1))
    return made


def _angles(side: int, step: float, attention: Attention, like: Tensor) -> Tensor:
    """By how much the pairs of a head are turned: (side * side, d / 2), x before y."""
    count = attention.proj.in_features // attention.heads // 4
    speeds = _SLOWEST ** -(torch.arange(count, device=like.device) / count)
    place = step * torch.arange(side, device=like.device)
    turns = place[:, None] * speeds
    right = turns[None].expand(side, -1, -1)
    down = turns[:, None].expand(-1, side, -1)
    return torch.cat([right, down], dim=-1).reshape(side * side, -1)


def _turned(values: Tensor, angles: Tensor) -> Tensor:
    """Each pair of numbers of (..., cells, d) turned by its angle."""
    one, other = values.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([one * cos - other * sin, other * cos + one * sin], dim=-1).flatten(-2)
