"""The lines at the foot of the model manager: what is going on, and how it ended."""

from __future__ import annotations

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QObject, QSize
from qgis.PyQt.QtWidgets import QLabel, QProgressBar, QStyle, QWidget

from ...qgis_io.texts import tr
from .model_jobs import ModelJobs

_STEPS = 1000
"""Of the progress bar."""


class ModelStatus(QObject):
    """Follows the jobs; other things are said through it too."""

    def __init__(
        self, jobs: ModelJobs, label: QLabel, icon: QLabel, row: QWidget, bar: QProgressBar
    ) -> None:
        """:param row: holds the bar and whatever else is seen only while something is done."""
        super().__init__(jobs)
        self._jobs, self._label, self._icon, self._row, self._bar = jobs, label, icon, row, bar
        bar.setRange(0, _STEPS)
        row.hide()
        icon.hide()
        jobs.changed.connect(self._on_changed)
        jobs.moved.connect(self._on_moved)
        jobs.stopped.connect(lambda title: self.say(tr("Cancelled: {}.").format(title)))

    def good(self, text: str) -> None:
        """Something is done."""
        self.say(text, "/mIconSuccess.svg")

    def warn(self, text: str) -> None:
        """Something did not go as wished, and what to do."""
        self.say(text, "/mIconWarning.svg")

    def say(self, text: str, icon: str = "") -> None:
        """Show a sentence.

        :param icon: one of QGIS' theme.
        """
        self._label.setText(text)
        self._icon.setVisible(bool(icon))
        if icon:
            side = self._icon.style().pixelMetric(QStyle.PixelMetric.PM_SmallIconSize)
            self._icon.setPixmap(QgsApplication.getThemeIcon(icon).pixmap(QSize(side, side)))

    def _on_changed(self) -> None:
        job = self._jobs.job
        self._row.setVisible(job is not None)
        if job is not None:
            self._on_moved(0.0, "")

    def _on_moved(self, share: float, text: str) -> None:
        self._bar.setMaximum(_STEPS if share > 0 else 0)  # 0: busy, nobody knows how long
        self._bar.setValue(round(share * _STEPS))
        title = self._jobs.job.title
        title = title[:1].upper() + title[1:]
        self.say(f"{title}: {text}" if text else f"{title}…")
