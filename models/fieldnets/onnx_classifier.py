"""A network of fields that onnxruntime runs; without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...core.errors import ModelError
from ..segmenters.onnx_pairs.onnx_session import GraphRunner, available
from .crops import CropBatch

INPUTS, OUTPUT = ("image", "mask", "scalars"), "chances"


def require_runtime() -> None:
    """:raises ModelError: onnxruntime is not installed."""
    if not available():
        raise ModelError(
            "MODEL: a network needs the Python package onnxruntime, which is not installed; "
            "install it under Models of Furrow > Packages, or use a model of kind statistics."
        )


class NetworkClassifier:
    """Probabilities of classes from crops; may be asked from several threads."""

    def __init__(self, path: Path, classes: int) -> None:
        """Open the file.

        :param classes: how many it has to tell.
        :raises ModelError: no onnxruntime, no file, or one that cannot be run.
        """
        require_runtime()
        if not path.is_file():
            raise ModelError(f"MODEL: {path} is missing; train the model again.")
        self._path, self._classes = path, classes
        self._runner = GraphRunner(path)

    def chances(self, batch: CropBatch) -> np.ndarray:
        """(n, c) float32, each row sums up to 1.

        :raises ModelError: the file is not such a network.
        """
        return self.of_inputs(*batch.inputs())

    def of_inputs(self, image: np.ndarray, mask: np.ndarray, scalars: np.ndarray) -> np.ndarray:
        """The same from the network's own inputs."""
        given = dict(zip(INPUTS, (image, mask, scalars)))
        (found,) = self._runner.run([OUTPUT], given)
        if found.shape != (len(image), self._classes) or not np.isfinite(found).all():
            raise ModelError(
                f"MODEL: {self._path} does not belong to its model.json; train the model again."
            )
        return found
