"""The model manager: which models there are, getting, checking, trying and choosing them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Callable, Optional, Set, Tuple

from qgis.core import QgsApplication
from qgis.gui import QgsGui
from qgis.PyQt import uic
from qgis.PyQt.QtCore import QModelIndex, Qt, QUrl, pyqtSignal
from qgis.PyQt.QtGui import QDesktopServices, QShowEvent
from qgis.PyQt.QtWidgets import QDialog, QWidget

from ...core.downloads import in_words
from ...core.errors import FurrowError
from ...core.monitor import Monitor
from ...core.places import Places
from ...models.segmenters.registry import Registry
from ...qgis_io.downloads import fetch
from ...qgis_io.texts import tr
from ..background_task import sentence_of
from ..preferences import Preferences, read_preferences, write_preferences
from .model_details import details_page, details_text
from .model_downloads import Fetch, bytes_of, download_model, missing_files
from .model_jobs import Job, ModelJobs
from .model_questions import DeleteQuestion, DownloadQuestion
from .model_status import ModelStatus
from .model_table import FAMILY, LICENCE, SIZE, STATE, TITLE, ModelFilter, ModelTable
from .model_trial import Trial, try_model
from .model_trial_panel import TrialPanel
from .model_views import ModelView, State, views_of
from .own_model import OwnModel, OwnModelDialog

FORM = Path(__file__).with_name("model_manager.ui")
_SHARES = (5, 3)
"""How list and details divide the width."""
_TITLE_LETTERS = 29
"""How wide the column of titles is at first."""


class ModelManager(QDialog):
    """Non-modal; one thing at a time is done in the background, and ends when it is closed."""

    changed = pyqtSignal()
    """Another model is the default, or there are others, or one can run now or no longer."""

    def __init__(
        self,
        places: Places,
        write: Callable[[Preferences], None] = write_preferences,
        parent: Optional[QWidget] = None,
        registry: Callable[[Places], Registry] = Registry,
        fetch: Fetch = fetch,
    ) -> None:
        """Show the models of a registry.

        :param places: where files of models are and go.
        :param write: keeps the preferences once another model is the default.
        :param registry: makes the registry, again each time that something has changed.
        :param fetch: downloads a file, see qgis_io/downloads.py.
        """
        super().__init__(parent)
        self._places, self._write = places, write
        self._make_registry, self._fetch = registry, fetch
        self._registry = registry(places)
        self._damaged: Set[str] = set()
        self._page = ""
        self.jobs = ModelJobs(self)
        self.question: Optional[QDialog] = None
        """What the user is being asked."""
        self.open_folder: Callable[[Path], object] = _open_folder
        """Shows a folder; another one in tests."""
        uic.loadUi(str(FORM), self)
        QgsGui.enableAutoGeometryRestore(self)
        self._prepare()
        self._connect()
        self.refresh()
        self._set_widths()
        self._choose_row(0)
        for trouble in self._registry.troubles:
            self._status.warn(trouble)

    @property
    def views(self) -> Tuple[ModelView, ...]:
        """All models, as they are shown."""
        return self._table.views

    @property
    def current(self) -> Optional[ModelView]:
        """The chosen model; None where the list is empty."""
        index = self.list_view.currentIndex()
        return self.views[self._filter.mapToSource(index).row()] if index.isValid() else None

    def choose(self, model_id: str) -> None:
        """Make a model the chosen one; one that is not in the list changes nothing."""
        for row in range(self._filter.rowCount()):
            index = self._filter.index(row, TITLE)
            if self.views[self._filter.mapToSource(index).row()].id == model_id:
                self.list_view.setCurrentIndex(index)

    def refresh(self) -> None:
        """Look again which models there are and how they stand."""
        chosen = self.current.id if self.current is not None else ""
        self._registry = self._make_registry(self._places)
        default = read_preferences().model
        self._table.show(
            views_of(self._registry, self._registry.folder, default, self._damaged)
        )  # fmt: skip
        self.choose(chosen)
        if self.current is None:
            self._choose_row(0)
        self._show_current()
        self._show_folder()

    def shut_down(self) -> None:
        """Cancel and wait, so that no task outlives the plugin."""
        self.jobs.close()
        self.close()

    def done(self, result: int) -> None:
        """The dialog goes; what is being done ends, and a download can go on another time."""
        self.jobs.cancel()
        if self.question is not None:
            self.question.reject()
        super().done(result)

    def showEvent(self, event: QShowEvent) -> None:
        """Files may have been put into the folder meanwhile."""
        super().showEvent(event)
        if not event.spontaneous():
            self.refresh()

    # --- making ---

    def _prepare(self) -> None:
        self._table, self._filter = ModelTable(self), ModelFilter(self)
        self._filter.setSourceModel(self._table)
        self.list_view.setModel(self._filter)
        self.list_view.setSortingEnabled(True)
        self.list_view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.splitter.setSizes([share * self.width() // sum(_SHARES) for share in _SHARES])
        for place, share in enumerate(_SHARES):
            self.splitter.setStretchFactor(place, share)
        self.trial_panel = TrialPanel(self.trial_page)
        self.trial_layout.addWidget(self.trial_panel)
        self._status = ModelStatus(
            self.jobs, self.status_label, self.status_icon, self.job_row, self.job_bar
        )

    def _set_widths(self) -> None:
        """Columns as wide as their texts; titles, which may be long, have a limit."""
        for column in (STATE, SIZE, LICENCE, FAMILY):
            self.list_view.resizeColumnToContents(column)
        letter = self.list_view.fontMetrics().averageCharWidth()
        self.list_view.setColumnWidth(TITLE, _TITLE_LETTERS * letter)

    def _connect(self) -> None:
        self.filter_edit.textChanged.connect(self._on_filter)
        self.ready_box.toggled.connect(self._on_filter)
        self.list_view.selectionModel().currentRowChanged.connect(self._show_current)
        calls = {
            self.own_button: self.ask_own, self.packages_button: self.open_packages,
            self.download_button: self.ask_download, self.verify_button: self.verify,
            self.test_button: self.test, self.default_button: self.set_default,
            self.delete_button: self.ask_delete, self.copy_button: self.copy_details,
            self.cancel_button: self.jobs.cancel, self.close_button: self.close,
            self.folder_button: self._on_folder,
        }  # fmt: skip
        for button, call in calls.items():
            button.clicked.connect(lambda *_, call=call: call())
        self.jobs.changed.connect(self._allow)
        self.jobs.stopped.connect(lambda *_: self._tell())

    # --- what the buttons do ---

    def ask_download(self) -> None:
        """Ask whether the chosen model may be downloaded."""
        view = self.current
        if view is not None and view.downloadable:
            question = DownloadQuestion(view, self)
            question.accepted.connect(lambda: self._download(view))
            self._ask(question)

    def verify(self) -> None:
        """Read all files of the chosen model and compare them with the published ones."""
        view, folder = self.current, self._registry.folder
        if view is None:
            return

        def work(monitor: Monitor) -> str:
            folder.verify(view.entry, monitor)
            return view.id

        def failed(sentence: str) -> None:
            self._damaged.add(view.id)
            self._on_failed(sentence)

        title = _titled(tr("verifying {}"), view)
        self.jobs.start(Job(title, work, self._on_verified, failed, view.on_disk))

    def test(self) -> None:
        """Have the chosen model find a field."""
        view, load = self.current, self._registry.load
        if view is not None:
            title = _titled(tr("testing {}"), view)
            work = partial(try_model, view.id, load)
            self.jobs.start(Job(title, work, self._on_tried, self._on_failed))

    def set_default(self) -> None:
        """Use the chosen model in projects that have not chosen one."""
        view = self.current
        if view is not None:
            self._write(replace(read_preferences(), model=view.id))
            self._status.good(tr("{} is the default now.").format(view.entry.title))
            self._tell()

    def ask_delete(self) -> None:
        """Ask whether the chosen model is to be deleted."""
        view = self.current
        if view is None:
            return
        question = DeleteQuestion(view, self)
        question.wanted.connect(lambda: self._delete(view))
        self._ask(question)

    def ask_own(self) -> None:
        """Ask for a file that the user has."""
        question = OwnModelDialog(self.views, self)
        question.chosen.connect(self._add_own)
        self._ask(question)

    def open_packages(self) -> None:
        """Show what runs the models."""
        from ..packages.dependencies_panel import DependenciesDialog

        dialog = DependenciesDialog(self._places, self)
        dialog.finished.connect(lambda *_: self._tell())
        self._ask(dialog)

    def copy_details(self) -> None:
        """Put the details of the chosen model on the clipboard."""
        if self.current is not None:
            QgsApplication.clipboard().setText(details_text(self.current, Path.home()))
            self._status.good(tr("The details are on the clipboard."))

    # --- what follows ---

    def _download(self, view: ModelView) -> None:
        title = _titled(tr("downloading {}"), view)
        work = partial(download_model, view, self._fetch)
        size = bytes_of(missing_files(view))
        self.jobs.start(Job(title, work, self._on_downloaded, self._on_failed, size))

    def _delete(self, view: ModelView) -> None:
        try:
            self._registry.folder.remove(view.entry)
        except FurrowError as error:
            self._status.warn(sentence_of(error))
        else:
            self._damaged.discard(view.id)
            if read_preferences().model == view.id:
                self._write(replace(read_preferences(), model=""))
            self._status.good(tr("{} was deleted.").format(view.entry.title))
        self._tell()

    def _add_own(self, wanted: OwnModel) -> None:
        folder = self._registry.folder

        def work(monitor: Monitor) -> str:
            if wanted.known is None:
                return folder.add_own(wanted.paths, wanted.title, wanted.copy, monitor).id
            folder.take(wanted.known.entry, wanted.paths, monitor)
            return wanted.known.id

        title = wanted.known.entry.title if wanted.known is not None else wanted.title
        self.jobs.start(Job(tr("adding {}").format(title), work, self._on_added, self._on_failed))

    def _on_downloaded(self, model_id: object) -> None:
        self._damaged.discard(model_id)
        self._status.good(tr("The download is complete, and what came is what was published."))
        self._tell(str(model_id))

    def _on_verified(self, model_id: object) -> None:
        self._damaged.discard(model_id)
        view = next(view for view in self.views if view.id == model_id)
        known = all(each.file.sha256 for each in view.files)
        text = tr("All files of {} are what they should be.") if known else tr(
            "The files of {} are there; there is no SHA-256 to compare them with."
        )  # fmt: skip
        self._status.good(text.format(view.entry.title))
        self._tell()

    def _on_tried(self, trial: Trial) -> None:
        title = next(view.entry.title for view in self.views if view.id == trial.model_id)
        self.trial_panel.show_trial(trial, title)
        self.pages.setCurrentWidget(self.trial_page)
        self._status.good(tr("The test of {} is done.").format(title))

    def _on_added(self, model_id: object) -> None:
        self._status.good(tr("The model was added."))
        self._tell(str(model_id))

    def _on_failed(self, sentence: str) -> None:
        self._status.warn(sentence)
        self._tell()

    def _tell(self, chosen: str = "") -> None:
        """Models have changed: here, and for those who listen."""
        self.refresh()
        self.choose(chosen)
        self.changed.emit()

    def _ask(self, question: QDialog) -> None:
        self.question = question
        question.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        question.finished.connect(self._on_answered)
        question.open()

    def _on_answered(self) -> None:
        self.question = None

    def _on_folder(self) -> None:
        folder = self._places.models
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        self.open_folder(folder)

    def _on_filter(self) -> None:
        chosen = self.current.id if self.current is not None else ""
        self._filter.look_for(self.filter_edit.text(), self.ready_box.isChecked())
        self.choose(chosen)
        if self.current is None:
            self._choose_row(0)

    # --- showing ---

    def _choose_row(self, row: int) -> None:
        self.list_view.setCurrentIndex(self._filter.index(row, TITLE, QModelIndex()))

    def _show_current(self, *_: object) -> None:
        view = self.current
        page = details_page(view) if view is not None else ""
        if page != self._page:  # else what the user has scrolled to would go
            self._page = page
            self.details_view.setHtml(page)
        self._allow()

    def _allow(self) -> None:
        """Switch on the buttons that make sense now."""
        view, idle = self.current, self.jobs.job is None
        self.copy_button.setEnabled(view is not None)
        self.own_button.setEnabled(idle)
        self.packages_button.setEnabled(idle)
        some = idle and view is not None
        self.download_button.setEnabled(some and view.downloadable)
        self.verify_button.setEnabled(some and view.on_disk > 0)
        self.test_button.setEnabled(some and view.state == State.READY)
        self.default_button.setEnabled(some and view.electable)
        self.delete_button.setEnabled(some and view.deletable)

    def _show_folder(self) -> None:
        folder = self._places.models
        size = sum(path.stat().st_size for path in folder.glob("*/*") if path.is_file())
        text = tr("Models take {size} in {folder}") if size else tr("No model is in {folder} yet")
        self.folder_label.setText(text.format(size=in_words(size), folder=folder))


def _titled(text: str, view: ModelView) -> str:
    return text.format(view.entry.title)


def _open_folder(folder: Path) -> object:
    return QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
