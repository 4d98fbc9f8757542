"""The HTML report: one file that needs nothing else, on screen and on paper.

`render` works out every text, number and path; the template only places them. Autoescape is on:
class names and ids come from the user's data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..palette import PALETTE
from .charts import Chart, class_chart, page_arrays, page_chart, value_range
from .content import ClassTotal, ReferencePage, SampleReport
from .labels import Labels
from .pictures import Picture, draw

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Card:
    """A reference as the page shows it."""

    anchor: str
    page: ReferencePage
    colour: str
    picture: Picture | None
    chart: Chart
    searched: str
    """Lower case text that the filter looks in."""


@dataclass(frozen=True)
class Headline:
    """One big number at the top."""

    name: str
    value: str
    note: str = ""
    warn: bool = False


@dataclass(frozen=True)
class Bar:
    """One row of a table with a bar."""

    name: str
    count: int
    width: float
    """Per cent of the column."""
    share: str = ""
    filled: float = 100.0
    """Per cent of the bar that is filled."""
    colour: str = ""
    total: ClassTotal | None = None


def render(report: SampleReport, labels: Labels | None = None) -> str:
    """The page as text, to be written as UTF-8.

    :param labels: the texts of the page; English when None.
    """
    labels = labels or Labels()
    colours = class_colours(report)
    cards = make_cards(report, labels, colours)
    return (
        environment()
        .get_template("sample_report.html.j2")
        .render(
            report=report,
            labels=labels,
            colours=colours,
            headlines=headlines(report, labels),
            stages=stage_bars(report.stages, labels),
            classes=class_bars(report, labels, colours),
            overall=_overall(report) if len(report.classes) > 1 else None,
            with_area=any(total.area_ha is not None for total in report.classes),
            rejected=stage_bars(_by_number(report.rejected_reasons), labels),
            skipped=_by_reason(report.skipped),
            medians=_median_chart(report, labels, colours),
            groups=[(name, list(group)) for name, group in groupby(cards, _class_name)],
            anchors={card.page.ref_id: card.anchor for card in cards},
        )
    )


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Where the templates are; whatever is put into them is escaped."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _class_name(card: Card) -> str:
    return card.page.class_name


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key that puts ref-2 before ref-10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in parts
    )


def class_colours(report: SampleReport) -> dict[str, str]:
    """Class -> #rrggbb: its own, else one of the palette. Anything else would get into a style."""
    given = {total.class_name: total.colour for total in report.classes}
    for profile in report.class_profiles:
        given[profile.class_name] = profile.colour or given.get(profile.class_name, "")
    for page in report.pages:
        given.setdefault(page.class_name, "")
    return {
        name: colour if re.fullmatch("#[0-9a-fA-F]{6}", colour) else PALETTE[index % len(PALETTE)]
        for index, (name, colour) in enumerate(given.items())
    }


def make_cards(report: SampleReport, labels: Labels, colours: Mapping[str, str]) -> list[Card]:
    """The cards by class, then id; all charts share one value axis."""
    values = value_range(array for page in report.pages for array in page_arrays(page))
    ordered = sorted(
        report.pages, key=lambda page: (natural(page.class_name), natural(page.ref_id))
    )
    return [
        Card(
            anchor=f"reference-{number}",
            page=page,
            colour=colours[page.class_name],
            picture=draw(page),
            chart=page_chart(page, values, labels.months, labels.decimal),
            searched=f"{page.ref_id} {page.class_name}".lower(),
        )
        for number, page in enumerate(ordered, start=1)
    ]


def headlines(report: SampleReport, labels: Labels) -> list[Headline]:
    """The numbers at the top of the page."""
    kept, candidates, used = report.kept, report.candidates, report.references_used
    share = labels.of_candidates.format(share=labels.percent(kept, candidates))
    mean = labels.number(candidates / used) if used else "–"
    skipped = labels.references_skipped.format(count=labels.number(len(report.skipped)))
    found = [
        Headline(labels.samples_kept, labels.number(kept), share),
        Headline(
            labels.candidates_headline,
            labels.number(candidates),
            labels.per_reference.format(count=mean),
        ),
        Headline(labels.references_used, labels.number(used), skipped, bool(report.skipped)),
    ]
    area = _overall(report).area_ha
    if area is not None:
        count = labels.classes_count.format(count=len(report.classes))
        shown = labels.hectares.format(area=labels.number(area, 1))
        found.append(Headline(labels.fields_area, shown, count))
    if report.suspicious:
        count = labels.number(len(report.suspicious))
        found.append(Headline(labels.suspicious_headline, count, labels.suspicious_note, True))
    return found


def _overall(report: SampleReport) -> ClassTotal:
    areas = [total.area_ha for total in report.classes if total.area_ha is not None]
    return ClassTotal(
        class_name="",
        references=report.references_used,
        candidates=report.candidates,
        kept=report.kept,
        area_ha=sum(areas) if areas else None,
    )


def stage_bars(counts: Sequence[tuple[str, int]], labels: Labels) -> list[Bar]:
    """Counts with bars; shares are of the first count."""
    largest = max((count for _, count in counts), default=0)
    return [
        Bar(name, count, _share(count, largest), labels.percent(count, counts[0][1]))
        for name, count in counts
    ]


def class_bars(report: SampleReport, labels: Labels, colours: Mapping[str, str]) -> list[Bar]:
    """Classes with bars: as long as their candidates, filled as far as they were kept."""
    largest = max((total.candidates for total in report.classes), default=0)
    return [
        Bar(
            name=total.class_name,
            count=total.kept,
            width=_share(total.candidates, largest),
            share=labels.percent(total.kept, total.candidates),
            filled=_share(total.kept, total.candidates),
            colour=colours[total.class_name],
            total=total,
        )
        for total in report.classes
    ]


def _share(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole > 0 else 0.0


def _by_number(counts: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(counts, key=lambda count: -count[1])


def _by_reason(skipped: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Reason and ids, the most frequent reason first."""
    found: dict[str, list[str]] = {}
    for ref_id, reason in skipped:
        found.setdefault(reason, []).append(ref_id)
    for ids in found.values():
        ids.sort(key=natural)
    return sorted(found.items(), key=lambda item: -len(item[1]))


def _median_chart(report: SampleReport, labels: Labels, colours: Mapping[str, str]) -> Chart | None:
    lines = [(profile.median, colours[profile.class_name]) for profile in report.class_profiles]
    if not lines or not report.days:
        return None
    return class_chart(report.days, lines, labels.months, labels.decimal)
