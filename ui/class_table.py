"""The table of crop classes: one row a class, edited in place, with what was labelled of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Optional, Tuple

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsMapLayer,
    QgsProject,
    QgsVectorLayer,
)
from qgis.gui import QgsColorDialog
from qgis.PyQt.QtCore import QAbstractTableModel, QModelIndex, QSize, Qt, pyqtSignal
from qgis.PyQt.QtGui import QColor, QResizeEvent
from qgis.PyQt.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QMenu,
    QTableView,
    QToolButton,
    QWidget,
)

from ..core.errors import ParameterError
from ..qgis_io.texts import tr
from .crop_classes import CropClass, CropClasses

COLOUR, KEY, NAME, CODE, FIELDS, HECTARES = range(6)
_EDITED = (KEY, NAME, CODE)
_WIDEST = {KEY: "8", CODE: "8888", FIELDS: "888", HECTARES: "8888.8"}
"""A text that the column must hold; the name gets what is left."""
_SWATCH = 14
_FEWEST_LETTERS = 9

Role = Qt.ItemDataRole
Totals = Dict[str, Tuple[int, float]]
"""Class name to the number of its fields and their area in hectares."""


class ClassModel(QAbstractTableModel):
    """The classes as rows."""

    refused = pyqtSignal(str)
    """One sentence on why an edit was not taken."""

    def __init__(self, classes: CropClasses, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self._classes = classes
        self._rows = classes.all()
        self._totals: Totals = {}
        classes.changed.connect(self._reload)

    def class_at(self, row: int) -> Optional[CropClass]:
        """The class in a row, None outside the table."""
        return self._rows[row] if 0 <= row < len(self._rows) else None

    def row_of(self, name: str) -> int:
        """The row of a class, -1 where there is none of that name."""
        names = [each.name for each in self._rows]
        return names.index(name) if name in names else -1

    def set_totals(self, totals: Totals) -> None:
        """Show how much was labelled of each class."""
        self._totals = dict(totals)
        last = max(0, len(self._rows) - 1)
        self.dataChanged.emit(self.index(0, FIELDS), self.index(last, HECTARES))

    def rowCount(self, parent: Optional[QModelIndex] = None) -> int:
        """How many classes."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: Optional[QModelIndex] = None) -> int:
        """Always six."""
        return 0 if parent is not None and parent.isValid() else len(_headers())

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole
    ) -> Any:
        """Short titles, explained by tooltips."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(_headers()):
            return None
        title, tip = _headers()[section]
        return {Role.DisplayRole: title, Role.ToolTipRole: tip}.get(role)

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Name, code and key are edited in place."""
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() in _EDITED else flags

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """What a cell shows."""
        each = self.class_at(index.row())
        if each is None:
            return None
        column = index.column()
        if role == Role.DecorationRole and column == COLOUR:
            return QColor(each.colour)
        if role in (Role.DisplayRole, Role.EditRole):
            return self._text(each, column)
        if role == Role.ToolTipRole:
            return self._tip(each, column)
        if role == Role.AccessibleTextRole and column == COLOUR:
            return each.colour
        if role == Role.TextAlignmentRole and column in (CODE, FIELDS, HECTARES):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = Role.EditRole) -> bool:
        """Take an edit, or refuse it with a sentence."""
        each = self.class_at(index.row())
        if each is None or role != Role.EditRole:
            return False
        try:
            self._classes.replace(each, _edited(each, index.column(), str(value)))
        except ParameterError as error:
            self.refused.emit(str(error))
            return False
        return True

    def _text(self, each: CropClass, column: int) -> Optional[str]:
        fields, hectares = self._totals.get(each.name, (0, 0.0))
        return {
            KEY: "" if each.shortcut is None else str(each.shortcut),
            NAME: each.name,
            CODE: "" if each.code is None else str(each.code),
            FIELDS: str(fields) if fields else "",
            HECTARES: f"{hectares:.1f}" if fields else "",
        }.get(column)

    def _tip(self, each: CropClass, column: int) -> str:
        """The whole name, which the narrow column may cut, and its totals."""
        if column != NAME:
            return _headers()[column][1]
        fields, hectares = self._totals.get(each.name, (0, 0.0))
        return tr("{name}: {fields} field(s), {hectares:.1f} ha").format(
            name=each.name, fields=fields, hectares=hectares
        )

    def _reload(self) -> None:
        rows = self._classes.all()
        if len(rows) == len(self._rows):
            # No reset: the cell that was edited is still open for typing.
            self._rows = rows
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, HECTARES))
            return
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()


class ClassTable(QTableView):
    """The table; its current row is the current class."""

    class_changed = pyqtSignal(object)
    """The current class is another one, or has other values."""
    refused = pyqtSignal(str)
    """One sentence on why an edit was not taken."""

    def __init__(self, classes: CropClasses, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.classes = classes
        """What the table shows."""
        self._model = ClassModel(classes, self)
        self._told = classes.all()[0]
        self._row = 0
        self._quiet = False
        self.ask_colour: Callable[[QColor], QColor] = self._ask_colour
        """How a colour is chosen: given the old one, returns the new one."""
        self.setModel(self._model)
        self._prepare()
        self._model.refused.connect(self.refused)
        # After the model's own slot, which was connected first.
        classes.changed.connect(self._restore_row)
        self.selectionModel().currentRowChanged.connect(self._on_row)
        self.activated.connect(self._on_activated)
        self.choose(self._told.name)

    def current(self) -> Optional[CropClass]:
        """The class in the current row."""
        return self._model.class_at(self.currentIndex().row())

    def choose(self, name: str, tell: bool = False) -> None:
        """Make a class the current one; an unknown name changes nothing.

        :param tell: whether `class_changed` is emitted.
        """
        row = self._model.row_of(name)
        if row < 0:
            return
        self._quiet = not tell
        self._go_to(row)
        self._quiet = False

    def set_totals(self, totals: Totals) -> None:
        """Show the number of fields and the hectares of each class."""
        self._model.set_totals(totals)

    def edit_name(self) -> None:
        """Open the name of the current class for typing."""
        self.edit(self._model.index(self.currentIndex().row(), NAME))

    def sizeHint(self) -> QSize:
        """Narrow, and high enough for four classes."""
        rows = 4 * self.verticalHeader().defaultSectionSize()
        height = rows + self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth()
        return QSize(240, height)

    def minimumSizeHint(self) -> QSize:
        """The columns beside the name and a few letters of it, and two classes."""
        return QSize(200, self.sizeHint().height() - 2 * self.verticalHeader().defaultSectionSize())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give up the number of fields where the name has no room; its tooltip tells it too."""
        super().resizeEvent(event)
        others = [column for column in range(self._model.columnCount()) if column != NAME]
        room = self.viewport().width() - sum(self._widths[column] for column in others)
        self.setColumnHidden(FIELDS, room < _FEWEST_LETTERS * self.fontMetrics().averageCharWidth())

    def _prepare(self) -> None:
        self.setObjectName("class_table")
        self.setAccessibleName(tr("Classes"))
        self.setShowGrid(False)
        self.setWordWrap(False)
        # Tab leaves the table; the arrow keys move inside.
        self.setTabKeyNavigation(False)
        self.setIconSize(QSize(_SWATCH, _SWATCH))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        rows = self.verticalHeader()
        rows.hide()
        rows.setMinimumSectionSize(_SWATCH + 4)
        rows.setDefaultSectionSize(self.fontMetrics().height() + 6)
        self._prepare_columns()

    def _prepare_columns(self) -> None:
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(_SWATCH)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self._widths = {COLOUR: _SWATCH + 10}
        for column, text in _WIDEST.items():
            title = self._model.headerData(column, Qt.Orientation.Horizontal)
            wide = max(self.fontMetrics().horizontalAdvance(each) for each in (text, title))
            self._widths[column] = wide + 10
        for column, wide in self._widths.items():
            self.setColumnWidth(column, wide)

    def _restore_row(self) -> None:
        """The same class after the list has changed, or what is in its place now."""
        row = self._model.row_of(self._told.name)
        last = self._model.rowCount() - 1
        self._go_to(row if row >= 0 else min(self._row, last))

    def _go_to(self, row: int) -> None:
        column = self.currentIndex().column()
        self.setCurrentIndex(self._model.index(row, column if column >= 0 else NAME))
        # Qt tells nothing where the row is the same, but its class may be another.
        self._on_row()

    def _on_row(self) -> None:
        each = self.current()
        if each is None:
            return
        self._row = self.currentIndex().row()
        changed = each != self._told
        self._told = each
        if changed and not self._quiet:
            self.class_changed.emit(each)

    def _on_activated(self, index: QModelIndex) -> None:
        each = self._model.class_at(index.row())
        if each is None or index.column() != COLOUR:
            return
        colour = self.ask_colour(QColor(each.colour))
        if colour.isValid() and colour.name() != each.colour:
            self.classes.replace(each, replace(each, colour=colour.name()))

    def _ask_colour(self, old: QColor) -> QColor:
        return QgsColorDialog.getColor(old, self, tr("Colour of the class"))


@dataclass(frozen=True)
class ClassButtons:
    """What stands under the table."""

    add: QToolButton
    remove: QToolButton
    up: QToolButton
    down: QToolButton
    import_: QToolButton
    """Gets a menu of the layers that have categories."""


def connect_buttons(buttons: ClassButtons, table: ClassTable) -> None:
    """Let the buttons edit the classes of the table."""
    classes = table.classes
    buttons.add.clicked.connect(lambda: _add(table))
    buttons.remove.clicked.connect(lambda: classes.remove(table.current()))
    buttons.up.clicked.connect(lambda: classes.move(table.current(), -1))
    buttons.down.clicked.connect(lambda: classes.move(table.current(), 1))
    menu = QMenu(buttons.import_)
    menu.aboutToShow.connect(lambda: _fill(menu, classes))
    buttons.import_.setMenu(menu)
    buttons.import_.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)

    def enable() -> None:
        row, last = table.currentIndex().row(), len(classes.all()) - 1
        buttons.remove.setEnabled(last > 0)
        buttons.up.setEnabled(row > 0)
        buttons.down.setEnabled(row < last)

    classes.changed.connect(enable)
    table.selectionModel().currentRowChanged.connect(enable)
    enable()


def _add(table: ClassTable) -> None:
    new = table.classes.add()
    table.choose(new.name, tell=True)
    table.edit_name()


def _fill(menu: QMenu, classes: CropClasses) -> None:
    """The layers with categories, by name."""
    menu.clear()
    layers = [each for each in QgsProject.instance().mapLayers().values() if _is_styled(each)]
    for layer in sorted(layers, key=lambda each: each.name().lower()):
        action = menu.addAction(layer.name().replace("&", "&&"))
        action.triggered.connect(lambda _, layer=layer: classes.import_from(layer))
    if not layers:
        menu.addAction(tr("No layer is styled by category")).setEnabled(False)


def _is_styled(layer: QgsMapLayer) -> bool:
    vector = isinstance(layer, QgsVectorLayer)
    return vector and isinstance(layer.renderer(), QgsCategorizedSymbolRenderer)


def _headers() -> Tuple[Tuple[str, str], ...]:
    """Title and tooltip of each column."""
    return (
        ("", tr("Colour: double-click or press Enter to choose another")),
        (tr("Key"), tr("Key 1 to 9 that chooses the class while you click fields")),
        (tr("Name"), tr("Name, written into the class column; F2 edits it")),
        (tr("Code"), tr("Whole number, written into the code column; may be empty")),
        (tr("Fields"), tr("Fields of the class in the target layer")),
        (tr("ha"), tr("Their area in hectares")),
    )


def _edited(each: CropClass, column: int, text: str) -> CropClass:
    """The class with one value typed anew.

    :raises ParameterError: the text is no whole number where one is needed.
    """
    if column == NAME:
        return replace(each, name=text)
    number = _number(text.strip())
    return replace(each, code=number) if column == CODE else replace(each, shortcut=number)


def _number(text: str) -> Optional[int]:
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise ParameterError(
            tr("'{text}' is no whole number; type one or leave the cell empty.").format(text=text)
        ) from None
