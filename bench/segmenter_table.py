"""The figures of all engines as one table and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Dict, List, Optional, Tuple

from segmenter_figures import Bin, Figure, GroupFigures, Reliability
from segmenter_sets import TRAINED_ON
from segmenter_speed import Speed
from segmenter_stability import Stability

LINES = (
    ("1 click", "chosen"),
    ("1 click, best of those offered", "best"),
    ("1 click, best with best of SAM's", "pairs"),
    ("1 click, rule finest", "finest"),
    ("1 click, rule balanced", "balanced"),
    ("3 clicks", "clicks"),
    ("box", "box"),
    ("1 click anywhere in the field", "random"),
    ("   what that costs", "random_loss"),
)
"""Label and attribute of GroupFigures."""
_LABEL, _CELL = 36, 22


@dataclass(frozen=True)
class Report:
    """Everything measured of one engine."""

    engine: str
    groups: Tuple[GroupFigures, ...]
    reliability: Tuple[Reliability, ...]
    sizes: Tuple[Bin, ...]
    """Chosen IoU by the side of the field, over the groups of `sizes_of`."""
    sizes_of: Tuple[str, ...]
    stability: Tuple[Stability, ...]
    speed: Optional[Speed]
    seconds: float
    """What measuring took."""


@dataclass(frozen=True)
class Line:
    """One figure with its place in the table."""

    block: str
    label: str
    cell: str


# ------------------------------------------------------------------------------ one engine


def lines(report: Report) -> Iterator[Line]:
    """All lines of one engine, what it was trained on at the end."""
    held_out = [group for group in report.groups if group.name not in TRAINED_ON]
    trained_on = [group for group in report.groups if group.name in TRAINED_ON]
    for group in held_out:
        yield from _group_lines(group, f"{group.name} (n = {group.chosen.n})")
    yield from _size_lines(report)
    yield from _stability_lines(report.stability)
    for kind, label in (("chosen", "chosen masks"), ("every", "all masks")):
        for group in report.reliability:
            yield from _reliability_lines(group, kind, f"score -> IoU, {label}, {group.name}")
    if report.speed:
        yield from _speed_lines(report.speed)
    for group in trained_on:
        yield from _group_lines(group, f"{group.name} (n = {group.chosen.n}), TRAINED ON")


def _group_lines(group: GroupFigures, block: str) -> Iterator[Line]:
    for label, name in LINES:
        figure: Optional[Figure] = getattr(group, name)
        if figure is not None and figure.n:
            yield Line(block, label, f"{figure.mean:.3f}")


def _size_lines(report: Report) -> Iterator[Line]:
    block = "1 click by side of the field, px: " + " + ".join(report.sizes_of)
    for part in report.sizes:
        if part.n:
            yield Line(block, f"{part.low:.0f} to {part.high:.0f} (n = {part.n})",
                       f"{part.overlap:.3f}")  # fmt: skip


def _stability_lines(found: Sequence[Stability]) -> Iterator[Line]:
    if not found:
        return
    block = f"same answer on a changed picture, IoU (n = {found[0].overlap.n})"
    for change in found:
        yield Line(block, change.change, f"{change.overlap.mean:.3f}")
    yield Line(block, "mean", f"{fmean(change.overlap.mean for change in found):.3f}")
    block = "1 click on changed pictures, all changes, IoU with the truth"
    for group, figure in found[0].truth.items():
        mean = fmean(change.truth[group].mean for change in found)
        yield Line(block, f"{group} (n = {figure.n})", f"{mean:.3f}")


def _reliability_lines(group: Reliability, kind: str, block: str) -> Iterator[Line]:
    for part in getattr(group, kind):
        cell = f"{part.value:.2f} -> {part.overlap:.2f} ({part.n:3d})" if part.n else "-"
        yield Line(block, f"score {part.low:.1f} to {part.high:.1f}", cell)


def _speed_lines(speed: Speed) -> Iterator[Line]:
    block = "speed, 2 threads, median ms"
    for side, time in speed.encode.items():
        yield Line(block, f"encode {side} px", f"{time:.0f}")
    for side, time in speed.click.items():
        yield Line(block, f"click on {side} px", f"{time:.1f}")
    block = "memory of the process, MB"
    yield Line(block, "after imports", f"{speed.imported:.0f}")
    yield Line(block, "engine loaded", f"{speed.ready:.0f}")
    yield Line(block, "growth by 1,024 px + 100 clicks", f"{speed.growth:.0f}")
    yield Line(block, "   of it kept afterwards", f"{speed.kept - speed.ready:.0f}")


# ----------------------------------------------------------------------------- all of them


def table(reports: Sequence[Report]) -> List[str]:
    """The printed lines: a column an engine."""
    columns: List[Dict[Tuple[str, str], str]] = [
        {(line.block, line.label): line.cell for line in lines(report)} for report in reports
    ]
    keys = _ordered(key for column in columns for key in column)
    printed = [" " * _LABEL + "".join(f"{report.engine:>{_CELL}}" for report in reports)]
    block = None
    for key in keys:
        if key[0] != block:
            block = key[0]
            printed += ["", block]
        cells = "".join(f"{column.get(key, '-'):>{_CELL}}" for column in columns)
        printed.append(f"  {key[1]:{_LABEL - 2}}{cells}")
    return printed


def _ordered(keys: Iterable[Tuple[str, str]]) -> List[Tuple[str, str]]:
    """Each key once, lines of a block together, in the order of first appearance."""
    blocks: Dict[str, Dict[str, None]] = {}
    for block, label in keys:
        blocks.setdefault(block, {})[label] = None
    return [(block, label) for block, labels in blocks.items() for label in labels]


def write_json(path: Path, reports: Sequence[Report], skipped: Sequence[str]) -> None:
    """All figures; what has no value is null."""
    engines = {report.engine: _plain(asdict(report)) for report in reports}
    for name, report in zip(engines, reports):
        if report.speed:
            engines[name]["speed"]["growth"] = report.speed.growth
    text = json.dumps({"engines": engines, "skipped": list(skipped)}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: object) -> object:
    """JSON knows neither NaN nor infinity."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value
