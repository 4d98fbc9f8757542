"""Texts that users see."""

from __future__ import annotations

from qgis.PyQt.QtCore import QCoreApplication


def tr(text: str) -> str:
    """Translate a text into the language of QGIS; the text itself where there is no translation."""
    return QCoreApplication.translate("Furrow", text)
