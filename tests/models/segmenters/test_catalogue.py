"""What the catalogue holds, and what is said of entries that cannot be used."""

from __future__ import annotations

import copy
import json
import re

import pytest

from furrow.core.errors import ModelError
from furrow.models.segmenters.catalogue import (
    ENGINES,
    PROMPTS,
    entry_from,
    json_of,
    read_catalogue,
)
from furrow.models.segmenters.furrow_field.field_model import WEIGHTS
from furrow.models.segmenters.model_folder import file_hash

HASH = "0123456789abcdef" * 4
GOOD = {
    "id": "sam-b",
    "title": "Segment Anything B",
    "family": "segment-anything",
    "engine": "torch",
    "files": [
        {"role": "checkpoint", "name": "b.pth", "url": "https://a.b/b.pth", "bytes": 7,
         "sha256": HASH},
    ],
    "licence": {"name": "Apache-2.0", "limits": "none", "url": "", "commercial": True,
                "gated": False},
    "parameters": 12,
    "preprocessing": "none",
    "prompts": ["points", "box"],
    "recommended": "Anything.",
    "default": True,
}  # fmt: skip


def changed(key: str, value: object) -> dict:
    """GOOD with another value at a dotted key; None takes the key away."""
    entry = copy.deepcopy(GOOD)
    part, keys = entry, [int(word) if word.isdigit() else word for word in key.split(".")]
    for word in keys[:-1]:
        part = part[word]
    if value is None:
        del part[keys[-1]]
    else:
        part[keys[-1]] = value
    return entry


def one_sentence(error: ModelError) -> str:
    text = str(error)
    assert "\n" not in text and text.endswith(".")
    assert re.findall(r"[.!?](?=\s|$)", text) == ["."]
    return text


def keys_of(mapping: dict, start: str = "") -> list:
    found = []
    for key, value in mapping.items():
        found.append(f"{start}{key}")
        found += keys_of(value, f"{key}.") if isinstance(value, dict) else []
    return found


# -- what ships --------------------------------------------------------------------------------


def test_the_order() -> None:
    ids = [entry.id for entry in read_catalogue()]
    assert ids[:3] == ["furrow-field", "classical", "furrow-field-fast"]
    assert [entry.id for entry in read_catalogue() if entry.default] == ["furrow-field"]
    assert not any(entry.own for entry in read_catalogue())


def test_everybody_is_there() -> None:
    ids = {entry.id for entry in read_catalogue()}
    sizes = ("tiny", "small", "base-plus", "large")
    assert ids >= {f"segment-anything-vit-{size}" for size in "blh"}
    assert ids >= {f"segment-anything-{v}-{size}" for v in ("2", "2.1") for size in sizes}
    assert ids >= {"mobile-sam", "efficient-sam-ti", "efficient-sam-s", "edge-sam",
                   "segment-anything-3"}  # fmt: skip


def test_titles_say_segment_anything_in_words() -> None:
    for entry in read_catalogue():
        if entry.family != "furrow":
            assert "Segment Anything" in entry.title


@pytest.mark.parametrize("entry", read_catalogue(), ids=lambda entry: entry.id)
def test_an_entry_is_complete(entry) -> None:
    assert entry_from(json_of(entry)) == entry
    assert entry.preprocessing and entry.recommended and set(entry.prompts) <= set(PROMPTS)
    assert tuple(file.role for file in entry.files) == ENGINES[entry.engine]
    for file in entry.files:
        assert file.bytes > 0 and len(file.sha256) == 64 and not file.path
        assert bool(file.url) != (entry.shipped or entry.licence.gated)
        assert not file.url or file.url.endswith(f"/{file.name}")
    assert entry.licence.url.startswith("https://")


@pytest.mark.parametrize("entry", read_catalogue(), ids=lambda entry: entry.id)
def test_the_size_fits_the_weights(entry) -> None:
    """Published checkpoints hold float32, the field model float16: a mixed-up size would show."""
    if entry.family not in ("furrow", "edge-sam"):  # EdgeSAM's files hold some weights twice
        assert 3.9 < entry.bytes / entry.parameters < 4.25


def test_the_hashes_of_what_ships() -> None:
    """After new weights catalogue.json needs their sizes and hashes."""
    for entry in read_catalogue():
        for file in entry.files if entry.shipped else ():
            path = WEIGHTS / file.name
            assert (path.stat().st_size, file_hash(path)) == (file.bytes, file.sha256), path


def test_what_may_not_be_used_by_everybody_is_shown_and_never_the_default() -> None:
    limited = {entry.id: entry for entry in read_catalogue()
               if entry.licence.gated or not entry.licence.commercial}  # fmt: skip
    assert set(limited) == {"edge-sam", "segment-anything-3"}
    assert not any(entry.default for entry in limited.values())
    assert "not for commercial use" in limited["edge-sam"].licence.limits
    assert "non-commercial" in limited["edge-sam"].title
    assert "on application" in limited["segment-anything-3"].title


def test_the_catalogue_is_read_once() -> None:
    assert read_catalogue() is read_catalogue()


# -- what cannot be used -----------------------------------------------------------------------


def test_a_good_entry() -> None:
    entry = entry_from({**GOOD, "a key of a later version": 1})
    assert entry_from(json_of(entry)) == entry and entry.bytes == 7 and not entry.shipped
    assert entry_from(changed("default", False), own=True).own


@pytest.mark.parametrize("key", [*keys_of(GOOD), *(f"files.0.{k}" for k in GOOD["files"][0])])
def test_a_missing_key_is_named(key) -> None:
    with pytest.raises(ModelError) as caught:
        entry_from(changed(key, None))
    text = one_sentence(caught.value)
    assert f"'{key}'" in text and "is missing" in text
    assert key == "id" or "'sam-b'" in text


@pytest.mark.parametrize("value", [5.5, [], {}, "a\nb", True, -1, ["x"]])
@pytest.mark.parametrize("key", [*keys_of(GOOD), *(f"files.0.{k}" for k in GOOD["files"][0])])
def test_values_of_a_wrong_kind(key, value) -> None:
    """Whatever stands there, an entry comes out or one sentence that names the key."""
    try:
        entry_from(changed(key, value))
    except ModelError as error:
        named = "default" if key == "licence.gated" and value is True else key
        assert f"'{named}" in one_sentence(error)
    else:
        assert isinstance(value, bool) and key.split(".")[-1] in ("default", "commercial")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("id", "SAM", "small letters"),
        ("id", "../sam", "small letters"),
        ("id", "a..b", "small letters"),
        ("engine", "pickle", "is 'pickle' instead of one of field, classical, onnx, torch"),
        ("engine", "onnx", "encoder"),
        ("engine", "classical", "files"),
        ("files", [], "checkpoint"),
        ("files", GOOD["files"] * 2, "checkpoint"),
        ("files.0.role", "encoder", "checkpoint"),
        ("files.0.name", "a/b.pth", "without a folder"),
        ("files.0.name", "a\\b.pth", "without a folder"),
        ("files.0.name", "..", "without a folder"),
        ("files.0.name", "c:b.pth", "without a folder"),
        ("files.0.name", "entry.json", "without a folder"),
        ("files.0.name", "a\0.pth", "without a folder"),
        ("files.0.url", "http://a.b/b.pth", "https://"),
        ("files.0.url", "file:///etc/passwd", "https://"),
        ("files.0.bytes", -1, "not negative"),
        ("files.0.sha256", HASH[:-1], "64"),
        ("files.0.sha256", HASH.upper(), "64"),
        ("parameters", -1, "not negative"),
        ("prompts", ["text"], "points, background, box, several"),
        ("licence.gated", True, "default"),
        ("licence.commercial", False, "default"),
    ],
)
def test_values_that_cannot_be(key, value, words) -> None:
    with pytest.raises(ModelError) as caught:
        entry_from(changed(key, value))
    text = one_sentence(caught.value)
    assert words in text and "install Furrow again" in text


def test_own_entries() -> None:
    with pytest.raises(ModelError) as caught:
        entry_from(GOOD, own=True)
    assert "'default'" in str(caught.value) and "entry.json" in one_sentence(caught.value)
    plain = {**GOOD, "default": False}
    with pytest.raises(ModelError, match="one of onnx, torch"):
        entry_from({**plain, "engine": "field"}, own=True)
    with pytest.raises(ModelError, match="full path"):
        entry_from({**changed("files.0.path", "b.pth"), "default": False}, own=True)
    used = {**changed("files.0.path", "/data/b.pth"), "default": False}
    assert entry_from(used, own=True).files[0].path == "/data/b.pth"
    assert entry_from(used).files[0].path == ""  # the catalogue knows no paths


# -- the file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([GOOD, changed("default", False)], "'sam-b' twice"),
        ([GOOD, changed("id", "sam-c")], "2 entries (sam-b, sam-c) with 'default'"),
        ([changed("default", False)], "0 entries with 'default'"),
        ([GOOD, 5], "'id' of a model without a name"),
        ({}, "no catalogue"),
    ],
)
def test_entries_that_do_not_go_together(tmp_path, models, words) -> None:
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps({"format": 1, "models": models}))
    with pytest.raises(ModelError) as caught:
        read_catalogue(path)
    assert words in one_sentence(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[", "[]", '{"format": 2, "models": []}', "[" * 99999, "\xff"]
)
def test_a_file_that_is_no_catalogue(tmp_path, text) -> None:
    path = tmp_path / "catalogue.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match="install Furrow again"):
        read_catalogue(path)
    with pytest.raises(ModelError, match="install Furrow again"):
        read_catalogue(tmp_path / "none.json")
