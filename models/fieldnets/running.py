"""One training from its order to its files; runs in the worker's Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from ...core.errors import FurrowError
from ...core.fields.classification.model_folder import NETWORK
from ..worker import checkpoints
from .crops import TrainingCrops
from .export import export, save_weights
from .network import FieldNetwork, device_of
from .order import CHANCES, FAILED, RESULT, WEIGHTS_FILE, TrainingOrder, line
from .resnet import take_weights
from .trainer import Schedule, chances, train

_TRAINED = 0.95
"""Share of the work that the training is."""


def run(folder: Path, text: str) -> int:
    """Train on the crops in a folder and write the network beside them; 0: well."""
    try:
        _run(folder, TrainingOrder.from_text(text))
    except FurrowError as error:
        _say(failed=str(error))
        return 1
    except (RuntimeError, MemoryError, OSError) as error:
        _say(failed=_sentence(error))
        return 1
    return 0


def _sentence(error: BaseException) -> str:
    """What went wrong and what may help."""
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return (
            "FEATURES: the memory ran out while the network was trained; give a smaller BATCH or "
            "CROP_SIDE, or a smaller NETWORK."
        )
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return (
        f"FEATURES: training the network failed ({lines[0].rstrip('.')}); repair the environment "
        "under Models of Furrow > Packages or choose statistics."
    )


def _run(folder: Path, order: TrainingOrder) -> None:
    torch.manual_seed(order.seed)
    if order.threads:
        torch.set_num_threads(order.threads)
    crops = TrainingCrops.open(folder)
    network, device = FieldNetwork(order.network, order.classes), device_of()
    if order.weights:
        path = checkpoints.find(Path(order.weights))
        taken = take_weights(network.backbone, checkpoints.read(path), path.name)
        _say(said=f"{taken} weights taken from {path.name}")
    count = sum(p.numel() for p in network.parameters())
    _say(said=f"{order.network} with {count / 1e6:.1f} million weights on {device}")
    schedule = Schedule(order.epochs, order.batch, order.rate, order.seed)
    train(network, crops, schedule, device, lambda share, said: _say(_TRAINED * share, said))
    held = np.flatnonzero(crops.held)
    np.save(folder / CHANCES, chances(network, crops, held, device))
    different = export(network, folder / NETWORK, order.side)
    said = {"network": order.network, "classes": order.classes, "side": order.side}
    save_weights(network, folder / WEIGHTS_FILE, said)
    answer = {"torch": torch.__version__, "device": str(device), "weights": count,
              "difference": different}  # fmt: skip
    (folder / RESULT).write_text(json.dumps(answer), encoding="utf-8")
    _say(1.0, "done")


def _say(share: float = -1.0, said: str = "", failed: str = "") -> None:
    told = {"share": share, "said": said} if not failed else {FAILED: failed}
    print(line(**told), flush=True)
