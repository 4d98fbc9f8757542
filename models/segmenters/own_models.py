"""Models of the user's own: which engine runs chosen files, and the entry that describes them."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Container, Sequence, Tuple

from ...core.errors import ModelError
from .catalogue import CONFIG_FILE, DATA, PROMPTS, Entry, Licence, ModelFile
from .onnx_pairs.onnx_conventions import find_pair, plan_pair
from .onnx_pairs.onnx_graph import read_graph
from .onnx_pairs.onnx_safety import check_safe

ONNX_SUFFIX = ".onnx"
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".safetensors")
_PARAMETER = re.compile("^MODEL(_FILE)?: ")
"""What errors about files begin with when they are the parameters of an algorithm."""
_ID_START = "own-"
_MOST_OF_TITLE = 40
_LICENCE = Licence("Own file", "Furrow does not know its licence", "", True, False)

RoleFile = Tuple[str, Path]
"""The role of a file, see :data:`.catalogue.ENGINES`, and where it is."""


def own_files(paths: Sequence[Path]) -> Tuple[str, Tuple[RoleFile, ...]]:
    """Which engine runs files that the user has chosen, and what each is.

    :param paths: an ONNX pair, one file of a pair that lies beside the other, a folder with a
        pair, or one checkpoint.
    :return: "onnx" with encoder, decoder and their files of weights, or "torch" with a checkpoint
        and the CONFIG_FILE beside it, if there is one.
    :raises ModelError: a file is missing, or no engine runs them.
    """
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        raise ModelError(f"{missing} does not exist; choose a file that does.")
    graphs = [path for path in paths if path.is_dir() or path.suffix.lower() == ONNX_SUFFIX]
    if graphs:
        try:
            pair = _pair(graphs)
            return "onnx", (*zip(("encoder", "decoder"), pair), *_weights(pair))
        except ModelError as error:
            raise ModelError(_PARAMETER.sub("", str(error))) from error
    if len(paths) == 1 and paths[0].suffix.lower() in CHECKPOINT_SUFFIXES:
        config = paths[0].with_name(CONFIG_FILE)
        return "torch", (("checkpoint", paths[0]), *([(DATA, config)] if config.is_file() else []))
    names = ", ".join(path.name for path in paths) or "Nothing"
    raise ModelError(
        f"{names} is no model that Furrow can run; choose an ONNX pair (encoder and decoder) or "
        f"one file that ends in {', '.join(CHECKPOINT_SUFFIXES)}."
    )


def own_entry(model_id: str, title: str, engine: str, files: Sequence[ModelFile]) -> Entry:
    """What the catalogue would say of a model of the user's."""
    return Entry(
        model_id, title, "own", engine, tuple(files), _LICENCE, 0, "", PROMPTS, "", False, own=True
    )  # fmt: skip


def own_id(title: str, taken: Container[str]) -> str:
    """An id for a model of the user's; it is none of the catalogue's and none of the taken."""
    letters = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = "-".join(re.findall("[a-z0-9]+", letters))[:_MOST_OF_TITLE].strip("-") or "model"
    found, number = f"{_ID_START}{words}", 1
    while found in taken:
        number += 1
        found = f"{_ID_START}{words}-{number}"
    return found


def _pair(graphs: Sequence[Path]) -> Tuple[Path, Path]:
    """Encoder and decoder.

    :raises ModelError: there is no pair.
    """
    if len(graphs) != 2:
        return find_pair(graphs[0])
    one, other = (read_graph(path) for path in graphs)
    try:
        plan_pair(other, one)
    except ModelError:
        plan_pair(one, other)
        return one.path, other.path
    return other.path, one.path


def _weights(pair: Sequence[Path]) -> Tuple[RoleFile, ...]:
    """Files in which the graphs have their weights.

    :raises ModelError: one of them is missing or lies outside the folder of its graph.
    """
    found = []
    for graph in map(read_graph, pair):
        check_safe(graph)
        found += [(DATA, graph.path.parent / location) for location in graph.external]
    return tuple(dict.fromkeys(found))
