"""What is done while something is installed, line by line as it happens."""

from __future__ import annotations

import queue
from dataclasses import replace
from typing import List

from qgis.PyQt.QtGui import QFontDatabase
from qgis.PyQt.QtWidgets import QPlainTextEdit

from ...core.monitor import Monitor

_TOLD_LINES = 40
"""How many of the last lines are part of a diagnosis."""


class Output:
    """Looks after the view; lives on the main thread."""

    def __init__(self, view: QPlainTextEdit) -> None:
        self._view = view
        self._lines: queue.SimpleQueue = queue.SimpleQueue()
        view.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))

    @property
    def last(self) -> List[str]:
        """The last lines."""
        return self._view.toPlainText().splitlines()[-_TOLD_LINES:]

    def begin(self) -> None:
        """Forget all lines; those that still come of earlier work are heard by nobody."""
        self._lines = queue.SimpleQueue()
        self._view.clear()

    def ear(self, monitor: Monitor) -> Monitor:
        """A monitor whose lines are kept until they are shown; for the thread that works."""
        return replace(monitor, message=self._lines.put)

    def show(self) -> None:
        """Show the lines that have come. A view at its end stays there."""
        lines: List[str] = []
        while not self._lines.empty():
            lines.append(self._lines.get())
        if lines:
            self.write("\n".join(lines))

    def write(self, text: str) -> None:
        """Add a line."""
        self._view.appendPlainText(text)
