"""Waiting for what happens in the background."""

from __future__ import annotations

from typing import Callable

from qgis.PyQt.QtCore import QEventLoop, QTimer

SECONDS = 60


def wait_until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Run the event loop until something is so."""
    loop, timer = QEventLoop(), QTimer()
    timer.timeout.connect(lambda: condition() and loop.quit())
    timer.start(5)
    QTimer.singleShot(int(1000 * seconds), loop.quit)
    loop.exec()
    timer.stop()
    assert condition(), "waited in vain"
