"""Which Python the programs are that were named: asked once each, in the background."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Optional, Tuple, Union

from ...core.errors import DependencyError
from ...core.monitor import Monitor
from ...models.dependencies.interpreter import look_at
from ...models.dependencies.machine import Machine, here
from ...qgis_io.texts import tr


class Programs:
    """Remembers what programs have answered."""

    def __init__(self) -> None:
        self._answers: Dict[Path, Union[Machine, str]] = {}

    def known(self, path: Optional[Path]) -> bool:
        """Whether it was asked before."""
        return path is None or path in self._answers

    def answer(self, path: Optional[Path]) -> Tuple[Optional[Machine], str]:
        """What a program is, and if that is not known, why.

        :param path: None: the Python that runs this.
        """
        if path is None:
            return here(), ""
        answer = self._answers.get(path, tr("Looking which Python {} is…").format(path))
        return (answer, "") if isinstance(answer, Machine) else (None, answer)

    def ask(self, path: Path, monitor: Monitor) -> Path:
        """Start it and remember its answer. For a background thread, as it may take a while."""
        try:
            self._answers[path] = look_at(path)
        except DependencyError as error:
            self._answers[path] = str(error)
        return path
