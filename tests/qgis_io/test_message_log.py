"""Records of Python's logging in QGIS' log of messages."""

from __future__ import annotations

import logging

import pytest
from qgis.core import Qgis, QgsApplication

from furrow.qgis_io.message_log import start_logging, stop_logging

pytestmark = pytest.mark.usefixtures("qgis_app")


@pytest.fixture
def shown():
    messages = []

    def keep(text, tab, level):
        messages.append((text, tab, level))

    log = QgsApplication.messageLog()
    log.messageReceived.connect(keep)
    yield messages
    log.messageReceived.disconnect(keep)


def test_records_are_shown_under_furrow(shown):
    handler = start_logging()
    try:
        logging.getLogger("furrow.worker").warning("The worker %s.", "ended")
        logging.getLogger("furrow.worker").info("It starts again.")
        logging.getLogger("furrow").debug("Not shown.")
        logging.getLogger("other").error("Not Furrow's.")
    finally:
        stop_logging(handler)
    assert shown == [
        ("The worker ended.", "Furrow", Qgis.MessageLevel.Warning),
        ("It starts again.", "Furrow", Qgis.MessageLevel.Info),
    ]


def test_nothing_is_shown_after_the_end(shown):
    stop_logging(start_logging())
    logging.getLogger("furrow.worker").error("Too late.")
    assert not shown
    assert not logging.getLogger("furrow").handlers
