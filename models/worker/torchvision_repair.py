"""Make torchvision importable beside a torch that it was not built for.

PyPI's torchvision brings operators for torch with CUDA. Beside torch without CUDA they do not load,
and the import ends with "operator torchvision::nms does not exist". Segment Anything needs only
the resizing of pictures, which is Python; so the operators that the import asks for are made here.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import lru_cache
from typing import List

import torch
from torch import Tensor

PACKAGE = "torchvision"
_MISSING = f"operator {PACKAGE}::"
_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("nms", "qnms")
"""Those that torchvision describes when it is imported."""


def repair() -> bool:
    """Import torchvision, and mend it where it does not find its operators.

    Where torchvision is not installed, nothing happens. A second call costs nothing.

    :return: whether it was mended by this call.
    :raises RuntimeError: it fails in another way.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        return False
    try:
        importlib.import_module(PACKAGE)
        return False
    except RuntimeError as failure:
        if _MISSING not in str(failure):
            raise
    _forget()
    _made_operators()
    mended = importlib.import_module(PACKAGE)
    # Else every use of its operators, and the import of some of its modules, would be refused.
    mended.extension._has_ops = lambda: True
    return True


def _forget() -> None:
    """Drop what the failed import left behind."""
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


@lru_cache(maxsize=1)
def _made_operators() -> torch.library.Library:
    """The operators; they live as long as the object that is returned, so it is kept."""
    library = torch.library.Library(PACKAGE, "FRAGMENT")
    for name in _OPERATORS:
        library.define(name + _SIGNATURE)
        library.impl(name, suppressed, "CompositeExplicitAutograd")
    return library


def suppressed(boxes: Tensor, scores: Tensor, overlap: float) -> Tensor:
    """Which boxes stay when those are dropped that overlap a better one.

    :param boxes: (n, 4) x minimum, y minimum, x maximum, y maximum.
    :param scores: (n,) the best box has the largest.
    :param overlap: IoU above which the worse of two boxes is dropped.
    :return: (k,) int64, positions in `boxes`, the best first.
    """
    boxes = boxes.float()
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    left = scores.argsort(descending=True, stable=True)
    kept: List[Tensor] = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        lower = torch.maximum(boxes[best, :2], boxes[left, :2])
        upper = torch.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = (upper - lower).clamp(min=0).prod(dim=1)
        left = left[shared <= overlap * (areas[best] + areas[left] - shared)]
    return torch.stack(kept) if kept else left
