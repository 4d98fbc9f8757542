"""The map tool: mouse and keys on the canvas become calls of a handler, and nothing else.

Left click: on the field. Right click or Shift: not part of it. Drag: a box. Enter or double click
accepts, Esc clears, Backspace takes the last mark back, Tab shows the next mask, Ctrl and the wheel
(or + and -) grow and shrink the outline, N accepts and starts the next, 1-9 choose the class.
"""

from __future__ import annotations

from typing import Callable, Dict, Optional, Protocol

from qgis.core import QgsPointXY, QgsRectangle
from qgis.gui import QgsMapCanvas, QgsMapMouseEvent, QgsMapTool
from qgis.PyQt.QtCore import QEvent, QObject, QPoint, QRect, Qt
from qgis.PyQt.QtGui import QKeyEvent, QWheelEvent
from qgis.PyQt.QtWidgets import QApplication, QRubberBand

_OTHERS = (
    Qt.KeyboardModifier.ControlModifier
    | Qt.KeyboardModifier.AltModifier
    | Qt.KeyboardModifier.MetaModifier
)
"""Keys held with one of these are not ours: Ctrl+Z stays with QGIS."""


class FieldHandler(Protocol):
    """What a gesture means. Places are in the reference system of the canvas."""

    def hover(self, place: QgsPointXY) -> None:
        """The cursor moved, no button held."""

    def leave(self) -> None:
        """The cursor left the canvas, or the tool was put away."""

    def click(self, place: QgsPointXY, foreground: bool) -> None:
        """A click on the field, or off it."""

    def box(self, rectangle: QgsRectangle) -> None:
        """A box around the field."""

    def accept(self) -> None:
        """The field is right: keep it."""

    def start_next(self) -> None:
        """Keep the field where there is one, and start a new one."""

    def clear(self) -> None:
        """Drop all marks."""

    def undo(self) -> None:
        """Take the last mark back."""

    def turn(self, step: int) -> None:
        """Show the next mask, or the one before."""

    def grow(self, pixels: int) -> None:
        """Move the outline outwards or inwards."""

    def choose_class(self, number: int) -> None:
        """The class with the shortcut 1..9."""


class FieldTool(QgsMapTool):
    """Clicks fields on a canvas."""

    def __init__(self, canvas: QgsMapCanvas, handler: FieldHandler) -> None:
        super().__init__(canvas)
        self._handler = handler
        self._pressed: Optional[QPoint] = None
        self._band: Optional[QRubberBand] = None
        self._double = False
        self.setCursor(Qt.CursorShape.CrossCursor)
        self._keys = _keys(handler)

    def activate(self) -> None:
        """Called by the canvas."""
        super().activate()
        # Tab moves the focus before a map tool sees it, and QGIS has shortcuts of its own.
        self.canvas().installEventFilter(self)

    def deactivate(self) -> None:
        """Called by the canvas."""
        self.canvas().removeEventFilter(self)
        self._drop_band()
        self._handler.leave()
        super().deactivate()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keys that are ours reach `keyPressEvent` alone."""
        kind = event.type()
        if kind == QEvent.Type.ShortcutOverride and self._action(event) is not None:
            event.accept()
            return True
        if kind == QEvent.Type.KeyPress and self._action(event) is not None:
            self.keyPressEvent(event)
            return True
        if kind == QEvent.Type.Leave:
            self._handler.leave()
        return super().eventFilter(watched, event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Called by the canvas."""
        action = self._action(event)
        if action is None:
            event.ignore()
            return
        event.accept()
        action()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Called by the canvas before it zooms."""
        if not event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            event.ignore()
            return
        event.accept()
        turned = event.angleDelta().y()
        if turned:
            self._handler.grow(1 if turned > 0 else -1)

    def canvasPressEvent(self, event: QgsMapMouseEvent) -> None:
        """Called by the canvas."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed = event.pixelPoint()

    def canvasMoveEvent(self, event: QgsMapMouseEvent) -> None:
        """Called by the canvas."""
        if self._dragging(event):
            self._show_band(event.pixelPoint())
        elif event.buttons() == Qt.MouseButton.NoButton:
            self._handler.hover(event.mapPoint())

    def canvasReleaseEvent(self, event: QgsMapMouseEvent) -> None:
        """Called by the canvas."""
        pressed, dragged = self._pressed, self._dragging(event)
        self._pressed = None
        self._drop_band()
        if self._double:
            self._double = False  # the second release of a double click
        elif event.button() == Qt.MouseButton.RightButton:
            self._handler.click(event.mapPoint(), False)
        elif event.button() != Qt.MouseButton.LeftButton or pressed is None:
            return
        elif dragged:
            corner = self.toMapCoordinates(pressed)
            self._handler.box(QgsRectangle(corner, event.mapPoint()))
        else:
            shifted = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self._handler.click(event.mapPoint(), not shifted)

    def canvasDoubleClickEvent(self, event: QgsMapMouseEvent) -> None:
        """Called by the canvas; the first click of the two has been handled."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        self._double = True
        self._handler.accept()

    def _action(self, event: QKeyEvent) -> Optional[Callable[[], None]]:
        """What a key does; None where it is not ours."""
        return None if event.modifiers() & _OTHERS else self._keys.get(event.key())

    def _dragging(self, event: QgsMapMouseEvent) -> bool:
        if self._pressed is None:
            return False
        moved = (event.pixelPoint() - self._pressed).manhattanLength()
        return moved >= QApplication.startDragDistance()

    def _show_band(self, place: QPoint) -> None:
        if self._band is None:
            self._band = QRubberBand(QRubberBand.Shape.Rectangle, self.canvas())
            self._band.show()
        self._band.setGeometry(QRect(self._pressed, place).normalized())

    def _drop_band(self) -> None:
        if self._band is not None:
            self._band.deleteLater()
            self._band.hide()
            self._band = None


def _keys(handler: FieldHandler) -> Dict[int, Callable[[], None]]:
    """Keys and what they do."""
    key = Qt.Key
    actions = {
        key.Key_Return: handler.accept,
        key.Key_Enter: handler.accept,
        key.Key_N: handler.start_next,
        key.Key_Escape: handler.clear,
        key.Key_Backspace: handler.undo,
        key.Key_Tab: lambda: handler.turn(1),
        key.Key_Backtab: lambda: handler.turn(-1),
        key.Key_Plus: lambda: handler.grow(1),
        key.Key_Minus: lambda: handler.grow(-1),
    }
    digits = (key.Key_1, key.Key_2, key.Key_3, key.Key_4, key.Key_5, key.Key_6, key.Key_7,
              key.Key_8, key.Key_9)  # fmt: skip
    for number, digit in enumerate(digits, start=1):
        actions[digit] = _chooser(handler, number)
    return actions


def _chooser(handler: FieldHandler, number: int) -> Callable[[], None]:
    return lambda: handler.choose_class(number)
