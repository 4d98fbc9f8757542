"""The folder of encoded windows that algorithms share, and what they say of its use."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional

from qgis.core import QgsProcessingContext, QgsProcessingFeedback, QgsProcessingParameterFile

from ..core.errors import ParameterError
from ..core.fields.segmenter import Segmenter
from ..models.segmenters.embeddings.embedding_index import described
from ..models.segmenters.embeddings.embedding_store import UNLIMITED, EmbeddingStore
from ..models.segmenters.embeddings.stored_segmenter import StoredSegmenter
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm
from .model_parameters import model_record, read_segmenter


def add_embeddings(algorithm: FurrowAlgorithm) -> None:
    """EMBEDDINGS."""
    algorithm.add(
        QgsProcessingParameterFile(
            "EMBEDDINGS",
            tr("Folder of encoded windows"),
            behavior=QgsProcessingParameterFile.Behavior.Folder,
            optional=True,
        ),
        tr(
            "A folder that furrow:encodeimage has filled, or any other. Windows that are there for "
            "the same pixels and model are not encoded again; the others are encoded and kept "
            "there, up to 4 MB for a window of 200 pixels. Empty: nothing is kept."
        ),
        advanced=True,
    )


def read_stored_segmenter(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> Segmenter:
    """The engine behind MODEL or MODEL_FILE, which uses EMBEDDINGS where that is given.

    :raises ParameterError: EMBEDDINGS is no folder.
    """
    folder = _folder(algorithm, parameters, context)
    if folder is None:
        return read_segmenter(algorithm, parameters, context)
    return open_stored_segmenter(algorithm, parameters, context, folder)


def open_stored_segmenter(
    algorithm: FurrowAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    folder: Path,
) -> StoredSegmenter:
    """The engine behind MODEL or MODEL_FILE with a folder of embeddings, which nothing bounds."""
    segmenter = read_segmenter(algorithm, parameters, context)
    fingerprint = model_record(algorithm, parameters, context)["sha256"]
    return StoredSegmenter(segmenter, EmbeddingStore(folder, 0, UNLIMITED), fingerprint)


def check_embeddings(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> None:
    """:raises ParameterError: EMBEDDINGS is given and no folder."""
    _folder(algorithm, parameters, context)


def report_reuse(segmenter: Segmenter, feedback: QgsProcessingFeedback) -> Dict[str, int]:
    """Say what came from EMBEDDINGS; the count REUSED, nothing where none was given."""
    if not isinstance(segmenter, StoredSegmenter):
        return {}
    reused, encoded, store = segmenter.reused, segmenter.encoded, segmenter.store
    feedback.pushInfo(
        tr("{} of {} windows were encoded before.").format(reused, reused + encoded)
    )
    listed = described(store.folder) if store.folder is not None and not reused else ""
    if listed:
        feedback.pushWarning(
            tr(
                "EMBEDDINGS: {} has other windows than those that were looked at here; it was made "
                "for {}."
            ).format(store.folder, listed)
        )
    if store.trouble:
        feedback.pushWarning(store.trouble)
    return {"REUSED": reused}


def _folder(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> Optional[Path]:
    text = algorithm.text(parameters, "EMBEDDINGS", context)
    if not text:
        return None
    if not Path(text).is_dir():
        raise ParameterError(
            f"EMBEDDINGS: {text} is not a folder; choose the OUTPUT of furrow:encodeimage or leave "
            "it empty."
        )
    return Path(text)
