"""The field model: an encoder for pictures of farmland and a decoder for clicks and boxes.

The encoder sees a picture once and gives features at four levels (strides 2, 4, 8 and 16). The
decoder answers a prompt on a crop of GRID x GRID cells of one level around the prompt, so its work
does not depend on the size of the picture, and a field of 15 pixels looks to it at stride 2 as a
field of 120 pixels does at stride 16. One set of decoder weights serves all levels.

A cell of a level is `stride` pixels wide; crop coordinates are in cells from the crop's upper left
corner. The decoder's masks have twice the resolution of its cells.
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..segmenters.furrow_field.field_crops import GRID, LEVELS

CONTEXT, DETAIL = 48, 16
"""Channels of a level's features, and of the features at half its stride for fine edges."""
MASKS = 3
"""Masks of an answer: part of a field, field, block of fields."""
HEADS = 4
_WIDE, _DEEP, _FINE = 64, 96, 24
_MAPS = 11 + 2 * HEADS


class Crops(NamedTuple):
    """Features around n prompts; what the decoder works on."""

    context: Tensor
    """(n, CONTEXT, GRID, GRID) at the level's stride."""
    detail: Tensor
    """(n, DETAIL, 2 GRID, 2 GRID) at half the stride."""
    inside: Tensor
    """(n, 1, GRID, GRID), 1 where the cell lies in the picture."""
    level: Tensor
    """(n,) int64, position in LEVELS."""


class Clicks(NamedTuple):
    """n prompts in cells of their crops."""

    points: Tensor
    """(n, k, 2) float, x and y."""
    labels: Tensor
    """(n, k) int64: 1 on the field, 0 off it, -1 unused."""
    boxes: Tensor
    """(n, 4) float: x minimum, y minimum, x maximum, y maximum; all zero without a box."""


class Answers(NamedTuple):
    """What the decoder says to n prompts."""

    logits: Tensor
    """(n, MASKS, 2 GRID, 2 GRID)."""
    scores: Tensor
    """(n, MASKS) logits of the expected IoU with the wanted field."""
    traits: Tensor
    """(n, MASKS, TRAITS) what the scores were made from; a ranker may learn from it."""


def convolution(inputs: int, outputs: int, stride: int = 1, act: bool = True) -> nn.Sequential:
    """3 x 3 convolution with batch normalisation."""
    layers = [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if act else []))


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = convolution(channels, channels, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> the same shape."""
        return functional.relu(x + self.second(self.first(x)))


def double(x: Tensor) -> Tensor:
    """Twice the height and width, by repetition."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class Encoder(nn.Module):
    """(n, 3, H, W) float standardised, H and W multiples of 32, to features at all levels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = convolution(12, 32)
        self.down2 = Residual(32)
        self.down4 = nn.Sequential(convolution(32, 64, 2), Residual(64))
        self.down8 = nn.Sequential(convolution(64, 96, 2), Residual(96), Residual(96))
        self.down16 = nn.Sequential(convolution(96, 128, 2), Residual(128), Residual(128))
        self.down32 = nn.Sequential(convolution(128, 160, 2), Residual(160))
        self.side32, self.side16 = nn.Conv2d(160, 96, 1), nn.Conv2d(128, 96, 1)
        self.up16 = Residual(96)
        self.narrow16, self.side8 = nn.Conv2d(96, 64, 1), nn.Conv2d(96, 64, 1)
        self.up8 = Residual(64)
        self.side4, self.up4 = nn.Conv2d(64, 64, 1), Residual(64)
        self.narrow4, self.side2 = nn.Conv2d(64, 32, 1), nn.Conv2d(32, 32, 1)
        self.up2 = convolution(32, 32)
        widths = (32, 64, 64, 96)
        self.contexts = nn.ModuleList(nn.Conv2d(width, CONTEXT, 1) for width in widths)
        finer = [nn.Conv2d(3, DETAIL, 3, padding=1)]
        finer += [nn.Conv2d(width, DETAIL, 1) for width in widths[:-1]]
        self.details = nn.ModuleList(finer)
        self.boundary = nn.Conv2d(32, 1, 1)

    def pyramid(self, image: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features at strides 2, 4, 8, 16."""
        down2 = self.down2(self.stem(functional.pixel_unshuffle(image, 2)))
        down4 = self.down4(down2)
        down8 = self.down8(down4)
        down16 = self.down16(down8)
        top = double(self.side32(self.down32(down16)))
        up16 = self.up16(functional.relu(self.side16(down16) + top))
        up8 = self.up8(functional.relu(self.side8(down8) + double(self.narrow16(up16))))
        up4 = self.up4(functional.relu(self.side4(down4) + double(up8)))
        up2 = self.up2(functional.relu(self.side2(down2) + double(self.narrow4(up4))))
        return up2, up4, up8, up16

    def forward(self, image: Tensor) -> Dict[str, Tensor]:
        """Names to features: context2..context16, detail2..detail16 and boundary (logits)."""
        features = self.pyramid(image)
        finer = (image, *features[:-1])
        named: Dict[str, Tensor] = {}
        for k, stride in enumerate(LEVELS):
            named[f"context{stride}"] = self.contexts[k](features[k])
            named[f"detail{stride}"] = self.details[k](finer[k])
        named["boundary"] = self.boundary(features[0])
        return named


def crop(features: Dict[str, Tensor], picture: Tensor, level: Tensor, origin: Tensor) -> Crops:
    """Cut the decoder's crops out of the features; zeros where they leave the picture.

    :param picture: (n,) int64, which picture of the batch.
    :param level: (n,) int64, ascending, so that each level is cut in one go.
    :param origin: (n, 2) int64, x and y of the crop's corner in cells, may be negative.
    """
    context, detail, inside = [], [], []
    for k, stride in enumerate(LEVELS):
        here = level == k
        if not here.any():
            continue
        where = (picture[here], origin[here])
        cells, known = _cut(features[f"context{stride}"], *where, GRID)
        context.append(cells)
        inside.append(known)
        detail.append(_cut(features[f"detail{stride}"], where[0], where[1] * 2, 2 * GRID)[0])
    return Crops(torch.cat(context), torch.cat(detail), torch.cat(inside), level)


def _cut(source: Tensor, picture: Tensor, origin: Tensor, side: int) -> Tuple[Tensor, Tensor]:
    """Squares of `side` cells as (n, c, side, side), and where they lie within the source."""
    count, channels, height, width = source.shape
    steps = torch.arange(side, device=source.device)
    columns, rows = origin[:, :1] + steps, origin[:, 1:] + steps
    known_columns = (columns >= 0) & (columns < width)
    known_rows = (rows >= 0) & (rows < height)
    index = picture[:, None, None] * height + rows.clamp(0, height - 1)[:, :, None]
    index = index * width + columns.clamp(0, width - 1)[:, None, :]
    flat = source.permute(0, 2, 3, 1).reshape(count * height * width, channels)
    known = (known_rows[:, :, None] & known_columns[:, None, :]).float()
    cells = functional.embedding(index, flat) * known[..., None]
    return cells.permute(0, 3, 1, 2), known[:, None]


class Decoder(nn.Module):
    """Crops and prompts to masks and scores; one small U-shaped network for all levels."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(CONTEXT, CONTEXT), nn.Conv2d(CONTEXT, CONTEXT, 1)
        self.modulate = nn.Linear(CONTEXT + len(LEVELS) + 2, 2 * CONTEXT)
        self.merge_maps = nn.Conv2d(_MAPS, CONTEXT, 3, padding=1)
        self.merge_context = nn.Conv2d(CONTEXT, CONTEXT, 1)
        self.level1 = convolution(CONTEXT, CONTEXT)
        self.level2 = nn.Sequential(convolution(CONTEXT, _WIDE, 2), Residual(_WIDE))
        self.level4 = nn.Sequential(convolution(_WIDE, _DEEP, 2), Residual(_DEEP))
        self.level8 = nn.Sequential(convolution(_DEEP, _DEEP, 2), Residual(_DEEP))
        self.back4 = convolution(_DEEP, _DEEP)
        self.narrow4, self.back2 = nn.Conv2d(_DEEP, _WIDE, 1), convolution(_WIDE, _WIDE)
        self.narrow2, self.back1 = nn.Conv2d(_WIDE, CONTEXT, 1), convolution(CONTEXT, CONTEXT)
        self.narrow1, self.side = nn.Conv2d(CONTEXT, _FINE, 1), nn.Conv2d(DETAIL, _FINE, 1)
        self.fine = nn.Sequential(convolution(_FINE, _FINE), convolution(_FINE, _FINE))
        self.mask = nn.Conv2d(_FINE, MASKS, 1)
        nn.init.constant_(self.mask.bias, -2.0)
        self.score = nn.Sequential(
            nn.Linear(TRAITS, 96), nn.ReLU(), nn.Linear(96, 48), nn.ReLU(), nn.Linear(48, 1)
        )

    def forward(self, crops: Crops, clicks: Clicks) -> Answers:
        """Masks, scores and traits of n prompts."""
        weights = _gaussians(clicks.points, 0.7)
        positive = (clicks.labels == 1).to(crops.context.dtype)
        clicked = self._clicked(crops.context, weights, positive)
        flags = self._flags(crops, clicks)
        scale, shift = self.modulate(torch.cat([clicked, flags], 1))[..., None, None].chunk(2, 1)
        maps = self._maps(crops, clicks, weights, positive)
        x = self.merge_context(crops.context) * (1 + scale) + shift + self.merge_maps(maps)
        deep = self._hourglass(functional.relu(x))
        fine = self.fine(functional.relu(double(self.narrow1(deep)) + self.side(crops.detail)))
        logits = self.mask(fine)
        traits = _traits(logits, deep, fine, crops.inside, flags)
        return Answers(logits, self.score(traits)[..., 0], traits)

    def _hourglass(self, x: Tensor) -> Tensor:
        one = self.level1(x)
        two = self.level2(one)
        four = self.level4(two)
        back = self.back4(four + double(self.level8(four)))
        back = self.back2(two + double(self.narrow4(back)))
        return self.back1(one + double(self.narrow2(back)))

    def _clicked(self, context: Tensor, weights: Tensor, positive: Tensor) -> Tensor:
        """(n, CONTEXT): mean feature under the foreground points, or under the crop's centre."""
        features = _under(context, weights)
        centre = context[:, :, GRID // 2 - 1 : GRID // 2 + 1, GRID // 2 - 1 : GRID // 2 + 1]
        count = positive.sum(1, keepdim=True)
        mean = (features * positive[..., None]).sum(1) / count.clamp(min=1)
        return torch.where(count > 0, mean, centre.mean((2, 3)))

    def _flags(self, crops: Crops, clicks: Clicks) -> Tensor:
        """(n, levels + 2): which level, has it a background point, has it a box."""
        level = functional.one_hot(crops.level, len(LEVELS))
        negative = (clicks.labels == 0).any(1, keepdim=True)
        boxed = (clicks.boxes[:, 2:3] > clicks.boxes[:, 0:1]) & (clicks.labels[:, :1] > -9)
        return torch.cat([level, negative, boxed], 1).to(crops.context.dtype)

    def _maps(self, crops: Crops, clicks: Clicks, weights: Tensor, positive: Tensor) -> Tensor:
        """(n, maps, GRID, GRID): where the prompt is and what looks like it."""
        negative = (clicks.labels == 0).to(positive.dtype)
        wide = _gaussians(clicks.points, 2.5)
        near = [_highest(w, sign) for w in (weights, wide) for sign in (positive, negative)]
        similar = self._similarity(crops.context, weights, (positive, negative))
        flags = [negative.amax(1), positive.amax(1)]
        constant = [flag[:, None, None, None].expand_as(near[0]) for flag in flags]
        distance = _distance(clicks.points, positive)
        box = _box_maps(clicks.boxes)
        return torch.cat([*near, *similar, *constant, distance, *box, crops.inside], 1)

    def _similarity(
        self, context: Tensor, weights: Tensor, signs: Tuple[Tensor, Tensor]
    ) -> Tuple[Tensor, ...]:
        """(n, HEADS, GRID, GRID) for each sign: likeness to the most similar point of that sign."""
        count, points = weights.shape[:2]
        query = self.query(_under(context, weights)).view(count, points, HEADS, 1, -1)
        key = self.key(context).flatten(2).reshape(count, 1, HEADS, CONTEXT // HEADS, -1)
        likeness = torch.tanh(torch.matmul(query, key)[:, :, :, 0] / 12.0) * 4
        likeness = likeness.view(count, points, HEADS, GRID, GRID)
        return tuple(
            (likeness - (1 - sign)[:, :, None, None, None] * 50).amax(1).clamp(min=-5)
            for sign in signs
        )


def _centres(like: Tensor) -> Tensor:
    return torch.arange(GRID, device=like.device, dtype=like.dtype) + 0.5


def _gaussians(points: Tensor, width: float) -> Tensor:
    """(n, k, GRID, GRID): a bump of `width` cells at each point."""
    cells = _centres(points)
    x = torch.exp(-((cells - points[..., 0:1]) ** 2) / (2 * width * width))
    y = torch.exp(-((cells - points[..., 1:2]) ** 2) / (2 * width * width))
    return y[..., :, None] * x[..., None, :]


def _under(context: Tensor, weights: Tensor) -> Tensor:
    """(n, k, channels): features averaged with the weights of each point."""
    flat = weights.flatten(2)
    flat = flat / (flat.sum(-1, keepdim=True) + 1e-6)
    return torch.matmul(flat, context.flatten(2).transpose(1, 2))


def _highest(weights: Tensor, sign: Tensor) -> Tensor:
    return (weights * sign[:, :, None, None]).amax(1, keepdim=True)


def _distance(points: Tensor, positive: Tensor) -> Tensor:
    """(n, 1, GRID, GRID): logarithm of the distance from the nearest foreground point."""
    cells = _centres(points)
    squares = (cells - points[..., 1:2])[..., :, None] ** 2
    squares = squares + (cells - points[..., 0:1])[..., None, :] ** 2
    squares = squares + (1 - positive)[:, :, None, None] * 1e4
    return torch.log1p(squares.amin(1, keepdim=True).clamp(max=1e4).sqrt()) * 0.4


def _box_maps(boxes: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """Depth inside the box (negative outside), nearness to its edge, and whether there is one."""
    cells = _centres(boxes)
    x = torch.minimum(cells - boxes[:, 0:1], boxes[:, 2:3] - cells)
    y = torch.minimum(cells - boxes[:, 1:2], boxes[:, 3:4] - cells)
    depth = torch.minimum(y[:, :, None], x[:, None, :])[:, None]
    boxed = (boxes[:, 2] > boxes[:, 0]).to(boxes.dtype)[:, None, None, None]
    edge = torch.exp(-(depth**2) / 2)
    return (depth / 4).clamp(-2, 2) * boxed, edge * boxed, torch.ones_like(depth) * boxed


TRAITS = 3 * CONTEXT + _FINE + 6 + len(LEVELS) + 2
"""Length of what a mask's score is made from."""


def _traits(logits: Tensor, deep: Tensor, fine: Tensor, inside: Tensor, flags: Tensor) -> Tensor:
    """(n, MASKS, TRAITS): features in, around and on the edge of each mask, and its shape."""
    mask = torch.sigmoid(logits)
    coarse = functional.avg_pool2d(mask, 2)
    ring = (functional.max_pool2d(coarse, 5, 1, 2) - coarse).clamp(min=0)
    rim = 4 * mask * (1 - mask)
    within, around = _pooled(deep, coarse), _pooled(deep, ring)
    edge = _pooled(fine, rim + 1e-3)
    measures = _measures(mask, coarse, rim, inside)
    repeated = flags[:, None].expand(-1, MASKS, -1)
    return torch.cat([within, around, (within - around).abs(), edge, measures, repeated], -1)


def _pooled(features: Tensor, weights: Tensor) -> Tensor:
    """(n, MASKS, channels): mean of the features under each mask's weights."""
    flat = weights.flatten(2)
    total = torch.matmul(flat, features.flatten(2).transpose(1, 2))
    return total / (flat.sum(-1, keepdim=True) + 1.0)


def _measures(mask: Tensor, coarse: Tensor, rim: Tensor, inside: Tensor) -> Tensor:
    """(n, MASKS, 6): size, doubt, agreement with the other masks, contact with the crop's rim."""
    area = mask.sum((2, 3))
    size = torch.log1p(area) * 0.2
    doubt = rim.sum((2, 3)) / (area + 1).sqrt() * 0.1
    flat = coarse.flatten(2)
    shared = torch.matmul(flat, flat.transpose(1, 2))
    own = flat.sum(-1)
    likeness = shared / (own[:, :, None] + own[:, None] - shared + 1.0)
    border = [coarse[:, :, 0], coarse[:, :, -1], coarse[:, :, :, 0], coarse[:, :, :, -1]]
    contact = torch.stack([side.mean(-1) for side in border]).sum(0)
    known = inside.mean((2, 3)).expand(-1, MASKS)
    others = (likeness.sum(-1) - 1) / (MASKS - 1)
    sharp = (mask * mask).sum((2, 3)) / (area + 1)
    return torch.stack([size, doubt, others, contact, known, sharp], -1)


class FieldNetwork(nn.Module):
    """Encoder and decoder together, as they are trained."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()
