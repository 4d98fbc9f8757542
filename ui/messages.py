"""What the user is told: the message bar for what needs an answer, the log for the rest."""

from __future__ import annotations

from typing import Callable, List, Optional, Sequence, Tuple

from qgis.core import Qgis, QgsApplication
from qgis.gui import QgsMessageBar, QgsMessageBarItem
from qgis.PyQt.QtWidgets import QPushButton

_TAG = "Furrow"
_SECONDS = 8

Button = Tuple[str, Callable[[], None]]


class Messages:
    """Speaks in a message bar; the same sentence twice in a row is shown once."""

    def __init__(self, bar: QgsMessageBar) -> None:
        self._bar = bar
        self._asked: List[QgsMessageBarItem] = []
        bar.widgetRemoved.connect(self._on_removed)

    def info(self, text: str) -> None:
        """Good to know."""
        self._show(text, Qgis.MessageLevel.Info, ())

    def success(self, text: str) -> None:
        """Something is done."""
        self._show(text, Qgis.MessageLevel.Success, ())

    def warn(self, text: str) -> None:
        """Something did not go as wished, and what to do."""
        self._log(text, Qgis.MessageLevel.Warning)
        self._show(text, Qgis.MessageLevel.Warning, ())

    def ask(self, text: str, buttons: Sequence[Button]) -> None:
        """A message that stays until the user has pressed a button or closed it."""
        self._show(text, Qgis.MessageLevel.Warning, buttons)

    def close(self) -> None:
        """Take back what waits for an answer: nobody could act on it any more."""
        self._bar.widgetRemoved.disconnect(self._on_removed)
        for item in self._asked:
            self._bar.popWidget(item)
        self._asked.clear()

    def _show(self, text: str, level: Qgis.MessageLevel, buttons: Sequence[Button]) -> None:
        current = self._bar.currentItem()
        if not buttons and current is not None and current.text() == text:
            return
        item = self._bar.createMessage(_TAG, text)
        for label, action in buttons:
            button = QPushButton(label, item)
            button.clicked.connect(_then_closed(action, self._bar, item))
            item.layout().addWidget(button)
        item.setLevel(level)
        item.setDuration(0 if buttons else _SECONDS)
        if buttons:
            self._asked.append(item)
        self._bar.pushItem(item)

    def _on_removed(self, item: QgsMessageBarItem) -> None:
        self._asked = [each for each in self._asked if each is not item]

    def _log(self, text: str, level: Qgis.MessageLevel) -> None:
        log: Optional[object] = QgsApplication.messageLog()
        if log is not None:
            log.logMessage(text, _TAG, level)


def _then_closed(
    action: Callable[[], None], bar: QgsMessageBar, item: QgsMessageBarItem
) -> Callable[[], None]:
    def run() -> None:
        bar.popWidget(item)
        action()

    return run
