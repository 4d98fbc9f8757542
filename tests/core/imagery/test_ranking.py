"""Which date is clearest, over an area and around places."""

from __future__ import annotations

import numpy as np
import pytest

from furrow.core.errors import Cancelled
from furrow.core.imagery.grid import Window
from furrow.core.imagery.indices import parse_index
from furrow.core.imagery.pictures import SeriesPictures
from furrow.core.imagery.ranking import clearest, valid_shares
from furrow.core.imagery.series import open_series
from furrow.core.monitor import Monitor
from furrow.tests.core.series_files import day, ndvi_bands, shorten, write_dates, write_image

NDVI = parse_index("NDVI")
ROLES = sorted(NDVI.roles)
SHAPE = (80, 120)
DAYS = (10, 40, 70, 100)
LEFT, RIGHT = Window(0, 0, 80, 60), Window(0, 60, 80, 60)
STRIPES = np.broadcast_to(np.indices(SHAPE)[0] // 10 % 2, SHAPE)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Clouds left on the second, right on the third, all over on the last date."""
    contrast = np.array([0.1, 0.3, 0.3, 0.5])
    ndvi = 0.3 + contrast[:, None, None] * STRIPES
    scl = np.full((4, *SHAPE), 4)
    scl[1, :, :60] = 9
    scl[2, :, 60:] = 3
    scl[3, 4:] = 8
    return open_series(write_dates(tmp_path_factory.mktemp("ranking"), ndvi, DAYS, scl), ROLES)


def names(images) -> list[str]:
    return [f"{image.date:%m%d}" for image in images]


def expected(*positions: int) -> list[str]:
    return [f"{day(DAYS[k]):%m%d}" for k in positions]


def test_shares_of_the_whole_images(series):
    shares, broken = valid_shares(series, ROLES)
    assert [s.share for s in shares] == pytest.approx([1, 0.5, 0.5, 0.05])
    assert names(s.image for s in shares) == expected(0, 1, 2, 3)
    assert broken == []


def test_shares_of_an_area(series):
    area = np.zeros(SHAPE, dtype=bool)
    area[20:60, 50:70] = True
    shares, _ = valid_shares(series, ROLES, lambda window: area[window.slices])
    assert [s.share for s in shares] == pytest.approx([1, 0.5, 0.5, 0])


def test_shares_of_an_area_off_the_images(series):
    shares, _ = valid_shares(series, ROLES, lambda window: np.zeros(SHAPE, bool)[window.slices])
    assert [s.share for s in shares] == [0, 0, 0, 0]


def test_shares_over_several_blocks(tmp_path):
    scl = np.full((1, 20, 2300), 4)
    scl[0, :, 900:1130] = 9
    folder = write_dates(tmp_path, np.full((1, 20, 2300), 0.5), (3,), scl, options=["COMPRESS=LZW"])
    shares, _ = valid_shares(open_series(folder, ROLES), ROLES)
    assert shares[0].share == pytest.approx(0.9)


def test_unreadable_images_are_named(tmp_path):
    write_dates(tmp_path, np.full((3, *SHAPE), 0.5), (1, 2, 3))
    shorten(tmp_path / "S2_20220103.tif", 0.5)
    series = open_series(tmp_path, ROLES)
    shares, broken = valid_shares(series, ROLES)
    assert names(s.image for s in shares) == ["0102", "0104"]
    assert [item.item for item in broken] == ["S2_20220103.tif"]
    assert clearest(series, [series.grid.whole], NDVI)[series.grid.whole][0].date != day(2)


def test_clearest_is_by_neighbourhood_then_by_contrast(series):
    """Each side has its own best date: clear there, and with the most contrast."""
    found = clearest(series, [LEFT, RIGHT, series.grid.whole], NDVI)
    assert names(found[LEFT]) == expected(2)
    assert names(found[RIGHT]) == expected(1)
    assert names(found[series.grid.whole]) == expected(0)


def test_a_small_window_where_the_cloudiest_date_is_clear(series):
    corner = Window(0, 0, 4, 4)
    assert names(clearest(series, [corner], NDVI, most=4)[corner]) == expected(0, 2, 3)


def test_several_dates_best_first(series):
    assert names(clearest(series, [LEFT], NDVI, most=2)[LEFT]) == expected(2, 0)
    assert names(clearest(series, [LEFT], NDVI, most=9)[LEFT]) == expected(2, 0)


def test_several_dates_lie_apart(tmp_path):
    ndvi = 0.3 + np.array([0.5, 0.4, 0.3, 0.2])[:, None, None] * STRIPES
    series = open_series(write_dates(tmp_path, ndvi, (10, 15, 29, 30)), ROLES)
    found = clearest(series, [LEFT], NDVI, most=3)[LEFT]
    assert [image.date for image in found] == [day(10), day(30)]


def test_of_equal_dates_the_earliest(tmp_path):
    ndvi = np.repeat((0.3 + 0.2 * STRIPES)[None], 3, axis=0)
    series = open_series(write_dates(tmp_path, ndvi, (50, 20, 80)), ROLES)
    assert clearest(series, [LEFT], NDVI)[LEFT][0].date == day(20)


def test_where_nothing_can_be_seen_some_date_is_given(tmp_path):
    write_image(tmp_path / "20220301.tif", ndvi_bands(np.full(SHAPE, 0.5), np.full(SHAPE, 9)))
    series = open_series(tmp_path, ROLES)
    assert len(clearest(series, [LEFT], NDVI)[LEFT]) == 1


def test_no_windows(series):
    assert clearest(series, [], NDVI) == {}


@pytest.mark.parametrize("work", [
    lambda s, m: valid_shares(s, ROLES, monitor=m),
    lambda s, m: clearest(s, [LEFT], NDVI, monitor=m),
])  # fmt: skip
def test_cancelling(series, work):
    with pytest.raises(Cancelled):
        work(series, Monitor(cancelled=lambda: True))


def test_a_picture_whose_file_breaks_gives_way_to_the_next_best(tmp_path):
    """The ranking reads red and near infrared; the picture also needs green, which is cut off."""
    ndvi = np.random.default_rng(4).uniform(0.2, 0.8, (2, 80, 80))
    bands = {name: np.full((80, 80), 900.0) for name in ("B04", "B08", "B03")}
    how = {"options": ["INTERLEAVE=BAND"]}
    for number, values in ((10, ndvi[0]), (40, ndvi[1] * 0.2)):
        made = {**bands, **{k: v for k, v in ndvi_bands(values).items() if k != "B03"}}
        path = write_image(tmp_path / f"{day(number):%Y%m%d}.tif", made, **how)
        if number == 10:
            shorten(path, 0.75)
    series = open_series(tmp_path, ["nir", "red"])
    pictures = SeriesPictures(series, parse_index("NDVI")).pictures(series.grid.whole)
    assert [picture.date for picture in pictures] == [day(40)]
