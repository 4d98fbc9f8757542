"""From prompts to field masks: shared windows, larger windows, one tidy piece at the prompt."""

from __future__ import annotations

import time
from typing import List, Tuple

import numpy as np
import pytest

from furrow.core.errors import Cancelled, SeriesError
from furrow.core.fields.field_mask import FieldMask, overlap
from furrow.core.fields.finding import FieldOptions, find_fields
from furrow.core.fields.masks import MaskRule
from furrow.core.fields.segmenter import Prompts
from furrow.core.imagery.grid import Window
from furrow.core.imagery.indices import parse_index
from furrow.core.imagery.pictures import FilePictures, SeriesPictures
from furrow.core.imagery.series import open_series
from furrow.core.monitor import Monitor
from furrow.tests.core.series_files import (
    Blocks,
    Recording,
    SameColour,
    ndvi_bands,
    shorten,
    write_dates,
    write_image,
)

SIDE = 500
NDVI = parse_index("NDVI")


class Everything(Recording):
    """The whole picture."""

    def masks(self, image: np.ndarray, prompt: Prompts) -> Tuple[np.ndarray, List[float]]:
        return np.ones((1, *image.shape[:2]), dtype=bool), [0.5]


class BoxFilled(Recording):
    """What lies in the box, if all of the box lies in the picture."""

    def masks(self, image: np.ndarray, prompt: Prompts) -> Tuple[np.ndarray, List[float]]:
        left, top, right, bottom = prompt.box.astype(int)
        mask = np.zeros((1, *image.shape[:2]), dtype=bool)
        if min(left, top) >= 0 and right <= image.shape[1] and bottom <= image.shape[0]:
            mask[0, top:bottom, left:right] = True
        return mask, [0.8]


class OnlySmall(SameColour):
    """Finds nothing in pictures of more than 100 pixels a side."""

    def masks(self, image: np.ndarray, prompt: Prompts) -> Tuple[np.ndarray, List[float]]:
        masks, scores = super().masks(image, prompt)
        return masks & (max(image.shape[:2]) <= 100), scores


@pytest.fixture
def paint(tmp_path):
    """Pictures of an array of numbers: 0 has no data, others are colours."""

    def pictures(colours: np.ndarray) -> FilePictures:
        band = colours * 1000
        bands = {"B04": band, "B03": band, "B02": band}
        return FilePictures(str(write_image(tmp_path / "picture_20220607.tif", bands, nodata=0)))

    return pictures


def plain(side: int = SIDE) -> np.ndarray:
    return np.ones((side, side), dtype=int)


def click(row: int, col: int) -> Prompts:
    return Prompts.click(col + 0.5, row + 0.5)


def find(pictures, segmenter, *prompts, **options):
    options = FieldOptions(**{"window": 100, **options})
    return find_fields(prompts, pictures, segmenter, options)


def on_grid(found: FieldMask, shape=(SIDE, SIDE)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[found.window.slices] = found.mask
    rows, cols = found.pixels
    assert mask[rows, cols].all() and mask.sum() == len(rows)
    return mask


# --- windows ----------------------------------------------------------------------------------


def test_prompts_that_share_a_window_are_encoded_once(paint):
    segmenter = Blocks(3)
    near = [click(200 + k, 210 - k) for k in range(5)]
    found = find(paint(plain()), segmenter, *near)
    assert found.encodes == len(segmenter.images) == 1
    assert len(segmenter.prompts) == len(found.masks) == 5
    found = find(paint(plain()), segmenter, *near, click(20, 480))
    assert found.encodes == 2


def test_the_prompt_is_in_coordinates_of_the_window(paint):
    colours = plain()
    colours[333:363, 222:252] = 2
    segmenter = SameColour()
    found = find(paint(colours), segmenter, click(333, 222))
    x, y = segmenter.prompts[0].anchor
    assert (x % 1, y % 1) == (0.5, 0.5)
    assert segmenter.images[0].shape == (100, 100, 3)
    assert segmenter.images[0][int(y), int(x)].min() > segmenter.images[0][-1, -1].max()
    assert found.masks[0].window == Window(333, 222, 30, 30)


def test_a_field_does_not_depend_on_other_prompts(paint):
    colours = plain()
    colours[100:180, 150:260] = 2
    colours[300:340, 30:70] = 3
    prompts = [click(120, 170), click(310, 50), click(170, 250), click(10, 490)]
    pictures = paint(colours)
    together = find(pictures, SameColour(), *prompts)
    back = find(pictures, SameColour(), *prompts[::-1])
    for k, prompt in enumerate(prompts):
        alone = find(pictures, SameColour(), prompt).masks[0]
        for other in (together.masks[k], back.masks[3 - k]):
            assert other.window == alone.window
            assert np.array_equal(other.mask, alone.mask)
    assert [mask.prompt for mask in together.masks] == [0, 1, 2, 3]


def test_a_mask_cut_at_the_windows_edge_is_looked_for_in_a_larger_one(paint):
    colours = plain()
    colours[150:280, 170:330] = 2
    segmenter = SameColour()
    found = find(paint(colours), segmenter, click(200, 250))
    assert np.array_equal(on_grid(found.masks[0]), colours == 2)
    assert not found.masks[0].cut_off
    sides = [image.shape[0] for image in segmenter.images]
    assert sides == [100, 200, 400][: len(sides)] and len(sides) > 1
    assert found.encodes == len(sides)


def test_only_prompts_that_were_cut_off_are_asked_again(paint):
    colours = plain()
    colours[200:225, 200:225] = 2
    colours[226:236, 120:300] = 3
    segmenter = SameColour()
    found = find(paint(colours), segmenter, click(205, 205), click(230, 210))
    assert [int((on_grid(mask)).sum()) for mask in found.masks] == [625, 1800]
    assert [image.shape[0] for image in segmenter.images] == [100, 100, 200]
    assert len(segmenter.prompts) == 3


def test_a_narrow_contact_with_the_edge_is_no_cut(paint):
    colours = plain()
    colours[240:250, 100:400] = 2  # 10 pixels at each edge of the window at most
    colours[240:250, 100:230] = 1
    segmenter = SameColour()
    found = find(paint(colours), segmenter, click(245, 250))
    assert len(segmenter.images) == 1 and not found.masks[0].cut_off


def test_a_mask_without_end_is_marked(paint):
    segmenter = Everything()
    found = find(paint(plain(900)), segmenter, click(450, 450))
    assert [image.shape[0] for image in segmenter.images] == [100, 200, 400]
    assert found.masks[0].cut_off
    assert found.masks[0].mask.size == 400 * 400


def test_the_edge_of_the_image_is_no_cut(paint):
    segmenter = Everything()
    found = find(paint(plain(80)), segmenter, click(3, 77))
    assert len(segmenter.images) == 1
    assert not found.masks[0].cut_off
    assert found.masks[0].window == Window(0, 0, 80, 80)


def test_what_a_larger_window_does_not_show_stays_as_it_was(paint):
    colours = plain()
    colours[150:280, 170:330] = 2
    found = find(paint(colours), OnlySmall(), click(200, 250))
    assert found.missing == ()
    assert found.masks[0].cut_off
    assert 0 < found.masks[0].mask.sum() <= 100 * 100


# --- boxes ------------------------------------------------------------------------------------


def box(left: float, top: float, right: float, bottom: float) -> Prompts:
    none = np.empty((0, 2))
    return Prompts(none, np.empty(0, dtype=bool), np.array([left, top, right, bottom], float))


def test_a_box_larger_than_the_window(paint):
    segmenter = BoxFilled()
    found = find(paint(plain(800)), segmenter, box(150, 200, 470, 430))
    assert found.masks[0].window == Window(200, 150, 230, 320)
    assert found.encodes == 1


def test_every_box_lies_in_its_window(paint):
    random = np.random.default_rng(1)
    pictures = paint(plain(800))
    for _ in range(40):
        width, height = random.integers(5, 300, 2)
        left, top = random.integers(0, 800 - width), random.integers(0, 800 - height)
        found = find(pictures, BoxFilled(), box(left, top, left + width, top + height))
        assert found.masks[0].window == Window(top, left, height, width)
        assert found.encodes == 1


# --- one tidy piece ---------------------------------------------------------------------------


def test_disconnected_pieces_are_dropped_and_holes_filled(paint):
    colours = plain()
    colours[200:230, 200:230] = 2
    field = colours == 2
    colours[210:214, 215:220] = 1  # a hole
    colours[200:230, 232:245] = 2  # across the road
    colours[230, 230] = 2  # only a corner touches
    found = find(paint(colours), SameColour(), click(205, 205))
    assert np.array_equal(on_grid(found.masks[0]), field)


def test_pixels_without_data_are_not_in_the_mask(paint):
    colours = plain()
    colours[210:214, 215:220] = 0  # a hole without data stays one
    colours[:, 225:227] = 0
    found = find(paint(colours), Blocks(25), click(215, 205))
    expected = np.zeros_like(colours, dtype=bool)
    expected[190:241, 180:225] = True  # not what lies beyond the gap
    assert np.array_equal(on_grid(found.masks[0]), expected & (colours > 0))


def test_a_prompt_without_data_has_no_field(paint):
    colours = plain()
    colours[200:210, 200:210] = 0
    found = find(paint(colours), Blocks(20), click(205, 205), click(220, 220))
    assert found.missing == (0,)
    assert [mask.prompt for mask in found.masks] == [1]


def test_windows_without_any_data_are_not_encoded(paint):
    colours = plain()
    colours[:300, :300] = 0
    segmenter = Blocks(5)
    found = find(paint(colours), segmenter, click(100, 100))
    assert found.missing == (0,) and found.encodes == 0 and segmenter.images == []


def test_all_masks_or_the_one_of_the_rule(paint):
    pictures, prompt = paint(plain()), click(205, 205)
    every = find(pictures, Blocks(2, 5, 9), prompt, all_masks=True).masks
    assert [mask.rank for mask in every] == [0, 1, 2]
    assert [int(mask.mask.sum()) for mask in every] == [25, 121, 361]
    assert [mask.score for mask in every] == pytest.approx([0.9, 0.8, 0.7])
    finest = find(pictures, Blocks(9, 0, 2), prompt, rule=MaskRule.FINEST).masks
    assert [int(mask.mask.sum()) for mask in finest] == [25]  # one pixel is noise
    best = find(pictures, Blocks(9, 0, 2), prompt, rule=MaskRule.BEST).masks
    assert [(mask.rank, int(mask.mask.sum())) for mask in best] == [(0, 361)]


def test_several_foreground_points_join_their_pieces(paint):
    colours = plain()
    for left in (200, 215, 230):
        colours[200:210, left : left + 10] = 2
    points = np.array([[205.5, 205.5], [235.5, 205.5], [222.5, 205.5]])
    prompt = Prompts(points, np.array([True, True, False]))
    mask = on_grid(find(paint(colours), SameColour(), prompt).masks[0])
    assert mask.sum() == 200 and not mask[:, 215:225].any()


def test_date_and_file_are_told(paint):
    found = find(paint(plain()), Blocks(3), click(5, 5)).masks[0]
    assert found.image == "picture_20220607.tif" and found.date.isoformat() == "2022-06-07"


def test_no_prompts(paint):
    found = find(paint(plain()), Blocks(3))
    assert found.masks == found.missing == () and found.encodes == 0


def test_cancelling(paint):
    with pytest.raises(Cancelled):
        find_fields([click(5, 5)], paint(plain()), Blocks(3), FieldOptions(window=100),
                    Monitor(cancelled=lambda: True))  # fmt: skip


# --- several dates ----------------------------------------------------------------------------


def test_the_mask_that_most_dates_agree_on_is_taken(tmp_path):
    """On the date of most contrast two fields look alike; on the others they do not."""
    ndvi = np.full((3, 120, 120), 0.3)
    ndvi[:, 30:60, 30:90] = [[[0.9]], [[0.5]], [[0.5]]]
    ndvi[1:, 30:60, 60:90] = 0.7
    series = open_series(write_dates(tmp_path, ndvi, (10, 50, 90)), sorted(NDVI.roles))
    one = find(SeriesPictures(series, NDVI), SameColour(), click(40, 40)).masks[0]
    assert one.window == Window(30, 30, 30, 60)
    three = find(SeriesPictures(series, NDVI, dates=3), SameColour(), click(40, 40))
    assert three.masks[0].window == Window(30, 30, 30, 30)
    assert three.encodes == 3


def test_overlap_by_hand():
    def mask(row, col, height, width):
        full = np.ones((height, width), bool)
        return FieldMask(0, Window(row, col, height, width), full, 1.0, 0, False, None, "")

    assert overlap(mask(0, 0, 4, 4), mask(0, 0, 4, 4)) == 1
    assert overlap(mask(0, 0, 4, 4), mask(2, 2, 4, 4)) == pytest.approx(4 / 28)
    assert overlap(mask(0, 0, 4, 4), mask(4, 0, 4, 4)) == 0
    assert overlap(mask(5, 5, 2, 2), mask(0, 0, 20, 20)) == pytest.approx(4 / 400)


def test_no_image_can_be_read(tmp_path):
    write_dates(tmp_path, np.full((2, 120, 120), 0.5), (10, 50))
    for path in tmp_path.glob("*.tif"):
        shorten(path, 0.3)
    pictures = SeriesPictures(open_series(tmp_path, sorted(NDVI.roles)), NDVI)
    with pytest.raises(SeriesError, match="none of the 2 image.*can be read"):
        find(pictures, Blocks(3), click(5, 5))


def test_cancelling_does_not_wait_for_a_slow_engine(tmp_path):
    """A large window may take an engine many seconds; the user waits less than one."""

    class Slow(Blocks):
        def encode(self, image):
            time.sleep(3)
            return super().encode(image)

    path = write_image(tmp_path / "20220101.tif", ndvi_bands(np.full((60, 60), 0.5)))
    start = time.perf_counter()
    monitor = Monitor(cancelled=lambda: time.perf_counter() - start > 0.2)
    prompts, pictures = [Prompts.click(30, 30)], FilePictures(str(path))
    with pytest.raises(Cancelled):
        find_fields(prompts, pictures, Slow(9), FieldOptions(), monitor)
    assert time.perf_counter() - start < 1
