"""An engine that looks into a store before it encodes."""

from __future__ import annotations

from threading import Lock
from typing import Optional, Sequence

import numpy as np

from ....core.fields.segmenter import (
    Embedding,
    Masks,
    Prompts,
    Segmenter,
    check_picture,
    known_edges,
)
from .embedding_store import EmbeddingStore, pixel_key


class StoredSegmenter:
    """Another segmenter with a store; fulfils :class:`furrow.core.fields.segmenter.Segmenter`.

    Pictures are told apart by their pixels, so it never matters where they come from.
    """

    def __init__(self, segmenter: Segmenter, store: EmbeddingStore, fingerprint: str) -> None:
        """Put a store before an engine.

        :param fingerprint: of the engine, :func:`.registry.fingerprint`.
        """
        self.id = segmenter.id
        self.store = store
        self._segmenter = segmenter
        self._fingerprint = fingerprint
        self._lock = Lock()
        self._encoded = self._reused = 0

    @property
    def encoded(self) -> int:
        """How many pictures the engine has encoded."""
        return self._encoded

    @property
    def reused(self) -> int:
        """How many pictures the store had."""
        return self._reused

    def key(self, image: np.ndarray) -> str:
        """The key of a picture in the store.

        :param image: (H, W, 3) uint8.
        """
        return pixel_key(self._fingerprint, image)

    def encode(self, image: np.ndarray) -> Embedding:
        """The stored embedding of a picture, else a new one, which is then stored.

        :param image: (H, W, 3) uint8, never changed.
        """
        check_picture(image)
        key = self.key(image)
        found = self.store.get(key)
        if found is not None:
            self._count(encoded=0, reused=1)
            return found
        made = self._segmenter.encode(image)
        self.store.put(key, made)
        self._count(encoded=1, reused=0)
        return made

    def edges(self, embedding: Embedding) -> Optional[np.ndarray]:
        """See `EdgeSegmenter.edges`; None where the engine does not say."""
        return known_edges(self._segmenter, embedding)

    def predict(self, embedding: Embedding, prompts: Sequence[Prompts]) -> Masks:
        """See `Segmenter.predict`."""
        return self._segmenter.predict(embedding, prompts)

    def _count(self, encoded: int, reused: int) -> None:
        with self._lock:
            self._encoded += encoded
            self._reused += reused
