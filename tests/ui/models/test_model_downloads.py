"""Downloading the files of a model from a real server, without the dialog."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, List

import pytest
from qgis.core import QgsApplication
from qgis.PyQt.QtWidgets import QLabel

from furrow.core.downloads import part_of
from furrow.core.errors import Cancelled, DownloadError
from furrow.core.monitor import Monitor
from furrow.models.segmenters.catalogue import Entry
from furrow.qgis_io.downloads import fetch
from furrow.tests.file_server import FileServer, Manner
from furrow.tests.ui.models.manager_models import (
    DECODER,
    ENCODER,
    GATED,
    LIMITED,
    pair_on,
    view_of,
)
from furrow.ui.models.model_downloads import bytes_to_come, download_model, missing_files
from furrow.ui.models.model_jobs import Job, ModelJobs, Pace, pace_text
from furrow.ui.models.model_questions import DeleteQuestion, DownloadQuestion
from furrow.ui.models.model_views import ModelView, State


def paths_of(view: ModelView) -> List[Path]:
    return [each.path for each in view.files]


def text_of(question: DownloadQuestion) -> str:
    return " ".join(label.text() for label in question.findChildren(QLabel))


# --- the files ---


def test_two_files_come_one_after_another(server: FileServer, tmp_path: Path) -> None:
    entry = pair_on(server)
    shares: List[float] = []
    view = view_of(entry, tmp_path)
    assert view.state == State.MISSING
    assert bytes_to_come(view) == len(ENCODER) + len(DECODER) == entry.bytes
    assert download_model(view, fetch, Monitor(progress=shares.append)) == "pair"
    assert [path.read_bytes() for path in paths_of(view)] == [ENCODER, DECODER]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert any(0.3 < share < 0.7 for share in shares)
    assert view_of(entry, tmp_path).whole
    assert not view_of(entry, tmp_path).downloadable


def test_one_fails_and_the_other_stays(server: FileServer, tmp_path: Path) -> None:
    entry = pair_on(server, Manner(404), Manner())
    with pytest.raises(DownloadError, match="Pair, decoder.onnx"):
        download_model(view_of(entry, tmp_path), fetch)
    view = view_of(entry, tmp_path)
    assert view.state == State.BEGUN
    assert [each.file.name for each in missing_files(view)] == ["decoder.onnx"]
    download_model(view, fetch)
    assert view_of(entry, tmp_path).whole
    assert len(server.asked("encoder.onnx")) == 1


def test_a_wrong_file_does_not_replace_the_old_one(server: FileServer, tmp_path: Path) -> None:
    entry = pair_on(server)
    view = view_of(entry, tmp_path)
    download_model(view, fetch)
    encoder = view.files[0].path
    old = b"E" + ENCODER[1:]
    encoder.write_bytes(old)
    server.put("encoder.onnx", b"X" + ENCODER[1:])
    with pytest.raises(DownloadError, match="SHA-256"):
        download_model(view_of(entry, tmp_path, ("pair",)), fetch)
    assert encoder.read_bytes() == old
    assert not part_of(encoder).exists()


def test_only_the_damaged_file_comes_again(server: FileServer, tmp_path: Path) -> None:
    entry = pair_on(server)
    view = view_of(entry, tmp_path)
    download_model(view, fetch)
    view.files[1].path.write_bytes(b"D" + DECODER[1:])
    assert view_of(entry, tmp_path).whole  # as far as sizes tell
    damaged = view_of(entry, tmp_path, ("pair",))
    assert damaged.state == State.DAMAGED
    assert damaged.downloadable
    download_model(damaged, fetch)
    assert view.files[1].path.read_bytes() == DECODER
    assert len(server.asked("encoder.onnx")) == 1


def test_a_shorter_file_is_damaged(server: FileServer, tmp_path: Path) -> None:
    entry = pair_on(server)
    download_model(view_of(entry, tmp_path), fetch)
    view_of(entry, tmp_path).files[0].path.write_bytes(b"short")
    assert view_of(entry, tmp_path).state == State.DAMAGED


def test_a_cancelled_download_goes_on(server: FileServer, tmp_path: Path) -> None:
    entry = pair_on(server, Manner(pace=200_000), Manner())
    view = view_of(entry, tmp_path)
    shares: List[float] = [0.0]
    monitor = Monitor(lambda: shares[-1] > 0.75, shares.append)
    with pytest.raises(Cancelled):
        download_model(view, fetch, monitor)
    begun = view_of(entry, tmp_path)
    assert begun.state == State.BEGUN
    assert part_of(view.files[1].path).is_file()
    assert 0 < bytes_to_come(begun) < len(DECODER)
    download_model(begun, fetch)
    assert view.files[1].path.read_bytes() == DECODER
    assert "range" in server.asked("decoder.onnx")[-1].headers


def test_no_room(server: FileServer, tmp_path: Path) -> None:
    entry = pair_on(server)
    huge = replace(entry, files=tuple(replace(file, bytes=10**17) for file in entry.files))
    with pytest.raises(DownloadError, match="Pair has no room .*; make .* GB free there"):
        download_model(view_of(huge, tmp_path), fetch)
    assert not server.requests
    assert not list(tmp_path.iterdir())


def test_what_has_no_address_is_not_offered(server: FileServer, tmp_path: Path) -> None:
    entry = pair_on(server)
    first, second = entry.files
    assert not view_of(replace(entry, files=(first, replace(second, url=""))), tmp_path).offered


# --- the question ---


def question_of(entry: Entry, folder: Path) -> DownloadQuestion:
    return DownloadQuestion(view_of(entry, folder))


def test_the_question_says_what_is_downloaded(server: FileServer, tmp_path: Path) -> None:
    question = question_of(pair_on(server), tmp_path)
    text = text_of(question)
    for part in ("Pair", "480 kB in 2 file(s)", f"127.0.0.1:{server.port}", "MIT", str(tmp_path)):
        assert part in text
    assert question.accept_box.isHidden()
    assert question.download_button.isEnabled()


@pytest.mark.parametrize("licence", [LIMITED, GATED])
def test_limits_are_to_be_accepted(server: FileServer, tmp_path: Path, licence: Any) -> None:
    question = question_of(replace(pair_on(server), licence=licence), tmp_path)
    assert licence.limits in text_of(question)
    assert 'href="https://a.b/licence"' in text_of(question)
    assert not question.accept_box.isHidden()
    assert not question.download_button.isEnabled()
    question.accept_box.setChecked(True)
    assert question.download_button.isEnabled()


def test_markup_in_an_entry_is_text(server: FileServer, tmp_path: Path) -> None:
    question = question_of(replace(pair_on(server), title="<img src=x>"), tmp_path)
    assert "&lt;img src=x&gt;" in text_of(question)


def test_the_question_tells_what_has_come_before(server: FileServer, tmp_path: Path) -> None:
    entry = pair_on(server)
    part = part_of(view_of(entry, tmp_path).files[0].path)
    part.parent.mkdir(parents=True)
    part.write_bytes(ENCODER[:100_000])
    assert "100 kB of it has come before" in text_of(question_of(entry, tmp_path))


def test_deleting_says_what_goes(server: FileServer, tmp_path: Path) -> None:
    entry = pair_on(server)
    download_model(view_of(entry, tmp_path), fetch)
    assert "Pair (480 kB)" in DeleteQuestion(view_of(entry, tmp_path)).text()


# --- speed ---


def test_pace_begins_where_a_download_goes_on() -> None:
    pace = Pace()
    pace.add(0.0, 0.0)
    pace.add(1.0, 500e6)
    assert pace.speed == 0.0
    pace.add(2.0, 502e6)
    assert pace.speed == pytest.approx(2e6)


def test_pace_forgets() -> None:
    pace = Pace()
    for second in range(10):
        pace.add(float(second), 1.0 + 1e6 * second)
    for second in range(10, 20):
        pace.add(float(second), 9e6)
    assert pace.speed == 0.0


def test_pace_in_words() -> None:
    assert pace_text(1e6, 4e6, 0.0) == "1.0 MB of 4.0 MB"
    assert pace_text(1e6, 161e6, 2e6) == "1.0 MB of 161.0 MB, 2.0 MB/s, 1 min 20 s left"
    assert pace_text(0, 36e9, 1e6).endswith("10 h 0 min left")


# --- the jobs ---


def test_closing_ends_a_job_that_waits_for_its_turn(qgis_app: Any) -> None:
    jobs = ModelJobs()
    jobs.start(Job("Waiting", lambda monitor: 1, lambda result: None, lambda sentence: None))
    jobs.close()
    assert "Furrow: Waiting" not in [
        task.description() for task in QgsApplication.taskManager().activeTasks()
    ]
