"""The model manager, with real models, a real server and nobody in front of it."""

from __future__ import annotations

import gc
import mmap
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, List

import numpy as np
import pytest
from qgis.core import QgsApplication
from qgis.PyQt import sip
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtTest import QSignalSpy, QTest
from qgis.PyQt.QtWidgets import QAbstractButton, QApplication, QWidget

from furrow.core.downloads import part_of
from furrow.core.places import Places
from furrow.models.segmenters.catalogue import Entry
from furrow.models.segmenters.furrow_field.field_model import WEIGHTS
from furrow.models.segmenters.registry import Registry
from furrow.tests.file_server import FileServer, Manner
from furrow.tests.models.segmenters.made_up_models import CONTENT, entry_of, file_for, write_pair
from furrow.tests.ui.models.manager_models import DECODER, LIMITED, pair_on, registry_with
from furrow.tests.ui.waiting import wait_until
from furrow.tests.ui.widgets import darken, focus_chain, press
from furrow.ui.models.model_details import details_page
from furrow.ui.models.model_manager import ModelManager
from furrow.ui.models.model_trial import MemoryWatch, try_model
from furrow.ui.models.model_views import ModelView, State
from furrow.ui.preferences import Preferences, read_preferences, write_preferences

SLOW = Manner(pace=30_000)
SMALL_SCREEN = (1366, 768)

Opener = Callable[..., ModelManager]
pytestmark = pytest.mark.usefixtures("settings")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places.under(tmp_path / "furrow")


@pytest.fixture
def open_manager(places: Places, show_dialog: Callable[..., Any]) -> Opener:
    """Opens the manager with more models than those of the catalogue."""

    def make(*entries: Entry) -> ModelManager:
        manager = ModelManager(places, registry=registry_with(*entries))
        return show_dialog(manager, manager.shut_down)

    return make


def settle(manager: ModelManager) -> str:
    """Wait until nothing is done in the background; what is said then."""
    wait_until(lambda: manager.jobs.job is None, 30)
    return manager.status_label.text()


def view_of(manager: ModelManager, model_id: str) -> ModelView:
    return next(view for view in manager.views if view.id == model_id)


def shown(manager: ModelManager) -> List[str]:
    """Ids of the models in the list."""
    model = manager.list_view.model()
    rows = (model.mapToSource(model.index(row, 0)).row() for row in range(model.rowCount()))
    return [manager.views[row].id for row in rows]


def download(manager: ModelManager) -> None:
    manager.choose("pair")
    press(manager.download_button)
    press(manager.question.download_button)


# --- the list ---


def test_all_models_are_listed(open_manager: Opener, places: Places) -> None:
    manager = open_manager()
    assert shown(manager) == [model.id for model in Registry(places).models()]
    assert manager.current.id == "furrow-field"
    assert view_of(manager, "furrow-field").default
    assert view_of(manager, "classical").state == State.READY
    text = "\n".join(
        str(manager.list_view.model().index(row, column).data())
        for row in range(len(manager.views)) for column in range(5)
    )  # fmt: skip
    for part in ("ready, default", "not downloaded", "non-commercial (", "on application (",
                 "375.0 MB", "segment-anything-2.1"):  # fmt: skip
        assert part in text


def test_details_of_the_chosen_one(open_manager: Opener, places: Places) -> None:
    manager = open_manager()
    manager.choose("edge-sam")
    page, entry = manager.details_view.toPlainText(), manager.current.entry
    for part in (entry.title, entry.recommended, "not for commercial use", entry.licence.url,
                 "9.6 million", "clicks on the field", entry.files[0].name, "22.1 MB",
                 entry.files[0].sha256[:32], str(places.models / "edge-sam")):  # fmt: skip
        assert part in page


def test_filter(open_manager: Opener) -> None:
    manager = open_manager()
    QTest.keyClicks(manager.filter_edit, "Segment 2.1 tiny")
    assert shown(manager) == ["segment-anything-2.1-tiny"]
    assert manager.current.id == "segment-anything-2.1-tiny"
    manager.filter_edit.setText("no such model")
    assert shown(manager) == []
    assert manager.current is None
    assert manager.details_view.toPlainText() == ""
    buttons = (manager.download_button, manager.test_button, manager.copy_button)
    assert not any(button.isEnabled() for button in buttons)
    manager.filter_edit.clear()
    press_key(manager.ready_box)
    assert shown(manager) == ["furrow-field", "classical", "furrow-field-fast"]
    manager.filter_edit.setText("non-commercial")
    assert shown(manager) == []


def press_key(widget: QWidget) -> None:
    QTest.keyClick(widget, Qt.Key.Key_Space)


def test_columns_are_sorted_by_what_they_mean(open_manager: Opener) -> None:
    manager = open_manager()
    manager.list_view.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    sizes = [view_of(manager, each).bytes for each in shown(manager)]
    assert sizes == sorted(sizes, reverse=True)


def test_models_on_application_cannot_be_downloaded(open_manager: Opener) -> None:
    manager = open_manager()
    manager.choose("segment-anything-3")
    assert not manager.download_button.isEnabled()
    assert "from its publisher" in manager.details_view.toPlainText()


def test_a_broken_own_model_is_told(open_manager: Opener, places: Places) -> None:
    folder = places.models / "own-broken"
    folder.mkdir(parents=True)
    (folder / "entry.json").write_text("{")
    manager = open_manager()
    assert str(folder) in manager.status_label.text()
    assert len(manager.views) > 3


# --- downloads ---


def test_accept_and_download(server: FileServer, open_manager: Opener, places: Places) -> None:
    manager = open_manager(pair_on(server))
    changes = QSignalSpy(manager.changed)
    assert "No model" in manager.folder_label.text()
    download(manager)
    assert manager.question is None
    assert manager.job_row.isVisible()
    assert not manager.download_button.isEnabled()
    assert "complete" in settle(manager)
    assert not manager.job_row.isVisible()
    assert view_of(manager, "pair").state == State.READY
    assert not manager.download_button.isEnabled()
    assert "480 kB" in manager.folder_label.text()
    assert str(places.models) in manager.folder_label.text()
    assert len(changes) == 1


def test_refuse(server: FileServer, open_manager: Opener, places: Places) -> None:
    manager = open_manager(replace(pair_on(server), licence=LIMITED))
    manager.choose("pair")
    press(manager.download_button)
    question = manager.question
    QTest.mouseClick(question.download_button, Qt.MouseButton.LeftButton)
    assert question.isVisible()  # the licence is not accepted yet
    question.reject()
    assert manager.question is None
    assert manager.jobs.job is None
    assert not server.requests
    assert not places.models.exists()


def test_nothing_is_asked_of_the_network_before(server: FileServer, open_manager: Opener) -> None:
    manager = open_manager(pair_on(server))
    manager.choose("pair")
    press(manager.download_button)
    QApplication.processEvents()
    assert not server.requests


def test_a_failed_download_says_why(server: FileServer, open_manager: Opener) -> None:
    manager = open_manager(pair_on(server, Manner(404)))
    download(manager)
    assert settle(manager).startswith("Pair, decoder.onnx")
    assert manager.status_icon.isVisible()
    assert view_of(manager, "pair").state == State.BEGUN
    assert manager.download_button.isEnabled()


def test_cancel_and_resume(server: FileServer, open_manager: Opener) -> None:
    manager = open_manager(pair_on(server, SLOW, Manner()))
    download(manager)
    wait_until(lambda: manager.job_bar.value() > 700)
    assert "file 2 of 2" in manager.status_label.text()
    assert "of 480 kB" in manager.status_label.text()
    press(manager.cancel_button)
    assert settle(manager) == "Cancelled: downloading Pair."
    part = part_of(view_of(manager, "pair").files[1].path)
    assert 0 < part.stat().st_size < len(DECODER)
    download(manager)
    assert "complete" in settle(manager)
    assert view_of(manager, "pair").files[1].path.read_bytes() == DECODER
    assert server.asked("decoder.onnx")[1].headers["range"].startswith("bytes=")


def test_closing_during_a_download(server: FileServer, open_manager: Opener) -> None:
    manager = open_manager(pair_on(server, SLOW, Manner()))
    download(manager)
    wait_until(lambda: manager.job_bar.value() > 700)
    manager.close()
    settle(manager)
    assert part_of(view_of(manager, "pair").files[1].path).is_file()
    manager.show()
    assert view_of(manager, "pair").state == State.BEGUN
    download(manager)
    assert "complete" in settle(manager)


def test_escape_closes_the_question_too(server: FileServer, open_manager: Opener) -> None:
    manager = open_manager(pair_on(server))
    manager.choose("pair")
    press(manager.download_button)
    manager.reject()
    assert manager.question is None
    assert not manager.isVisible()


def test_unloading_during_a_download(server: FileServer, open_manager: Opener) -> None:
    manager = open_manager(pair_on(server, SLOW))
    download(manager)
    wait_until(lambda: manager.job_bar.value() > 700)
    before = QgsApplication.taskManager().countActiveTasks()
    manager.shut_down()
    sip.delete(manager)
    gc.collect()
    wait_until(lambda: QgsApplication.taskManager().countActiveTasks() < before)


def test_deleted_during_a_download(server: FileServer, open_manager: Opener) -> None:
    """As with a parent that goes without a word."""
    manager = open_manager(pair_on(server, SLOW))
    download(manager)
    wait_until(lambda: manager.job_bar.value() > 700)
    before = QgsApplication.taskManager().countActiveTasks()
    sip.delete(manager)
    gc.collect()
    wait_until(lambda: QgsApplication.taskManager().countActiveTasks() < before)


# --- files that are here ---


@pytest.fixture
def with_pair(server: FileServer, open_manager: Opener) -> ModelManager:
    manager = open_manager(pair_on(server))
    download(manager)
    settle(manager)
    return manager


def test_verify(with_pair: ModelManager) -> None:
    press(with_pair.verify_button)
    assert settle(with_pair) == "All files of Pair are what they should be."


def test_a_damaged_model_is_noticed_and_mended(with_pair: ModelManager) -> None:
    encoder = with_pair.current.files[0].path
    content = encoder.read_bytes()
    encoder.write_bytes(b"X" + content[1:])
    press(with_pair.verify_button)
    assert "encoder.onnx" in settle(with_pair)
    assert view_of(with_pair, "pair").state == State.DAMAGED
    assert not with_pair.test_button.isEnabled()
    assert not with_pair.default_button.isEnabled()
    download(with_pair)
    settle(with_pair)
    assert encoder.read_bytes() == content
    assert view_of(with_pair, "pair").state == State.READY


def test_delete(with_pair: ModelManager, places: Places) -> None:
    press(with_pair.default_button)
    press(with_pair.delete_button)
    press(with_pair.question.delete_button)
    assert not (places.models / "pair").exists()
    assert view_of(with_pair, "pair").state == State.MISSING
    assert read_preferences().model == ""
    assert view_of(with_pair, "furrow-field").default


def test_do_not_delete(with_pair: ModelManager) -> None:
    press(with_pair.delete_button)
    with_pair.question.reject()
    assert view_of(with_pair, "pair").state == State.READY


def test_what_ships_cannot_be_deleted(open_manager: Opener) -> None:
    manager = open_manager()
    for model_id in ("furrow-field", "classical"):
        manager.choose(model_id)
        assert not manager.delete_button.isEnabled()
        assert not manager.download_button.isEnabled()


def test_what_ships_is_verified(open_manager: Opener) -> None:
    manager = open_manager()
    press(manager.verify_button)
    assert "what they should be" in settle(manager)


def test_files_that_were_put_there_are_seen(server: FileServer, open_manager: Opener,
                                            with_pair: ModelManager, places: Places,
                                            tmp_path: Path) -> None:  # fmt: skip
    """The folder can be copied from one computer to another."""
    with_pair.close()
    shutil.copytree(places.models, tmp_path / "stick")
    shutil.rmtree(places.models)
    with_pair.show()
    assert view_of(with_pair, "pair").state == State.MISSING
    with_pair.close()
    shutil.copytree(tmp_path / "stick", places.models)
    with_pair.show()
    assert view_of(with_pair, "pair").state == State.READY


# --- the default ---


def test_set_default(open_manager: Opener) -> None:
    write_preferences(Preferences(window=128))
    manager = open_manager()
    changes = QSignalSpy(manager.changed)
    assert not manager.default_button.isEnabled()
    manager.choose("classical")
    press(manager.default_button)
    assert read_preferences() == Preferences(model="classical", window=128)
    assert [view.id for view in manager.views if view.default] == ["classical"]
    assert not manager.default_button.isEnabled()
    assert len(changes) == 1


def test_models_with_limits_are_never_the_default(
    server: FileServer, open_manager: Opener
) -> None:  # fmt: skip
    manager = open_manager(replace(pair_on(server), licence=LIMITED))
    manager.choose("pair")
    press(manager.download_button)
    manager.question.accept_box.setChecked(True)
    press(manager.question.download_button)
    settle(manager)
    assert view_of(manager, "pair").state == State.READY
    assert not manager.default_button.isEnabled()


# --- files of the user's ---


def ask_own(manager: ModelManager, *paths: Path) -> Any:
    press(manager.own_button)
    question = manager.question
    question.look_at(paths)
    wait_until(lambda: question.look_label.text() not in ("", "Looking at the file…"))
    return question


def test_an_own_pair_is_copied_and_removed(
    open_manager: Opener, places: Places, tmp_path: Path
) -> None:  # fmt: skip
    encoder, _ = write_pair(tmp_path)
    manager = open_manager()
    question = ask_own(manager, encoder)
    assert "sam.encoder.onnx is the encoder of Segment Anything" in question.look_label.text()
    assert "sam.decoder.onnx is the decoder" in question.look_label.text()
    question.title_edit.setText("My pair")
    press(question.add_button)
    assert settle(manager) == "The model was added."
    view = manager.current
    assert view.id == "own-my-pair"
    assert view.entry.own
    assert view.folder == places.models / "own-my-pair"
    assert all(each.size and each.file.sha256 for each in view.files)
    press(manager.delete_button)
    press(manager.question.delete_button)
    assert "own-my-pair" not in shown(manager)
    assert encoder.exists()


def test_an_own_file_is_used_where_it_lies(
    open_manager: Opener, places: Places, tmp_path: Path
) -> None:  # fmt: skip
    file = tmp_path / "mine.pth"
    file.write_bytes(CONTENT)
    manager = open_manager()
    question = ask_own(manager, file)
    assert "checkpoint of 8 kB" in question.look_label.text()
    assert question.title_edit.text() == "mine"
    press_key(question.refer_button)
    press(question.add_button)
    settle(manager)
    assert manager.current.files[0].path == file
    assert "used where it is" in manager.details_view.toPlainText()
    press(manager.verify_button)
    assert "no SHA-256" in settle(manager)
    press(manager.delete_button)
    assert "stay where they are" in manager.question.text()
    press(manager.question.delete_button)
    assert file.exists()


def test_files_of_the_catalogue_are_recognised(
    open_manager: Opener, tmp_path: Path
) -> None:  # fmt: skip
    parts = zip(("encoder", "decoder"), write_pair(tmp_path))
    files = (file_for(path.read_bytes(), role, path.name) for role, path in parts)
    manager = open_manager(replace(entry_of(*files, engine="onnx"), id="pair", title="Pair"))
    question = ask_own(manager, tmp_path)
    assert question.kind_combo.currentData() == "pair"
    assert not question.copy_button.isEnabled()
    press(question.add_button)
    settle(manager)
    assert manager.current.id == "pair"
    assert manager.current.state == State.READY


@pytest.mark.parametrize(("name", "part"), [("notes.txt", "no model"), ("gone.pth", "not exist")])
def test_what_no_engine_runs_is_refused(
    open_manager: Opener, tmp_path: Path, name: str, part: str
) -> None:
    (tmp_path / "notes.txt").write_text("x")
    question = ask_own(open_manager(), tmp_path / name)
    assert part in question.look_label.text()
    assert not question.add_button.isEnabled()


def test_another_path_is_looked_at_anew(open_manager: Opener, tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    file.write_bytes(CONTENT)
    question = ask_own(open_manager(), file)
    assert question.add_button.isEnabled()
    question.path_widget.setFilePath(str(tmp_path / "other.pth"))
    assert not question.add_button.isEnabled()
    wait_until(lambda: "not exist" in question.look_label.text())


# --- the test ---


def test_the_field_model_is_tried(open_manager: Opener) -> None:
    pytest.importorskip("onnxruntime")
    manager = open_manager()
    press(manager.test_button)
    assert settle(manager) == "The test of Field model of Furrow is done."
    assert manager.pages.currentWidget() is manager.trial_page
    text = manager.trial_panel.label.text()
    for part in ("% of their area", "200 x 200", "click", "Memory"):
        assert part in text
    grabbed = manager.trial_panel.picture.grab().toImage()
    middle = grabbed.pixelColor(grabbed.width() // 2, grabbed.height() // 2)
    assert middle != manager.palette().window().color()


def test_the_trial_measures(open_manager: Opener, places: Places) -> None:
    registry = Registry(places)
    trial = try_model("classical", registry.load)
    assert trial.agreement > 0.9
    assert trial.encode_seconds > trial.click_seconds > 0
    assert trial.picture.truth.shape == trial.mask.shape == (200, 200)
    again = try_model("classical", registry.load)
    assert np.array_equal(trial.picture.image, again.picture.image)
    assert np.array_equal(trial.mask, again.mask)


def test_memory_is_watched() -> None:
    with MemoryWatch() as memory:
        # New pages: an array may lie in memory that earlier tests have given back.
        block = np.frombuffer(mmap.mmap(-1, 100_000_000), np.uint8)
        block[:] = 1
        wait_until(lambda: memory.growth is None or memory.growth > 50_000_000, 5)
    assert block.all()
    with MemoryWatch() as nothing:
        pass
    assert nothing.growth is None or nothing.growth < 50_000_000


def test_a_model_that_does_not_open_says_why(with_pair: ModelManager) -> None:
    pytest.importorskip("onnxruntime")
    press(with_pair.test_button)
    assert "encoder.onnx" in settle(with_pair)
    assert with_pair.status_icon.isVisible()


def test_closing_during_a_test(open_manager: Opener) -> None:
    manager = open_manager()
    manager.choose("classical")
    press(manager.test_button)
    manager.close()
    settle(manager)
    assert manager.pages.currentWidget() is manager.details_page


# --- the rest ---


def test_details_are_copied_without_the_home(
    open_manager: Opener, monkeypatch: pytest.MonkeyPatch, places: Places
) -> None:
    monkeypatch.setattr(Path, "home", lambda: places.models.parent.parent)
    manager = open_manager()
    manager.choose("efficient-sam-ti")
    press(manager.copy_button)
    text = QgsApplication.clipboard().text()
    assert manager.current.entry.files[1].sha256 in text
    assert str(Path("~") / "furrow" / "models" / "efficient-sam-ti") in text
    assert str(places.models) not in text


def test_the_folder_is_shown(open_manager: Opener, places: Places) -> None:
    manager = open_manager()
    opened: List[Path] = []
    manager.open_folder = opened.append
    press(manager.folder_button)
    assert opened == [places.models]
    assert places.models.is_dir()


def test_packages(open_manager: Opener) -> None:
    pytest.importorskip("furrow.ui.packages.dependencies_panel")
    manager = open_manager()
    press(manager.packages_button)
    assert manager.question.isVisible()
    manager.question.reject()


def test_everything_is_reached_by_keys(open_manager: Opener) -> None:
    manager = open_manager()
    manager.choose("classical")
    buttons = manager.findChildren(QAbstractButton)
    named = [each for each in buttons if each.objectName().endswith(("_button", "_box"))]
    letters = [each.text()[each.text().index("&") + 1].lower() for each in named]
    assert len(set(letters)) == len(letters) == 12
    assert manager.filter_label.buddy() is manager.filter_edit
    assert {manager.list_view, manager.details_view, *named} <= focus_chain(manager.filter_edit)


def test_it_fits_a_small_screen(open_manager: Opener) -> None:
    manager = open_manager()
    least = manager.minimumSizeHint()
    assert least.width() <= SMALL_SCREEN[0] * 0.8
    assert least.height() <= SMALL_SCREEN[1] * 0.8
    assert manager.width() <= SMALL_SCREEN[0]


def test_colours_are_the_theme_s(open_manager: Opener) -> None:
    manager = open_manager()
    assert "color" not in details_page(manager.current)
    assert not manager.styleSheet()
    darken(manager)
    middle = manager.details_view.grab().toImage().pixelColor(5, 5)
    assert middle.lightness() < 128


def test_weights_that_ship_are_not_counted(open_manager: Opener) -> None:
    assert WEIGHTS.is_dir()
    assert "No model" in open_manager().folder_label.text()
