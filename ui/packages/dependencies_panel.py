"""The dialog of packages: what runs the models, and installing, repairing and removing it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Callable, Optional, Tuple, Union

from qgis.core import Qgis, QgsApplication
from qgis.gui import QgsGui
from qgis.PyQt import uic
from qgis.PyQt.QtCore import Qt, pyqtSignal, qVersion
from qgis.PyQt.QtGui import QCloseEvent, QIcon, QKeyEvent, QKeySequence, QShowEvent
from qgis.PyQt.QtWidgets import QDialog, QTreeWidgetItem, QWidget

from ...algorithms.base import furrow_version
from ...core.downloads import in_words
from ...core.errors import DependencyError
from ...core.monitor import Monitor
from ...core.places import Places
from ...models.dependencies.diagnosis import diagnosis
from ...models.dependencies.own_packages import Condition
from ...models.dependencies.plan import Item
from ...qgis_io.texts import tr
from ..background_task import sentence_of
from ..models.model_jobs import Job, ModelJobs
from ..models.model_status import ModelStatus
from .dependency_choices import Choices, read_choices, write_choices
from .dependency_output import Output
from .dependency_parts import Part, Supply, parts_of, usual_supply
from .dependency_programs import Programs
from .dependency_questions import LeaveQuestion, RemoveQuestion
from .dependency_source import SourceFields
from .dependency_views import PartView, folder_text, size_text, source_text, state_text, view_of

FORM = Path(__file__).with_name("dependencies_panel.ui")
_ICONS = {
    Condition.READY: "/mIconSuccess.svg",
    Condition.ELSEWHERE: "/mIconSuccess.svg",
    Condition.OUTDATED: "/mIconWarning.svg",
    Condition.BROKEN: "/mIconWarning.svg",
}


class DependenciesDialog(QDialog):
    """One thing at a time is done in the background, and ends when the dialog is closed."""

    changed = pyqtSignal()
    """Something was installed or removed, or was not brought to its end."""

    def __init__(
        self, places: Places, parent: Optional[QWidget] = None, supply: Optional[Supply] = None
    ) -> None:
        """Show what is here.

        :param places: where packages are and go.
        :param supply: what installing works with; None: Furrow's own list, through QGIS' network.
        """
        super().__init__(parent)
        self._places, self._supply = places, supply
        self._programs = Programs()
        self._view: Optional[PartView] = None
        self._changing = self._cancelling = self._leaving = False
        self.jobs = ModelJobs(self)
        self.question: Union[RemoveQuestion, LeaveQuestion, None] = None
        """What the user is being asked."""
        uic.loadUi(str(FORM), self)
        QgsGui.enableAutoGeometryRestore(self)
        self._status = ModelStatus(
            self.jobs, self.status_label, self.status_icon, self.job_row, self.job_bar
        )
        self._source = SourceFields(self, read_choices())
        self._output = Output(self.output_view)
        self._parts = self._make_parts()
        self._prepare()
        self._connect()
        self.refresh()

    @property
    def choices(self) -> Choices:
        """Where packages come from, and which."""
        return self._source.choices()

    @property
    def view(self) -> Optional[PartView]:
        """The part that is shown; None where the list of packages is damaged."""
        return self._view

    def choose(self, place: int) -> None:
        """Show a part, counted from 0."""
        self.parts_view.setCurrentItem(self.parts_view.topLevelItem(place))

    def refresh(self) -> None:
        """Look again what is here."""
        for place, part in enumerate(self._parts):
            view = self._view_of(part)
            item, icon = self.parts_view.topLevelItem(place), _ICONS.get(view.state.condition)
            item.setText(1, state_text(view))
            item.setIcon(1, QgsApplication.getThemeIcon(icon) if icon else QIcon())
        self._fit_parts()
        self._show_current()

    def done(self, result: int) -> None:
        """The dialog goes, and with it what is being done; what was downloaded is kept."""
        if self.question is not None:
            self.question.reject()
        # First: work that has not begun yet is over at once, and then there is nothing to wait for.
        self.jobs.cancel()
        self.jobs.close()
        super().done(result)

    def leave(self) -> None:
        """Close; where something is being done, ask first."""
        if not self._changing:
            self.reject()
        elif self.question is None:
            self._ask(LeaveQuestion(self.jobs.job.title, self), self._leave_soon)

    def closeEvent(self, event: QCloseEvent) -> None:
        """As the button."""
        event.ignore()
        self.leave()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape does not end work unasked."""
        if event.matches(QKeySequence.StandardKey.Cancel):
            self.leave()
        else:
            super().keyPressEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        """Things may have changed since."""
        super().showEvent(event)
        if not event.spontaneous():
            self.refresh()

    # --- making ---

    def _make_parts(self) -> Tuple[Part, ...]:
        try:
            self._supply = self._supply or usual_supply()
        except DependencyError as error:
            self._status.warn(sentence_of(error))
            return ()
        return parts_of(self._places, self._supply)

    def _prepare(self) -> None:
        self.parts_view.setHeaderLabels([tr("Part"), tr("State")])
        self.packages_view.setHeaderLabels([tr("Package"), tr("Version"), tr("Download")])
        self.packages_view.header().setStretchLastSection(False)
        for part in self._parts:
            self.parts_view.addTopLevelItem(QTreeWidgetItem([part.title, ""]))
        self.parts_view.resizeColumnToContents(0)
        self.choose(0)
        self.pages.setCurrentWidget(self.packages_page)

    def _connect(self) -> None:
        self.parts_view.currentItemChanged.connect(lambda *_: self._show_current())
        self._source.changed.connect(self.refresh)
        calls = {
            self.install_button: self.install, self.repair_button: self.repair,
            self.remove_button: self.ask_remove, self.list_button: self.copy_list,
            self.diagnosis_button: self.copy_diagnosis, self.cancel_button: self.cancel,
            self.close_button: self.leave,
        }  # fmt: skip
        for button, call in calls.items():
            button.clicked.connect(lambda *_, call=call: call())
        self.jobs.changed.connect(self._on_job)
        self.jobs.moved.connect(lambda *_: self._on_moved())
        self.jobs.stopped.connect(lambda *_: self._on_ended())

    # --- what the buttons do ---

    def install(self) -> None:
        """Bring what is listed; where an older one is there, it is brought up to date."""
        if self._view is None:
            return
        part = self._view.part
        there = self._view.state.condition == Condition.OUTDATED
        self._change(part, tr("installing {}"), part.repair if there else part.install)

    def repair(self) -> None:
        """Complete what is there."""
        if self._view is not None:
            self._change(self._view.part, tr("repairing {}"), self._view.part.repair)

    def ask_remove(self) -> None:
        """Ask whether what is there is to be deleted."""
        if self._view is not None:
            part = self._view.part
            self._ask(RemoveQuestion(self._view, self), lambda: self._remove(part))

    def cancel(self) -> None:
        """Stop what is being done."""
        self._cancelling = True
        self.jobs.cancel()
        self._on_moved()
        self._allow()

    def copy_list(self) -> None:
        """Put the packages on the clipboard, for a computer that has the internet."""
        if self._view is not None and self._view.plan is not None:
            QgsApplication.clipboard().setText(self._view.plan.text)
            self._status.good(
                tr("The list is on the clipboard; its first line says what to do with it.")
            )

    def copy_diagnosis(self) -> None:
        """Put what is known on the clipboard, for a report."""
        places, supply, choices, lines = self._places, self._supply, self.choices, self._output.last
        program = {"Furrow": furrow_version(), "QGIS": Qgis.version(), "Qt": qVersion()}

        def work(monitor: Monitor) -> str:
            sources = choices.sources(supply.proxy)
            return diagnosis(places, supply.pinned, sources, program, lines)

        self.jobs.start(
            Job(tr("looking what is here"), work, self._on_diagnosis, self._status.warn)
        )

    # --- what follows ---

    def _change(self, part: Part, title: str, work: Callable[[Choices, Monitor], str]) -> None:
        choices = self.choices
        try:
            choices.check()
        except DependencyError as error:
            self._status.warn(sentence_of(error))
            self.pages.setCurrentWidget(self.source_page)
            return
        write_choices(choices)
        self._start(part, title, partial(work, choices))

    def _remove(self, part: Part) -> None:
        self._start(part, tr("removing {}"), part.remove)

    def _start(self, part: Part, title: str, work: Callable[[Monitor], str]) -> None:
        if self.jobs.job is not None:
            return
        self._output.begin()
        self.pages.setCurrentWidget(self.output_page)
        self._changing, self._cancelling = True, False
        ear = self._output.ear
        self.jobs.start(
            Job(
                title.format(part.noun),
                lambda monitor: work(ear(monitor)),
                partial(self._on_done, part),
                self._on_failed,
            )
        )

    def _on_done(self, part: Part, sentence: object) -> None:
        self._on_ended()
        self._output.write(str(sentence))
        self._status.good(str(sentence))

    def _on_failed(self, sentence: str) -> None:
        self._on_ended()
        self._output.write(sentence)
        self._status.warn(sentence)

    def _on_ended(self) -> None:
        """However it ended, something may be here that was not, or no longer."""
        self._changing = False
        self._output.show()
        for part in self._parts:
            part.use()
        self.refresh()
        self.changed.emit()

    def _on_diagnosis(self, text: object) -> None:
        QgsApplication.clipboard().setText(str(text))
        self._status.good(tr("The diagnosis is on the clipboard; read it before you send it."))

    def _on_moved(self) -> None:
        self._output.show()
        if self._cancelling and self.jobs.job is not None:
            self._status.say(tr("Cancelling…"))

    def _on_job(self) -> None:
        self._allow()
        if self.jobs.job is None and self._leaving:
            self.reject()

    # --- asking ---

    def _ask(
        self, question: Union[RemoveQuestion, LeaveQuestion], wanted: Callable[[], None]
    ) -> None:
        self.question = question
        question.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        question.wanted.connect(wanted)
        question.finished.connect(self._on_answered)
        question.open()

    def _on_answered(self) -> None:
        self.question = None

    def _leave_soon(self) -> None:
        """As soon as the work has ended."""
        self._leaving = True
        if self.jobs.job is None:  # while the question was read
            self.reject()
        else:
            self.cancel()

    # --- showing ---

    def _view_of(self, part: Part) -> PartView:
        choices = self.choices
        return view_of(part, choices, *self._programs.answer(part.program(choices)))

    def _show_current(self) -> None:
        place = self.parts_view.indexOfTopLevelItem(self.parts_view.currentItem())
        if place < 0:
            self._allow()
            return
        self._view = view = self._view_of(self._parts[place])
        self.gives_label.setText(view.part.gives)
        self.folder_label.setText(folder_text(view))
        self.size_label.setText(size_text(view))
        self.source_label.setText(source_text(self.choices))
        self._show_packages(view)
        self._source.show_part(view)
        self._allow()
        self._look_at(view.part.program(self.choices))

    def _fit_parts(self) -> None:
        """As high as its rows, which are higher with icons."""
        tree = self.parts_view
        rows = sum(tree.sizeHintForRow(row) for row in range(len(self._parts)))
        tree.setFixedHeight(rows + tree.header().sizeHint().height() + 2 * tree.frameWidth())

    def _show_packages(self, view: PartView) -> None:
        items = view.plan.items if view.plan is not None else ()
        place = self.pages.indexOf(self.packages_page)
        self.pages.setTabText(place, tr("Pac&kages ({})").format(len(items)))
        self.trouble_label.setText(view.trouble)
        self.trouble_label.setVisible(bool(view.trouble))
        self.packages_view.clear()
        self.packages_view.addTopLevelItems([_row(item) for item in items])
        for column in range(self.packages_view.columnCount()):
            self.packages_view.resizeColumnToContents(column)

    def _look_at(self, program: Optional[Path]) -> None:
        """Find out which Python a program is, unless that is known."""
        if self._programs.known(program) or self.jobs.job is not None:
            return
        title = tr("looking at {}").format(program)
        work = partial(self._programs.ask, program)
        self.jobs.start(Job(title, work, lambda _: self.refresh(), self._status.warn))

    def _allow(self) -> None:
        """Switch on the buttons that make sense now."""
        view, idle = self._view, self.jobs.job is None
        some = idle and view is not None
        self.install_button.setEnabled(some and view.installable)
        self.repair_button.setEnabled(some and view.repairable)
        self.remove_button.setEnabled(some and view.removable)
        self.list_button.setEnabled(some and view.plan is not None)
        self.diagnosis_button.setEnabled(some)
        self.cancel_button.setEnabled(not self._cancelling)
        self._source.allow(not self._changing)
        outdated = view is not None and view.state.condition == Condition.OUTDATED
        self.install_button.setText(tr("&Update") if outdated else tr("&Install"))


def _row(item: Item) -> QTreeWidgetItem:
    size = in_words(item.bytes) if item.bytes else tr("small")
    row = QTreeWidgetItem([item.package, item.version, size])
    row.setTextAlignment(2, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return row
