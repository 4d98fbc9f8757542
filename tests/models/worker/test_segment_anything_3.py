# ruff: noqa: E402 (what needs torch is imported only where it is there)
"""Segment Anything 3: names as its authors have them, masks as the package transformers does."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the worker needs torch: make test")

from furrow.core.errors import ModelError
from furrow.models.worker.architectures import RotaryTransformer, recognise
from furrow.models.worker.networks import assemble, open_network
from furrow.models.worker.segment_anything_3 import Attention, _angles, _turned
from furrow.models.worker.torchvision_repair import repair
from furrow.models.worker.weight_names import uniform
from furrow.tests.models.worker import tiny_models
from furrow.tests.models.worker.tiny_models import decoded, picture, prompts_of_all_kinds

NEAR = 1e-3
PUBLISHED = (1024, 32, 4736)
"""Width, blocks, and width within the blocks."""


def named(shapes, made):
    return uniform({name: made(name, shape) for name, shape in shapes.items()})


def on_meta(_, shape):
    return torch.empty(shape, device="meta")


def test_the_published_size_is_loaded_by_shape() -> None:
    weights = named(tiny_models.published_shapes_3(*PUBLISHED), on_meta)
    architecture = recognise(weights, "sam3.pt")
    assert architecture == RotaryTransformer(
        1008, 14, 1024, 32, 16, 24, (7, 15, 23, 31), 4736, 24, 256
    )
    parts = assemble(architecture, weights, "sam3.pt")
    assert (parts.family, parts.frame.side) == ("segment-anything-3", 1008)


def test_a_file_of_its_authors_is_opened(tmp_path) -> None:
    """A narrow one; it looks at 1008 x 1008 pixels and gives 288 x 288 logits."""
    shapes = tiny_models.published_shapes_3(64, 4, 96, tiny_models.WIDTH)
    content = {name: tiny_models.random_weight(name, shape) for name, shape in shapes.items()}
    # Where blocks see everything does not depend on numbers; buffers of the authors may be complex.
    content["detector.backbone.vision_backbone.trunk.blocks.0.attn.freqs_cis"] = torch.ones(
        576, 32, dtype=torch.complex64
    )
    torch.save({"model": content}, tmp_path / "sam3.pt")
    network = open_network(tmp_path / "sam3.pt")
    assert (network.family, network.side) == ("segment-anything-3", 1008)
    features = network.encode(picture(90, 120))
    assert [values.shape[1:] for values in features.values()] == [
        (32, 72, 72), (8, 144, 144), (4, 288, 288),
    ]  # fmt: skip
    prompts = list(prompts_of_all_kinds(90, 120).values())
    logits, scores = network.decode_all(features, (90, 120), prompts[:3])
    assert logits.shape == (3, 4, 288, 288) and np.isfinite(logits).all()
    assert ((scores > 0) & (scores < 1)).all()
    network._half = True  # as on a graphics card
    for name, values in network.encode(picture(90, 120)).items():
        error = np.abs(values - features[name]).max()
        assert 0 < error < 0.02 * np.abs(features[name]).max()


def test_cells_are_compared_by_how_far_they_are_apart() -> None:
    """Turned by their places, two vectors look alike whatever their common place is."""
    attention, made = Attention(32, 2), torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 1, 16, generator=made)
    angles = _angles(6, 0.5, attention, one)
    assert angles.shape == (36, 8)
    alike = _turned(one.expand(36, -1), angles) @ _turned(other.expand(36, -1), angles).T
    alike = alike.view(6, 6, 6, 6)
    assert torch.allclose(alike[1, 2, 3, 3], alike[2, 1, 4, 2], atol=1e-5)
    assert not torch.allclose(alike[1, 2, 3, 3], alike[1, 2, 3, 4], atol=1e-3)


def test_the_later_checkpoint_is_refused_with_a_sentence() -> None:
    names = ["detector.backbone.vision_backbone.interactive_convs.0.conv_1x1.weight",
             "tracker.model.interactive_sam_mask_decoder.iou_token.weight"]  # fmt: skip
    weights = {name: torch.zeros(1) for name in names}
    with pytest.raises(ModelError, match=r"^big\.pt is a checkpoint of Segment Anything 3\.1"):
        recognise(uniform(weights), "big.pt")


def test_a_file_without_what_clicks_need_is_refused_with_a_sentence() -> None:
    shapes = tiny_models.published_shapes_3(64, 4, 96, tiny_models.WIDTH)
    without = {name: shape for name, shape in shapes.items() if "sam2_convs" not in name}
    with pytest.raises(ModelError, match="has the names of Segment Anything, but not its shapes"):
        recognise(named(without, on_meta), "sam3.pt")
    without = {name: shape for name, shape in shapes.items() if not name.startswith("tracker.")}
    weights = named(without, on_meta)
    with pytest.raises(ModelError, match="looks like Segment Anything 3, but its weights are not"):
        assemble(recognise(weights, "sam3.pt"), weights, "sam3.pt")


@pytest.fixture(scope="module")
def model():
    """Of the package transformers, from 5.0 on."""
    transformers = pytest.importorskip("transformers")
    repair()
    if not hasattr(transformers, "Sam3TrackerModel"):
        pytest.skip("needs transformers 5.0 or newer")
    return tiny_models.segment_anything_3()


def expected(model, frame, image, prompt, multimask):
    """What Sam3TrackerModel says."""
    shape, given = image.shape[:2], {}
    if len(prompt.points):
        given["input_points"] = torch.from_numpy(frame.points(prompt.points, shape))[None, None]
        given["input_labels"] = torch.from_numpy(prompt.foreground.astype(np.int64))[None, None]
    if prompt.box is not None:
        given["input_boxes"] = torch.from_numpy(frame.box(prompt.box, shape).reshape(1, 1, 4))
    with torch.no_grad():
        answer = model(
            pixel_values=torch.from_numpy(frame.square(image)), multimask_output=multimask, **given
        )
    return answer.pred_masks[0, 0].numpy(), answer.iou_scores[0, 0].numpy()


def as_on_the_hub(model, folder):
    """The tracker's weights as they lie beside those of the detector in the published folder."""
    safetensors = pytest.importorskip("safetensors.torch")
    named = {}
    for name, values in model.state_dict().items():
        new = name.replace("vision_encoder.backbone.", "detector_model.vision_encoder.backbone.")
        new = new.replace("vision_encoder.neck.", "tracker_neck.")
        own = "" if new != name else "tracker_model."
        named[own + new] = values.clone()
    named["detector_model.vision_encoder.neck.fpn_layers.0.proj1.bias"] = torch.zeros(32)
    safetensors.save_file(named, folder / "model.safetensors")
    vision = model.config.vision_config.to_dict()
    said = {"detector_config": {"vision_config": vision}, "tracker_config": {}}
    (folder / "config.json").write_text(json.dumps(said))


@pytest.mark.parametrize("shape", [(150, 200), (57, 168)])
@pytest.mark.parametrize("hub", [False, True])
def test_masks_are_those_of_transformers(model, tmp_path, shape, hub) -> None:
    as_on_the_hub(model, tmp_path) if hub else model.save_pretrained(tmp_path)
    network = open_network(tmp_path)
    assert (network.family, network.side) == ("segment-anything-3", 168)
    image = picture(*shape)
    features = network.encode(image)
    for name, prompt in prompts_of_all_kinds(*shape).items():
        for multimask in (True, False):
            found = decoded(network, features, shape, [prompt], multimask)
            wanted = expected(model, network.parts.frame, image, prompt, multimask)
            assert np.abs(wanted[0]).max() > 1, "else the test would say little"
            for ours, theirs in zip(found, wanted):
                assert np.abs(ours[0] - theirs).max() < NEAR, name


def test_authors_names_give_what_the_names_of_transformers_give(model, tmp_path) -> None:
    as_on_the_hub(model, tmp_path)
    network = open_network(tmp_path)
    start = "detector.backbone.vision_backbone."
    own = network.parts.encoder.vision.state_dict()
    theirs = {
        start + name.replace("convs.", "sam2_convs.", 1): values for name, values in own.items()
    }
    places = f"{start}trunk.pos_embed"
    theirs[places] = torch.cat([torch.zeros(1, 1, 64), theirs[places]], dim=1)
    config = json.loads((tmp_path / "config.json").read_text())
    weights = uniform(theirs)
    assert recognise(weights, "here", config) == network.parts.architecture
    named = {name.replace("image_encoder.", "") for name in weights}
    assert named == set(own)
