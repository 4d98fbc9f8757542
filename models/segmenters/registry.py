"""The registry of segmentation models: which there are and how to get one running."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Tuple

from ...core.downloads import in_words
from ...core.errors import ModelError
from ...core.fields.segmenter import Segmenter
from ...core.places import Places
from .catalogue import Entry, Licence, read_catalogue
from .file_hash import file_hash
from .furrow_field import field_model
from .furrow_field.field_model import FAST_ID, FieldModelSegmenter
from .model_folder import ModelFolder
from .onnx_pairs import onnx_session
from .own_models import own_files
from .regions import classical
from .regions.classical import ClassicalSegmenter

_GRAPHS = ("field", "onnx")
"""Engines that run ONNX files."""


@dataclass(frozen=True)
class Model:
    """A model of the catalogue or of the user's, as it stands on this computer."""

    entry: Entry
    ready: bool
    """Whether its files and what runs them are here; nothing was imported to find out."""
    advice: str
    """A sentence: what to do where it is not ready; else empty."""

    @property
    def id(self) -> str:
        """Stable: projects, scripts and run records hold it."""
        return self.entry.id

    @property
    def title(self) -> str:
        """What users read."""
        return self.entry.title

    @property
    def licence(self) -> Licence:
        """What the publisher allows."""
        return self.entry.licence


@dataclass(frozen=True)
class _Source:
    """What a segmenter is made from."""

    id: str
    """Of the segmenter: of the model, or the name of the user's file."""
    engine: str
    files: Tuple[Path, ...]
    """In the order of the entry: encoder, decoder, ... or the checkpoint."""


class Registry:
    """The models of the catalogue and the user's own. Cheap to make: make one when needed."""

    def __init__(self, places: Places) -> None:
        """Look which models there are; no model file is read.

        :raises ModelError: the catalogue is damaged.
        """
        self.folder = ModelFolder(places.models)
        """The files of the models."""
        self._places = places
        entries = (*read_catalogue(), *self.folder.own_entries())
        self._entries: Dict[str, Entry] = {entry.id: entry for entry in entries}

    @property
    def troubles(self) -> Tuple[str, ...]:
        """Sentences for the user: which models of their own cannot be used, and why."""
        return self.folder.troubles

    def models(self) -> Tuple[Model, ...]:
        """All models in the order of the catalogue, the user's own last; not all can run here."""
        return tuple(self._model(entry) for entry in self._entries.values())

    def ids(self) -> Tuple[str, ...]:
        """Ids of all models, the default one first.

        The default is the catalogue's, or classical where that cannot run. Models that cannot run
        here are listed too, because projects and scripts that were made elsewhere name them.
        """
        wanted = (entry for entry in self._entries.values() if entry.default)
        default = next((entry.id for entry in wanted if not self._lack(entry)), "classical")
        return (default, *(model_id for model_id in self._entries if model_id != default))

    def model(self, model_id: str) -> Model:
        """A model by its id.

        :raises ModelError: there is no such model.
        """
        return self._model(self._known(model_id))

    def require(self, model_id: str, model_file: Optional[str] = None) -> None:
        """Refuse what cannot run here; model files are not read as a whole, so it takes no time.

        :raises ModelError: unknown id, a file or what runs it is missing.
        """
        self._runnable(model_id, model_file)

    def load(self, model_id: str, model_file: Optional[str] = None) -> Segmenter:
        """The segmenter of a model, or of a file of the user's in place of it.

        Files of the catalogue are compared with their SHA-256 when they are first used in a
        session, which takes some seconds for the largest.

        :param model_file: an ONNX file or a folder with a pair, or a checkpoint.
        :raises ModelError: unknown id, a file or package is missing, a file is not the one that
            was published, or no engine runs it.
        """
        source = self._runnable(model_id, model_file)
        if not model_file:
            self.folder.verify(self._known(model_id))
        return self._open(source)

    def fingerprint(self, model_id: str, model_file: Optional[str] = None) -> str:
        """What an embedding of a model depends on besides the image: equal where embeddings may be.

        The first call in a session reads the model's files; what runs them is not needed.

        :return: SHA-256 in hexadecimal digits over id, EMBEDDING_VERSION and files.
        :raises ModelError: unknown id, or a file is missing or not the one that was published.
        """
        return _fingerprint(self._verified(model_id, model_file))

    def record(self, model_id: str, model_file: Optional[str] = None) -> Dict[str, str]:
        """What a run record says of a model: id, fingerprint as sha256, SHA-256 by file name.

        :raises ModelError: as for :meth:`fingerprint`.
        """
        source = self._verified(model_id, model_file)
        hashes = {path.name: file_hash(path) for path in source.files}
        return {"id": source.id, "sha256": _fingerprint(source), **hashes}

    def _known(self, model_id: str) -> Entry:
        """:raises ModelError: there is no such model."""
        if model_id not in self._entries:
            raise ModelError(
                f"MODEL: there is no model '{model_id}'; choose one of {', '.join(self._entries)}."
            )
        return self._entries[model_id]

    def _source(self, entry: Entry) -> _Source:
        return _Source(entry.id, entry.engine, self.folder.paths_of(entry))

    def _runnable(self, model_id: str, model_file: Optional[str]) -> _Source:
        """:raises ModelError: it cannot run here, as far as can be told without reading files."""
        if model_file:
            source = _of_file(Path(model_file))
            title, lack = f"MODEL_FILE: {source.id}", self._engine_lack(source.engine)
        else:
            entry = self._known(model_id)
            source = self._source(entry)
            title, lack = f"MODEL: {entry.title}", self._lack(entry)
        if lack:
            raise ModelError(f"{title} cannot run here; {lack}.")
        return source

    def _verified(self, model_id: str, model_file: Optional[str]) -> _Source:
        """:raises ModelError: a file is missing, or not the one that was published."""
        if model_file:
            return _of_file(Path(model_file))
        entry = self._known(model_id)
        self.folder.verify(entry)
        return self._source(entry)

    def _open(self, source: _Source) -> Segmenter:
        if source.engine == "classical":
            return ClassicalSegmenter()
        if source.engine == "field":
            return FieldModelSegmenter(thorough=source.id != FAST_ID)
        if source.engine == "onnx":
            from .onnx_pairs import onnx_segmenter

            return onnx_segmenter.open_pair(source.files[0], source.files[1], source.id)
        from .checkpoints import torch_segmenter

        return torch_segmenter.open_checkpoint(source.files[0], source.id, self._places.environment)

    def _model(self, entry: Entry) -> Model:
        lack = self._lack(entry)
        return Model(entry, not lack, f"{lack[0].upper()}{lack[1:]}." if lack else "")

    def _lack(self, entry: Entry) -> str:
        """What the user has to do before a model can run; empty: nothing."""
        wanted = [] if self.folder.present(entry) else [_to_get(entry)]
        wanted.append(self._engine_lack(entry.engine))
        return ", then ".join(filter(None, wanted))

    def _engine_lack(self, engine: str) -> str:
        """What the user has to do before files of an engine can run; empty: nothing."""
        if engine in _GRAPHS and not onnx_session.available():
            return (
                "install the Python package onnxruntime under Models of Furrow > Packages or "
                "choose the model classical"
            )
        if engine == "torch" and not _environment_ready(self._places.environment):
            return "install Checkpoints and training (torch) under Models of Furrow > Packages"
        return ""


def _environment_ready(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    from ..dependencies.environment import ready

    return ready(folder)


def _to_get(entry: Entry) -> str:
    """What to do about files that are missing."""
    if entry.shipped:
        return "install Furrow again, because files of it are missing"
    if entry.own:
        return "add the model again in the model manager, because a file of it is missing"
    size = in_words(entry.bytes)
    if all(file.url for file in entry.files):
        return f"download the model in the model manager ({size})"
    names = ", ".join(file.name for file in entry.files)
    return f"get {names} ({size}) from its publisher and choose it in the model manager"


def _of_file(path: Path) -> _Source:
    """:raises ModelError: the file does not exist, or no engine runs it."""
    if not path.exists():
        raise ModelError(f"MODEL_FILE: {path} does not exist; choose a file or leave it empty.")
    try:
        engine, files = own_files([path])
    except ModelError as error:
        reason = str(error).rstrip(".")
        raise ModelError(f"MODEL_FILE: {reason}, or leave it empty to use MODEL.") from error
    return _Source(path.name, engine, tuple(file for _, file in files))


def _fingerprint(source: _Source) -> str:
    content = [source.id, _versions(source), [file_hash(path) for path in source.files]]
    return hashlib.sha256(json.dumps(content).encode("ascii")).hexdigest()


def _versions(source: _Source) -> Tuple[int, ...]:
    """EMBEDDING_VERSION of every engine that has a part in the embeddings."""
    if source.engine == "classical" or source.engine == "field":
        own = () if source.engine == "classical" else (field_model.EMBEDDING_VERSION,)
        regions = () if source.id == FAST_ID else (classical.EMBEDDING_VERSION,)
        return (*own, *regions)
    if source.engine == "onnx":
        from .onnx_pairs.onnx_segmenter import EMBEDDING_VERSION
    else:
        from .checkpoints.torch_segmenter import EMBEDDING_VERSION
    return (EMBEDDING_VERSION,)
