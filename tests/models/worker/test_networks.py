# ruff: noqa: E402 (what needs torch is imported only where it is there)
"""Networks of checkpoints answer as the packages do that published them."""

from __future__ import annotations

import importlib.util
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the worker needs torch: make test")
for package in ("segment_anything", "transformers", "safetensors", "torchvision"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the worker needs {package}: make test", allow_module_level=True)

from furrow.models.worker.torchvision_repair import repair

repair()

from segment_anything import SamPredictor
from transformers import Sam2ImageProcessorFast, SamConfig, SamModel

from furrow.core.errors import ModelError
from furrow.models.worker.architectures import recognise
from furrow.models.worker.mask_decoder import steady
from furrow.models.worker.networks import (
    TorchNetwork,
    assemble,
    open_network,
    open_parts,
    picture_of,
)
from furrow.tests.models.worker import tiny_models
from furrow.tests.models.worker.tiny_models import SIDE, decoded, picture, prompts_of_all_kinds

NEAR = 1e-3
ROUNDED = 0.01
"""For random weights in the published size, whose logits are up to 32: the authors' own decoder
moves by 0.003 when it is run with float64."""
SHAPES = [(200, 200), (133, 57), (57, 300)]


@pytest.fixture(scope="module")
def sam():
    return tiny_models.segment_anything()


@pytest.fixture(scope="module")
def network(sam, tmp_path_factory):
    path = tmp_path_factory.mktemp("sam") / "sam_vit_b.pth"
    return open_network(tiny_models.write_segment_anything(path, sam))


@pytest.fixture(scope="module")
def sam2():
    return tiny_models.segment_anything_2()


@pytest.fixture(scope="module")
def folder_2(sam2, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam2")
    sam2.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def network_2(folder_2):
    return open_network(folder_2)


def predicted(predictor, prompt, multimask):
    """What SamPredictor says; it takes the centre of the first pixel for 0."""
    has_points = len(prompt.points) > 0
    _, scores, logits = predictor.predict(
        prompt.points - 0.5 if has_points else None,
        prompt.foreground.astype(int) if has_points else None,
        None if prompt.box is None else prompt.box - 0.5,
        multimask_output=multimask,
    )
    return logits, scores


def modelled(model, frame, image, prompt, multimask):
    """What Sam2Model says."""
    shape = image.shape[:2]
    given = {}
    if len(prompt.points):
        given["input_points"] = torch.from_numpy(frame.points(prompt.points, shape))[None, None]
        given["input_labels"] = torch.from_numpy(prompt.foreground.astype(np.int64))[None, None]
    if prompt.box is not None:
        box = frame.box(prompt.box, shape).reshape(1, 1, 4)
        given["input_boxes"] = torch.from_numpy(box)
    with torch.no_grad():
        answer = model(
            pixel_values=torch.from_numpy(frame.square(image)), multimask_output=multimask, **given
        )
    return answer.pred_masks[0, 0].numpy(), answer.iou_scores[0, 0].numpy()


def check_all_kinds(network, image, expect) -> None:
    """Each prompt alone and all in one batch, single masks and three."""
    shape = image.shape[:2]
    features = network.encode(image)
    prompts = list(prompts_of_all_kinds(*shape).values())
    for multimask in (True, False):
        logits, scores = decoded(network, features, shape, prompts, multimask)
        assert logits.dtype == scores.dtype == np.float32
        assert logits.shape[:2] == scores.shape == (len(prompts), 3 if multimask else 1)
        for k, prompt in enumerate(prompts):
            expected = expect(image, prompt, multimask)
            alone = decoded(network, features, shape, [prompt], multimask)
            for found in ((logits[k], scores[k]), (alone[0][0], alone[1][0])):
                for ours, theirs in zip(found, expected):
                    assert np.abs(ours - theirs).max() < NEAR
            assert np.abs(expected[0]).max() > 1, "else the test would say little"


@pytest.mark.parametrize("shape", SHAPES)
def test_segment_anything_answers_as_its_predictor(sam, network, shape) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(picture(*shape))
    check_all_kinds(network, picture(*shape), lambda _, *asked: predicted(predictor, *asked))


def test_masks_in_full_size_are_those_of_the_predictor(sam, network) -> None:
    shape, prompt = (133, 257), prompts_of_all_kinds(133, 257)["background"]
    predictor = SamPredictor(sam)
    predictor.set_image(picture(*shape))
    expected, _, _ = predictor.predict(prompt.points - 0.5, prompt.foreground.astype(int))
    features = network.encode(picture(*shape))
    logits, _ = decoded(network, features, shape, [prompt], True)
    found = network.parts.frame.masks(logits, shape)[0]
    assert found.shape == expected.shape and 0 < expected.sum() < expected.size
    assert (found != expected).mean() < 1e-4


@pytest.mark.parametrize("shape", SHAPES)
def test_segment_anything_2_answers_as_in_transformers(sam2, network_2, shape) -> None:
    assert (network_2.family, network_2.side) == ("segment-anything-2", SIDE)
    frame = network_2.parts.frame
    check_all_kinds(network_2, picture(*shape), lambda *asked: modelled(sam2, frame, *asked))


def test_the_square_of_segment_anything_2_is_that_of_its_processor(network_2) -> None:
    processor = Sam2ImageProcessorFast(size={"height": SIDE, "width": SIDE})
    image = picture(133, 300)
    expected = processor(images=image, return_tensors="pt")["pixel_values"].numpy()
    # The processor rounds colours to whole numbers after resizing, the authors' package does not.
    step = 1 / (255 * 0.224)
    assert np.abs(network_2.parts.frame.square(image) - expected).max() < step


def test_unsteady_single_masks_give_way_as_in_transformers(sam2) -> None:
    made = torch.Generator().manual_seed(0)
    sizes = torch.logspace(-2, 1, 12)[:, None, None, None]
    logits = torch.randn(12, 4, 16, 16, generator=made) * sizes
    logits[-1, 0] = -1.0  # nothing above the threshold
    scores = torch.rand(12, 4, generator=made)
    expected = sam2.mask_decoder._dynamic_multimask_via_stability(logits[None], scores[None])
    found = steady(logits, scores)
    for ours, theirs in zip(found, expected):
        assert torch.equal(ours, theirs[0])
    kept = (found[0] == logits[:, :1]).all(dim=(1, 2, 3))
    assert kept.any() and not kept.all()


def test_published_files_of_segment_anything_2_look_at_1024_pixels(tmp_path) -> None:
    network = open_network(tiny_models.write_segment_anything_2(tmp_path / "sam2.1_hiera_tiny.pt"))
    assert (network.family, network.side) == ("segment-anything-2.1", 1024)
    features = network.encode(picture(64, 100))
    assert {name: values.shape for name, values in features.items()} == {
        "features_0": (1, 32, 64, 64), "features_1": (1, 8, 128, 128),
        "features_2": (1, 4, 256, 256),
    }  # fmt: skip
    logits, scores = network.decode_all(features, (64, 100), [tiny_models.Prompts.click(9, 9)])
    assert logits.shape == (1, 4, 256, 256) and ((scores > 0) & (scores < 1)).all()


def test_mobile_sam_decodes_as_the_predictor(tmp_path) -> None:
    sam = tiny_models.mobile_sam()
    network = open_network(tiny_models.write_mobile_sam(tmp_path / "mobile_sam.pt", sam))
    assert (network.family, network.side) == ("mobile-sam", 1024)
    image = picture(150, 100)
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    prompts = prompts_of_all_kinds(150, 100)
    asked = [prompts[kind] for kind in ("click", "background", "box and points")]
    logits, scores = network.decode_all(network.encode(image), (150, 100), asked)
    for k, prompt in enumerate(asked):
        expected = predicted(predictor, prompt, True)
        assert np.abs(logits[k, 1:] - expected[0]).max() < NEAR
        assert np.abs(scores[k, 1:] - expected[1]).max() < NEAR


def test_the_encoder_of_mobile_sam_is_tiny_vit() -> None:
    """Stage by stage against timm, which was written by others and has other names."""
    timm = pytest.importorskip("timm", reason="only this test needs it")
    from furrow.models.worker.mobile import MobileEncoder

    ours = tiny_models.shaken(MobileEncoder(tiny_models.MOBILE))
    theirs = timm.create_model("tiny_vit_5m_224", pretrained=False, num_classes=0).eval()
    theirs.load_state_dict(_as_in_timm(ours.state_dict(), theirs.state_dict()))
    square = torch.randn(1, 3, 160, 160)
    with torch.no_grad():
        found = ours.patch_embed(square)
        expected = theirs.patch_embed(square)
        for layer, stage in zip(ours.layers, theirs.stages):
            # timm goes on to the next stage at its beginning, the weights' authors at the end.
            expected = stage(expected)
            for block in layer.blocks:
                found = block(found)
            assert found.shape == expected.shape
            assert (found - expected).abs().max() < NEAR * expected.abs().max()
            # timm halves the last stage too, as TinyViT did before MobileSAM.
            if layer is ours.layers[-2]:
                layer.downsample.conv2.c.stride = (2, 2)
            found = layer.downsample(found)


def _as_in_timm(weights, wanted):
    """Weights of TinyViT under the names of timm."""
    named = {}
    for name in wanted:
        old = name.replace("patch_embed.conv1.", "patch_embed.seq.0.")
        old = old.replace("patch_embed.conv2.", "patch_embed.seq.2.")
        old = old.replace("stages.", "layers.").replace(".conv.weight", ".c.weight")
        if ".downsample." in old:
            stage = int(old.split(".")[1])
            old = old.replace(f"layers.{stage}.", f"layers.{stage - 1}.", 1)
        unknown = torch.zeros_like(wanted[name])
        named[name] = weights.get(old, unknown)
        assert old in weights or "head" in name or "tracked" in name, name
    return named


def test_files_of_transformers_give_the_same_network(sam, network, tmp_path) -> None:
    folder = tmp_path / "sam-vit-tiny"
    vision = {"hidden_size": 48, "output_channels": 32, "num_hidden_layers": 3,
              "num_attention_heads": 3, "image_size": SIDE, "window_size": 5,
              "global_attn_indexes": [1], "mlp_dim": 192, "num_pos_feats": 16}  # fmt: skip
    # The authors' decoder has another epsilon than transformers gives it.
    decoder = {"hidden_size": 32, "mlp_dim": 128, "iou_head_hidden_dim": 32,
               "layer_norm_eps": 1e-5}  # fmt: skip
    prompts = {"hidden_size": 32, "image_size": SIDE, "image_embedding_size": SIDE // 16}
    model = tiny_models.shaken(SamModel(SamConfig(vision, prompts, decoder)))
    shared = model.shared_image_embedding.positional_embedding
    model.prompt_encoder.shared_embedding.positional_embedding = shared
    model.save_pretrained(folder)
    ours = open_network(folder)
    assert ours.parts.architecture == network.parts.architecture
    image, shape = picture(133, 200), (133, 200)
    prompt = prompts_of_all_kinds(*shape)["background"]
    frame = ours.parts.frame
    with torch.no_grad():
        answer = model(
            pixel_values=torch.from_numpy(frame.square(image)),
            input_points=torch.from_numpy(frame.points(prompt.points, shape))[None, None],
            input_labels=torch.from_numpy(prompt.foreground.astype(np.int64))[None, None],
        )
    logits, scores = decoded(ours, ours.encode(image), shape, [prompt], True)
    assert np.abs(logits[0] - answer.pred_masks[0, 0].numpy()).max() < NEAR
    assert np.abs(scores[0] - answer.iou_scores[0, 0].numpy()).max() < NEAR


def test_images_features_and_prompts_stay_as_they_are(network) -> None:
    image = picture(80, 80)
    image.flags.writeable = False
    features = network.encode(image)
    again = network.encode(image.copy())
    for values in features.values():
        values.flags.writeable = False
    prompts = list(prompts_of_all_kinds(80, 80).values())
    first = network.decode_all(features, (80, 80), prompts)
    halves = {name: values.astype(np.float16) for name, values in features.items()}
    network.decode_all(halves, (80, 80), prompts)
    second = network.decode_all(again, (80, 80), prompts[::-1])
    assert np.abs(first[0] - second[0][::-1]).max() < NEAR
    logits, scores = network.decode_all(features, (80, 80), [])
    assert logits.shape[0] == scores.shape[0] == 0


@pytest.mark.parametrize("device", ["cuda:7", "nonsense"])
def test_devices_that_are_not_there_are_refused(network, tmp_path, sam, device) -> None:
    path = tiny_models.write_segment_anything(tmp_path / "sam.pth", sam)
    with pytest.raises(ModelError, match=f"torch cannot use {device} here .*; choose auto or cpu"):
        open_network(path, device)
    assert open_network(path, "cpu", half=True).device == "cpu"


def test_half_precision_is_given_up_where_numbers_are_too_large(network) -> None:
    """On the processor, where only tests compute in half precision."""
    halved = TorchNetwork(network.parts, torch.device("cpu"))
    halved._half = True
    image = picture(100, 100)
    expected, found = network.encode(image)["features_0"], halved.encode(image)["features_0"]
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    neck = network.parts.encoder.neck[0].weight
    neck.mul_(1e8)
    try:
        assert np.isfinite(halved.encode(image)["features_0"]).all()
    finally:
        neck.div_(1e8)


def test_a_batch_costs_much_less_than_one_by_one() -> None:
    """Clicks on a decoder of published size, against the predictor of its authors.

    On an idle machine it is a third; bench/bench_models.py measures that.
    """
    sam = tiny_models.segment_anything(tiny_models.Vit(48, 1, 3, 14, (0,), 1024), 256)
    weights = dict(sam.state_dict())
    parts = assemble(recognise(weights, "made here"), weights, "made here")
    network = TorchNetwork(parts, torch.device("cpu"))
    shape = (512, 512)
    predictor = SamPredictor(sam)
    predictor.set_image(picture(*shape))
    features = network.encode(picture(*shape))
    places = np.random.default_rng(0).uniform(1, 511, (16, 2))
    clicks = [tiny_models.Prompts.click(x, y) for x, y in places]
    network.decode_all(features, shape, clicks[:2])

    def one_by_one() -> None:
        for click in clicks[:4]:
            predictor.predict(click.points - 0.5, np.array([1]))

    def at_once() -> None:
        network.decode_all(features, shape, clicks)

    # In turns, and the quickest of each: what else the machine does counts for neither.
    times = [(seconds(one_by_one) / 4, seconds(at_once) / 16) for _ in range(3)]
    alone, batched = (min(column) for column in zip(*times))
    assert batched < alone / 2.5, f"{batched:.3f} s instead of {alone:.3f} s a click"


def seconds(action) -> float:
    """Of the processor."""
    start = time.process_time()
    action()
    return time.process_time() - start


def test_against_the_package_sam2(tmp_path) -> None:
    """The network as its authors run it, where their package is installed."""
    builder = pytest.importorskip("sam2.build_sam", reason="only this test needs sam2")
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    model = builder.build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", None, device="cpu")
    predictor = SAM2ImagePredictor(tiny_models.shaken(model))
    path = tmp_path / "sam2.1_hiera_tiny.pt"
    torch.save({"model": model.state_dict()}, path)
    parts = open_parts(path)
    network = TorchNetwork(parts, torch.device("cpu"))
    assert network.family == "segment-anything-2.1"
    image = picture(300, 210)
    predictor.set_image(image)
    features = network.encode(image)
    theirs = [predictor._features["image_embed"], *predictor._features["high_res_feats"][::-1]]
    for k, expected in enumerate(theirs):
        assert np.abs(features[f"features_{k}"] - expected.numpy()).max() < NEAR
    assert picture_of(parts, theirs).shape == (64, 64)
    for prompt in prompts_of_all_kinds(300, 210).values():
        for multimask in (True, False):
            logits, scores = decoded(network, features, (300, 210), [prompt], multimask)
            expected = predicted(predictor, prompt, multimask)
            assert np.abs(logits[0].clip(-32, 32) - expected[0]).max() < ROUNDED
            assert np.abs(scores[0] - expected[1]).max() < NEAR


@pytest.mark.parametrize("version", ["2", "2.1"])
@pytest.mark.parametrize("size", list(tiny_models.SIZES_2))
def test_tables_of_shapes_are_those_of_the_package_sam2(size, version) -> None:
    builder = pytest.importorskip("sam2.build_sam", reason="only this test needs sam2")
    file = f"sam{version}/sam{version}_hiera_{'b+' if size == 'base+' else size[0]}.yaml"
    model = builder.build_sam2(f"configs/{file}", None, device="cpu")
    shapes = {name: tuple(values.shape) for name, values in model.state_dict().items()}
    assert shapes == tiny_models.published_shapes_2(tiny_models.SIZES_2[size], version)
