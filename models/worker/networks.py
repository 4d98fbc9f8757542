"""Networks of the Segment Anything family, opened from checkpoints and asked with torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from ...core.errors import ModelError
from ...core.fields.segmenter import Prompts, check_picture
from ..segmenters.model_frame import Fit, ModelFrame
from . import mobile, segment_anything_1, segment_anything_2, segment_anything_3
from .architectures import (
    Architecture,
    Hiera,
    RotaryTransformer,
    TinyVit,
    VisionTransformer,
    recognise,
)
from .checkpoints import find, read, read_config
from .mask_decoder import MaskDecoder, Picture, steady
from .prompt_encoder import BACKGROUND, FOREGROUND, LOWER_RIGHT, PADDING, UPPER_LEFT, PromptEncoder
from .weight_names import part, uniform

_MEAN_2 = tuple(255 * share for share in (0.485, 0.456, 0.406))
_STD_2 = tuple(255 * share for share in (0.229, 0.224, 0.225))
_MIDDLE = (127.5, 127.5, 127.5)
_AT_ONCE = {"cpu": 2, "other": 32}
"""Prompts that go through the decoder together; on a processor so few that its cache holds them."""
FEATURE = "features_"
"""How the names of features begin; a number follows."""


@dataclass(frozen=True)
class Parts:
    """What a network of any family consists of."""

    architecture: Architecture
    family: str
    frame: ModelFrame
    encoder: nn.Module
    """Takes the normalised square; gives one feature map, or three from coarse to fine."""
    prompts: PromptEncoder
    decoder: MaskDecoder

    @property
    def pads_boxes(self) -> bool:
        """Whether a padding point is added where there is a box too."""
        return self.decoder.newer


def open_network(path: Path, device: str = "auto", half: Optional[bool] = None) -> TorchNetwork:
    """Open a checkpoint of the Segment Anything family.

    :param path: a .pth, .pt or .safetensors file, or a folder with one.
    :param device: of torch, or "auto": the graphics card that torch can use, else the processor.
    :param half: whether the encoder computes in float16; None: on a graphics card with CUDA. On a
        processor it never does.
    :raises ModelError: the checkpoint or the device cannot be used.
    """
    return TorchNetwork(open_parts(path), _device(device), half)


def open_parts(path: Path) -> Parts:
    """The parts of the network of a checkpoint, on the processor.

    :raises ModelError: it cannot be read, is damaged, or is of another network.
    """
    file = find(path)
    weights = uniform(read(file))
    return assemble(recognise(weights, str(file), read_config(file)), weights, str(file))


def assemble(architecture: Architecture, weights: Mapping[str, Tensor], source: str) -> Parts:
    """The parts of a network from its weights, which are not copied; they may be on "meta".

    :param weights: under the names of :func:`.weight_names.uniform`.
    :param source: what the weights come from, for messages.
    :raises ModelError: they do not fit each other, or a package is missing.
    """
    try:
        encoder = _encoder(architecture, weights)
        prompts = PromptEncoder(part(weights, "prompt_encoder."), architecture.side)
        decoder = MaskDecoder(part(weights, "mask_decoder."))
    except (RuntimeError, KeyError, IndexError, ValueError) as error:
        raise ModelError(
            f"{source} looks like {architecture.title}, but its weights are not complete "
            f"({str(error)[:200]}); choose another checkpoint."
        ) from error
    modules = (encoder.eval().requires_grad_(False), prompts.eval(), decoder.eval())
    return Parts(architecture, _family(architecture), _frame(architecture), *modules)


def _encoder(architecture: Architecture, weights: Mapping[str, Tensor]) -> nn.Module:
    if isinstance(architecture, Hiera):
        return segment_anything_2.encoder(architecture, weights)
    if isinstance(architecture, RotaryTransformer):
        return segment_anything_3.encoder(architecture, weights)
    own = part(weights, "image_encoder.")
    if isinstance(architecture, TinyVit):
        return mobile.encoder(architecture, own)
    return segment_anything_1.encoder(architecture, own)


def _family(architecture: Architecture) -> str:
    if isinstance(architecture, VisionTransformer):
        return "segment-anything"
    if isinstance(architecture, TinyVit):
        return "mobile-sam"
    if isinstance(architecture, RotaryTransformer):
        return "segment-anything-3"
    return "segment-anything-2.1" if architecture.version == "2.1" else "segment-anything-2"


def _frame(architecture: Architecture) -> ModelFrame:
    if isinstance(architecture, Hiera):
        return ModelFrame(architecture.side, Fit.STRETCH, _MEAN_2, _STD_2, whole_numbers=False)
    if isinstance(architecture, RotaryTransformer):
        return ModelFrame(architecture.side, Fit.STRETCH, _MIDDLE, _MIDDLE, whole_numbers=False)
    return ModelFrame(architecture.side)


def _device(wanted: str) -> torch.device:
    """:raises ModelError: torch cannot use it."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device)
        return device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"DEVICE: torch cannot use {wanted} here ({reason}); choose auto or cpu."
        ) from error


class TorchNetwork:
    """A promptable network that stays open; torch runs it."""

    def __init__(self, parts: Parts, device: torch.device, half: Optional[bool] = None) -> None:
        """Bring a network to a device.

        :raises ModelError: the memory of the device does not suffice.
        """
        self.parts = parts
        self.family = parts.family
        self.side = parts.frame.side
        self.device = str(device)
        modules = (parts.encoder, parts.prompts, parts.decoder)
        self.parameters = sum(
            values.numel() for module in modules for values in module.state_dict().values()
        )
        self._device = device
        self._half = device.type != "cpu" and (device.type == "cuda" if half is None else half)
        with self._enough_memory(), torch.no_grad():
            for module in modules:
                module.to(device)
        self._picture: Optional[Tuple[List[np.ndarray], Picture]] = None

    def encode(self, image: np.ndarray) -> Dict[str, np.ndarray]:
        """All that `decode_all` needs of an image.

        :param image: (H, W, 3) uint8, never changed.
        :return: features_0 (1, c, h, w) float32 and, with Segment Anything 2 and 3, features_1 and
            features_2 of twice and four times its rows and columns.
        :raises ModelError: the memory does not suffice.
        """
        check_picture(image)
        with self._enough_memory(), torch.inference_mode():
            square = torch.from_numpy(self.parts.frame.square(image)).to(self._device)
            features = self._encoded(square, self._half)
            if self._half and not all(values.isfinite().all() for values in features):
                features = self._encoded(square, half=False)  # too large for float16
            return {f"{FEATURE}{k}": values.cpu().numpy() for k, values in enumerate(features)}

    def _encoded(self, square: Tensor, half: bool) -> List[Tensor]:
        with torch.autocast(self._device.type, torch.float16, enabled=half):
            found = self.parts.encoder(square)
        return [values.float() for values in ((found,) if isinstance(found, Tensor) else found)]

    def decode_all(
        self,
        features: Mapping[str, np.ndarray],
        shape: Tuple[int, int],
        prompts: Sequence[Prompts],
    ) -> Tuple[np.ndarray, np.ndarray]:
        """All four masks for prompts: the single one first, then the three from part to whole.

        :param features: of any float type. Arrays that were given before cost less.
        :param shape: H and W of the image.
        :return: (n, 4, h, w) float32 logits over the model's square and (n, 4) float32 scores.
        """
        with self._enough_memory(), torch.inference_mode():
            picture = self._picture_of(features)
            side = 4 * picture.shape[0]
            logits = np.zeros((len(prompts), 4, side, 4 * picture.shape[1]), np.float32)
            scores = np.zeros((len(prompts), 4), np.float32)
            for rows, points, labels in self._groups(prompts, shape):
                found = self._answered(picture, points, labels)
                logits[rows], scores[rows] = (values.cpu().numpy() for values in found)
        return logits, scores

    def _answered(
        self, picture: Picture, points: np.ndarray, labels: np.ndarray
    ) -> Tuple[Tensor, Tensor]:
        given = (torch.from_numpy(values).to(self._device) for values in (points, labels))
        logits, scores = self.parts.decoder(picture, self.parts.prompts(*given))
        if self.parts.decoder.newer:
            single, score = steady(logits, scores)
            logits = torch.cat([single, logits[:, 1:]], dim=1)
            scores = torch.cat([score, scores[:, 1:]], dim=1)
        return logits, scores

    def _picture_of(self, features: Mapping[str, np.ndarray]) -> Picture:
        """What the decoder needs of features; those of the last call are remembered."""
        given = [features[f"{FEATURE}{k}"] for k in range(len(features))]
        if self._picture and all(a is b for a, b in zip(self._picture[0], given)):
            return self._picture[1]
        # Of memory that may not be written to, torch wants a copy.
        tensors = [torch.from_numpy(np.require(values, None, "W")) for values in given]
        tensors = [values.to(self._device).float() for values in tensors]
        picture = picture_of(self.parts, tensors)
        self._picture = (given, picture)
        return picture

    def _groups(
        self, prompts: Sequence[Prompts], shape: Tuple[int, int]
    ) -> Iterator[Tuple[List[int], np.ndarray, np.ndarray]]:
        """Prompts with as many points as each other, a few at a time: which, points, labels."""
        asked = [prompt_points(self.parts, prompt, shape) for prompt in prompts]
        counts = np.array([len(labels) for _, labels in asked], dtype=np.int64)
        most = _AT_ONCE.get(self._device.type, _AT_ONCE["other"])
        for count in np.unique(counts):
            same = np.flatnonzero(counts == count)
            for begin in range(0, len(same), most):
                rows = same[begin : begin + most].tolist()
                points, labels = (np.stack([asked[row][k] for row in rows]) for k in (0, 1))
                yield rows, points, labels

    @contextmanager
    def _enough_memory(self) -> Iterator[None]:
        """:raises ModelError: the memory of the device does not suffice."""
        try:
            yield
        except torch.cuda.OutOfMemoryError as error:
            self._picture = None
            torch.cuda.empty_cache()
            raise ModelError(
                f"The graphics memory does not suffice for {self.parts.architecture.title}; close "
                "other programs that use it, or choose a smaller model or the device cpu."
            ) from error


def picture_of(parts: Parts, features: Sequence[Tensor]) -> Picture:
    """Features as the decoder takes them.

    :param features: (1, c, h, w), from coarse to fine.
    """
    cells = features[0] + parts.prompts.no_mask.view(1, -1, 1, 1)
    places = parts.prompts.cells(*cells.shape[-2:])
    return parts.decoder.picture(cells, places, features[1:])


def prompt_points(
    parts: Parts, prompt: Prompts, shape: Tuple[int, int]
) -> Tuple[np.ndarray, np.ndarray]:
    """A prompt as points in the model's square: (k, 2) float32, and labels (k,) int64."""
    frame = parts.frame
    points = [frame.points(prompt.points, shape).reshape(-1, 2)]
    labels = [FOREGROUND if on else BACKGROUND for on in prompt.foreground]
    if prompt.box is not None:
        points.append(frame.box(prompt.box, shape))
        labels += [UPPER_LEFT, LOWER_RIGHT]
    if prompt.box is None or parts.pads_boxes:
        points.append(np.zeros((1, 2), np.float32))
        labels.append(PADDING)
    return np.concatenate(points).astype(np.float32), np.array(labels, np.int64)
