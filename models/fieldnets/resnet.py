"""ResNet (He and others 2015) without its last layer, its weights named as in torchvision.

Written out here because it is short: neither torchvision, which wants a torch of its own build,
nor transformers has to be imported for it.
"""

from __future__ import annotations

import re
from typing import Dict, List, Mapping, Sequence, Tuple

import torch
from torch import Tensor, nn

from ...core.errors import ModelError
from .sizes import Size

_LEAST_FOUND = 0.9
"""Share of the weights that a file has to hold."""
_STARTS = ("backbone.", "resnet.", "module.")
_FROM_TRANSFORMERS: Sequence[Tuple[str, str]] = (
    (r"^embedder\.embedder\.convolution\.", "conv1."),
    (r"^embedder\.embedder\.normalization\.", "bn1."),
    (r"\.shortcut\.convolution\.", ".downsample.0."),
    (r"\.shortcut\.normalization\.", ".downsample.1."),
)
_INNER = re.compile(
    r"^encoder\.stages\.(\d)\.layers\.(\d+)\.(?:layer\.(\d)\.(convolution|normalization)\.)?"
)


class ResNet(nn.Module):
    """(n, 3, s, s) normalised pictures -> (n, features)."""

    def __init__(self, size: Size) -> None:
        """Make one with random weights."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, size.width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(size.width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = size.width
        for stage, depth in enumerate(size.depths):
            blocks: List[nn.Module] = []
            for position in range(depth):
                stride = 2 if stage and not position else 1
                block = _Block(channels, size.width << stage, stride, size.bottleneck)
                channels = block.channels
                blocks.append(block)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        """The means of the last features."""
        values = self.maxpool(torch.relu(self.bn1(self.conv1(image))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            values = stage(values)
        return values.mean(dim=(2, 3))


class _Block(nn.Module):
    """Two or three convolutions and a way around them."""

    def __init__(self, given: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        self.channels = width * 4 if bottleneck else width
        # Kernel, channels and stride of each; the stride is that of the first 3 x 3.
        plan = (
            [(1, width, 1), (3, width, stride), (1, self.channels, 1)]
            if bottleneck
            else [(3, width, stride), (3, width, 1)]
        )
        self._count = len(plan)
        inner = given
        for k, (kernel, channels, step) in enumerate(plan, start=1):
            setattr(self, f"conv{k}", nn.Conv2d(inner, channels, kernel, step, kernel // 2,
                                                bias=False))  # fmt: skip
            setattr(self, f"bn{k}", nn.BatchNorm2d(channels))
            inner = channels
        self.downsample = None
        if stride > 1 or given != self.channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(given, self.channels, 1, stride, bias=False),
                nn.BatchNorm2d(self.channels),
            )

    def forward(self, values: Tensor) -> Tensor:
        around = values if self.downsample is None else self.downsample(values)
        for k in range(1, self._count + 1):
            values = getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(values))
            values = torch.relu(values if k < self._count else values + around)
        return values


def take_weights(network: ResNet, weights: Mapping[str, Tensor], name: str) -> int:
    """Begin with the weights of a file; how many were taken.

    :param weights: of torchvision's or transformers' ResNet, or of a network of Furrow's.
    :param name: of the file, for the message.
    :raises ModelError: they belong to another network.
    """
    own = network.state_dict()
    found = {
        key: values
        for key, values in renamed(weights).items()
        if key in own and own[key].shape == values.shape
    }
    needed = [key for key in own if not key.endswith("num_batches_tracked")]
    if sum(key in found for key in needed) < _LEAST_FOUND * len(needed):
        raise ModelError(
            f"WEIGHTS: {name} holds the weights of another network; choose a file of a ResNet of "
            "the same size, or leave it empty."
        )
    network.load_state_dict(found, strict=False)
    return len(found)


def renamed(weights: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """The weights under torchvision's names."""
    return {_own_name(key): values for key, values in weights.items()}


def _own_name(key: str) -> str:
    for start in _STARTS:
        key = key[len(start) :] if key.startswith(start) else key
    for pattern, new in _FROM_TRANSFORMERS:
        key = re.sub(pattern, new, key)
    return _INNER.sub(_inner_name, key)


def _inner_name(found: re.Match) -> str:
    """transformers counts stages and convolutions from 0, torchvision from 1."""
    stage, block, layer, kind = found.groups()
    start = f"layer{int(stage) + 1}.{block}."
    if layer is None:
        return start
    return f"{start}{'conv' if kind == 'convolution' else 'bn'}{int(layer) + 1}."
