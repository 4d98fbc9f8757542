"""Where Furrow keeps what it needs in the user's QGIS profile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Optional

from qgis.core import QgsApplication, QgsSettings

from ..core.places import Places

MODELS_SETTING = "furrow/models_folder"
EMBEDDINGS_SETTING = "furrow/cache_folder"


def profile_folder() -> Path:
    """Furrow's folder in the user's QGIS profile; it need not exist."""
    return Path(QgsApplication.qgisSettingsDirPath()) / "furrow"


def places() -> Places:
    """Furrow's folders: those of the settings where the user has chosen some, else the profile's.

    A folder of models may be shared by several users or stand on a disk with more room.
    """
    own = Places.under(profile_folder())
    return replace(
        own,
        models=_chosen(MODELS_SETTING) or own.models,
        embeddings=_chosen(EMBEDDINGS_SETTING) or own.embeddings,
    )


def _chosen(setting: str) -> Optional[Path]:
    value = QgsSettings().value(setting)
    return Path(value) if isinstance(value, str) and value.strip() else None
