"""A series: dated images of one place, read in windows on one grid.

The folder is looked through once. Files that cannot be used are set aside with a reason; the
grid that most images share is the grid of the series, and the others are warped onto it when
they are read.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import BandError, RasterError, SeriesError
from .bands import QUALITY, REFLECTANCE, roles_from_names
from .dates import date_from_name, date_from_tags
from .grid import Grid, Window
from .quality import DEFAULT_INVALID, valid_codes
from .raster import Raster, RasterInfo
from .raster_gdal import GdalRaster, describe, same_grid
from .sources import ImageFile, image_files

_SENTINEL_SCALE = 1e-4
_BASELINE_SHIFT = -1000.0
"""Added to digital numbers by processing baseline 04.00 and later (January 2022)."""
_SHIFT_APPLIED = "BOA_OFFSET_APPLIED=TRUE"
"""Tag of Earth Search, which has taken the shift out of some images."""
_BASELINE_IN_NAME = re.compile(r"_N(\d{2})(\d{2})_")


@dataclass(frozen=True)
class Skipped:
    """Something that was left out, and why."""

    item: str
    reason: str


@dataclass(frozen=True)
class SeriesOptions:
    """How a folder of images is to be read."""

    bands: Mapping[str, int] = field(default_factory=dict)
    """Role to 1-based band number; empty: from the band descriptions."""
    scale: Optional[float] = None
    """Reflectance = digital number x scale + offset; None: from the file."""
    offset: Optional[float] = None
    invalid_qa: FrozenSet[int] = DEFAULT_INVALID


@dataclass(frozen=True)
class SeriesImage:
    """One dated image."""

    date: dt.date
    info: RasterInfo
    roles: Mapping[str, int]
    """Role to 1-based band number."""
    scale: float
    offset: float
    """In reflectance; applies to reflectance bands only."""
    on_grid: bool
    """Whether it stands on the grid of the series; otherwise it is warped when read."""

    @property
    def name(self) -> str:
        """File name."""
        return Path(self.info.path).name


@dataclass(frozen=True)
class Series:
    """Dated images on one grid, in the order of their dates."""

    folder: str
    images: Tuple[SeriesImage, ...]
    grid: Grid
    invalid_qa: FrozenSet[int]
    skipped: Tuple[Skipped, ...]
    """Files that are no part of it."""

    @property
    def dates(self) -> Tuple[dt.date, ...]:
        """One date an image; a day may occur twice."""
        return tuple(image.date for image in self.images)

    @property
    def has_quality(self) -> bool:
        """Whether any image has a quality band."""
        return any(QUALITY in image.roles for image in self.images)

    def open(self, image: SeriesImage) -> Raster:
        """Open an image for `read`; in the thread that reads."""
        return GdalRaster(image.info.path)

    def read(
        self,
        raster: Raster,
        image: SeriesImage,
        roles: Sequence[str],
        window: Window,
        shape: Optional[Tuple[int, int]] = None,
    ) -> Tuple[Dict[str, np.ndarray], np.ndarray]:
        """Read bands of one image in a window.

        :returns: role to (h, w) float32 (reflectances scaled, other bands as stored), and
            (h, w) bool: every band has data and the quality code is not an invalid one.
        :raises RasterError: where the file cannot be read.
        """
        stored = self._stored(raster, image, roles, window, shape)
        bands, valid = {}, None
        for role, values in zip(roles, stored):
            bands[role], usable = _physical(values, role, image)
            valid = usable if valid is None else valid & usable
        if QUALITY in image.roles:
            onto = None if image.on_grid else self.grid
            codes = raster.read([image.roles[QUALITY]], window, onto, True, shape)[0]
            valid &= valid_codes(codes, self.invalid_qa)
        return bands, valid

    def _stored(
        self,
        raster: Raster,
        image: SeriesImage,
        roles: Sequence[str],
        window: Window,
        shape: Optional[Tuple[int, int]],
    ) -> np.ndarray:
        onto = None if image.on_grid else self.grid
        return raster.read([image.roles[role] for role in roles], window, onto, False, shape)


def _physical(
    values: np.ndarray, role: str, image: SeriesImage
) -> Tuple[np.ndarray, np.ndarray]:
    """Reflectance (or the stored value) as float32, and where there is data."""
    nodata = image.info.nodata[image.roles[role] - 1]
    usable = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    if nodata is not None and not np.isnan(nodata):
        usable &= values != nodata
    if role not in REFLECTANCE:
        return values.astype(np.float32), usable
    usable &= values != 0
    return values.astype(np.float32) * np.float32(image.scale) + np.float32(image.offset), usable


def open_series(
    folder: Union[str, Path],
    roles: Sequence[str],
    options: Optional[SeriesOptions] = None,
    at_least: int = 1,
) -> Series:
    """Look through a folder of dated images.

    :param folder: one raster a date (`.tif`, `.tiff`, `.vrt`), not searched in depth; or a cube
        folder with its cube.json.
    :param roles: band roles that every image must have; images without are set aside.
    :param at_least: how many dated images are needed.
    :raises SeriesError: no folder, no image, no date, too few dates.
    :raises BandError: no image has the bands.
    """
    options = options or SeriesOptions()
    files = image_files(Path(folder), roles)
    images: List[SeriesImage] = []
    skipped: List[Skipped] = []
    for file in files:
        try:
            images.append(_image(file, roles, options))
        except (RasterError, SeriesError, BandError) as error:
            skipped.append(Skipped(file.path.name, str(error)))
    if not images:
        raise _nothing(folder, skipped)
    series = _on_one_grid(str(folder), images, skipped, options)
    distinct = len(set(series.dates))
    if distinct < at_least:
        raise SeriesError(
            f"SERIES: {folder} holds {distinct} usable dated image(s), at least {at_least} are "
            f"needed{_first_reason(series.skipped)}."
        )
    return series


def _image(file: ImageFile, roles: Sequence[str], options: SeriesOptions) -> SeriesImage:
    path = file.path
    if path.is_file() and path.stat().st_size == 0:
        raise RasterError("the file is empty (0 bytes)")
    info = _completed(describe(str(path)), file)
    date = file.date or date_from_name(path.name) or date_from_tags(info.tags)
    if date is None:
        raise SeriesError("no date in the file name (YYYYMMDD) nor in its tags")
    found = dict(options.bands) or dict(file.roles or roles_from_names(info.band_names))
    missing = sorted(set(roles) - set(found))
    if missing:
        raise BandError(f"no band for {', '.join(missing)}; it has {_listed(info.band_names)}")
    _check_numbers(found, roles, info)
    scale, offset = _scaling(info, found, options)
    return SeriesImage(date, info, found, scale, offset, on_grid=True)


def _completed(info: RasterInfo, file: ImageFile) -> RasterInfo:
    """What the file says of itself, with what its cube.json adds."""
    nodata, scales = info.nodata, info.scales
    if file.nodata is not None:
        nodata = tuple(float(file.nodata) if own is None else own for own in nodata)
    if file.scale is not None:
        scales = (float(file.scale),) * info.count
    return replace(info, nodata=nodata, scales=scales)


def _listed(names: Sequence[str]) -> str:
    named = ", ".join(name for name in names if name)
    return f"{len(names)} bands: {named}" if named else f"{len(names)} bands without names"


def _check_numbers(found: Mapping[str, int], roles: Sequence[str], info: RasterInfo) -> None:
    for role in [*roles, *([QUALITY] if QUALITY in found else [])]:
        if found[role] > info.count:
            raise BandError(f"band {found[role]} for {role} asked for, but it has {info.count}")


def _scaling(
    info: RasterInfo, roles: Mapping[str, int], options: SeriesOptions
) -> Tuple[float, float]:
    """Scale and offset of the reflectance bands, by parameter, file or Sentinel-2 rule."""
    band = next((number - 1 for role, number in roles.items() if role in REFLECTANCE), 0)
    scale, offset = info.scales[band], info.offsets[band]
    if options.scale is not None:
        scale = options.scale
    elif scale == 1.0 and info.dtype.kind in "ui":
        scale = _SENTINEL_SCALE
    if options.offset is not None:
        return scale, _in_reflectance(options.offset, scale)
    if offset == 0.0 and info.dtype.kind in "ui" and _has_baseline_shift(info):
        offset = _BASELINE_SHIFT * scale
    return scale, offset


def _in_reflectance(offset: float, scale: float) -> float:
    """An offset such as -1000 beside a scale of 0.0001 was meant in digital numbers."""
    return offset * scale if abs(offset) >= 1 and abs(scale) < 0.1 else offset


def _has_baseline_shift(info: RasterInfo) -> bool:
    """Whether digital numbers carry the shift of processing baseline 04.00 and later."""
    tags = {key.upper(): str(value) for key, value in info.tags.items()}
    # GDAL splits a tag at its first colon: EARTHSEARCH = BOA_OFFSET_APPLIED=True.
    if any(f"{k}={v}".upper().endswith(_SHIFT_APPLIED) for k, v in tags.items()):
        return False
    if "BOA_ADD_OFFSET" in tags:
        return tags["BOA_ADD_OFFSET"].startswith("-1000")
    match = _BASELINE_IN_NAME.search(Path(info.path).name)
    number = ".".join(match.groups()) if match else tags.get("PROCESSING_BASELINE", "")
    return number.replace(".", "").isdigit() and float(number) >= 4.0


def _on_one_grid(
    folder: str,
    images: Sequence[SeriesImage],
    skipped: List[Skipped],
    options: SeriesOptions,
) -> Series:
    images = sorted(images, key=lambda image: (image.date, image.name))
    grid = _commonest([image.info.grid for image in images])
    kept = []
    for image in images:
        on_grid = same_grid(image.info.grid, grid)
        kept.append(replace(image, on_grid=on_grid))
    return Series(folder, tuple(kept), grid, options.invalid_qa, tuple(skipped))


def _commonest(grids: Sequence[Grid]) -> Grid:
    return Counter(grids).most_common(1)[0][0]


def _nothing(folder: Union[str, Path], skipped: Sequence[Skipped]) -> Exception:
    reasons = Counter(item.reason for item in skipped)
    if all("no band for" in item.reason for item in skipped):
        return BandError(
            f"BANDS: {skipped[0].item} has {skipped[0].reason}; name the bands with BANDS, for "
            "example blue=1,green=2,red=3,nir=4,qa=5."
        )
    if all("asked for" in item.reason for item in skipped):
        return SeriesError(
            f"BANDS: {skipped[0].reason} bands ({skipped[0].item}); correct the numbers."
        )
    return SeriesError(
        f"SERIES: none of the {len(skipped)} image(s) in {folder} can be used: "
        f"{reasons.most_common(1)[0][0].rstrip('.')}."
    )


def _first_reason(skipped: Sequence[Skipped]) -> str:
    if not skipped:
        return ""
    return f"; {len(skipped)} file(s) were left out, the first ({skipped[0].item}) because " + (
        skipped[0].reason.rstrip(".")
    )

