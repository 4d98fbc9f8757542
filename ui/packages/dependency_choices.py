"""How the user wants packages to be had; kept in the profile, as mirrors and folders stay."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Mapping, Optional

from qgis.core import QgsSettings

from ...core.errors import DependencyError
from ...core.web_answers import host_of
from ...models.dependencies.index import DEFAULT_INDEX
from ...models.dependencies.installing import without_secrets
from ...models.dependencies.obtaining import Sources
from ...qgis_io.texts import tr
from ..preferences import PREFIX

_INDEX, _FOLDER, _PYTHON = (f"{PREFIX}packages/{name}" for name in ("index", "folder", "python"))

Proxy = Callable[[str], Mapping[str, str]]
"""As qgis_io/proxies.py's proxy_variables."""


@dataclass(frozen=True)
class Choices:
    """Where packages come from, and which."""

    index: str = DEFAULT_INDEX
    """Address of a package index."""
    folder: Optional[Path] = None
    """Folder of wheels, in place of the index; None: the index."""
    python: Optional[Path] = None
    """The program that makes the environment of the worker; None: QGIS' own Python."""
    without_cuda: bool = False
    """PyTorch for the processor only, on Linux."""

    def check(self) -> None:
        """See that packages can come from there, as far as can be told at once.

        :raises DependencyError: they cannot.
        """
        if self.folder is None and not host_of(self.index):
            raise DependencyError(
                tr("The package index has no address; enter one that begins with https://, the "
                   "usual one is {}.").format(DEFAULT_INDEX)
            )  # fmt: skip
        if self.folder is not None and not self.folder.is_absolute():
            raise DependencyError(
                tr("No folder of wheels is chosen; choose the one with the files that end in .whl.")
            )
        if self.folder is not None and not self.folder.is_dir():
            raise DependencyError(
                tr("There is no folder of wheels {}; choose the folder with the files that end in "
                   ".whl.").format(self.folder)
            )  # fmt: skip

    def sources(self, proxy: Proxy) -> Sources:
        """For the background, as QGIS' network is asked for the proxy."""
        if self.folder is not None:
            return Sources(self.index, self.folder)
        return Sources(self.index, None, proxy(self.index))


def read_choices() -> Choices:
    """What was chosen last."""
    index, folder, python = (_text(key) for key in (_INDEX, _FOLDER, _PYTHON))
    return Choices(
        index or DEFAULT_INDEX, Path(folder) if folder else None, Path(python) if python else None
    )


def write_choices(choices: Choices) -> None:
    """Keep what was chosen, but no password: settings are read by many."""
    settings = QgsSettings()
    index = "" if choices.index == DEFAULT_INDEX else without_secrets(choices.index)
    for key, value in ((_INDEX, index), (_FOLDER, choices.folder), (_PYTHON, choices.python)):
        if value:
            settings.setValue(key, str(value))
        else:
            settings.remove(key)


def _text(key: str) -> str:
    value = QgsSettings().value(key)
    return value.strip() if isinstance(value, str) else ""
