"""A season of made-up Sentinel-2 images over made-up farmland, with the exact truth.

    scene = simulate(SceneSpec(size=256, seed=7))
    for day, image in scene.iter_images():   # uint16 (5, H, W): B02 B03 B04 B08 SCL
        ...
    scene.landscape.fields, scene.crop_map, scene.references

Everything follows from the seed. Each date has its own random stream, so any image can be drawn
alone and looks the same. Only one image is held at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from scipy import ndimage

from ..errors import ParameterError
from .landscape import CELL, OVERSAMPLE, Cover, Landscape, lay_out
from .noise import smooth_noise
from .phenology import COVERS, CROP_NAMES, FieldTraits, Look, cover_look, draw_traits, field_look
from .weather import Sky, Weather, classify, draw_weather, plan_skies, through_air

BAND_NAMES = ("B02", "B03", "B04", "B08", "SCL")
SCALE = 1e-4
"""Reflectance of one digital number."""
FIRST_DAY, LAST_DAY = 74, 304
MAX_DATES = 46
POINT_SPREAD = 0.65
"""Deviation of the sensor's blur in pixels."""
SENSOR_NOISE = 0.0016
UNREST = 0.064
"""Deviation of NDVI inside a field in full green."""
LAG_DAYS = 1.6
"""Deviation of the crop's lateness inside a field."""
EDGE_PIXELS = 2.0
"""A reference point keeps this distance from the edge of its field."""


@dataclass(frozen=True)
class SceneSpec:
    """What to draw.

    size: pixels along a side, 96 or more. dates: 2..46 images between mid March and the end of
    October. references: number of reference points, of which `wrong_labels` carry a wrong crop.
    """

    size: int = 512
    dates: int = 24
    references: int = 40
    wrong_labels: int = 2
    year: int = 2021
    seed: int = 20210

    def __post_init__(self) -> None:
        if self.size < 96:
            raise ParameterError(f"size is {self.size}; a scene needs 96 pixels or more.")
        if not 2 <= self.dates <= MAX_DATES:
            raise ParameterError(f"dates is {self.dates}; give a number from 2 to {MAX_DATES}.")
        if not 0 <= self.wrong_labels <= self.references:
            raise ParameterError("wrong_labels must lie between 0 and the number of references.")


@dataclass(frozen=True)
class Reference:
    """A reference point: pixel coordinates (x right, y down, centres at .5), label and truth."""

    ref_id: int
    x: float
    y: float
    label: int
    true_class: int
    field_id: int

    @property
    def wrong(self) -> bool:
        """Whether the label is not the crop that grows there."""
        return self.label != self.true_class


@dataclass(frozen=True)
class Texture:
    """Variation that stays through the season, on the fine grid (2H, 2W), float32.

    vigour: mean 0 and deviation about 1 in each field. lag: days, mean 0 in each field.
    grain: factor on brightness. surface: int32 row in the table of surfaces.
    """

    vigour: np.ndarray
    lag: np.ndarray
    grain: np.ndarray
    surface: np.ndarray


@dataclass(frozen=True)
class Scene:
    """The truth, and the means to draw the images."""

    spec: SceneSpec
    dates: tuple[date, ...]
    skies: tuple[Sky, ...]
    landscape: Landscape
    traits: FieldTraits
    references: tuple[Reference, ...]
    texture: Texture

    @property
    def crop_map(self) -> np.ndarray:
        """(H, W) uint8 class code of the crop, 0 outside fields."""
        return self.traits.crop.astype(np.uint8)[self.landscape.fields]

    def weather(self, index: int) -> Weather:
        """The true clouds, shadows and gaps of one date."""
        return draw_weather(self.spec.size, self.skies[index], _stream(self.spec, index, 0))

    def image(self, index: int) -> np.ndarray:
        """uint16 (5, H, W): reflectance * 10000 of B02 B03 B04 B08, and SCL. 0 is no data."""
        rng = _stream(self.spec, index, 1)
        weather = self.weather(index)
        ground = _ground(self, index, rng)
        water = self.landscape.cover == Cover.WATER
        scl = classify(_ndvi(ground), water, weather)
        seen = through_air(ground, weather, rng)
        seen += SENSOR_NOISE * rng.standard_normal(seen.shape, dtype=np.float32)
        digital = np.clip(np.rint(seen / SCALE), 1, 12000).astype(np.uint16)
        digital[:, weather.nodata] = 0
        return np.concatenate([digital, scl[None].astype(np.uint16)])

    def iter_images(self) -> Iterator[tuple[date, np.ndarray]]:
        """Every date with its image, in order."""
        for index, day in enumerate(self.dates):
            yield day, self.image(index)


def simulate(spec: SceneSpec) -> Scene:
    """Draw the land, what grows on it and the reference points; images are drawn on demand."""
    land_rng, crop_rng, sky_rng, point_rng = (
        np.random.default_rng([spec.seed, part]) for part in range(4)
    )
    landscape = lay_out(spec.size, land_rng)
    traits = draw_traits(landscape.field_count, crop_rng)
    return Scene(
        spec=spec,
        dates=_draw_dates(spec, sky_rng),
        skies=plan_skies(spec.dates, sky_rng),
        landscape=landscape,
        traits=traits,
        references=_draw_references(spec, landscape, traits, point_rng),
        texture=_draw_texture(landscape, crop_rng),
    )


def _stream(spec: SceneSpec, index: int, part: int) -> np.random.Generator:
    """The random stream of one date."""
    return np.random.default_rng([spec.seed, 100 + index, part])


def _draw_dates(spec: SceneSpec, rng: np.random.Generator) -> tuple[date, ...]:
    """Irregular days, one in each equal part of the season, never the same twice."""
    step = (LAST_DAY - FIRST_DAY) / spec.dates
    days = FIRST_DAY + (np.arange(spec.dates) + rng.uniform(0, 0.8, spec.dates)) * step
    start = date(spec.year, 1, 1)
    return tuple(start + timedelta(days=int(day) - 1) for day in days)


def _day_of_year(day: date) -> int:
    return day.timetuple().tm_yday


# --- the ground -------------------------------------------------------------------------------


def _ground(scene: Scene, index: int, rng: np.random.Generator) -> np.ndarray:
    """Reflectance (4, H, W) float32 of the ground through the sensor's optics."""
    day = _day_of_year(scene.dates[index])
    moisture = rng.uniform(0.80, 1.06)
    green, gain, lag_gain, ground, step = _tables(scene, day, moisture)
    texture = scene.texture
    surface = texture.surface
    share = green[surface] + gain[surface] * texture.vigour + lag_gain[surface] * texture.lag
    np.clip(share, -0.05, 1.1, out=share)
    bands = np.empty((4, scene.spec.size, scene.spec.size), np.float32)
    for band in range(4):
        fine = (ground[:, band][surface] + share * step[:, band][surface]) * texture.grain
        bands[band] = ndimage.gaussian_filter(_mean(fine), POINT_SPREAD)
    return bands * np.float32(rng.normal(1.0, 0.012))


def _tables(scene: Scene, day: int, moisture: float) -> tuple[np.ndarray, ...]:
    """Per surface, fields first and covers behind: green, its gains, ground, leaf - ground."""
    field, cover = field_look(scene.traits, day), cover_look(day)
    later, sooner = field_look(scene.traits, day - 1.0), field_look(scene.traits, day + 1.0)
    vigour_gain = UNREST * scene.traits.unrest * _liveliness(field) * field.gain
    lag_gain = np.clip((later.green - sooner.green) / 2.0, -0.05, 0.05)
    # Tillage and harvest change the ground overnight; that is no lateness of the plants.
    lag_gain[np.abs(later.ground - sooner.ground)[:, 2] > 0.01] = 0.0
    none = np.zeros(len(cover.green))
    ground = np.concatenate([field.ground * _wet(field, moisture)[:, None], cover.ground])
    leaf = np.concatenate([field.leaf * _wet(field, moisture)[:, None], cover.leaf])
    return tuple(
        table.astype(np.float32)
        for table in (
            np.concatenate([field.green, cover.green]),
            np.concatenate([vigour_gain, none]),
            np.concatenate([lag_gain, none]),
            ground,
            leaf - ground,
        )
    )


def _liveliness(look: Look) -> np.ndarray:
    """How much NDVI varies inside a field: little on bare soil, most in the green crop."""
    return 0.22 + 0.78 * np.clip(look.green, 0.0, 1.0)


def _wet(look: Look, moisture: float) -> np.ndarray:
    """Darkening by rain; it fades under the canopy. NDVI is not touched."""
    return 1 + (moisture - 1) * (1 - np.clip(look.green, 0, 1))


def _mean(fine: np.ndarray) -> np.ndarray:
    """Mean over the cells of each image pixel."""
    rows = fine[::OVERSAMPLE] + fine[1::OVERSAMPLE]
    return (rows[:, ::OVERSAMPLE] + rows[:, 1::OVERSAMPLE]) / OVERSAMPLE**2


def _ndvi(bands: np.ndarray) -> np.ndarray:
    return (bands[3] - bands[2]) / (bands[3] + bands[2])


# --- texture ----------------------------------------------------------------------------------


def _draw_texture(landscape: Landscape, rng: np.random.Generator) -> Texture:
    fields, cover = landscape.fine_fields, landscape.fine_cover
    surface = np.where(fields > 0, fields, landscape.field_count + 1 + cover.astype(np.int32))
    vigour = _vigour(landscape, rng)
    lag = _centred(smooth_noise(fields.shape, 70, rng, 3.0), fields)
    return Texture(
        vigour=vigour,
        lag=LAG_DAYS * lag,
        grain=_grain(landscape, rng),
        surface=surface.astype(np.int32),
    )


def _vigour(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Soil, seed rows, patches and headlands; mean 0 in each field."""
    fields = landscape.fine_fields
    soil = smooth_noise(fields.shape, 60, rng, 2.8)
    vigour = 0.62 * soil + 0.30 * smooth_noise(fields.shape, 8, rng, 2.0)
    vigour += _rows(landscape, rng)
    blotch = smooth_noise(fields.shape, 34, rng, 3.0)
    patchy = (rng.random(landscape.field_count + 1) < 0.3) * rng.uniform(1.0, 2.6)
    vigour -= patchy.astype(np.float32)[fields] * np.clip((blotch - 1.0) / 0.5, 0.0, 1.0)
    vigour -= 0.7 * (_edge_distance(fields) <= 3)
    return _centred(vigour, fields)


def _rows(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Tramlines and passes of the drill, along the long axis of each field."""
    fields = landscape.fine_fields
    count = landscape.field_count + 1
    angle = landscape.row_angles.astype(np.float32)
    spacing = rng.uniform(24, 42, count).astype(np.float32)
    strength = np.where(rng.random(count) < 0.6, rng.uniform(0.15, 0.7, count), 0.05)
    y, x = np.mgrid[0 : fields.shape[0], 0 : fields.shape[1]].astype(np.float32) * CELL
    phase = (y * np.cos(angle)[fields] - x * np.sin(angle)[fields]) / spacing[fields]
    passes = rng.standard_normal((count, 128)).astype(np.float32)
    drilled = passes[fields, np.floor(phase).astype(np.int32) % 128]
    lines = np.cos(2 * np.pi * phase)
    return strength.astype(np.float32)[fields] * (0.6 * drilled + 0.5 * lines)


def _edge_distance(labels: np.ndarray) -> np.ndarray:
    """Distance of each pixel's centre from the nearest one with another label; 0 outside.

    The border of the image counts as an edge.
    """
    same = labels > 0
    for axis in (0, 1):
        step = np.diff(labels, axis=axis) != 0
        near = np.pad(step, [(1, 0) if a == axis else (0, 0) for a in (0, 1)])
        far = np.pad(step, [(0, 1) if a == axis else (0, 0) for a in (0, 1)])
        same &= ~near & ~far
    inner = ndimage.distance_transform_edt(np.pad(same, 1))[1:-1, 1:-1]
    return np.where(labels > 0, inner + (inner > 0), 0)


def _centred(values: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """The values less their mean in each field, 0 outside."""
    count = np.maximum(np.bincount(fields.ravel()), 1)
    mean = np.bincount(fields.ravel(), values.ravel()) / count
    return np.where(fields > 0, values - mean.astype(np.float32)[fields], 0).astype(np.float32)


def _grain(landscape: Landscape, rng: np.random.Generator) -> np.ndarray:
    """Brightness: soil types over the fields, crowns and roofs cell by cell."""
    shape = landscape.fine_cover.shape
    amount = np.zeros(len(Cover), np.float32)
    for cover, look in COVERS.items():
        amount[cover] = look.grain
    soil = 0.035 * smooth_noise(shape, 120, rng, 2.6) + 0.015 * smooth_noise(shape, 8, rng, 2.0)
    crowns = smooth_noise(shape, 5, rng, 1.6)
    return np.exp(soil + amount[landscape.fine_cover] * crowns)


# --- reference points -------------------------------------------------------------------------


def _draw_references(
    spec: SceneSpec, landscape: Landscape, traits: FieldTraits, rng: np.random.Generator
) -> tuple[Reference, ...]:
    """Points in all crops in turn, in distinct fields as long as there are any."""
    chosen = _choose_fields(spec.references, landscape, traits, rng)
    wrong = set(rng.permutation(spec.references)[: spec.wrong_labels].tolist())
    distance = _edge_distance(landscape.fields)
    points = []
    for number, field_id in enumerate(chosen):
        x, y = _point_inside(landscape.fields == field_id, distance, rng)
        true_class = int(traits.crop[field_id])
        label = _other_crop(true_class, rng) if number in wrong else true_class
        points.append(Reference(number + 1, x, y, label, true_class, int(field_id)))
    return tuple(points)


def _choose_fields(
    wanted: int, landscape: Landscape, traits: FieldTraits, rng: np.random.Generator
) -> list[int]:
    """Field ids: the crops take turns, the fields of a crop too."""
    distance = _edge_distance(landscape.fields)
    roomy = np.unique(landscape.fields[distance > EDGE_PIXELS])
    queues = [rng.permutation(roomy[traits.crop[roomy] == code]) for code in CROP_NAMES]
    queues = [queue for queue in queues if queue.size]
    turns = [(queues[i % len(queues)], i // len(queues)) for i in range(wanted)]
    ids = [int(queue[turn % queue.size]) for queue, turn in turns]
    return [ids[i] for i in rng.permutation(wanted)]


def _point_inside(
    member: np.ndarray, distance: np.ndarray, rng: np.random.Generator
) -> tuple[float, float]:
    """A place in the field, off its edge, not just the pixel that lies deepest."""
    rows, columns = np.nonzero(member & (distance > EDGE_PIXELS))
    pick = rng.integers(rows.size)
    dx, dy = rng.uniform(0.2, 0.8, 2)
    return float(columns[pick] + dx), float(rows[pick] + dy)


def _other_crop(code: int, rng: np.random.Generator) -> int:
    """A class code that is not the given one."""
    return int(rng.choice([other for other in CROP_NAMES if other != code]))
