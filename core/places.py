"""Where Furrow keeps what it needs on this computer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """Folders of Furrow on this computer; none need exist."""

    models: Path
    """Model files: <models>/<model id>/<file name>; beside them entry.json for the user's own."""
    packages: Path
    """Python packages of Furrow's own, onnxruntime above all; goes to the end of sys.path."""
    environment: Path
    """Virtual environment in which the worker runs torch."""
    embeddings: Path
    """Encoded windows of images."""

    @classmethod
    def under(cls, folder: Path) -> Places:
        """All of them in one folder, each under its own name."""
        return cls(
            folder / "models", folder / "packages", folder / "environment", folder / "embeddings"
        )
