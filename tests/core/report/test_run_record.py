"""Run records: safe JSON, whole files, and the call that repeats the run."""

from __future__ import annotations

import json
import os
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from furrow.core.errors import OutputError, ParameterError
from furrow.core.report import run_record
from furrow.core.report.run_record import RunRecord, json_safe, read, repeat_command


def make_record(**changes) -> RunRecord:
    content = {
        "algorithm": "furrow:generatesamples",
        "furrow_version": "0.1.0",
        "parameters": {"SERIES": "/data/s2", "MAX_DISTANCE": 0.05, "CLASS_FIELD": "Kultur ä"},
        "versions": {"numpy": "1.24.4"},
        "model": {"id": "furrow-field-1", "sha256": "ab" * 32},
        "counts": {"candidates": 9510, "kept": 7195},
        "skipped": [{"id": "R-13", "reason": "outside the images"}],
        "suspicious": [{"id": "R-7", "class": "a", "nearest_class": "b", "margin": 0.08}],
        "rejected": {"too few valid dates": 84},
        "seconds": {"series": 1.25},
        "outputs": {"OUTPUT": "/data/out/samples.gpkg"},
    }
    return RunRecord(**{**content, **changes})


def test_record_reads_back(tmp_path):
    record = make_record()
    path = record.write_beside(tmp_path / "samples.gpkg")
    assert path.name == "samples.gpkg.run.json"
    found = read(path)
    assert found.to_json() == record.to_json()
    assert found.skipped == record.skipped
    assert found.command == repeat_command(record.algorithm, record.parameters)
    assert "Kultur ä" in path.read_text(encoding="utf-8")


def test_created_is_utc():
    created = datetime.fromisoformat(make_record().created)
    assert created.utcoffset() == timedelta(0)


def test_layer_name_is_no_part_of_the_path(tmp_path):
    path = make_record().write_beside(f"{tmp_path}/out.gpkg|layername=samples")
    assert path == tmp_path / "out.gpkg.run.json"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (np.float32("inf"), None),
        (-np.inf, None),
        (np.float64(0.5), 0.5),
        (np.int16(3), 3),
        (np.bool_(True), True),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        (np.array(2.0), 2.0),
        (np.datetime64("2023-06-11"), "2023-06-11"),
        (date(2023, 6, 11), "2023-06-11"),
        ({1: (1, 2)}, {"1": [1, 2]}),
        ({"b", "a"}, ["a", "b"]),
        (Path("a") / "b", str(Path("a") / "b")),
        (None, None),
    ],
)
def test_values_become_json(value, expected):
    found = json_safe(value)
    assert found == expected
    json.dumps(found, allow_nan=False)


def test_a_record_of_odd_values_is_valid_json(tmp_path):
    odd = make_record(counts={"kept": np.int64(3)}, seconds={"x": np.nan}, parameters={"A": 1e400})
    path = odd.write_beside(tmp_path / "x\udcff.gpkg" if os.name == "posix" else tmp_path / "x")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["counts"] == {"kept": 3}
    assert content["seconds"] == {"x": None}


def test_file_names_that_are_no_utf8_survive(tmp_path):
    record = make_record(outputs={"OUTPUT": "/data/\udcff.gpkg"})
    found = read(record.write_beside(tmp_path / "x.gpkg"))
    assert found.outputs == {"OUTPUT": "/data/\udcff.gpkg"}


def test_an_old_record_stays_when_writing_fails(tmp_path, monkeypatch):
    path = make_record().write_beside(tmp_path / "x.gpkg")
    before = path.read_bytes()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_record.Path, "replace", refuse)
    with pytest.raises(OutputError, match="No space left"):
        make_record(furrow_version="0.2.0").write_beside(tmp_path / "x.gpkg")
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="choose a folder"):
        make_record().write_beside(tmp_path / "no" / "x.gpkg")


@pytest.mark.skipif(os.name != "posix", reason="file modes are a POSIX matter")
def test_record_is_as_readable_as_other_files(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    path = make_record().write_beside(tmp_path / "x.gpkg")
    assert path.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("content", ["", "[1]", "null", "3", '"furrow"', '{"a": 1}', "\x00"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "x.run.json"
    path.write_text(content)
    with pytest.raises(ParameterError, match="run record|run.json"):
        read(path)


def test_keys_of_newer_versions_are_passed_over(tmp_path):
    path = make_record().write_beside(tmp_path / "x.gpkg")
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "weather": "fine"}), encoding="utf-8")
    assert read(path).counts == make_record().counts


def test_command_repeats_the_run():
    parameters = {
        "SERIES": Path("/data/my series"),
        "INDEX": "NDVI",
        "MAX_DISTANCE": np.float32(0.5),
        "WINDOW": np.int64(200),
        "RESUME": True,
        "REPORT": None,
        "INVALID_QA": [0, 1],
        "EMPTY": "",
        "AS_TABLE": {"a": 1},
    }
    assert repeat_command("furrow:generatesamples", parameters) == [
        "qgis_process",
        "run",
        "furrow:generatesamples",
        "--",
        f"SERIES={Path('/data/my series')}",
        "INDEX=NDVI",
        "MAX_DISTANCE=0.5",
        "WINDOW=200",
        "RESUME=true",
        "INVALID_QA=0",
        "INVALID_QA=1",
        "EMPTY=",
        'AS_TABLE={"a": 1}',
    ]
