"""The registry of segmentation models: which there are and how to get one running."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Optional, Tuple

from ...core.errors import ModelError
from ...core.fields.segmenter import Segmenter
from .classical import ClassicalSegmenter


@dataclass(frozen=True)
class Model:
    """One entry of the registry."""

    id: str
    title: str
    licence: str
    make: Callable[[], Segmenter]


_MODELS: Dict[str, Model] = {
    "classical": Model(
        "classical",
        "Classical regions (numpy and scipy, nothing to install)",
        "GPL-3.0-or-later, part of Furrow",
        ClassicalSegmenter,
    ),
}


def model_ids() -> Tuple[str, ...]:
    """Ids of the models, the default one first."""
    return tuple(_MODELS)


def load(model_id: str, model_file: Optional[str] = None) -> Segmenter:
    """The segmenter behind a registry id, or behind a file of the user's.

    :raises ModelError: unknown id, missing file, or a file that no engine here can run.
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
