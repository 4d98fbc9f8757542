"""What models and the worker log goes to QGIS' log of messages, under the tab Furrow."""

from __future__ import annotations

import logging

from qgis.core import Qgis, QgsApplication

LOGGER = "furrow"
"""Name of the logger above all that Furrow's modules use."""
_TAB = "Furrow"


class MessageLogHandler(logging.Handler):
    """Hands records of :mod:`logging` on to QGIS; may be called from any thread."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record."""
        QgsApplication.messageLog().logMessage(self.format(record), _TAB, _level(record.levelno))


def start_logging() -> MessageLogHandler:
    """Send records of level INFO and above to QGIS from now on.

    :return: to be given to :func:`stop_logging`.
    """
    handler = MessageLogHandler(logging.INFO)
    logger = logging.getLogger(LOGGER)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return handler


def stop_logging(handler: MessageLogHandler) -> None:
    """Leave logging as it was."""
    logger = logging.getLogger(LOGGER)
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def _level(number: int) -> Qgis.MessageLevel:
    if number >= logging.ERROR:
        return Qgis.MessageLevel.Critical
    return Qgis.MessageLevel.Warning if number >= logging.WARNING else Qgis.MessageLevel.Info
