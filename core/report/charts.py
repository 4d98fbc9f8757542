"""Profile plots as data for SVG: true dates on the x axis, index values on the y axis.

A chart is made of ticks and path strings; the template draws them. Positions are in units of the
chart's own view box.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from .content import ReferencePage
from .pictures import short

MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120, 240)


@dataclass(frozen=True)
class Tick:
    """One tick of an axis."""

    position: float
    text: str
    note: str = ""
    """Second line: the year where it begins."""


@dataclass(frozen=True)
class Shape:
    """One path of a chart."""

    style: str
    """CSS class."""
    path: str
    colour: str = ""
    """#rrggbb where the class does not give the colour."""


@dataclass(frozen=True)
class Chart:
    """A plot, ready to be drawn; shapes from back to front."""

    frame: Frame
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    shapes: tuple[Shape, ...]

    @property
    def empty(self) -> bool:
        """True when there is no value at all."""
        return not self.shapes


@dataclass(frozen=True)
class Frame:
    """Where dates and values lie in the view box."""

    first: int
    """Ordinal of the first day."""
    last: int
    low: float
    """Value at the lower edge."""
    high: float
    step: float
    """Distance of the value ticks."""
    width: int = 340
    height: int = 210
    left: int = 36
    right: int = 14
    top: int = 22
    bottom: int = 34

    def x(self, ordinals: np.ndarray | float) -> np.ndarray | float:
        """Ordinals of days -> x."""
        share = (ordinals - self.first) / max(self.last - self.first, 1)
        return self.left + share * (self.width - self.left - self.right)

    def y(self, values: np.ndarray | float) -> np.ndarray | float:
        """Index values -> y, downwards."""
        share = (values - self.low) / (self.high - self.low)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)


def value_range(arrays: Iterable[np.ndarray | None]) -> tuple[float, float]:
    """Least and greatest finite value; 0 and 1 when there is none; never of equal size."""
    finite = [part[np.isfinite(part)] for part in map(_floats, arrays) if part is not None]
    values = np.concatenate([*finite, np.empty(0)])
    if values.size == 0:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high - low > 1e-6 else (low - 0.05, high + 0.05)


def _floats(array: np.ndarray | None) -> np.ndarray | None:
    return None if array is None else np.asarray(array, dtype=np.float64)


def page_arrays(page: ReferencePage) -> tuple[np.ndarray | None, ...]:
    """All values that the chart of a card shows."""
    return page.reference_profile, page.kept_quantiles, page.rejected_quantiles


def ordinals(days: Sequence[str]) -> np.ndarray:
    """ISO dates -> (T,) float, day numbers."""
    return np.array([date.fromisoformat(day[:10]).toordinal() for day in days], dtype=np.float64)


def make_frame(days: np.ndarray, values: tuple[float, float], **sizes: int) -> Frame:
    """A frame for these days and values; the value range grows to whole ticks."""
    first, last = (int(days.min()), int(days.max())) if days.size else (1, 1)
    margin = 15 if first == last else 0  # a single date stands in the middle
    step = tick_step(*values)
    low, high = np.floor(values[0] / step + 1e-9) * step, np.ceil(values[1] / step - 1e-9) * step
    return Frame(max(first - margin, 1), last + margin, float(low), float(high), step, **sizes)


def tick_step(low: float, high: float, wanted: int = 5) -> float:
    """1, 2 or 5 times a power of ten, so that there are about `wanted` steps."""
    rough = (high - low) / wanted
    power = 10.0 ** np.floor(np.log10(rough))
    return float(
        next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    )


def value_ticks(frame: Frame, decimal: str) -> tuple[Tick, ...]:
    """Ticks of the y axis."""
    decimals = max(0, -int(np.floor(np.log10(frame.step) + 1e-9)))
    count = round((frame.high - frame.low) / frame.step)
    values = (round(frame.low + frame.step * index, 9) for index in range(count + 1))
    return tuple(
        Tick(float(frame.y(value)), f"{value + 0.0:.{decimals}f}".replace(".", decimal))
        for value in values
    )


def date_ticks(frame: Frame, months: Sequence[str], limit: int) -> tuple[Tick, ...]:
    """Month ticks at their true dates, at most `limit`; the outer days when months are too few."""
    starts = _month_starts(date.fromordinal(frame.first), date.fromordinal(frame.last))
    chosen = next(
        found
        for step in MONTH_STEPS
        for found in [[day for day in starts if (day.year * 12 + day.month - 1) % step == 0]]
        if len(found) <= limit
    )
    if len(chosen) < 2:
        return _day_ticks(frame, months)
    years = [day.year for day in chosen]
    fresh = [index == 0 or years[index] != years[index - 1] for index in range(len(years))]
    return tuple(
        Tick(float(frame.x(day.toordinal())), months[day.month - 1], str(day.year) if new else "")
        for day, new in zip(chosen, fresh)
    )


def _month_starts(first: date, last: date) -> list[date]:
    numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    starts = (date(number // 12, number % 12 + 1, 1) for number in numbers)
    return [day for day in starts if first <= day <= last]


def _day_ticks(frame: Frame, months: Sequence[str]) -> tuple[Tick, ...]:
    span = frame.last - frame.first
    days = (date.fromordinal(frame.first + round(span * share)) for share in (0.1, 0.5, 0.9))
    return tuple(
        Tick(float(frame.x(day.toordinal())), f"{day.day} {months[day.month - 1]}", str(day.year))
        for day in days
    )


def _runs(finite: np.ndarray) -> list[slice]:
    """Slices of consecutive True values."""
    edges = np.flatnonzero(np.diff(np.r_[False, finite, False].astype(np.int8)))
    return [slice(start, stop) for start, stop in zip(edges[::2], edges[1::2])]


def _points(x: np.ndarray, y: np.ndarray) -> str:
    return " ".join(f"{short(a)} {short(b)}" for a, b in zip(x, y))


def line_path(x: np.ndarray, y: np.ndarray) -> str:
    """A line broken where y is NaN; a lone value becomes a dot."""
    return "".join(
        f"M{_points(x[run], y[run])}" + ("h0" if run.stop - run.start == 1 else "")
        for run in _runs(np.isfinite(y))
    )


def area_path(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> str:
    """The band between two lines, broken where either is NaN; a lone value becomes a bar."""
    parts = []
    for run in _runs(np.isfinite(low) & np.isfinite(high)):
        if run.stop - run.start == 1:
            there = np.array([x[run.start] - 2, x[run.start] + 2])
            below, above = low[run].repeat(2), high[run].repeat(2)
        else:
            there, below, above = x[run], low[run], high[run]
        parts.append(f"M{_points(there, below)} {_points(there[::-1], above[::-1])}z")
    return "".join(parts)


def dots_path(x: np.ndarray, y: np.ndarray, chosen: np.ndarray) -> str:
    """Lines of no length at the chosen finite values; round caps turn them into dots."""
    there = np.flatnonzero(chosen & np.isfinite(y))
    return "".join(f"M{short(x[i])} {short(y[i])}h0" for i in there)


def _quantile_shapes(frame: Frame, x: np.ndarray, values: np.ndarray | None, name: str) -> list:
    if values is None:
        return []
    low, middle, high = frame.y(np.asarray(values, dtype=np.float64))
    return [
        Shape(f"band {name}", area_path(x, low, high)),
        Shape(f"median {name}", line_path(x, middle)),
    ]


def _reference_shapes(frame: Frame, x: np.ndarray, page: ReferencePage) -> list[Shape]:
    if page.reference_profile is None:
        return []
    y = frame.y(np.asarray(page.reference_profile, dtype=np.float64))
    filled = page.reference_interpolated
    filled = np.zeros(len(y), dtype=bool) if filled is None else np.asarray(filled, dtype=bool)
    hollow = dots_path(x, y, filled)
    return [
        Shape("reference", line_path(x, y)),
        Shape("observed", dots_path(x, y, ~filled)),
        Shape("observed", hollow),
        Shape("hollow", hollow),  # the middle of an interpolated value, in the card's colour
    ]


def page_chart(
    page: ReferencePage, values: tuple[float, float], months: str, decimal: str
) -> Chart:
    """The chart of a card.

    :param values: least and greatest value of all cards, so that cards can be compared.
    """
    days = ordinals(page.days)
    frame = make_frame(days, values)
    x = frame.x(days)
    shapes = [
        *_quantile_shapes(frame, x, page.rejected_quantiles, "rejected"),
        *_quantile_shapes(frame, x, page.kept_quantiles, "kept"),
        *_reference_shapes(frame, x, page),
    ]
    return _finish(frame, shapes, months, decimal, limit=7)


def class_chart(
    days: Sequence[str],
    lines: Sequence[tuple[np.ndarray, str]],
    months: str,
    decimal: str,
) -> Chart:
    """Median profiles of classes.

    :param lines: (T,) float and colour of each class.
    """
    when = ordinals(days)
    values = value_range(median for median, _ in lines)
    frame = make_frame(when, values, width=960, height=300, left=44)
    x = frame.x(when)
    shapes = [
        Shape(f"class dash{index // 8 % 3}", line_path(x, frame.y(_floats(median))), colour)
        for index, (median, colour) in enumerate(lines)
    ]
    return _finish(frame, shapes, months, decimal, limit=18)


def _finish(frame: Frame, shapes: list[Shape], months: str, decimal: str, limit: int) -> Chart:
    return Chart(
        frame=frame,
        x_ticks=date_ticks(frame, months.split(), limit),
        y_ticks=value_ticks(frame, decimal),
        shapes=tuple(shape for shape in shapes if shape.path),
    )
