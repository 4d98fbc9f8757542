"""What the model manager asks before it downloads or deletes something."""

from __future__ import annotations

import html
from typing import Optional, Tuple

from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QLabel,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

from ...core.downloads import in_words
from ...qgis_io.texts import tr
from .model_downloads import bytes_of, bytes_to_come, missing_files
from .model_views import ModelView, limits_text

_WIDTH = 440


class DownloadQuestion(QDialog):
    """What is about to be downloaded, from where, and under which licence; accepted or not."""

    def __init__(self, view: ModelView, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.view = view
        self.setWindowTitle(tr("Furrow: download a model"))
        self.setMinimumWidth(_WIDTH)
        self.accept_box = QCheckBox(tr("I &accept the licence and its limits"), self)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel, self)
        self.download_button = self.buttons.addButton(
            tr("&Download"), QDialogButtonBox.ButtonRole.AcceptRole
        )
        self._lay_out()
        # A licence that lets everybody do everything is accepted by pressing the button.
        self.accept_box.setVisible(not view.free)
        self.download_button.setEnabled(view.free)
        self.accept_box.toggled.connect(self.download_button.setEnabled)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)

    def _lay_out(self) -> None:
        layout, grid = QVBoxLayout(self), QGridLayout()
        grid.setColumnStretch(1, 1)
        heading = _label(f"<b>{html.escape(self.view.entry.title)}</b>")
        heading.setObjectName("heading")
        layout.addWidget(heading)
        for row, (name, text) in enumerate(_rows(self.view)):
            grid.addWidget(QLabel(name, self), row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(_label(text), row, 1)
        layout.addLayout(grid)
        layout.addStretch(1)
        if self.view.free:
            layout.addWidget(_label(tr("With Download you accept the licence.")))
        layout.addWidget(self.accept_box)
        layout.addWidget(self.buttons)


def _rows(view: ModelView) -> Tuple[Tuple[str, str], ...]:
    """Names and rich texts of what the user agrees to."""
    url = html.escape(view.entry.licence.url)
    link = f'<br><a href="{url}">{url}</a>' if url else ""
    plain = (
        (tr("Size"), _size(view)),
        (tr("From"), ", ".join(view.hosts)),
        (tr("Into"), str(view.folder)),
    )
    licence = (tr("Licence"), html.escape(limits_text(view)) + link)
    return (*((name, html.escape(text)) for name, text in plain), licence)


def _size(view: ModelView) -> str:
    files = missing_files(view)
    text = tr("{size} in {count} file(s)").format(size=in_words(bytes_of(files)),
                                                  count=len(files))  # fmt: skip
    begun = bytes_of(files) - bytes_to_come(view)
    return tr("{}, {} of it has come before").format(text, in_words(begun)) if begun else text


def _label(text: str) -> QLabel:
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setWordWrap(True)
    label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
    label.setOpenExternalLinks(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
    return label


class DeleteQuestion(QMessageBox):
    """Whether the files of a model are to be deleted."""

    wanted = pyqtSignal()
    """They are."""

    def __init__(self, view: ModelView, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.setIcon(QMessageBox.Icon.Question)
        self.setWindowTitle(tr("Furrow: delete a model"))
        self.setText(_delete_text(view))
        self.delete_button = self.addButton(tr("&Delete"), QMessageBox.ButtonRole.AcceptRole)
        self.setDefaultButton(self.addButton(QMessageBox.StandardButton.Cancel))
        self.delete_button.clicked.connect(lambda *_: self.wanted.emit())


def _delete_text(view: ModelView) -> str:
    title = view.entry.title
    if any(each.file.path for each in view.files):
        return tr("Remove {} from the list? Its files stay where they are.").format(title)
    return tr("Delete the files of {title} ({size}) from this computer?").format(
        title=title, size=in_words(view.on_disk)
    )
