"""Using a file that the user has: which one, what it is, copied or used where it lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import QTimer, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from ...core.downloads import in_words
from ...core.monitor import Monitor
from ...models.segmenters.own_models import CHECKPOINT_SUFFIXES, ONNX_SUFFIX, RoleFile, own_files
from ...qgis_io.texts import tr
from .model_jobs import Job, ModelJobs
from .model_views import ModelView

_TYPING = 400
"""Milliseconds after the last key in the path's line."""
_WIDTH = 560
_GRAPHS = ("encoder", "decoder")
_THIS_FILE = "furrow: this file"
"""How a diagnosis begins."""


@dataclass(frozen=True)
class OwnModel:
    """What the user wants to be added."""

    paths: Tuple[Path, ...]
    """Files, or a folder."""
    title: str
    copy: bool
    """Whether the files are copied, else used where they lie."""
    known: Optional[ModelView]
    """The model of the catalogue whose files they are; None: a model of the user's own."""


@dataclass(frozen=True)
class Looked:
    """What was found in chosen files."""

    paths: Tuple[Path, ...]
    """As chosen."""
    files: Tuple[RoleFile, ...]
    lines: Tuple[str, ...]
    """A sentence about each."""


def look_at_files(paths: Sequence[Path], monitor: Monitor) -> Looked:
    """Find out what files are, without running anything in them. For a background thread.

    :raises ModelError: no engine runs them.
    """
    engine, files = own_files(paths)
    monitor.check()
    if engine != "onnx":
        return Looked(tuple(paths), files, (_checkpoint_line(files[0][1]),))
    from ...models.segmenters.onnx_pairs.onnx_conventions import diagnosis

    named = ((path.name, diagnosis(path)) for role, path in files if role in _GRAPHS)
    lines = tuple(text.replace(_THIS_FILE, name, 1) for name, text in named)
    return Looked(tuple(paths), files, lines)


def recognised(files: Sequence[RoleFile], views: Sequence[ModelView]) -> Optional[ModelView]:
    """The model of the catalogue whose files these seem to be, by their sizes; None for none."""
    sizes = {path.stat().st_size for _, path in files if path.is_file()}
    for view in views:
        wanted = {each.file.bytes for each in view.files}
        catalogued = not (view.entry.shipped or view.entry.own)
        if catalogued and wanted and 0 not in wanted and wanted <= sizes:
            return view
    return None


class OwnModelDialog(QDialog):
    """Asks; adding is the caller's."""

    chosen = pyqtSignal(object)
    """An OwnModel: the user has accepted."""

    def __init__(self, views: Sequence[ModelView], parent: Optional[QWidget] = None) -> None:
        """:param views: the models that there are."""
        super().__init__(parent)
        self._views = views
        self._looked: Optional[Looked] = None
        self._jobs = ModelJobs(self)
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(_TYPING)
        self.setWindowTitle(tr("Furrow: use a file I have"))
        self.setMinimumWidth(_WIDTH)
        self._make_widgets()
        self._lay_out()
        self._connect()
        self._show()

    def look_at(self, paths: Sequence[Path]) -> None:
        """Choose files, or a folder."""
        quoted = (f'"{path}"' for path in paths) if len(paths) > 1 else map(str, paths)
        self.path_widget.setFilePath(" ".join(quoted))
        self._look()

    def done(self, result: int) -> None:
        """Nobody waits for what is being looked at."""
        self._typing.stop()
        self._jobs.close()
        super().done(result)

    def _make_widgets(self) -> None:
        self.path_widget = QgsFileWidget(self)
        self.path_widget.setStorageMode(QgsFileWidget.StorageMode.GetMultipleFiles)
        self.path_widget.setDialogTitle(tr("Model files"))
        endings = " ".join(f"*{suffix}" for suffix in (ONNX_SUFFIX, *CHECKPOINT_SUFFIXES))
        self.path_widget.setFilter(tr("Models ({})").format(endings))
        self.folder_button = QPushButton(tr("F&older..."), self)
        self.folder_button.setToolTip(tr("Choose a folder that holds an ONNX pair"))
        self.look_label, self.kind_combo = QLabel(self), QComboBox(self)
        self.look_label.setWordWrap(True)
        self.title_edit = QLineEdit(self)
        self.copy_button = QRadioButton(tr("&Copy it into Furrow's folder of models"), self)
        self.refer_button = QRadioButton(tr("&Use it where it lies"), self)
        self.copy_button.setChecked(True)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel, self)
        self.add_button = self.buttons.addButton(tr("&Add"), QDialogButtonBox.ButtonRole.AcceptRole)

    def _lay_out(self) -> None:
        hint = QLabel(
            tr("An ONNX pair, of which one file is enough where the other lies beside it, or one "
               "checkpoint (.pth, .pt, .safetensors)."),
            self,
        )  # fmt: skip
        hint.setWordWrap(True)
        row, form = QHBoxLayout(), QFormLayout()
        row.addWidget(self.path_widget, 1)
        row.addWidget(self.folder_button)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(tr("&File"), row)
        form.labelForField(row).setBuddy(self.path_widget)
        form.addRow("", self.look_label)
        form.addRow(tr("A&s"), self.kind_combo)
        form.addRow(tr("&Title"), self.title_edit)
        form.addRow("", self.copy_button)
        form.addRow("", self.refer_button)
        layout = QVBoxLayout(self)
        layout.addWidget(hint)
        layout.addLayout(form)
        layout.addStretch(1)
        layout.addWidget(self.buttons)

    def _connect(self) -> None:
        self.path_widget.fileChanged.connect(self._on_path)
        self._typing.timeout.connect(self._look)
        self.folder_button.clicked.connect(self._ask_folder)
        self.kind_combo.currentIndexChanged.connect(self._show)
        self.buttons.accepted.connect(self._on_accepted)
        self.buttons.rejected.connect(self.reject)

    def _paths(self) -> Tuple[Path, ...]:
        text = self.path_widget.filePath().strip()
        if '"' in text:
            return tuple(Path(part) for part in QgsFileWidget.splitFilePaths(text))
        return (Path(text),) if text else ()

    def _on_path(self) -> None:
        self._looked = None
        self.look_label.clear()
        self._typing.start()
        self._show()

    def _look(self) -> None:
        """Look at what is chosen now; what is being looked at already is no longer wanted."""
        self._typing.stop()
        if self._jobs.job is not None:
            self._jobs.cancel()
            self._typing.start()
            return
        paths, self._looked = self._paths(), None
        if paths:
            self.look_label.setText(tr("Looking at the file…"))
            title = tr("looking at {}").format(paths[0].name)
            work = Job(title, lambda monitor: look_at_files(paths, monitor), self._on_looked,
                       self.look_label.setText)  # fmt: skip
            self._jobs.start(work)
        self._show()

    def _on_looked(self, looked: Looked) -> None:
        if looked.paths != self._paths():
            return
        self._looked = looked
        self.look_label.setText("\n".join(looked.lines))
        self.kind_combo.clear()
        known = recognised(looked.files, self._views)
        if known is not None:
            self.kind_combo.addItem(tr("the files of {}").format(known.entry.title), known.id)
        self.kind_combo.addItem(tr("a model of my own"), "")
        if not self.title_edit.isModified():
            self.title_edit.setText(looked.files[0][1].stem)
        self._show()

    def _known(self) -> Optional[ModelView]:
        wanted = self.kind_combo.currentData()
        return next((view for view in self._views if wanted and view.id == wanted), None)

    def _show(self) -> None:
        own = self._looked is not None and self._known() is None
        self.kind_combo.setEnabled(self.kind_combo.count() > 1 and self._looked is not None)
        for widget in (self.title_edit, self.copy_button, self.refer_button):
            widget.setEnabled(own)
        self.add_button.setEnabled(self._looked is not None)

    def _ask_folder(self) -> None:
        dialog = QFileDialog(self, tr("Folder with an ONNX pair"))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(lambda path: self.look_at([Path(path)]))
        dialog.open()

    def _on_accepted(self) -> None:
        if self._looked is None:
            return
        known = self._known()
        files: List[Path] = [path for _, path in self._looked.files]
        paths = tuple(files) if known is not None else self._looked.paths
        copy = known is not None or self.copy_button.isChecked()
        wanted = OwnModel(paths, self.title_edit.text().strip(), copy, known)
        self.accept()
        self.chosen.emit(wanted)


def _checkpoint_line(path: Path) -> str:
    return tr("{name}: a checkpoint of {size}; the worker looks into it when it is first "
              "used.").format(name=path.name, size=in_words(path.stat().st_size))  # fmt: skip
