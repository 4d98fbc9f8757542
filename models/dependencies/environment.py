"""The virtual environment of the worker: PyTorch and what belongs to it.

Made by QGIS' Python or one that the user names, without its pip: the pinned pip is fetched through
QGIS' network like any other file, and that pip takes the rest, every file of a known hash. So it
works where a Python has no pip of its own (Debian), and behind proxies that put certificates of
their own before the network's.
"""

from __future__ import annotations

import configparser
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from ...core.archives import unpack
from ...core.errors import Cancelled, DependencyError, FurrowError
from ...core.monitor import SILENT, Monitor
from .failures import explained
from .folders import beside, delete, remove_now, set_aside, sweep
from .installing import PipProgress, pip_command, pip_variables, tells_progress
from .interpreter import look_at
from .lock import TORCH, Requirement, digest, without
from .machine import Machine
from .obtaining import Network, Sources, check_room, obtain
from .own_packages import Condition, State
from .packages import LOCK, Packages, Wheel
from .plan import WITHOUT_CUDA, Plan, worker_plan
from .processes import WINDOWS, clean_variables, run

RECORD = "furrow.json"
"""Written last, so where it is, the environment was complete and worked."""
IMPORTS = (
    *("numpy", "scipy", "rasterio", "torch"),
    *("safetensors", "transformers", "onnx", "onnxruntime"),
)
"""What is imported to see whether the environment works; torchvision is left to the worker."""
_CHECK = (
    "import importlib, importlib.metadata as metadata, sys\n"
    "for pin in sys.argv[2].split():\n"
    "    name, _, wanted = pin.partition('==')\n"
    "    found = metadata.version(name).partition('+')[0]\n"
    "    if found != wanted: sys.exit(f'ERROR: {name} is {found} and not {wanted}')\n"
    "for name in sys.argv[1].split():\n"
    "    importlib.import_module(name)\n"
    "    print('ok', name, flush=True)\n"
)


@dataclass(frozen=True)
class Wanted:
    """How the environment is to be made."""

    folder: Path
    """The environment; made here."""
    python: Path
    """The program that makes it."""
    without_cuda: bool = False
    """PyTorch for the processor only, of its own index (Linux)."""
    lock: Path = LOCK
    """Lock file of all packages."""
    imports: Tuple[str, ...] = IMPORTS
    """What has to be importable in the end."""


def interpreter_of(folder: Path) -> Path:
    """The Python of an environment; it need not exist."""
    return folder / "Scripts" / "python.exe" if WINDOWS else folder / "bin" / "python"


def ready(folder: Path) -> bool:
    """Whether the environment was made completely and the Python that made it is still there.

    A glance at three files; nothing is started.
    """
    return (folder / RECORD).is_file() and _has_python(folder)


def state(folder: Path, lock: Path = LOCK) -> State:
    """What is here.

    :param lock: what would be installed now.
    :raises DependencyError: the lock file is damaged.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return State(Condition.ABSENT)
    if not ready(folder):
        return State(Condition.BROKEN, "", folder)
    record = _record(folder)
    version = str(record.get("torch", ""))
    same = record.get("lock") == digest(lock)
    return State(Condition.READY if same else Condition.OUTDATED, version, folder)


def runs_without_cuda(folder: Path) -> bool:
    """Whether an environment was made with PyTorch for the processor only."""
    return bool(_record(folder).get("without_cuda"))


def made_with(folder: Path) -> str:
    """The Python that made an environment, as `Machine` is written; empty: it is not known."""
    return str(_record(folder).get("python", ""))


def create(
    wanted: Wanted,
    pinned: Packages,
    sources: Sources,
    network: Network,
    monitor: Monitor = SILENT,
) -> None:
    """Make the environment, in place of what may be left of another one.

    When it fails or is cancelled, nothing is left but what was downloaded, for the next time.

    :raises FurrowError: it cannot be made; the sentence says why.
    :raises Cancelled: within a second.
    """
    machine = look_at(wanted.python)
    plan = _plan(wanted, pinned, machine)
    uninstall(wanted.folder, keep_downloads=True)
    check_room(wanted.folder, plan.room)
    pip = _Pip(wanted, pinned.pip, sources)
    try:
        _make(wanted, monitor)
        pip.bring(network, monitor.part(0.0, 0.02))
        pip.fill(plan, monitor.part(0.02, 0.95))
        _try(wanted, plan, monitor)
        _write_record(wanted, plan, machine)
    except (FurrowError, Cancelled):
        set_aside(wanted.folder)
        with suppress(OSError):
            downloads_of(wanted.folder).rmdir()  # where nothing was downloaded
        raise
    _forget_downloads(wanted.folder)
    monitor.progress(1.0)


def repair(
    wanted: Wanted,
    pinned: Packages,
    sources: Sources,
    network: Network,
    monitor: Monitor = SILENT,
) -> None:
    """Bring an environment up to date and complete it; where that is not enough, make it anew.

    As long as nothing was changed in it, one that works goes on working.

    :raises FurrowError: it cannot be mended; the sentence says why.
    :raises Cancelled:
    """
    if not _has_python(wanted.folder) or not _has_pip(wanted, monitor):
        create(wanted, pinned, sources, network, monitor)
        return
    machine = look_at(interpreter_of(wanted.folder))
    plan = _plan(wanted, pinned, machine)
    _Pip(wanted, pinned.pip, sources).fill(plan, monitor.part(0.0, 0.5))
    try:
        _try(wanted, plan, monitor)
    except DependencyError as error:
        monitor.message(f"{error} It is made anew.")
        create(wanted, pinned, sources, network, monitor)
        return
    _write_record(wanted, plan, machine)
    _forget_downloads(wanted.folder)
    monitor.progress(1.0)


def uninstall(folder: Path, keep_downloads: bool = False) -> None:
    """Delete the environment. End its processes before.

    :raises DependencyError: the folder is no environment, or cannot be deleted.
    """
    if not keep_downloads:
        _forget_downloads(folder)
    sweep(folder)
    if not folder.exists():
        return
    ours = any((folder / name).is_file() for name in ("pyvenv.cfg", RECORD))
    if not ours and any(folder.iterdir()):
        raise DependencyError(
            f"{folder} is no virtual environment, so it is left alone; move what is in it to "
            "another place."
        )
    remove_now(folder)


def downloads_of(folder: Path) -> Path:
    """Where pip keeps what it has downloaded until the environment is complete."""
    return beside(folder, "-downloads")


def _site_packages(folder: Path) -> Path:
    """Where the packages of an environment are that was just made."""
    there = folder / "Lib" / "site-packages"
    return there if WINDOWS else next(folder.glob("lib/python3*/site-packages"), there)


def _make(wanted: Wanted, monitor: Monitor) -> None:
    monitor.message(f"Making a virtual environment in {wanted.folder}")
    wanted.folder.parent.mkdir(parents=True, exist_ok=True)
    command = [str(wanted.python), "-m", "venv", "--without-pip", str(wanted.folder)]
    _run("Making the virtual environment failed", command, clean_variables(), monitor)


class _Pip:
    """The pip of an environment, at work."""

    def __init__(self, wanted: Wanted, wheel: Wheel, sources: Sources) -> None:
        self._wanted, self._wheel, self._sources = wanted, wheel, sources
        self._python = interpreter_of(wanted.folder)
        self._downloads = downloads_of(wanted.folder)

    def bring(self, network: Network, monitor: Monitor) -> None:
        """Put it into the environment."""
        wheel = obtain(self._wheel, self._sources, network, self._downloads, monitor)
        unpack(wheel, _site_packages(self._wanted.folder), monitor=monitor)

    def fill(self, plan: Plan, monitor: Monitor) -> None:
        """Install what is missing or of another version."""
        self._downloads.mkdir(parents=True, exist_ok=True)
        progress = PipProgress(monitor, plan.download, self._on_change)
        others = plan.requirements
        if plan.without_cuda:
            others = without(plan.requirements, (TORCH,))
            torch = [each for each in plan.requirements if each.name == TORCH]
            own_index = replace(self._sources, index=WITHOUT_CUDA)
            self._install("Installing PyTorch failed", torch, own_index, progress, monitor)
        trouble = "Installing the packages failed"
        self._install(trouble, others, self._sources, progress, monitor)

    def _install(
        self,
        trouble: str,
        requirements: Sequence[Requirement],
        sources: Sources,
        progress: PipProgress,
        monitor: Monitor,
    ) -> None:
        lock = self._downloads / "lock.txt"
        lock.write_text("".join(each.text() for each in requirements), encoding="utf-8")
        what = ["--require-hashes", "-r", str(lock)]
        tells_numbers = tells_progress(self._wheel.version)
        command = pip_command(self._python, sources, what, tells_numbers)
        variables = pip_variables(sources, self._downloads)
        try:
            _run(trouble, command, variables, monitor, progress.heard)
        finally:
            with suppress(OSError):
                lock.unlink()

    def _on_change(self) -> None:
        """From now on the environment is neither what it was nor complete."""
        with suppress(OSError):
            (self._wanted.folder / RECORD).unlink()


def _plan(wanted: Wanted, pinned: Packages, machine: Machine) -> Plan:
    return worker_plan(wanted.folder, pinned, machine, wanted.without_cuda, wanted.lock)


def _try(wanted: Wanted, plan: Plan, monitor: Monitor) -> None:
    """Every package of the right version is there, and those that matter can be imported."""
    monitor.message("Trying the packages")
    pins = " ".join(f"{each.name}=={each.version}" for each in plan.requirements)
    python = str(interpreter_of(wanted.folder))
    command = [python, "-c", _CHECK, " ".join(wanted.imports), pins]
    _run("The packages do not work", command, clean_variables(), monitor)


def _run(
    trouble: str,
    command: Sequence[str],
    variables: Dict[str, str],
    monitor: Monitor,
    heard: Optional[Callable[[str], None]] = None,
) -> List[str]:
    code, lines = run(command, variables, monitor, heard)
    if code != 0:
        raise DependencyError(explained(trouble, lines))
    return lines


def _has_python(folder: Path) -> bool:
    """Whether the environment's Python is there, and the one that it was made with."""
    settings = configparser.ConfigParser(interpolation=None)
    try:
        text = (folder / "pyvenv.cfg").read_text(encoding="utf-8", errors="surrogateescape")
        settings.read_string(f"[venv]\n{text}")
        home = Path(settings["venv"]["home"])
    except (OSError, configparser.Error, KeyError):
        return False
    return home.is_dir() and interpreter_of(folder).is_file()


def _has_pip(wanted: Wanted, monitor: Monitor) -> bool:
    python = str(interpreter_of(wanted.folder))
    code, _ = run([python, "-m", "pip", "--version"], clean_variables(), monitor)
    return code == 0


def _record(folder: Path) -> Dict[str, object]:
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_record(wanted: Wanted, plan: Plan, machine: Machine) -> None:
    versions = {each.name: each.version for each in plan.requirements}
    content = {
        "lock": digest(wanted.lock),
        "python": str(machine),
        "torch": versions.get("torch", ""),
        "without_cuda": wanted.without_cuda,
    }
    text = json.dumps(content, indent=1)
    try:
        (wanted.folder / RECORD).write_text(text, encoding="utf-8")
    except OSError as error:
        raise DependencyError(
            f"{wanted.folder} cannot be written to ({error.strerror or error}); make room on that "
            "disk and try again."
        ) from error


def _forget_downloads(folder: Path) -> None:
    if downloads_of(folder).is_dir():
        with suppress(OSError):
            delete(downloads_of(folder))
