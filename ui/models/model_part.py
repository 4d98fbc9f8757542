"""The dock's group Model: which model is used, its licence and size, and how it is."""

from __future__ import annotations

from typing import Dict, Optional, Sequence

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QObject, QSize, Qt, pyqtSignal
from qgis.PyQt.QtWidgets import QStyle, QWidget

from ..model_choice import ModelChoice


class ModelPart(QObject):
    """Looks after the widgets of the group; the form has made them."""

    chosen = pyqtSignal(str)
    """Id of the model that is shown now, whoever has changed it."""
    manager_wanted = pyqtSignal()
    """The user wants to see all models."""

    def __init__(self, form: QWidget) -> None:
        """:param form: holds the widgets that Qt Designer knows by their names."""
        super().__init__(form)
        self._form = form
        self._combo = form.model_combo
        self._choices: Dict[str, ModelChoice] = {}
        side = form.style().pixelMetric(QStyle.PixelMetric.PM_SmallIconSize)
        warning = QgsApplication.getThemeIcon("/mIconWarning.svg")
        form.state_icon.setPixmap(warning.pixmap(QSize(side, side)))
        self._combo.currentIndexChanged.connect(self._on_choice)
        form.models_button.clicked.connect(self.manager_wanted)

    def set_choices(self, choices: Sequence[ModelChoice]) -> None:
        """Offer other models; where the chosen one is gone, the first one is chosen."""
        before = self.current()
        self._choices = {choice.id: choice for choice in choices}
        self._combo.blockSignals(True)
        self._combo.clear()
        for place, choice in enumerate(choices):
            self._combo.addItem(choice.label, choice.id)
            self._combo.setItemData(place, choice.title, Qt.ItemDataRole.ToolTipRole)
        self._combo.setCurrentIndex(max(0, self._combo.findData(before)))
        self._combo.blockSignals(False)
        self.follow()
        if before and self.current() != before:
            self.chosen.emit(self.current())

    def current(self) -> str:
        """Id of the chosen model; empty where there is none."""
        return self._combo.currentData() or ""

    def choose(self, model_id: str) -> None:
        """Show a model; an unknown id changes nothing."""
        place = self._combo.findData(model_id)
        if place < 0:
            return
        self._combo.setCurrentIndex(place)
        self.follow()

    def set_state(self, text: str, kind: str, progress: Optional[float] = None) -> None:
        """Say how the model is.

        :param kind: "ready", "working" or "missing".
        :param progress: 0 to 1 while working; None where nobody knows.
        """
        form, working = self._form, kind == "working"
        form.state_label.setText(text)
        form.state_icon.setVisible(kind == "missing")
        form.state_row.setVisible(bool(text))
        form.progress_row.setVisible(working)
        known = working and progress is not None
        form.progress_bar.setMaximum(100 if known or not working else 0)
        form.progress_bar.setValue(round(100 * min(max(progress, 0.0), 1.0)) if known else 0)

    def follow(self) -> None:
        """Say of the chosen model what is known of it."""
        choice = self._choices.get(self.current())
        if choice is None:
            return
        self._combo.setToolTip(choice.title)
        self._form.licence_label.setText(choice.facts)
        self.set_state(choice.advice, "ready" if choice.ready else "missing")

    def _on_choice(self) -> None:
        self.follow()
        self.chosen.emit(self.current())
