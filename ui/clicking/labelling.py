"""From gestures on the canvas to fields: the sketch, its answers, what is drawn and said."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Callable, Optional, Tuple

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCsException,
    QgsGeometry,
    QgsPointXY,
    QgsProject,
    QgsRectangle,
)
from qgis.gui import QgsMapCanvas
from qgis.PyQt.QtCore import QObject, QTimer, pyqtSignal

from ...core.fields.field_mask import FieldMask
from ...core.fields.sketch import Sketch
from ...core.imagery.grid import Window, neighbours
from ...qgis_io.ground import Ground, crs_of
from ...qgis_io.shapes import outline_of
from ...qgis_io.texts import tr
from .answers import Answers, Offer
from .canvas_marks import CanvasMarks
from .encoding import View, WindowEncoder

_LEAST_PAUSE = 15
"""Milliseconds between two previews; longer where a preview takes longer, to keep QGIS lively."""


@dataclass(frozen=True)
class ShownField:
    """A field as it is drawn."""

    shape: QgsGeometry
    """Multi-polygon in `crs`."""
    crs: QgsCoordinateReferenceSystem
    mask: FieldMask
    pixel: float
    """Side of a pixel in units of `crs`."""
    marks: int
    """How many clicks and boxes it took."""


class Labelling(QObject):
    """Handles the gestures of the map tool; see `FieldHandler`."""

    shown = pyqtSignal(object)
    """The ShownField on the canvas, clicked or under the cursor, or None."""
    said = pyqtSignal(str)
    """One line on the field that is shown."""
    warned = pyqtSignal(str)
    """What the user has to know."""
    class_wanted = pyqtSignal(int)
    """The class with this shortcut."""

    def __init__(
        self, canvas: QgsMapCanvas, encoder: WindowEncoder, parent: Optional[QObject] = None
    ) -> None:
        super().__init__(parent)
        self.colour = "#0072b2"
        self.previews = True
        self.simplify = 0.5
        self.keep: Callable[[ShownField], bool] = lambda field: True
        """Told a field that the user accepts; says whether it is kept. If not the sketch stays."""
        self._canvas, self._encoder = canvas, encoder
        self._marks = CanvasMarks(canvas)
        self._answers: Optional[Answers] = None
        self._crs = QgsCoordinateReferenceSystem()
        self._sketch, self._offer = Sketch(), Offer()
        self._accept_when_known = False
        self._cursor: Optional[QgsPointXY] = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._preview)
        self._pause = _LEAST_PAUSE
        encoder.encoded.connect(self._on_encoded)
        encoder.failed.connect(self._on_failed)
        encoder.cancelled.connect(self._on_cancelled)

    def look_at(self, view: Optional[View], size: int) -> None:
        """Work on another image, or on none; what was drawn is dropped.

        :param size: side of the window that answers a click, in pixels.
        """
        self.clear()
        self._encoder.look_at(view)
        self._answers = None if view is None else Answers(self._encoder, view, size)
        self._crs = QgsCoordinateReferenceSystem() if view is None else crs_of(self._answers.grid)

    @property
    def current(self) -> Optional[ShownField]:
        """The field that was clicked; None where there is none yet."""
        if not self._sketch.marks or self._offer.field is None:
            return None
        return self._as_shown(self._offer.field, len(self._sketch.marks))

    def close(self) -> None:
        """Take everything off the canvas."""
        self._timer.stop()
        self._marks.clear()

    # --- gestures ---

    def hover(self, place: QgsPointXY) -> None:
        """Show the field under the cursor soon, unless one is being drawn."""
        self._cursor = place
        if self.previews and not self._sketch.marks and not self._timer.isActive():
            self._timer.start(self._pause)

    def leave(self) -> None:
        """No cursor, no preview."""
        self._cursor = None
        self._timer.stop()
        if not self._sketch.marks:
            self._marks.hide_outline()
            self.shown.emit(None)

    def click(self, place: QgsPointXY, foreground: bool) -> None:
        """One more mark."""
        pixel = self._pixel(place)
        if pixel is not None and self._accepted_is_kept():
            self._change(self._sketch.with_click(*pixel, foreground))

    def box(self, rectangle: QgsRectangle) -> None:
        """A box around the field; its corners are brought within the image."""
        if self._answers is None:
            self._warn_no_image()
            return
        corners = self._corners(rectangle)
        if corners is None:
            self.warned.emit(tr("The box is outside the image; drag it around a field on it."))
        elif self._accepted_is_kept():
            self._change(self._sketch.with_box(*corners))

    def accept(self) -> None:
        """Keep the field; where its answer is still on its way, keep it once it has come."""
        if not self._sketch.marks:
            return
        if self._offer.missing is not None:
            self._accept_when_known = True
            return
        field = self.current
        if field is None:
            self.warned.emit(tr("No field was found there; click elsewhere or drag a box."))
            return
        if self.keep(field):
            self.clear()

    def start_next(self) -> None:
        """Keep the field where there is one; either way a new one starts."""
        if self._offer.field is not None:
            self.accept()
        else:
            self.clear()

    def clear(self) -> None:
        """Drop the sketch."""
        self._accept_when_known = False
        self._sketch, self._offer = Sketch(), Offer()
        self._marks.clear()
        self.shown.emit(None)
        self.said.emit("")

    def undo(self) -> None:
        """Drop the last mark."""
        if self._sketch.marks:
            self._change(self._sketch.without_last())

    def turn(self, step: int) -> None:
        """Show another mask."""
        if self._sketch.marks:
            self._change(self._sketch.turned(step))

    def grow(self, pixels: int) -> None:
        """Move the outline."""
        if self._sketch.marks:
            self._change(self._sketch.grown(pixels))

    def choose_class(self, number: int) -> None:
        """Whoever keeps the classes decides."""
        self.class_wanted.emit(number)

    # --- answers ---

    def refresh(self) -> None:
        """Draw and say again, with the colour of now."""
        if self._sketch.marks:
            self._draw()

    def _accepted_is_kept(self) -> bool:
        """Whether a mark may be made: not on a field that is accepted, whose answer is awaited."""
        if not self._accept_when_known:
            return True
        field = self.current
        if field is None:
            self.warned.emit(tr("The accepted field is being prepared; wait a moment, or drop it "
                                "with Esc."))  # fmt: skip
        elif self.keep(field):
            self.clear()
        return not self._sketch.marks

    def _change(self, sketch: Sketch) -> None:
        self._timer.stop()
        self._sketch = sketch
        self._accept_when_known = False
        if not sketch.marks:
            self.clear()
            return
        self._update()

    def _update(self) -> None:
        """Ask again, have encoded what is missing, draw."""
        self._offer = Offer()
        if self._sketch.ready and self._answers is not None:
            self._offer = self._answers.offer(self._sketch)
            self._want(self._offer)
        self._draw()
        trouble = self._encoder.trouble(self._offer.missing) if self._offer.missing else ""
        if trouble:
            self._on_failed(self._offer.missing, trouble)
        if self._accept_when_known and self._offer.missing is None:
            self._accept_when_known = False
            self.accept()

    def _draw(self) -> None:
        self._marks.show_marks(self._sketch.marks, self._answers.grid, self._crs)
        field = self.current
        if field is None:
            self._marks.hide_outline()
        else:
            self._marks.show_outline(field.shape, field.crs, self.colour, hover=False)
        self.shown.emit(field)
        self.said.emit(self._line(field))

    def _preview(self) -> None:
        """The field under the cursor, where its window is in memory."""
        pixel = None if self._cursor is None else self._pixel(self._cursor, quiet=True)
        if pixel is None or self._sketch.marks:
            return
        started = time.perf_counter()
        offer = self._answers.offer(Sketch().with_click(*pixel), enlarge=False)
        self._want(offer, pixel)
        if offer.field is None:
            self._marks.hide_outline()
            self.shown.emit(None)
        else:
            field = self._as_shown(offer.field, 1)
            self._marks.show_outline(field.shape, field.crs, self.colour, hover=True)
            self.shown.emit(field)
        self._pause = max(_LEAST_PAUSE, round(500 * (time.perf_counter() - started)))

    def _want(self, offer: Offer, pixel: Optional[Tuple[float, ...]] = None) -> None:
        """Have the missing window encoded, then those around."""
        if self._encoder.busy and offer.missing is None:
            return
        x, y = pixel or self._sketch.prompts.anchor
        around = neighbours(self._answers.grid, offer.window, self._answers.size, int(y), int(x))
        first = [offer.missing] if offer.missing is not None else []
        self._encoder.want([*first, *around])

    def _on_encoded(self, window: Window) -> None:
        if self._sketch.marks:
            if self._offer.missing == window:
                self._update()
        elif self._cursor is not None and self.previews:
            self._preview()

    def _on_failed(self, window: Optional[Window], reason: str) -> None:
        wanted = self._offer.missing
        if wanted is not None and window in (None, wanted):
            self.warned.emit(reason)
            self._wait_no_more()

    def _on_cancelled(self) -> None:
        """Nobody encodes what is missing: go on with the field that is known, if any."""
        if self._offer.field is not None:
            self._wait_no_more()
        elif self._offer.missing is not None:
            self.clear()

    def _wait_no_more(self) -> None:
        self._accept_when_known = False
        if self._offer.missing is not None:
            self._offer = replace(self._offer, missing=None)
            self._draw()

    def _as_shown(self, mask: FieldMask, marks: int) -> ShownField:
        grid = self._answers.grid
        _, xc, xr, _, yc, yr = grid.transform
        shape = outline_of(mask, grid, self.simplify)
        return ShownField(shape, self._crs, mask, math.sqrt(abs(xc * yr - xr * yc)), marks)

    def _line(self, field: Optional[ShownField]) -> str:
        if field is None:
            waits = self._offer.missing is not None
            return tr("Preparing the image here ...") if waits else tr("No field found here.")
        ground = Ground(self._crs, QgsProject.instance().transformContext())
        line = tr("{:.2f} ha, score {:.2f}, mask {} of {}").format(
            ground.hectares(field.shape), field.mask.score, self._offer.position + 1,
            len(self._offer.masks),
        )  # fmt: skip
        return line if self._offer.missing is None else tr("{} ... looking further").format(line)

    # --- places ---

    def _pixel(self, place: QgsPointXY, quiet: bool = False) -> Optional[Tuple[float, ...]]:
        """The centre of the pixel under a place of the canvas; None where there is no image."""
        if self._answers is None:
            if not quiet:
                self._warn_no_image()
            return None
        grid = self._answers.grid
        moved = self._to_image(place)
        x, y = (math.nan, math.nan) if moved is None else grid.to_pixel(moved.x(), moved.y())
        if 0 <= x < grid.width and 0 <= y < grid.height:
            return math.floor(x) + 0.5, math.floor(y) + 0.5
        if not quiet:
            self.warned.emit(tr("That place is outside the image; click on the image."))
        return None

    def _corners(self, rectangle: QgsRectangle) -> Optional[Tuple[float, ...]]:
        """The bounding box of a rectangle of the canvas in pixels; None beside the image."""
        grid = self._answers.grid
        shape = QgsGeometry.fromRect(rectangle)
        try:
            shape.transform(self._transform())
        except QgsCsException:
            return None
        places = [grid.to_pixel(point.x(), point.y()) for point in shape.vertices()]
        xs = [min(max(float(x), 0.0), float(grid.width)) for x, _ in places]
        ys = [min(max(float(y), 0.0), float(grid.height)) for _, y in places]
        corners = min(xs), min(ys), max(xs), max(ys)
        return corners if corners[2] - corners[0] >= 1 and corners[3] - corners[1] >= 1 else None

    def _to_image(self, place: QgsPointXY) -> Optional[QgsPointXY]:
        try:
            return self._transform().transform(place)
        except QgsCsException:
            return None

    def _transform(self) -> QgsCoordinateTransform:
        here = self._canvas.mapSettings().destinationCrs()
        return QgsCoordinateTransform(here, self._crs, QgsProject.instance())

    def _warn_no_image(self) -> None:
        self.warned.emit(tr("No image is chosen; choose a raster layer in the Furrow dock."))
