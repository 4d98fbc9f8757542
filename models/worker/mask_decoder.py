"""The decoder of the Segment Anything family: from features and prompt tokens to masks.

The networks' own decoders bring every prompt's copy of the picture through the same projections.
Here the sums are taken in another order, so that a batch of prompts costs a third on a processor:

* what depends on the picture alone is worked out once for all prompts;
* tokens are few and cells are many, so projections of cells are moved over to the tokens:
  q (X W)^T = (q W^T) X^T, and a (X W) = (a X) W;
* cells stay rows of a matrix up to the masks, so enlarging is a matrix product too.

The answers are those of the packages segment-anything and sam2, up to rounding. The graphs for
onnxruntime are made of this decoder as well.
"""

from __future__ import annotations

import re
from typing import List, Mapping, NamedTuple, Sequence, Set, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

HEADS = 8
_UPSCALING_EPSILON = 1e-6
_STABLE, _MARGIN = 0.98, 0.05
"""Segment Anything 2 gives a single mask only if its area changes little when the threshold moves
by the margin; else the best of the three."""


class Picture(NamedTuple):
    """What a picture is to every prompt: n cells of c values each."""

    cells: Tensor
    """(n, c)"""
    places: Tensor
    """(n, c)"""
    shape: Tuple[int, int]
    """Rows and columns of the cells."""
    keys: Tensor
    """(heads, d, n) for the tokens of the first layer."""
    values: Tensor
    """(heads, n, d) for the tokens of the first layer."""
    queries: Tensor
    """(heads, d, n) of the cells of the first layer."""
    fine: Tuple[Tensor, ...]
    """Added while enlarging: (n, 4, c / 4) and (n, 16, c / 8); or nothing."""


class Attention(nn.Module):
    """Attention with heads; the projections may be narrower than the tokens."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, inner) for _ in range(3))
        self.out_proj = nn.Linear(inner, width)
        self._scale = (inner // HEADS) ** -0.5

    def between_tokens(self, asking: Tensor, asked: Tensor, told: Tensor) -> Tensor:
        """(n, t, c) each: tokens look at tokens."""
        query, key, value = self.query(asking), _split(self.k_proj(asked)), self._told(told)
        return self._merged(torch.softmax(query @ key.transpose(2, 3), dim=-1) @ value)

    def of_shared_cells(self, asking: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Tokens (n, t, c) look at the cells of the picture, which are the same for all."""
        n, t, _ = asking.shape
        query = self.query(asking).transpose(0, 1).flatten(1, 2)
        seen = torch.softmax(query @ keys, dim=-1) @ values
        return self._merged(seen.view(HEADS, n, t, -1).transpose(0, 1))

    def of_cells(self, asking: Tensor, placed: Tensor, cells: Tensor) -> Tensor:
        """Tokens (n, t, c) look at cells of their own.

        :param placed: (n, cells, c) the cells with their places.
        :param cells: (n, cells, c) without.
        """
        n, t, _ = asking.shape
        # A key's bias adds the same to all cells, which softmax takes no notice of.
        query = (self.query(asking) @ _rows(self.k_proj)).reshape(n, HEADS * t, -1)
        seen = torch.softmax(query @ placed.transpose(1, 2), dim=-1) @ cells
        values = seen.view(n, HEADS, t, -1) @ _rows(self.v_proj).transpose(1, 2)
        return self._merged(values + self.v_proj.bias.view(HEADS, 1, -1))

    def query(self, asking: Tensor) -> Tensor:
        """(n, t, c) -> (n, heads, t, d), scaled."""
        return _split(self.q_proj(asking)) * self._scale

    def scores(self, placed: Tensor, asked: Tensor) -> Tensor:
        """How much cells (n, cells, c) look at tokens (n, t, c): (n, heads * t, cells)."""
        n, t, _ = asked.shape
        key = _split(self.k_proj(asked)) * self._scale
        bias = key @ self.q_proj.bias.view(HEADS, -1, 1)
        seen = (key @ _rows(self.q_proj)).reshape(n, HEADS * t, -1)
        return torch.baddbmm(bias.reshape(n, HEADS * t, 1), seen, placed.transpose(1, 2))

    def shared_scores(self, queries: Tensor, asked: Tensor) -> Tensor:
        """The same for cells that all prompts share: (n, heads * t, cells)."""
        n, t, _ = asked.shape
        key = _split(self.k_proj(asked)) * self._scale
        return (key @ queries).reshape(n, HEADS * t, -1)

    def to_cells(self, scores: Tensor, told: Tensor) -> Tensor:
        """What cells take from tokens (n, t, c) with those scores: (n, cells, c)."""
        n, t, _ = told.shape
        shares = torch.softmax(scores.view(n, HEADS, t, -1), dim=2).reshape(n, HEADS * t, -1)
        columns = self.out_proj.weight.view(-1, HEADS, self.q_proj.out_features // HEADS)
        given = (self._told(told) @ columns.permute(1, 2, 0)).reshape(n, HEADS * t, -1)
        return torch.baddbmm(self.out_proj.bias, shares.transpose(1, 2), given)

    def _told(self, told: Tensor) -> Tensor:
        return _split(self.v_proj(told))

    def _merged(self, heads: Tensor) -> Tensor:
        return self.out_proj(heads.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """A layer of the transformer: tokens look at tokens and at cells, then cells at tokens."""

    def __init__(self, width: int, inner: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, width)
        self.cross_attn_token_to_image = Attention(width, inner)
        self.cross_attn_image_to_token = Attention(width, inner)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(width) for _ in range(4))
        self.mlp = nn.ModuleDict(
            {"lin1": nn.Linear(width, hidden), "lin2": nn.Linear(hidden, width)}
        )

    def thought(self, tokens: Tensor) -> Tensor:
        """Tokens after the part that concerns each of them alone."""
        hidden = functional.relu(self.mlp["lin1"](tokens))
        return self.norm3(tokens + self.mlp["lin2"](hidden))


class Perceptron(nn.Module):
    """Linear layers with a ReLU between them."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))

    def forward(self, values: Tensor) -> Tensor:
        """(..., first width) -> (..., last width)."""
        for layer in self.layers[:-1]:
            values = functional.relu(layer(values))
        return self.layers[-1](values)


class Transformer(nn.Module):
    """Layers that tokens and cells go through."""

    def __init__(self, width: int, inner: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, inner, hidden) for _ in range(depth))
        self.final_attn_token_to_image = Attention(width, inner)
        self.norm_final_attn = nn.LayerNorm(width)

    def shared(self, cells: Tensor, places: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Keys, values and queries of the picture in the first layer."""
        first = self.layers[0]
        placed = cells + places
        asked, asking = first.cross_attn_token_to_image, first.cross_attn_image_to_token
        values = asked.v_proj(cells).view(cells.shape[0], HEADS, -1).transpose(0, 1)
        return _columns(asked.k_proj(placed)), values, _columns(asking.q_proj(placed))

    def forward(self, start: Tensor, picture: Picture) -> Tuple[Tensor, Tensor]:
        """Tokens (n, t, c) and cells (n, cells, c) after all layers."""
        tokens, cells = self._first(start, picture)
        for layer in self.layers[1:]:
            placed = cells + picture.places
            asking = tokens + start
            tokens = layer.norm1(tokens + layer.self_attn.between_tokens(asking, asking, tokens))
            seen = layer.cross_attn_token_to_image.of_cells(tokens + start, placed, cells)
            tokens = layer.thought(layer.norm2(tokens + seen))
            back = layer.cross_attn_image_to_token
            given = back.to_cells(back.scores(placed, tokens + start), tokens)
            cells = layer.norm4(cells + given)
        seen = self.final_attn_token_to_image.of_cells(
            tokens + start, cells + picture.places, cells
        )
        return self.norm_final_attn(tokens + seen), cells

    def _first(self, start: Tensor, picture: Picture) -> Tuple[Tensor, Tensor]:
        """The first layer, whose cells are still those of the picture."""
        layer = self.layers[0]
        tokens = layer.norm1(layer.self_attn.between_tokens(start, start, start))
        seen = layer.cross_attn_token_to_image.of_shared_cells(
            tokens + start, picture.keys, picture.values
        )
        tokens = layer.thought(layer.norm2(tokens + seen))
        back = layer.cross_attn_image_to_token
        given = back.to_cells(back.shared_scores(picture.queries, tokens + start), tokens)
        return tokens, layer.norm4(picture.cells + given)


class MaskDecoder(nn.Module):
    """Four masks for each prompt: a single one, and three from part to whole."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """Take over weights, without a copy.

        :param weights: under the names of the package segment-anything; those of Segment
            Anything 2 have a token more.
        :raises KeyError: a weight is missing.
        :raises RuntimeError: one has another shape than the others ask for.
        """
        super().__init__()
        masks, width = weights["mask_tokens.weight"].shape
        inner = weights["transformer.final_attn_token_to_image.q_proj.weight"].shape[0]
        hidden = weights["transformer.layers.0.mlp.lin1.weight"].shape[0]
        self.newer = "obj_score_token.weight" in weights
        """Whether it is of Segment Anything 2."""
        with torch.device("meta"):
            if self.newer:
                self.obj_score_token = nn.Embedding(1, width)
            self.iou_token = nn.Embedding(1, width)
            self.mask_tokens = nn.Embedding(masks, width)
            depth = len(_numbers(weights, r"transformer\.layers\.(\d+)\."))
            self.transformer = Transformer(width, inner, hidden, depth)
            self.output_upscaling = nn.ModuleDict({
                "0": nn.ConvTranspose2d(width, width // 4, 2, 2),
                "1": nn.LayerNorm(width // 4, _UPSCALING_EPSILON),
                "3": nn.ConvTranspose2d(width // 4, width // 8, 2, 2),
            })  # fmt: skip
            heads = (f"output_hypernetworks_mlps.{k}." for k in range(masks))
            self.output_hypernetworks_mlps = nn.ModuleList(
                Perceptron(_widths(weights, head)) for head in heads
            )
            self.iou_prediction_head = Perceptron(_widths(weights, "iou_prediction_head."))
        self.load_state_dict({name: weights[name] for name in self.state_dict()}, assign=True)
        self.requires_grad_(False)

    def picture(self, cells: Tensor, places: Tensor, fine: Sequence[Tensor] = ()) -> Picture:
        """What the picture is to every prompt.

        :param cells: (1, c, rows, columns) the features, with what stands for "no mask" added.
        :param places: (rows * columns, c)
        :param fine: of Segment Anything 2: (1, c / 4, 2 rows, 2 columns) and (1, c / 8, 4 rows,
            4 columns) features.
        """
        rows, columns = cells.shape[-2:]
        flat = cells[0].flatten(1).t().contiguous()
        keys, values, queries = self.transformer.shared(flat, places)
        patches = tuple(_patches(level[0], rows, columns) for level in fine)
        return Picture(flat, places, (rows, columns), keys, values, queries, patches)

    def forward(self, picture: Picture, prompts: Tensor) -> Tuple[Tensor, Tensor]:
        """All four masks of each prompt.

        :param prompts: (n, k, c) tokens.
        :return: (n, 4, 4 rows, 4 columns) logits and (n, 4) scores, the single mask first.
        """
        own = [self.obj_score_token.weight] if self.newer else []
        own = torch.cat([*own, self.iou_token.weight, self.mask_tokens.weight])
        start = torch.cat([own.expand(prompts.shape[0], -1, -1), prompts], dim=1)
        tokens, cells = self.transformer(start, picture)
        tokens = tokens[:, 1:] if self.newer else tokens
        scores = self.iou_prediction_head(tokens[:, 0])
        heads = self.output_hypernetworks_mlps
        kernels = torch.stack([head(tokens[:, 1 + k]) for k, head in enumerate(heads)], dim=1)
        logits = self._enlarged(cells, picture, kernels)
        return logits, scores.sigmoid() if self.newer else scores

    def _enlarged(self, cells: Tensor, picture: Picture, kernels: Tensor) -> Tensor:
        """Masks of four times the rows and columns of the cells."""
        norm = self.output_upscaling["1"]
        values = _upscaled(self.output_upscaling["0"], cells)
        if picture.fine:
            values = values + picture.fine[0]
        values = _upscaled(self.output_upscaling["3"], functional.gelu(norm(values)))
        values = values.flatten(2, 3)
        if picture.fine:
            values = values + picture.fine[1]
        values = functional.gelu(values.flatten(1, 2))
        masks = kernels @ values.transpose(1, 2)
        rows, columns = picture.shape
        # Cells, then the four parts of each, then the four parts of those.
        parts = masks.reshape(masks.shape[0], -1, rows, columns, 2, 2, 2, 2)
        whole = parts.permute(0, 1, 2, 4, 6, 3, 5, 7)
        return whole.reshape(masks.shape[0], -1, 4 * rows, 4 * columns)


def steady(logits: Tensor, scores: Tensor) -> Tuple[Tensor, Tensor]:
    """The single mask of Segment Anything 2: the first one, or the best where that is unsteady.

    :param logits: (n, 4, h, w)
    :param scores: (n, 4)
    :return: (n, 1, h, w) and (n, 1).
    """
    single = logits[:, :1].flatten(2)
    inner = (single > _MARGIN).sum(dim=-1).float()
    outer = (single > -_MARGIN).sum(dim=-1).float()
    settled = torch.where(outer > 0, inner / outer.clamp(min=1), torch.ones_like(inner))
    best = scores[:, 1:].argmax(dim=1, keepdim=True) + 1
    taken = torch.where(settled >= _STABLE, torch.zeros_like(best), best)
    masks = logits.gather(1, taken[..., None, None].expand(-1, -1, *logits.shape[2:]))
    return masks, scores.gather(1, taken)


def _split(values: Tensor) -> Tensor:
    """(n, t, heads * d) -> (n, heads, t, d)."""
    n, t, _ = values.shape
    return values.view(n, t, HEADS, -1).transpose(1, 2)


def _rows(layer: nn.Linear) -> Tensor:
    """The weights of a layer by head: (heads, d, c)."""
    return layer.weight.view(HEADS, -1, layer.in_features)


def _columns(values: Tensor) -> Tensor:
    """(cells, heads * d) -> (heads, d, cells)."""
    return values.view(values.shape[0], HEADS, -1).permute(1, 2, 0).contiguous()


def _upscaled(layer: nn.ConvTranspose2d, values: Tensor) -> Tensor:
    """Four values for each: (..., c) -> (..., 4, c / k), upper left to lower right."""
    weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)
    made = functional.linear(values, weight, layer.bias.repeat(4))
    return made.view(*values.shape[:-1], 4, layer.out_channels)


def _patches(level: Tensor, rows: int, columns: int) -> Tensor:
    """(c, s rows, s columns) -> (rows * columns, s * s, c), ordered as by `_upscaled`; s = 2, 4."""
    channels, height, _ = level.shape
    if height == 2 * rows:
        parts = level.reshape(channels, rows, 2, columns, 2).permute(1, 3, 2, 4, 0)
    else:
        parts = level.reshape(channels, rows, 2, 2, columns, 2, 2).permute(1, 4, 2, 5, 3, 6, 0)
    return parts.reshape(rows * columns, -1, channels)


def _widths(weights: Mapping[str, Tensor], head: str) -> List[int]:
    """Widths between the layers of a perceptron."""
    count = len(_numbers(weights, rf"{re.escape(head)}layers\.(\d+)\."))
    shapes = [weights[f"{head}layers.{k}.weight"].shape for k in range(count)]
    return [shapes[0][1], *(shape[0] for shape in shapes)]


def _numbers(weights: Mapping[str, Tensor], pattern: str) -> Set[int]:
    found = (re.match(pattern, name) for name in weights)
    return {int(match[1]) for match in found if match}
