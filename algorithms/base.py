"""What all algorithms share: their texts, their errors, their parameters of one kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from osgeo import gdal
from qgis.core import (
    Qgis,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterField,
    QgsRasterLayer,
)
from qgis.PyQt.QtGui import QIcon

from ..core.errors import Cancelled, FurrowError, OutputError, ParameterError
from ..core.report.run_record import RunRecord
from ..core.whole_folder import require_replaceable
from ..qgis_io.sinks import file_of
from ..qgis_io.texts import tr

ICONS = Path(__file__).resolve().parents[1] / "icons"
SourceType = QgsProcessing.SourceType
_SHOWN_SKIPS = 20


class FurrowAlgorithm(QgsProcessingAlgorithm):
    """Base of the algorithms; subclasses fill in the texts, `add_parameters` and `work`."""

    NAME = ""
    LABEL = ""
    GROUP = ""
    SUMMARY = ""
    HELP = ""
    TAGS = ""
    FOLDERS: Mapping[str, str] = {}
    """Outputs that are folders, and the file by which one is known that may be replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.given: Dict[str, Any] = {}
        """The parameters of this run as texts and numbers, as `qgis_process` takes them."""
        self._full_name = ""

    def createInstance(self) -> QgsProcessingAlgorithm:
        return type(self)()

    def name(self) -> str:
        return self.NAME

    def displayName(self) -> str:
        return tr(self.LABEL)

    def group(self) -> str:
        return tr(self.GROUP)

    def groupId(self) -> str:
        return self.GROUP.lower().replace(" ", "")

    def shortDescription(self) -> str:
        return tr(self.SUMMARY)

    def shortHelpString(self) -> str:
        return tr(self.HELP)

    def tags(self) -> List[str]:
        return tr(self.TAGS).split(",")

    def icon(self) -> QIcon:
        return QIcon(self.svgIconPath())

    def svgIconPath(self) -> str:
        return str(ICONS / f"{self.NAME}.svg")

    def initAlgorithm(self, configuration: Optional[Dict[str, Any]] = None) -> None:
        self.add_parameters()

    def add_parameters(self) -> None:
        """Declare parameters and outputs."""
        raise NotImplementedError

    def work(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, feedback: Any
    ) -> Dict[str, Any]:
        """Do the work; raises FurrowError for what the user can mend.

        Not `run`: that is QGIS' own, and `processing.run` calls it.
        """
        raise NotImplementedError

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        """Raise FurrowError where values cannot be used; called before the work starts."""

    def add(
        self, definition: QgsProcessingParameterDefinition, help_text: str, advanced: bool = False
    ) -> None:
        """Declare one parameter with its help."""
        definition.setHelp(help_text)
        if advanced:
            flags = definition.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced
            definition.setFlags(flags)
        self.addParameter(definition)

    def checkParameterValues(
        self, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> Tuple[bool, str]:
        fine, message = super().checkParameterValues(parameters, context)
        if not fine:
            return fine, tr("{}; choose another value.").format(message.strip().rstrip("."))
        try:
            self._check_fields(parameters, context)
            self._check_destinations(parameters, context)
            self.check(parameters, context)
        except FurrowError as error:
            return False, str(error)
        return True, ""

    def prepareAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> bool:
        self.given = plain_parameters(parameters, context)  # here, in the project's own thread
        self._full_name = self.id()  # the provider is gone when the plugin is unloaded meanwhile
        return True

    def processAlgorithm(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        try:
            return self.work(parameters, context, feedback)
        except Cancelled:
            feedback.pushInfo(tr("Cancelled; nothing was written."))
            return {}
        except FurrowError as error:
            raise QgsProcessingException(str(error)) from None
        except OSError as error:
            path = error.filename or tr("an output")
            raise QgsProcessingException(
                tr("Cannot write {}: {}.").format(path, error.strerror or error)
            ) from None

    def _check_fields(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        """Refuse names of fields that the layer does not have; QGIS takes any text."""
        for definition in self.parameterDefinitions():
            if not isinstance(definition, QgsProcessingParameterField):
                continue
            layer = definition.parentLayerParameterName()
            source = self.parameterAsSource(parameters, layer, context)
            wanted = self.text(parameters, definition.name(), context)
            if source is not None and wanted and wanted not in source.fields().names():
                raise ParameterError(
                    f"{definition.name()}: {layer} has no field '{wanted}'; choose one of "
                    f"{', '.join(source.fields().names())}."
                )

    def _check_destinations(
        self, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> None:
        """Refuse what cannot be written or replaced, and one file for two outputs."""
        taken: Dict[str, str] = {}
        for definition in self.destinationParameterDefinitions():
            name = definition.name()
            text = self.parameterAsFileOutput(parameters, name, context)
            path = file_of(text)
            if name in self.FOLDERS and text:
                require_replaceable(name, Path(text), self.FOLDERS[name])
                continue
            if path is None or not text:
                continue
            if text in taken:
                raise OutputError(f"{name}: {text} is {taken[text]} already; choose another file.")
            taken[text] = name
            _require_writable(name, path)

    def write_records(
        self,
        outputs: Mapping[str, Optional[str]],
        counts: Mapping[str, int],
        skipped: Sequence[Tuple[Any, str]],
        **more: Any,
    ) -> None:
        """Write the run record beside every output that is a file.

        :param skipped: what was left out, and why.
        :param more: further fields of the record.
        """
        used = versions()
        record = RunRecord(
            algorithm=self._full_name,
            furrow_version=used["furrow"],
            parameters=self.given,
            versions=used,
            counts=counts,
            skipped=[{"id": str(item), "reason": reason} for item, reason in skipped],
            outputs={name: str(value) for name, value in outputs.items() if value},
            **more,
        )
        for destination in outputs.values():
            path = file_of(destination)
            if path is not None:
                record.write_beside(path)

    def keep(self, thing: Any) -> None:
        """Hold something beyond this run: the copy that runs is gone when its layers are loaded."""
        provider = self.provider()
        if provider is not None:
            provider.keep(thing)

    def raster_path(
        self, parameters: Dict[str, Any], name: str, context: QgsProcessingContext
    ) -> Optional[str]:
        """The file behind a raster parameter; None where it is empty."""
        layer = self.parameterAsRasterLayer(parameters, name, context)
        if layer is None:
            if parameters.get(name):
                raise ParameterError(
                    f"{name}: {parameters[name]} is not a raster that can be read."
                )
            return None
        return source_of(name, layer)

    def text(self, parameters: Dict[str, Any], name: str, context: QgsProcessingContext) -> str:
        """A text parameter without blanks around it."""
        return (self.parameterAsString(parameters, name, context) or "").strip()

    def optional_number(
        self, parameters: Dict[str, Any], name: str, context: QgsProcessingContext
    ) -> Optional[float]:
        """A number, or None where the user gave none."""
        if parameters.get(name) in (None, ""):
            return None
        return self.parameterAsDouble(parameters, name, context)


def _require_writable(name: str, path: Path) -> None:
    """:raises OutputError: where a file cannot be made at that path."""
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(
            f"{name}: the folder {folder} does not exist; create it or choose another."
        )
    if path.is_dir():
        raise OutputError(f"{name}: {path} is a folder; give the name of a file.")
    try:
        probe = folder / f".{path.name}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"{name}: cannot write to the folder {folder} ({error.strerror}); choose another."
        ) from error


def source_of(name: str, layer: QgsRasterLayer) -> str:
    """The file behind a raster layer of the parameter `name`.

    :raises ParameterError: it is no file that GDAL reads.
    """
    if layer.providerType() != "gdal":
        raise ParameterError(
            f"{name}: {layer.name()} is a {layer.providerType()} layer; save it as a GeoTIFF first "
            "(Export, Save as)."
        )
    return layer.source()


def report_skips(
    feedback: QgsProcessingFeedback, what: str, skipped: Sequence[Tuple[Any, str]]
) -> None:
    """List skipped things with their reasons, the first ones one by one."""
    for item, reason in skipped[:_SHOWN_SKIPS]:
        feedback.pushWarning(tr("{} {} left out: {}").format(what, item, reason))
    if len(skipped) > _SHOWN_SKIPS:
        more = len(skipped) - _SHOWN_SKIPS
        feedback.pushWarning(tr("... and {} more; see the run record.").format(more))


def plain_parameters(
    parameters: Mapping[str, Any], context: QgsProcessingContext
) -> Dict[str, Any]:
    """Parameters as texts and numbers; layers of the project become their sources."""
    return {name: _plain(value, context) for name, value in parameters.items() if value is not None}


def _plain(value: Any, context: QgsProcessingContext) -> Any:
    if isinstance(value, str):
        layer = context.project().mapLayer(value) if context.project() else None
        return value if layer is None else layer.source()
    if isinstance(value, (int, float, bool)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item, context) for item in value]
    if hasattr(value, "sink"):
        return _plain(value.sink, context)
    if hasattr(value, "staticValue"):
        return _plain(value.staticValue(), context)
    if hasattr(value, "source"):
        source = value.source
        return source() if callable(source) else _plain(source, context)
    return str(value)


def versions() -> Dict[str, str]:
    """What took part in a run."""
    return {
        "furrow": furrow_version(),
        "qgis": Qgis.QGIS_VERSION,
        "gdal": gdal.__version__,
        "numpy": np.__version__,
    }


def furrow_version() -> str:
    """The version in metadata.txt."""
    for line in (ICONS.parent / "metadata.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("version="):
            return line.partition("=")[2].strip()
    return "unknown"



def write_text(
    algorithm: FurrowAlgorithm,
    parameters: Dict[str, Any],
    name: str,
    context: QgsProcessingContext,
    text: str,
) -> Optional[str]:
    """Write a text file, whole or not at all; None where the parameter asks for none."""
    path = algorithm.parameterAsFileOutput(parameters, name, context)
    if not path:
        return None
    partial = Path(f"{path}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
