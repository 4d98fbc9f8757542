"""A Processing feedback as the core's Monitor."""

from __future__ import annotations

from qgis.core import QgsProcessingFeedback

from ..core.monitor import Monitor


def monitor_of(feedback: QgsProcessingFeedback) -> Monitor:
    """Progress in percent, cancelling and log lines through a feedback."""
    return Monitor(
        cancelled=feedback.isCanceled,
        progress=lambda share: feedback.setProgress(100 * share),
        message=feedback.pushInfo,
    )
