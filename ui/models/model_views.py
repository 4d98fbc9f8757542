"""What the model manager shows of a model: read once from the registry and the folder of models."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import AbstractSet, List, Sequence, Tuple

from ...core.downloads import in_words, part_of
from ...core.web_answers import host_of
from ...models.segmenters.catalogue import Entry, ModelFile
from ...models.segmenters.model_folder import ModelFolder
from ...models.segmenters.registry import Model, Registry
from ...qgis_io.texts import tr


class State(Enum):
    """How a model stands on this computer."""

    READY = "ready"
    MISSING = "missing"
    """Its files are not here, or not all of them."""
    BEGUN = "begun"
    """A download has been interrupted and can go on."""
    DAMAGED = "damaged"
    """A file is not what it should be."""
    PACKAGES = "packages"
    """The files are here, what runs them is not."""


@dataclass(frozen=True)
class FileView:
    """One file of a model."""

    file: ModelFile
    path: Path
    """Where it is, or where it goes."""
    size: int
    """What lies there now, in bytes; 0 for nothing."""

    @property
    def good(self) -> bool:
        """Whether it is there and as long as it should be."""
        return self.size > 0 and self.size == (self.file.bytes or self.size)

    @property
    def host(self) -> str:
        """The computer that offers it; empty where there is none."""
        return host_of(self.file.url)


@dataclass(frozen=True)
class ModelView:
    """One model."""

    entry: Entry
    state: State
    advice: str
    """What to do where it is not ready."""
    default: bool
    """Whether new projects get it."""
    files: Tuple[FileView, ...]
    folder: Path
    """Of its files."""

    @property
    def id(self) -> str:
        """As the registry calls it."""
        return self.entry.id

    @property
    def bytes(self) -> int:
        """Of all its files once they are here."""
        return sum(each.file.bytes or each.size for each in self.files)

    @property
    def on_disk(self) -> int:
        """Bytes that its files take now."""
        return sum(each.size for each in self.files)

    @property
    def free(self) -> bool:
        """Whether its licence lets everybody use it for anything."""
        return self.entry.licence.commercial and not self.entry.licence.gated

    @property
    def offered(self) -> bool:
        """Whether all its files can be downloaded."""
        return bool(self.files) and all(each.host for each in self.files)

    @property
    def whole(self) -> bool:
        """Whether all files are here and right, as far as is known."""
        return self.state != State.DAMAGED and all(each.good for each in self.files)

    @property
    def downloadable(self) -> bool:
        """Whether there is something to be downloaded."""
        return self.offered and not self.whole

    @property
    def deletable(self) -> bool:
        """Whether there is something that may be deleted."""
        here = self.entry.own or self.on_disk > 0 or self.state == State.BEGUN
        return here and not self.entry.shipped

    @property
    def electable(self) -> bool:
        """Whether it may become the default: it can run, and everybody may use it."""
        return self.state == State.READY and self.free and not self.default

    @property
    def hosts(self) -> Tuple[str, ...]:
        """The computers that offer its files."""
        return tuple(dict.fromkeys(each.host for each in self.files if each.host))


def views_of(
    registry: Registry, folder: ModelFolder, default: str, damaged: AbstractSet[str] = frozenset()
) -> Tuple[ModelView, ...]:
    """All models of the registry in its order.

    :param default: id of the model that the preferences name; empty: the registry's.
    :param damaged: ids of the models whose files were found to be wrong in this session.
    """
    models = registry.models()
    ids = [model.id for model in models]
    chosen = default if default in ids else registry.ids()[0]
    return tuple(_view(model, folder, chosen, damaged) for model in models)


def _view(model: Model, folder: ModelFolder, default: str, damaged: AbstractSet[str]) -> ModelView:
    files = tuple(_file(model.entry, each, folder) for each in model.entry.files)
    state = _state(model, files)
    if model.id in damaged and files and all(each.good for each in files):
        state = State.DAMAGED
    place = files[0].path.parent if files else folder.folder
    return ModelView(model.entry, state, model.advice, model.id == default, files, place)


def _file(entry: Entry, file: ModelFile, folder: ModelFolder) -> FileView:
    path = folder.path_of(entry, file)
    return FileView(file, path, path.stat().st_size if path.is_file() else 0)


def _state(model: Model, files: Sequence[FileView]) -> State:
    if any(each.size and not each.good for each in files):
        return State.DAMAGED
    if not all(each.good for each in files):
        return State.BEGUN if any(_begun(each) for each in files) else State.MISSING
    return State.READY if model.ready else State.PACKAGES


def _begun(view: FileView) -> bool:
    return view.good or part_of(view.path).is_file()


# --- texts ---


def state_text(view: ModelView) -> str:
    """How a model stands, in a few words."""
    came_otherwise = view.entry.own or view.entry.shipped
    text = {
        State.READY: tr("ready"),
        State.MISSING: tr("missing") if came_otherwise else tr("not downloaded"),
        State.BEGUN: tr("missing in part") if came_otherwise else tr("partly downloaded"),
        State.DAMAGED: tr("damaged"),
        State.PACKAGES: tr("needs packages"),
    }[view.state]
    return tr("{}, default").format(text) if view.default else text


def title_text(view: ModelView) -> str:
    """The title, marked where the file is the user's own."""
    return tr("{} (own file)").format(view.entry.title) if view.entry.own else view.entry.title


def licence_text(view: ModelView) -> str:
    """The name of the licence, after what it does not let everybody do."""
    licence = view.entry.licence
    marks = [] if licence.commercial else [tr("non-commercial")]
    marks += [tr("on application")] if licence.gated else []
    return f"{', '.join(marks)} ({licence.name})" if marks else licence.name


def limits_text(view: ModelView) -> str:
    """Licence and limits in one line."""
    licence = view.entry.licence
    return f"{licence_text(view)}: {licence.limits}" if licence.limits else licence_text(view)


def facts_of(view: ModelView) -> List[Tuple[str, str]]:
    """Names and values of what is known of a model, files apart; a value may have two lines."""
    entry = view.entry
    known = [
        (tr("Good for"), entry.recommended),
        (tr("State"), state_text(view)),
        (tr("To do"), view.advice),
        (tr("Licence"), "\n".join(filter(None, (limits_text(view), entry.licence.url)))),
        (tr("Family"), entry.family),
        (tr("Parameters"), _parameters(entry.parameters)),
        (tr("Prompts"), ", ".join(_prompt(name) for name in entry.prompts)),
        (tr("Preparation"), entry.preprocessing),
        (tr("Size"), _sizes(view)),
        (tr("Folder"), str(view.folder) if view.files else ""),
        (tr("Id"), entry.id),
    ]
    return [(name, value) for name, value in known if value]


def _parameters(count: int) -> str:
    if not count:
        return ""
    return tr("{:.1f} million").format(count / 1e6)


def _prompt(name: str) -> str:
    known = {
        "points": tr("clicks on the field"),
        "background": tr("clicks beside it"),
        "box": tr("box"),
        "several": tr("several fields at once"),
    }
    return known.get(name, name)


def _sizes(view: ModelView) -> str:
    if not view.files:
        return ""
    text = tr("{size}, of which {here} are on disk")
    return text.format(size=in_words(view.bytes), here=in_words(view.on_disk))
