"""Files of models that somebody has, and what is asked of them: tests/models/test_real_files.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from furrow.core.errors import ModelError
from furrow.core.fields.segmenter import Prompts, Segmenter
from furrow.models.segmenters.catalogue import Entry, read_catalogue
from furrow.models.segmenters.checkpoints.torch_segmenter import TorchSegmenter
from furrow.models.segmenters.model_folder import ModelFolder
from furrow.models.segmenters.onnx_pairs.onnx_conventions import find_pair
from furrow.models.segmenters.onnx_pairs.onnx_segmenter import open_pair
from furrow.models.segmenters.own_models import CHECKPOINT_SUFFIXES
from furrow.models.worker.architectures import Hiera, TinyVit, VisionTransformer
from furrow.models.worker.networks import TorchNetwork, open_parts
from furrow.tests.models.worker import tiny_models
from furrow.tests.models.worker.without_process import Here

SHARE = 1e-3
"""Of the largest logit, by which two ways to the same answer may differ: the rounding of float32
in networks of published size."""
_PUBLISHED_CHANNELS = 256


@dataclass(frozen=True)
class Found:
    """A model that is there."""

    name: str
    engine: str
    """"torch" or "onnx"."""
    files: Tuple[Path, ...]
    """The checkpoint, or encoder and decoder."""
    entry: Optional[Entry] = None
    """What is known of it; None for loose files that the catalogue does not name."""

    @property
    def published(self) -> bool:
        """Whether the catalogue says what the file is."""
        return self.entry is not None and not self.entry.own


def found_in(folder: Path) -> List[Found]:
    """Every model in a folder: in the layout of the registry, and loose files at any depth."""
    place = ModelFolder(folder)
    entries = [entry for entry in (*read_catalogue(), *place.own_entries()) if not entry.shipped]
    found = [
        Found(entry.id, entry.engine, place.paths_of(entry), entry)
        for entry in entries
        if place.present(entry)
    ]
    known = {path for model in found for path in model.files}
    return [*found, *_loose(folder, known)]


def _loose(folder: Path, known: Sequence[Path]) -> Iterator[Found]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path not in known]
    for path in paths:
        if path.suffix.lower() in CHECKPOINT_SUFFIXES:
            yield Found(str(path.relative_to(folder)), "torch", (path,), _known_by(path))
    pairs = set()
    for path in (path for path in paths if path.suffix.lower() == ".onnx"):
        try:
            pair = find_pair(path)
        except ModelError as error:
            print(f"{path.relative_to(folder)} is left out: {error}")
            continue
        if pair not in pairs:
            yield Found(str(pair[0].relative_to(folder)), "onnx", pair, _known_by(pair[0]))
        pairs.add(pair)


def _known_by(path: Path) -> Optional[Entry]:
    """The catalogue's model that has a file of this name and size."""
    size = path.stat().st_size
    wanted = ((entry, file) for entry in read_catalogue() for file in entry.files)
    return next((e for e, file in wanted if (file.name, file.bytes) == (path.name, size)), None)


def opened(model: Found) -> Tuple[Segmenter, Optional[TorchNetwork]]:
    """The engine of a model, and its network where torch runs it; on the processor, here."""
    if model.engine == "onnx":
        return open_pair(model.files[0], model.files[1], model.name), None
    network = TorchNetwork(open_parts(model.files[0]), torch.device("cpu"))
    return TorchSegmenter(model.name, Here(network)), network


def belong_together(pair: Found, network: TorchNetwork, checkpoint: Found) -> bool:
    """Whether an ONNX pair is taken for that of a checkpoint: same folder, or the same title."""
    beside = pair.files[0].parent == checkpoint.files[0].parent
    title = pair.entry.title if pair.entry else ""
    return beside or title == network.parts.architecture.title


def original(network: TorchNetwork, weights: Dict[str, Tensor]) -> Optional[nn.Module]:
    """The network as the package of its authors has it; None where that is not installed.

    :param weights: the file's, under their own names.
    """
    architecture = network.parts.architecture
    if not any(name.startswith("image_encoder.") for name in weights):
        return None  # a file of the package transformers
    if isinstance(architecture, Hiera):
        return _original_2(architecture, weights)
    if not isinstance(architecture, (VisionTransformer, TinyVit)):
        return None
    hidden = network.parts.decoder.transformer.layers[0].mlp["lin1"].out_features
    if isinstance(architecture, TinyVit):
        made = tiny_models.mobile_sam(architecture, hidden)
    else:
        vit = tiny_models.Vit(
            architecture.width, architecture.depth, architecture.heads, architecture.window,
            architecture.global_blocks, architecture.side,
        )  # fmt: skip
        made = tiny_models.segment_anything(vit, architecture.channels, hidden)
    missing, _ = made.load_state_dict(weights, strict=False)
    assert not [name for name in missing if "num_batches" not in name and "pixel_" not in name]
    return made.eval()


def _original_2(architecture: Hiera, weights: Dict[str, Tensor]) -> Optional[nn.Module]:
    try:
        from sam2.build_sam import build_sam2
    except ImportError:
        return None
    if architecture.channels != _PUBLISHED_CHANNELS:
        return None
    size = "b+" if architecture.size == "base+" else architecture.size[0]
    version = architecture.version
    made = build_sam2(f"configs/sam{version}/sam{version}_hiera_{size}.yaml", None, device="cpu")
    missing, _ = made.load_state_dict(weights, strict=False)
    assert not missing
    return made.eval()


def predictor_of(made: nn.Module) -> object:
    """What the authors' package asks its network with."""
    if hasattr(made, "sam_mask_decoder"):
        from sam2.sam2_image_predictor import SAM2ImagePredictor

        return SAM2ImagePredictor(made)
    from segment_anything import SamPredictor

    return SamPredictor(made)


def predicted(predictor: object, prompt: Prompts, multimask: bool) -> Tuple[np.ndarray, np.ndarray]:
    """Low-resolution logits (m, h, w) and scores (m,).

    Predictors take the centre of the first pixel for 0.
    """
    has_points = len(prompt.points) > 0
    _, scores, logits = predictor.predict(
        prompt.points - 0.5 if has_points else None,
        prompt.foreground.astype(int) if has_points else None,
        None if prompt.box is None else prompt.box - 0.5,
        multimask_output=multimask,
    )
    return logits, scores


def overlap(mask: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union; 1 where both are empty."""
    either = int((mask | other).sum())
    return float((mask & other).sum() / either) if either else 1.0
