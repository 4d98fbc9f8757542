"""Programs that are started: with which variables, how they are heard and how they are ended."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess  # nosec B404
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Sequence, Tuple

from ...core.errors import DependencyError
from ...core.monitor import Monitor

WINDOWS = sys.platform == "win32"
HIDDEN: Mapping[str, Any] = {"creationflags": 0x08000000} if WINDOWS else {}
"""Arguments of subprocess that keep a console window from opening."""
_OWN_GROUP: Mapping[str, Any] = (
    {"creationflags": 0x08000000 | 0x00000200} if WINDOWS else {"start_new_session": True}
)
_POLL_SECONDS = 0.1
_GRACE_SECONDS = 0.4
"""For a program to end by itself after it was told to."""
_KEPT_LINES = 200
_LEFT_OUT = re.compile(
    r"PYTHON.*|PIP_.*|VIRTUAL_ENV|__PYVENV_LAUNCHER__|CONDA_.*"
    r"|GDAL_DATA|GDAL_DRIVER_PATH|PROJ_LIB|PROJ_DATA|QT_PLUGIN_PATH"
)
"""What QGIS and other programs set for their own Python."""
_TOLD: Mapping[str, str] = {
    "PYTHONNOUSERSITE": "1",
    "PYTHONIOENCODING": "utf-8",
    "PYTHONUNBUFFERED": "1",
}
_KEPT_OF_PIP = ("PIP_CERT", "PIP_CLIENT_CERT", "PIP_DEFAULT_TIMEOUT")
_END = object()


def clean_variables(
    more: Optional[Mapping[str, str]] = None, variables: Mapping[str, str] = os.environ
) -> Dict[str, str]:
    """Variables for another Python, without those that would lead it to QGIS' packages.

    :param more: set on top, such as those of a proxy.
    """
    told = {**_TOLD, **(more or {})}
    # Proxies are spelt in small or in capital letters, and a program sees either.
    spelt = {name.lower() for name in told}
    kept = {
        name: value
        for name, value in variables.items()
        if name in _KEPT_OF_PIP or not _LEFT_OUT.fullmatch(name)
    }
    return {**{name: kept[name] for name in kept if name.lower() not in spelt}, **told}


def run(
    command: Sequence[str],
    variables: Mapping[str, str],
    monitor: Monitor,
    heard: Optional[Callable[[str], None]] = None,
    folder: Optional[Path] = None,
) -> Tuple[int, List[str]]:
    """Run a program to its end.

    :param variables: all that it has.
    :param heard: told each line that it writes, from this thread; None: the monitor's messages.
    :param folder: where it runs; None: where QGIS does.
    :return: what it answered (0: well), and the last lines that it wrote.
    :raises DependencyError: it cannot be started.
    :raises Cancelled: within a second; then it and all that it has started are gone.
    """
    process = _start(command, variables, folder)
    lines: queue.SimpleQueue = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
    reader.start()
    last: Deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        for line in _lines_of(lines, monitor):
            last.append(line)
            (heard or monitor.message)(line)
        return _answer(process, monitor), list(last)
    finally:
        if process.poll() is None:
            end(process)
        reader.join(timeout=_GRACE_SECONDS)


def end(process: subprocess.Popen) -> None:
    """End a program that `run` started, and all that it has started."""
    if WINDOWS:
        _end_tree(process)
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        # The group may live longer than its first process.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_GRACE_SECONDS)


def _end_tree(process: subprocess.Popen) -> None:
    tool = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "taskkill.exe"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(  # nosec B603
            [str(tool), "/F", "/T", "/PID", str(process.pid)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=5,
            check=False,
            **HIDDEN,
        )
    process.kill()


def _start(
    command: Sequence[str], variables: Mapping[str, str], folder: Optional[Path]
) -> subprocess.Popen:
    try:
        return subprocess.Popen(  # nosec B603
            list(command),
            env=dict(variables),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            **_OWN_GROUP,
        )
    except OSError as error:
        raise DependencyError(
            f"{command[0]} cannot be started ({error.strerror or error}); a virus scanner or the "
            "rules of this computer may forbid it."
        ) from error


def _read(process: subprocess.Popen, lines: queue.SimpleQueue) -> None:
    """In a thread of its own: a pipe cannot be read with a time limit on Windows."""
    with process.stdout as stream, contextlib.suppress(ValueError):
        for line in stream:
            lines.put(line.rstrip())
    lines.put(_END)


def _lines_of(lines: queue.SimpleQueue, monitor: Monitor) -> Any:
    while True:
        monitor.check()
        try:
            line = lines.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue
        if line is _END:
            return
        yield line


def _answer(process: subprocess.Popen, monitor: Monitor) -> int:
    """Wait for the end of a program that writes no more."""
    while True:
        monitor.check()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=_POLL_SECONDS)
