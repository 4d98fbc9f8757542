"""Which models there are: catalogue.json, and entries of the same form for the user's own.

Everything in an entry is checked when it is read, because the user's entries may come from another
computer or a text editor.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Tuple

from ...core.errors import ModelError

CATALOGUE = Path(__file__).with_name("catalogue.json")
FORMAT = 1
"""Of catalogue.json and entry.json; raised when an older Furrow would misread them."""
ENTRY_FILE = "entry.json"
"""What describes a model of the user's, in the folder of its files."""
CONFIG_FILE = "config.json"
"""What the package transformers writes beside a checkpoint: sizes that weights do not tell."""
ENGINES: Mapping[str, Tuple[str, ...]] = {
    "field": ("encoder", "decoder", "ranker"),
    "classical": (),
    "onnx": ("encoder", "decoder"),
    "torch": ("checkpoint",),
}
"""Engine and the roles of the files that it opens; those of OWN_ENGINES may have DATA besides."""
OWN_ENGINES = ("onnx", "torch")
"""Engines that run files of the user's."""
DATA = "data"
"""The role of a file that another needs beside it under its name: an ONNX file the one with its
weights, a checkpoint its CONFIG_FILE."""
PROMPTS = ("points", "background", "box", "several")
"""Clicks on the field, clicks off it, a box, several fields at once."""
_ID = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*")
_HASH = re.compile(r"[0-9a-f]{64}")
_NOT_IN_NAMES = '/\\:*?"<>|'
_KEPT_CATALOGUES = 8


@dataclass(frozen=True)
class ModelFile:
    """A file of a model."""

    role: str
    """What it is: one of the roles of ENGINES, or DATA."""
    name: str
    """In the folder of the model, as its publisher calls it."""
    url: str
    """Where it can be downloaded; empty: nowhere without the publisher's consent, or shipped."""
    bytes: int
    """Its size; 0: unknown."""
    sha256: str
    """In hexadecimal digits; empty: unknown."""
    path: str = ""
    """Where the user's own file is used in place; empty: in the folder of the model."""


@dataclass(frozen=True)
class Licence:
    """What the publisher allows."""

    name: str
    limits: str
    """In one line."""
    url: str
    """Its text; empty: unknown."""
    commercial: bool
    """Whether commercial use is allowed."""
    gated: bool
    """Whether the publisher gives the files on application only."""


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue, or of the user's own."""

    id: str
    """Stable: projects, scripts and run records hold it."""
    title: str
    family: str
    engine: str
    """One of ENGINES."""
    files: Tuple[ModelFile, ...]
    licence: Licence
    parameters: int
    """Number of weights; 0: none, or unknown."""
    preprocessing: str
    """How a picture is prepared, in one line."""
    prompts: Tuple[str, ...]
    """Which of PROMPTS it understands."""
    recommended: str
    """What it is good for, in one line."""
    default: bool
    """Whether it is used where the user chooses none; one entry only."""
    own: bool = False
    """Whether it is the user's."""

    @property
    def bytes(self) -> int:
        """Size of all files whose size is known."""
        return sum(file.bytes for file in self.files)

    @property
    def shipped(self) -> bool:
        """Whether it comes with Furrow."""
        return self.engine not in OWN_ENGINES


def read_catalogue(path: Path = CATALOGUE) -> Tuple[Entry, ...]:
    """The models of the catalogue in its order; the file is read once.

    :raises ModelError: the file cannot be read, or an entry cannot be used.
    """
    return _catalogue(path)


def entry_from(mapping: Mapping[str, Any], own: bool = False) -> Entry:
    """An entry from its JSON object; keys that this version does not know are passed over.

    :param own: whether it is one of the user's, whose files may be used in place.
    :raises ModelError: a key is missing or has a value that cannot be used.
    """
    read = _Reader(mapping, "", own)
    read = _Reader(mapping, read.text("id"), own)
    entry = Entry(
        id=read.text("id"),
        title=read.text("title"),
        family=read.text("family"),
        engine=read.one_of("engine", OWN_ENGINES if own else tuple(ENGINES)),
        files=tuple(_file(part) for part in read.parts("files")),
        licence=_licence(read.part("licence")),
        parameters=read.whole("parameters"),
        preprocessing=read.text("preprocessing", empty=own),
        prompts=read.some_of("prompts", PROMPTS),
        recommended=read.text("recommended", empty=own),
        default=read.switch("default"),
        own=own,
    )
    _check(entry, read)
    return entry


def json_of(entry: Entry) -> Dict[str, Any]:
    """The JSON object of which :func:`entry_from` makes the entry."""
    plain = {name: value for name, value in vars(entry).items() if name != "own"}
    files = [dict(vars(file)) for file in entry.files]
    return {
        **plain, "files": files, "licence": dict(vars(entry.licence)),
        "prompts": list(entry.prompts),
    }  # fmt: skip


def write_entry(entry: Entry, folder: Path) -> None:
    """Write ENTRY_FILE of a model of the user's into the folder of its files.

    :raises OSError: it cannot be written.
    """
    text = json.dumps({"format": FORMAT, **json_of(entry)}, ensure_ascii=False, indent=1)
    (folder / ENTRY_FILE).write_text(text, encoding="utf-8")


@lru_cache(maxsize=_KEPT_CATALOGUES)
def _catalogue(path: Path) -> Tuple[Entry, ...]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"The catalogue of models {path} cannot be read ({error}); install Furrow again."
        ) from error
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, list) or content.get("format") != FORMAT:
        raise ModelError(
            f"{path} is no catalogue of models of format {FORMAT}; install Furrow again."
        )
    entries = tuple(entry_from(each if isinstance(each, dict) else {}) for each in models)
    _check_together(entries)
    return entries


def _check_together(entries: Tuple[Entry, ...]) -> None:
    """:raises ModelError: an id is there twice, or the default model is not exactly one."""
    ids = [entry.id for entry in entries]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    if twice:
        raise ModelError(
            f"The catalogue of models has '{twice[0]}' twice as 'id'; install Furrow again."
        )
    defaults = [entry.id for entry in entries if entry.default]
    if len(defaults) != 1:
        named = f"({', '.join(defaults)}) " if defaults else ""
        raise ModelError(
            f"The catalogue of models has {len(defaults)} entries {named}with 'default' true "
            "instead of one; install Furrow again."
        )


class _Reader:
    """Takes values out of a JSON object, or says in a sentence what is wrong with one."""

    def __init__(self, mapping: Mapping[str, Any], model: str, own: bool, within: str = "") -> None:
        self._mapping, self._within = mapping, within
        self.model, self.own = model, own

    def wrong(self, key: str, what: str) -> ModelError:
        """The sentence about a key."""
        named = f"of the model '{self.model}'" if self.model else "of a model without a name"
        source, mend = (
            (ENTRY_FILE, "correct it or add the model again in the model manager")
            if self.own
            else ("the catalogue of models", "install Furrow again")
        )
        return ModelError(f"In {source}, '{self._within}{key}' {named} {what}; {mend}.")

    def text(self, key: str, empty: bool = False) -> str:
        value = self._value(key, str, "a text")
        if "\n" in value or not (empty or value.strip()):
            raise self.wrong(key, "must be one line of text")
        return value

    def whole(self, key: str) -> int:
        value = self._value(key, int, "a whole number")
        if isinstance(value, bool) or value < 0:
            raise self.wrong(key, "must be a whole number that is not negative")
        return value

    def switch(self, key: str) -> bool:
        return self._value(key, bool, "true or false")

    def one_of(self, key: str, known: Tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in known:
            raise self.wrong(key, f"is '{value}' instead of one of {', '.join(known)}")
        return value

    def some_of(self, key: str, known: Tuple[str, ...]) -> Tuple[str, ...]:
        values = self._value(key, list, "a list")
        if not values or any(value not in known for value in values):
            raise self.wrong(key, f"must be a list of some of {', '.join(known)}")
        return tuple(values)

    def address(self, key: str) -> str:
        value = self.text(key, empty=True)
        if value and not re.fullmatch(r"https://\S+", value):
            raise self.wrong(key, "must begin with https:// or be empty")
        return value

    def optional(self, key: str, read: Callable[[str], str]) -> str:
        return read(key) if key in self._mapping else ""

    def part(self, key: str) -> _Reader:
        return self._inner(self._value(key, dict, "an object"), f"{key}.")

    def parts(self, key: str) -> List[_Reader]:
        values = self._value(key, list, "a list of objects")
        if not all(isinstance(value, dict) for value in values):
            raise self.wrong(key, "must be a list of objects")
        return [self._inner(value, f"{key}.{k}.") for k, value in enumerate(values)]

    def _inner(self, value: Mapping[str, Any], within: str) -> _Reader:
        return _Reader(value, self.model, self.own, self._within + within)

    def _value(self, key: str, kind: type, words: str) -> Any:
        if key not in self._mapping:
            raise self.wrong(key, "is missing")
        value = self._mapping[key]
        if not isinstance(value, kind):
            raise self.wrong(key, f"must be {words}")
        return value


def _file(read: _Reader) -> ModelFile:
    file = ModelFile(
        role=read.text("role"),
        name=read.text("name"),
        url=read.address("url"),
        bytes=read.whole("bytes"),
        sha256=read.text("sha256", empty=True),
        path=read.optional("path", lambda key: read.text(key, empty=True)) if read.own else "",
    )
    if not _is_plain_name(file.name):
        raise read.wrong("name", "must be the name of a file without a folder")
    if file.sha256 and not _HASH.fullmatch(file.sha256):
        raise read.wrong("sha256", "must be 64 small hexadecimal digits or empty")
    if file.path and not Path(file.path).is_absolute():
        raise read.wrong("path", "must be a full path or empty")
    return file


def _licence(read: _Reader) -> Licence:
    return Licence(
        name=read.text("name"),
        limits=read.text("limits"),
        url=read.address("url"),
        commercial=read.switch("commercial"),
        gated=read.switch("gated"),
    )


def _is_plain_name(name: str) -> bool:
    """Whether a file of this name lies in its model's folder and nowhere else."""
    if name.startswith(".") or name.endswith((".", " ")) or name.lower() == ENTRY_FILE:
        return False
    return not any(sign in _NOT_IN_NAMES or ord(sign) < ord(" ") for sign in name)


def _check(entry: Entry, read: _Reader) -> None:
    """:raises ModelError: values that do not go together."""
    if not _ID.fullmatch(entry.id):
        raise read.wrong("id", "must be small letters and digits with dashes or dots between them")
    roles = sorted(file.role for file in entry.files if file.role != DATA or entry.shipped)
    wanted = sorted(ENGINES[entry.engine])
    if roles != wanted:
        words = f"must have the roles {', '.join(wanted)}" if wanted else "must be empty"
        raise read.wrong("files", f"{words} for the engine {entry.engine}")
    names = {file.name.lower() for file in entry.files}
    if len(names) != len(entry.files):
        raise read.wrong("files", "must have different names")
    licence = entry.licence
    if entry.default and (entry.own or licence.gated or not licence.commercial):
        raise read.wrong(
            "default", "must be false, because the model is not free for everybody's use"
        )
