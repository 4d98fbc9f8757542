"""The network: a ResNet on the masked crop, joined by the numbers of hue and richness."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor, nn

from .crops import SCALARS
from .resnet import ResNet
from .sizes import SIZES

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, which weights that are begun with were trained on."""
_DROPOUT = 0.2


class FieldNetwork(nn.Module):
    """Crop, mask and numbers -> a log-odd for each class."""

    def __init__(self, size: str, classes: int) -> None:
        """:param size: a name of SIZES."""
        super().__init__()
        self.backbone = ResNet(SIZES[size])
        self.dropout = nn.Dropout(_DROPOUT)
        self.head = nn.Linear(SIZES[size].features + len(SCALARS), classes)
        self.register_buffer("image_mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.register_buffer("image_std", torch.tensor(_STD).view(1, 3, 1, 1))
        self.register_buffer("scalar_mean", torch.zeros(len(SCALARS)))
        self.register_buffer("scalar_std", torch.ones(len(SCALARS)))

    def standardise(self, scalars: Tensor) -> None:
        """Learn mean and spread of the numbers, (n, 7), of the fields that are trained on."""
        self.scalar_mean.copy_(scalars.mean(dim=0))
        self.scalar_std.copy_(scalars.std(dim=0, correction=0).clamp(min=1e-3))

    def forward(self, image: Tensor, mask: Tensor, scalars: Tensor) -> Tensor:
        """(n, c) log-odds.

        :param image: (n, 3, s, s) float 0..255.
        :param mask: (n, 1, s, s) float 0..1.
        :param scalars: (n, 7) float.
        """
        shown = (image / 255 - self.image_mean) / self.image_std * mask
        numbers = (scalars - self.scalar_mean) / self.scalar_std
        return self.head(self.dropout(torch.cat([self.backbone(shown), numbers], dim=1)))


def device_of(wanted: Optional[str] = None) -> torch.device:
    """The fastest device that is there, or the one that is wanted."""
    if wanted:
        return torch.device(wanted)
    if torch.cuda.is_available():
        return torch.device("cuda")
    mps = getattr(torch.backends, "mps", None)
    return torch.device("mps" if mps is not None and mps.is_available() else "cpu")
