"""The dialog of packages, with a package index of small wheels and nobody in front of it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, List

import pytest
from qgis.core import QgsApplication, QgsSettings
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtTest import QSignalSpy, QTest
from qgis.PyQt.QtWidgets import QAbstractButton, QApplication

from furrow.core.errors import DependencyError
from furrow.core.places import Places
from furrow.models.dependencies import environment, own_packages
from furrow.models.dependencies.index import DEFAULT_INDEX
from furrow.models.dependencies.own_packages import Condition, folder_of
from furrow.models.segmenters.registry import Registry
from furrow.tests.file_server import FileServer, Manner
from furrow.tests.models.dependencies.small_index import SmallIndex
from furrow.tests.ui.waiting import wait_until
from furrow.tests.ui.widgets import darken, focus_chain, press
from furrow.ui.packages import dependencies_panel
from furrow.ui.packages.dependencies_panel import DependenciesDialog
from furrow.ui.packages.dependency_choices import Choices, read_choices, write_choices
from furrow.ui.packages.dependency_parts import Supply, usual_supply

LARGEST = (700, 600)
RUNTIME, WORKER = 0, 1

Opener = Callable[..., DependenciesDialog]
pytestmark = pytest.mark.usefixtures("settings")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """This computer is asked directly, whatever proxy it has."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python without onnxruntime, whatever that of the tests has."""
    for name in list(sys.modules):
        if name.partition(".")[0] == "onnxruntime":
            monkeypatch.delitem(sys.modules, name)
    kept = [each for each in sys.path if not (Path(each) / "onnxruntime").exists()]
    monkeypatch.setattr(sys, "path", kept)
    importlib.invalidate_caches()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places.under(tmp_path / "Jürgen Müller, 農場" / "furrow")


@pytest.fixture
def index(server: FileServer) -> SmallIndex:
    index = SmallIndex(server)
    index.put_runtime()
    index.put_package("alpha")
    write_choices(Choices(index.address))
    return index


@pytest.fixture
def open_dialog(places: Places, tmp_path: Path, show_dialog: Callable[..., Any]) -> Opener:
    """Opens the dialog for what an index offers."""

    def make(index: SmallIndex, **changes: Any) -> DependenciesDialog:
        supply = Supply(index.pinned(), lock=index.write_lock(tmp_path), imports=("alpha",))
        dialog = DependenciesDialog(places, supply=replace(supply, **changes))
        return show_dialog(dialog, dialog.reject)

    return make


def settle(dialog: DependenciesDialog, seconds: float = 60) -> str:
    """Wait until nothing is done in the background; what is said then."""
    wait_until(lambda: dialog.jobs.job is None, seconds)
    return dialog.status_label.text()


def state_of(dialog: DependenciesDialog, place: int) -> str:
    return dialog.parts_view.topLevelItem(place).text(1)


def listed(dialog: DependenciesDialog) -> List[List[str]]:
    view = dialog.packages_view
    rows = (view.topLevelItem(row) for row in range(view.topLevelItemCount()))
    return [[row.text(column) for column in range(view.columnCount())] for row in rows]


def output(dialog: DependenciesDialog) -> str:
    return dialog.output_view.toPlainText()


def stall(index: SmallIndex) -> str:
    """Let the wheel of the runtime begin to come, and stop; its path."""
    wheel = index.runtime[0]
    index.put(wheel.name, index.wheels[wheel.name], Manner(stall_after=300))
    return f"files/{wheel.name}"


def begin(dialog: DependenciesDialog, index: SmallIndex) -> None:
    """Install until nothing more comes."""
    path = stall(index)
    press(dialog.install_button)
    wait_until(lambda: bool(index.server.asked(path)), 20)


# --- before anything happens ---


def test_all_is_shown_first(open_dialog: Opener, index: SmallIndex, places: Places) -> None:
    dialog = open_dialog(index)
    wheel = index.runtime[0]
    assert state_of(dialog, RUNTIME) == state_of(dialog, WORKER) == "not installed"
    assert dialog.folder_label.text() == str(folder_of(places.packages))
    assert "to download" in dialog.size_label.text() and "are free" in dialog.size_label.text()
    assert index.address in dialog.source_label.text()
    assert [row[:2] for row in listed(dialog)] == [["onnxruntime", wheel.version]]
    assert "ONNX" in dialog.gives_label.text()
    assert dialog.install_button.isEnabled()
    assert not dialog.repair_button.isEnabled() and not dialog.remove_button.isEnabled()
    dialog.choose(WORKER)
    assert dialog.folder_label.text() == str(places.environment)
    assert listed(dialog) == [["alpha", "1.0", "1 kB"]]
    assert index.server.requests == [] and not places.packages.parent.exists()


def test_the_real_list(open_dialog: Opener, places: Places) -> None:
    dialog = DependenciesDialog(places)
    rows = listed(dialog)
    assert [row[0] for row in rows] == ["onnxruntime"] and rows[0][2].endswith("MB")
    assert dialog.choices == replace(Choices(), without_cuda=dialog.choices.without_cuda)
    dialog.choose(WORKER)
    names = [row[0] for row in listed(dialog)]
    assert {"torch", "transformers", "segment-anything", "numpy"} <= set(names)
    assert names[0] in ("torch", "nvidia-cublas"), "the largest first"
    if sys.platform == "linux":
        dialog.show()
        dialog.pages.setCurrentWidget(dialog.source_page)
        assert dialog.build_combo.isVisible()
        sizes = []
        for place in range(2):
            dialog.build_combo.setCurrentIndex(place)
            sizes.append((dialog.size_label.text(), len(listed(dialog))))
        assert "GB to download" in sizes[0][0] and "MB to download" in sizes[1][0]
        assert sizes[0][1] > sizes[1][1] + 10
    dialog.choose(RUNTIME)
    assert not dialog.build_combo.isVisible() and not dialog.python_box.isVisible()
    dialog.reject()


# --- onnxruntime ---


def test_installed_used_repaired_removed(
    open_dialog: Opener, index: SmallIndex, places: Places
) -> None:
    """And QGIS' own packages are what they were."""
    import numpy
    import osgeo.gdal
    import scipy

    names = ("numpy", "scipy", "osgeo.gdal")
    before = [numpy, scipy, osgeo.gdal]
    dialog = open_dialog(index)
    told = QSignalSpy(dialog.changed)
    assert not Registry(places).model("furrow-field").ready
    press(dialog.install_button)
    assert not dialog.install_button.isEnabled() and dialog.job_row.isVisible()
    assert dialog.pages.currentWidget() is dialog.output_page
    assert settle(dialog) == "onnxruntime 9.9.9 is installed; it was tried and loads."
    for line in ("Downloading onnxruntime-9.9.9", "Unpacking", "Trying", "onnxruntime 9.9.9"):
        assert line in output(dialog)
    assert state_of(dialog, RUNTIME) == "onnxruntime 9.9.9 is installed"
    assert len(told) == 1
    assert Registry(places).model("furrow-field").ready, "at once"
    assert sys.path[-1] == str(folder_of(places.packages))
    assert [importlib.import_module(name) for name in names] == before
    assert not dialog.install_button.isEnabled() and not dialog.job_row.isVisible()

    (folder_of(places.packages) / "onnxruntime" / "__init__.py").unlink()
    dialog.refresh()
    assert state_of(dialog, RUNTIME) == "not complete"
    press(dialog.repair_button)
    assert "it was tried and loads" in settle(dialog)

    press(dialog.remove_button)
    assert str(folder_of(places.packages)) in dialog.question.text()
    press(dialog.question.yes_button)
    assert settle(dialog) == "onnxruntime was removed."
    assert state_of(dialog, RUNTIME) == "not installed"
    assert not places.packages.exists() and sys.path == [
        each for each in sys.path if "packages" not in Path(each).parent.name
    ]
    assert not Registry(places).model("furrow-field").ready
    assert [importlib.import_module(name) for name in names] == before


def test_another_version_is_brought(open_dialog: Opener, index: SmallIndex) -> None:
    dialog = open_dialog(index)
    press(dialog.install_button)
    settle(dialog)
    dialog.reject()
    index.put_runtime("9.9.10")
    dialog = open_dialog(index)
    assert "onnxruntime 9.9.9 is installed, and there is another version" in state_of(dialog, 0)
    assert dialog.install_button.text() == "&Update"
    press(dialog.install_button)
    assert "onnxruntime 9.9.10 is installed" in settle(dialog)
    assert state_of(dialog, RUNTIME) == "onnxruntime 9.9.10 is installed"


def test_one_of_another_s_installing(
    open_dialog: Opener, index: SmallIndex, tmp_path: Path
) -> None:
    theirs = tmp_path / "site"
    (theirs / "onnxruntime").mkdir(parents=True)
    (theirs / "onnxruntime" / "__init__.py").write_text("")
    sys.path.insert(0, str(theirs))  # of this test only: see no_runtime
    importlib.invalidate_caches()
    dialog = open_dialog(index)
    assert "not of Furrow's installing" in state_of(dialog, RUNTIME)
    assert dialog.folder_label.text() == str(theirs)
    for button in (dialog.install_button, dialog.repair_button, dialog.remove_button):
        assert not button.isEnabled()


def test_what_fails_is_told(open_dialog: Opener, index: SmallIndex) -> None:
    wheel = index.runtime[0]
    index.put(wheel.name, index.wheels[wheel.name][:-1] + b"x")
    dialog = open_dialog(index)
    press(dialog.install_button)
    sentence = settle(dialog)
    assert wheel.name in sentence and sentence in output(dialog)
    assert dialog.status_icon.isVisible()
    assert dialog.view.state.condition == Condition.ABSENT
    assert dialog.install_button.isEnabled(), "another attempt"


def test_a_wheel_that_does_not_load(open_dialog: Opener, index: SmallIndex) -> None:
    index.put_runtime(code="raise ImportError('DLL load failed while importing x')")
    dialog = open_dialog(index)
    press(dialog.install_button)
    assert "does not load in QGIS' Python" in settle(dialog)
    assert "DLL load failed" in output(dialog)
    assert state_of(dialog, RUNTIME).startswith("not installed")


# --- cancelling, closing ---


def test_cancelled_within_a_second(open_dialog: Opener, index: SmallIndex, places: Places) -> None:
    dialog = open_dialog(index)
    begin(dialog, index)
    wait_until(lambda: dialog.job_bar.maximum() > 0 and dialog.job_bar.value() > 0, 20)
    start = time.monotonic()
    press(dialog.cancel_button)
    assert dialog.status_label.text() == "Cancelling…"
    assert settle(dialog) == "Cancelled: installing onnxruntime."
    assert time.monotonic() - start < 1.0
    assert "of an attempt are kept" in state_of(dialog, RUNTIME)
    press(dialog.remove_button)
    press(dialog.question.yes_button)
    settle(dialog)
    assert state_of(dialog, RUNTIME) == "not installed"


def test_closing_asks(open_dialog: Opener, index: SmallIndex) -> None:
    dialog = open_dialog(index)
    begin(dialog, index)
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    assert "Furrow is installing onnxruntime" in dialog.question.text()
    dialog.question.reject()
    assert dialog.isVisible() and dialog.jobs.job is not None
    dialog.close()
    press(dialog.question.yes_button)
    wait_until(lambda: not dialog.isVisible(), 5)
    assert dialog.jobs.job is None


def test_closing_when_the_work_has_ended_meanwhile(open_dialog: Opener, index: SmallIndex) -> None:
    dialog, wheel = open_dialog(index), index.runtime[0]
    index.put(wheel.name, index.wheels[wheel.name], Manner(delay=0.3))
    press(dialog.install_button)
    dialog.leave()
    question = dialog.question
    settle(dialog)
    press(question.yes_button)
    assert not dialog.isVisible()


def test_the_plugin_goes(open_dialog: Opener, index: SmallIndex) -> None:
    """Nothing is asked then, and nothing goes on."""
    dialog = open_dialog(index)
    begin(dialog, index)
    start = time.monotonic()
    dialog.reject()
    assert not dialog.isVisible() and dialog.question is None
    assert time.monotonic() - start < 2.0


def test_closing_is_free_otherwise(open_dialog: Opener, index: SmallIndex) -> None:
    dialog = open_dialog(index)
    press(dialog.close_button)
    assert not dialog.isVisible()


# --- where packages come from ---


def test_wheel_folder(
    open_dialog: Opener, index: SmallIndex, places: Places, tmp_path: Path
) -> None:
    folder = index.save_wheels(tmp_path / "räder, 輪")
    dialog = open_dialog(index)
    dialog.pages.setCurrentWidget(dialog.source_page)
    dialog.wheels_button.click()
    press(dialog.install_button)
    assert "No folder of wheels is chosen" in dialog.status_label.text()
    dialog.folder_box.setFilePath(str(folder / "not there"))
    press(dialog.install_button)
    assert "There is no folder of wheels" in dialog.status_label.text()
    assert dialog.pages.currentWidget() is dialog.source_page
    dialog.folder_box.setFilePath(str(folder))
    wait_until(lambda: str(folder) in dialog.source_label.text(), 5)
    assert "not there" not in dialog.source_label.text()
    press(dialog.install_button)
    assert "it was tried and loads" in settle(dialog)
    assert index.server.requests == []
    assert read_choices() == Choices(index.address, folder)


def test_choices_are_kept_without_passwords(tmp_path: Path) -> None:
    assert read_choices() == Choices(DEFAULT_INDEX)
    write_choices(Choices("https://me:hidden@mirror/simple", tmp_path, tmp_path / "python3"))
    assert read_choices() == Choices("https://mirror/simple", tmp_path, tmp_path / "python3")
    write_choices(Choices())
    assert read_choices() == Choices()
    assert not [key for key in QgsSettings().allKeys() if key.startswith("furrow/packages")]


@pytest.mark.parametrize("address", ["mirror", "https://", "C:/wheels"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(DependencyError, match="begins with https://"):
        Choices(address).check()


def test_an_index_that_is_typed(open_dialog: Opener, index: SmallIndex) -> None:
    dialog = open_dialog(index)
    dialog.pages.setCurrentWidget(dialog.source_page)
    dialog.index_edit.selectAll()
    QTest.keyClicks(dialog.index_edit, "https://me:word@mirror.example/simple")
    wait_until(lambda: "mirror.example" in dialog.source_label.text(), 5)
    assert "word" not in dialog.source_label.text()
    dialog.index_edit.clear()
    assert dialog.choices.index == DEFAULT_INDEX


def test_another_python(open_dialog: Opener, index: SmallIndex, tmp_path: Path) -> None:
    dialog = open_dialog(index)
    dialog.choose(WORKER)
    dialog.python_box.setFilePath(str(tmp_path / "python3"))
    wait_until(lambda: "does not exist" in dialog.trouble_label.text(), 10)
    assert not dialog.install_button.isEnabled() and listed(dialog) == []
    dialog.python_box.setFilePath(sys.executable)
    wait_until(lambda: listed(dialog) != [], 10)
    assert dialog.install_button.isEnabled() and not dialog.trouble_label.isVisible()
    dialog.choose(RUNTIME)
    assert dialog.install_button.isEnabled(), "its Python is always that of QGIS"


def test_a_python_that_is_too_old(open_dialog: Opener, index: SmallIndex) -> None:
    pinned = index.pinned()
    needs = replace(pinned.worker, first_python=(3, 99))
    dialog = open_dialog(index, pinned=replace(pinned, worker=needs))
    dialog.choose(WORKER)
    assert "name it in the dialog" in dialog.trouble_label.text()
    assert dialog.trouble_label.isVisible() and not dialog.install_button.isEnabled()


def test_a_damaged_list(monkeypatch: pytest.MonkeyPatch, places: Places) -> None:
    def damaged() -> Supply:
        raise DependencyError("The list of packages cannot be read; install Furrow again.")

    monkeypatch.setattr(dependencies_panel, "usual_supply", damaged)
    dialog = DependenciesDialog(places)
    assert "install Furrow again" in dialog.status_label.text()
    assert not dialog.install_button.isEnabled() and not dialog.diagnosis_button.isEnabled()
    dialog.reject()


# --- the environment of the worker ---


def test_environment_made_and_removed(
    open_dialog: Opener, index: SmallIndex, places: Places
) -> None:
    index.put_pip()
    dialog = open_dialog(index)
    dialog.choose(WORKER)
    press(dialog.install_button)
    sentence = settle(dialog)
    assert sentence.endswith("it was tried and loads."), output(dialog)
    for line in ("Making a virtual environment", "Collecting alpha==1.0\n",
                 "Successfully installed alpha-1.0", "ok alpha"):  # fmt: skip
        assert line in output(dialog)
    assert environment.ready(places.environment)
    assert "PyTorch is installed" in state_of(dialog, WORKER)
    assert not dialog.build_combo.isEnabled() and not dialog.install_button.isEnabled()
    assert environment.runs_without_cuda(places.environment) == dialog.choices.without_cuda
    press(dialog.remove_button)
    press(dialog.question.yes_button)
    assert "were removed" in settle(dialog)
    assert not places.environment.exists()
    assert not environment.downloads_of(places.environment).exists()


# --- texts for others ---


def test_diagnosis(open_dialog: Opener, index: SmallIndex, monkeypatch: pytest.MonkeyPatch,
                   tmp_path: Path) -> None:  # fmt: skip
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    dialog = open_dialog(index)
    press(dialog.install_button)
    settle(dialog)
    press(dialog.diagnosis_button)
    assert "on the clipboard" in settle(dialog)
    text = QgsApplication.clipboard().text()
    for part in ("Furrow: ", "QGIS: ", "State: installed 9.9.9", "Trying the package", "~/"):
        assert part in text
    assert str(tmp_path) not in text


def test_list_for_another_computer(open_dialog: Opener, index: SmallIndex) -> None:
    dialog = open_dialog(index)
    press(dialog.list_button)
    text = QgsApplication.clipboard().text()
    assert text.startswith("# python -m pip download ")
    assert f"onnxruntime==9.9.9 \\\n    --hash=sha256:{index.runtime[0].sha256}" in text


# --- the rest ---


def test_everything_is_reached_by_keys(open_dialog: Opener, index: SmallIndex) -> None:
    dialog = open_dialog(index)
    buttons = [each for each in dialog.findChildren(QAbstractButton) if
               each.objectName().endswith("_button")]  # fmt: skip
    labels = (dialog.index_label, dialog.python_label, dialog.build_label)
    texts = [each.text() for each in (*buttons, *labels)]
    texts += [dialog.pages.tabText(place) for place in range(dialog.pages.count())]
    letters = [text[text.index("&") + 1].lower() for text in texts]
    assert len(set(letters)) == len(letters) == 15
    assert "u" not in letters, "Install becomes Update"
    assert dialog.index_label.buddy() is dialog.index_edit
    assert dialog.python_label.buddy() is dialog.python_box.lineEdit()
    assert {dialog.packages_view, dialog.output_view, dialog.python_box.lineEdit(),
            *buttons} <= focus_chain(dialog.parts_view)  # fmt: skip


def test_it_is_small(open_dialog: Opener, index: SmallIndex) -> None:
    dialog = open_dialog(index)
    press(dialog.install_button)
    settle(dialog)
    for place in (RUNTIME, WORKER):
        dialog.choose(place)
        QApplication.processEvents()
        assert dialog.width() <= LARGEST[0] and dialog.height() <= LARGEST[1]
        least = dialog.minimumSizeHint()
        assert least.width() <= LARGEST[0] and least.height() <= LARGEST[1]
    bar = dialog.parts_view.verticalScrollBar()
    assert not bar.isVisible(), "both parts are seen"


def test_colours_are_the_theme_s(open_dialog: Opener, index: SmallIndex) -> None:
    dialog = open_dialog(index)
    assert not dialog.styleSheet()
    darken(dialog)
    for view in (dialog.packages_view, dialog.output_view):
        dialog.pages.setCurrentWidget(view.parentWidget())
        assert view.viewport().grab().toImage().pixelColor(5, 100).lightness() < 128


def test_the_usual_supply_is_pinned() -> None:
    supply = usual_supply()
    assert all(wheel.sha256 for wheel in supply.pinned.onnxruntime)
    assert supply.lock.is_file()
    assert own_packages.MODULE in supply.imports
