"""The picture of a season: the profile of a field and of its class, drawn with matplotlib.

matplotlib takes about a second to import and may be missing, so nothing of it is touched before
the chart is first shown.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, List, Optional, Tuple

import numpy as np
from qgis.PyQt.QtCore import QEvent, Qt, QTimer
from qgis.PyQt.QtGui import QPalette, QShowEvent
from qgis.PyQt.QtWidgets import QLabel, QVBoxLayout, QWidget

from ...core.palette import PALETTE
from ...core.samples.seasons import CLOUDY, FieldSeason, TwoSeasons
from ...qgis_io.texts import tr

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST_NAME = 16
_SMALLEST = 200, 210
"""Width and height in pixels below which nothing can be read."""
_PAUSE = 40
"""Milliseconds without another view before one is drawn: drawing takes longer than moving on."""
_LEGEND_LINES = 3
_MARGIN = 0.05
"""Space above and below the values, in index units."""


@dataclass(frozen=True)
class SeasonView:
    """What is drawn."""

    field: Optional[FieldSeason] = None
    two: Optional[TwoSeasons] = None
    """The field's two parts, drawn in place of its median."""
    class_median: Optional[FieldSeason] = None
    """Over the fields of the class."""
    class_name: str = ""
    colour: str = ""
    """Of the class, #rrggbb."""
    image_date: Optional[dt.date] = None
    """Of the image on which the field was clicked."""
    title: str = ""

    @property
    def line_colour(self) -> str:
        """The colour of the field's line."""
        return self.colour or PALETTE[0]


@dataclass(frozen=True)
class _Ink:
    """Colours of the widget's palette, #rrggbb."""

    text: str
    paper: str
    surround: str


class SeasonChart(QWidget):
    """Shows a `SeasonView`; a sentence where matplotlib is missing."""

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._view = SeasonView()
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.timeout.connect(self._draw)
        self._figure: Optional[Figure] = None
        self._canvas: Optional[QWidget] = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.setAccessibleName(tr("Season"))

    @property
    def figure(self) -> Optional[Figure]:
        """The matplotlib figure; None before the chart is first shown, or without matplotlib."""
        return self._figure

    @property
    def waiting(self) -> bool:
        """Whether a view is about to be drawn."""
        return self._pause.isActive()

    def show_view(self, view: SeasonView) -> None:
        """Draw something else in a moment; the same again costs nothing."""
        if view == self._view:
            return
        self._view = view
        if self._figure is not None:
            self._pause.start(_PAUSE)

    def showEvent(self, event: QShowEvent) -> None:
        """Make the picture when it is first looked at."""
        if self.layout().count() == 0:
            self._start()
        super().showEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme of QGIS."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._draw()

    def _start(self) -> None:
        made = _figure_and_canvas()
        if made is None:
            label = QLabel(tr("The picture of the season needs the Python package matplotlib, "
                              "which is not installed."))  # fmt: skip
            label.setWordWrap(True)
            self.layout().addWidget(label)
            return
        self._figure, self._canvas = made
        self._canvas.setMinimumSize(*_SMALLEST)
        self.layout().addWidget(self._canvas)
        self._draw()

    def _draw(self) -> None:
        if self._figure is None:
            return
        size = max(6.5, 0.75 * self.font().pointSizeF())
        draw(self._figure, self._view, self._ink(), size)
        self._canvas.draw_idle()

    def _ink(self) -> _Ink:
        palette = self.palette()
        roles = QPalette.ColorRole
        return _Ink(*(palette.color(role).name()
                      for role in (roles.WindowText, roles.Base, roles.Window)))  # fmt: skip


def _figure_and_canvas() -> Optional[Tuple[Figure, QWidget]]:
    """A figure on a Qt widget; None where matplotlib cannot be had.

    Its Qt backend takes the PyQt that is imported already, which is the one QGIS runs with.
    """
    try:
        from matplotlib.figure import Figure

        try:
            from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        except ModuleNotFoundError:  # before matplotlib 3.5, with PyQt5 only
            from matplotlib.backends.backend_qt5agg import FigureCanvasQTAgg
    except ImportError:
        return None
    figure = Figure(constrained_layout=True)
    canvas = FigureCanvasQTAgg(figure)
    canvas.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys belong to the map
    return figure, canvas


def draw(figure: Figure, view: SeasonView, ink: _Ink, size: float) -> None:
    """Draw a view into a figure from scratch.

    :param size: of the text in points.
    """
    figure.clear()
    figure.set_facecolor(ink.surround)
    axes = figure.add_subplot()
    _style(axes, ink, size)
    # The empty lines keep a place for the legend.
    figure.suptitle(view.title + "\n " * _LEGEND_LINES, fontsize=size, color=ink.text)
    shown = view.field or view.class_median
    if shown is None:
        axes.set_axis_off()
        return
    _draw_lines(axes, view)
    _draw_class(axes, view, ink)
    _draw_band(axes, view)
    _draw_dates(axes, view, ink)
    _scale(axes, shown, size)
    _legend(axes, ink, size)


def _style(axes: Axes, ink: _Ink, size: float) -> None:
    axes.set_facecolor(ink.paper)
    axes.tick_params(colors=ink.text, labelsize=size, length=3)
    for name, spine in axes.spines.items():
        spine.set_color(ink.text)
        spine.set_alpha(0.4)
        spine.set_visible(name in ("left", "bottom"))
    axes.grid(axis="y", color=ink.text, alpha=0.12, linewidth=0.8)


def _draw_dates(axes: Axes, view: SeasonView, ink: _Ink) -> None:
    """Grey bars where most of the field is not valid, a line at the date of the image."""
    if view.field is not None:
        cloudy = [d for d, s in zip(view.field.dates, view.field.valid_share) if s < CLOUDY]
        for k, date in enumerate(cloudy):
            axes.axvline(date, color=ink.text, alpha=0.13, linewidth=4, zorder=0,
                         label="_" if k else tr("cloudy"))  # fmt: skip
    if view.image_date is not None:
        axes.axvline(view.image_date, color=ink.text, linewidth=1, linestyle=":", zorder=1,
                     label=tr("image"))  # fmt: skip


def _draw_lines(axes: Axes, view: SeasonView) -> None:
    """The median of the field, or of each of its two parts, on the dates that show it."""
    season, colour = view.field, view.line_colour
    if season is None:
        return
    clear = season.valid_share >= CLOUDY
    dates = _chosen(season.dates, clear)
    if view.two is None:
        _line(axes, dates, season.median[clear], colour, tr("field"))
        return
    smaller, larger = view.two.medians
    shares = [f"{100 * share:.0f} %" for share in view.two.shares]
    _line(axes, dates, larger[clear], colour, shares[1])
    _line(axes, dates, smaller[clear], _unlike(colour), shares[0])


def _line(axes: Axes, dates: List[dt.date], values: np.ndarray, colour: str, label: str) -> None:
    axes.plot(dates, values, color=colour, linewidth=1.8, marker="o", markersize=3, label=label,
              zorder=4)  # fmt: skip


def _draw_class(axes: Axes, view: SeasonView, ink: _Ink) -> None:
    if view.class_median is None:
        return
    seen = np.isfinite(view.class_median.median)
    axes.plot(_chosen(view.class_median.dates, seen), view.class_median.median[seen],
              color=ink.text, alpha=0.85, linewidth=1.3, linestyle="--",
              label=_short(view.class_name), zorder=3)  # fmt: skip


def _draw_band(axes: Axes, view: SeasonView) -> None:
    season = view.field
    if season is None:
        return
    clear = season.valid_share >= CLOUDY
    axes.fill_between(
        _chosen(season.dates, clear), season.low[clear], season.high[clear],
        color=view.line_colour, alpha=0.25 if view.two is None else 0.12, linewidth=0,
        label=tr("10–90 %"), zorder=2,
    )  # fmt: skip


def _scale(axes: Axes, shown: FieldSeason, size: float) -> None:
    """Months below; 0 to 1 at the side, so that fields can be compared, unless values differ."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.xaxis.get_offset_text().set(size=size, color=axes.xaxis.label.get_color())
    axes.set_xlim(shown.dates[0] - dt.timedelta(days=5), shown.dates[-1] + dt.timedelta(days=5))
    low, high = axes.dataLim.intervaly
    if not np.isfinite([low, high]).all():
        low, high = 0.0, 1.0
    axes.set_ylim(min(0.0, low - _MARGIN), max(1.0, high + _MARGIN))


def _legend(axes: Axes, ink: _Ink, size: float) -> None:
    """Above the axes, where it covers no line; it may be wider than they are."""
    from matplotlib.transforms import blended_transform_factory

    place = blended_transform_factory(axes.figure.transFigure, axes.transAxes)
    legend = axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), bbox_transform=place, ncol=3,
        fontsize=size, frameon=False, handlelength=1.2, handletextpad=0.5,
        borderaxespad=0.1, columnspacing=1.0,
    )  # fmt: skip
    legend.set_in_layout(False)
    for text in legend.get_texts():
        text.set_color(ink.text)


def _unlike(colour: str) -> str:
    """The colour of the palette that is easiest to tell from another one."""
    from matplotlib.colors import to_rgb

    given = np.array(to_rgb(colour))
    return max(PALETTE, key=lambda other: float(np.abs(np.array(to_rgb(other)) - given).sum()))


def _chosen(dates: Tuple[dt.date, ...], chosen: np.ndarray) -> List[dt.date]:
    return [date for date, wanted in zip(dates, chosen) if wanted]


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
