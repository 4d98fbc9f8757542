"""How crops and other covers look through the year.

Each crop follows a double logistic NDVI curve; each field has its own shift, vigour and soil. From
the NDVI wanted on a day the share of green in a pixel is solved, so that the red and near infrared
of the mixture give back exactly that NDVI.

Days are days of the year; spectra are reflectances 0..1 in the order of BANDS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .landscape import Cover

BANDS = ("blue", "green", "red", "nir")
Spectrum = tuple[float, float, float, float]

SOIL: Spectrum = (0.066, 0.092, 0.122, 0.168)
STRAW: Spectrum = (0.082, 0.128, 0.180, 0.248)
BLOSSOM: Spectrum = (0.034, 0.168, 0.142, 0.450)
"""Rapeseed in full flower: yellow, so its NDVI drops while it is densest."""


@dataclass(frozen=True)
class Curve:
    """Double logistic: `base` in winter, `base + rise` at the height of the season."""

    base: float
    rise: float
    up_day: float
    up_rate: float
    down_day: float
    down_rate: float

    def greenness(
        self, day: float, up_shift: np.ndarray | float = 0.0, down_shift: np.ndarray | float = 0.0
    ) -> np.ndarray:
        """Share 0..1 of the rise reached on a day."""
        up = logistic(day, self.up_day + up_shift, self.up_rate)
        return up - logistic(day, self.down_day + down_shift, self.down_rate)

    def ndvi(self, day: float) -> float:
        """NDVI on a day without any shift."""
        return float(self.base + self.rise * np.maximum(self.greenness(day), 0.0))


@dataclass(frozen=True)
class Crop:
    """A crop: class code 1.., its curve, its leaves and what it leaves behind."""

    code: int
    name: str
    share: float
    curve: Curve
    leaf: Spectrum
    residue: Spectrum
    regrowth: float = 0.0
    """Mean NDVI gain of volunteer plants after the harvest."""
    cover_crop_chance: float = 0.0
    """Chance that a cover crop is sown after the harvest."""
    regrowth_end: float = 330.0
    flower_day: float = 0.0
    flower_dip: float = 0.0


CROPS = (
    Crop(
        1,
        "winter wheat",
        0.36,
        Curve(0.18, 0.66, 84, 0.062, 173, 0.115),
        (0.025, 0.055, 0.020, 0.430),
        STRAW,
        regrowth=0.06,
        cover_crop_chance=0.35,
    ),
    Crop(
        2,
        "maize",
        0.26,
        Curve(0.17, 0.66, 163, 0.105, 261, 0.085),
        (0.023, 0.055, 0.020, 0.400),
        STRAW,
    ),
    Crop(
        3,
        "sugar beet",
        0.18,
        Curve(0.17, 0.69, 150, 0.090, 288, 0.160),
        (0.022, 0.060, 0.018, 0.520),
        SOIL,
    ),
    Crop(
        4,
        "rapeseed",
        0.20,
        Curve(0.20, 0.64, 72, 0.060, 171, 0.100),
        (0.026, 0.064, 0.022, 0.460),
        STRAW,
        regrowth=0.24,
        regrowth_end=262.0,
        flower_day=123.0,
        flower_dip=0.21,
    ),
)
CROP_NAMES = {crop.code: crop.name for crop in CROPS}


@dataclass(frozen=True)
class CoverLook:
    """A cover that is no field: NDVI curve, what is green in it, what is not, and its grain."""

    curve: Curve
    leaf: Spectrum
    ground: Spectrum
    grain: float
    """Relative deviation of brightness from cell to cell."""


_GRASS: Spectrum = (0.030, 0.072, 0.034, 0.400)
_CANOPY: Spectrum = (0.018, 0.038, 0.016, 0.330)
_TWIGS: Spectrum = (0.046, 0.060, 0.078, 0.140)


def _steady(ndvi: float) -> Curve:
    return Curve(ndvi, 0.0, 100, 0.1, 300, 0.1)


COVERS = {
    Cover.GRASS: CoverLook(
        Curve(0.42, 0.34, 98, 0.06, 300, 0.04), _GRASS, (0.065, 0.095, 0.115, 0.195), 0.10
    ),
    Cover.TRACK: CoverLook(
        Curve(0.22, 0.16, 105, 0.06, 290, 0.04), _GRASS, (0.095, 0.130, 0.165, 0.220), 0.06
    ),
    Cover.ROAD: CoverLook(_steady(0.10), _GRASS, (0.105, 0.118, 0.128, 0.150), 0.05),
    Cover.HEDGE: CoverLook(Curve(0.38, 0.44, 108, 0.10, 292, 0.08), _CANOPY, _TWIGS, 0.16),
    Cover.TREES: CoverLook(Curve(0.40, 0.46, 112, 0.11, 294, 0.08), _CANOPY, _TWIGS, 0.15),
    Cover.GARDEN: CoverLook(
        Curve(0.36, 0.26, 100, 0.07, 298, 0.05), _GRASS, (0.078, 0.098, 0.114, 0.168), 0.16
    ),
    Cover.TILE_ROOF: CoverLook(_steady(0.08), _GRASS, (0.085, 0.100, 0.180, 0.205), 0.20),
    Cover.GREY_ROOF: CoverLook(_steady(0.04), _GRASS, (0.165, 0.170, 0.178, 0.195), 0.28),
    Cover.WATER: CoverLook(_steady(-0.35), _GRASS, (0.038, 0.046, 0.030, 0.014), 0.04),
}


@dataclass(frozen=True)
class FieldTraits:
    """What makes each field its own; every array is (n + 1,), index is the field id, 0 unused.

    crop: class code. shift: days the crop is late. vigour: factor on the rise of NDVI.
    brightness: factor on soil reflectance. regrowth: NDVI gain after the harvest.
    tillage: day on which straw is ploughed under. unrest: factor on variation inside the field.
    """

    crop: np.ndarray
    shift: np.ndarray
    vigour: np.ndarray
    brightness: np.ndarray
    regrowth: np.ndarray
    tillage: np.ndarray
    unrest: np.ndarray


@dataclass(frozen=True)
class Look:
    """Surfaces on one day: pixel = ground + green * (leaf - ground).

    ground, leaf: (s, 4) reflectance. green: (s,) share. gain: (s,) change of `green` per NDVI.
    """

    ground: np.ndarray
    leaf: np.ndarray
    green: np.ndarray
    gain: np.ndarray


def logistic(day: float, middle: np.ndarray | float, rate: float) -> np.ndarray:
    """S-curve from 0 to 1 with the given slope around `middle`."""
    return 1.0 / (1.0 + np.exp(-rate * (day - middle)))


def draw_traits(count: int, rng: np.random.Generator) -> FieldTraits:
    """Crops in their shares (each at least once if there are fields enough), and the rest."""
    crop = np.concatenate([[0], _draw_crops(count, rng)]).astype(np.int32)
    size = count + 1
    volunteers = _by_crop(crop, [c.regrowth for c in CROPS]) * rng.uniform(0.4, 1.4, size)
    sown = rng.random(size) < _by_crop(crop, [c.cover_crop_chance for c in CROPS])
    harvest = _by_crop(crop, [c.curve.down_day for c in CROPS])
    return FieldTraits(
        crop=crop,
        shift=np.clip(rng.normal(0, 4.5, size), -10, 10),
        vigour=np.clip(rng.normal(1.0, 0.04, size), 0.9, 1.08),
        brightness=rng.lognormal(0.0, 0.13, size),
        regrowth=np.where(sown, rng.uniform(0.25, 0.5, size), volunteers),
        tillage=harvest + rng.uniform(18, 75, size),
        unrest=np.clip(rng.lognormal(0.0, 0.3, size), 0.5, 1.8),
    )


def _draw_crops(count: int, rng: np.random.Generator) -> np.ndarray:
    shares = np.array([crop.share for crop in CROPS])
    codes = np.array([crop.code for crop in CROPS])
    ends = np.round(np.cumsum(shares / shares.sum()) * count).astype(int)
    return rng.permutation(np.repeat(codes, np.diff(ends, prepend=0)))


def _by_crop(crop: np.ndarray, values: list[float]) -> np.ndarray:
    """The value of each field's crop; the unused field 0 gets that of the first."""
    return np.asarray(values, float)[np.maximum(crop - 1, 0)]


def field_ndvi(traits: FieldTraits, day: float) -> np.ndarray:
    """Mean NDVI (n + 1,) of every field on a day; 0 at the unused index 0."""
    ndvi = np.zeros(len(traits.crop))
    for crop in CROPS:
        own = traits.crop == crop.code
        ndvi[own] = _crop_ndvi(crop, traits, own, day)
    return ndvi


def _crop_ndvi(crop: Crop, traits: FieldTraits, own: np.ndarray, day: float) -> np.ndarray:
    shift = traits.shift[own]
    # A late crop catches up: ripening is delayed by less than the emergence was.
    green = np.maximum(crop.curve.greenness(day, shift, 0.6 * shift), 0.0)
    ndvi = crop.curve.base + crop.curve.rise * traits.vigour[own] * green
    ndvi -= crop.flower_dip * _flowering(crop, shift, day)
    return ndvi + traits.regrowth[own] * _regrown(crop, traits.tillage[own], day)


def _flowering(crop: Crop, shift: np.ndarray, day: float) -> np.ndarray:
    """Share 0..1 of open flowers."""
    if not crop.flower_dip:
        return np.zeros_like(shift)
    return np.exp(-0.5 * ((day - crop.flower_day - 0.6 * shift) / 8.5) ** 2)


def _regrown(crop: Crop, tillage: np.ndarray, day: float) -> np.ndarray:
    """Share 0..1 of what grows after the harvest; it starts some weeks after the straw is in."""
    up = logistic(day, tillage + 22, 0.13)
    return np.maximum(up - logistic(day, crop.regrowth_end, 0.30), 0.0)


def field_look(traits: FieldTraits, day: float) -> Look:
    """Spectra of every field (n + 1 surfaces) on a day."""
    size = len(traits.crop)
    ground, leaf = np.zeros((size, 4)), np.zeros((size, 4))
    for crop in CROPS:
        own = traits.crop == crop.code
        straw = _straw_share(crop, traits, own, day)[:, None]
        ground[own] = straw * np.asarray(crop.residue) + (1 - straw) * np.asarray(SOIL)
        bloom = 0.7 * _flowering(crop, traits.shift[own], day)[:, None]
        leaf[own] = bloom * np.asarray(BLOSSOM) + (1 - bloom) * np.asarray(crop.leaf)
    # The unused surface 0 must not divide by zero.
    ground[0], leaf[0] = SOIL, CROPS[0].leaf
    ground *= traits.brightness[:, None]
    return _look(ground, leaf, field_ndvi(traits, day))


def _straw_share(crop: Crop, traits: FieldTraits, own: np.ndarray, day: float) -> np.ndarray:
    """Yellow leaves and stubble from ripening to tillage."""
    ripe = logistic(day, crop.curve.down_day + 0.6 * traits.shift[own], 0.12)
    return ripe * (1 - logistic(day, traits.tillage[own], 1.0))


def cover_look(day: float) -> Look:
    """Spectra of every Cover value (11 surfaces) on a day; OPEN and FIELD are unused."""
    looks = [COVERS.get(cover, COVERS[Cover.GRASS]) for cover in Cover]
    ground = np.array([look.ground for look in looks])
    leaf = np.array([look.leaf for look in looks])
    return _look(ground, leaf, np.array([look.curve.ndvi(day) for look in looks]))


def _look(ground: np.ndarray, leaf: np.ndarray, ndvi: np.ndarray) -> Look:
    green = green_share(ground, leaf, ndvi)
    step = 0.01
    gain = green_share(ground, leaf, ndvi + step) - green_share(ground, leaf, ndvi - step)
    return Look(ground, leaf, np.clip(green, 0.0, 1.1), gain / (2 * step))


def green_share(ground: np.ndarray, leaf: np.ndarray, ndvi: np.ndarray) -> np.ndarray:
    """Share of `leaf` (s, 4) that, mixed into `ground` (s, 4), gives the NDVI (s,)."""
    red, nir = ground[:, 2], ground[:, 3]
    red_step, nir_step = leaf[:, 2] - red, leaf[:, 3] - nir
    lack = (nir - red) - ndvi * (nir + red)
    return lack / (ndvi * (nir_step + red_step) - (nir_step - red_step))
