"""What is asked of a training, and what it answers; known without torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Dict

from .sizes import RESNET50

CHANCES, RESULT, WEIGHTS_FILE = "chances.npy", "result.json", "network.safetensors"
"""Files that it writes, beside the network."""
SHARE, SAID, FAILED = "share", "said", "failed"
"""Keys of the lines that it writes."""


@dataclass(frozen=True)
class TrainingOrder:
    """How a network is to be trained."""

    classes: int
    side: int = 128
    """Of the crops in pixels."""
    network: str = RESNET50
    """A name of SIZES."""
    epochs: int = 30
    batch: int = 32
    rate: float = 5e-4
    seed: int = 0
    threads: int = 0
    """0: as many as torch takes."""
    weights: str = ""
    """A file to begin with."""

    def as_text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> TrainingOrder:
        """From JSON."""
        return cls(**json.loads(text))


def line(**said: Any) -> str:
    """A line of a training."""
    return json.dumps(said, ensure_ascii=True)


def read_line(text: str) -> Dict[str, Any]:
    """What a line says; nothing where a library wrote it."""
    if not text.startswith("{"):
        return {}
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
