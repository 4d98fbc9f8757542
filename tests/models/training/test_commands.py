# ruff: noqa: E402 (what needs torch is imported only where it is there)
"""From nothing to a model that runs in QGIS, by the commands that make train-field-model calls."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch: make test")
pytest.importorskip("onnx", reason="the export needs onnx: make test")

from matplotlib.image import imread

from furrow.core.fields.segmenter import Prompts
from furrow.models.segmenters.furrow_field.field_model import RANKER_FILE, FieldModelSegmenter
from furrow.models.segmenters.furrow_field.ranking import Ranker
from furrow.models.training import scene_pool
from furrow.models.training.__main__ import main


@pytest.mark.timeout(900)  # it trains: minutes on a machine with other work
def test_scenes_training_export_and_ranker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_pool, "CHUNK", 4)
    scenes, run, weights = tmp_path / "scenes", tmp_path / "a run", tmp_path / "weights"
    nowhere = ["--data", str(tmp_path / "no data")]
    main(["scenes", str(scenes), "--count", "8", "--mottled", "4"])
    train = ["train", str(run), "--scenes", str(scenes), "--threads", "1", *nowhere]
    main([*train, "--steps", "1"])
    main([*train, "--steps", "2"])
    with (run / "validation.csv").open() as handle:
        assert [row["step"] for row in csv.DictReader(handle)] == ["1", "2"]
    main(["export", str(run), "--output", str(weights)])
    # In this process: onnxruntime, which other tests have used, does not survive a fork.
    rank = ["rank", str(weights), "--scenes", str(scenes), "--pictures", "2", "--threads", "1"]
    main([*rank, "--steps", "50", *nowhere])
    calibrate = ["calibrate", str(weights), "--scenes", str(scenes), "--threads", "1", *nowhere]
    scores = Ranker.open(weights / RANKER_FILE)
    main([*calibrate, "--pictures", "2"])
    calibrated = Ranker.open(weights / RANKER_FILE)
    assert (calibrated.calibration != scores.calibration).all()
    np.testing.assert_array_equal(calibrated.mean, scores.mean)
    segmenter = FieldModelSegmenter(weights, 1)
    image = np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)
    answer = segmenter.predict(segmenter.encode(image), [Prompts.click(40.0, 30.0)])
    assert answer.masks.shape == (1, 3, 70, 90)


def test_the_sheet_shows_scenes(tmp_path: Path) -> None:
    main(["sheet", str(tmp_path / "new" / "sheet.png"), "--size", "96", "--count", "4"])
    sheet = imread(tmp_path / "new" / "sheet.png")
    assert min(sheet.shape[:2]) > 2 * 96
    assert sheet[..., :3].std() > 0.05


def test_a_run_without_a_checkpoint_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no checkpoint"):
        main(["export", str(tmp_path), "--output", str(tmp_path / "weights")])
    assert not (tmp_path / "weights").exists()
