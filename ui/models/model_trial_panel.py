"""How a trial of a model went: the picture with the field that it found, times and memory."""

from __future__ import annotations

from typing import Iterator, Optional, Tuple

import numpy as np
from qgis.PyQt.QtCore import QPointF, QSize, Qt
from qgis.PyQt.QtGui import QColor, QImage, QPainter, QPaintEvent, QPen
from qgis.PyQt.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget
from scipy import ndimage

from ...core.downloads import in_words
from ...qgis_io.texts import tr
from .model_trial import SIDE, Trial

_FILL, _OPAQUE = 90, 255
"""How much of the picture a field covers: inside, on its outline."""
_CROSS = 5
"""Half the width of the mark at the click, in pixels of the screen."""


class TrialPicture(QWidget):
    """The picture, as large as there is room for."""

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._trial: Optional[Trial] = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(SIDE // 2, SIDE // 2)
        self.setAccessibleName(tr("Picture with the field that was found"))

    def sizeHint(self) -> QSize:
        """As many pixels as the picture has."""
        return QSize(SIDE, SIDE)

    def show_trial(self, trial: Optional[Trial]) -> None:
        """Show another trial, or none."""
        self._trial = trial
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """The picture, the field in the colour of selected things, and the click."""
        if self._trial is None:
            return
        height, width = self._trial.mask.shape
        scale = min(self.width() / width, self.height() / height)
        painter = QPainter(self)
        painter.translate(
            (self.width() - scale * width) / 2, (self.height() - scale * height) / 2
        )  # fmt: skip
        painter.scale(scale, scale)
        painter.drawImage(0, 0, picture_of(self._trial.picture.image))
        painter.drawImage(0, 0, overlay_of(self._trial.mask, *self._colours()))
        self._mark(painter, QPointF(*self._trial.picture.click), _CROSS / scale)
        painter.end()

    def _colours(self) -> Tuple[QColor, QColor]:
        """Those of selected things, which differ in any theme."""
        palette = self.palette()
        return palette.highlight().color(), palette.highlightedText().color()

    def _mark(self, painter: QPainter, at: QPointF, reach: float) -> None:
        """A cross in two colours, one of which is seen on any ground."""
        for colour, width in zip(self._colours(), (3, 1)):
            pen = QPen(colour, width)
            pen.setCosmetic(True)
            painter.setPen(pen)
            painter.drawLine(at - QPointF(reach, 0), at + QPointF(reach, 0))
            painter.drawLine(at - QPointF(0, reach), at + QPointF(0, reach))


class TrialPanel(QWidget):
    """Picture and words."""

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.picture, self.label = TrialPicture(self), QLabel(self)
        self.label.setWordWrap(True)
        self.label.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        layout = QVBoxLayout(self)
        layout.addWidget(self.picture, 1)
        layout.addWidget(self.label)
        self.show_trial(None, "")

    def show_trial(self, trial: Optional[Trial], title: str) -> None:
        """Show how a model did; None: nothing has been tried."""
        self.picture.show_trial(trial)
        if trial is None:
            self.label.setText(
                tr("Test has the chosen model find a field on a made-up picture of farmland, and "
                   "shows here what it found and how long it took.")
            )  # fmt: skip
            return
        self.label.setText(trial_text(trial, title))


def trial_text(trial: Trial, title: str) -> str:
    """Agreement, times and memory."""
    lines = [
        tr("{title}: the field found and the true one share {share:.0f} % of their area.").format(
            title=title, share=100 * trial.agreement
        ),
        tr("Start {start}, picture of {width} x {height} pixels {encode}, click {click}.").format(
            start=_seconds(trial.start_seconds),
            width=trial.mask.shape[1],
            height=trial.mask.shape[0],
            encode=_seconds(trial.encode_seconds),
            click=_seconds(trial.click_seconds),
        ),
    ]
    lines.extend(_memory_lines(trial))
    return "\n".join(lines)


def _memory_lines(trial: Trial) -> Iterator[str]:
    own, card = (trial.elsewhere.get(name) for name in ("memory", "device_memory"))
    if trial.memory is not None:
        yield tr("Memory of QGIS: up to {} more than before.").format(in_words(trial.memory))
    if own is not None:
        yield tr("Memory of the model's own process: up to {}.").format(in_words(own))
    if card is not None:
        yield tr("Memory of the graphics card: up to {}.").format(in_words(card))


def _seconds(seconds: float) -> str:
    return tr("{:.0f} ms").format(1000 * seconds) if seconds < 1 else tr("{:.1f} s").format(seconds)


def picture_of(image: np.ndarray) -> QImage:
    """(h, w, 3) uint8 as Qt's image, with memory of its own."""
    height, width = image.shape[:2]
    plain = np.ascontiguousarray(image)
    return QImage(plain.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()


def overlay_of(mask: np.ndarray, colour: QColor, rim: QColor) -> QImage:
    """(h, w) bool as an image: lightly filled in one colour, with an outline in both."""
    height, width = mask.shape
    image = np.zeros((height, width, 4), np.uint8)
    image[mask] = (*_rgb(colour), _FILL)
    image[mask & ~ndimage.binary_erosion(mask), 3] = _OPAQUE
    image[ndimage.binary_dilation(mask) & ~mask] = (*_rgb(rim), _OPAQUE)
    return QImage(image.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888).copy()


def _rgb(colour: QColor) -> Tuple[int, int, int]:
    return colour.red(), colour.green(), colour.blue()
