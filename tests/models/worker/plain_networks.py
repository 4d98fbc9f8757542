"""CARN-M and RFDN once more, as formulas over numpy arrays: slow, and nothing of torch in them."""

from __future__ import annotations

from typing import Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]


def convolved(
    x: np.ndarray, weights: Weights, name: str, padding: int = 0, stride: int = 1
) -> np.ndarray:
    """(c, h, w) -> (d, h', w'); as many groups as the shapes of the weights say."""
    kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    wide = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, kernel.shape[2:], axis=(1, 2))
    windows = windows[:, ::stride, ::stride]
    groups = len(x) // kernel.shape[1]
    share = len(kernel) // groups
    parts = [
        np.einsum(
            "chwij,dcij->dhw",
            windows[k * kernel.shape[1] : (k + 1) * kernel.shape[1]],
            kernel[k * share : (k + 1) * share],
        )
        for k in range(groups)
    ]
    return np.concatenate(parts) + bias[:, None, None]


def positive(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.05 * x)


def spread(x: np.ndarray, factor: int) -> np.ndarray:
    """Channels become pixels: (c f f, h, w) -> (c, f h, f w)."""
    channels, height, width = len(x) // factor**2, *x.shape[1:]
    large = np.empty((channels, factor * height, factor * width))
    for row in range(factor):
        for col in range(factor):
            large[:, row::factor, col::factor] = x[row * factor + col :: factor**2]
    return large


def carn_m(x: np.ndarray, weights: Weights, factor: int) -> np.ndarray:
    """(3, h, w) of 0..1 -> (3, factor h, factor w)."""

    def residual(x: np.ndarray, name: str) -> np.ndarray:
        inner = positive(convolved(x, weights, f"{name}.body.0", 1))
        inner = positive(convolved(inner, weights, f"{name}.body.2", 1))
        return positive(convolved(inner, weights, f"{name}.body.4") + x)

    def fused(parts: list, name: str) -> np.ndarray:
        return positive(convolved(np.concatenate(parts), weights, f"{name}.body.0"))

    def block(x: np.ndarray, name: str) -> np.ndarray:
        first = residual(x, f"{name}.b1")
        one = fused([x, first], f"{name}.c1")
        second = residual(one, f"{name}.b1")
        two = fused([x, first, second], f"{name}.c2")
        return fused([x, first, second, residual(two, f"{name}.b1")], f"{name}.c3")

    start = convolved(convolved(x, weights, "sub_mean.shifter"), weights, "entry", 1)
    first = block(start, "b1")
    one = fused([start, first], "c1")
    second = block(one, "b2")
    two = fused([start, first, second], "c2")
    x = fused([start, first, second, block(two, "b3")], "c3")
    for place, step in {2: [(0, 2)], 3: [(0, 3)], 4: [(0, 2), (3, 2)]}[factor]:
        wide = convolved(x, weights, f"upsample.up{factor}.body.{place}", 1)
        x = spread(positive(wide), step)
    return convolved(convolved(x, weights, "exit", 1), weights, "add_mean.shifter")


def resized(x: np.ndarray, shape: tuple) -> np.ndarray:
    """Bilinear between the centres of cells."""
    for axis, size in zip((1, 2), shape):
        length = x.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, length - 1)
        share = np.expand_dims(place - low, 0 if axis == 2 else 1)
        share = share[None] if axis == 1 else share
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x


def pooled(x: np.ndarray) -> np.ndarray:
    """The largest of 7 x 7, at every third place."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (7, 7), axis=(1, 2))
    return windows[:, ::3, ::3].max(axis=(3, 4))


def attention(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    few = convolved(x, weights, f"{name}.conv1")
    wide = pooled(convolved(few, weights, f"{name}.conv2", stride=2))
    wide = positive(convolved(wide, weights, f"{name}.conv_max", 1))
    wide = positive(convolved(wide, weights, f"{name}.conv3", 1))
    wide = resized(convolved(wide, weights, f"{name}.conv3_", 1), x.shape[1:])
    both = wide + convolved(few, weights, f"{name}.conv_f")
    return x / (1 + np.exp(-convolved(both, weights, f"{name}.conv4")))


def rfdn(x: np.ndarray, weights: Weights, factor: int, blocks: int) -> np.ndarray:
    """(3, h, w) of 0..255 -> (3, factor h, factor w)."""

    def block(x: np.ndarray, name: str) -> np.ndarray:
        kept = []
        for step in (1, 2, 3):
            kept.append(leaky(convolved(x, weights, f"{name}.c{step}_d")))
            x = leaky(convolved(x, weights, f"{name}.c{step}_r", 1) + x)
        kept.append(leaky(convolved(x, weights, f"{name}.c4", 1)))
        together = convolved(np.concatenate(kept), weights, f"{name}.c5")
        return attention(together, weights, f"{name}.esa")

    first = last = convolved(x, weights, "fea_conv", 1)
    given = []
    for number in range(1, blocks + 1):
        last = block(last, f"B{number}")
        given.append(last)
    together = leaky(convolved(np.concatenate(given), weights, "c.0"))
    low = convolved(together, weights, "LR_conv", 1) + first
    return spread(convolved(low, weights, "upsampler.0", 1), factor)
