"""What would be installed, shown before anything happens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

from .lock import CUDA, Requirement, read_lock, without
from .machine import Machine
from .own_packages import folder_of
from .packages import LOCK, Packages


@dataclass(frozen=True)
class Item:
    """A package that would be installed."""

    package: str
    """Its name."""
    version: str
    """Exactly this one."""
    bytes: int
    """Of the download; 0: not known, but small."""


@dataclass(frozen=True)
class Plan:
    """What would be installed, where, and what it takes."""

    items: Tuple[Item, ...]
    """The largest first."""
    target: Path
    """The folder."""
    unpacked: int
    """Bytes that it takes in the end, about."""
    room: int
    """Bytes that have to be free to begin with."""
    requirements: Tuple[Requirement, ...] = ()
    """Versions and hashes of the worker's packages."""
    brings_cuda: bool = False
    """Whether the greater part is for graphics cards of NVIDIA."""
    hashes_missing: bool = False
    """Whether PyTorch itself is taken without a hash that Furrow knows."""

    @property
    def download(self) -> int:
        """Bytes to be downloaded, about."""
        return sum(item.bytes for item in self.items)


def runtime_plan(packages: Path, pinned: Packages, machine: Machine) -> Plan:
    """onnxruntime for one Python.

    :param packages: the folder for Furrow's own packages.
    :raises DependencyError: there is none.
    """
    wheel = pinned.runtime_for(machine)
    item = Item(wheel.package, wheel.version, wheel.bytes)
    room = wheel.bytes + wheel.unpacked
    return Plan((item,), folder_of(packages, machine), wheel.unpacked, room)


def worker_plan(
    folder: Path,
    pinned: Packages,
    machine: Machine,
    without_cuda: bool = False,
    lock: Path = LOCK,
) -> Plan:
    """The environment of the worker.

    :param folder: of the environment.
    :param machine: of the Python that makes it.
    :param without_cuda: PyTorch for the processor only.
    :raises DependencyError: it cannot be made with that Python.
    """
    system = pinned.worker.check(machine)
    requirements = read_lock(lock, machine)
    sizes, unpacked = dict(system.bytes), system.unpacked
    if without_cuda:
        requirements = without(requirements, CUDA)
        sizes.update(pinned.worker.without_cuda.bytes)
        unpacked = pinned.worker.without_cuda.unpacked
    found = [Item(each.name, each.version, sizes.get(each.name, 0)) for each in requirements]
    items = tuple(sorted(found, key=lambda item: (-item.bytes, item.package)))
    download = sum(item.bytes for item in items)
    return Plan(
        items,
        folder,
        unpacked,
        # What was downloaded is there twice while it is installed.
        2 * download + unpacked,
        requirements,
        brings_cuda=len(requirements) > len(without(requirements, CUDA)),
        hashes_missing=without_cuda,
    )
