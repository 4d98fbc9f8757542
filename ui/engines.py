"""The engine of the click tool: started once, away from the main thread."""

from __future__ import annotations

import threading
from typing import Optional

from ..core.fields.segmenter import Segmenter
from ..models.segmenters.registry import Registry
from ..qgis_io.places import places


class Engine:
    """A segmentation model that starts when it is first needed. Used from several threads."""

    def __init__(self, model_id: str) -> None:
        self.id = model_id
        self._registry = Registry(places())
        self._lock = threading.Lock()
        self._segmenter: Optional[Segmenter] = None
        self._fingerprint = ""

    @property
    def started(self) -> Optional[Segmenter]:
        """The segmenter where it runs already; never waits."""
        return self._segmenter

    def start(self) -> Segmenter:
        """The segmenter; the first call takes a moment.

        :raises ModelError: the model is unknown or cannot run here.
        """
        with self._lock:
            if self._segmenter is None:
                self._fingerprint = self._registry.fingerprint(self.id)
                self._segmenter = self._registry.load(self.id)
            return self._segmenter

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the model; empty until it has started."""
        return self._fingerprint
