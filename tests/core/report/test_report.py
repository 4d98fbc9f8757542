"""The HTML report: what it says, that user data cannot break it, and that it opens offline."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from furrow.core.report.charts import date_ticks, make_frame, ordinals, value_ticks
from furrow.core.report.content import (
    ClassProfile,
    ClassTotal,
    ReferencePage,
    SampleReport,
    Suspicion,
)
from furrow.core.report.html import natural, render
from furrow.core.report.labels import Labels
from furrow.core.report.pictures import crop_window, outline_path, png, runs_path

CHROMIUM = Path("/usr/bin/chromium")
DAYS = tuple(f"2023-{month:02d}-{day:02d}" for month in range(3, 11) for day in (1, 11, 21))
VOID = {"meta", "link", "input", "br", "img"}


class Tree(HTMLParser):
    """Fails on unbalanced elements; keeps names, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def make_page(number: int, class_name: str, rng: np.random.Generator, **changes) -> ReferencePage:
    """A field of some 900 pixels in a patch of 100."""
    rows, columns = np.mgrid[:100, :100]
    mask = ((rows - 50) / 14) ** 2 + ((columns - 48) / 20) ** 2 < 1 + 0.1 * np.sin(columns / 3)
    profile = 0.5 + 0.3 * np.sin(np.arange(len(DAYS)) / 4) + rng.normal(0, 0.02, len(DAYS))
    inside = np.argwhere(mask)[:, ::-1] + 0.5
    rejected = rng.random(len(inside)) < 0.2
    page = ReferencePage(
        ref_id=f"R-{number}",
        class_name=class_name,
        days=DAYS,
        reference_profile=profile,
        reference_interpolated=rng.random(len(DAYS)) < 0.2,
        kept_quantiles=profile + np.array([[-0.05], [0], [0.05]]),
        rejected_quantiles=profile + np.array([[0.05], [0.1], [0.2]]),
        image_date="2023-06-11",
        patch=rng.integers(60, 140, (100, 100, 3)).astype(np.uint8),
        prompt_xy=(48.5, 50.5),
        mask=mask,
        kept_xy=inside[~rejected],
        rejected_xy=inside[rejected],
        counts=(("in the field", len(inside)), ("kept", int((~rejected).sum()))),
        facts=(("Mask rule", "finest"), ("Area", "8.9 ha")),
    )
    return replace(page, **changes)


def make_report(count: int = 6, **changes) -> SampleReport:
    rng = np.random.default_rng(1)
    names = ("Wheat", "Maize", "Grassland")
    pages = tuple(make_page(number, names[number % 3], rng) for number in range(count))
    report = SampleReport(
        title="Crop samples 2023",
        created="2023-11-21 14:03 UTC",
        index_name="NDVI",
        parameters=(("MAX_DISTANCE", "0.05"),),
        stages=(("Pixels in fields", 1000), ("Similar profile", 640)),
        classes=tuple(ClassTotal(name, 2, 1000, 640, 10.0) for name in names),
        skipped=(("R-98", "no class"), ("R-99", "no class")),
        rejected_reasons=(("too few valid dates", 60), ("profile too far", 300)),
        suspicious=(Suspicion("R-1", "Maize", "Wheat", 0.0812),),
        pages=pages,
        days=DAYS,
        class_profiles=tuple(ClassProfile(name, np.linspace(0, 1, len(DAYS))) for name in names),
        files=(("Samples", "/data/samples.gpkg"),),
        versions=(("Furrow", "0.1.0"),),
    )
    return replace(report, **changes)


def cards(page: str) -> list[str]:
    return re.findall(r"<article.*?</article>", page, re.DOTALL)


def test_numbers_and_tables_are_on_the_page():
    text = Tree(render(make_report())).text
    for expected in ("1,920", "3,000", "64 %", "2 skipped", "30.0 ha", "0.081", "R-98, R-99"):
        assert expected in text
    assert text.index("profile too far") < text.index("too few valid dates")


def test_cards_are_ordered_by_class_then_id():
    pages = make_report(30).pages
    found = re.findall(r"<h4><span>(.*?)</span>", render(make_report(pages=pages[::-1])))
    of_class = {page.ref_id: page.class_name for page in pages}
    assert found == sorted(found, key=lambda ref_id: (of_class[ref_id], int(ref_id[2:])))
    assert natural("ref-2") < natural("ref-10")
    assert natural("²x") != natural("2x")


def test_suspicious_reference_links_to_its_card():
    page = render(make_report())
    anchor = re.search(r'<a href="#(reference-\d+)">R-1</a>', page).group(1)
    card = next(card for card in cards(page) if f'id="{anchor}"' in card)
    assert "<span>R-1</span>" in card


def test_user_data_is_escaped_everywhere():
    evil = "<script>alert('x')</script>\"&{{ 7*7 }}"
    page = replace(
        make_report(1).pages[0],
        ref_id=evil,
        class_name=evil,
        image_date=evil,
        warning=evil,
        counts=((evil, 1),),
        facts=((evil, evil),),
    )
    report = make_report(
        title=evil,
        subtitle=evil,
        created=evil,
        index_name=evil,
        language=evil,
        parameters=((evil, evil),),
        stages=((evil, 3),),
        classes=(ClassTotal(evil, 1, 3, 2, 1.0, colour='red;}</style>"'),),
        skipped=((evil, evil),),
        rejected_reasons=((evil, 1),),
        suspicious=(Suspicion(evil, evil, evil, 0.1),),
        pages=(page,),
        class_profiles=(ClassProfile(evil, np.zeros(len(DAYS)), colour='"><script>'),),
        files=((evil, evil),),
        versions=((evil, evil),),
    )
    page = render(report)
    tree = Tree(page)
    assert tree.names.count("script") == 1
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", page)[0]
    assert "red;" not in page


def test_page_needs_nothing_from_outside():
    page = render(make_report())
    for name, value in Tree(page).attributes:
        if name in ("src", "href", "action", "srcset", "xlink:href"):
            assert value.startswith(("data:", "#")), value
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert "Content-Security-Policy" in page


def test_report_without_references_says_so():
    empty = SampleReport("Nothing", "now", "NDVI")
    tree = Tree(render(empty))
    assert "No reference gave any candidate pixels." in tree.text
    assert "article" not in tree.names


def test_three_hundred_cards_stay_small():
    page = render(make_report(300))
    sizes = [len(re.sub(r"data:image[^\"]*", "", card)) for card in cards(page)]
    assert len(sizes) == 300
    assert max(sizes) < 15_000


@pytest.mark.parametrize(
    "changes",
    [
        {"patch": None, "mask": None, "prompt_xy": None, "image_date": ""},
        {"reference_profile": np.full(len(DAYS), np.nan), "kept_quantiles": None},
        {"kept_quantiles": np.full((3, len(DAYS)), np.nan)},
        {"reference_profile": None, "reference_interpolated": None},
        {"mask": np.zeros((100, 100), dtype=bool)},
        {"mask": None},
        {"patch": np.zeros((7, 3, 3), dtype=np.uint8), "mask": np.ones((7, 3), dtype=bool)},
        {"days": (), "reference_profile": None, "kept_quantiles": None, "rejected_quantiles": None},
        {"class_name": "Blé d’hiver — 冬小麦 " * 20, "ref_id": "x" * 300},
        {"class_name": "", "ref_id": ""},
    ],
)
def test_odd_cards_are_drawn(changes):
    page = replace(make_page(1, "Wheat", np.random.default_rng(2)), **changes)
    report = make_report(pages=(page,))
    text = render(report)
    Tree(text)
    assert text.encode("utf-8")
    for path in re.findall(r' d="([^"]*)"', text):
        assert "nan" not in path
        assert "inf" not in path


def test_single_date_and_no_value():
    one = make_page(
        1,
        "Wheat",
        np.random.default_rng(2),
        days=("2023-06-11",),
        reference_profile=np.array([0.5]),
        reference_interpolated=np.array([False]),
        kept_quantiles=np.array([[0.4], [0.5], [0.6]]),
        rejected_quantiles=None,
    )
    profiles = (ClassProfile("Wheat", np.array([0.5])),)
    page = render(make_report(pages=(one,), days=one.days, class_profiles=profiles))
    assert "11 Jun" in page
    nothing = replace(one, reference_profile=np.array([np.nan]), kept_quantiles=None)
    assert "no values" in render(make_report(pages=(nothing,), class_profiles=()))


def test_cleaning_has_cards_without_picture():
    page = replace(make_report(1).pages[0], patch=None)
    assert 'class="picture"' not in cards(render(make_report(pages=(page,))))[0]


def test_inputs_are_not_changed():
    report = make_report(1)
    before = {item.name: getattr(report.pages[0], item.name) for item in fields(ReferencePage)}
    copies = {name: np.copy(value) for name, value in before.items() if hasattr(value, "dtype")}
    render(report)
    for name, copy in copies.items():
        np.testing.assert_array_equal(before[name], copy)


def test_labels_can_be_replaced():
    texts = {name: f"»{text}" for name, text in vars(Labels()).items()}
    labels = Labels(**{**texts, "months": Labels().months, "thousands": "\u202f", "decimal": ","})
    text = Tree(render(make_report(), labels)).text
    assert "»Samples kept" in text
    assert "1\u202f920" in text
    assert "30,0 ha" in text
    assert "0,081" in text


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 0, "–"),
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (1, 9999, "0.1 %"),
        (9998, 9999, "99.9 %"),
        (2, 3, "67 %"),
    ],
)
def test_shares_never_hide_a_rest(part, whole, shown):
    assert Labels().percent(part, whole) == shown


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (40, 31)])
def test_png_reads_back(shape):
    image_reader = pytest.importorskip("PIL.Image")
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    np.testing.assert_array_equal(np.array(image_reader.open(io.BytesIO(png(image)))), image)


def test_picture_on_the_page_is_the_crop():
    image_reader = pytest.importorskip("PIL.Image")
    page = make_report(1).pages[0]
    top, left, height, width = crop_window(page)
    code = re.search(r"data:image/png;base64,([^\"]*)", render(make_report(1))).group(1)
    found = np.array(image_reader.open(io.BytesIO(base64.b64decode(code))))
    np.testing.assert_array_equal(found, page.patch[top : top + height, left : left + width])
    assert page.mask[top : top + height, left : left + width].sum() == page.mask.sum()
    assert height < 100


def ring_area(path: str) -> float:
    """Area inside the rings of an outline by the shoelace formula; holes count negative."""
    area = 0.0
    for ring in re.findall(r"M[^z]*z", path):
        x, y = map(float, re.match(r"M(\S+) (\d+)", ring).groups())
        for kind, step in re.findall(r"([hv])(-?\d+)", ring):
            area += x * float(step) if kind == "v" else 0.0
            x, y = (x + float(step), y) if kind == "h" else (x, y + float(step))
    return area


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_outline_encloses_the_mask(share):
    mask = np.random.default_rng(5).random((13, 17)) < share
    assert ring_area(outline_path(mask)) == mask.sum()


def test_outline_of_a_square_is_one_short_ring():
    mask = np.zeros((6, 6), dtype=bool)
    mask[1:4, 2:5] = True
    path = outline_path(mask)
    assert path.count("M") == 1
    assert sorted(re.findall(r"[hv]-?\d+", path)) == ["h-3", "h3", "v-3", "v3"]


def test_runs_join_neighbours_and_thin_the_rest():
    row = np.array([[3.5, 2.5], [1.5, 2.5], [2.5, 2.5], [8.5, 2.5]])
    assert runs_path(row) == ("M1.5 2.5h2.1M8.5 2.5h0.1", False)
    assert runs_path(np.empty((0, 2))) == ("", False)
    scattered = np.random.default_rng(0).uniform(0, 200, (5000, 2))
    path, thinned = runs_path(scattered)
    assert thinned
    assert path.count("M") <= 800


def test_ticks_stand_at_true_dates():
    days = ordinals(("2022-11-20", "2023-03-10"))
    frame = make_frame(days, (0.13, 0.87))
    ticks = date_ticks(frame, Labels().months.split(), 7)
    assert [(tick.text, tick.note) for tick in ticks] == [
        ("Dec", "2022"),
        ("Jan", "2023"),
        ("Feb", ""),
        ("Mar", ""),
    ]
    assert ticks[1].position - ticks[0].position == pytest.approx(31 / 110 * (340 - 36 - 14))
    assert [tick.text for tick in value_ticks(frame, ".")] == [
        "0.0",
        "0.2",
        "0.4",
        "0.6",
        "0.8",
        "1.0",
    ]


@pytest.mark.parametrize("values", [(0.0, 1.0), (-0.31, 0.02), (12.0, 4300.0), (0.4999, 0.5001)])
def test_value_ticks_span_the_values(values):
    frame = make_frame(ordinals(DAYS), values)
    ticks = value_ticks(frame, ".")
    assert frame.low <= values[0] <= values[1] <= frame.high
    assert 3 <= len(ticks) <= 8
    assert len({tick.text for tick in ticks}) == len(ticks)
    assert "-0.0" not in {tick.text for tick in ticks}


@pytest.mark.parametrize("last", ["2016-01-02", "2016-09-30", "2019-05-05", "2041-01-01"])
def test_there_are_never_too_many_date_ticks(last):
    frame = make_frame(ordinals(("2016-01-01", last)), (0.0, 1.0))
    assert 2 <= len(date_ticks(frame, Labels().months.split(), 7)) <= 7


def chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run headless with a profile of its own and every host name unknown."""
    words = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
    words += " --disable-background-networking --disable-component-update --disable-sync"
    words += " --hide-scrollbars --enable-logging=stderr --window-size=1280,2000"
    command = [str(CHROMIUM), *words.split(), f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs /usr/bin/chromium")
def test_chromium_shows_the_page_without_complaint(tmp_path):
    path = tmp_path / "report.html"
    path.write_text(render(make_report()), encoding="utf-8")
    shot = tmp_path / "page.png"
    shown = chromium(tmp_path, f"--screenshot={shot}", path.as_uri())
    assert shot.exists(), shown.stderr[-2000:]
    assert ":CONSOLE" not in shown.stderr
    shutil.rmtree(tmp_path / "profile", ignore_errors=True)
    dumped = chromium(tmp_path, "--dump-dom", path.as_uri())
    assert ":CONSOLE" not in dumped.stderr
    assert dumped.stdout.count("<article") == 6
    tools = re.search(r'<form id="tools"[^>]*>', dumped.stdout).group(0)
    assert "hidden" not in tools  # the script has run
