"""The encoder of MobileSAM: TinyViT, written anew under the names of its weights.

Its decoder is that of Segment Anything.
"""

from __future__ import annotations

from typing import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from .architectures import TinyVit

_NECK_EPSILON = 1e-6
_COUNTED = "num_batches_tracked"
"""Steps of training, which have no effect."""


class ConvNorm(nn.Sequential):
    """A convolution without bias, and batch normalisation."""

    def __init__(self, taken: int, given: int, side: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        conv = nn.Conv2d(taken, given, side, stride, side // 2, groups=groups, bias=False)
        self.add_module("c", conv)
        self.add_module("bn", nn.BatchNorm2d(given))


class Stem(nn.Module):
    """A quarter of the picture's rows and columns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = ConvNorm(3, width // 2, 3, 2), ConvNorm(width // 2, width, 3, 2)
        self.seq = nn.Sequential(first, nn.GELU(), second)

    def forward(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) -> (1, width, H / 4, W / 4)."""
        return self.seq(image)


class Bottleneck(nn.Module):
    """Wide, deep and narrow convolutions beside a short cut."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(width, hidden, 1)
        self.conv2 = ConvNorm(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvNorm(hidden, width, 1)

    def forward(self, cells: Tensor) -> Tensor:
        """(1, width, h, w), the same shape."""
        inner = functional.gelu(self.conv2(functional.gelu(self.conv1(cells))))
        return functional.gelu(cells + self.conv3(inner))


class Merging(nn.Module):
    """The way from one stage to the next."""

    def __init__(self, taken: int, given: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(taken, given, 1)
        self.conv2 = ConvNorm(given, given, 3, stride, groups=given)
        self.conv3 = ConvNorm(given, given, 1)

    def forward(self, cells: Tensor) -> Tensor:
        """(1, taken, h, w) -> (1, given, h / stride, w / stride)."""
        return self.conv3(functional.gelu(self.conv2(functional.gelu(self.conv1(cells)))))


class WindowAttention(nn.Module):
    """Cells of a window look at each other, knowing how far apart they are."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        self._heads, self._window = heads, window

    def forward(self, windows: Tensor) -> Tensor:
        """(n, window * window, width), the same shape."""
        n, cells, width = windows.shape
        parts = self.qkv(self.norm(windows)).view(n, cells, self._heads, -1).transpose(1, 2)
        query, key, value = parts.chunk(3, dim=-1)
        scores = query @ key.transpose(2, 3) * (width // self._heads) ** -0.5
        bias = self.attention_biases[:, _distances(self._window, windows.device)]
        seen = torch.softmax(scores + bias, dim=-1) @ value
        return self.proj(seen.transpose(1, 2).reshape(n, cells, width))


class Mlp(nn.Module):
    """What is done with each cell alone."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, cells: Tensor) -> Tensor:
        """(..., width), the same shape."""
        return self.fc2(functional.gelu(self.fc1(self.norm(cells))))


class Block(nn.Module):
    """Attention in windows, a convolution over their edges, and a perceptron."""

    def __init__(self, width: int, heads: int, window: int, hidden: int) -> None:
        super().__init__()
        self.attn = WindowAttention(width, heads, window)
        self.local_conv = ConvNorm(width, width, 3, groups=width)
        self.mlp = Mlp(width, hidden)
        self._window = window

    def forward(self, cells: Tensor) -> Tensor:
        """(1, width, h, w), the same shape."""
        cells = cells + self._attended(cells.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        cells = self.local_conv(cells).permute(0, 2, 3, 1)
        return (cells + self.mlp(cells)).permute(0, 3, 1, 2)

    def _attended(self, cells: Tensor) -> Tensor:
        """(1, h, w, width), filled up with zeros so that windows fit."""
        _, height, width, channels = cells.shape
        side = self._window
        cells = functional.pad(cells, (0, 0, 0, -width % side, 0, -height % side))
        rows, columns = cells.shape[1] // side, cells.shape[2] // side
        windows = cells.view(rows, side, columns, side, channels).transpose(1, 2)
        seen = self.attn(windows.reshape(rows * columns, side * side, channels))
        seen = seen.view(rows, columns, side, side, channels).transpose(1, 2)
        return seen.reshape(1, rows * side, columns * side, channels)[:, :height, :width]


class Stage(nn.Module):
    """Blocks of one width, and the way to the next stage where there is one."""

    def __init__(self, blocks: nn.ModuleList, downsample: nn.Module) -> None:
        super().__init__()
        self.blocks = blocks
        self.downsample = downsample

    def forward(self, cells: Tensor) -> Tensor:
        """(1, c, h, w) -> the input of the next stage."""
        for block in self.blocks:
            cells = block(cells)
        return self.downsample(cells)


class ChannelNorm(nn.LayerNorm):
    """Normalises over the channels of (1, c, h, w)."""

    def forward(self, cells: Tensor) -> Tensor:
        """The same shape."""
        return super().forward(cells.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class MobileEncoder(nn.Module):
    """From the model's square to features at a sixteenth of its rows and columns."""

    def __init__(self, architecture: TinyVit) -> None:
        super().__init__()
        widths, channels = architecture.widths, architecture.channels
        self.patch_embed = Stem(widths[0])
        self.layers = nn.ModuleList(_stage(architecture, k) for k in range(len(widths)))
        self.neck = nn.Sequential(
            nn.Conv2d(widths[-1], channels, 1, bias=False),
            ChannelNorm(channels, eps=_NECK_EPSILON),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            ChannelNorm(channels, eps=_NECK_EPSILON),
        )

    def forward(self, square: Tensor) -> Tensor:
        """(1, 3, side, side) normalised -> (1, channels, side / 16, side / 16)."""
        cells = self.patch_embed(square)
        for layer in self.layers:
            cells = layer(cells)
        return self.neck(cells)


def encoder(architecture: TinyVit, weights: Mapping[str, Tensor]) -> nn.Module:
    """The encoder with its weights, without a copy.

    :param weights: those of `image_encoder`, without that; the classifier's are left out.
    :raises RuntimeError: they do not fit.
    """
    with torch.device("meta"):
        made = MobileEncoder(architecture)
    counted = {name: torch.tensor(0) for name in made.state_dict() if name.endswith(_COUNTED)}
    wanted = {name: weights[name] for name in made.state_dict() if name not in counted}
    made.load_state_dict({**wanted, **counted}, assign=True)
    return made


def _stage(architecture: TinyVit, k: int) -> Stage:
    widths, hidden = architecture.widths, architecture.hidden[k]
    heads, window = architecture.heads[k], architecture.windows[k]
    blocks = [
        Block(widths[k], heads, window, hidden) if heads else Bottleneck(widths[k], hidden)
        for _ in range(architecture.depths[k])
    ]
    if k + 1 == len(widths):
        return Stage(nn.ModuleList(blocks), nn.Identity())
    # The last step keeps rows and columns, so that features lie at a sixteenth.
    stride = 1 if k + 2 == len(widths) else 2
    return Stage(nn.ModuleList(blocks), Merging(widths[k], widths[k + 1], stride))


def _distances(window: int, device: torch.device) -> Tensor:
    """For each pair of cells of a window, which bias is theirs: (cells, cells) int64."""
    place = torch.arange(window, device=device)
    rows, columns = (grid.flatten() for grid in torch.meshgrid(place, place, indexing="ij"))
    apart = [(axis[:, None] - axis[None]).abs() for axis in (rows, columns)]
    return apart[0] * window + apart[1]
