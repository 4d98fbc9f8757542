"""What would be installed, shown before anything happens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Tuple

from .lock import CUDA, TORCH, Requirement, read_lock, without
from .machine import Machine
from .own_packages import folder_of
from .packages import LOCK, Packages

WITHOUT_CUDA = "https://download.pytorch.org/whl/cpu"
"""Index of the builds of PyTorch for Linux that run on the processor only."""
_HINT = (
    "# python -m pip download --no-deps --only-binary :all: --require-hashes -d wheels -r THIS_FILE"
)


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
    """Versions and hashes of all packages."""
    without_cuda: bool = False
    """Whether PyTorch comes from its own index, as a build for the processor only."""

    @property
    def download(self) -> int:
        """Bytes to be downloaded, about."""
        return sum(item.bytes for item in self.items)

    @property
    def text(self) -> str:
        """All packages with their hashes, as pip reads them on a computer that has the internet."""
        index = f" --extra-index-url {WITHOUT_CUDA}" if self.without_cuda else ""
        # Which hold for this machine has been told; the other computer may be of another kind.
        lines = (replace(each, marker="").text() for each in self.requirements)
        return f"{_HINT}{index}\n" + "".join(lines)


def runtime_plan(packages: Path, pinned: Packages, machine: Machine) -> Plan:
    """onnxruntime for one Python.

    :param packages: the folder for Furrow's own packages.
    :raises DependencyError: there is none.
    """
    wheel = pinned.runtime_for(machine)
    item = Item(wheel.package, wheel.version, wheel.bytes)
    requirement = Requirement(wheel.package, wheel.version, "", (wheel.sha256,))
    folder, room = folder_of(packages, machine), wheel.bytes + wheel.unpacked
    return Plan((item,), folder, wheel.unpacked, room, (requirement,))


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
        hashes = pinned.worker.torch_hashes
        requirements = tuple(
            replace(each, hashes=hashes) if each.name == TORCH else each
            for each in without(requirements, CUDA)
        )
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
        without_cuda=without_cuda,
    )
