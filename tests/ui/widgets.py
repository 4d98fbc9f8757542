"""What users do with widgets."""

from __future__ import annotations

from typing import Set

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor, QPalette
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QAbstractButton, QApplication, QWidget


def press(button: QAbstractButton) -> None:
    """Click a button, which must be enabled."""
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def focus_chain(first: QWidget) -> Set[QWidget]:
    """All widgets that the Tab key comes to."""
    seen, widget = set(), first
    while widget not in seen:
        seen.add(widget)
        widget = widget.nextInFocusChain()
    return seen


def darken(widget: QWidget) -> None:
    """Give a widget the colours of a dark theme."""
    widget.setPalette(QPalette(QColor("#202020")))
    QApplication.processEvents()
