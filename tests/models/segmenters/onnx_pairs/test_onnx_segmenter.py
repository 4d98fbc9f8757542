"""Pairs of ONNX files answer as the models' own predictors do."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the exports are made with torch")
onnx = pytest.importorskip("onnx", reason="the exports are made with onnx")
pytest.importorskip("onnxruntime", reason="the engine needs onnxruntime")

from furrow.tests.models.segmenters import onnx_exports  # noqa: E402

pytest.importorskip("segment_anything", reason="the engine is compared with segment-anything")
pytest.importorskip("transformers", reason="the engine is compared with transformers")

from furrow.core.errors import ModelError  # noqa: E402
from furrow.core.fields.segmenter import Embedding, Prompts  # noqa: E402
from furrow.models.segmenters.onnx_pairs.onnx_conventions import Values, find_pair  # noqa: E402
from furrow.models.segmenters.onnx_pairs.onnx_segmenter import (  # noqa: E402
    OnnxSegmenter,
    _picture,
    _stored,
    open_pair,
)

SIDE = onnx_exports.SIDE
SHAPES = [(256, 256), (200, 240), (97, 331), (301, 157), (33, 20), (1, 9), (400, 270)]
NEAR = 1e-3


@pytest.fixture(scope="module")
def folder():
    return onnx_exports.exported()


@pytest.fixture(scope="module")
def model():
    return onnx_exports.sam()


def opened(encoder, decoder, model_id: str = "tiny") -> OnnxSegmenter:
    return open_pair(encoder, decoder, model_id, threads=1)


@pytest.fixture(scope="module")
def engine(folder) -> OnnxSegmenter:
    return opened(folder / "sam" / "encoder.onnx", folder / "sam" / "decoder.onnx")


@pytest.fixture(scope="module")
def single(folder) -> OnnxSegmenter:
    return opened(folder / "sam" / "encoder.onnx", folder / "single-decoder.onnx")


@pytest.fixture(scope="module")
def many(folder) -> OnnxSegmenter:
    return opened(folder / "sam" / "encoder.onnx", folder / "many-decoder.onnx")


def picture(shape: tuple) -> np.ndarray:
    """Blocks of colour with noise."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    colours = rng.integers(0, 256, (64, 3))
    blocks = colours[(rows // 29 * 7 + columns // 23) % 64]
    return np.clip(blocks + rng.normal(0, 12, blocks.shape), 0, 255).astype(np.uint8)


def prompts_in(shape: tuple) -> dict:
    """A prompt of each kind."""
    size = np.array([shape[1], shape[0]], float)
    places = np.array([[0.3, 0.4], [0.7, 0.6], [0.51, 0.13], [0.9, 0.95]]) * size
    on, box = np.array([True]), np.concatenate([0.2 * size, 0.65 * size])
    return {
        "click": Prompts.click(*places[0]),
        "corner": Prompts.click(*(size - 0.25)),
        "two points": Prompts(places[:2], np.array([True, True])),
        "background": Prompts(places, np.array([True, False, True, False])),
        "box": Prompts(np.zeros((0, 2)), np.zeros(0, bool), box),
        "box and point": Prompts(places[:1], on, box),
        "box and background": Prompts(places[:2], np.array([True, False]), box),
    }


def predictor_of(model, image: np.ndarray):
    from segment_anything import SamPredictor

    predictor = SamPredictor(model)
    predictor.set_image(image)
    return predictor


def predicted(predictor, prompt: Prompts, multimask: bool) -> tuple:
    """Logits (m, H, W) and scores of the model's own predictor, which counts from pixel centres."""
    given = {}
    if len(prompt.points):
        given = {"point_coords": prompt.points - 0.5, "point_labels": prompt.foreground * 1}
    if prompt.box is not None:
        given["box"] = prompt.box - 0.5
    logits, scores, _ = predictor.predict(**given, multimask_output=multimask, return_logits=True)
    return logits, scores


def answer(engine: OnnxSegmenter, image: np.ndarray, prompts) -> list:
    """Logits (m, H, W) and scores for each prompt, nothing rounded."""
    low = engine.logits(engine.features(image), image.shape[:2], list(prompts))
    frame = engine.plan.picture.frame
    return [(frame.logits(logits, image.shape[:2]), scores) for logits, scores in low]


def assert_near(found: tuple, expected: tuple, limit: float = NEAR) -> None:
    for ours, theirs in zip(found, expected):
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() < limit


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_are_those_of_the_predictor(engine, model, shape) -> None:
    image, prompts = picture(shape), prompts_in(shape)
    predictor = predictor_of(model, image)
    found = dict(zip(prompts, answer(engine, image, prompts.values())))
    for kind, prompt in prompts.items():
        several = predicted(predictor, prompt, multimask=True)
        assert np.ptp(several[0]) > 0.5, "masks of nothing prove nothing"
        if kind in ("click", "corner"):
            assert_near(found[kind], several)
            continue
        one = predicted(predictor, prompt, multimask=False)
        place = int(np.abs(found[kind][0] - one[0]).max(axis=(1, 2)).argmin())
        for expected, single in zip(several, one):
            expected[place] = single[0]
        assert_near(found[kind], several)


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [("sam/encoder", "many-decoder"), ("sam/encoder", "plain-decoder"),
     ("sam/encoder", "large-decoder"), ("rows-encoder", "sam/decoder"),
     ("own/own-encoder", "own/own-decoder")],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(97, 331)])
def test_other_exports_of_the_same_model_agree(engine, folder, encoder, decoder, shape) -> None:
    other = opened(folder / f"{encoder}.onnx", folder / f"{decoder}.onnx")
    image, prompts = picture(shape), prompts_in(shape)
    if decoder == "large-decoder":  # which masks are alike may depend on their resolution
        prompts = {kind: prompts[kind] for kind in ("click", "corner")}
    asked = list(prompts.values())
    for found, expected in zip(answer(other, image, asked), answer(engine, image, asked)):
        assert_near(found, expected)


def test_three_masks_and_misnamed_outputs(engine, folder) -> None:
    image = picture((120, 200))
    prompt = prompts_in(image.shape)["click"]
    (expected,) = answer(engine, image, [prompt])
    three = opened(folder / "sam" / "encoder.onnx", folder / "three-decoder.onnx")
    assert_near(answer(three, image, [prompt])[0], expected)
    extra = opened(folder / "sam" / "encoder.onnx", folder / "extra-decoder.onnx")
    (found,) = answer(extra, image, [prompt])
    assert_near(found[:1], expected[:1])
    stability = [
        (mask > 1).sum() / max((mask > -1).sum(), 1)
        for mask in engine.logits(engine.features(image), image.shape[:2], [prompt])[0][0]
    ]
    assert np.allclose(found[1], stability, atol=0.01)


def test_bytes_go_in_as_they_are(engine, folder) -> None:
    other = opened(folder / "bytes-encoder.onnx", folder / "sam" / "decoder.onnx")
    image, prompts = picture((256, 256)), prompts_in((256, 256)).values()
    for found, expected in zip(answer(other, image, prompts), answer(engine, image, prompts)):
        assert_near(found, expected)


def test_what_is_filled_up_is_nothing_after_normalising(engine) -> None:
    wanted = replace(engine.plan.picture, values=Values.BYTES)
    image, frame = picture((150, 220)), wanted.frame
    given = _picture(image, wanted)[0].transpose(1, 2, 0)
    normalised = (given - np.float32(frame.mean)) / np.float32(frame.std)
    assert np.allclose(normalised.transpose(2, 0, 1), frame.square(image)[0], atol=1e-6)


def test_a_decoder_with_one_mask(single, model) -> None:
    image = picture((150, 220))
    prompts, predictor = prompts_in(image.shape), predictor_of(model, image)
    for kind, found in zip(prompts, answer(single, image, prompts.values())):
        # The graph takes what has two points, the corners of a box included, for one click.
        several = kind in ("click", "corner", "box")
        logits, scores = predicted(predictor, prompts[kind], multimask=several)
        best = int(scores.argmax())
        assert_near(found, (logits[best : best + 1], scores[best : best + 1]))
    masks = single.predict(single.encode(image), list(prompts.values()))
    assert masks.masks.shape == (7, 1, 150, 220)


def test_several_prompts_are_answered_in_one_run(many, engine) -> None:
    image = picture((180, 240))
    rng = np.random.default_rng(0)
    prompts = [*prompts_in(image.shape).values()]
    prompts += [Prompts.click(*rng.uniform(0, (240, 180))) for _ in range(40)]
    runs = []
    decode = many._decode
    many._decode = lambda features, points, labels: (
        runs.append(len(points)) or decode(features, points, labels)
    )
    together = many.predict(many.encode(image), prompts)
    del many._decode
    assert sum(runs) == len(prompts) and len(runs) <= 10
    one_by_one = engine.predict(engine.encode(image), prompts)
    assert np.array_equal(together.scores.round(4), one_by_one.scores.round(4))
    assert (together.masks != one_by_one.masks).mean() < 1e-4


@pytest.mark.parametrize("decoder", ["efficient/decoder", "queries-decoder"])
def test_efficient_sam(folder, model, decoder) -> None:
    shape = (120, 211)
    image, prompts = picture(shape), prompts_in(shape)
    if decoder == "queries-decoder":  # each of its prompts is one point
        prompts = {kind: prompts[kind] for kind in ("click", "corner")}
    engine = opened(folder / "efficient" / "encoder.onnx", folder / f"{decoder}.onnx")
    batch = torch.from_numpy(image.transpose(2, 0, 1)[None] / np.float32(255))
    reference = onnx_exports.EfficientDecoder(model)
    with torch.no_grad():
        embeddings = onnx_exports.EfficientEncoder(model)(batch)
        for prompt, found in zip(prompts.values(), answer(engine, image, prompts.values())):
            points, labels = prompt.points - 0.5, prompt.foreground * 1.0
            if prompt.box is not None:
                points = np.concatenate([points, prompt.box.reshape(2, 2) - 0.5])
                labels = np.concatenate([labels, [2, 3]])
            large, scores, _ = reference(
                embeddings, torch.tensor(points[None, None]).float(),
                torch.tensor(labels[None, None]).float(), torch.tensor(shape),
            )  # fmt: skip
            assert_near(found, (large[0, 0].numpy(), scores[0, 0].numpy()))


def test_too_many_points_for_a_graph(folder) -> None:
    engine = opened(folder / "efficient" / "encoder.onnx", folder / "queries-decoder.onnx")
    image = picture((50, 60))
    with pytest.raises(ModelError, match="at most 1 points at once"):
        engine.predict(engine.encode(image), [prompts_in((50, 60))["box"]])


@pytest.mark.parametrize("decoder", ["sam2/decoder", "sized-decoder"])
@pytest.mark.parametrize("shape", [(120, 211), (401, 300)])
def test_segment_anything_2(folder, decoder, shape) -> None:
    engine = opened(folder / "sam2" / "encoder.onnx", folder / f"{decoder}.onnx")
    assert engine.plan.several
    image, prompts = picture(shape), prompts_in(shape)
    square = torch.from_numpy(engine.plan.picture.frame.square(image))
    model = onnx_exports.sam2()
    scale = SIDE / np.array([shape[1], shape[0]])
    with torch.no_grad():
        features = model.get_image_embeddings(square)
        for prompt, found in zip(prompts.values(), answer(engine, image, prompts.values())):
            points, labels = prompt.points, prompt.foreground * 1
            if prompt.box is not None:
                points = np.concatenate([points, prompt.box.reshape(2, 2)])
                labels = np.concatenate([labels, [2, 3]])
            asked = torch.tensor((points - 0.5) * scale, dtype=torch.float)[None, None]
            theirs = model(
                image_embeddings=features, input_points=asked,
                input_labels=torch.tensor(labels)[None, None],
            )  # fmt: skip
            low = torch.clamp(theirs.pred_masks[0], -32, 32)
            large = torch.nn.functional.interpolate(low, shape, mode="bilinear")
            assert_near(found, (large[0].numpy(), theirs.iou_scores[0, 0].numpy()))


def test_segment_anything_2_with_one_mask(folder) -> None:
    engine = opened(folder / "sam2" / "encoder.onnx", folder / "sam2-single-decoder.onnx")
    image = picture((100, 100))
    answered = engine.predict(engine.encode(image), list(prompts_in((100, 100)).values()))
    assert answered.masks.shape == (7, 1, 100, 100) and answered.scores.shape == (7, 1)


@pytest.mark.parametrize("pair", ["sam", "sam2", "efficient", "own"])
def test_half_precision_keeps_the_masks(folder, pair) -> None:
    engine = opened(*find_pair(folder / pair))
    image = picture((210, 300))
    prompts = list(prompts_in(image.shape).values())
    embedding = engine.encode(image)
    assert {array.dtype for array in embedding.data.values()} == {np.dtype(np.float16)}
    whole = Embedding(engine.id, image.shape[:2], engine.features(image))
    rounded, exact = engine.predict(embedding, prompts), engine.predict(whole, prompts)
    both = (rounded.masks & exact.masks).sum(axis=(2, 3))
    either = (rounded.masks | exact.masks).sum(axis=(2, 3))
    assert (both >= 0.99 * either).all()


def test_features_too_large_for_half_precision_stay(engine) -> None:
    values = np.array([1.0, 70000.0], np.float32)
    assert _stored(values) is values


def test_masks_are_ordered_and_scores_follow(engine) -> None:
    image = picture((200, 240))
    answered = engine.predict(engine.encode(image), list(prompts_in((200, 240)).values()))
    areas = answered.masks.sum(axis=(2, 3))
    assert answered.masks.shape == (7, 3, 200, 240) and answered.masks.dtype == bool
    assert (np.diff(areas, axis=1) >= 0).all()
    assert answered.scores.dtype == np.float32
    assert ((answered.scores >= 0) & (answered.scores <= 1)).all()
    low, scores = engine.logits(
        engine.features(image), (200, 240), [prompts_in((200, 240))["click"]]
    )[0]
    masks = engine.plan.picture.frame.masks(low[None], (200, 240))[0]
    order = np.argsort(masks.sum(axis=(1, 2)), kind="stable")
    assert np.allclose(answered.scores[0], np.clip(scores[order], 0, 1), atol=0.01)


def test_nothing_asked_is_nothing_answered(engine) -> None:
    answered = engine.predict(engine.encode(picture((40, 50))), [])
    assert answered.masks.shape == (0, 3, 40, 50) and answered.scores.shape == (0, 3)


def test_an_image_is_never_changed(engine) -> None:
    image = picture((90, 120))
    before = image.copy()
    image.flags.writeable = False
    embedding = engine.encode(image)
    assert np.array_equal(image, before)
    assert (embedding.model_id, embedding.shape) == ("tiny", (90, 120))


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)])
def test_a_wrong_image_is_refused(engine, image) -> None:
    with pytest.raises(ValueError, match="uint8"):
        engine.encode(image)


def test_an_embedding_of_another_model_is_refused(engine) -> None:
    with pytest.raises(ModelError, match="clear the encoded images"):
        engine.predict(Embedding("other", (9, 9), {}), [Prompts.click(1, 1)])


def test_several_threads_get_the_same(many) -> None:
    images = [picture((120, 90)), picture((60, 130))]
    prompts = [list(prompts_in(image.shape).values()) for image in images]

    def work(k: int) -> tuple:
        return k, many.predict(many.encode(images[k]), prompts[k])

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(work, [0, 1] * 4))
    for k, answered in answers[2:]:
        assert np.array_equal(answered.masks, answers[k][1].masks)


def test_features_are_prepared_once_and_the_embedding_let_go(engine) -> None:
    embedding = engine.encode(picture((64, 64)))
    assert engine._prepared(embedding) is engine._prepared(embedding)
    gone = weakref.ref(embedding)
    del embedding
    gc.collect()
    assert gone() is None


def test_half_precision_graphs(folder, engine, tmp_path) -> None:
    float16 = pytest.importorskip("onnxruntime.transformers.float16")
    paths = []
    for part in ("encoder", "decoder"):
        content = onnx.load(folder / "sam" / f"{part}.onnx")
        content = float16.convert_float_to_float16(content, op_block_list=["Resize", "Range"])
        paths.append(tmp_path / f"half-{part}.onnx")
        onnx.save(content, paths[-1])
    half = opened(*paths)
    assert half.plan.picture.dtype == half.plan.points.dtype == "float16"
    assert_alike(half, engine, 0.97)


def test_graphs_with_whole_numbers(folder, engine, tmp_path) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    for part in ("encoder", "decoder"):
        quantization.quantize_dynamic(
            folder / "sam" / f"{part}.onnx", tmp_path / f"quant-{part}.onnx",
            weight_type=quantization.QuantType.QUInt8, op_types_to_quantize=["MatMul"],
        )  # fmt: skip
    assert_alike(opened(*find_pair(tmp_path)), engine, 0.8)


def assert_alike(other: OnnxSegmenter, engine: OnnxSegmenter, least: float) -> None:
    """The masks of one prompt each overlap in the mean."""
    image = picture((140, 200))
    prompts = list(prompts_in(image.shape).values())
    ours, theirs = (each.predict(each.encode(image), prompts).masks for each in (other, engine))
    overlap = (ours & theirs).sum(axis=(2, 3)) / np.maximum((ours | theirs).sum(axis=(2, 3)), 1)
    assert overlap.mean() > least


def test_the_encoder_is_opened_when_it_is_needed(folder, tmp_path) -> None:
    onnx.save(onnx.load(folder / "sam" / "encoder.onnx"), tmp_path / "encoder.onnx")
    engine = opened(tmp_path / "encoder.onnx", folder / "sam" / "decoder.onnx")
    (tmp_path / "encoder.onnx").unlink()
    with pytest.raises(ModelError, match="missing"):
        engine.encode(picture((20, 20)))


@pytest.mark.parametrize("sides", [(1, 4, 64), (1, 4, 64, 64), (1, 0, 64, 64)])
def test_answers_that_do_not_fit(folder, tmp_path, sides) -> None:
    """A decoder that gives two scores, and masks of other numbers."""
    prompts = {"point_coords": (1, "k", 2), "point_labels": (1, "k")}
    inputs = {"image_embeddings": (1, onnx_exports.CHANNELS, 16, 16), **prompts}
    helper = onnx.helper
    float32 = onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("ConstantOfShape", ["sides"], ["masks"]),
        helper.make_node("ConstantOfShape", ["two"], ["scores"]),
    ]
    shapes = [onnx.numpy_helper.from_array(np.array(sides), "sides"),
              onnx.numpy_helper.from_array(np.array([1, 2]), "two")]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(*each[:1], float32, each[1])
                     for each in inputs.items()],
        [helper.make_tensor_value_info("masks", float32, None),
         helper.make_tensor_value_info("scores", float32, None)], shapes,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "d.onnx")
    odd = opened(folder / "sam" / "encoder.onnx", tmp_path / "d.onnx")
    with pytest.raises(ModelError, match="do not fit each other"):
        odd.predict(odd.encode(picture((30, 30))), [Prompts.click(9, 9)])


def test_weights_in_a_file_of_their_own(folder, engine, tmp_path) -> None:
    beside = tmp_path / "modèles"
    beside.mkdir()
    for part in ("encoder", "decoder"):
        onnx.save(
            onnx.load(folder / "sam" / f"{part}.onnx"), beside / f"{part}.onnx",
            save_as_external_data=True, location=f"{part}.weights", size_threshold=0,
        )  # fmt: skip
    assert_alike(opened(*find_pair(beside)), engine, 0.999)
    (beside / "encoder.weights").unlink()
    with pytest.raises(ModelError, match="encoder.weights"):
        opened(beside / "encoder.onnx", beside / "decoder.onnx")


def test_a_pair_that_is_none(folder) -> None:
    with pytest.raises(ModelError, match="do not belong together"):
        opened(folder / "sam" / "encoder.onnx", folder / "sam2" / "decoder.onnx")
