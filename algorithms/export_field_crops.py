"""furrow:exportfieldcrops: fields cut out of their image, and pictures to label them on."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Dict, Hashable, List, Sequence, Tuple

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterString,
)

from ..core.errors import ParameterError
from ..core.fields.classification.crops import safe_names, tiles_of
from ..core.fields.classification.labelme import to_json
from ..core.imagery.grid import Window
from ..core.monitor import Monitor
from ..core.whole_folder import whole_folder
from ..qgis_io.field_crops import (
    Crop,
    CropCutter,
    Painter,
    labelled_tile,
    save_crop,
    save_png,
    touching,
)
from ..qgis_io.field_features import TOO_FEW
from ..qgis_io.field_views import PlacedField, PlacedFields
from ..qgis_io.monitors import monitor_of
from ..qgis_io.sources import labels_of
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm, report_skips
from .field_parameters import (
    add_class_field,
    add_fields,
    add_more_images,
    image_paths,
    read_field_source,
    read_fields,
)
from .image_parameters import add_bands, add_image, read_bands
from .series_parameters import Real, Whole, choice, number

KEEP, MASK = "keep", "mask"
PNG, GEOTIFF = "png", "geotiff"
MANIFEST = "manifest.csv"
CROPS, PICTURES = "crops", "pictures"
_COLUMNS = ("file", "field", "class", "image", "row", "col", "side", "pixels", "valid_pixels")
_PERCENT = 100.0


class ExportFieldCrops(FurrowAlgorithm):
    """Crops and labelling files."""

    NAME = "exportfieldcrops"
    LABEL = "Export field crops"
    GROUP = "Fields"
    SUMMARY = "A square crop of each field in folders by class, and pictures with LabelMe files."
    TAGS = "crop,chip,labelme,x-anylabeling,label,annotation,training,field,png,geotiff,dataset"
    HELP = (
        "Writes into one folder:\n\ncrops/CLASS/: a square around each field, the field in its "
        "middle, as PNG or GeoTIFF.\n\npictures/: the whole image, in parts where it is large, "
        "each with a JSON file that LabelMe and X-AnyLabeling open: every field is an outline with "
        "its class as label and its id as group. Labels changed there come back with 'Import field "
        "labels'. A field with holes is one line that runs into its holes and back.\n\n"
        "manifest.csv: each crop with its field, class and place.\n\n"
        "Example: fields from 'Delineate' without CLASS_FIELD, so that all are called 'field'; "
        "rename the wrong ones to 'nonfield' in X-AnyLabeling, import them, train a classifier."
    )
    FOLDERS = {"OUTPUT": MANIFEST}

    def add_parameters(self) -> None:
        add_image(self)
        add_fields(self, tr("Polygons to be cut out."))
        add_class_field(
            self, tr("Names the folder and the label of each polygon."), optional=True
        )
        self.add(
            QgsProcessingParameterString(
                "DEFAULT_CLASS", tr("Class of the others"), defaultValue="field"
            ),
            tr("Of polygons without a class."),
        )
        self.add(
            number("MARGIN", tr("Margin in percent"), Real, 10.0, 0.0, 400.0),
            tr("On each side of a crop, of the longer side of its field."),
        )
        self.add(
            choice("BACKGROUND", tr("Background of crops"), (KEEP, MASK), KEEP),
            tr("keep: what lies around the field stays. mask: it becomes black, or no data."),
        )
        self.add(
            choice("FORMAT", tr("Format of crops"), (PNG, GEOTIFF), PNG),
            tr("png: three bands for the eye. geotiff: all bands as they are, with their place."),
        )
        self._add_rare()
        add_more_images(self)
        add_bands(self)
        self.add(
            QgsProcessingParameterFolderDestination("OUTPUT", tr("Folder of crops")),
            tr("Made, or replaced where it is one."),
        )
        self.addOutput(QgsProcessingOutputNumber("CROP_COUNT", tr("Crops")))
        self.addOutput(QgsProcessingOutputNumber("PICTURE_COUNT", tr("Pictures with labels")))
        self.addOutput(QgsProcessingOutputNumber("SKIPPED", tr("Skipped fields")))

    def _add_rare(self) -> None:
        self.add(
            number("MIN_PIXELS", tr("Least pixels"), Whole, 4, 1),
            tr("Smaller fields are left out of the crops."),
            advanced=True,
        )
        self.add(
            QgsProcessingParameterBoolean(
                "LABEL_FILES", tr("Pictures with label files"), defaultValue=True
            ),
            tr("Write the pictures and their JSON files."),
            advanced=True,
        )
        self.add(
            number("TILE", tr("Largest picture in pixels"), Whole, 1024, 64, 8192),
            tr("Larger images are cut into parts of at most so many pixels along a side."),
            advanced=True,
        )

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        read_field_source(self, parameters, context)
        image_paths(self, parameters, context)
        read_bands(self, parameters, context)
        if not self.text(parameters, "DEFAULT_CLASS", context):
            raise ParameterError("DEFAULT_CLASS: give a name, such as field.")

    def work(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        placed = read_fields(self, parameters, context)
        labels = self._labels(parameters, context, placed)
        painter = Painter(placed.pictures, read_bands(self, parameters, context) or ())
        folder = Path(self.parameterAsFileOutput(parameters, "OUTPUT", context))
        monitor = monitor_of(feedback)
        cutter = CropCutter(placed.pictures, context)
        pictures = 0
        try:
            with whole_folder(folder) as partial:
                writer = self._writer(parameters, context, partial, placed, cutter, painter)
                small = writer.crops(labels, monitor.part(0, 0.7))
                if self.parameterAsBoolean(parameters, "LABEL_FILES", context):
                    most = self.parameterAsInt(parameters, "TILE", context)
                    pictures = writer.pictures(labels, most, monitor.part(0.7, 1))
                monitor.check()
        finally:
            cutter.close()
        skipped = [*placed.skipped, *small]
        report_skips(feedback, tr("Field"), skipped)
        counts = {
            "CROP_COUNT": len(placed.fields) - len(small),
            "PICTURE_COUNT": pictures,
            "SKIPPED": len(skipped),
        }
        self.write_records({"OUTPUT": str(folder / MANIFEST)}, counts, skipped)
        return {"OUTPUT": str(folder), **counts}

    def _labels(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, placed: PlacedFields
    ) -> List[Hashable]:
        """One label a field."""
        name = self.text(parameters, "CLASS_FIELD", context)
        default = self.text(parameters, "DEFAULT_CLASS", context)
        if not name:
            return [default] * len(placed.fields)
        labels = labels_of([field.feature for field in placed.fields], name)
        return [default if label is None else label for label in labels]

    def _writer(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        folder: Path,
        placed: PlacedFields,
        cutter: CropCutter,
        painter: Painter,
    ) -> _Writer:
        return _Writer(
            folder, placed, cutter, painter,
            self.parameterAsDouble(parameters, "MARGIN", context) / _PERCENT,
            self.parameterAsEnumString(parameters, "BACKGROUND", context) == MASK,
            self.parameterAsEnumString(parameters, "FORMAT", context) == GEOTIFF,
            self.parameterAsInt(parameters, "MIN_PIXELS", context),
        )  # fmt: skip


class _Writer:
    """Fills the folder."""

    def __init__(
        self,
        folder: Path,
        placed: PlacedFields,
        cutter: CropCutter,
        painter: Painter,
        margin: float,
        masked: bool,
        as_geotiff: bool,
        least: int,
    ) -> None:
        self._folder, self._placed = folder, placed
        self._cutter, self._painter = cutter, painter
        self._margin, self._masked = margin, masked
        self._as_geotiff, self._least = as_geotiff, least

    def crops(self, labels: Sequence[Hashable], monitor: Monitor) -> List[Tuple[int, str]]:
        """Write the crops and the manifest; fields that are too small, with the reason.

        :raises Cancelled:
        """
        names = safe_names(labels)
        small: List[Tuple[int, str]] = []
        text = io.StringIO()
        manifest = csv.writer(text, lineterminator="\n")
        manifest.writerow(_COLUMNS)
        for done, (field, label) in enumerate(zip(self._placed.fields, labels)):
            monitor.check()
            monitor.progress(done / len(labels))
            crop = self._cutter.cut(field, self._bands(field.picture), self._margin)
            pixels = int((crop.mask & crop.valid).sum())
            if pixels < self._least:
                small.append((field.feature.id(), TOO_FEW))
                continue
            file = self._save(field, crop, names[label])
            picture, window = self._placed.pictures[field.picture], crop.window
            manifest.writerow(
                (file, field.feature.id(), label, picture.name, window.row, window.col,
                 window.height, int(crop.mask.sum()), pixels)
            )  # fmt: skip
        (self._folder / MANIFEST).write_text(text.getvalue(), encoding="utf-8")
        return small

    def pictures(self, labels: Sequence[Hashable], most: int, monitor: Monitor) -> int:
        """Write the pictures that show fields, with their JSON files; how many.

        :raises Cancelled:
        """
        folder = self._folder / PICTURES
        folder.mkdir()
        label_of = {id(field): str(label) for field, label in zip(self._placed.fields, labels)}
        stems = self._stems()
        count = 0
        for k, picture in enumerate(self._placed.pictures):
            tiles = tiles_of(picture.grid, most)
            for done, window in enumerate(tiles):
                monitor.check()
                monitor.progress((k + done / len(tiles)) / len(self._placed.pictures))
                shown = touching(self._placed.fields, k, window)
                if shown:
                    place = f"_{window.row}_{window.col}" if len(tiles) > 1 else ""
                    pairs = [(field, label_of[id(field)]) for field in shown]
                    self._save_tile(folder, f"{stems[k]}{place}", k, window, pairs)
                    count += 1
        return count

    def _save_tile(
        self,
        folder: Path,
        stem: str,
        picture: int,
        window: Window,
        fields: Sequence[Tuple[PlacedField, str]],
    ) -> None:
        """Write a part of a picture and the outlines of its fields."""
        name = f"{stem}.png"
        image, valid = self._cutter.tile(picture, window, self._painter.bands(picture))
        save_png(folder / name, self._painter.colours(picture, image, valid))
        content = to_json(labelled_tile(name, self._placed.pictures[picture], window, fields))
        (folder / f"{stem}.json").write_text(content, encoding="utf-8")

    def _save(self, field: PlacedField, crop: Crop, folder: str) -> str:
        """Write one crop; its path within the folder."""
        ending = "tif" if self._as_geotiff else "png"
        path = self._folder / CROPS / folder / f"{field.feature.id():06d}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = self._placed.pictures[field.picture]
        if self._as_geotiff:
            shown = crop.without_background() if self._masked else crop
            save_crop(path, shown, picture, self._bands(field.picture))
        else:
            lit = crop.valid & crop.mask if self._masked else crop.valid
            save_png(path, self._painter.colours(field.picture, crop.values, lit))
        return path.relative_to(self._folder).as_posix()

    def _bands(self, picture: int) -> Tuple[int, ...]:
        """Those that are written."""
        if self._as_geotiff:
            return tuple(range(1, self._placed.pictures[picture].info.count + 1))
        return self._painter.bands(picture)

    def _stems(self) -> List[str]:
        """A file name without ending for each picture; numbered where two are alike."""
        stems = [picture.stem for picture in self._placed.pictures]
        if len({stem.lower() for stem in stems}) < len(stems):
            stems = [f"{number}_{stem}" for number, stem in enumerate(stems, start=1)]
        names = safe_names(stems)
        return [names[stem] for stem in stems]
