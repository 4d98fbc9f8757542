"""The two parts that can be installed: what each is, how it stands, and the work of changing it."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Tuple

from ...core.monitor import Monitor
from ...core.places import Places
from ...models.dependencies import environment, own_packages
from ...models.dependencies.environment import IMPORTS, Wanted, interpreter_of
from ...models.dependencies.interpreter import find_own_python, look_at, python_for_worker
from ...models.dependencies.machine import Machine, here
from ...models.dependencies.obtaining import Network, Sources, shown_size
from ...models.dependencies.own_packages import MODULE, Condition, State
from ...models.dependencies.packages import LOCK, Packages, read_packages
from ...models.dependencies.plan import Plan, runtime_plan, worker_plan
from ...models.segmenters.checkpoints import worker_client
from ...qgis_io.downloads import fetch, read_text
from ...qgis_io.proxies import proxy_variables
from ...qgis_io.texts import tr
from .dependency_choices import Choices, Proxy

_Work = Callable[[Wanted, Packages, Sources, Network, Monitor], None]
_GONE = (Condition.ABSENT, Condition.ELSEWHERE)


@dataclass(frozen=True)
class Supply:
    """What installing works with."""

    pinned: Packages
    """The exact packages."""
    network: Network = Network(read_text, fetch)
    """Asks the network."""
    proxy: Proxy = proxy_variables
    """Tells of the proxy."""
    lock: Path = LOCK
    """All packages of the worker's environment."""
    imports: Tuple[str, ...] = IMPORTS
    """What has to be importable in that environment."""


def usual_supply() -> Supply:
    """That of Furrow.

    :raises DependencyError: the list of packages is damaged.
    """
    return Supply(read_packages())


class Part(ABC):
    """Packages that are installed and removed together. Its work is for the background."""

    noun = ""
    """What is installed, within a sentence."""
    any_python = False
    """Whether the user may choose which Python has it."""

    def __init__(self, places: Places, supply: Supply) -> None:
        """:param supply: what installing works with."""
        self._places, self._supply = places, supply

    @property
    @abstractmethod
    def title(self) -> str:
        """What the user sees first."""

    @property
    @abstractmethod
    def gives(self) -> str:
        """What it is good for."""

    @abstractmethod
    def state(self) -> State:
        """What is here now; a glance.

        :raises DependencyError: a list of packages is damaged.
        """

    @abstractmethod
    def plan(self, choices: Choices, machine: Machine) -> Plan:
        """What installing would bring.

        :param machine: of the Python of `program`, or the one that runs this.
        :raises DependencyError: there is nothing for that Python.
        """

    def program(self, choices: Choices) -> Optional[Path]:
        """The Python whose packages are meant; None: the one that runs this, or one like it."""
        return None

    def builds(self, machine: Machine) -> Tuple[int, ...]:
        """Bytes of the download with and without CUDA; empty where there is no such choice."""
        return ()

    def without_cuda(self) -> Optional[bool]:
        """Which build is here; None: none, so that the user may choose."""
        return None

    @abstractmethod
    def leftover(self) -> int:
        """Bytes that an attempt has left that did not come to its end."""

    @abstractmethod
    def install(self, choices: Choices, monitor: Monitor) -> str:
        """Bring what is missing.

        :return: a sentence that tells what is there now, and that it was tried.
        :raises FurrowError: it cannot be installed.
        :raises Cancelled:
        """

    @abstractmethod
    def repair(self, choices: Choices, monitor: Monitor) -> str:
        """Complete what is there, or bring it up to date; as `install`."""

    @abstractmethod
    def remove(self, monitor: Monitor) -> str:
        """Delete all of it; as `install`, but it cannot be cancelled."""

    @abstractmethod
    def use(self) -> None:
        """On the main thread, after each change: let this QGIS see what is there now."""


class RuntimePart(Part):
    """onnxruntime, within QGIS."""

    noun = MODULE

    @property
    def title(self) -> str:
        """What the user sees first."""
        return tr("Neural models")

    @property
    def gives(self) -> str:
        """What it is good for."""
        return tr(
            "onnxruntime runs the field model that comes with Furrow, and every other model in the "
            "ONNX format, within QGIS."
        )

    def state(self) -> State:
        """What is here now."""
        return own_packages.state(self._places.packages, self._supply.pinned)

    def plan(self, choices: Choices, machine: Machine) -> Plan:
        """For the Python that runs this, whichever makes the other environment."""
        return runtime_plan(self._places.packages, self._supply.pinned, here())

    def leftover(self) -> int:
        """Half a download."""
        return shown_size(self._places.packages) if self.state().condition in _GONE else 0

    def install(self, choices: Choices, monitor: Monitor) -> str:
        """Fetched, checked, tried and put in place; an old one stays until then."""
        used = _version_in_use()
        python = find_own_python()
        supply, packages = self._supply, self._places.packages
        sources = choices.sources(supply.proxy)
        done = own_packages.install(
            packages, supply.pinned, sources, supply.network, monitor, python
        )  # fmt: skip
        version = supply.pinned.runtime_for(here()).version
        text = tr("{name} {version} is installed").format(name=MODULE, version=version)
        if not done or used not in ("", version):
            return tr("{}; restart QGIS to use it.").format(text)
        if python is None:
            return tr("{}; it was not tried, because QGIS' Python was not found.").format(text)
        return tr("{}; it was tried and loads.").format(text)

    def repair(self, choices: Choices, monitor: Monitor) -> str:
        """The same anew."""
        return self.install(choices, monitor)

    def remove(self, monitor: Monitor) -> str:
        """Also what half a download has left."""
        if own_packages.uninstall(self._places.packages):
            return tr("{} was removed.").format(MODULE)
        return tr("{} is in use; it goes when QGIS is started again.").format(MODULE)

    def use(self) -> None:
        """The folder goes to the end of sys.path, where there is one."""
        own_packages.activate(self._places.packages)


class WorkerPart(Part):
    """PyTorch, in an environment that only the worker process uses."""

    noun = "PyTorch"
    any_python = True

    @property
    def title(self) -> str:
        """What the user sees first."""
        return tr("Checkpoints and training")

    @property
    def gives(self) -> str:
        """What it is good for."""
        return tr(
            "PyTorch, apart from QGIS, runs the published checkpoints of Segment Anything, exports "
            "them to ONNX, and is what training needs."
        )

    def state(self) -> State:
        """What is here now."""
        return environment.state(self._places.environment, self._supply.lock)

    def plan(self, choices: Choices, machine: Machine) -> Plan:
        """For the Python that makes it."""
        return self._plan(machine, self._bare(choices, machine))

    def program(self, choices: Choices) -> Optional[Path]:
        """The environment's own, where there is one of another Python than this."""
        folder = self._places.environment
        if not environment.ready(folder):
            return choices.python
        return None if environment.made_with(folder) == str(here()) else interpreter_of(folder)

    def builds(self, machine: Machine) -> Tuple[int, ...]:
        """Only on Linux are there two."""
        if not _has_two(machine):
            return ()
        return tuple(self._plan(machine, bare).download for bare in (False, True))

    def without_cuda(self) -> Optional[bool]:
        """Which build is here."""
        folder = self._places.environment
        return environment.runs_without_cuda(folder) if environment.ready(folder) else None

    def leftover(self) -> int:
        """What pip has downloaded."""
        return shown_size(environment.downloads_of(self._places.environment))

    def install(self, choices: Choices, monitor: Monitor) -> str:
        """Made anew."""
        return self._work(environment.create, choices, monitor)

    def repair(self, choices: Choices, monitor: Monitor) -> str:
        """Completed where that is enough."""
        return self._work(environment.repair, choices, monitor)

    def remove(self, monitor: Monitor) -> str:
        """With all that was downloaded for it."""
        worker_client.stop_all()
        environment.uninstall(self._places.environment)
        return tr("PyTorch and its environment were removed.")

    def use(self) -> None:
        """The worker looks for it whenever it starts."""

    def _work(self, work: _Work, choices: Choices, monitor: Monitor) -> str:
        supply, python = self._supply, python_for_worker(choices.python)
        bare = self._bare(choices, look_at(python))
        wanted = Wanted(self._places.environment, python, bare, supply.lock, supply.imports)
        sources = choices.sources(supply.proxy)
        # Files in use cannot be exchanged on Windows.
        worker_client.stop_all()
        work(wanted, supply.pinned, sources, supply.network, monitor)
        version = self.state().version
        text = tr("PyTorch {} is installed with all that belongs to it; it was tried and loads.")
        return text.format(version)

    def _bare(self, choices: Choices, machine: Machine) -> bool:
        """Whether it is without CUDA; that of one that is here is not changed."""
        here_bare = self.without_cuda()
        return _has_two(machine) and (choices.without_cuda if here_bare is None else here_bare)

    def _plan(self, machine: Machine, bare: bool) -> Plan:
        supply = self._supply
        return worker_plan(self._places.environment, supply.pinned, machine, bare, supply.lock)


def parts_of(places: Places, supply: Supply) -> Tuple[Part, ...]:
    """All parts, the one that most users want first."""
    return RuntimePart(places, supply), WorkerPart(places, supply)


def _has_two(machine: Machine) -> bool:
    """Whether there are builds of PyTorch with and without CUDA."""
    return machine.kind == "linux"


def _version_in_use() -> str:
    """Of the onnxruntime that this QGIS has imported, which stays until it ends."""
    return str(getattr(sys.modules.get(MODULE), "__version__", ""))
