"""Dates from file names and tags."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from furrow.core.imagery.dates import date_from_name, date_from_tags, day_numbers

MARCH_15 = dt.date(2022, 3, 15)


@pytest.mark.parametrize(
    "name",
    [
        "20220315.tif",
        "S2_20220315.tif",
        "20220315T101031_B04.tif",
        "2022-03-15_mosaic.tif",
        "2022_03_15.tiff",
        "S2A_MSIL2A_20220315T101321_N0400_R022_T32TQR_20220316T012345.tif",
        "LC08_L2SP_193026_20220315_20220322_02_T1.tif",
        "ndvi_2022074.tif",
        "20221399_20220315.tif",
        "tile_32600123_20220315.vrt",
    ],
)
def test_names_with_a_date(name):
    assert date_from_name(name) == MARCH_15


@pytest.mark.parametrize(
    "name",
    ["ndvi.tif", "20221399.tif", "20220229.tif", "2022.tif", "202203.tif", "2022-0315.tif",
     "2022000.tif", "2022366.tif", "2023-02-30.tif", "120220315.tif", "202203159.tif",
     "18991231.tif", ""],
)  # fmt: skip
def test_names_without_a_date(name):
    assert date_from_name(name) is None


@given(st.dates(dt.date(1900, 1, 1), dt.date(2099, 12, 31)))
def test_every_day_is_read_in_every_form(date):
    assert date_from_name(f"a_{date:%Y%m%d}_b.tif") == date
    assert date_from_name(f"a_{date:%Y-%m-%d}.tif") == date
    assert date_from_name(f"a_{date:%Y}{date.timetuple().tm_yday:03d}.tif") == date


@pytest.mark.parametrize(
    "tags",
    [
        {"ACQUISITIONDATETIME": "2022-03-15T10:13:21Z"},
        {"TIFFTAG_DATETIME": "2022:03:15 10:13:21"},
        {"DATE": "2022/03/15"},
        {"DATE": "20220315"},
        {"DATE": "unknown", "TIFFTAG_DATETIME": "2022:03:15 00:00:00"},
        {"ACQUISITIONDATETIME": "2022-03-15", "TIFFTAG_DATETIME": "2023:01:01 00:00:00"},
    ],
)
def test_tags_with_a_date(tags):
    assert date_from_tags(tags) == MARCH_15


@pytest.mark.parametrize("tags", [{}, {"DATE": ""}, {"A": "2022-03-15"}, {"DATE": "0000-00-00"}])
def test_tags_without_a_date(tags):
    assert date_from_tags(tags) is None


def test_day_numbers_differ_by_days():
    days = day_numbers([dt.date(2023, 12, 31), dt.date(2024, 3, 1)])
    assert days.dtype == float
    assert days[1] - days[0] == 61  # 2024 is a leap year
    assert day_numbers([]).shape == (0,)
