"""From the results of sample generation to the contents of its report."""

from __future__ import annotations

from collections import Counter
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import RasterError
from ..fields.field_mask import FieldMask
from ..imagery.grid import Window
from ..imagery.pictures import Pictures
from ..palette import colours_of
from ..samples.cleaning import Reason
from ..samples.generation import Candidates, Generated
from ..samples.references import SkippedReference
from .content import ClassProfile, ClassTotal, Fact, ReferencePage, SampleReport, Suspicion
from .quantiles import quantiles

_PATCH_MARGIN = 8


def stages(result: Generated) -> Tuple[Tuple[str, int], ...]:
    """Pixels left after each step that took some away; candidates first, samples last."""
    return _stages(result.candidates.reason)


def _stages(reason: np.ndarray) -> Tuple[Tuple[str, int], ...]:
    steps = (
        ("Enough valid dates", (Reason.FEW_DATES,)),
        ("Trusted reference", (Reason.SUSPICIOUS,)),
        ("Profile like the reference's", (Reason.DISTANCE,)),
        ("Claimed by one class", (Reason.CONFLICT,)),
        ("Each pixel once", (Reason.DUPLICATE,)),
        ("Within number and spacing", (Reason.THINNED,)),
    )
    lost = Counter(r for r in reason if r is not None)
    left = len(reason)
    counts = [("Candidate pixels", left)]
    for name, reasons in steps:
        gone = sum(lost[r] for r in reasons)
        left -= gone
        if gone:
            counts.append((name, left))
    return (*counts, ("Samples kept", left))


def rejected_reasons(result: Generated) -> Dict[str, int]:
    """Reason to number of candidates."""
    return dict(Counter(r.value for r in result.candidates.reason if r is not None))


def sample_report(
    result: Generated,
    pictures: Pictures,
    areas: Sequence[float],
    index_name: str,
    parameters: Sequence[Fact],
    files: Sequence[Fact],
    versions: Sequence[Fact],
    created: str,
    unread: Sequence[SkippedReference],
    cancelled: Callable[[], None],
) -> SampleReport:
    """Everything that the page of one run shows.

    :param unread: references that were skipped before the run.
    :param areas: hectares of each field, in the order of the references.
    :param cancelled: called between references; raises to stop.
    """
    labels = result.labels
    colours = {str(k): v for k, v in colours_of(set(labels)).items()}
    days = tuple(date.isoformat() for date in result.dates)
    pages = []
    for k in range(len(labels)):
        cancelled()
        pages.append(_page(result, k, pictures, areas[k], days))
    return SampleReport(
        title="Crop samples",
        created=created,
        index_name=index_name,
        parameters=tuple(parameters),
        stages=stages(result),
        classes=tuple(_class_totals(result, areas, colours)),
        skipped=tuple((str(s.id), s.reason.sentence) for s in (*unread, *result.skipped)),
        rejected_reasons=tuple(
            (Reason(name).sentence, count) for name, count in rejected_reasons(result).items()
        ),
        suspicious=tuple(_suspicions(result)),
        pages=tuple(pages),
        days=days,
        class_profiles=tuple(_class_profiles(result, colours)),
        files=tuple(files),
        versions=tuple(versions),
        subtitle=f"{days[0]} to {days[-1]}, {len(days)} dates" if days else "",
    )


def _class_totals(
    result: Generated, areas: Sequence[float], colours: Dict[str, str]
) -> List[ClassTotal]:
    labels, kept = result.labels, result.candidates.kept
    of_class = labels[result.candidates.owner]
    totals = []
    for label in sorted(set(labels), key=str):
        mine = of_class == label
        totals.append(
            ClassTotal(
                str(label),
                int((labels == label).sum()),
                int(mine.sum()),
                int((mine & kept).sum()),
                float(sum(area for area, owner in zip(areas, labels) if owner == label)),
                colours[str(label)],
            )
        )
    return totals


def _suspicions(result: Generated) -> List[Suspicion]:
    verdict = result.verdict
    return [
        Suspicion(
            str(result.placed.references[k].id),
            str(result.labels[k]),
            str(verdict.nearest_class[k]),
            abs(float(verdict.margin[k])),
        )
        for k in np.flatnonzero(verdict.suspicious)
    ]


def _class_profiles(result: Generated, colours: Dict[str, str]) -> List[ClassProfile]:
    of_class = result.labels[result.candidates.owner]
    profiles = []
    for label in sorted(set(result.labels), key=str):
        rows = result.profile_of[(of_class == label) & result.candidates.kept]
        found = quantiles(result.profiles.filled[rows])
        if found is not None:
            profiles.append(ClassProfile(str(label), found[1], colours[str(label)]))
    return profiles


def _page(
    result: Generated, k: int, pictures: Pictures, area: float, days: Tuple[str, ...]
) -> ReferencePage:
    candidates, found, placed = result.candidates, result.fields[k], result.placed
    mine = np.flatnonzero(candidates.owner == k)
    kept = mine[candidates.kept[mine]]
    lost = mine[~candidates.kept[mine]]
    window = _around(found, result)
    own = result.reference_profile_of[k]
    return ReferencePage(
        ref_id=str(placed.references[k].id),
        class_name=str(result.labels[k]),
        days=days,
        reference_profile=result.profiles.filled[own],
        reference_interpolated=result.profiles.interpolated[own],
        kept_quantiles=quantiles(result.profiles.filled[result.profile_of[kept]]),
        rejected_quantiles=quantiles(result.profiles.filled[result.profile_of[lost]]),
        image_date=found.date.isoformat() if found.date else "",
        patch=_patch(pictures, window, found.image),
        prompt_xy=(placed.x[k] - window.col, placed.y[k] - window.row),
        mask=found.within(window),
        kept_xy=_places(candidates, kept, window),
        rejected_xy=_places(candidates, lost, window),
        counts=_stages(candidates.reason[mine]),
        facts=_facts(found, area),
        warning=_warning(result, k),
    )


def _patch(pictures: Pictures, window: Window, image: str) -> Optional[np.ndarray]:
    """The picture; None where the file breaks beyond what was needed of it."""
    try:
        return pictures.patch(window, image)
    except RasterError:
        return None


def _around(found: FieldMask, result: Generated) -> Window:
    """The field with a margin, cut at the grid."""
    row, col = max(0, found.window.row - _PATCH_MARGIN), max(0, found.window.col - _PATCH_MARGIN)
    return Window(
        row,
        col,
        min(result.grid.height, found.window.row + found.window.height + _PATCH_MARGIN) - row,
        min(result.grid.width, found.window.col + found.window.width + _PATCH_MARGIN) - col,
    )


def _places(candidates: Candidates, chosen: np.ndarray, window: Window) -> np.ndarray:
    x = candidates.cols[chosen] - window.col + 0.5
    y = candidates.rows[chosen] - window.row + 0.5
    return np.column_stack((x, y))


def _facts(found: FieldMask, area: float) -> Tuple[Fact, ...]:
    facts = [("Field", f"{area:.2f} ha"), ("Mask score", f"{found.score:.2f}")]
    if found.cut_off:
        facts.append(("Field", "runs on beyond the window"))
    return tuple(facts)


def _warning(result: Generated, k: int) -> str:
    if not result.verdict.suspicious[k]:
        return ""
    return (
        f"Its profile is closer to {result.verdict.nearest_class[k]} than to the other "
        f"references of {result.labels[k]}."
    )
