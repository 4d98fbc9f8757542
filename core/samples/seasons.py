"""The season of a field: the profile of its pixels, and whether they hold two seasons.

Two crops in one outline, or one crop sown on two days, show as two groups of profiles with a gap
between them that lie side by side. What varies inside any field (soil, seed rows, patches) has no
such gap, and what a cloud leaves behind is there on one date only. The limits below were set on
made-up fields of known truth.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import numpy as np
from scipy import ndimage
from scipy.cluster.vq import kmeans2, vq

from ..imagery.grid import Window
from .curves import median_profile
from .gapfill import UNLIMITED, extend, fill_gaps
from .profiles import Profiles

_BAND = (10.0, 90.0)
"""Percentiles of the band around the median."""
_SEEN = 0.75
"""A date counts for the decision if this share of the pixels is valid on it."""
CLOUDY = 0.5
"""A date on which a smaller share of a field is valid shows little of it."""
_FEWEST_DATES = 4
"""Fewer dates that count, and nothing is decided."""
_PIXEL_DATES = 0.5
"""A pixel counts for the decision if it is valid on this share of those dates."""
_RIM = 1
"""Pixels along the field's edge, mixed with what lies beyond it, that do not count."""
_MOST_CLUSTERED = 4000
"""Profiles that are clustered at most; more only cost time."""
_ROUNDS = 30
_ALL_AROUND = np.ones((3, 3), dtype=bool)
"""The 8 neighbours of a pixel and itself."""


@dataclass(frozen=True, eq=False)
class FieldSeason:
    """An index over the pixels of a field, or over the fields of a class, on T dates.

    Equal to itself alone, so that a comparison looks at no array.
    """

    dates: Tuple[dt.date, ...]
    """T different days, ascending."""
    median: np.ndarray
    """(T,) float32 over the valid pixels; NaN where none is."""
    low: np.ndarray
    """(T,) float32, 10th percentile."""
    high: np.ndarray
    """(T,) float32, 90th percentile."""
    valid_share: np.ndarray
    """(T,) float32, share of the pixels that are valid, 0..1."""


@dataclass(frozen=True, eq=False)
class TwoSeasons:
    """A field of n pixels in two parts; equal to itself alone."""

    labels: np.ndarray
    """(n,) bool, True in the smaller part."""
    shares: Tuple[float, float]
    """Of the pixels, the smaller part first; together 1."""
    medians: Tuple[np.ndarray, np.ndarray]
    """(T,) float32 each, the median of the valid pixels, the smaller part first; NaN: none."""
    distance: float
    """Mean absolute difference of the parts' medians, in index units."""
    steady: float
    """The same without the date on which they differ most."""
    separation: float
    """Difference of the parts in standard deviations within them, along that difference."""
    explained: float
    """Share of the variance between pixels that the two parts explain, 0..1."""
    agreement: float
    """Share of the pixels off the rim that are on the side of their neighbours, 0..1."""
    unity: float
    """Share of a part in its largest connected piece, the worse of the two, 0..1."""


@dataclass(frozen=True)
class SplitLimits:
    """What two parts must fulfil to count as two seasons."""

    share: float = 0.15
    """Of the field's pixels, in each part."""
    pixels: int = 12
    """In each part, the rim left out."""
    steady: float = 0.035
    """Index units. Days of winter, when all fields are alike, count in this mean."""
    separation: float = 5.0
    """A normal distribution cut in the middle has 2.6, an even one 3.5."""
    explained: float = 0.35
    agreement: float = 0.9
    unity: float = 0.6


_LIMITS = SplitLimits()


def season_of(profiles: Profiles) -> FieldSeason:
    """Median, band and share of valid pixels on each date."""
    median, low, high = (np.full(len(profiles.dates), np.nan, dtype=np.float32) for _ in range(3))
    seen = profiles.valid.any(axis=0)
    if seen.any():
        values = np.where(profiles.valid, profiles.values, np.nan)[:, seen]
        median[seen] = median_profile(values)
        low[seen], high[seen] = np.nanpercentile(values, _BAND, axis=0)
    share = profiles.valid.sum(axis=0) / max(1, len(profiles.valid))
    return FieldSeason(profiles.dates, median, low, high, share.astype(np.float32))


def class_season(fields: Sequence[FieldSeason]) -> Optional[FieldSeason]:
    """The season of a class: over the medians of its fields, each on the dates that show it.

    :param fields: seasons on the same dates.
    :returns: `valid_share` is the share of the fields seen; None without a field.
    """
    if not fields:
        return None
    seen = np.stack([season.valid_share >= CLOUDY for season in fields])
    medians = np.stack([season.median for season in fields])
    return season_of(Profiles(medians, seen & np.isfinite(medians), fields[0].dates))


def two_seasons(
    profiles: Profiles, rows: np.ndarray, cols: np.ndarray, limits: SplitLimits = _LIMITS
) -> Optional[TwoSeasons]:
    """Two parts of a field whose seasons differ, or None. The same pixels get the same answer.

    :param profiles: of the field's n pixels.
    :param rows: (n,) int rows of the pixels on the grid, each pixel once.
    :param cols: (n,) int columns.
    """
    if len(rows) < 2 * limits.pixels:
        return None
    place = _Place(rows, cols)
    core, curves = _comparable(profiles, place)
    if core.sum() < 2 * limits.pixels:
        return None
    side = _cluster(curves[core])
    # The parts are judged by the pixels off the rim too: an outline that runs a pixel outside the
    # field has a strip of the neighbour in it.
    if side.sum() < max(limits.pixels, limits.share * len(side)):
        return None
    found = _described(profiles, place, core, curves[core], side)
    return found if _accepted(found, limits) else None


def smaller_part(
    labels: np.ndarray, rows: np.ndarray, cols: np.ndarray
) -> Tuple[np.ndarray, Window]:
    """Where the nearest pixel of a field belongs to its smaller part: a mask to cut it with.

    :param labels: (n,) bool of `TwoSeasons`.
    :param rows: (n,) int rows of the field's pixels.
    :param cols: (n,) int columns.
    :returns: (h, w) bool and its window: the field's rectangle and one more pixel on each side,
        which may lie outside the grid.
    """
    place = _Place(rows, cols)
    height, width = place.mask.shape
    window = Window(int(rows.min()) - 1, int(cols.min()) - 1, height, width)
    return place.grown(np.ones(len(labels), dtype=bool), labels), window


def _accepted(found: TwoSeasons, limits: SplitLimits) -> bool:
    return (
        found.shares[0] >= limits.share
        and found.steady >= limits.steady
        and found.separation >= limits.separation
        and found.explained >= limits.explained
        and found.agreement >= limits.agreement
        and found.unity >= limits.unity
    )


class _Place:
    """The pixels of a field in their rectangle, with one more row and column on each side."""

    def __init__(self, rows: np.ndarray, cols: np.ndarray) -> None:
        self.at = rows - rows.min() + 1, cols - cols.min() + 1
        shape = int(self.at[0].max()) + 2, int(self.at[1].max()) + 2
        self.mask = np.zeros(shape, dtype=bool)
        self.mask[self.at] = True

    def inner(self) -> np.ndarray:
        """(n,) bool: pixels that are not on the field's rim."""
        return ndimage.binary_erosion(self.mask, iterations=_RIM)[self.at]

    def grown(self, known: np.ndarray, side: np.ndarray) -> np.ndarray:
        """(h, w) bool: every place gets the side of the nearest pixel where it is known.

        :param known: (n,) bool.
        :param side: bool, one entry a known pixel.
        """
        seeds, sides = np.zeros(self.mask.shape, dtype=bool), np.zeros(self.mask.shape, dtype=bool)
        seeds[self.at] = known
        sides[self.at[0][known], self.at[1][known]] = side
        nearest = ndimage.distance_transform_edt(
            ~seeds, return_distances=False, return_indices=True
        )
        return sides[tuple(nearest)]


def _comparable(profiles: Profiles, place: _Place) -> Tuple[np.ndarray, np.ndarray]:
    """Pixels that count (n,) bool, and gap-filled profiles (n, t) on the dates that count.

    Where a cloud covers half of a field, filled values beside seen ones look like two seasons,
    so dates count only where nearly all of the field is seen.
    """
    inner = place.inner()
    used = profiles.valid[inner].sum(axis=0) >= _SEEN * max(1, inner.sum())
    if used.sum() < _FEWEST_DATES:
        return np.zeros(len(inner), dtype=bool), profiles.values[:, used]
    filled, available, _ = fill_gaps(profiles.values, profiles.valid, profiles.days, UNLIMITED)
    counts = inner & (profiles.valid[:, used].mean(axis=1) >= _PIXEL_DATES)
    return counts, extend(filled[:, used], available[:, used]).astype(np.float64)


def _cluster(curves: np.ndarray) -> np.ndarray:
    """(n,) bool, the smaller of two groups of (n, t) profiles: 2-means, begun along the axis of
    largest variation, so that nothing is left to chance."""
    step = -(-len(curves) // _MOST_CLUSTERED)
    sample = curves[::step]
    centred = sample - sample.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    upper = centred @ axis > 0
    if upper.all() or not upper.any():
        return np.zeros(len(curves), dtype=bool)
    start = np.stack([sample[~upper].mean(axis=0), sample[upper].mean(axis=0)])
    centres, _ = kmeans2(sample, start, iter=_ROUNDS, minit="matrix")
    side = vq(curves, centres)[0].astype(bool)
    return side if side.mean() <= 0.5 else ~side


def _described(
    profiles: Profiles, place: _Place, core: np.ndarray, curves: np.ndarray, side: np.ndarray
) -> TwoSeasons:
    """The two parts with all pixels of the field, and the figures of the decision.

    :param curves: (m, t) profiles of the core.
    :param side: (m,) bool.
    """
    labels = _tidy(place.grown(core, side), place.mask)[place.at]
    if labels.mean() > 0.5:
        labels, side = ~labels, ~side
    apart = median_profile(curves[side]) - median_profile(curves[~side])
    size = np.sort(np.abs(apart))
    share = float(labels.mean())
    values = np.where(profiles.valid, profiles.values, np.nan)
    return TwoSeasons(
        labels,
        (share, 1 - share),
        tuple(median_profile(values[part]).astype(np.float32) for part in (labels, ~labels)),
        float(size.mean()),
        float(size[:-1].mean()),
        _separation(curves, side, apart),
        _explained(curves, side),
        float((labels[core] == side).mean()),
        min(_unity(labels, place), _unity(~labels, place)),
    )


def _separation(curves: np.ndarray, side: np.ndarray, apart: np.ndarray) -> float:
    """Distance of two groups along the line between them, in their own standard deviations."""
    along = curves @ (apart / max(float(apart @ apart), 1e-12))
    within = (along[side].var() + along[~side].var()) / 2
    return float(1 / np.sqrt(max(within, 1e-12)))


def _explained(curves: np.ndarray, side: np.ndarray) -> float:
    total = curves.var(axis=0).sum()
    within = sum(part.mean() * curves[part].var(axis=0).sum() for part in (side, ~side))
    return float(1 - within / max(total, 1e-12))


def _unity(part: np.ndarray, place: _Place) -> float:
    """Share of a part (n,) in its largest piece."""
    mask = np.zeros(place.mask.shape, dtype=bool)
    mask[place.at] = part
    pieces, _ = ndimage.label(mask, _ALL_AROUND)
    sizes = np.bincount(pieces[mask])
    return float(sizes.max() / sizes.sum()) if sizes.size else 0.0


def _tidy(side: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Sides (h, w) after a vote of each pixel's neighbours in the field, without small pieces."""
    weights = _ALL_AROUND.astype(np.float32)
    votes = ndimage.convolve(
        np.where(side, 1.0, -1.0).astype(np.float32) * mask, weights, mode="constant"
    )
    side = (votes > 0) & mask
    return _without_scraps(_without_scraps(side, mask), mask, inverse=True)


def _without_scraps(side: np.ndarray, mask: np.ndarray, inverse: bool = False) -> np.ndarray:
    """Give pieces smaller than a tenth of their part to the other side.

    :param inverse: look at the pieces of the other side.
    """
    part = mask & (~side if inverse else side)
    pieces, _ = ndimage.label(part, _ALL_AROUND)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = part.sum()
    scraps = (sizes < 0.1 * part.sum())[pieces] & part
    return side ^ scraps
