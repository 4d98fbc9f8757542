"""What an ONNX file is, which is its partner, and how a pair wants to be asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx", reason="the files are made with onnx")

from onnx import TensorProto, helper  # noqa: E402

from furrow.core.errors import ModelError  # noqa: E402
from furrow.models.segmenters.furrow_field.field_model import WEIGHTS  # noqa: E402
from furrow.models.segmenters.model_frame import Fit  # noqa: E402
from furrow.models.segmenters.onnx_pairs.onnx_conventions import (  # noqa: E402
    Padding,
    PairPlan,
    Size,
    Values,
    diagnosis,
    find_pair,
    plan_pair,
)
from furrow.models.segmenters.onnx_pairs.onnx_graph import read_graph  # noqa: E402

GRID = (1, 256, 64, 64)
PROMPTS = {"point_coords": (1, "k", 2), "point_labels": (1, "k")}
EARLIER = {"mask_input": (1, 1, 256, 256), "has_mask_input": (1,)}
SIZE = {"orig_im_size": (2,)}
ANSWERS = {"masks": (1, 4, "h", "w"), "iou_predictions": (1, 4)}
FEATURES_2 = {"high_res_feats_0": (1, 32, 256, 256), "high_res_feats_1": (1, 64, 128, 128)}


def made(path: Path, inputs: dict, outputs: dict, kind: int = TensorProto.FLOAT, **said) -> Path:
    """A file with some inputs and outputs; what is between them does not matter here."""
    nodes = [helper.make_node("Identity", [next(iter(inputs))], [name]) for name in outputs]
    infos = [
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in values.items()]
        for values in (inputs, outputs)
    ]
    model = helper.make_model(helper.make_graph(nodes, "graph", *infos))
    helper.set_model_props(model, said)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def sam_encoder(path: Path, channels: int = 256) -> Path:
    return made(path, {"x": (1, 3, 1024, 1024)}, {"out": (1, channels, 64, 64)})


def sam_decoder(path: Path, channels: int = 256) -> Path:
    inputs = {"image_embeddings": (1, channels, 64, 64), **PROMPTS, **EARLIER, **SIZE}
    return made(path, inputs, {**ANSWERS, "low_res_masks": (1, 4, 256, 256)})


def planned(encoder: Path, decoder: Path) -> PairPlan:
    return plan_pair(read_graph(encoder), read_graph(decoder))


def one_sentence(caught, *parts: str) -> None:
    text = str(caught.value)
    assert text.startswith("MODEL_FILE: ") and text.endswith(".") and "\n" not in text
    assert all(part in text for part in parts), text


def test_segment_anything(tmp_path) -> None:
    plan = planned(sam_encoder(tmp_path / "e.onnx"), sam_decoder(tmp_path / "d.onnx"))
    assert plan.features[0][0] == "out" and plan.features[0][1].name == "image_embeddings"
    assert (plan.picture.frame.side, plan.picture.frame.fit) == (1024, Fit.PAD)
    assert (plan.picture.values, plan.picture.size) == (Values.NORMALISED, Size.SQUARE)
    assert (plan.masks, plan.scores) == ("low_res_masks", "iou_predictions")
    assert (plan.padding, plan.slots) == (Padding.WITHOUT_BOX, None)
    assert not plan.several and not plan.nested
    assert (plan.wanted, plan.square) == (256, 1024)


def test_enlarged_masks_are_asked_for_in_the_square(tmp_path) -> None:
    inputs = {"image_embeddings": GRID, **PROMPTS, **EARLIER, **SIZE}
    decoder = made(tmp_path / "d.onnx", inputs, ANSWERS)
    plan = planned(sam_encoder(tmp_path / "e.onnx"), decoder)
    assert (plan.masks, plan.wanted) == ("masks", 1024)


def test_decoders_without_sizes_and_earlier_masks(tmp_path) -> None:
    inputs = {"image_embeddings": GRID, **PROMPTS}
    decoder = made(tmp_path / "d.onnx", inputs, {"scores": (1, 4), "masks": (1, 4, 256, 256)})
    plan = planned(sam_encoder(tmp_path / "e.onnx"), decoder)
    assert plan.size is None and not plan.earlier and plan.scores == "scores"


def chained(path: Path, operators: list, shape: tuple) -> Path:
    """An encoder that does some things to a picture before it looks at it."""
    names = ["x", *(f"v{k}" for k in range(len(operators)))]
    nodes = [helper.make_node(each, [a], [b]) for each, a, b in zip(operators, names, names[1:])]
    nodes.append(helper.make_node("Conv", [names[-1], "w"], ["embeddings"]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, GRID)
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [x], [y])), path)
    return path


@pytest.mark.parametrize(
    ("operators", "shape", "values", "size"),
    [
        ([], (1, 3, 1024, 1024), Values.NORMALISED, Size.SQUARE),
        (["Cast", "Transpose"], (1, 3, 1024, 1024), Values.NORMALISED, Size.SQUARE),
        (["Sub", "Div"], (1, 3, 1024, 1024), Values.BYTES, Size.SQUARE),
        (["Sub", "Div", "Transpose", "Pad"], ("h", "w", 3), Values.BYTES, Size.RESIZED),
        (["Sub", "Div", "Pad"], (1, 3, "h", "w"), Values.BYTES, Size.RESIZED),
        (["Pad"], (1, 3, "h", "w"), Values.NORMALISED, Size.RESIZED),
        ([], (1, 3, "h", "w"), Values.NORMALISED, Size.SQUARE),
        (["DynamicQuantizeLinear", "Mul"], (1, 3, 1024, 1024), Values.NORMALISED, Size.SQUARE),
    ],
)
def test_how_a_picture_goes_in(tmp_path, operators, shape, values, size) -> None:
    encoder = chained(tmp_path / "e.onnx", operators, shape)
    picture = planned(encoder, sam_decoder(tmp_path / "d.onnx")).picture
    assert (picture.values, picture.size, picture.frame.side) == (values, size, 1024)
    assert picture.planes == (len(shape) == 4)


def test_other_sides(tmp_path) -> None:
    encoder = made(tmp_path / "e.onnx", {"x": (1, 3, 512, 512)}, {"out": (1, 256, 32, 32)})
    inputs = {"image_embeddings": (1, 256, 32, 32), **PROMPTS}
    decoder = made(tmp_path / "d.onnx", inputs, {"scores": (1, 4), "masks": (1, 4, 128, 128)})
    assert planned(encoder, decoder).picture.frame.side == 512
    flat = made(tmp_path / "f.onnx", {"x": (1, 3, 684, 1024)}, {"embeddings": GRID})
    with pytest.raises(ModelError) as caught:
        planned(flat, sam_decoder(tmp_path / "d.onnx"))
    one_sentence(caught, "f.onnx", "squares")


def efficient(folder: Path, points: tuple = (1, 1, "k", 2)) -> tuple:
    shape = ("b", 3, "h", "w")
    encoder = made(folder / "encoder.onnx", {"batched_images": shape}, {"image_embeddings": GRID})
    inputs = {"image_embeddings": GRID, "batched_point_coords": points,
              "batched_point_labels": points[:-1], **SIZE}  # fmt: skip
    outputs = {"output_masks": (1, 1, 3, "h", "w"), "iou_predictions": (1, 1, 3)}
    return encoder, made(folder / "decoder.onnx", inputs, outputs)


def test_efficient_sam(tmp_path) -> None:
    plan = planned(*efficient(tmp_path))
    assert (plan.picture.values, plan.picture.size) == (Values.UNIT, Size.OWN)
    assert (plan.nested, plan.several, plan.padding) == (True, False, Padding.NONE)
    assert (plan.wanted, plan.square, plan.picture.frame.fit) == (256, 256, Fit.STRETCH)
    plan = planned(*efficient(tmp_path / "old", (1, "n", 1, 2)))
    assert (plan.several, plan.slots) == (True, 1)


def test_segment_anything_2(tmp_path) -> None:
    features = {**FEATURES_2, "image_embed": GRID}
    encoder = made(tmp_path / "e.onnx", {"image": (1, 3, 1024, 1024)}, features)
    prompts = {"point_coords": ("n", "k", 2), "point_labels": ("n", "k")}
    inputs = {"image_embed": GRID, **FEATURES_2, **prompts, **EARLIER, **SIZE}
    plan = planned(encoder, made(tmp_path / "d.onnx", inputs, ANSWERS))
    assert [name for name, _ in plan.features] == ["image_embed", *FEATURES_2]
    assert (plan.picture.frame.fit, plan.picture.frame.whole_numbers) == (Fit.STRETCH, False)
    assert (plan.padding, plan.several, plan.wanted) == (Padding.NONE, True, 256)


def test_pairs_that_furrow_exported(tmp_path) -> None:
    said = {"furrow.family": "mobile-sam", "furrow.side": "1024", "furrow.fit": "pad",
            "furrow.mean": "1, 2, 3", "furrow.std": "[4.0, 5.0, 6.0]"}  # fmt: skip
    inputs = {"features_0": GRID, "points": ("n", "k", 2), "labels": ("n", "k")}
    outputs = {"logits": ("n", 4, 256, 256), "scores": ("n", 4)}
    decoder = made(tmp_path / "d.onnx", inputs, outputs, **said)
    shape = {"image": (1, 3, 1024, 1024)}
    encoder = made(tmp_path / "e.onnx", shape, {"features_0": GRID}, **said)
    plan = planned(encoder, decoder)
    assert plan.family == "mobile-sam" and plan.several
    assert plan.padding is Padding.WITHOUT_BOX
    assert (plan.picture.frame.mean, plan.picture.frame.std) == ((1, 2, 3), (4, 5, 6))
    with pytest.raises(ModelError) as caught:
        planned(sam_encoder(tmp_path / "other.onnx"), decoder)
    one_sentence(caught, "do not belong together")
    del said["furrow.mean"]
    with pytest.raises(ModelError) as caught:
        planned(made(tmp_path / "e2.onnx", shape, {"features_0": GRID}, **said), decoder)
    one_sentence(caught, "export the pair again")


IMAGE = {"images": (1, 3, 640, 640)}
OTHERS = {
    "YOLO": (IMAGE, {"output0": (1, 84, 8400)}),
    "YOLO ": (IMAGE, {"output0": (1, 116, 8400), "output1": (1, 32, 160, 160)}),
    "into classes": ({"input": ("n", 3, 224, 224)}, {"logits": ("n", 1000)}),
    "each pixel": ({"input": (1, 3, 512, 512)}, {"output": (1, 21, 512, 512)}),
    "in one": ({"batched_images": (1, 3, "h", "w"), **PROMPTS}, ANSWERS),
    "transformers": ({"pixel_values": (1, 3, 1024, 1024)}, {"image_embeddings": GRID}),
    "as transformers": (
        {"input_points": (1, "n", "k", 2), "input_labels": (1, "n", "k"),
         "image_embeddings": GRID}, {"pred_masks": (1, "n", 3, 256, 256)},
    ),
    "no features": (PROMPTS, ANSWERS),
    "no model": ({"tokens": (1, "k")}, {"text": (1, "k", 30000)}),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_other_files_are_told_apart(tmp_path, kind) -> None:
    path = made(tmp_path / "other.onnx", *OTHERS[kind])
    text = diagnosis(path)
    assert text.startswith("furrow: this file is ") and kind.strip() in text
    assert next(iter(OTHERS[kind][0])) in text and next(iter(OTHERS[kind][1])) in text
    with pytest.raises(ModelError) as caught:
        find_pair(path)
    one_sentence(caught, "other.onnx is", kind.strip())


def test_diagnoses(tmp_path) -> None:
    assert "encoder of Furrow's own field model" in diagnosis(next(WEIGHTS.glob("*encoder.onnx")))
    assert "decoder of Furrow's own field model" in diagnosis(next(WEIGHTS.glob("*decoder.onnx")))
    said = diagnosis(sam_decoder(tmp_path / "d.onnx"))
    assert said == (
        "furrow: this file is the decoder of Segment Anything or a relative such as MobileSAM "
        "(inputs: image_embeddings, point_coords, point_labels, mask_input, has_mask_input, "
        "orig_im_size; outputs: masks, iou_predictions, low_res_masks)."
    )
    encoder, decoder = efficient(tmp_path)
    assert "the encoder of EfficientSAM" in diagnosis(encoder)
    assert "the decoder of EfficientSAM" in diagnosis(decoder)
    (tmp_path / "page.onnx").write_text("<html>")
    assert diagnosis(tmp_path / "page.onnx").endswith("damaged or not an ONNX file.")
    assert diagnosis(tmp_path / "none.onnx").startswith("furrow: this file is missing")


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [("vit_b.encoder.onnx", "vit_b.decoder.onnx"), ("Encoder.onnx", "Decoder.onnx"),
     ("tiny_enc.onnx", "tiny_dec.onnx"), ("anything.onnx", "sam_masks.onnx")],
)  # fmt: skip
def test_the_partner_is_found(tmp_path, encoder, decoder) -> None:
    folder = tmp_path / "models of Été"
    pair = sam_encoder(folder / encoder), sam_decoder(folder / decoder)
    made(folder / "yolo.onnx", *OTHERS["YOLO"])
    (folder / "broken.onnx").write_bytes(b"no model")
    for start in (*pair, folder):
        assert find_pair(start) == pair


def test_the_name_decides_among_several(tmp_path) -> None:
    pairs = [(sam_encoder(tmp_path / f"{name}-encoder.onnx"),
              sam_decoder(tmp_path / f"{name}-decoder.onnx")) for name in "ab"]  # fmt: skip
    for encoder, decoder in pairs:
        assert find_pair(encoder) == find_pair(decoder) == (encoder, decoder)
    with pytest.raises(ModelError) as caught:
        find_pair(tmp_path)
    one_sentence(caught, "several pairs", "a-encoder.onnx, b-encoder.onnx")
    lonely = sam_encoder(tmp_path / "other.onnx")
    with pytest.raises(ModelError) as caught:
        find_pair(lonely)
    one_sentence(caught, "several files", "a-decoder.onnx, b-decoder.onnx", "exchanged")


def test_no_partner(tmp_path) -> None:
    encoder = sam_encoder(tmp_path / "encoder.onnx")
    with pytest.raises(ModelError) as caught:
        find_pair(encoder)
    one_sentence(caught, "encoder.onnx is the encoder of Segment Anything", "decoder is not in")
    sam_decoder(tmp_path / "decoder.onnx", channels=64)
    with pytest.raises(ModelError) as caught:
        find_pair(encoder)
    one_sentence(caught, "decoder is not in")
    with pytest.raises(ModelError) as caught:
        find_pair(tmp_path)
    one_sentence(caught, "no encoder with its decoder")
    shutil.rmtree(tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        find_pair(encoder)


def test_files_that_do_not_belong_together(tmp_path) -> None:
    encoder, decoder = efficient(tmp_path)
    with pytest.raises(ModelError) as caught:
        planned(encoder, sam_decoder(tmp_path / "sam.onnx"))
    one_sentence(caught, "do not belong together")
    with pytest.raises(ModelError) as caught:
        planned(decoder, decoder)
    one_sentence(caught, "decoder of EfficientSAM", "choose the encoder")


def test_numbers_that_numpy_does_not_know(tmp_path) -> None:
    inputs = {"image_embeddings": GRID, **PROMPTS}
    path = made(tmp_path / "d.onnx", inputs, ANSWERS, TensorProto.BFLOAT16)
    with pytest.raises(ModelError) as caught:
        planned(sam_encoder(tmp_path / "e.onnx"), path)
    one_sentence(caught, "16 or 32 bits")
