"""Models with random weights, for Furrow's engines and for the authors' own code.

The encoder is small; the decoder has the published size and takes as long as a trained one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, Sequence, Tuple

import numpy as np
import torch

from furrow.core.fields.segmenter import Prompts, Segmenter
from furrow.models.segmenters.checkpoints.torch_segmenter import TorchSegmenter
from furrow.models.segmenters.onnx_pairs.onnx_segmenter import OnnxSegmenter, open_pair
from furrow.models.segmenters.onnx_pairs.onnx_session import open_session
from furrow.models.worker.export import export
from furrow.models.worker.networks import TorchNetwork
from furrow.models.worker.torchvision_repair import repair
from furrow.tests.models.segmenters import onnx_exports
from furrow.tests.models.worker import tiny_models
from furrow.tests.models.worker.without_process import Here

SIDE, WINDOW = 1024, 200
"""Of images: as large as the encoder sees them, and as the plugin asks."""
DECODER_WIDTH, DECODER_HIDDEN = 256, 2048
"""As published."""


def image_of(side: int) -> np.ndarray:
    return tiny_models.picture(side, side)


def clicks(side: int, count: int) -> List[Prompts]:
    places = np.random.default_rng(3).uniform(5, side - 5, (count, 2))
    return [Prompts.click(x, y) for x, y in places]


def write_checkpoint(folder: Path) -> Path:
    """A Segment Anything with a block for an encoder and the published decoder."""
    return tiny_models.write_segment_anything(folder / "bench.pth", segment_anything())


def segment_anything():  # noqa: ANN201
    """As the authors' package has it."""
    vit = tiny_models.Vit(width=48, depth=1, heads=3, window=14, global_blocks=(), side=SIDE)
    sam = tiny_models.segment_anything(vit, DECODER_WIDTH, DECODER_HIDDEN)
    # With sharper attention than a trained one, rounding alone would make other masks.
    for name, values in sam.mask_decoder.transformer.named_parameters():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            with torch.no_grad():
                values.mul_(0.2)
    return sam


def bare_inputs(engine: OnnxSegmenter, embedding, asked: Sequence[Prompts]) -> Dict:  # noqa: ANN001
    """What goes into the decoder for clicks, worked out beforehand."""
    plan = engine.plan
    points = [plan.picture.frame.points(one.points, embedding.shape) for one in asked]
    nothing = np.zeros((1, 2), np.float32)
    given = {value.name: embedding.data[name].astype(value.dtype) for name, value in plan.features}
    given[plan.points.name] = np.stack([np.concatenate([own, nothing]) for own in points])
    given[plan.labels.name] = np.tile(np.array([1, -1], plan.labels.dtype), (len(asked), 1))
    return given


def onnx_engine(folder: Path) -> Tuple[OnnxSegmenter, Path]:
    model = folder / "own-bench"
    if not model.exists():
        export(folder / "bench.pth", model)
    pair = [model / f"own-bench-{role}.onnx" for role in ("encoder", "decoder")]
    return open_pair(*pair, "bench"), pair[1]


def authors_predictor():  # noqa: ANN201
    repair()
    from segment_anything import SamPredictor

    return SamPredictor(segment_anything())


def official_engine(folder: Path, network: TorchNetwork) -> Tuple[Segmenter, Callable]:
    """The graph that segment-anything's own script writes, which answers one prompt at a time.

    :return: an engine that encodes, and a call that asks the graph for masks in full size.
    """
    from segment_anything.utils.onnx import SamOnnxModel

    path = folder / "official.onnx"
    made = SamOnnxModel(authors_predictor().model, return_single_mask=False)
    given = {
        "image_embeddings": torch.randn(1, DECODER_WIDTH, SIDE // 16, SIDE // 16),
        "point_coords": torch.rand(1, 2, 2) * SIDE,
        "point_labels": torch.ones(1, 2),
        "mask_input": torch.zeros(1, 1, SIDE // 4, SIDE // 4),
        "has_mask_input": torch.zeros(1),
        "orig_im_size": torch.tensor([float(WINDOW)] * 2),
    }
    axes = {"point_coords": {1: "k"}, "point_labels": {1: "k"}}
    onnx_exports.write(made, path, given, onnx_exports.SCRIPT_OUTPUTS, axes)
    session = open_session(path)
    engine = TorchSegmenter("bench", Here(network))
    rest = {name: given[name].numpy() for name in ("mask_input", "has_mask_input")}

    def ask(embedding, one: Prompts) -> np.ndarray:  # noqa: ANN001
        points = network.parts.frame.points(one.points, embedding.shape)
        tokens = np.concatenate([points, np.zeros((1, 2), np.float32)])[None]
        labels = np.array([[1, -1]], np.float32)
        features = embedding.data["features_0"].astype(np.float32)
        asked = {"image_embeddings": features, "point_coords": tokens, "point_labels": labels,
                 "orig_im_size": np.float32(embedding.shape)}  # fmt: skip
        return session.run(["masks", "iou_predictions"], {**asked, **rest})[0] > 0

    return engine, ask
