"""The networks that there are; known without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Tuple

RESNET50, RESNET18, SMALL = "resnet50", "resnet18", "small"


@dataclass(frozen=True)
class Size:
    """How large a ResNet is."""

    depths: Tuple[int, int, int, int]
    """Blocks of each stage."""
    width: int
    """Channels of the first stage; each stage doubles them."""
    bottleneck: bool
    """Blocks of three convolutions, four times as wide in the end, in place of two."""

    @property
    def features(self) -> int:
        """Channels in the end."""
        return self.width * 8 * (4 if self.bottleneck else 1)


SIZES: Mapping[str, Size] = {
    RESNET50: Size((3, 4, 6, 3), 64, True),
    RESNET18: Size((2, 2, 2, 2), 64, False),
    SMALL: Size((1, 1, 1, 1), 16, False),
}
