"""What the dialog of packages asks before it removes something, or closes in the middle of work."""

from __future__ import annotations

from typing import Optional

from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import QMessageBox, QWidget

from ...qgis_io.texts import tr
from .dependency_views import PartView, folder_text


class _Question(QMessageBox):
    wanted = pyqtSignal()
    """The answer is yes."""

    def __init__(self, title: str, text: str, yes: str, parent: Optional[QWidget]) -> None:
        super().__init__(parent)
        self.setIcon(QMessageBox.Icon.Question)
        self.setWindowTitle(title)
        self.setText(text)
        self.yes_button = self.addButton(yes, QMessageBox.ButtonRole.AcceptRole)
        self.yes_button.clicked.connect(lambda *_: self.wanted.emit())


class RemoveQuestion(_Question):
    """Whether packages are to be deleted."""

    def __init__(self, view: PartView, parent: Optional[QWidget] = None) -> None:
        text = tr("Remove {noun} and all that was installed with it from {folder}? Models that "
                  "need it cannot run until it is installed again; their files stay.").format(
            noun=view.part.noun, folder=folder_text(view)
        )  # fmt: skip
        super().__init__(tr("Furrow: remove packages"), text, tr("&Remove"), parent)
        self.setDefaultButton(self.addButton(QMessageBox.StandardButton.Cancel))


class LeaveQuestion(_Question):
    """Whether work is to be cancelled, as the dialog is being closed."""

    def __init__(self, work: str, parent: Optional[QWidget] = None) -> None:
        """:param work: what Furrow is doing."""
        text = tr("Furrow is {}. Cancel that and close? What has been downloaded is kept for the "
                  "next time.").format(work)  # fmt: skip
        super().__init__(tr("Furrow: packages"), text, tr("&Cancel it and close"), parent)
        go_on = self.addButton(tr("&Go on"), QMessageBox.ButtonRole.RejectRole)
        self.setDefaultButton(go_on)
        self.setEscapeButton(go_on)
