"""The index of a folder of embeddings: which images furrow:encodeimage has put there.

Embeddings are found by the pixels they were made of (:func:`.embedding_store.pixel_key`), so
nothing depends on the index but two things: it tells people what a folder holds, and entries that
it lists are not dropped to make room for others. A damaged index is passed over and written anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Dict, FrozenSet, Mapping, Tuple

from ....core.errors import OutputError
from ....core.imagery.grid import Window
from . import embedding_files as files

INDEX = "index.json"
FORMAT = 1
"""Of the index; raised when a reader of the old one would misread it."""
STRETCH = "each band from the 2nd to the 98th percentile of a window's valid pixels to 0..255"
"""How :func:`furrow.core.imagery.composite.stretch` makes pictures."""
_KIND = "embeddings of furrow:encodeimage"
_HEAD = 200
"""Bytes of an index within which `_KIND` stands."""


@dataclass(frozen=True)
class EncodedImage:
    """One image as one model has seen it, in windows of one size."""

    path: str
    """Of the image, links resolved; no credentials."""
    bytes: int
    """Of the image's file; 0 where it is none on this machine."""
    changed: str
    """When the image's file was last written, ISO 8601 in UTC; empty where it is none."""
    bands: Tuple[int, ...]
    """Shown as red, green and blue, from 1."""
    model: str
    """Id of the engine."""
    fingerprint: str
    """SHA-256 of the engine, its files and its version."""
    tile: int
    """Side of the windows in pixels."""
    windows: Mapping[Window, str]
    """Windows on the image's own pixels, and the keys of their entries."""
    furrow_version: str
    stretch: str = STRETCH

    @property
    def name(self) -> str:
        """File name of the image."""
        return self.path.replace("\\", "/").rsplit("/", 1)[-1]

    def _place(self) -> Tuple[Any, ...]:
        return self.path, self.bands, self.fingerprint, self.tile

    def _state(self) -> Tuple[Any, ...]:
        return self.bytes, self.changed, self.stretch


def read_index(folder: Path) -> Tuple[EncodedImage, ...]:
    """What the index of a folder lists; nothing where there is none that can be read."""
    content = files.content_of(folder / INDEX)
    try:
        found = json.loads(content or b"")
        if (found["kind"], found["format"]) != (_KIND, FORMAT):
            return ()
        return tuple(_image_from(item) for item in found["images"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ()


def listed_keys(folder: Path) -> FrozenSet[str]:
    """Keys of all entries that the index of a folder lists."""
    return frozenset(key for image in read_index(folder) for key in image.windows.values())


def add_to_index(folder: Path, image: EncodedImage) -> None:
    """List an image, in place of an older state of it; further windows join those of before.

    :raises OutputError: the folder holds an index.json of somebody else.
    :raises OSError: the index cannot be written; the one of before stays.
    """
    require_own(folder)
    listed = read_index(folder)
    for other in listed:
        if (other._place(), other._state()) == (image._place(), image._state()):
            image = replace(image, windows={**other.windows, **image.windows})
    others = [other for other in listed if other._place() != image._place()]
    content = {
        "kind": _KIND,
        "format": FORMAT,
        "windows": "row, column, height and width in pixels of the image: name of the .npz file",
        "images": [_plain(item) for item in (*others, image)],
    }
    # A lone surrogate (a file name that is no UTF-8) becomes \udcXX, which JSON reads back.
    text = json.dumps(content, ensure_ascii=False, indent=1)
    files.replace(folder / INDEX, [text.encode("utf-8", errors="backslashreplace")])


def described(folder: Path) -> str:
    """What the index of a folder lists, in one line; empty where it lists nothing."""
    listed = [f"{image.name} ({image.model}, {image.tile} px)" for image in read_index(folder)]
    return ", ".join(dict.fromkeys(listed))


def require_own(folder: Path) -> None:
    """Refuse a folder whose index.json is not Furrow's; one that a crash emptied is.

    :raises OutputError:
    """
    content = files.content_of(folder / INDEX)
    if content is not None and not _is_own(content):
        raise OutputError(
            f"OUTPUT: {folder} holds an {INDEX} that Furrow did not write; choose another folder."
        )


def remove_index(folder: Path) -> None:
    """Remove the index of a folder if it is Furrow's."""
    content = files.content_of(folder / INDEX)
    if content is not None and _is_own(content):
        files.remove([folder / INDEX])


def _is_own(content: bytes) -> bool:
    return _KIND.encode("ascii") in content[:_HEAD] or not content.strip(b"\x00")


def _plain(image: EncodedImage) -> Dict[str, Any]:
    """An image in words that JSON has."""
    told = {each.name: getattr(image, each.name) for each in fields(image)}
    windows = {
        f"{w.row} {w.col} {w.height} {w.width}": key for w, key in sorted(image.windows.items())
    }
    return {"name": image.name, **told, "count": len(windows), "windows": windows}


def _image_from(item: Mapping[str, Any]) -> EncodedImage:
    """:raises KeyError, TypeError, ValueError, AttributeError: this is no image of an index."""
    windows = {_window_from(numbers): key for numbers, key in item["windows"].items()}
    if not all(files.is_key(key) for key in windows.values()):
        raise ValueError("An entry has no key.")
    return EncodedImage(
        path=str(item["path"]),
        bytes=int(item["bytes"]),
        changed=str(item["changed"]),
        bands=tuple(int(band) for band in item["bands"]),
        model=str(item["model"]),
        fingerprint=str(item["fingerprint"]),
        tile=int(item["tile"]),
        windows=windows,
        furrow_version=str(item["furrow_version"]),
        stretch=str(item["stretch"]),
    )


def _window_from(numbers: str) -> Window:
    """:raises TypeError, ValueError: these are no four numbers."""
    return Window(*(int(number) for number in numbers.split()))
