import pytest
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QObject

from furrow.qgis_io.wrapped import Living


def named(name: str) -> QObject:
    made = QObject()
    made.setObjectName(name)
    return made


def test_what_pyqt_takes_for_deleted_is_found_again_and_used():
    shown = [named("first"), named("second")]
    asked = []
    living = Living(lambda: asked.append(1) or shown[len(asked) - 1])
    assert living(QObject.objectName) == "first"
    sip.delete(shown[0])
    assert living(lambda it: it.objectName() + "!") == "second!"
    assert living(QObject.objectName) == "second"
    assert len(asked) == 2


def test_other_errors_are_passed_on():
    def fail(shown: QObject) -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        Living(lambda: named("there"))(fail)


def test_what_cannot_be_found_again_is_told():
    only = named("gone")

    def find() -> QObject:
        if sip.isdeleted(only):
            raise LookupError("no such object")
        return only

    living = Living(find)
    sip.delete(only)
    with pytest.raises(LookupError):
        living(QObject.objectName)
