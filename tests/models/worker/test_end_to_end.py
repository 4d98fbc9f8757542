# ruff: noqa: E402 (what needs torch is imported only where it is there)
"""Checkpoints in the published formats, from the file to masks, through a real worker process."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the worker needs torch: make test")
for package in ("segment_anything", "transformers", "safetensors", "torchvision"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the worker needs {package}: make test", allow_module_level=True)

from furrow.core.errors import ModelError
from furrow.core.fields.segmenter import Masks
from furrow.models.segmenters.checkpoints.torch_segmenter import TorchSegmenter
from furrow.models.segmenters.checkpoints.worker_client import shared_worker, stop_all
from furrow.models.worker.networks import open_network
from furrow.tests.models.worker import tiny_models
from furrow.tests.models.worker.without_process import Here, costs

IMAGE = tiny_models.picture(150, 221)
PROMPTS = list(tiny_models.prompts_of_all_kinds(150, 221).values())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With the checkpoints of two families; its name is no plain one."""
    made = tmp_path_factory.mktemp("Modèles und Gewichte")
    tiny_models.write_segment_anything(made / "tiny.pth", tiny_models.segment_anything())
    tiny_models.write_segment_anything_2(made / "tiny.pt")
    yield made
    stop_all()


def engine_of(checkpoint: Path) -> TorchSegmenter:
    return TorchSegmenter(checkpoint.stem, shared_worker(Path(sys.executable), checkpoint, "cpu"))


def here(checkpoint: Path) -> TorchSegmenter:
    return TorchSegmenter(checkpoint.stem, Here(open_network(checkpoint, "cpu")))


def agreement(one: Masks, other: Masks) -> float:
    """The least intersection over union of two answers' masks."""
    pairs = zip(one.masks.reshape(-1, 150, 221), other.masks.reshape(-1, 1, 150, 221))
    return min(float(overlap(mask, others)[0]) for mask, others in pairs)


@pytest.mark.parametrize(
    ("name", "family", "side"),
    [("tiny.pth", "segment-anything", 256), ("tiny.pt", "segment-anything-2.1", 1024)],
)
def test_a_checkpoint_gives_the_masks_that_it_gives_in_this_process(
    folder: Path, name: str, family: str, side: int
) -> None:
    engine, other = engine_of(folder / name), here(folder / name)
    about = engine.start()
    assert (about.family, about.side, about.device) == (family, side, "cpu")
    assert {"torch", "numpy", "python"} <= set(about.versions)
    assert about.parameters > 1000
    embedding, expected = engine.encode(IMAGE), other.encode(IMAGE)
    assert {values.dtype for values in embedding.data.values()} == {
        np.dtype(np.float16),
        np.dtype(np.uint8),
    }
    found, wanted = engine.predict(embedding, PROMPTS), other.predict(expected, PROMPTS)
    assert found.masks.shape == (len(PROMPTS), 3, 150, 221)
    assert agreement(found, wanted) > 0.99
    assert np.allclose(found.scores, wanted.scores, atol=0.01)
    assert (np.diff(found.masks.sum(axis=(2, 3)), axis=1) >= 0).all()
    assert engine.memory()["memory"] > 50 << 20


def test_masks_are_those_of_the_original_predictor(folder: Path) -> None:
    """Features are rounded to float16 on the way, and cost no more than a hundredth."""
    from segment_anything import SamPredictor

    predictor = SamPredictor(tiny_models.segment_anything())
    predictor.set_image(IMAGE)
    engine = engine_of(folder / "tiny.pth")
    found = engine.predict(engine.encode(IMAGE), PROMPTS)
    for prompt, masks, scores in zip(PROMPTS, found.masks, found.scores):
        # Its coordinates have the centre of the first pixel at 0.
        points, labels = (prompt.points - 0.5, prompt.foreground.astype(int))
        asked = {"point_coords": points if len(points) else None,
                 "point_labels": labels if len(points) else None,
                 "box": None if prompt.box is None else prompt.box - 0.5}  # fmt: skip
        single = prompt.box is not None or len(points) > 1
        best, expected, _ = predictor.predict(**asked, multimask_output=not single)
        overlaps = [overlap(mask, masks) for mask in best]
        assert min(max(row) for row in overlaps) > 0.99
        assert np.allclose([scores[np.argmax(row)] for row in overlaps],
                           np.clip(expected, 0, 1), atol=0.01)  # fmt: skip


def overlap(mask: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Intersection over union of a mask with each of some; 1 where both are empty."""
    either = (masks | mask).sum(axis=(1, 2))
    return np.where(either, (masks & mask).sum(axis=(1, 2)) / np.maximum(either, 1), 1)


def test_a_file_that_is_no_checkpoint_is_refused_with_a_sentence(folder: Path) -> None:
    wrong = folder / "wrong.pth"
    wrong.write_bytes(b"<html>404</html>" * 100)
    with pytest.raises(ModelError, match=r"wrong\.pth is a web page"):
        engine_of(wrong).encode(IMAGE)


def test_the_process_costs_little(folder: Path, capsys: pytest.CaptureFixture) -> None:
    """At most 25 ms a click more than the same network in this process."""
    engines = [engine_of(folder / "tiny.pth"), here(folder / "tiny.pth")]
    for side in (200, 1024):
        line, more = costs(engines, tiny_models.picture(side, side), PROMPTS[:1], 12)
        with capsys.disabled():
            print(f"\n{line}")
        assert more < 25
