"""The registry of segmentation models: which there are and how to get one running."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Callable, Dict, Optional, Tuple

from ...core.errors import ModelError
from ...core.fields.segmenter import Segmenter
from . import classical, field_model, onnx_session
from .classical import ClassicalSegmenter
from .field_model import (
    DECODER_FILE,
    ENCODER_FILE,
    FAST_ID,
    MODEL_ID,
    RANKER_FILE,
    WEIGHTS,
    FieldModelSegmenter,
)


@dataclass(frozen=True)
class Model:
    """One entry of the registry."""

    id: str
    title: str
    licence: str
    make: Callable[[], Segmenter]
    files: Tuple[Path, ...] = ()
    """ONNX files that it runs; those need onnxruntime."""
    versions: Tuple[int, ...] = ()
    """EMBEDDING_VERSION of every engine that has a part in its embeddings."""

    @property
    def ready(self) -> bool:
        """Whether what it needs is here; nothing is imported or opened to find out."""
        present = all(path.is_file() for path in self.files)
        return present and (not self.files or onnx_session.available())


_KEPT_HASHES = 32
_FIELD_MODEL_FILES = tuple(WEIGHTS / name for name in (ENCODER_FILE, DECODER_FILE, RANKER_FILE))

_MODELS: Dict[str, Model] = {
    MODEL_ID: Model(
        MODEL_ID,
        "Field model of Furrow",
        "GPL-3.0-or-later, part of Furrow",
        FieldModelSegmenter,
        _FIELD_MODEL_FILES,
        (field_model.EMBEDDING_VERSION, classical.EMBEDDING_VERSION),
    ),
    "classical": Model(
        "classical",
        "Classical regions",
        "GPL-3.0-or-later, part of Furrow",
        ClassicalSegmenter,
        versions=(classical.EMBEDDING_VERSION,),
    ),
    FAST_ID: Model(
        FAST_ID,
        "Field model, fast",
        "GPL-3.0-or-later, part of Furrow",
        lambda: FieldModelSegmenter(thorough=False),
        _FIELD_MODEL_FILES,
        (field_model.EMBEDDING_VERSION,),
    ),
}


def all_models() -> Tuple[Model, ...]:
    """All models, those included that cannot run here."""
    return tuple(_MODELS.values())


def model_ids() -> Tuple[str, ...]:
    """Ids of all models, the default one first.

    The default is the first that can run here. The others are listed too, because models and
    scripts that were made elsewhere name them.
    """
    default = next((model.id for model in _MODELS.values() if model.ready), "classical")
    return (default, *(model_id for model_id in _MODELS if model_id != default))


def load(model_id: str, model_file: Optional[str] = None) -> Segmenter:
    """The segmenter behind a registry id, or behind a file of the user's.

    :raises ModelError: unknown id, missing file or package, or a file that no engine here runs.
    """
    if model_file:
        raise ModelError(_no_engine(Path(model_file)))
    return _known(model_id).make()


def fingerprint(model_id: str) -> str:
    """What an embedding of a model depends on besides the image: equal where embeddings may be.

    The first call reads the model's files, which takes some tens of milliseconds; onnxruntime is
    not needed.

    :return: SHA-256 in hexadecimal digits over id, EMBEDDING_VERSION and files.
    :raises ModelError: unknown id or missing file.
    """
    model = _known(model_id)
    content = [model.id, model.versions, [_file_hash(path) for path in model.files]]
    return hashlib.sha256(json.dumps(content).encode("ascii")).hexdigest()


def _known(model_id: str) -> Model:
    """:raises ModelError: there is no such model."""
    if model_id not in _MODELS:
        raise ModelError(
            f"MODEL: there is no model '{model_id}'; choose one of {', '.join(_MODELS)}."
        )
    return _MODELS[model_id]


def _file_hash(path: Path) -> str:
    """:raises ModelError: the file cannot be read."""
    try:
        status = path.stat()
        return _hashed(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise ModelError(
            f"MODEL: the model file {path} cannot be read ({error.strerror or error}); install "
            "Furrow again or choose the model classical."
        ) from error


@lru_cache(maxsize=_KEPT_HASHES)
def _hashed(path: Path, size: int, changed: int) -> str:
    """:param size: and when the file was written, part of the key: a new file is read anew."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _no_engine(path: Path) -> str:
    if not path.is_file():
        return f"MODEL_FILE: {path} does not exist; choose a file or leave it empty."
    return (
        f"MODEL_FILE: this version of Furrow has no engine for {path.suffix or 'such'} files yet; "
        "leave it empty to use MODEL."
    )
