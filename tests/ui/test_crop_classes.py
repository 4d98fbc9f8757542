"""The crop classes, their table and their place in the project."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Iterator, List

import pytest
from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsFillSymbol,
    QgsProject,
    QgsRendererCategory,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtTest import QSignalSpy, QTest
from qgis.PyQt.QtWidgets import QApplication, QLineEdit

from furrow.core.errors import ParameterError
from furrow.core.palette import PALETTE
from furrow.ui.class_table import CODE, COLOUR, FIELDS, HECTARES, KEY, NAME, ClassTable
from furrow.ui.crop_classes import CropClass, CropClasses

pytestmark = pytest.mark.usefixtures("qgis_app")


@pytest.fixture
def classes() -> CropClasses:
    return CropClasses()


@pytest.fixture
def table(classes: CropClasses) -> Iterator[ClassTable]:
    classes.add("wheat", 11)
    classes.add("maize", 12)
    table = ClassTable(classes)
    table.resize(400, 200)
    table.show()
    yield table
    table.close()


def names(classes: CropClasses) -> List[str]:
    return [each.name for each in classes.all()]


def layer_of(categories: List[QgsRendererCategory]) -> QgsVectorLayer:
    layer = QgsVectorLayer("Polygon?field=crop:string", "crops", "memory")
    layer.setRenderer(QgsCategorizedSymbolRenderer("crop", categories))
    return layer


def category(value: Any, label: str, colour: str) -> QgsRendererCategory:
    return QgsRendererCategory(value, QgsFillSymbol.createSimple({"color": colour}), label)


def test_a_new_project_has_one_class(classes: CropClasses) -> None:
    assert classes.all() == [CropClass("field", None, PALETTE[0], 1)]


def test_added_classes_get_what_is_free(classes: CropClasses) -> None:
    spy = QSignalSpy(classes.changed)
    added = [classes.add() for _ in range(9)]
    assert len({each.name for each in classes.all()}) == 10
    assert [each.shortcut for each in added] == [2, 3, 4, 5, 6, 7, 8, 9, None]
    assert [each.colour for each in added[:7]] == list(PALETTE[1:])
    assert len(spy) == 9


def test_a_gap_in_the_keys_is_filled(classes: CropClasses) -> None:
    first, second = classes.all()[0], classes.add("b")
    classes.add("c")
    classes.remove(second)
    assert classes.add("d").shortcut == 2
    assert classes.by_shortcut(1) == first
    assert classes.by_shortcut(9) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "  "}, "needs a name"),
        ({"name": "wheat"}, "already"),
        ({"code": 1.5}, "whole number"),
        ({"code": 2**70}, "whole number"),
        ({"colour": "red"}, "#0072b2"),
        ({"shortcut": 0}, "1 to 9"),
    ],
)
def test_what_cannot_be_is_refused(classes: CropClasses, change: dict, said: str) -> None:
    classes.add("wheat")
    before, spy = classes.all(), QSignalSpy(classes.changed)
    with pytest.raises(ParameterError, match=said):
        classes.replace(before[0], replace(before[0], **change))
    assert classes.all() == before
    assert len(spy) == 0


def test_replacing(classes: CropClasses) -> None:
    field, wheat = classes.all()[0], classes.add("wheat")
    new = classes.replace(field, CropClass("  winter\n barley ", 7, "#AABBCC", 2))
    assert new == CropClass("winter barley", 7, "#aabbcc", 2)
    assert classes.all() == [new, replace(wheat, shortcut=None)], "a key has one class"
    with pytest.raises(ParameterError, match="no class field"):
        classes.replace(field, new)


def test_the_last_class_stays(classes: CropClasses) -> None:
    with pytest.raises(ParameterError, match="last class"):
        classes.remove(classes.all()[0])


def test_moving(classes: CropClasses) -> None:
    classes.add("a")
    classes.add("b")
    spy = QSignalSpy(classes.changed)
    classes.move(classes.by_name("b"), -1)
    assert names(classes) == ["field", "b", "a"]
    classes.move(classes.by_name("b"), 5)
    assert names(classes) == ["field", "a", "b"]
    classes.move(classes.by_name("b"), 1)
    assert len(spy) == 2, "at the end nothing changes"


def test_import_of_categories(classes: CropClasses) -> None:
    classes.add("wheat", 5)
    layer = layer_of(
        [
            category("wheat", "Wheat!", "#ff0000"),
            category(30, "Maize", "#00ff00"),
            category(31.0, "", "#0000ff"),
            category("", "all others", "#777777"),
            category(None, "no value", "#777777"),
        ]
    )
    spy = QSignalSpy(classes.changed)
    assert classes.import_from(layer) == 3
    assert len(spy) == 1
    assert [(e.name, e.code, e.colour) for e in classes.all()[1:]] == [
        ("wheat", 5, "#ff0000"),
        ("Maize", 30, "#00ff00"),
        ("31", 31, "#0000ff"),
    ]


def test_import_needs_categories(classes: CropClasses) -> None:
    layer = QgsVectorLayer("Polygon", "plain", "memory")
    with pytest.raises(ParameterError, match="plain has no categories"):
        classes.import_from(layer)


def test_the_project_keeps_them(classes: CropClasses) -> None:
    project = QgsProject()
    classes.add("Weizen/blé «1»", -3, "#123456")
    classes.add("no code")
    classes.save(project)
    other = CropClasses()
    spy = QSignalSpy(other.changed)
    other.load(project)
    assert other.all() == classes.all()
    assert len(spy) == 1
    other.load(QgsProject())
    assert names(other) == ["field"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100000, "[]", "7", "null", '{"name": "a"}', '[1, null, {}, {"name": 5}]'],
)
def test_a_strange_project_gives_the_first_class(classes: CropClasses, text: str) -> None:
    project = QgsProject()
    project.writeEntry("furrow", "classes", text)
    classes.load(project)
    assert names(classes) == ["field"]


def test_strange_values_of_an_entry_are_left_out(classes: CropClasses) -> None:
    entries = [
        {"name": "a", "code": "x", "colour": "url(x)", "shortcut": 1},
        {"name": "b", "code": True, "colour": "#FFFFFF", "shortcut": 1},
        {"name": "c", "code": 1e300, "colour": None, "shortcut": 99, "more": [1]},
        {"name": " a "},
        {"name": ["x"]},
    ]
    project = QgsProject()
    project.writeEntry("furrow", "classes", json.dumps(entries))
    classes.load(project)
    assert classes.all() == [
        CropClass("a", None, PALETTE[0], 1),
        CropClass("b", None, "#ffffff", None),
        CropClass("c", None, PALETTE[1], None),
    ]


def edit(table: ClassTable, row: int, column: int, text: str) -> None:
    """Type into a cell as a user does."""
    index = table.model().index(row, column)
    table.setCurrentIndex(index)
    QTest.keyClick(table, Qt.Key.Key_F2)
    editor = next(each for each in table.findChildren(QLineEdit) if each.isVisible())
    editor.selectAll()
    QTest.keyClicks(editor, text)
    QTest.keyClick(editor, Qt.Key.Key_Return)
    QApplication.processEvents()  # Qt takes the text over when the key has been worked off


def shown(table: ClassTable, row: int, column: int) -> str:
    return table.model().index(row, column).data()


def test_the_table_shows_the_classes(table: ClassTable) -> None:
    assert [shown(table, 1, column) for column in (KEY, NAME, CODE)] == ["2", "wheat", "11"]
    assert table.model().index(1, COLOUR).data(Qt.ItemDataRole.DecorationRole) == QColor(PALETTE[1])
    assert table.current().name == "field"


def test_editing_in_the_table(table: ClassTable) -> None:
    told = QSignalSpy(table.class_changed)
    edit(table, 1, NAME, "barley")
    assert [each[0].name for each in told] == ["wheat", "barley"]
    edit(table, 1, CODE, " 21 ")
    edit(table, 1, KEY, "9")
    assert table.current() == CropClass("barley", 21, PALETTE[1], 9)
    edit(table, 1, CODE, " ")
    assert table.current().code is None
    assert [each.name for each in table.classes.all()] == ["field", "barley", "maize"]


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [(NAME, "maize", "already"), (CODE, "x", "whole number"), (KEY, "10", "1 to 9")],
)
def test_an_edit_that_cannot_be(table: ClassTable, column: int, text: str, said: str) -> None:
    refused, before = QSignalSpy(table.refused), table.classes.all()
    edit(table, 1, column, text)
    assert len(refused) == 1
    assert said in refused[0][0]
    assert table.classes.all() == before


def test_enter_on_the_colour_asks_for_another(table: ClassTable) -> None:
    asked = []
    table.ask_colour = lambda old: asked.append(old.name()) or QColor("#010203")
    told = QSignalSpy(table.class_changed)
    table.setCurrentIndex(table.model().index(0, COLOUR))
    QTest.keyClick(table, Qt.Key.Key_Return)
    assert asked == [PALETTE[0]]
    assert table.classes.all()[0].colour == "#010203"
    assert [each[0].colour for each in told] == ["#010203"]
    table.ask_colour = lambda old: QColor()
    QTest.keyClick(table, Qt.Key.Key_Return)
    assert len(told) == 1, "an ended dialog changes nothing"


def test_the_current_class_follows_the_list(table: ClassTable) -> None:
    table.choose("maize")
    told = QSignalSpy(table.class_changed)
    table.classes.move(table.current(), -2)
    assert table.current().name == "maize"
    assert table.currentIndex().row() == 0
    assert len(told) == 0
    table.classes.remove(table.current())
    assert table.current().name == "field"
    assert [each[0].name for each in told] == ["field"]
    table.classes.load(QgsProject())
    assert table.current() == CropClasses().all()[0]
    assert len(told) == 1


def test_totals(table: ClassTable) -> None:
    table.set_totals({"wheat": (3, 4.26), "gone": (1, 1.0)})
    assert [shown(table, 1, column) for column in (FIELDS, HECTARES)] == ["3", "4.3"]
    assert shown(table, 0, FIELDS) == ""
    tip = table.model().index(1, NAME).data(Qt.ItemDataRole.ToolTipRole)
    assert "wheat" in tip and "4.3" in tip


def test_a_narrow_table_keeps_room_for_the_name(table: ClassTable) -> None:
    assert not table.isColumnHidden(FIELDS)
    table.resize(270, 200)
    letters = table.columnWidth(NAME) / table.fontMetrics().averageCharWidth()
    assert letters > 6
    table.resize(180, 200)
    assert table.isColumnHidden(FIELDS)
