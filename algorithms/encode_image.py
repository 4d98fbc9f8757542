"""furrow:encodeimage: the windows of an image are encoded once, for all that look at it later."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFolderDestination,
)

from ..core.errors import Cancelled, OutputError, ParameterError
from ..core.imagery.grid import Window
from ..core.imagery.lattice import pixels_within, windows_over
from ..core.imagery.pictures import FilePictures, default_bands
from ..core.imagery.raster_gdal import describe
from ..core.monitor import Monitor, watched
from ..core.whole_folder import require_place
from ..models.segmenters.embeddings.embedding_files import path_of
from ..models.segmenters.embeddings.embedding_index import (
    INDEX,
    EncodedImage,
    add_to_index,
    require_own,
)
from ..models.segmenters.embeddings.stored_segmenter import StoredSegmenter
from ..qgis_io.ground import crs_of
from ..qgis_io.layer_sources import without_credentials
from ..qgis_io.monitors import monitor_of
from ..qgis_io.places import places
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm, furrow_version
from .embedding_parameters import open_stored_segmenter
from .image_parameters import add_bands, add_image, read_bands, read_image
from .model_parameters import add_engine, check_model, model_record
from .series_parameters import Whole, number

DEFAULT_TILE = 200
"""The WINDOW of the algorithms and of the click tool: windows of other sizes are hardly asked."""
_MEGABYTE = 1e6


@dataclass(frozen=True)
class _Plan:
    """What is to be encoded."""

    path: str
    pictures: FilePictures
    bands: Tuple[int, ...]
    tile: int
    windows: List[Window]


class EncodeImage(FurrowAlgorithm):
    """Encodes an image window by window."""

    NAME = "encodeimage"
    LABEL = "Encode an image"
    GROUP = "Fields"
    SUMMARY = "Have a segmentation model look at an image once, so that fields are found faster."
    TAGS = "encode,embedding,features,cache,segment anything,segment,field,prepare,click"
    HELP = (
        "A segmentation model encodes a window of an image before it answers where the field is; "
        "that takes most of the time. This algorithm encodes all windows of an image, or of an "
        "extent, and keeps them in a folder.\n\n"
        "Example: encode an image overnight, with the folder that is proposed. In the morning the "
        "click tool answers at once wherever you click. Give the same folder as EMBEDDINGS to "
        "'Segment fields at points or boxes' or 'Generate crop samples' (with the image as IMAGE) "
        "and they encode nothing again.\n\n"
        "Windows are found by their pixels, bands and model, so the image may be moved. TILE must "
        "be the WINDOW that is asked later. Windows overlap by half, as those of the other "
        "algorithms do: 1 million pixels are about 100 windows of 200 pixels, which take half a "
        "minute to encode and 370 MB to keep with the model furrow-field.\n\n"
        "A run that was stopped goes on where it was. The file index.json in the folder lists what "
        "it holds."
    )

    def add_parameters(self) -> None:
        add_image(self)
        add_engine(self)
        self.add(
            number("TILE", tr("Window in pixels"), Whole, DEFAULT_TILE, 32, 1024),
            tr(
                "Side of the windows: the WINDOW of the other algorithms and of the click tool's "
                "settings, which is 200 too. A field that runs into the edge of its window is "
                "looked for again in one twice as large: run once more with TILE 400 and the same "
                "OUTPUT to have those as well."
            ),
        )
        self.add(
            QgsProcessingParameterExtent("EXTENT", tr("Extent"), optional=True),
            tr("Encode the windows that answer clicks in this extent; empty: the whole image."),
        )
        add_bands(self)
        self.add(
            QgsProcessingParameterFolderDestination(
                "OUTPUT",
                tr("Folder of encoded windows"),
                defaultValue=str(places().embeddings),
                optional=True,
            ),
            tr(
                "One file a window; what is there already is kept and not encoded again. Empty: "
                "the folder of Furrow's settings, into which the click tool looks."
            ),
        )
        for name, label in (
            ("ENCODED", tr("Windows encoded")),
            ("REUSED", tr("Windows encoded before")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        self._plan(parameters, context)
        check_model(self, parameters, context)

    def work(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        plan = self._plan(parameters, context)
        folder = self._folder(parameters, context)
        folder.mkdir(parents=True, exist_ok=True)
        record = model_record(self, parameters, context)
        segmenter = open_stored_segmenter(self, parameters, context, folder)
        feedback.pushInfo(
            tr("{} windows of {} pixels.").format(len(plan.windows), plan.tile)
        )
        encoding = _Encoding(plan, segmenter, feedback)
        done = encoding.run(monitor_of(feedback))
        encoding.list_in(folder, record)
        if not done:
            text = tr("Cancelled; {} windows are kept, and the next run goes on from there.")
            feedback.pushInfo(text.format(len(encoding.keys)))
            return {}
        counts = {"ENCODED": segmenter.encoded, "REUSED": segmenter.reused}
        feedback.pushInfo(
            tr("{} windows encoded, {} were there, {} without data.").format(
                segmenter.encoded, segmenter.reused, encoding.empty
            )
        )
        self.write_records(
            {"OUTPUT": str(folder / INDEX)},
            {"WINDOWS": len(plan.windows), **counts, "EMPTY": encoding.empty},
            (),
            model=record,
        )
        return {"OUTPUT": str(folder), **counts}

    def _check_destinations(
        self, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> None:
        """OUTPUT is a folder, which need not exist."""
        folder = self._folder(parameters, context)
        require_place("OUTPUT", folder, folder)
        require_own(folder)

    def _folder(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Path:
        text = self.parameterAsFileOutput(parameters, "OUTPUT", context)
        return Path(text).absolute() if text else places().embeddings

    def _plan(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> _Plan:
        path = read_image(self, parameters, context)
        chosen = read_bands(self, parameters, context)
        bands = tuple(chosen or default_bands(describe(path).band_names))
        pictures = FilePictures(path, None, bands)
        tile = self.parameterAsInt(parameters, "TILE", context)
        area = self._area(parameters, context, pictures)
        return _Plan(path, pictures, bands, tile, windows_over(pictures.grid, area, tile))

    def _area(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, pictures: FilePictures
    ) -> Window:
        """The pixels of EXTENT, all where it is empty."""
        crs = crs_of(pictures.grid)
        extent = self.parameterAsExtent(parameters, "EXTENT", context, crs)
        if extent.isNull():
            return pictures.grid.whole
        edges = extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()
        area = pixels_within(pictures.grid, edges)
        if area is None:
            raise ParameterError(
                f"EXTENT: {self.text(parameters, 'EXTENT', context)} lies beside the image "
                f"{pictures.name}; choose an extent that they share or leave it empty."
            )
        return area


class _Encoding:
    """The windows of a plan, encoded one after the other."""

    def __init__(
        self, plan: _Plan, segmenter: StoredSegmenter, feedback: QgsProcessingFeedback
    ) -> None:
        self.plan = plan
        self.keys: Dict[Window, str] = {}
        """Of the windows that are in the store."""
        self.empty = 0
        """How many windows have no data."""
        self._segmenter = segmenter
        self._feedback = feedback

    def run(self, monitor: Monitor) -> bool:
        """Encode all windows that are not there.

        :returns: False where the user stopped it; what was encoded until then is kept.
        :raises OutputError: the folder cannot be written or its disk is too small.
        """
        windows = self.plan.windows
        try:
            for done, window in enumerate(windows, start=1):
                self._take(window, len(windows) - done, monitor)
                monitor.progress(done / len(windows))
        except Cancelled:
            return False
        return True

    def list_in(self, folder: Path, model: Mapping[str, str]) -> None:
        """Put what has been encoded so far into the folder's index.

        :param model: id and sha256 of the engine.
        """
        if not self.keys:
            return
        plan = self.plan
        path, size, changed = _identity(plan.path)
        image = EncodedImage(
            path, size, changed, plan.bands, model["id"], model["sha256"], plan.tile,
            self.keys, furrow_version(),
        )  # fmt: skip
        add_to_index(folder, image)

    def _take(self, window: Window, following: int, monitor: Monitor) -> None:
        """:raises Cancelled: while the window is encoded."""
        segmenter, before = self._segmenter, self._segmenter.encoded
        key = watched(lambda: self._encode(window), monitor)
        if segmenter.store.trouble:
            raise OutputError(f"OUTPUT: {segmenter.store.trouble}")
        if key is None:
            self.empty += 1
            return
        self.keys[window] = key
        if segmenter.encoded > before == 0:
            self._require_room(key, following)

    def _encode(self, window: Window) -> Optional[str]:
        """The key of a window, which is then in the store; None where it shows nothing."""
        picture = self.plan.pictures.pictures(window)[0]
        if not picture.valid.any():
            return None
        self._segmenter.encode(picture.image)
        return self._segmenter.key(picture.image)

    def _require_room(self, key: str, windows: int) -> None:
        """Windows of an earlier run come first, so those that follow are likely to be new.

        :param key: of a window of usual size.
        :raises OutputError: the disk is too small for so many more.
        """
        folder = self._segmenter.store.folder
        needed = windows * path_of(folder, key).stat().st_size
        free = shutil.disk_usage(folder).free
        self._feedback.pushInfo(
            tr("They take {:.0f} MB more at most.").format(needed / _MEGABYTE)
        )
        if needed > free:
            raise OutputError(
                f"OUTPUT: {windows} more windows take {needed / _MEGABYTE:.0f} MB, but "
                f"{free / _MEGABYTE:.0f} MB are free in {folder}; choose another folder or a "
                "smaller EXTENT."
            )


def _identity(source: str) -> Tuple[str, int, str]:
    """Path, bytes and date of change of an image's file; its source where it is no file here."""
    try:
        path = Path(source).resolve(strict=True)
        status = path.stat()
    except (OSError, ValueError, RuntimeError):
        return without_credentials(source), 0, ""
    changed = dt.datetime.fromtimestamp(status.st_mtime, dt.timezone.utc)
    return str(path), status.st_size, changed.isoformat()
