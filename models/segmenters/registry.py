"""The registry of segmentation models: which there are and how to get one running."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Optional, Tuple

from ...core.errors import ModelError
from ...core.fields.segmenter import Segmenter
from . import onnx_session
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

    @property
    def ready(self) -> bool:
        """Whether what it needs is here; nothing is imported or opened to find out."""
        present = all(path.is_file() for path in self.files)
        return present and (not self.files or onnx_session.available())


_FIELD_MODEL_FILES = tuple(WEIGHTS / name for name in (ENCODER_FILE, DECODER_FILE, RANKER_FILE))

_MODELS: Dict[str, Model] = {
    MODEL_ID: Model(
        MODEL_ID,
        "Field model of Furrow (a small network and regions, needs onnxruntime)",
        "GPL-3.0-or-later, part of Furrow",
        FieldModelSegmenter,
        _FIELD_MODEL_FILES,
    ),
    "classical": Model(
        "classical",
        "Classical regions (numpy and scipy, nothing to install)",
        "GPL-3.0-or-later, part of Furrow",
        ClassicalSegmenter,
    ),
    FAST_ID: Model(
        FAST_ID,
        "Field model of Furrow, the network alone (fast, needs onnxruntime)",
        "GPL-3.0-or-later, part of Furrow",
        lambda: FieldModelSegmenter(thorough=False),
        _FIELD_MODEL_FILES,
    ),
}


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
    if model_id not in _MODELS:
        raise ModelError(
            f"MODEL: there is no model '{model_id}'; choose one of {', '.join(_MODELS)}."
        )
    return _MODELS[model_id].make()


def _no_engine(path: Path) -> str:
    if not path.is_file():
        return f"MODEL_FILE: {path} does not exist; choose a file or leave it empty."
    return (
        f"MODEL_FILE: this version of Furrow has no engine for {path.suffix or 'such'} files yet; "
        "leave it empty to use MODEL."
    )
