"""Regions of the classical engine as rivals of the field model's own masks.

The network stops at strong patterns within large fields, where regions that merge by their outline
hold together. Its ranker judges both kinds alike, so regions come as logits on a crop.
"""

from __future__ import annotations

from typing import Dict, Mapping, Tuple

import numpy as np

from ....core.fields.segmenter import Embedding, Prompts
from ..odds import log_odds
from ..regions.classical import ClassicalSegmenter
from .field_crops import FINE, GRID, LEVELS, Decode, anchor_within, corner_around

_PREFIX = "regions_"
_SURE = 8.0
"""Logit of a cell that lies wholly in a region."""


def region_data(engine: ClassicalSegmenter, image: np.ndarray) -> Dict[str, np.ndarray]:
    """What is to be remembered of an image, (H, W, 3) uint8, named so that it mixes with more."""
    return {_PREFIX + name: value for name, value in engine.encode(image).data.items()}


def region_answers(
    engine: ClassicalSegmenter,
    data: Mapping[str, np.ndarray],
    shape: Tuple[int, int],
    prompt: Prompts,
    traits: int,
) -> Tuple[Decode, Dict[str, np.ndarray]]:
    """The regions for a prompt as the decoder would have given them.

    :param data: holds what `region_data` has given.
    :param shape: height and width of the image in pixels.
    :param traits: length of the decoder's traits; a region has none, they are zero.
    :return: the crop; logits (1, 3, FINE, FINE), scores (1, 3) as logits, traits (1, 3, traits).
    """
    own = {name[len(_PREFIX) :]: v for name, v in data.items() if name.startswith(_PREFIX)}
    found = engine.predict(Embedding(engine.id, shape, own), [prompt])
    masks, scores = found.masks[0], log_odds(found.scores[0], 1e-3)
    decode = _crop_around(masks.any(axis=0), shape, prompt)
    logits = np.stack([_as_logits(mask, decode) for mask in masks])[None]
    return decode, {
        "logits": logits.astype(np.float32),
        "scores": scores[None].astype(np.float32),
        "traits": np.zeros((1, len(masks), traits), np.float32),
    }


def _crop_around(mask: np.ndarray, shape: Tuple[int, int], prompt: Prompts) -> Decode:
    """The finest crop around a prompt that holds a mask."""
    x, y = anchor_within(shape, prompt)
    rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
    for level in range(len(LEVELS)):
        decode = Decode(level, corner_around(x, y, level))
        if not rows.size or _holds(decode, rows, columns):
            return decode
    return decode


def _holds(decode: Decode, rows: np.ndarray, columns: np.ndarray) -> bool:
    (x, y), side = decode.offset, GRID * decode.stride
    return bool(columns[0] >= x and rows[0] >= y and columns[-1] < x + side and rows[-1] < y + side)


def _as_logits(mask: np.ndarray, decode: Decode) -> np.ndarray:
    """(FINE, FINE) float: how much of each fine cell a mask, (H, W) bool, covers, as a logit."""
    step, (x, y) = int(decode.step), (int(decode.offset[0]), int(decode.offset[1]))
    shown = np.zeros((FINE * step, FINE * step), np.float32)
    top, left = max(y, 0), max(x, 0)
    part = mask[top : max(y + FINE * step, 0), left : max(x + FINE * step, 0)]
    shown[top - y : top - y + part.shape[0], left - x : left - x + part.shape[1]] = part
    shares = shown.reshape(FINE, step, FINE, step).mean(axis=(1, 3))
    return (2 * shares - 1) * _SURE
