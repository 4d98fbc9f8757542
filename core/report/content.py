"""What a report of sample generation or sample cleaning says: data only, no layout.

The caller fills these from its results and hands a `SampleReport` to `html.render`. Nothing here
is a sentence of the page itself (those are in `labels`), except texts that the caller knows
best: stage names, reasons, facts and warnings.

Pixel coordinates: x to the right, y downwards, the centre of the upper left pixel is (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Count = tuple[str, int]
"""What was counted, and how many."""
Fact = tuple[str, str]
"""A name and its value, both as shown."""


def _no_points() -> np.ndarray:
    return np.empty((0, 2), dtype=np.float64)


@dataclass(frozen=True)
class ReferencePage:
    """What became of one reference; shown as one card."""

    ref_id: str
    class_name: str
    days: tuple[str, ...] = ()
    """T ISO dates (YYYY-MM-DD), ascending."""
    reference_profile: np.ndarray | None = None
    """(T,) float, index values of the reference; NaN = no value."""
    reference_interpolated: np.ndarray | None = None
    """(T,) bool, True where the value was filled in rather than observed; None = none was."""
    kept_quantiles: np.ndarray | None = None
    """(3, T) float, 10, 50 and 90 % of the kept pixels; None = none was kept."""
    rejected_quantiles: np.ndarray | None = None
    """(3, T) float, 10, 50 and 90 % of the pixels rejected by their profile; None = none was."""
    image_date: str = ""
    """ISO date of the patch, '' when there is none."""
    patch: np.ndarray | None = None
    """(h, w, 3) uint8, the composite the field was segmented on; None = no picture."""
    prompt_xy: tuple[float, float] | None = None
    """The reference in patch pixels."""
    mask: np.ndarray | None = None
    """(h, w) bool, the field found."""
    kept_xy: np.ndarray = field(default_factory=_no_points)
    """(n, 2) float, pixels kept as samples, in patch pixels."""
    rejected_xy: np.ndarray = field(default_factory=_no_points)
    """(n, 2) float, candidate pixels rejected, in patch pixels."""
    counts: tuple[Count, ...] = ()
    """Pixels left after each stage for this reference, in order: candidates first, kept last."""
    facts: tuple[Fact, ...] = ()
    """For example mask rule, score, area, distance limit."""
    warning: str = ""
    """One sentence when something looks wrong with the reference, else ''."""


@dataclass(frozen=True)
class ClassTotal:
    """One row of the class table."""

    class_name: str
    references: int
    """References of the class that were used."""
    candidates: int
    """Pixels compared."""
    kept: int
    """Pixels kept as samples."""
    area_ha: float | None = None
    """Area of the fields found in hectares; None where no field was looked for."""
    colour: str = ""
    """#rrggbb as in the map; '' = taken from a colour-blind safe set."""


@dataclass(frozen=True)
class Suspicion:
    """A reference whose profile is closer to another class than to its own."""

    ref_id: str
    class_name: str
    nearest_class: str
    margin: float
    """Distance to the own class less distance to the nearest class, in index units; > 0."""


@dataclass(frozen=True)
class ClassProfile:
    """The median profile of one class, on the days of the report."""

    class_name: str
    median: np.ndarray
    """(T,) float, NaN = no value."""
    colour: str = ""
    """#rrggbb; '' = the colour of the class in `SampleReport.classes`, else a default."""


@dataclass(frozen=True)
class SampleReport:
    """Everything on the page."""

    title: str
    created: str
    """When the run ended, as shown."""
    index_name: str
    """For example NDVI: the label of the value axes."""
    parameters: tuple[Fact, ...] = ()
    stages: tuple[Count, ...] = ()
    """Pixels left after each stage of the whole run, in order: candidates first, kept last."""
    classes: tuple[ClassTotal, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    """Reference id and reason."""
    rejected_reasons: tuple[Count, ...] = ()
    """Reason and number of rejected pixels."""
    suspicious: tuple[Suspicion, ...] = ()
    pages: tuple[ReferencePage, ...] = ()
    days: tuple[str, ...] = ()
    """T ISO dates, ascending: the time axis of `class_profiles`."""
    class_profiles: tuple[ClassProfile, ...] = ()
    files: tuple[Fact, ...] = ()
    """Label and path of the outputs."""
    versions: tuple[Fact, ...] = ()
    """Software and model versions."""
    subtitle: str = ""
    """For example the folder of the series and its period."""
    language: str = "en"
    """BCP 47 tag of the labels, for screen readers and hyphenation."""

    @property
    def references_used(self) -> int:
        """References that gave candidates to compare."""
        return sum(total.references for total in self.classes)

    @property
    def candidates(self) -> int:
        """Pixels compared, all classes."""
        return sum(total.candidates for total in self.classes)

    @property
    def kept(self) -> int:
        """Pixels kept as samples, all classes."""
        return sum(total.kept for total in self.classes)
