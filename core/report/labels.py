"""Every text of the report, in English; a caller replaces them to translate the page.

Names in braces are filled in by the page and must stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Labels:
    """Texts of the page; one field for one text."""

    # headline
    created: str = "Created {created}"
    samples_kept: str = "Samples kept"
    of_candidates: str = "{share} of the candidate pixels"
    candidates_headline: str = "Candidate pixels"
    per_reference: str = "{count} per reference on average"
    references_used: str = "References used"
    references_skipped: str = "{count} skipped"
    fields_area: str = "Area of the fields"
    classes_count: str = "{count} classes"
    suspicious_headline: str = "References to check"
    suspicious_note: str = "closer to another class"

    # tables
    stages: str = "From candidates to samples"
    stages_note: str = "Pixels left after each step."
    classes: str = "Classes"
    class_name: str = "Class"
    references: str = "References"
    candidates: str = "Candidates"
    kept: str = "Kept"
    share: str = "Share kept"
    area: str = "Area (ha)"
    class_profiles: str = "Median profile of each class"
    class_profiles_note: str = "{index}, median of the kept samples."
    suspicious: str = "References to check"
    suspicious_help: str = (
        "The profile of these references is closer to another class than to their own. "
        "Check the label and the position."
    )
    reference: str = "Reference"
    nearest_class: str = "Closer to"
    margin: str = "By ({index})"
    skipped: str = "Skipped references"
    reason: str = "Reason"
    count: str = "Number"
    rejected: str = "Why pixels were rejected"
    parameters: str = "Parameters"
    files: str = "Files"
    versions: str = "Versions"
    total: str = "All classes"

    # cards
    pages: str = "Reference by reference"
    no_pages: str = "No reference gave any candidate pixels."
    filter: str = "Find by id or class"
    only_warnings: str = "only those to check"
    image: str = "image of {date}"
    picture: str = "Field of reference {id}: {kept} pixels kept, {rejected} rejected"
    thinned: str = "Not every pixel is drawn."
    profile: str = "{index} profile of reference {id}"
    no_values: str = "no values"
    back: str = "Back to top"

    # legend
    legend: str = "Legend"
    legend_prompt: str = "reference point"
    legend_mask: str = "field found"
    legend_kept_pixel: str = "pixel kept"
    legend_rejected_pixel: str = "pixel rejected"
    legend_observed: str = "reference, observed"
    legend_interpolated: str = "reference, interpolated"
    legend_kept: str = "kept: median, 10–90 %"
    legend_rejected: str = "rejected: median, 10–90 %"

    # numbers and dates
    hectares: str = "{area} ha"
    thousands: str = ","
    decimal: str = "."
    months: str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
    """The twelve short names, separated by spaces."""

    def number(self, value: float, decimals: int = 0) -> str:
        """A number with this language's separators."""
        text = f"{value:,.{decimals}f}"
        return text.translate({ord(","): self.thousands, ord("."): self.decimal})

    def percent(self, part: float, whole: float) -> str:
        """A share in per cent, never rounded to 0 or 100 unless it is; an en dash for 0 of 0."""
        if whole <= 0:
            return "–"
        share = 100 * part / whole
        inside = 0 < part < whole
        decimals = 1 if inside and (share < 1 or share > 99) else 0
        shown = min(max(share, 0.1), 99.9) if inside else share
        return f"{self.number(shown, decimals)} %"
