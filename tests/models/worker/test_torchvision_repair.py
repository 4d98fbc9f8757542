"""torchvision imports beside a torch without CUDA; each case in a fresh Python."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="the worker needs torch: make test")

from furrow.models.worker.torchvision_repair import suppressed  # noqa: E402

START = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location(
    "furrow", {init!r}, submodule_search_locations=[{root!r}])
sys.modules["furrow"] = importlib.util.module_from_spec(spec)
from furrow.models.worker import torchvision_repair
"""
BROKEN = """
import types
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
class Broken(MetaPathFinder, Loader):
    failure = None
    def find_spec(self, name, path, target=None):
        return ModuleSpec(name, self) if name == "torchvision" else None
    def create_module(self, spec):
        return types.ModuleType(spec.name)
    def exec_module(self, module):
        raise self.failure
sys.meta_path.insert(0, Broken())
for Broken.failure in (RuntimeError("other"), ImportError("operator torchvision::nms")):
    try:
        torchvision_repair.repair()
    except type(Broken.failure) as raised:
        assert raised is Broken.failure
    else:
        raise SystemExit("a failure was hidden")
Broken.find_spec = lambda *_: None
sys.modules.pop("torchvision", None)
sys.meta_path[:] = sys.meta_path[:1]
print(torchvision_repair.repair())
"""


def child(root, code: str) -> subprocess.CompletedProcess:
    start = START.format(init=str(root / "__init__.py"), root=str(root))
    return subprocess.run(
        [sys.executable, "-c", start + code], capture_output=True, text=True, timeout=120
    )


@pytest.mark.skipif(
    importlib.util.find_spec("segment_anything") is None, reason="it is not installed: make test"
)
def test_segment_anything_imports_after_it(root) -> None:
    done = child(root, """
torchvision_repair.repair()
assert not torchvision_repair.repair(), "nothing is left to mend"
import torch, torchvision
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from torchvision.transforms.functional import resize, to_pil_image
boxes = torch.tensor([[0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30.0]])
print(torchvision.ops.nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5).tolist())
""")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[1, 2]"


def test_other_failures_are_not_hidden_and_nothing_happens_without_torchvision(root) -> None:
    done = child(root, BROKEN)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


def test_boxes_that_overlap_a_better_one_are_dropped() -> None:
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 5], [50, 50, 60, 60.0]])
    scores = torch.tensor([0.8, 0.9, 0.7, 0.1])
    assert suppressed(boxes, scores, 0.6).tolist() == [1, 2, 3]
    assert suppressed(boxes, scores, 0.99).tolist() == [1, 0, 2, 3]
    assert suppressed(boxes[:0], scores[:0], 0.5).tolist() == []
