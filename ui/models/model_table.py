"""The list of models: a row each, filtered and sorted."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QAbstractTableModel, QModelIndex, QObject, QSortFilterProxyModel, Qt
from qgis.PyQt.QtGui import QFont

from ...core.downloads import in_words
from ...qgis_io.texts import tr
from .model_views import ModelView, State, licence_text, state_text, title_text

TITLE, STATE, SIZE, LICENCE, FAMILY = range(5)
_ICONS = {
    State.READY: "/mIconSuccess.svg",
    State.DAMAGED: "/mIconCritical.svg",
    State.PACKAGES: "/mIconWarning.svg",
}
_ORDER = list(State)
_SORT = Qt.ItemDataRole.UserRole


class ModelTable(QAbstractTableModel):
    """The models in the order of the registry."""

    def __init__(self, parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self.views: Tuple[ModelView, ...] = ()

    def show(self, views: Sequence[ModelView]) -> None:
        """Show these; rows stay rows where the models are the same as before."""
        if [view.id for view in views] == [view.id for view in self.views]:
            self.views = tuple(views)
            last = self.index(len(self.views) - 1, FAMILY)
            self.dataChanged.emit(self.index(0, 0), last)
            return
        self.beginResetModel()
        self.views = tuple(views)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008 - as in Qt
        """How many models there are."""
        return 0 if parent.isValid() else len(self.views)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008 - as in Qt
        """Title, state, size, licence, family."""
        return 0 if parent.isValid() else FAMILY + 1

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Names of the columns."""
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        names = (tr("Model"), tr("State"), tr("Size"), tr("Licence"), tr("Family"))
        return names[section]

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a cell shows."""
        view, column = self.views[index.row()], index.column()
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return _texts(view)[column]
        if role == _SORT:
            return _sort_keys(view)[column]
        if role == Qt.ItemDataRole.FontRole and view.default:
            font = QFont()
            font.setBold(True)
            return font
        if role == Qt.ItemDataRole.DecorationRole and column == STATE and view.state in _ICONS:
            return QgsApplication.getThemeIcon(_ICONS[view.state])
        if role == Qt.ItemDataRole.TextAlignmentRole and column == SIZE:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None


class ModelFilter(QSortFilterProxyModel):
    """The rows that the user wants to see."""

    def __init__(self, parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self._words: Tuple[str, ...] = ()
        self._ready_only = False
        self.setSortRole(_SORT)
        self.setSortCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)

    def look_for(self, text: str, ready_only: bool) -> None:
        """Show models in whose row or id all words of the text occur.

        :param ready_only: only those that can run now.
        """
        self._words, self._ready_only = tuple(text.casefold().split()), ready_only
        self.invalidateFilter()

    def filterAcceptsRow(self, row: int, parent: QModelIndex) -> bool:
        """Called by Qt."""
        view = self.sourceModel().views[row]
        if self._ready_only and view.state != State.READY:
            return False
        text = " ".join((*_texts(view), view.id)).casefold()
        return all(word in text for word in self._words)


def _texts(view: ModelView) -> Tuple[str, ...]:
    size = in_words(view.bytes) if view.files else ""
    return title_text(view), state_text(view), size, licence_text(view), view.entry.family


def _sort_keys(view: ModelView) -> Tuple[Any, ...]:
    title, _, _, licence, family = _texts(view)
    return title, _ORDER.index(view.state), float(view.bytes), licence, family
