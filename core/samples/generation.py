"""The main job: from labelled references and a series to fields and clean samples.

    references -> fields (segmenter) -> candidates (the field's pixels) -> profiles
               -> cleaning (candidate against its reference) -> claims and thinning -> samples

Method: Sun et al. 2024, Remote Sensing 16(9):1505, with the corrections of specification A6.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Dict, List, Sequence, Tuple

import numpy as np

from ..errors import NoReferenceError
from ..fields.field_mask import FieldMask
from ..fields.finding import FieldOptions, find_fields
from ..fields.masks import erode
from ..fields.segmenter import Prompts, Segmenter
from ..imagery.grid import Grid
from ..imagery.indices import Index
from ..imagery.pictures import Pictures
from ..imagery.series import Series, Skipped
from ..monitor import SILENT, Monitor
from .agreement import agreement
from .classes import decode, encode
from .cleaning import CleaningOptions, Comparison, Prepared, Reason, compare, dates_needed, prepare
from .distances import similarity
from .profiles import Profiles, read_profiles
from .references import Placed, Reference, SkippedReference, place
from .suspicion import Verdict, suspicious_references
from .thinning import ConflictPolicy, resolve_claims, thin


@dataclass(frozen=True)
class GenerationOptions:
    """How samples are generated."""

    index: Index
    fields: FieldOptions = FieldOptions()
    cleaning: CleaningOptions = CleaningOptions()
    conflict: ConflictPolicy = ConflictPolicy.DROP
    keep_suspicious: bool = False
    """Also keep samples of references whose profile agrees with another class."""
    max_per_reference: int = 0
    """0: all."""
    min_spacing_px: Tuple[float, float] = (0.0, 0.0)
    """Along rows and columns."""
    edge_pixels: int = 0
    """Width of the rim of a field that gives no candidates."""


@dataclass(frozen=True)
class Candidates:
    """Pixels of the fields, n in all, grouped by their reference."""

    owner: np.ndarray
    """(n,) int, position of the reference in `Generated.placed`."""
    rows: np.ndarray
    """(n,) int64 on the grid."""
    cols: np.ndarray
    distance: np.ndarray
    """(n,) float64, NaN where it could not be compared."""
    n_valid: np.ndarray
    n_interpolated: np.ndarray
    margin: np.ndarray
    """(n,) float32: distance to the nearest other class less that to the own; NaN: unknown."""
    nearest_class: np.ndarray
    """(n,) object: the class whose references it is most like."""
    reason: np.ndarray
    """(n,) object: None for a sample, else the `Reason` it is not one."""

    @property
    def kept(self) -> np.ndarray:
        """(n,) bool."""
        return np.equal(self.reason, None)


@dataclass(frozen=True)
class Generated:
    """All that a run made."""

    grid: Grid
    placed: Placed
    """The references that were used."""
    skipped: Tuple[SkippedReference, ...]
    fields: Tuple[FieldMask, ...]
    """One field a used reference, in the same order."""
    candidates: Candidates
    verdict: Verdict
    """One entry a used reference."""
    profiles: Prepared
    """Profiles of all pixels, (p, T)."""
    profile_of: np.ndarray
    """(n,) row of each candidate in `profiles`."""
    reference_profile_of: np.ndarray
    """(r,) row of each reference in `profiles`."""
    dates: Tuple
    broken: Tuple[Skipped, ...]
    encodes: int
    similarity: np.ndarray
    """(n,) float64, 1 / (1 + d) on the scale of the reference system."""
    keep_suspicious: bool = False
    seconds: Dict[str, float] = field(default_factory=dict)

    @property
    def labels(self) -> np.ndarray:
        """(r,) object, the class of each used reference."""
        return _labels(self.placed)


def generate(
    series: Series,
    references: Sequence[Reference],
    pictures: Pictures,
    segmenter: Segmenter,
    options: GenerationOptions,
    monitor: Monitor = SILENT,
) -> Generated:
    """Run the main job.

    :raises NoReferenceError: where no reference can be used.
    :raises Cancelled:
    """
    clock = _Clock()
    placed = place(references, series.grid)
    _require(placed, "lies in the area of the images; check its coordinate reference system")
    placed, fields, encodes = _fields(placed, pictures, segmenter, options, monitor.part(0, 0.6))
    clock.lap("fields")
    owner, rows, cols = _candidate_pixels(placed, fields, options.edge_pixels)
    profiles, profile_of, reference_of = _profiles(
        series, placed, rows, cols, options, monitor.part(0.6, 0.9)
    )
    clock.lap("profiles")
    usable = _usable_references(profiles, reference_of, options.cleaning)
    placed, fields, owner, chosen = _without_poor(placed, fields, owner, usable)
    rows, cols, profile_of, reference_of = (
        rows[chosen], cols[chosen], profile_of[chosen], reference_of[usable],
    )  # fmt: skip
    _require(placed, "has enough valid dates; see MIN_VALID_SHARE and INVALID_QA")
    prepared = prepare(profiles, options.cleaning.max_gap_days)
    verdict = suspicious_references(prepared.filled[reference_of], _codes(placed)[1])
    monitor.check()
    comparison = compare(
        prepared.take(profile_of), prepared.filled[reference_of], owner, options.cleaning,
        monitor,
    )  # fmt: skip
    clock.lap("cleaning")
    reason = _reasons(placed, owner, rows, cols, comparison, verdict, series.grid, options)
    margin, nearest = _margins(prepared, profile_of, reference_of, owner, placed)
    clock.lap("claims")
    monitor.progress(1.0)
    candidates = Candidates(
        owner, rows, cols, comparison.distance,
        prepared.n_valid[profile_of], prepared.n_interpolated[profile_of],
        margin, nearest, reason,
    )  # fmt: skip
    return Generated(
        series.grid, placed, placed.skipped, fields, candidates,
        _named(verdict, placed), prepared, profile_of, reference_of, profiles.dates,
        profiles.broken, encodes,
        similarity(options.cleaning.metric, comparison.distance, prepared.dates),
        options.keep_suspicious, clock.seconds,
    )  # fmt: skip


class _Clock:
    """Wall time of the stages."""

    def __init__(self) -> None:
        self.seconds: Dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now


def _require(placed: Placed, what: str) -> None:
    if placed.references:
        return
    reasons = sorted({str(s.reason.value) for s in placed.skipped})
    raise NoReferenceError(
        f"REFERENCES: none of the {len(placed.skipped)} reference point(s) {what} "
        f"({', '.join(reasons)})."
    )


def _skip(placed: Placed, keep: np.ndarray, reason: Reason) -> Placed:
    """Leave out references, and note why."""
    out = tuple(
        SkippedReference(r.id, r.label, r.x, r.y, reason)
        for r, kept in zip(placed.references, keep)
        if not kept
    )
    kept = placed.select(keep)
    return Placed(kept.references, kept.x, kept.y, kept.rows, kept.cols, placed.skipped + out)


def _fields(
    placed: Placed,
    pictures: Pictures,
    segmenter: Segmenter,
    options: GenerationOptions,
    monitor: Monitor,
) -> Tuple[Placed, Tuple[FieldMask, ...], int]:
    """One field a reference; the prompt is the pixel's centre, and never holds the class."""
    prompts = [Prompts.click(c + 0.5, r + 0.5) for r, c in zip(placed.rows, placed.cols)]
    found = find_fields(prompts, pictures, segmenter, options.fields, monitor)
    keep = np.ones(len(prompts), dtype=bool)
    keep[list(found.missing)] = False
    placed = _skip(placed, keep, Reason.NO_FIELD)
    _require(placed, "has a field that the segmenter could find")
    return placed, found.masks, found.encodes


def _candidate_pixels(
    placed: Placed, fields: Sequence[FieldMask], edge_pixels: int
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Owner, row and column of the fields' pixels; a reference's own pixel is none."""
    owners: List[np.ndarray] = []
    places: List[np.ndarray] = []
    for k, found in enumerate(fields):
        rows, cols = _inner_pixels(found, edge_pixels)
        other = (rows != placed.rows[k]) | (cols != placed.cols[k])
        places.append(np.stack((rows[other], cols[other])))
        owners.append(np.full(int(other.sum()), k))
    rows, cols = np.concatenate(places, axis=1).astype(np.int64)
    return np.concatenate(owners), rows, cols


def _inner_pixels(found: FieldMask, edge_pixels: int) -> Tuple[np.ndarray, np.ndarray]:
    """Pixels of a field without its rim."""
    if edge_pixels <= 0:
        return found.pixels
    # `erode` spares the border of an array; a mask cut to its rectangle has its own rim there.
    rows, cols = np.nonzero(erode(np.pad(found.mask, 1), edge_pixels)[1:-1, 1:-1])
    return rows + found.window.row, cols + found.window.col


def _profiles(
    series: Series,
    placed: Placed,
    rows: np.ndarray,
    cols: np.ndarray,
    options: GenerationOptions,
    monitor: Monitor,
) -> Tuple[Profiles, np.ndarray, np.ndarray]:
    """Read every pixel once, whoever claims it; candidates first, then the references."""
    own = _keys(series.grid, placed.rows, placed.cols)
    keys = np.concatenate([_keys(series.grid, rows, cols), own])
    unique, position = np.unique(keys, return_inverse=True)
    profiles = read_profiles(
        series, unique // series.grid.width, unique % series.grid.width, options.index, monitor
    )
    return profiles, position[: len(rows)], position[len(rows) :]


def _keys(grid: Grid, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """One number a pixel."""
    return rows * grid.width + cols


def _usable_references(
    profiles: Profiles, reference_of: np.ndarray, options: CleaningOptions
) -> np.ndarray:
    """(r,) bool: enough valid dates (specification A6, defect 10)."""
    needed = dates_needed(len(profiles.dates), options.min_valid_share)
    return profiles.valid[reference_of].sum(axis=1) >= needed


def _without_poor(
    placed: Placed, fields: Sequence[FieldMask], owner: np.ndarray, usable: np.ndarray
) -> Tuple[Placed, Tuple[FieldMask, ...], np.ndarray, np.ndarray]:
    """Leave out references with too few dates, and their candidates."""
    chosen = usable[owner]
    position = np.cumsum(usable) - 1
    fields = tuple(f for f, kept in zip(fields, usable) if kept)
    placed = _skip(placed, usable, Reason.FEW_DATES)
    return placed, fields, position[owner[chosen]], chosen


def _labels(placed: Placed) -> np.ndarray:
    labels = np.empty(len(placed.references), dtype=object)
    labels[:] = [r.label for r in placed.references]
    return labels


def _codes(placed: Placed) -> Tuple[list, np.ndarray]:
    """The classes and the position of each reference's class."""
    return encode([reference.label for reference in placed.references])


def _named(verdict: Verdict, placed: Placed) -> Verdict:
    """The verdict with classes in place of their codes."""
    return Verdict(
        verdict.suspicious, verdict.margin, decode(verdict.nearest_class, _codes(placed)[0])
    )


def _reasons(
    placed: Placed,
    owner: np.ndarray,
    rows: np.ndarray,
    cols: np.ndarray,
    comparison: Comparison,
    verdict: Verdict,
    grid: Grid,
    options: GenerationOptions,
) -> np.ndarray:
    """(n,) object: why each candidate is no sample, or None."""
    reason = np.full(len(owner), None, dtype=object)
    reason[~comparison.alike] = Reason.DISTANCE
    reason[comparison.few_dates] = Reason.FEW_DATES
    if not options.keep_suspicious:
        reason[verdict.suspicious[owner]] = Reason.SUSPICIOUS
    pixel, own = _keys(grid, rows, cols), _keys(grid, placed.rows, placed.cols)
    _settle_claims(reason, placed, owner, pixel, own, comparison, verdict, options)
    _thin(reason, owner, rows, cols, comparison, options)
    return reason


def _settle_claims(
    reason: np.ndarray,
    placed: Placed,
    owner: np.ndarray,
    pixel: np.ndarray,
    own: np.ndarray,
    comparison: Comparison,
    verdict: Verdict,
    options: GenerationOptions,
) -> None:
    """Note conflicts and duplicates; a reference claims its own pixel with distance 0."""
    codes = _codes(placed)[1]
    trusted = np.arange(len(codes))
    if not options.keep_suspicious:
        trusted = trusted[~verdict.suspicious]
    live = np.flatnonzero(np.equal(reason, None))
    conflict, duplicate = resolve_claims(
        np.concatenate([pixel[live], own[trusted]]),
        np.concatenate([codes[owner[live]], codes[trusted]]),
        np.concatenate([comparison.distance[live], np.full(len(trusted), -1.0)]),
        options.conflict,
    )
    reason[live[conflict[: len(live)]]] = Reason.CONFLICT
    reason[live[duplicate[: len(live)]]] = Reason.DUPLICATE


def _thin(
    reason: np.ndarray,
    owner: np.ndarray,
    rows: np.ndarray,
    cols: np.ndarray,
    comparison: Comparison,
    options: GenerationOptions,
) -> None:
    live = np.flatnonzero(np.equal(reason, None))
    stays = thin(
        owner[live], rows[live], cols[live], comparison.distance[live],
        options.max_per_reference, options.min_spacing_px,
    )  # fmt: skip
    reason[live[~stays]] = Reason.THINNED


def _margins(
    prepared: Prepared,
    profile_of: np.ndarray,
    reference_of: np.ndarray,
    owner: np.ndarray,
    placed: Placed,
) -> Tuple[np.ndarray, np.ndarray]:
    """Margin and nearest class of each candidate, every reference counting once."""
    classes, codes = _codes(placed)
    if len(owner) == 0:
        return np.empty(0, np.float32), np.empty(0, dtype=object)
    found = agreement(prepared.filled[profile_of], codes[owner], sources=owner)
    return found.margin, decode(found.nearest_class, classes)
