"""What the dialog of packages shows of a part: read once, then put into words."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

from ...core.downloads import in_words
from ...core.errors import DependencyError
from ...models.dependencies.installing import without_secrets
from ...models.dependencies.machine import Machine
from ...models.dependencies.own_packages import Condition, State
from ...models.dependencies.plan import Plan
from ...qgis_io.texts import tr
from .dependency_choices import Choices
from .dependency_parts import Part

_THERE = (Condition.READY, Condition.OUTDATED, Condition.BROKEN)


@dataclass(frozen=True)
class PartView:
    """One part, as it stands and as it would be."""

    part: Part
    state: State
    plan: Optional[Plan]
    """What installing would bring; None where it cannot."""
    trouble: str
    """Why it cannot; empty where it can."""
    leftover: int
    """Bytes that lie in its folder and are of no use."""
    builds: Tuple[int, ...] = ()
    """Bytes of the download with and without CUDA; empty where there is no such choice."""

    @property
    def installable(self) -> bool:
        """Whether there is something to bring that is not here."""
        wanted = (Condition.ABSENT, Condition.OUTDATED)
        return self.plan is not None and self.state.condition in wanted

    @property
    def repairable(self) -> bool:
        """Whether there is something to complete."""
        return self.plan is not None and self.state.condition in _THERE

    @property
    def removable(self) -> bool:
        """Whether there is something to delete."""
        return self.state.condition in _THERE or self.leftover > 0


def view_of(part: Part, choices: Choices, machine: Optional[Machine], trouble: str) -> PartView:
    """A part as it is now.

    :param machine: of the Python of `part.program(choices)`; None: it is not known.
    :param trouble: why it is not.
    """
    plan, builds = None, ()
    try:
        state = part.state()
        if machine is not None:
            plan, builds, trouble = part.plan(choices, machine), part.builds(machine), ""
    except DependencyError as error:
        state, trouble = _state_or_absent(part), str(error)
    return PartView(part, state, plan, trouble, part.leftover(), builds)


def state_text(view: PartView) -> str:
    """How a part stands, in a few words."""
    version = view.state.version
    text = {
        Condition.ABSENT: tr("not installed"),
        Condition.READY: tr("{} is installed"),
        Condition.OUTDATED: tr("{} is installed, and there is another version for this Furrow"),
        Condition.BROKEN: tr("not complete"),
        Condition.ELSEWHERE: tr("{} is there, not of Furrow's installing"),
    }[view.state.condition].format(f"{view.part.noun} {version}".strip())
    if not view.leftover:
        return text
    return tr("{text} ({size} of an attempt are kept)").format(
        text=text, size=in_words(view.leftover)
    )


def folder_text(view: PartView) -> str:
    """Where it is, or where it would go."""
    if view.state.condition == Condition.ELSEWHERE:
        return str(view.state.folder)
    return str(view.plan.target if view.plan is not None else view.state.folder or "")


def size_text(view: PartView) -> str:
    """How much is downloaded, what it takes, and what is free."""
    if view.plan is None:
        return ""
    text = tr("{download} to download, {disk} on disk").format(
        download=in_words(view.plan.download), disk=in_words(view.plan.unpacked)
    )
    free = _free(view.plan.target)
    return text if free is None else tr("{}; {} are free there").format(text, in_words(free))


def source_text(choices: Choices) -> str:
    """Where packages would come from."""
    if choices.folder is not None and not choices.folder.is_absolute():
        return tr("a folder that is still to be chosen")
    if choices.folder is not None:
        return tr("the folder {}; the network is not asked").format(choices.folder)
    index = without_secrets(choices.index)
    return tr("{}, through QGIS' network and its proxy").format(index)


def _state_or_absent(part: Part) -> State:
    try:
        return part.state()
    except DependencyError:
        return State(Condition.ABSENT)


def _free(folder: Path) -> Optional[int]:
    """Bytes on the disk of a folder that need not exist; None: nobody knows."""
    near = next((each for each in (folder, *folder.parents) if each.is_dir()), None)
    try:
        return None if near is None else shutil.disk_usage(near).free
    except OSError:
        return None
