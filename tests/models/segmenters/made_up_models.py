"""Entries and files of models that are small and made up."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Dict, Sequence, Tuple

from furrow.models.segmenters.catalogue import Entry, Licence, ModelFile

CONTENT = b"weights " * 1000
LICENCE = Licence("MIT", "none", "", True, False)


def file_for(content: bytes, role: str = "checkpoint", name: str = "small.pth") -> ModelFile:
    """A file of the catalogue with this content."""
    digest = hashlib.sha256(content).hexdigest()
    return ModelFile(role, name, f"https://a.b/{name}", len(content), digest)


def entry_of(*files: ModelFile, engine: str = "torch") -> Entry:
    """An entry of the catalogue."""
    files = files or (file_for(CONTENT),)
    return Entry("small", "Small", "segment-anything", engine, files, LICENCE, 2000, "none",
                 ("points",), "Tests.", False)  # fmt: skip


def write_pair(
    folder: Path, names: Sequence[str] = ("sam.encoder.onnx", "sam.decoder.onnx"), side: int = 64,
    weights: str = "",
) -> Tuple[Path, Path]:  # fmt: skip
    """Graphs with the inputs and outputs of Segment Anything; they cannot be run.

    :param weights: file in which the encoder has its weights.
    """
    from onnx import TensorProto, helper, save_model

    features = (1, 256, side // 16, side // 16)
    asked = {"image_embeddings": features, "point_coords": (1, "points", 2),
             "point_labels": (1, "points"), "mask_input": (1, 1, side // 4, side // 4),
             "has_mask_input": (1,), "orig_im_size": (2,)}  # fmt: skip
    answers = {"masks": (1, "m", "h", "w"), "iou_predictions": (1, "m"),
               "low_res_masks": (1, "m", side // 4, side // 4)}  # fmt: skip

    def values(shapes: Dict[str, tuple]) -> list:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in shapes.items()]  # fmt: skip

    parts = []
    if weights:
        tensor = helper.make_tensor("w", TensorProto.FLOAT, [2], b"\0" * 8, raw=True)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=weights)
        parts.append(tensor)
        path = folder / weights
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0" * 8)
    graphs = (
        helper.make_graph([helper.make_node("Encode", ["image"], ["image_embeddings"])], "encoder",
                          values({"image": (1, 3, side, side)}),
                          values({"image_embeddings": features}), parts),
        helper.make_graph([helper.make_node("Decode", list(asked), list(answers))], "decoder",
                          values(asked), values(answers)),
    )  # fmt: skip
    for graph, name in zip(graphs, names):
        save_model(helper.make_model(graph), folder / name)
    return folder / names[0], folder / names[1]
