"""Call the real `qgis_process` on this checkout, with a QGIS profile of its own.

Debian's `qgis_process` of 3.22 is a wrapper that passes an option the program does not know, so
`qgis_process.bin` is called where it exists. `--json` prints nothing before the end; `stream`
therefore uses the plain form, which shows progress, and reads the results from its last lines.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "furrow"
ROOT = Path(__file__).resolve().parents[1]
RESULTS = "Results\n----------------\n"
"""Heading of the last part of what `qgis_process run` prints."""


class QgisUnusableError(Exception):
    """QGIS is not there or does not take the plugin."""


@dataclass(frozen=True)
class QgisProcess:
    """The program with the environment it needs."""

    program: str
    environment: Mapping[str, str]

    def call(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run it to its end and return what it printed."""
        return subprocess.run(
            [self.program, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def stream(self, algorithm: str, parameters: Mapping[str, object], log: Path) -> int:
        """Run an algorithm, show what it prints as it comes, keep it in `log`; the exit status."""
        values = [f"{name}={value}" for name, value in parameters.items()]
        command = [self.program, "run", algorithm, "--", *values]
        with (
            log.open("wb") as file,
            subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            # Not line by line: progress is one growing line.
            while chunk := os.read(process.stdout.fileno(), 4096):
                file.write(chunk)
                sys.stdout.write(chunk.decode("utf-8", errors="replace"))
                sys.stdout.flush()
        return process.returncode


def connect(work: Path) -> QgisProcess:
    """Make a profile in `work` with this checkout as its enabled plugin."""
    environment = private_environment(work)
    qgis = QgisProcess(find_program("qgis_process"), environment)
    enabled = qgis.call("plugins", "enable", PACKAGE)
    # Enabling what is enabled already counts as a failure there.
    if enabled.returncode and "already enabled" not in enabled.stderr:
        raise QgisUnusableError(f"{qgis.program} cannot load the plugin: {enabled.stderr.strip()}")
    return qgis


def find_program(name: str) -> str:
    """Path of a QGIS program, the real one rather than Debian's wrapper."""
    found = shutil.which(f"{name}.bin") or shutil.which(name)
    if found is None:
        raise QgisUnusableError(f"{name} is not on PATH: install QGIS 3.22 or newer.")
    return found


def private_environment(work: Path) -> dict[str, str]:
    """The environment for QGIS without a window: plugin, profile and run-time folder in `work`."""
    work = work.resolve()
    plugins, runtime = work / "plugins", work / "xdg"
    plugins.mkdir(parents=True, exist_ok=True)
    runtime.mkdir(mode=0o700, exist_ok=True)
    link = plugins / PACKAGE
    if not link.is_symlink():
        link.symlink_to(ROOT, target_is_directory=True)
    inherited = {k: v for k, v in os.environ.items() if k != "QGIS_OPTIONS_PATH"}
    return {
        **inherited,
        "QT_QPA_PLATFORM": "offscreen",
        "QGIS_PLUGINPATH": str(plugins),
        "QGIS_CUSTOM_CONFIG_PATH": str(work / "profile"),
        "XDG_RUNTIME_DIR": str(runtime),
        "PYTHONUNBUFFERED": "1",
        # QGIS' Python takes the first python3 on PATH as its home: the one running this.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }


def results_of(printed: str) -> dict[str, str]:
    """Outputs by name from what `qgis_process run` printed; empty where it did not get there."""
    _, heading, tail = printed.rpartition(RESULTS)
    lines = (line.partition(":\t") for line in tail.splitlines()) if heading else ()
    return {name: value for name, tab, value in lines if tab}
