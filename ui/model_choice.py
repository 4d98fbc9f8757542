"""A segmentation model as the user chooses it."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.downloads import in_words
from ..qgis_io.texts import tr


@dataclass(frozen=True)
class ModelChoice:
    """What the dock shows of a model."""

    id: str
    """As the registry calls it."""
    title: str
    """What the user reads."""
    licence: str
    """Of its weights, and where it comes from."""
    bytes: int
    """Of its files; 0 where it has none."""
    ready: bool
    """Whether it can run here."""
    advice: str
    """What to do where it cannot."""

    @property
    def label(self) -> str:
        """The title, and whether the model can run."""
        return self.title if self.ready else tr("{} (not ready)").format(self.title)

    @property
    def facts(self) -> str:
        """Licence and size on one line."""
        if not self.bytes:
            return self.licence
        return tr("{licence}; {size}").format(licence=self.licence, size=in_words(self.bytes))
