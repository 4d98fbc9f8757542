"""Models and a registry of the tests' own, for the model manager."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Callable, Tuple

from furrow.core.places import Places
from furrow.models.segmenters.catalogue import Entry, Licence
from furrow.models.segmenters.registry import Registry
from furrow.tests.file_server import FileServer, Manner
from furrow.tests.models.segmenters.made_up_models import entry_of, file_for
from furrow.ui.models.model_views import ModelView, views_of

ENCODER, DECODER = b"encoder " * 40_000, b"decoder " * 20_000
LIMITED = Licence("Own licence", "not for sale", "https://a.b/licence", False, False)
GATED = Licence("Own licence", "on application", "https://a.b/licence", True, True)


def pair_on(server: FileServer, *manners: Manner) -> Entry:
    """A model of two files that a server offers.

    :param manners: how the server gives the second file.
    """
    urls = server.put("encoder.onnx", ENCODER), server.put("decoder.onnx", DECODER, *manners)
    files = (file_for(ENCODER, "encoder", "encoder.onnx"),
             file_for(DECODER, "decoder", "decoder.onnx"))  # fmt: skip
    offered = (replace(file, url=url) for file, url in zip(files, urls))
    return replace(entry_of(*offered, engine="onnx"), id="pair", title="Pair")


def registry_with(*entries: Entry) -> Callable[[Places], Registry]:
    """Makes registries with more models than those of the catalogue."""

    class MoreModels(Registry):
        def __init__(self, places: Places) -> None:
            super().__init__(places)
            self._entries.update({entry.id: entry for entry in entries})

    return MoreModels


def view_of(entry: Entry, folder: Path, damaged: Tuple[str, ...] = ()) -> ModelView:
    """How the manager sees a model whose files are below a folder."""
    registry = registry_with(entry)(Places.under(folder))
    views = views_of(registry, registry.folder, "", set(damaged))
    return next(view for view in views if view.id == entry.id)
