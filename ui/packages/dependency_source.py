"""The page of the dialog of packages that asks where they come from, and which they are."""

from __future__ import annotations

import shutil
from pathlib import Path

from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import QObject, QTimer, pyqtSignal
from qgis.PyQt.QtWidgets import QWidget

from ...core.downloads import in_words
from ...models.dependencies.index import DEFAULT_INDEX
from ...qgis_io.texts import tr
from .dependency_choices import Choices
from .dependency_views import PartView

_TYPING = 400
"""Milliseconds after the last key."""
_DRIVER = Path("/proc/driver/nvidia/version")


class SourceFields(QObject):
    """Looks after the widgets of the page; the form has made them."""

    changed = pyqtSignal()
    """Something else is chosen, and no key has been pressed for a moment."""

    def __init__(self, form: QWidget, choices: Choices) -> None:
        """:param form: holds the widgets that Qt Designer knows by their names."""
        super().__init__(form)
        self._form = form
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(_TYPING)
        self._typing.timeout.connect(self.changed)
        self._prepare()
        self._show(choices)
        self._connect()

    def choices(self) -> Choices:
        """What is chosen now."""
        form = self._form
        folder, python = form.folder_box.filePath().strip(), form.python_box.filePath().strip()
        return Choices(
            form.index_edit.text().strip() or DEFAULT_INDEX,
            Path(folder) if form.wheels_button.isChecked() else None,
            Path(python) if python else None,
            bool(form.build_combo.currentData()),
        )

    def show_part(self, view: PartView) -> None:
        """Show of the choices those that a part has."""
        form, combo = self._form, self._form.build_combo
        for widget in (form.build_label, combo):
            widget.setVisible(bool(view.builds))
        for widget in (form.python_label, form.python_box):
            widget.setVisible(view.part.any_python)
        combo.blockSignals(True)
        for place, size in enumerate(view.builds):
            combo.setItemText(place, _build_text(place, size))
        here = view.part.without_cuda()
        if here is not None:
            combo.setCurrentIndex(int(here))
        combo.blockSignals(False)
        combo.setEnabled(here is None)

    def allow(self, idle: bool) -> None:
        """While something is done nothing can be chosen."""
        form, online = self._form, self._form.web_button.isChecked()
        form.source_page.setEnabled(idle)
        form.index_edit.setEnabled(online)
        form.folder_box.setEnabled(not online)

    def _prepare(self) -> None:
        form = self._form
        form.folder_box.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        form.folder_box.setDialogTitle(tr("Folder of wheels"))
        form.python_box.setDialogTitle(tr("Program file of a Python"))
        form.python_box.lineEdit().setPlaceholderText(tr("QGIS' own Python"))
        form.index_edit.setPlaceholderText(DEFAULT_INDEX)
        # Lines of QgsFileWidget are what its label leads to.
        form.python_label.setBuddy(form.python_box.lineEdit())
        for box, name in ((form.folder_box, tr("Folder of wheels")), (form.python_box, "Python")):
            box.lineEdit().setAccessibleName(name)
        form.build_combo.addItem("", False)
        form.build_combo.addItem("", True)

    def _show(self, choices: Choices) -> None:
        form = self._form
        form.index_edit.setText(choices.index)
        form.index_edit.setCursorPosition(0)
        form.folder_box.setFilePath(str(choices.folder or ""))
        form.python_box.setFilePath(str(choices.python or ""))
        form.wheels_button.setChecked(choices.folder is not None)
        form.web_button.setChecked(choices.folder is None)
        form.build_combo.setCurrentIndex(int(not has_graphics_card()))
        self.allow(True)

    def _connect(self) -> None:
        form = self._form
        form.web_button.toggled.connect(lambda *_: self._now())
        form.build_combo.currentIndexChanged.connect(lambda *_: self._now())
        for signal in (form.index_edit.textChanged, form.folder_box.fileChanged,
                       form.python_box.fileChanged):  # fmt: skip
            signal.connect(lambda *_: self._typing.start())

    def _now(self) -> None:
        self.allow(True)
        self._typing.stop()
        self.changed.emit()


def has_graphics_card() -> bool:
    """Whether a driver of NVIDIA is at work; a glance, nothing is started."""
    return _DRIVER.exists() or shutil.which("nvidia-smi") is not None


def _build_text(place: int, size: int) -> str:
    text = tr("for the processor only ({})") if place else tr("with CUDA for NVIDIA cards ({})")
    return text.format(in_words(size))
