"""Networks that enlarge pictures: CARN-M and RFDN.

CARN-M is the mobile variant of the cascading residual network (Ahn, Kang and Sohn 2018, arXiv
1803.08664), RFDN the residual feature distillation network (Liu, Tang and Wu 2020, arXiv
2009.11551). Modules have the names that the published weights have.
"""

from __future__ import annotations

from typing import List, Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

_CASCADE = 3
"""Steps of a cascade, and blocks of CARN-M, which are a cascade too."""
_SLOPE = 0.05
"""Of RFDN's leaky rectifiers below 0."""
COLOURS = 3
"""Red, green and blue."""


class _Colours(nn.Module):
    """A shift of the colours by a mean that lies in the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.shifter = nn.Conv2d(COLOURS, COLOURS, 1)

    def forward(self, picture: Tensor) -> Tensor:
        return self.shifter(picture)


class _Fusion(nn.Module):
    """Many features to few, cell by cell."""

    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(given, width, 1), nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        return self.body(features)


class _EfficientResidual(nn.Module):
    """Two convolutions in groups and one over all groups, added to what they were given."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.body(features) + features)


class _Cascade(nn.Module):
    """Steps each of which is shown what all steps before it gave."""

    def __init__(self, width: int) -> None:
        super().__init__()
        for step in range(1, _CASCADE + 1):
            self.add_module(f"c{step}", _Fusion((step + 1) * width, width))

    def step(self, number: int) -> nn.Module:
        """What is done in a step, 1 to 3."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        seen = last = features
        for number in range(1, _CASCADE + 1):
            seen = torch.cat((seen, self.step(number)(last)), dim=1)
            last = self.get_submodule(f"c{number}")(seen)
        return last


class _RecursiveBlock(_Cascade):
    """A cascade whose steps share their weights."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__(width)
        self.b1 = _EfficientResidual(width, groups)

    def step(self, number: int) -> nn.Module:
        return self.b1


class CarnM(_Cascade):
    """CARN-M, which has an upsampler for each of its factors; one is used."""

    def __init__(self, width: int, groups: int, upsamplers: Mapping[int, int], factor: int) -> None:
        """Layers without sensible weights.

        :param width: number of features.
        :param upsamplers: factors, and in how many groups the convolutions of each are.
        """
        super().__init__(width)
        self.sub_mean, self.add_mean = _Colours(), _Colours()
        self.entry = nn.Conv2d(COLOURS, width, 3, padding=1)
        for number in range(1, _CASCADE + 1):
            self.add_module(f"b{number}", _RecursiveBlock(width, groups))
        self.upsample = nn.ModuleDict(
            {f"up{each}": _upsampler(width, each, parts) for each, parts in upsamplers.items()}
        )
        self.exit = nn.Conv2d(width, COLOURS, 3, padding=1)
        self._factor = factor

    def step(self, number: int) -> nn.Module:
        """One of the blocks."""
        return self.get_submodule(f"b{number}")

    def forward(self, picture: Tensor) -> Tensor:
        """(1, 3, H, W) of 0..1 to (1, 3, factor H, factor W)."""
        features = super().forward(self.entry(self.sub_mean(picture)))
        enlarged = self.upsample[f"up{self._factor}"]["body"](features)
        return self.add_mean(self.exit(enlarged))


def _upsampler(width: int, factor: int, groups: int) -> nn.Module:
    steps = {2: (2,), 3: (3,), 4: (2, 2)}[factor]
    layers: List[nn.Module] = []
    for step in steps:
        layers.append(nn.Conv2d(width, step**2 * width, 3, padding=1, groups=groups))
        layers += [nn.ReLU(), nn.PixelShuffle(step)]
    return nn.ModuleDict({"body": nn.Sequential(*layers)})


class _Attention(nn.Module):
    """Enhanced spatial attention: how much of each feature counts at each cell."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, inner, 1)
        self.conv_f = nn.Conv2d(inner, inner, 1)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=2)
        self.conv_max = nn.Conv2d(inner, inner, 3, padding=1)
        self.conv3 = nn.Conv2d(inner, inner, 3, padding=1)
        self.conv3_ = nn.Conv2d(inner, inner, 3, padding=1)
        self.conv4 = nn.Conv2d(inner, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        few = self.conv1(features)
        wide = F.max_pool2d(self.conv2(few), kernel_size=7, stride=3)
        wide = self.conv3_(F.relu(self.conv3(F.relu(self.conv_max(wide)))))
        wide = F.interpolate(wide, features.shape[2:], mode="bilinear", align_corners=False)
        return features * torch.sigmoid(self.conv4(wide + self.conv_f(few)))


class _DistillationBlock(nn.Module):
    """Shallow residual blocks; of what each is given a part is kept for the end."""

    def __init__(self, width: int, kept: int, inner: int) -> None:
        super().__init__()
        for step in range(1, _CASCADE + 1):
            self.add_module(f"c{step}_d", nn.Conv2d(width, kept, 1))
            self.add_module(f"c{step}_r", nn.Conv2d(width, width, 3, padding=1))
        self.c4 = nn.Conv2d(width, kept, 3, padding=1)
        self.c5 = nn.Conv2d((_CASCADE + 1) * kept, width, 1)
        self.esa = _Attention(width, inner)

    def forward(self, features: Tensor) -> Tensor:
        kept = []
        for step in range(1, _CASCADE + 1):
            kept.append(_leaky(self.get_submodule(f"c{step}_d")(features)))
            features = _leaky(self.get_submodule(f"c{step}_r")(features) + features)
        kept.append(_leaky(self.c4(features)))
        return self.esa(self.c5(torch.cat(kept, dim=1)))


class Rfdn(nn.Module):
    """RFDN: blocks one after the other, and all that they gave put together."""

    def __init__(self, width: int, kept: int, inner: int, blocks: int, factor: int) -> None:
        """Layers without sensible weights.

        :param width: number of features.
        :param kept: how many of them a block keeps of each of its steps.
        :param inner: features of the attention.
        """
        super().__init__()
        self.fea_conv = nn.Conv2d(COLOURS, width, 3, padding=1)
        for number in range(1, blocks + 1):
            self.add_module(f"B{number}", _DistillationBlock(width, kept, inner))
        self.c = nn.Sequential(nn.Conv2d(blocks * width, width, 1))
        self.LR_conv = nn.Conv2d(width, width, 3, padding=1)
        self.upsampler = nn.Sequential(
            nn.Conv2d(width, COLOURS * factor**2, 3, padding=1), nn.PixelShuffle(factor)
        )
        self._blocks = blocks

    def forward(self, picture: Tensor) -> Tensor:
        """(1, 3, H, W) of 0..255 to (1, 3, factor H, factor W); H and W at least 15."""
        first = last = self.fea_conv(picture)
        given = []
        for number in range(1, self._blocks + 1):
            last = self.get_submodule(f"B{number}")(last)
            given.append(last)
        together = _leaky(self.c(torch.cat(given, dim=1)))
        return self.upsampler(self.LR_conv(together) + first)


def _leaky(features: Tensor) -> Tensor:
    return F.leaky_relu(features, _SLOPE)
