"""Cleaning of samples that exist: each against its reference or against its class."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Dict, Hashable, Optional, Sequence, Tuple

import numpy as np

from ..monitor import SILENT, Monitor
from .agreement import agreement
from .classes import decode, encode
from .cleaning import CleaningOptions, Prepared, Reason, compare, dates_needed, prepare
from .curves import class_medians, median_profile
from .distances import Metric, similarity
from .profiles import Profiles


@dataclass(frozen=True)
class Cleaned:
    """The verdict on n samples."""

    distance: np.ndarray
    """(n,) float64 to the reference or the own class; NaN where unknown."""
    similarity: np.ndarray
    """(n,) float64."""
    margin: np.ndarray
    """(n,) float32: nearest other class less own class; NaN where unknown."""
    nearest_class: np.ndarray
    """(n,) object; None where unknown."""
    n_valid: np.ndarray
    n_interpolated: np.ndarray
    reason: np.ndarray
    """(n,) object: why a sample was rejected or skipped, or None."""
    used: np.ndarray
    """(n,) bool: it could be compared."""
    prepared: Prepared

    @property
    def kept(self) -> np.ndarray:
        """(n,) bool."""
        return np.equal(self.reason, None)

    def rejected_reasons(self) -> Dict[str, int]:
        """Reason to number of samples that were compared and rejected."""
        rejected = self.reason[self.used & ~self.kept]
        return dict(Counter(reason.value for reason in rejected))


def clean_labels(
    profiles: Profiles,
    labels: Sequence[Optional[Hashable]],
    inside: np.ndarray,
    options: CleaningOptions,
    groups: Optional[Sequence[Optional[Hashable]]] = None,
    is_reference: Optional[np.ndarray] = None,
    min_margin: float = 0.0,
    monitor: Monitor = SILENT,
) -> Cleaned:
    """Compare samples with their reference (`groups` given) or with their class.

    :param profiles: one row a sample.
    :param labels: (n,) classes, None where there is none.
    :param inside: (n,) bool: the sample lies on the images.
    :param groups: (n,) what reference a sample belongs to.
    :param is_reference: (n,) bool: the sample is the reference of its group.
    :param min_margin: in index units.
    """
    prepared = prepare(profiles, options.max_gap_days)
    reason = _unusable(prepared, labels, inside, options)
    used = np.flatnonzero(np.equal(reason, None))
    names, codes = encode([labels[k] for k in used])
    samples = prepared.take(used)
    margin, nearest, own = _agreement(samples.filled, codes, names)
    if groups is None:
        distance, alike = _against_class(samples, codes, own, options, monitor)
    else:
        chosen = [groups[k] for k in used]
        marked = is_reference[used] if is_reference is not None else np.zeros(len(used), bool)
        distance, alike = _against_group(samples, chosen, marked, options, monitor)
    reason[used[~alike]] = Reason.DISTANCE
    with np.errstate(invalid="ignore"):
        reason[used[alike & (margin < min_margin)]] = Reason.MARGIN
    spread = _Spread(len(labels), used)
    return Cleaned(
        spread.numbers(distance),
        spread.numbers(similarity(options.metric, distance, prepared.dates)),
        spread.numbers(margin).astype(np.float32),
        spread.objects(nearest),
        prepared.n_valid,
        prepared.n_interpolated,
        reason,
        np.isin(np.arange(len(labels)), used),
        prepared,
    )


class _Spread:
    """Values of the used samples, put back among all."""

    def __init__(self, count: int, used: np.ndarray) -> None:
        self._count, self._used = count, used

    def numbers(self, values: np.ndarray) -> np.ndarray:
        spread = np.full(self._count, np.nan)
        spread[self._used] = values
        return spread

    def objects(self, values: np.ndarray) -> np.ndarray:
        spread = np.full(self._count, None, dtype=object)
        spread[self._used] = values
        return spread


def _unusable(
    prepared: Prepared,
    labels: Sequence[Optional[Hashable]],
    inside: np.ndarray,
    options: CleaningOptions,
) -> np.ndarray:
    reason = np.full(len(labels), None, dtype=object)
    needed = dates_needed(prepared.dates, options.min_valid_share)
    reason[prepared.n_valid < needed] = Reason.FEW_DATES
    reason[~inside] = Reason.OUTSIDE
    reason[[k for k, label in enumerate(labels) if label is None]] = Reason.NO_CLASS
    return reason


def _agreement(
    filled: np.ndarray, codes: np.ndarray, names: Sequence[Hashable]
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Margin, nearest class and own distance of each sample."""
    found = agreement(filled, codes)
    nearest = decode(found.nearest_class.astype(np.int64), names)
    return found.margin, nearest, found.own_distance


def _against_class(
    samples: Prepared,
    codes: np.ndarray,
    own: np.ndarray,
    options: CleaningOptions,
    monitor: Monitor,
) -> Tuple[np.ndarray, np.ndarray]:
    """Distance to the class: to its nearest curve for `mean`, else to its median profile."""
    if options.metric is Metric.MEAN:
        return own.astype(np.float64), own <= options.max_distance
    medians = class_medians(samples.filled, codes)[1].astype(np.float32)
    comparison = compare(samples, medians, codes, options, monitor)
    return comparison.distance, comparison.alike


def _against_group(
    samples: Prepared,
    groups: Sequence[Optional[Hashable]],
    marked: np.ndarray,
    options: CleaningOptions,
    monitor: Monitor,
) -> Tuple[np.ndarray, np.ndarray]:
    names, codes = encode([str(group) for group in groups])
    filled = samples.filled
    profiles = [_group_profile(filled[codes == k], marked[codes == k]) for k in range(len(names))]
    references = np.array(profiles, dtype=np.float32).reshape(len(names), filled.shape[1])
    comparison = compare(samples, references, codes, options, monitor)
    return comparison.distance, comparison.alike


def _group_profile(filled: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """The reference's own profile where one is marked, else the median of the group."""
    return median_profile(filled[marked] if marked.any() else filled)
