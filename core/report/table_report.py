"""A report of figures: big numbers, pictures, histograms, tables. One file, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from .html import Bar, Headline, environment, stage_bars
from .labels import Labels


@dataclass(frozen=True)
class Histogram:
    """Counts with bars; shares are of all."""

    title: str
    counts: Tuple[Tuple[str, int], ...]
    """Name of each bin and what is in it."""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Texts in rows; the first column names the row, the others are set as numbers."""

    title: str
    columns: Tuple[str, ...]
    rows: Tuple[Tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture with its title."""

    title: str
    uri: str
    """data: URI."""
    note: str
    """What it shows, also for those who cannot see it."""


@dataclass(frozen=True)
class TableReport:
    """The contents of the page, in the order in which they are shown."""

    title: str
    created: str
    """ISO 8601."""
    headlines: Tuple[Headline, ...]
    pictures: Tuple[Figure, ...] = ()
    histograms: Tuple[Histogram, ...] = ()
    tables: Tuple[Table, ...] = ()
    """Those without rows are left out."""
    details: Tuple[Tuple[str, Tuple[Tuple[str, str], ...]], ...] = ()
    """Title and pairs of name and value of what is folded away at the end."""
    subtitle: str = ""
    language: str = "en"


def render_tables(report: TableReport, labels: Optional[Labels] = None) -> str:
    """The page as text, to be written as UTF-8.

    :param labels: the texts of the page; English when None.
    """
    labels = labels or Labels()

    def bars(histogram: Histogram) -> Tuple[Bar, ...]:
        total = sum(count for _, count in histogram.counts)
        drawn = stage_bars(histogram.counts, labels)
        return tuple(
            Bar(bar.name, bar.count, bar.width, labels.percent(bar.count, total)) for bar in drawn
        )

    template = environment().get_template("table_report.html.j2")
    return template.render(report=report, labels=labels, bars=bars)
