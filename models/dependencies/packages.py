"""The pinned packages (packages.json), and which of them fits a Python."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional, Tuple

from ...core.errors import DependencyError
from .machine import Machine

LIST = Path(__file__).with_name("packages.json")
LOCK = Path(__file__).with_name("worker-lock.txt")
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_TAG = re.compile(r"(manylinux|macosx)_(\d+)_(\d+)_(\w+)")
_BOTH_MACS = {"universal2": ("arm64", "x86_64")}


@dataclass(frozen=True)
class Wheel:
    """A file of the package index."""

    name: str
    """Of the file, which tells what it fits: onnxruntime-1.31.1-cp312-cp312-win_amd64.whl."""
    bytes: int
    """Its size."""
    unpacked: int
    """Bytes of all its files."""
    sha256: str
    """In hexadecimal digits."""

    @property
    def package(self) -> str:
        """Name of the package."""
        return self.name.split("-")[0]

    @property
    def version(self) -> str:
        """Version of the package."""
        return self.name.split("-")[1]

    def fits(self, machine: Machine) -> bool:
        """Whether a Python can use it."""
        python, abi, systems = self.name[: -len(".whl")].split("-")[-3:]
        if (abi, systems) == ("none", "any"):
            return "py3" in python.split(".")
        ours = machine.python_tag
        return (python, abi) == (ours, ours) and any(
            _system_fits(tag, machine) for tag in systems.split(".")
        )


@dataclass(frozen=True)
class System:
    """A system that PyTorch has packages for."""

    least: Tuple[int, int]
    """The lowest version of macOS, or of the C library on Linux."""
    unpacked: int
    """Bytes that the environment takes."""
    bytes: Mapping[str, int]
    """Sizes of the packages as they are downloaded, by name; for one version of Python."""


@dataclass(frozen=True)
class WorkerNeeds:
    """What is known of the environment of the worker beforehand; the lock file has the rest."""

    first_python: Tuple[int, int]
    """The lowest version of Python that it can be made with."""
    last_python: Tuple[int, int]
    """The highest one."""
    systems: Mapping[str, System]
    """By `Machine.system`."""
    without_cuda: System
    """What is different on Linux where PyTorch is to run on the processor only."""
    torch_hashes: Tuple[str, ...] = ()
    """SHA-256 of the files of torch that run on the processor only, in hexadecimal digits."""

    def check(self, machine: Machine) -> System:
        """The system of a Python, which the environment can be made with.

        :raises DependencyError: it cannot.
        """
        first, last = self.first_python, self.last_python
        if not first <= machine.python[:2] <= last:
            raise DependencyError(
                f"PyTorch needs Python {first[0]}.{first[1]} to {last[0]}.{last[1]} and this is "
                f"{machine.python[0]}.{machine.python[1]}; install such a Python from python.org "
                "and name it in the dialog."
            )
        system = self.systems.get(machine.system)
        if system is None or machine.version < system.least:
            raise DependencyError(
                f"There are no packages of PyTorch for {machine}; {self._where()}"
            )
        return system

    def _where(self) -> str:
        return (
            "they need 64-bit Windows on Intel or AMD, macOS 14 on Apple's processors, or Linux "
            "with glibc 2.28. The ONNX models work without PyTorch."
        )


@dataclass(frozen=True)
class Packages:
    """All that is pinned."""

    onnxruntime: Tuple[Wheel, ...]
    """One or more for each version of Python and system."""
    pip: Wheel
    """What fills the environment of the worker."""
    worker: WorkerNeeds
    """What is known of that environment beforehand."""

    def runtime_for(self, machine: Machine) -> Wheel:
        """The newest onnxruntime for a Python.

        :raises DependencyError: there is none.
        """
        wheel = newest(wheel for wheel in self.onnxruntime if wheel.fits(machine))
        if wheel is None:
            raise DependencyError(
                f"There is no package of onnxruntime for {machine}; use Furrow's model classical, "
                "or a QGIS with Python 3.9 to 3.14 on Windows, macOS or Linux."
            )
        return wheel


def newest(wheels: Iterable[Wheel]) -> Optional[Wheel]:
    """The one with the highest version; None for none."""
    return max(wheels, key=lambda wheel: _numbers(wheel.version), default=None)


@lru_cache(maxsize=4)
def read_packages(path: Path = LIST) -> Packages:
    """The pinned packages.

    :raises DependencyError: the list is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Packages(
            tuple(_wheel(entry) for entry in content["onnxruntime"]),
            _wheel(content["pip"]),
            _needs(content["worker"]),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DependencyError(
            f"The list of packages {path} cannot be read ({error}); install Furrow again."
        ) from error


def _wheel(entry: Mapping[str, Any]) -> Wheel:
    digits = _digits(entry["hash"])
    return Wheel(entry["file"], int(entry["bytes"]), int(entry["unpacked"]), digits)


def _digits(text: str) -> str:
    digits = _HASH.fullmatch(text)
    if digits is None:
        raise ValueError(f"{text} is no hash")
    return digits[1]


def _needs(entry: Mapping[str, Any]) -> WorkerNeeds:
    first, last = entry["pythons"]
    systems = {name: _system(each) for name, each in entry["systems"].items()}
    return WorkerNeeds(
        (int(first[0]), int(first[1])),
        (int(last[0]), int(last[1])),
        systems,
        _system(entry["without_cuda"]),
        tuple(_digits(text) for text in entry["without_cuda"]["hashes"]),
    )


def _system(entry: Mapping[str, Any]) -> System:
    least = entry.get("least", (0, 0))
    return System((int(least[0]), int(least[1])), int(entry["unpacked"]), dict(entry["bytes"]))


def _system_fits(tag: str, machine: Machine) -> bool:
    """:param tag: of a wheel: win_amd64, macosx_13_0_arm64, manylinux_2_28_x86_64."""
    place = _TAG.fullmatch(tag)
    if place is None:
        return tag == machine.system
    kind = "linux" if place[1] == "manylinux" else "macosx"
    hardware = _BOTH_MACS.get(place[4], (place[4],))
    least = (int(place[2]), int(place[3]))
    return machine.kind == kind and machine.hardware in hardware and machine.version >= least


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
