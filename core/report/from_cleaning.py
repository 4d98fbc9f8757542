"""From the results of sample cleaning to the contents of its report."""

from __future__ import annotations

from typing import Dict, Hashable, List, Optional, Sequence

import numpy as np

from ..palette import colours_of
from ..samples.cleaning import Reason
from ..samples.label_cleaning import Cleaned
from ..samples.profiles import Profiles
from .content import ClassProfile, ClassTotal, Fact, ReferencePage, SampleReport
from .quantiles import quantiles


def cleaning_report(
    result: Cleaned,
    profiles: Profiles,
    labels: Sequence[Optional[Hashable]],
    index_name: str,
    parameters: Sequence[Fact],
    versions: Dict[str, str],
    created: str,
) -> SampleReport:
    """Everything that the page of one run shows: one card a class."""
    names = np.array([None if label is None else str(label) for label in labels], dtype=object)
    classes = sorted({name for name in names if name is not None})
    colours = colours_of(classes)
    days = tuple(date.isoformat() for date in profiles.dates)
    used, kept = int(result.used.sum()), result.kept
    margin = int(sum(reason is Reason.MARGIN for reason in result.reason))
    return SampleReport(
        title="Cleaned samples",
        created=created,
        index_name=index_name,
        parameters=tuple(parameters),
        stages=(
            ("Samples", len(names)),
            ("Usable samples", used),
            ("Profile within the limit", int(kept.sum()) + margin),
            ("Own class nearest", int(kept.sum())),
        ),
        classes=tuple(
            ClassTotal(
                name,
                int((names == name).sum()),
                int((result.used & (names == name)).sum()),
                int((kept & (names == name)).sum()),
                None,
                colours[name],
            )
            for name in classes
        ),
        skipped=tuple((str(k), result.reason[k].sentence) for k in np.flatnonzero(~result.used)),
        rejected_reasons=tuple(
            (Reason(name).sentence, count) for name, count in result.rejected_reasons().items()
        ),
        pages=tuple(_page(result, names == name, name, days) for name in classes),
        days=days,
        class_profiles=tuple(_class_profiles(result, names, classes, colours)),
        versions=tuple(versions.items()),
        subtitle=f"{days[0]} to {days[-1]}, {len(days)} dates" if days else "",
    )


def _page(result: Cleaned, mine: np.ndarray, name: str, days: Sequence[str]) -> ReferencePage:
    filled, kept = result.prepared.filled, result.kept
    lost = mine & result.used & ~kept
    return ReferencePage(
        ref_id=name,
        class_name=name,
        days=tuple(days),
        kept_quantiles=quantiles(filled[mine & kept]),
        rejected_quantiles=quantiles(filled[lost]),
        counts=(
            ("Samples", int(mine.sum())),
            ("Usable", int((mine & result.used).sum())),
            ("Kept", int((mine & kept).sum())),
        ),
        facts=(("Closer to another class", str(int((result.margin[mine] < 0).sum()))),),
    )


def _class_profiles(
    result: Cleaned, names: np.ndarray, classes: Sequence[str], colours: Dict
) -> List[ClassProfile]:
    profiles = []
    for name in classes:
        found = quantiles(result.prepared.filled[(names == name) & result.kept])
        if found is not None:
            profiles.append(ClassProfile(name, found[1], colours[name]))
    return profiles
