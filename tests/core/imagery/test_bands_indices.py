"""Band roles from names and text; indices, and that their expressions are arithmetic only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from furrow.core.errors import BandError
from furrow.core.imagery.bands import parse_bands, role_of, roles_from_names
from furrow.core.imagery.indices import NAMED, parse_index

BANDS = {
    "blue": np.array([0.04, 0.05], np.float32),
    "green": np.array([0.08, 0.09], np.float32),
    "red": np.array([0.10, 0.05], np.float32),
    "rededge1": np.array([0.15, 0.20], np.float32),
    "nir": np.array([0.30, 0.45], np.float32),
}


@pytest.mark.parametrize(
    ("name", "role"),
    [("B02", "blue"), ("B2", "blue"), ("b03", "green"), ("B04", "red"), ("Red", "red"),
     ("B05", "rededge1"), ("B08", "nir"), (" NIR ", "nir"), ("B8A", "nir08"), ("B11", "swir16"),
     ("SWIR2", "swir22"), ("SCL", "qa"), ("quality", "qa"), ("VV", "vv")],
)  # fmt: skip
def test_names_of_bands(name, role):
    assert role_of(name) == role


def test_roles_are_numbered_from_one_and_the_first_counts():
    assert roles_from_names(["B02", "", "B04", "red", "SCL"]) == {"blue": 1, "red": 3, "qa": 5}


def test_narrow_infrared_stands_in_only_where_the_wide_one_is_absent():
    assert roles_from_names(["B04", "B8A"])["nir"] == 2
    assert roles_from_names(["B8A", "B08"])["nir"] == 2


@pytest.mark.parametrize(
    "text",
    ["blue=1,red=3,nir=4,qa=5", " BLUE = 1 ; B04=3,B08=4; SCL=5 ", "B2=1,red=3,nir=4,,qa=5,"],
)
def test_bands_in_words(text):
    assert parse_bands(text) == {"blue": 1, "red": 3, "nir": 4, "qa": 5}


def test_no_words_no_bands():
    assert parse_bands("  ") == {}


@pytest.mark.parametrize(
    "text", ["red", "red=", "=3", "red=0", "red=-1", "red=1.5", "red=x", "red=²", "red=1 nir=2"]
)
def test_words_that_are_no_bands(text):
    with pytest.raises(BandError, match="BANDS: cannot read"):
        parse_bands(text)


@pytest.mark.parametrize(
    ("name", "roles", "formula"),
    [
        ("NDVI", {"nir", "red"}, lambda b: (b["nir"] - b["red"]) / (b["nir"] + b["red"])),
        ("evi2", {"nir", "red"},
         lambda b: 2.5 * (b["nir"] - b["red"]) / (b["nir"] + 2.4 * b["red"] + 1)),
        ("NDRE", {"nir", "rededge1"},
         lambda b: (b["nir"] - b["rededge1"]) / (b["nir"] + b["rededge1"])),
        (" gndvi ", {"nir", "green"},
         lambda b: (b["nir"] - b["green"]) / (b["nir"] + b["green"])),
    ],
)  # fmt: skip
def test_named_indices(name, roles, formula):
    index = parse_index(name)
    assert index.name in NAMED
    assert index.roles == roles
    assert np.allclose(index(BANDS), formula(BANDS), atol=1e-6)
    assert index(BANDS).dtype == np.float32


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("(nir-red)/(nir+red)", lambda b: (b["nir"] - b["red"]) / (b["nir"] + b["red"])),
        ("B08 / B04 - 1", lambda b: b["nir"] / b["red"] - 1),
        ("-nir + +red * 2", lambda b: -b["nir"] + 2 * b["red"]),
        ("nir ** 2", lambda b: b["nir"] ** 2),
        ("sqrt(nir) + log(red) + log10(red) + exp(red)",
         lambda b: np.sqrt(b["nir"]) + np.log(b["red"]) + np.log10(b["red"]) + np.exp(b["red"])),
        ("maximum(abs(red-nir), minimum(red, green))",
         lambda b: np.maximum(abs(b["red"] - b["nir"]), np.minimum(b["red"], b["green"]))),
    ],
)  # fmt: skip
def test_expressions(text, formula):
    assert np.allclose(parse_index(text)(BANDS), formula(BANDS), atol=1e-6)


@given(st.floats(-3, 3, width=32), st.floats(-3, 3, width=32))
def test_numbers_are_numbers(a, b):
    found = parse_index(f"({a!r}) * nir + ({b!r})")({"nir": np.array([0.3], np.float32)})
    assert np.allclose(found, a * 0.3 + b, atol=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        # no arithmetic
        "nir.real", "nir.__class__", "__import__('os')", "__import__('os').system('id')",
        "open('x')", "eval(nir)", "getattr(nir, red)", "np.sqrt(nir)", "(lambda: nir)()",
        "lambda: nir", "[b for b in nir]", "{b for b in nir}", "sum(b for b in nir)", "[nir]",
        "(nir, red)", "{'a': nir}", "nir[0]", "'nir'", "'a' * nir", "f'{nir}'", "b'1' * nir",
        "nir if red else green", "nir < red", "nir and red", "not nir", "~nir", "nir @ red",
        "nir // red", "nir % red", "nir | red", "nir << 2", "(nir := red)", "True * nir",
        "None * nir", "1j * nir", "... * nir", "*nir", "nir; red", "nir = red", "import os",
        # wrong numbers of arguments
        "sqrt()", "sqrt(nir, red)", "minimum(nir)", "minimum(nir, red, green)", "sqrt(x=nir)",
        "sqrt(*nir)", "minimum(nir, **red)",
        # not readable
        "", "  ", "nir -", "(nir", "nir red", "nir\0", "1" * 400 + " * nir", "-" * 5000 + "nir",
        "+".join(["nir"] * 3000), "(" * 300 + "nir" + ")" * 300,
        # no band
        "1 + 2",
    ],
)  # fmt: skip
def test_nothing_but_arithmetic_is_accepted(text):
    with pytest.raises(BandError, match="^INDEX: ") as caught:
        parse_index(text)
    assert len(str(caught.value)) < 300


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
@given(st.text(max_size=40))
def test_any_text_is_an_index_or_refused(text):
    try:
        assert parse_index(text).roles
    except BandError:
        pass


def test_bands_are_not_changed():
    before = {role: values.copy() for role, values in BANDS.items()}
    parse_index("minimum(abs(nir), sqrt(red)) - -green")(BANDS)
    assert all(np.array_equal(before[role], values) for role, values in BANDS.items())


def test_values_that_make_no_sense_are_nan():
    bands = {
        "nir": np.array([0.3, 0.0, np.nan, 0.5, -0.2], np.float32),
        "red": np.array([0.1, 0.0, 0.1, -0.5, 0.1999], np.float32),
    }
    found = parse_index("NDVI")(bands)
    assert np.isfinite(found).tolist() == [True, False, False, False, False]
