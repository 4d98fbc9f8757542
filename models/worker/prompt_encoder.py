"""Prompts as tokens for the decoder of the Segment Anything family."""

from __future__ import annotations

from math import pi
from typing import Mapping

import torch
from torch import Tensor, nn

PADDING, BACKGROUND, FOREGROUND, UPPER_LEFT, LOWER_RIGHT = -1, 0, 1, 2, 3
"""Labels of points: none, off the object, on it, and the corners of a box around it."""
_KINDS = 4


class PromptEncoder(nn.Module):
    """Points with labels become tokens; the cells of the picture get their places."""

    places: Tensor
    kinds: Tensor
    no_mask: Tensor

    def __init__(self, weights: Mapping[str, Tensor], side: int) -> None:
        """Take over weights.

        :param weights: under the names of the package segment-anything.
        :param side: of the model's square, in pixels.
        :raises KeyError: a weight is missing.
        """
        super().__init__()
        self._side = side
        kinds = [weights[f"point_embeddings.{kind}.weight"] for kind in range(_KINDS)]
        self.register_buffer("places", weights["pe_layer.positional_encoding_gaussian_matrix"])
        self.register_buffer("kinds", torch.cat([*kinds, weights["not_a_point_embed.weight"]]))
        self.register_buffer("no_mask", weights["no_mask_embed.weight"][0])

    def forward(self, points: Tensor, labels: Tensor) -> Tensor:
        """The tokens of prompts.

        :param points: (n, k, 2) x and y in the model's square; 0 is the centre of a pixel.
        :param labels: (n, k) int64, one of the five of this module.
        :return: (n, k, c) float32.
        """
        known = (labels >= 0)[..., None]
        places = self._encoded((points + 0.5) / self._side)
        rows = torch.where(labels >= 0, labels, _KINDS)
        return places * known + self.kinds[rows]

    def cells(self, rows: int, columns: int) -> Tensor:
        """The places of the cells of a feature map: (rows * columns, c) float32."""
        down = (torch.arange(rows, device=self.places.device) + 0.5) / rows
        right = (torch.arange(columns, device=self.places.device) + 0.5) / columns
        grid = torch.stack(torch.meshgrid(right, down, indexing="xy"), dim=-1)
        return self._encoded(grid.reshape(-1, 2))

    def _encoded(self, share: Tensor) -> Tensor:
        """Waves of places that are shares of the picture's width and height."""
        waves = 2 * pi * ((2 * share - 1) @ self.places)
        return torch.cat([waves.sin(), waves.cos()], dim=-1)
