"""The defects of the reference system (specification A6), one test or more for each row.

Rows 13 and 15, output columns and reference systems, are tested on the algorithm.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from pathlib import Path
from typing import Optional, Sequence

import numpy as np
import pytest

from furrow.core.errors import NoReferenceError
from furrow.core.fields.finding import FieldOptions
from furrow.core.fields.segmenter import Prompts
from furrow.core.imagery.indices import parse_index
from furrow.core.imagery.pictures import FilePictures, SeriesPictures
from furrow.core.imagery.quality import parse_invalid_codes
from furrow.core.imagery.series import Series, SeriesOptions, open_series
from furrow.core.samples.cleaning import CleaningOptions, Reason
from furrow.core.samples.generation import Generated, GenerationOptions, generate
from furrow.core.samples.references import Reference
from furrow.core.samples.thinning import ConflictPolicy
from furrow.tests.core.series_files import (
    NIR,
    TRANSFORM,
    Blocks,
    SameColour,
    day,
    ndvi_bands,
    write_dates,
    write_image,
)

NDVI = parse_index("NDVI")
ROLES = sorted(NDVI.roles)
SHAPE = (120, 140)
DAYS = tuple(range(60, 300, 20))
"""12 dates."""
CURVES = np.array(
    [
        0.2 + 0.0 * np.arange(12),  # road
        0.25 + 0.55 * np.exp(-(((np.arange(12) - 3) / 2) ** 2)),  # winter crop
        0.25 + 0.60 * np.exp(-(((np.arange(12) - 7) / 2) ** 2)),  # summer crop
        0.55 + 0.02 * np.arange(12),  # grass
    ]
)


def land() -> np.ndarray:
    """Four fields of 30 x 40 pixels and more, a road of 4 pixels between any two."""
    fields = np.zeros(SHAPE, dtype=int)
    fields[8:56, 8:66] = 1
    fields[8:56, 70:132] = 2
    fields[60:112, 8:66] = 3
    fields[60:112, 70:132] = 1
    return fields


def curves_of(fields: np.ndarray) -> np.ndarray:
    """(T, h, w) NDVI without any noise."""
    return np.moveaxis(CURVES[fields], -1, 0)


def clear(stack: np.ndarray) -> np.ndarray:
    return np.full(stack.shape, 4)


def at(row: int, col: int, label: object = "a", name: object = None) -> Reference:
    """A reference in the middle of a pixel."""
    x, y = TRANSFORM[0] + (col + 0.5) * 10, TRANSFORM[3] - (row + 0.5) * 10
    return Reference(f"{row}/{col}" if name is None else name, label, x, y)


class Place:
    """A folder with a series and, beside it, a picture of the fields without noise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(
        self,
        ndvi: np.ndarray,
        scl: Optional[np.ndarray] = None,
        days: Sequence[int] = DAYS,
        colours: Optional[np.ndarray] = None,
    ) -> Place:
        write_dates(self.folder / "series", ndvi, days, clear(ndvi) if scl is None else scl)
        self.paint(land() if colours is None else colours)
        return self

    def paint(self, colours: np.ndarray) -> None:
        bands = {name: colours * 500 + 700 + k for k, name in enumerate(("B04", "B03", "B02"))}
        write_image(self.folder / "picture.tif", bands)

    def series(self, **options: object) -> Series:
        return open_series(self.folder / "series", ROLES, SeriesOptions(**options))

    def pictures(self) -> FilePictures:
        return FilePictures(str(self.folder / "picture.tif"), self.series().grid)

    def generate(self, *references: Reference, segmenter=None, series=None, **options) -> Generated:
        """Samples with fields cut from the picture; windows of 100 pixels."""
        chosen = GenerationOptions(NDVI, FieldOptions(window=100), **options)
        series = series or self.series()
        return generate(series, references, self.pictures(), segmenter or SameColour(), chosen)


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


def samples(result: Generated) -> set:
    """(row, column, reference, class) of what is kept."""
    found = result.candidates
    references = [result.placed.references[k] for k in found.owner]
    return {
        (int(row), int(col), reference.id, reference.label)
        for row, col, reference, kept in zip(found.rows, found.cols, references, found.kept)
        if kept
    }


def pixels(result: Generated) -> set:
    return {sample[:2] for sample in samples(result)}


def pixels_of(mask: np.ndarray, *without: tuple) -> set:
    return {(int(r), int(c)) for r, c in np.argwhere(mask)} - set(without)


def skipped(result: Generated) -> dict:
    return {item.id: item.reason for item in result.skipped}


# --- 1 to 3: what the segmenter is told and shown ----------------------------------------------


def test_a6_01_class_code_never_reaches_the_segmenter(place):
    place.write(curves_of(land()))
    geometry = {"points", "foreground", "box", "side"}
    assert {field.name for field in dataclasses.fields(Prompts)} == geometry
    told, fields = [], []
    for code in (0, 1, 3, 4):
        segmenter = SameColour()
        result = place.generate(at(30, 40, code), at(90, 100, code), segmenter=segmenter)
        told.append([prompt.points.tolist() for prompt in segmenter.prompts])
        fields.append([(field.window, field.mask.tobytes()) for field in result.fields])
        assert all(prompt.foreground.tolist() == [True] for prompt in segmenter.prompts)
        assert {sample[3] for sample in samples(result)} == {code}
    assert told[1:] == told[:1] * 3
    assert fields[1:] == fields[:1] * 3


def test_a6_02_colours_follow_the_roles_not_the_order_of_the_bands(tmp_path):
    values = np.random.default_rng(1).integers(500, 4000, (4, *SHAPE))
    bands = dict(zip(("B02", "B03", "B04", "B08"), values))
    write_image(tmp_path / "a" / "20220601.tif", bands)
    write_image(tmp_path / "b" / "20220601.tif", dict(reversed(list(bands.items()))))
    shown = []
    for name in "ab":
        series = open_series(tmp_path / name, ROLES)
        shown.append(SeriesPictures(series, NDVI).pictures(series.grid.whole)[0].image)
    assert np.array_equal(*shown)
    for channel, name in enumerate(("B08", "B04", "B03")):  # near infrared, red, green
        like = np.corrcoef(shown[0][..., channel].ravel(), bands[name].ravel())[0, 1]
        assert like > 0.99


@pytest.mark.parametrize(
    ("shape", "row", "col"),
    [((400, 250), 350, 125), ((400, 250), 399, 249), ((250, 400), 125, 380), ((250, 400), 0, 399)],
)
def test_a6_03_windows_keep_their_size_and_their_point(place, shape, row, col):
    place.write(np.full((12, *shape), 0.5), colours=np.ones(shape, dtype=int))
    segmenter = Blocks(4)
    result = place.generate(at(row, col), segmenter=segmenter)
    assert [image.shape for image in segmenter.images] == [(100, 100, 3)]
    x, y = segmenter.prompts[0].anchor
    assert 0 < x < 100 and 0 < y < 100
    block = np.zeros(shape, dtype=bool)
    block[max(0, row - 4) : row + 5, max(0, col - 4) : col + 5] = True
    assert pixels(result) == pixels_of(block, (row, col))


# --- 4 to 7: outside, unchanged, stretched, read once --------------------------------------------


def test_a6_04_points_outside_are_skipped_with_a_reason(place):
    place.write(curves_of(land()))
    outside = [at(-1, 30), at(30, -1), at(SHAPE[0], 30), at(30, SHAPE[1]), at(-5000, 99999)]
    result = place.generate(at(30, 40), *outside)
    assert skipped(result) == {reference.id: Reason.OUTSIDE for reference in outside}
    assert [reference.id for reference in result.placed.references] == ["30/40"]
    assert samples(result) == samples(place.generate(at(30, 40)))
    with pytest.raises(NoReferenceError, match="none of the 5 .*outside_image"):
        place.generate(*outside)


REFERENCES = (
    at(30, 40, "wheat"), at(30, 90, "maize"), at(90, 40, "grass"), at(90, 100, "wheat"),
    at(20, 60, "wheat"), at(15, 75, "maize"),
)  # fmt: skip


def noisy() -> np.ndarray:
    return curves_of(land()) + np.random.default_rng(8).normal(0, 0.02, (12, *SHAPE))


def test_a6_05_files_are_not_changed(place):
    place.write(noisy())
    files = sorted(place.folder.rglob("*.tif"))
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    place.generate(*REFERENCES)
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in files] == before
    assert sorted(p for p in place.folder.rglob("*") if p.is_file()) == files  # no .aux.xml


@pytest.mark.parametrize("order", [(5, 4, 3, 2, 1, 0), (2, 5, 0, 3, 1, 4)])
def test_a6_05_results_do_not_depend_on_the_order_of_the_references(place, order):
    place.write(noisy())
    straight, mixed = SameColour(), SameColour()
    options = dict(max_per_reference=150, min_spacing_px=(2.0, 2.0))
    first = place.generate(*REFERENCES, segmenter=straight, **options)
    second = place.generate(*(REFERENCES[k] for k in order), segmenter=mixed, **options)
    assert samples(first) == samples(second)
    counts = Counter(sample[2] for sample in samples(first))
    assert max(counts.values()) == 150 and len(samples(first)) > 300
    shown = [sorted(image.tobytes() for image in s.images) for s in (straight, mixed)]
    assert shown[0] == shown[1]


def test_a6_05_a_picture_does_not_depend_on_pictures_before_it(place):
    place.write(noisy())
    alone, after = SameColour(), SameColour()
    place.generate(REFERENCES[3], segmenter=alone)
    place.generate(*REFERENCES, segmenter=after)
    shown = {image.tobytes() for image in after.images}
    assert all(image.tobytes() in shown for image in alone.images)


def test_a6_06_one_bright_roof_does_not_darken_the_fields(place):
    noise = np.random.default_rng(2).integers(-40, 40, SHAPE)
    colours = land() * 300 + 500 + noise
    roof = colours.copy()
    roof[57:60, 66:70] = 60000
    shown = []
    for picture in (colours, roof):
        write_image(place.folder / "picture.tif", dict.fromkeys(("B04", "B03", "B02"), picture))
        pictures = FilePictures(str(place.folder / "picture.tif"))
        shown.append(pictures.pictures(pictures.grid.whole)[0].image.astype(int))
    without, with_roof = shown
    field = land() > 0
    assert np.abs(without - with_roof)[field].max() <= 3
    brightness = [with_roof[land() == k].mean() for k in (1, 2, 3)]
    assert np.diff(brightness).min() > 50  # by minimum and maximum it would be 1


class CountedSeries(Series):
    """A series that counts how often its files are opened."""

    opened: Counter = Counter()

    def open(self, image):
        self.opened[image.name] += 1
        return super().open(image)


def test_a6_07_files_are_opened_once_for_all_references(place):
    place.write(noisy())
    plain = place.series()
    series = CountedSeries(*(getattr(plain, f.name) for f in dataclasses.fields(plain)))
    series.opened.clear()
    result = place.generate(*REFERENCES, series=series)
    assert len(result.placed.references) == 6
    assert set(series.opened.values()) == {1} and len(series.opened) == 12


# --- 8 to 12: candidates and cleaning -----------------------------------------------------------


def test_a6_08_only_the_piece_at_the_prompt_gives_candidates(place):
    """Two fields of one crop and colour, with a road between them."""
    place.write(curves_of(land()))
    segmenter = SameColour()
    result = place.generate(at(90, 100), segmenter=segmenter)
    lower = (land() == 1) & (np.indices(SHAPE)[0] > 57)
    assert pixels(result) == pixels_of(lower, (90, 100))


def test_a6_08_holes_are_filled_and_the_rim_can_be_left_out(place):
    colours = land()
    colours[30:33, 20:23] = 0
    place.write(curves_of(land()), colours=colours)
    field = (land() == 1) & (np.indices(SHAPE)[0] < 57)
    assert pixels(place.generate(at(40, 40))) == pixels_of(field, (40, 40))
    inner = np.zeros(SHAPE, dtype=bool)
    inner[10:54, 10:64] = True
    result = place.generate(at(40, 40), edge_pixels=2)
    assert pixels(result) == pixels_of(inner, (40, 40))


def test_a6_09_the_own_pixel_is_no_candidate(place):
    place.write(curves_of(land()))
    result = place.generate(at(30, 40), at(90, 40, "b"))
    claimed = {(int(r), int(c)) for r, c in zip(result.candidates.rows, result.candidates.cols)}
    assert not claimed & {(30, 40), (90, 40)}
    for field, (row, col) in zip(result.fields, ((30, 40), (90, 40))):
        assert field.window.contains(row, col)
    counts = np.bincount(result.candidates.owner)
    assert counts.tolist() == [48 * 58 - 1, 52 * 58 - 1]


def test_a6_09_another_references_pixel_is_no_second_sample(place):
    """A reference claims its own pixel, whoever's field it lies in."""
    place.write(curves_of(land()))
    same = place.generate(at(30, 40), at(40, 50))
    assert not pixels(same) & {(30, 40), (40, 50)}
    other = place.generate(at(30, 40, "a"), at(40, 50, "b"), conflict=ConflictPolicy.BEST)
    assert not pixels(other) & {(30, 40), (40, 50)}


def test_a6_10_a_reference_without_valid_dates_is_skipped(place):
    ndvi = curves_of(land())
    scl = clear(ndvi)
    scl[:, 28:33, 38:43] = 9  # never seen: the reference and pixels around it
    place.write(ndvi, scl)
    result = place.generate(at(30, 40), at(90, 40, "b"))
    assert skipped(result) == {"30/40": Reason.FEW_DATES}
    assert {sample[2] for sample in samples(result)} == {"90/40"}
    with pytest.raises(NoReferenceError, match="enough valid dates"):
        place.generate(at(30, 40))


def test_a6_10_candidates_without_valid_dates_are_no_samples(place):
    ndvi = curves_of(land())
    scl = clear(ndvi)
    scl[:, 10:15, 10:15] = 9
    scl[:7, 20:25, 10:15] = 9  # 5 of 12 dates remain; 6 are needed
    scl[:6, 20:25, 30:35] = 9  # 6 remain
    place.write(ndvi, scl)
    result = place.generate(at(30, 50))
    missing = pixels_of(land() == 1) - pixels(result)
    hidden = {(r, c) for r in range(10, 15) for c in range(10, 15)}
    poor = {(r, c) for r in range(20, 25) for c in range(10, 15)}
    upper = {pixel for pixel in missing if pixel[0] < 57}
    assert upper == hidden | poor | {(30, 50)}
    rejected = ~result.candidates.kept
    assert set(result.candidates.reason[rejected]) == {Reason.FEW_DATES}
    assert np.isnan(result.candidates.distance[result.candidates.n_valid == 0]).all()


UNEVEN = (60, 65, 125, 130, 135, 140, 150, 160, 170, 180, 190, 250)


def rising(days: Sequence[int]) -> np.ndarray:
    """NDVI that is linear in days, everywhere."""
    curve = 0.2 + (np.array(days) - days[0]) / 400
    return np.broadcast_to(curve[:, None, None], (len(days), *SHAPE)).copy()


def test_a6_11_gaps_are_filled_in_days(place):
    ndvi = rising(UNEVEN)
    scl = clear(ndvi)
    scl[1, :, 20:25] = 9  # between days 60 and 125: by position it would be 0.07 too high
    place.write(ndvi, scl, UNEVEN)
    options = CleaningOptions(max_gap_days=100)
    result = place.generate(at(30, 40), cleaning=options)
    gappy = (result.candidates.cols >= 20) & (result.candidates.cols < 25)
    assert gappy.any() and (result.candidates.n_interpolated == gappy).all()
    assert (result.candidates.n_valid == 12 - gappy).all()
    assert result.candidates.distance.max() < 5e-4


def test_a6_11_long_gaps_are_not_bridged_and_ends_not_extended(place):
    ndvi = rising(UNEVEN)
    scl = clear(ndvi)
    scl[1, :, 20:25] = 9  # a gap of 65 days
    scl[2, :, 30:35] = 9  # 65 days as well: from day 65 to 130
    scl[4, :, 45:50] = 9  # 10 days
    scl[11, :, 50:55] = 9  # the last date
    place.write(ndvi, scl, UNEVEN)
    result = place.generate(at(30, 40), cleaning=CleaningOptions(max_gap_days=60))
    found = result.candidates
    for columns, filled, empty in (
        ((20, 25), 0, 1), ((30, 35), 0, 2), ((45, 50), 1, None), ((50, 55), 0, 11),
    ):  # fmt: skip
        here = (found.cols >= columns[0]) & (found.cols < columns[1])
        assert (found.n_valid[here] == 11).all()
        assert (found.n_interpolated[here] == filled).all()
        series = result.profiles.filled[result.profile_of[here]]
        expected = [] if empty is None else [empty]
        assert (np.flatnonzero(np.isnan(series).all(axis=0)) == expected).all()
        assert np.isfinite(series).sum(axis=1).tolist() == [12 - len(expected)] * int(here.sum())
    assert found.kept.all()


@pytest.mark.parametrize("dates", [6, 12, 36])
def test_a6_12_the_limit_does_not_depend_on_the_number_of_dates(place, dates):
    """Columns that differ by 0.04 on every date stay, those that differ by 0.06 go."""
    days = np.linspace(30, 300, dates).astype(int)
    ndvi = np.full((dates, *SHAPE), 0.4)
    ndvi[:, :, 12:16] += 0.04
    ndvi[:, :, 20:24] -= 0.06
    ndvi[::2, :, 28:32] += 0.09  # 0.045 on average
    place.write(ndvi, days=days)
    result = place.generate(at(30, 40), cleaning=CleaningOptions(max_distance=0.05))
    lost = {col for _, col in pixels_of((land() == 1)[:57], (30, 40)) - pixels(result)}
    assert lost == set(range(20, 24))
    gone = result.candidates.reason[~result.candidates.kept]
    assert set(gone) == {Reason.DISTANCE}


# --- 14: conflicts -------------------------------------------------------------------------------


def disputed(place: Place, **options) -> Generated:
    """Fields of 21 x 21 pixels of two classes that share 11 columns, the left ones like the left.

    Both references stand in one crop, so that only the claims can tell them apart.
    """
    ndvi = np.full((12, *SHAPE), 0.5)
    ndvi[:, :, 45:] = 0.52
    place.write(ndvi)
    references = at(30, 40, "left"), at(30, 50, "right")
    return place.generate(*references, segmenter=Blocks(10), **options)


BOTH = {(row, col) for row in range(20, 41) for col in range(40, 51)} - {(30, 40), (30, 50)}


def test_a6_14_pixels_that_two_classes_claim_are_dropped(place):
    result = disputed(place)
    assert not pixels(result) & BOTH
    assert pixels(result) == {
        (r, c) for r in range(20, 41) for c in [*range(30, 40), *range(51, 61)]
    }
    reasons = Counter(result.candidates.reason[~result.candidates.kept])
    # Each class also claims the pixel of the other's reference.
    assert reasons == {Reason.CONFLICT: 2 * len(BOTH) + 2}


def test_a6_14_or_go_to_the_more_similar_reference(place):
    result = disputed(place, conflict=ConflictPolicy.BEST)
    owner = {sample[:2]: sample[3] for sample in samples(result)}
    assert len(owner) == len(samples(result))
    assert BOTH <= set(owner)
    assert all(owner[pixel] == ("left" if pixel[1] < 45 else "right") for pixel in BOTH)


def test_a6_14_one_class_claims_a_pixel_once(place):
    place.write(np.full((12, *SHAPE), 0.5))
    result = place.generate(at(30, 40), at(30, 50), segmenter=Blocks(10))
    assert len(samples(result)) == len(pixels(result)) == 21 * 31 - 2
    gone = Counter(result.candidates.reason[~result.candidates.kept])
    assert set(gone) == {Reason.DUPLICATE}


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0)])
def test_a6_14_two_references_in_one_pixel(place, order):
    """Of two classes neither is used; of one class the one with the first id, in any order."""
    place.write(curves_of(land()))
    references = at(30, 40, "a", 1), at(30, 40, "b", 2), at(90, 40, "a", 3), at(90, 40, "a", 4)
    result = place.generate(*(references[k] for k in order))
    assert skipped(result) == {
        1: Reason.CONTRADICTION,
        2: Reason.CONTRADICTION,
        4: Reason.SAME_PIXEL,
    }


# --- 16 to 20 ------------------------------------------------------------------------------------


def test_a6_16_the_date_is_chosen_by_the_neighbourhood(place):
    """The date with the fewest clouds of all is cloudy just at the first reference."""
    fields = np.zeros((120, 600), dtype=int)
    fields[20:60, 20:60] = fields[20:60, 520:560] = 1
    ndvi = np.repeat((0.3 + 0.4 * fields)[None], 12, axis=0)
    scl = clear(ndvi)
    scl[:, :30, ::2] = 9  # every date is half clouded in its upper part,
    scl[4, :30] = 4  # but this one is clear
    scl[4, :, :110] = 8  # except at the left end,
    scl[7, :30, :120] = 4  # where this one is clear
    scl[7, :, 120:] = 9
    write_dates(place.folder / "series", ndvi, DAYS, scl)
    series = place.series()
    result = generate(
        series,
        [at(40, 40), at(40, 540)],
        SeriesPictures(series, NDVI),
        SameColour(),
        GenerationOptions(NDVI, FieldOptions(window=100)),
    )
    assert [field.date for field in result.fields] == [day(DAYS[7]), day(DAYS[4])]
    assert [int(field.mask.sum()) for field in result.fields] == [1600, 1600]


def test_a6_17_ids_need_not_be_numbers_nor_in_order(place):
    place.write(curves_of(land()))
    names = ["z", 17, "a-2", -5]
    places = [(30, 40), (30, 90), (90, 40), (90, 100)]
    references = [at(*rc, label, name) for rc, label, name in zip(places, "wmgw", names)]
    result = place.generate(*references)
    counts = Counter(sample[2] for sample in samples(result))
    assert counts == {"z": 48 * 58 - 1, 17: 48 * 62 - 1, "a-2": 52 * 58 - 1, -5: 52 * 62 - 1}
    fields = land()
    for row, col, name, label in samples(result):
        assert fields[row, col] == fields[places[names.index(name)]]
        assert label == "wmgw"[names.index(name)]


def test_a6_17_a_reference_without_candidates_stays(place):
    place.write(curves_of(land()))
    result = place.generate(at(30, 40), segmenter=Blocks(0))
    assert [reference.id for reference in result.placed.references] == ["30/40"]
    assert len(result.candidates.owner) == 0 and result.skipped == ()
    thinned = place.generate(at(30, 40), segmenter=Blocks(0), max_per_reference=5,
                             min_spacing_px=(3.0, 3.0))  # fmt: skip
    assert len(thinned.candidates.owner) == 0


def test_a6_18_saturated_and_snow_are_invalid_by_default(place):
    ndvi = curves_of(land())
    scl = clear(ndvi)
    ndvi[:2], scl[:2] = 0.03, 11
    ndvi[11, :, 20:40], scl[11, :, 20:40] = 0.9, 1
    place.write(ndvi, scl)
    result = place.generate(at(30, 50))
    assert pixels(result) == pixels_of((land() == 1) & (np.indices(SHAPE)[0] < 57), (30, 50))
    saturated = (result.candidates.cols >= 20) & (result.candidates.cols < 40)
    assert (result.candidates.n_valid == 10 - saturated).all()
    believed = place.generate(at(30, 50), series=place.series(invalid_qa=parse_invalid_codes("9")))
    assert (believed.candidates.n_valid == 12).all()


def test_a6_18_water_and_dark_pixels_stay_unless_asked_for(place):
    ndvi = curves_of(land())
    scl = clear(ndvi)
    scl[:3], scl[3:5] = 2, 7
    place.write(ndvi, scl)
    assert (place.generate(at(30, 40)).candidates.n_valid == 12).all()
    codes = parse_invalid_codes("0,1,2,3,7,8,9,10,11")
    strict = place.generate(at(30, 40), series=place.series(invalid_qa=codes))
    assert (strict.candidates.n_valid == 7).all()


def test_a6_19_images_of_baseline_04_00_fit_to_older_ones(place):
    ndvi = curves_of(land())
    place.paint(land())
    for k, number in enumerate(DAYS):
        late = k >= 6
        name = f"S2A_MSIL2A_{day(number):%Y%m%d}T101321_N0{'400' if late else '301'}_R022.tif"
        bands = {band: values + 1000 * late for band, values in ndvi_bands(ndvi[k]).items()}
        write_image(place.folder / "series" / name, bands)
    result = place.generate(at(30, 40), at(30, 90, "b"))
    for k, label in enumerate((1, 2)):
        profile = result.profiles.filled[result.reference_profile_of[k]]
        assert np.allclose(profile, CURVES[label], atol=1 / NIR)


def test_a6_20_a_field_cut_by_the_window_is_found_whole(place):
    colours = np.zeros((400, 420), dtype=int)
    colours[60:250, 80:310] = 1
    place.write(np.full((12, *colours.shape), 0.5), colours=colours)
    segmenter = SameColour()
    result = place.generate(at(100, 120), segmenter=segmenter)
    assert pixels(result) == pixels_of(colours == 1, (100, 120))
    sides = [image.shape[0] for image in segmenter.images]
    assert sides[0] == 100 and sides[-1] > 100
    assert not result.fields[0].cut_off
