"""Which date of a series is clearest: over an area, or around each of many places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..monitor import SILENT, Monitor
from .grid import Window, blocks
from .indices import Index
from .raster import Raster
from .reading import each_image
from .series import Series, SeriesImage, Skipped

_READ_SIDE = 1024
_SAMPLE_SIDE = 64
"""A window is judged on at most this many pixels a side."""
_NEAR_BEST = 0.02
"""Dates whose valid share is this close to the best one count as equally clear."""
_DAYS_APART = 20
"""Dates closer than this show the same fields the same way."""


@dataclass(frozen=True)
class ValidShare:
    """How much of an area can be seen on one image."""

    image: SeriesImage
    share: float
    """0..1 of the pixels of the area."""


def valid_shares(
    series: Series,
    roles: Sequence[str],
    inside: Optional[Callable[[Window], np.ndarray]] = None,
    monitor: Monitor = SILENT,
) -> Tuple[List[ValidShare], List[Skipped]]:
    """Share of valid pixels of each image in an area, clouds and no data apart.

    :param roles: bands that must have data.
    :param inside: gives (h, w) bool for a window: the pixels of the area; None: all pixels.
    :returns: one entry a readable image in the order of the dates, and unreadable images.
    """

    def count(position: int, image: SeriesImage, raster: Raster) -> Tuple[int, int, int]:
        valid = total = 0
        for window in blocks(series.grid, _READ_SIDE, _READ_SIDE):
            monitor.check()
            wanted = None if inside is None else inside(window)
            if wanted is not None and not wanted.any():
                continue
            usable = series.read(raster, image, roles, window)[1]
            valid += int(usable.sum() if wanted is None else (usable & wanted).sum())
            total += usable.size if wanted is None else int(wanted.sum())
        return position, valid, total

    counts, broken = each_image(series, count, monitor)
    shares = [
        ValidShare(series.images[position], valid / total if total else 0.0)
        for position, valid, total in sorted(counts)
    ]
    return shares, broken


def clearest(
    series: Series,
    windows: Sequence[Window],
    index: Index,
    most: int = 1,
    monitor: Monitor = SILENT,
) -> Dict[Window, Tuple[SeriesImage, ...]]:
    """The images on which fields can be told apart best, for each window.

    Among the dates that are about as clear as the clearest one, those on which the index varies
    most within the window, at least 20 days apart (specification A6, defect 16).

    :param most: images a window; at least one is given, others only where they are as clear.
    """
    wanted = sorted(set(windows))

    def judge(position: int, image: SeriesImage, raster: Raster) -> Tuple[int, np.ndarray]:
        return position, np.array(
            [_seen(series, raster, image, index, window, monitor) for window in wanted]
        ).reshape(len(wanted), 2)

    results, _ = each_image(series, judge, monitor)
    if not results:
        return {}
    results.sort(key=lambda result: result[0])
    images = [series.images[position] for position, _ in results]
    judged = np.stack([seen for _, seen in results])
    return {
        window: tuple(images[t] for t in _pick(judged[:, k], images, most))
        for k, window in enumerate(wanted)
    }


def _seen(
    series: Series,
    raster: Raster,
    image: SeriesImage,
    index: Index,
    window: Window,
    monitor: Monitor,
) -> Tuple[float, float]:
    """Valid share and standard deviation of the index in a window."""
    monitor.check()
    shape = min(window.height, _SAMPLE_SIDE), min(window.width, _SAMPLE_SIDE)
    bands, valid = series.read(raster, image, sorted(index.roles), window, shape)
    values = index(bands)[valid]
    values = values[np.isfinite(values)]
    return values.size / valid.size, float(values.std()) if values.size else 0.0


def _pick(seen: np.ndarray, images: Sequence[SeriesImage], most: int) -> List[int]:
    """Positions of the best of (T, 2) valid shares and spreads, best first."""
    share, spread = seen[:, 0], seen[:, 1]
    clear = np.flatnonzero(share >= share.max() - _NEAR_BEST)
    picked: List[int] = []
    for t in clear[np.argsort(-spread[clear], kind="stable")]:
        apart = [abs((images[t].date - images[other].date).days) for other in picked]
        if all(days >= _DAYS_APART for days in apart):
            picked.append(int(t))
        if len(picked) == most:
            break
    return picked
