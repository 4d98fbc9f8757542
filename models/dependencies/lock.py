"""Lock files of pip: exact versions with the hashes of their files."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Collection, Iterable, Tuple

from ...core.errors import DependencyError
from .machine import Machine
from .markers import holds

TORCH = "torch"
"""What differs between the builds of PyTorch."""
CUDA = ("nvidia-", "cuda-", "triton")
"""What PyTorch needs on Linux for graphics cards only."""
_LINE = re.compile(r"([A-Za-z0-9._-]+)==([^\s;]+)\s*(?:;\s*(.*?))?\s*")
_HASH = re.compile(r"\s+--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Requirement:
    """A package of a lock file."""

    name: str
    """In lower case, with hyphens."""
    version: str
    """Exactly this one."""
    marker: str
    """For which Python and system; empty: for all."""
    hashes: Tuple[str, ...]
    """SHA-256 of the files that may be taken, in hexadecimal digits."""

    def text(self) -> str:
        """As in a lock file."""
        marker = f" ; {self.marker}" if self.marker else ""
        hashes = "".join(f" \\\n    --hash=sha256:{digits}" for digits in self.hashes)
        return f"{self.name}=={self.version}{marker}{hashes}\n"


def read_lock(path: Path, machine: Machine) -> Tuple[Requirement, ...]:
    """What a lock file asks for on a machine.

    :raises DependencyError: the file cannot be read, or a package in it has no hash.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    found = tuple(_requirement(line, path) for line in _whole_lines(text))
    values = machine.marker_values()
    return tuple(each for each in found if holds(each.marker, values))


def without(requirements: Iterable[Requirement], names: Collection[str]) -> Tuple[Requirement, ...]:
    """Those of other names. A name that ends in a hyphen stands for all that begin with it."""
    stems = tuple(name for name in names if name.endswith("-"))
    return tuple(
        each
        for each in requirements
        if each.name not in names and not (stems and each.name.startswith(stems))
    )


def digest(path: Path) -> str:
    """What tells one lock file from another.

    :raises DependencyError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _whole_lines(text: str) -> Tuple[str, ...]:
    """Lines of a lock file, continued ones as one, without comments."""
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    lines = re.sub(r"\\\s*\n", " ", kept).splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def _requirement(line: str, path: Path) -> Requirement:
    hashes = tuple(_HASH.findall(line))
    found = _LINE.fullmatch(_HASH.sub("", line))
    if found is None or not hashes:
        raise _damaged(path, f"no exact version with a hash: {line[:80]}")
    name = re.sub(r"[-_.]+", "-", found[1]).lower()
    return Requirement(name, found[2], found[3] or "", hashes)


def _damaged(path: Path, why: str) -> DependencyError:
    return DependencyError(
        f"The list of packages {path} cannot be used ({why}); install Furrow again."
    )
