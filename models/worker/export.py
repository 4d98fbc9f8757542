"""A checkpoint as a pair of ONNX files, which runs without torch.

The pair answers to any number of prompts with any number of points at once, and gives the single
mask and the three from part to whole as logits in low resolution: all that the engine for ONNX
files asks for. Beside the two lies the entry.json of a model of the user's, so that the folder can
be put into the folder of models as it is.
"""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Tuple

import torch
from torch import Tensor, nn

from ...core.errors import ModelError
from ...core.monitor import SILENT, Monitor
from ..segmenters.catalogue import (
    DATA,
    ENGINES,
    ENTRY_FILE,
    Entry,
    ModelFile,
    entry_from,
    json_of,
    read_catalogue,
    write_entry,
)
from ..segmenters.file_hash import file_hash
from ..segmenters.onnx_pairs.onnx_kinds import FAMILY
from ..segmenters.onnx_pairs.onnx_session import close_sessions
from ..segmenters.own_models import ONNX_SUFFIX, own_entry, own_files, own_id
from .networks import FEATURE, Parts, TorchNetwork, open_parts
from .onnx_files import Precision, Traced, write
from .onnx_parity import (
    IMAGE,
    LABELS,
    LOGITS,
    POINTS,
    SCORES,
    agreement,
    example,
    file_answers,
    network_answers,
)

_ENGINE = "onnx"
_FAMILIES = ("segment-anything", "mobile-sam", "segment-anything-2", "segment-anything-2.1")
"""Of networks whose pairs the engine for ONNX files knows how to ask."""
_BYTES_A_WEIGHT = 8
"""Of a float32 file and of the one that it is made of."""
_BYTES_BESIDES = 100_000_000
_MEGABYTE = 1e6


@dataclass(frozen=True)
class Wanted:
    """What an export is to be like."""

    precision: Precision = Precision.FLOAT32
    title: str = ""
    """What the user calls the model; empty: what its authors call it."""
    replace: bool = False
    """Whether an export that is there already is replaced."""
    force: bool = False
    """Whether files are kept that do not answer as the checkpoint does."""


class _Decoder(nn.Module):
    """From features and points to masks."""

    def __init__(self, parts: Parts, grid: Tuple[int, int]) -> None:
        super().__init__()
        self.prompts, self.decoder = parts.prompts, parts.decoder
        self.register_buffer("places", parts.prompts.cells(*grid))

    def forward(self, points: Tensor, labels: Tensor, *features: Tensor) -> Tuple[Tensor, Tensor]:
        """(n, k, 2) points in the square, (n, k) labels as numbers of any kind, and features."""
        cells = features[0] + self.prompts.no_mask.view(1, -1, 1, 1)
        picture = self.decoder.picture(cells, self.places, features[1:])
        return self.decoder(picture, self.prompts(points, labels.to(torch.int64)))


def export(
    checkpoint: Path, folder: Path, wanted: Wanted = Wanted(), monitor: Monitor = SILENT
) -> Entry:
    """Turn a checkpoint of the Segment Anything family into a model of the engine for ONNX files.

    The files are tried first, on a made-up picture; the folder appears only when all is well.

    :param checkpoint: a .pth, .pt or .safetensors file, or a folder with one.
    :param folder: of the new model; its name becomes the model's id.
    :param monitor: told what happens.
    :return: what entry.json says.
    :raises ModelError: the checkpoint cannot be read, the folder not be made, or the files do not
        answer as the checkpoint does; nothing is left then.
    """
    folder = folder.absolute()
    _check_folder(folder, wanted.replace)
    temporary = folder.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        temporary.mkdir(parents=True)
        entry = _exported(checkpoint, temporary, folder.name, wanted, monitor)
        close_sessions()  # Windows moves and deletes no folder of which a file is open
        _put(temporary, folder)
    except OSError as error:
        raise ModelError(
            f"{folder} cannot be written ({error.strerror or error}); make room on that disk, end "
            "what uses the folder, or choose another one."
        ) from error
    except (RuntimeError, MemoryError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelError(
            f"torch {torch.__version__} cannot turn {checkpoint} into ONNX files here ({reason}); "
            "end other programs if the memory is full, or repair the environment of the heavy "
            "tools under Models of Furrow > Packages."
        ) from error
    finally:
        close_sessions()
        shutil.rmtree(temporary, ignore_errors=True)
    return entry


def _exported(
    checkpoint: Path, folder: Path, model_id: str, wanted: Wanted, monitor: Monitor
) -> Entry:
    """Write, try and describe all files in a folder that is there."""
    monitor.message(f"Reading {checkpoint}")
    parts = open_parts(checkpoint)
    network = TorchNetwork(parts, torch.device("cpu"))
    name = parts.architecture.title
    if parts.family not in _FAMILIES:
        raise ModelError(
            f"{checkpoint} is of {name}, which Furrow runs with torch only; use it as it is, or "
            "choose a checkpoint of Segment Anything, MobileSAM or Segment Anything 2."
        )
    monitor.message(f"{name}, {network.parameters / 1e6:.1f} million weights; trying it with torch")
    _check_room(folder, network.parameters)
    image, prompts = example()
    shape = image.shape[:2]
    features = {key: torch.from_numpy(values) for key, values in network.encode(image).items()}
    expected = network_answers(parts, list(features.values()), shape, prompts)
    graphs = _graphs(parts, features)
    pair = _write_pair(graphs, folder / model_id, _said(parts), wanted.precision, monitor)
    monitor.message("Trying the files with onnxruntime")
    found = file_answers(*pair, parts, image, prompts)
    near = agreement(expected, found, parts.frame, shape)
    told = near.told(wanted.precision)
    monitor.message(f"Compared with torch, {told}")
    if not (near.suffices(wanted.precision) or wanted.force):
        raise ModelError(
            f"The files do not answer as {checkpoint} does: {told}; choose another precision, or "
            "keep them nevertheless with --force."
        )
    return _described(folder, model_id, _title(wanted, name), network.parameters)


def _write_pair(
    graphs: Sequence[Traced],
    start: Path,
    said: Mapping[str, str],
    precision: Precision,
    monitor: Monitor,
) -> Tuple[Path, ...]:
    """Encoder and decoder; only the encoder, which is far larger, may have whole numbers.

    :param start: how the paths of the files begin.
    """
    small = Precision.FLOAT32 if precision is Precision.INT8 else precision
    paths = []
    for role, graph, stored in zip(ENGINES[_ENGINE], graphs, (precision, small)):
        path = start.with_name(f"{start.name}-{role}{ONNX_SUFFIX}")
        monitor.message(f"Writing the {role}, {stored.value}")
        write(graph, path, stored, {**said, "furrow.precision": stored.value})
        size = sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))
        monitor.message(f"{path.name}: {size / _MEGABYTE:.1f} MB")
        paths.append(path)
    return tuple(paths)


def _graphs(parts: Parts, features: Mapping[str, Tensor]) -> Tuple[Traced, Traced]:
    """Encoder and decoder, as the engine for ONNX files knows them.

    :param features: of any image, by name.
    """
    side = parts.frame.side
    square = torch.zeros(1, 3, side, side)
    encoder = Traced(parts.encoder, {IMAGE: square}, tuple(features), {})
    # As many prompts as points would be taken for the same number.
    given = {POINTS: torch.rand(2, 3, 2) * side, LABELS: torch.ones(2, 3), **features}
    rows, columns = features[f"{FEATURE}0"].shape[-2:]
    free = {POINTS: {0: "n", 1: "k"}, LABELS: {0: "n", 1: "k"}, LOGITS: {0: "n"}, SCORES: {0: "n"}}
    return encoder, Traced(_Decoder(parts, (rows, columns)), given, (LOGITS, SCORES), free)


def _said(parts: Parts) -> Dict[str, str]:
    """What the files say of themselves; :mod:`.onnx_conventions` reads it."""
    frame = parts.frame
    return {
        FAMILY: parts.family,
        "furrow.side": str(frame.side),
        "furrow.fit": frame.fit.value,
        "furrow.mean": ",".join(map(repr, frame.mean)),
        "furrow.std": ",".join(map(repr, frame.std)),
    }


def _title(wanted: Wanted, name: str) -> str:
    own = " ".join(wanted.title.split())
    if own or wanted.precision is Precision.FLOAT32:
        return own or name
    return f"{name} ({wanted.precision.value})"


def _described(folder: Path, model_id: str, title: str, parameters: int) -> Entry:
    """Write entry.json for the files in a folder.

    :raises ModelError: they are no pair that Furrow runs.
    """
    engine, files = own_files([folder])
    described = [
        ModelFile(role, path.name, "", path.stat().st_size, file_hash(path)) for role, path in files
    ]
    entry = replace(own_entry(model_id, title, engine, described), parameters=parameters)
    write_entry(entry, folder)
    return entry


def _check_folder(folder: Path, replaced: bool) -> None:
    """:raises ModelError: it cannot be that of a new model, or is in use."""
    _check_name(folder)
    if not folder.exists():
        return
    if not replaced:
        raise ModelError(
            f"{folder} exists already; choose another folder, or replace the export in it with "
            "--replace."
        )
    others = _others(folder)
    if others:
        raise ModelError(
            f"{folder} holds {others[0]}, which is not of an export, and is not replaced; choose "
            "another folder."
        )


def _check_name(folder: Path) -> None:
    """:raises ModelError: the name of the folder cannot be the id of a model of the user's."""
    name = folder.name
    files = [ModelFile(role, role, "", 0, "") for role in ENGINES[_ENGINE]]
    try:
        entry_from(json_of(own_entry(name, name, _ENGINE, files)), own=True)
        wrong = name in {entry.id for entry in read_catalogue()}
    except ModelError:
        wrong = True
    if wrong:
        raise ModelError(
            f"The folder's name becomes the id of the model and cannot be '{name}'; call it "
            f"'{own_id(name, ())}', for example."
        )


def _others(folder: Path) -> List[str]:
    """What is in a folder and not of an export; the folder itself where it is none."""
    if not folder.is_dir():
        return [folder.name]
    ends = (ONNX_SUFFIX, f"{ONNX_SUFFIX}.{DATA}")
    return sorted(
        path.name
        for path in folder.iterdir()
        if not (path.is_file() and (path.name == ENTRY_FILE or path.name.endswith(ends)))
    )


def _check_room(folder: Path, parameters: int) -> None:
    """:raises ModelError: the disk is too full."""
    needed = _BYTES_A_WEIGHT * parameters + _BYTES_BESIDES
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModelError(
            f"The export takes {needed / _MEGABYTE:.0f} MB at times, but {free / _MEGABYTE:.0f} MB "
            f"are free in {folder.parent}; make room or choose another folder."
        )


def _put(temporary: Path, folder: Path) -> None:
    """Move a folder to its place; what is there already goes only when that has succeeded."""
    before = folder.with_name(f".{uuid.uuid4().hex}.tmp")
    replaced = folder.exists()
    if replaced:
        folder.replace(before)
    try:
        temporary.replace(folder)
    except OSError:
        if replaced:
            before.replace(folder)
        raise
    if replaced:
        shutil.rmtree(before, ignore_errors=True)
