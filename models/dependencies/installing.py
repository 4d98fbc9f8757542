"""How pip is called, and what its lines tell of how far it is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Callable, Dict, List, Sequence
from urllib.parse import urlsplit

from ...core.monitor import Monitor
from .obtaining import Sources
from .processes import clean_variables

_RETRIES = 3
_TIMEOUT_SECONDS = 30
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_UNPACKS = "Installing collected packages"
"""How pip begins to say that all files are there and what it does next."""
_LOCK_LINE = re.compile(r" \(from -r .* \(line \d+\)\)")
"""What pip adds to each package that it was told by a file."""
_SECRETS = re.compile(r"(//)[^/@\s]+@")


def pip_command(
    python: Path, sources: Sources, what: Sequence[str], tells_numbers: bool = True
) -> List[str]:
    """A command that installs exactly what it is told, as wheels.

    The address of the index is not part of it: it may hold a password, and everybody on a computer
    sees the commands that run.

    :param what: requirements, or options that name a file of them.
    :param tells_numbers: whether this pip can write its progress for programs.
    """
    offline = ["--no-index", "--find-links", str(sources.folder)] if sources.folder else []
    return [
        str(python),
        *("-m", "pip", "install", "--no-deps", "--only-binary", ":all:"),
        # Python itself compiles what is used, when it is used.
        "--no-compile",
        *("--no-warn-script-location", "--progress-bar", "raw" if tells_numbers else "off"),
        *("--retries", str(_RETRIES), "--timeout", str(_TIMEOUT_SECONDS)),
        *offline,
        *what,
    ]


def pip_variables(sources: Sources, downloads: Path) -> Dict[str, str]:
    """Variables for pip: nobody's settings of it play a part, Furrow's are all told here.

    :param downloads: where it keeps what it downloads.
    """
    index = sources.index.strip()
    own = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": index,
        "PIP_NO_INPUT": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_REQUIRE_VIRTUALENV": "1",
    }
    # Not in the folder for temporary files, which may be a small one in memory.
    own.update(dict.fromkeys(("PIP_CACHE_DIR", "TMPDIR", "TEMP", "TMP"), str(downloads)))
    if urlsplit(index).scheme == "http":
        # A mirror in a company's own network: the hashes tell whether its files are the right ones.
        own["PIP_TRUSTED_HOST"] = urlsplit(index).netloc.rpartition("@")[2]
    return clean_variables({**sources.variables, **own})


def tells_progress(version: str) -> bool:
    """Whether a version of pip can write its progress for programs (from 24.1 on)."""
    numbers = [int(part) for part in re.findall(r"\d+", version)[:2]]
    return numbers >= [24, 1]


class PipProgress:
    """Hears pip's lines: numbers become progress, the rest messages."""

    def __init__(
        self, monitor: Monitor, total: int, changing: Callable[[], None] = lambda: None
    ) -> None:
        """Hear for a monitor.

        :param total: bytes that are downloaded in all, about.
        :param changing: called when everything is there and the installing itself begins.
        """
        self._monitor = monitor
        self._changing = changing
        self._total = max(1, total)
        self._done = 0

    def heard(self, line: str) -> None:
        """A line that pip has written."""
        if line.startswith(_UNPACKS):
            self._changing()
        numbers = _PROGRESS.fullmatch(line.strip())
        if numbers is None:
            self._monitor.message(_LOCK_LINE.sub("", without_secrets(line)))
            if line.startswith(_UNPACKS):
                self._monitor.message("This takes some minutes, in which pip says nothing.")
            return
        received, size = int(numbers[1]), int(numbers[2])
        self._monitor.progress(min(1.0, (self._done + received) / self._total))
        if received >= size:
            self._done += size


def without_secrets(text: str) -> str:
    """A text without the names and passwords that addresses in it may hold."""
    return _SECRETS.sub(r"\1", text)
