"""The tab Season: the profile of the field under the cursor, and whether it holds two seasons."""

from __future__ import annotations

import datetime as dt
from typing import Optional

from qgis.core import QgsCoordinateReferenceSystem, QgsGeometry
from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import QTimer, pyqtSignal
from qgis.PyQt.QtGui import QShowEvent
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...core.imagery.indices import NAMED
from ...qgis_io.ground import crs_of
from ...qgis_io.texts import tr
from .season_chart import SeasonChart, SeasonView
from .season_fields import Reading, cut_field, moved
from .season_reading import SeasonReader, Wanted

_TYPING = 400
"""Milliseconds after the last key in the folder's line."""
_DEFAULT_INDEX = "NDVI"


class SeasonPanel(QWidget):
    """Folder, index, picture, and the warning of two seasons."""

    split_wanted = pyqtSignal(list, QgsCoordinateReferenceSystem)
    """Two polygons in place of the field, the larger first, in the series' reference system."""
    message = pyqtSignal(str)
    """What went wrong, in one sentence; the panel shows it too."""
    series_changed = pyqtSignal(str)
    """Another folder was chosen, by the user or with `set_series`."""
    opened = pyqtSignal()
    """The panel has come into view: it knows no field that was drawn before."""

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.reader = SeasonReader(self)
        self._make_widgets()
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.timeout.connect(self._take_settings)
        self.reader.changed.connect(self._show)
        self.reader.failed.connect(self.message)
        self._show()

    def set_series(self, folder: str) -> None:
        """Show profiles of another folder of dated images; empty: none."""
        self.folder_widget.setFilePath(folder)
        self._take_settings(again=True)

    def series_folder(self) -> str:
        """The folder that is chosen; empty: none."""
        return self.folder_widget.filePath().strip()

    def set_field(
        self,
        polygon: Optional[QgsGeometry],
        crs: QgsCoordinateReferenceSystem,
        class_name: str,
        colour: str,
        image_date: Optional[dt.date],
    ) -> None:
        """Show the season of a field; None: of none.

        :param class_name: whose median is shown beside it; empty: none.
        :param colour: of the class, #rrggbb.
        :param image_date: of the image on which the field was clicked.
        """
        wanted = None
        if polygon is not None and not polygon.isEmpty():
            wanted = Wanted(QgsGeometry(polygon), crs, class_name, colour, image_date)
        self.reader.look_at(wanted)
        self.split_button.setEnabled(True)
        self._show()

    def add_to_class(
        self, class_name: str, polygon: QgsGeometry, crs: QgsCoordinateReferenceSystem
    ) -> None:
        """Count a field among those that make the median of its class."""
        self.reader.add_to_class(class_name, polygon, crs)
        self._show()

    def clear(self) -> None:
        """Forget the field and all classes; folder and index stay."""
        self.reader.forget_classes()
        self.set_field(None, QgsCoordinateReferenceSystem(), "", "", None)

    def shut_down(self) -> None:
        """Cancel and wait, so that no task outlives the plugin; nothing is read after this."""
        self._typing.stop()
        self.reader.close()

    def showEvent(self, event: QShowEvent) -> None:
        """The folder is opened when somebody looks."""
        super().showEvent(event)
        self.opened.emit()
        self.reader.wake()
        self._show()

    def _make_widgets(self) -> None:
        layout = QVBoxLayout(self)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(tr("Series"), self._make_folder())
        form.addRow(tr("Index"), self._make_index())
        layout.addLayout(form)
        self.chart = SeasonChart(self)
        layout.addWidget(self.chart, 1)
        self.status_label, self.warning_label = QLabel(self), QLabel(self)
        self.split_button = QPushButton(tr("Split into two fields"), self)
        self.split_button.clicked.connect(self._split)
        for label in (self.status_label, self.warning_label):
            label.setWordWrap(True)
        for widget in (self.status_label, self.warning_label, self.split_button):
            layout.addWidget(widget)

    def _make_folder(self) -> QgsFileWidget:
        self.folder_widget = QgsFileWidget(self)
        self.folder_widget.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.folder_widget.setDialogTitle(tr("Folder of dated images"))
        self.folder_widget.setToolTip(tr("Folder of dated images, one GeoTIFF a date."))
        self.folder_widget.lineEdit().setAccessibleName(tr("Folder of dated images"))
        self.folder_widget.fileChanged.connect(lambda _: self._typing.start(_TYPING))
        return self.folder_widget

    def _make_index(self) -> QComboBox:
        self.index_combo = QComboBox(self)
        self.index_combo.setEditable(True)
        self.index_combo.addItems(list(NAMED))
        self.index_combo.setMinimumContentsLength(8)
        self.index_combo.setToolTip(tr("One of the list, or an expression of band roles such as "
                                       "(nir-swir16)/(nir+swir16)."))  # fmt: skip
        self.index_combo.activated.connect(lambda _: self._take_settings())
        self.index_combo.lineEdit().editingFinished.connect(self._take_settings)
        return self.index_combo

    def _take_settings(self, again: bool = False) -> None:
        """Folder or index may be another one.

        :param again: try once more what failed.
        """
        self._typing.stop()
        before = self.reader.folder, self.reader.index_text
        folder = self.series_folder()
        settings = folder, self.index_combo.currentText().strip() or _DEFAULT_INDEX
        if settings == before and not again:
            return
        self.reader.use(*settings)
        self._show()
        if folder != before[0]:
            self.series_changed.emit(folder)

    def _show(self) -> None:
        found = self.reader.reading
        reading = found if isinstance(found, Reading) else None
        two = None if reading is None else reading.two
        self.chart.show_view(self._view(reading))
        status = self._status()
        self.status_label.setText(status)
        self.status_label.setVisible(bool(status))
        self.warning_label.setVisible(two is not None)
        self.split_button.setVisible(two is not None)
        if two is not None:
            self.warning_label.setText(
                tr("Two seasons in one field: {} % of its pixels take another course.").format(
                    round(100 * two.shares[0])
                )
            )

    def _view(self, reading: Optional[Reading]) -> SeasonView:
        wanted = self.reader.wanted
        if wanted is None:
            return SeasonView()
        title = ""
        if reading is not None:
            title = tr("{} of {} pixels").format(self.reader.index.name, reading.pixels)
        return SeasonView(
            None if reading is None else reading.season,
            None if reading is None else reading.two,
            self.reader.class_season,
            wanted.class_name,
            wanted.colour,
            wanted.image_date,
            title,
        )

    def _status(self) -> str:
        """What there is to say; empty where the picture says all."""
        reader = self.reader
        if reader.trouble:
            return reader.trouble
        if not reader.folder:
            return tr("Choose the folder of dated images to see the season of a field.")
        if reader.wanted is None:
            return tr("Point at a field in the map to see its season.")
        if reader.series is None:
            return tr("Opening the series…")
        return _said_of(reader.pixels if isinstance(reader.pixels, str) else reader.reading)

    def _split(self) -> None:
        reading, wanted = self.reader.reading, self.reader.wanted
        if not isinstance(reading, Reading) or reading.two is None:
            return
        grid = self.reader.series.grid
        shape = moved(wanted.polygon, wanted.crs, crs_of(grid))
        if shape is not None:
            self.split_button.setEnabled(False)  # until another field is shown
            parts = cut_field(shape, self.reader.pixels, reading.two, grid)
            self.split_wanted.emit(parts, crs_of(grid))


def _said_of(reading: object) -> str:
    """What there is to say of a field: its reading, a reason why there is none, or None."""
    if isinstance(reading, str):
        return reading
    if not isinstance(reading, Reading):
        return tr("Reading the season…")
    if not reading.season.valid_share.any():
        return tr("No date shows this field: it is cloudy or without data on all of them.")
    if reading.broken:
        return tr("{} image(s) of the series cannot be read and are left out.").format(
            reading.broken
        )
    return ""
