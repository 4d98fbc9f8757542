"""Which Python and which system this is: what decides which package fits."""

from __future__ import annotations

import platform
import sys
import sysconfig
from dataclasses import dataclass
from typing import Mapping, Sequence, Tuple

QUESTION = (
    "import json, platform, sys, sysconfig; "
    "print(json.dumps([list(sys.version_info[:3]), sysconfig.get_platform(), platform.machine(), "
    "platform.mac_ver()[0], platform.libc_ver()[1]]))"
)
"""What another Python is asked, with -c; its answer is the arguments of `machine_from`."""
_MARKERS: Mapping[str, Tuple[str, str, str]] = {
    "win": ("win32", "Windows", "nt"),
    "macosx": ("darwin", "Darwin", "posix"),
    "linux": ("linux", "Linux", "posix"),
}


@dataclass(frozen=True)
class Machine:
    """A Python and the system that it runs on."""

    python: Tuple[int, int, int]
    """Its version."""
    system: str
    """Such as win_amd64, macosx_arm64 or linux_x86_64."""
    version: Tuple[int, int] = (0, 0)
    """Of macOS, or of the C library on Linux; (0, 0) where it is not known or does not matter."""

    @property
    def python_tag(self) -> str:
        """As in the names of wheels: cp312."""
        return f"cp{self.python[0]}{self.python[1]}"

    @property
    def kind(self) -> str:
        """One of win, macosx, linux; another word on other systems."""
        return self.system.partition("_")[0]

    @property
    def hardware(self) -> str:
        """Such as amd64, x86_64, arm64 or aarch64."""
        return self.system.partition("_")[2]

    def __str__(self) -> str:
        """For sentences: Python 3.12 on macosx_arm64 14.0."""
        version = "" if self.version == (0, 0) else f" {self.version[0]}.{self.version[1]}"
        return f"Python {self.python[0]}.{self.python[1]} on {self.system}{version}"

    def marker_values(self) -> Mapping[str, str]:
        """What the markers of requirements ask for, by name."""
        sys_platform, name, os_name = _MARKERS.get(self.kind, (self.kind, self.kind, "posix"))
        # Windows spells its hardware in capitals.
        hardware = self.hardware.upper() if self.kind == "win" else self.hardware
        return {
            "python_version": f"{self.python[0]}.{self.python[1]}",
            "python_full_version": ".".join(map(str, self.python)),
            "sys_platform": sys_platform,
            "platform_system": name,
            "platform_machine": hardware,
            "os_name": os_name,
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }


def here() -> Machine:
    """The Python that runs this."""
    return machine_from(
        sys.version_info[:3],
        sysconfig.get_platform(),
        platform.machine(),
        platform.mac_ver()[0],
        platform.libc_ver()[1],
    )


def machine_from(
    python: Sequence[int], build: str, hardware: str, macos: str, libc: str
) -> Machine:
    """What a Python says of itself, put together.

    :param build: what it was built for: "win-amd64", "linux-x86_64", "macosx-11.0-universal2".
    :param hardware: what it runs on; Windows may tell of another than the build is for.
    :param macos: version of macOS, empty elsewhere.
    :param libc: version of glibc, empty elsewhere.
    """
    version = (int(python[0]), int(python[1]), int(python[2]))
    if build.startswith("macosx"):
        return Machine(version, f"macosx_{hardware}", _macos_version(macos))
    system = build.replace("-", "_").replace(".", "_")
    return Machine(version, system, _two_numbers(libc))


def _macos_version(text: str) -> Tuple[int, int]:
    # What an old build is told by every macOS from 11 on.
    return (11, 0) if text.startswith("10.16") else _two_numbers(text)


def _two_numbers(text: str) -> Tuple[int, int]:
    parts = [int(part) if part.isdigit() else 0 for part in (*text.split("."), "0", "0")[:2]]
    return (parts[0], parts[1])
