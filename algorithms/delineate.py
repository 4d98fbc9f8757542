"""furrow:delineate: every field of an image, as polygons that neither overlap nor leave gaps."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterRasterDestination,
)

from ..core.errors import Cancelled
from ..core.fields.delineation.scene import SceneDelineation, ScenePlan, join_tiles, work_on_tiles
from ..core.fields.delineation.tile_records import TileFolder
from ..core.imagery.scene_images import measured_image
from ..core.monitor import Monitor, watched
from ..models.segmenters.tiles.tile_work import ModelChoice, SceneWork, scene_zoom
from ..qgis_io.field_preview import TileTold
from ..qgis_io.monitors import monitor_of
from ..qgis_io.places import places
from ..qgis_io.sinks import file_of
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm, SourceType, write_text
from .delineation_outputs import polygons_of, report_of, write_fields, write_residual
from .delineation_parameters import (
    add_area,
    add_rounds,
    add_shapes,
    add_super_resolution,
    add_tiles,
    add_workers,
    least_pixels,
    read_options,
    read_refinement,
    read_super_resolution,
    super_resolution_record,
)
from .delineation_preview import add_preview, previewed
from .delineation_scene import Scene, read_scene, tell
from .delineation_workers import tile_worker
from .image_parameters import add_bands, add_image
from .model_parameters import add_engine, check_model, model_record, read_model

_LOOKED, _FOUND, _DRAWN = 0.9, 0.93, 0.97
"""Shares of the progress at which all tiles are done, joined, and all polygons drawn."""


class Delineate(FurrowAlgorithm):
    """All fields of an image."""

    NAME = "delineate"
    LABEL = "Delineate all fields"
    GROUP = "Fields"
    SUMMARY = "Every field of an image as a polygon; neighbours share their edges."
    TAGS = "delineate,field,parcel,boundary,segment,segment anything,polygon,scene,tile,instance"
    HELP = (
        "Looks for all fields of an image of any size with a promptable segmentation model, in "
        "rounds: each round asks only where the rounds before found nothing. Large fields that "
        "look mixed are looked at again. The polygons are a coverage: they do not overlap, and "
        "neighbours share their edges, also after simplification.\n\n"
        "Example: INPUT a Sentinel-2 image, CROPLAND a land cover mask, OUTPUT fields.gpkg. The "
        "report shows how much of the area is covered after each round, and where nothing was "
        "found.\n\n"
        "The image is read in tiles. A run that is stopped, by you or by a power cut, goes on "
        "where it was when it is started again with the same parameters. With WORKERS several "
        "tiles are worked on at a time. 1,000 x 1,000 pixels take a minute or two on one core.\n\n"
        "An image without a coordinate reference system is measured in pixels: one counts as one "
        "metre."
    )

    def add_parameters(self) -> None:
        add_image(self)
        add_area(self)
        add_engine(self, scene=True)
        add_bands(self)
        add_tiles(self)
        add_super_resolution(self)
        add_rounds(self)
        add_shapes(self)
        add_workers(self)
        add_preview(self)
        self.add(
            QgsProcessingParameterFeatureSink(
                "OUTPUT", tr("Fields"), SourceType.TypeVectorPolygon
            ),
            tr("One polygon a field, with score, measures and the round that found it."),
        )
        self.add(
            QgsProcessingParameterRasterDestination(
                "RESIDUAL", tr("Residual"), optional=True, createByDefault=False
            ),
            tr("A raster: 1 where fields were looked for and none was found, 0 where there is one, "
               "no data elsewhere."),
        )  # fmt: skip
        self.add(
            QgsProcessingParameterFileDestination(
                "REPORT", tr("Report"), "HTML (*.html)", optional=True, createByDefault=False
            ),
            tr("One page with outlines, coverage by round and sizes that opens offline."),
        )
        self.addOutput(QgsProcessingOutputNumber("COVERAGE", tr("Covered share, 0 to 1")))
        self.addOutput(QgsProcessingOutputNumber("FIELD_COUNT", tr("Fields")))

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        read_scene(self, parameters, context)
        check_model(self, parameters, context)
        read_super_resolution(self, parameters, context)

    def work(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        monitor = monitor_of(feedback)
        scene = read_scene(self, parameters, context)
        tell(scene, feedback)
        model = {
            **model_record(self, parameters, context),
            **super_resolution_record(self, parameters, context),
        }
        work = self._scene_work(parameters, context, scene, monitor)
        jobs = tuple(scene.jobs(monitor))
        with self._folder(parameters, context, scene.key(work, jobs, model)) as folder:
            narrow = self.parameterAsDouble(parameters, "MIN_WIDTH_M", context)
            least = least_pixels(self, parameters, context, scene.pixel)
            plan = ScenePlan(
                scene.lattice, jobs, folder, scene.workers, least, narrow / scene.metres
            )
            with previewed(self, parameters, context, scene.grid, feedback) as told:
                found = _found(plan, work, feedback, told)
                return self._write(parameters, context, feedback, scene, work, found, model)

    def _scene_work(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        scene: Scene,
        monitor: Monitor,
    ) -> SceneWork:
        options = read_options(self, parameters, context, scene.pixel)
        images = [
            watched(partial(measured_image, path, scene.bands, scene.grid), monitor)
            for path in scene.paths
        ]
        model, model_file = read_model(self, parameters, context)
        work = SceneWork(
            tuple(images),
            scene.grid,
            scene.cropland,
            options,
            read_refinement(self, parameters, context, options),
            ModelChoice(model, model_file, places()),
            read_super_resolution(self, parameters, context),
        )
        if len(scene.lattice.tiles) == 1:
            return work
        zoom = watched(partial(scene_zoom, work, monitor), monitor)
        return replace(work, options=replace(options, zoom=zoom))

    @contextmanager
    def _folder(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, key: str
    ) -> Iterator[TileFolder]:
        """Where tiles are kept; it stays only where the run does not end well."""
        output = file_of(str(self.given.get("OUTPUT", "")))
        if output is None:
            place = Path(tempfile.mkdtemp(prefix="furrow-tiles-"))
            try:
                yield TileFolder(place, key)
            finally:
                shutil.rmtree(place, ignore_errors=True)
            return
        folder = TileFolder(output.with_name(f"{output.name}.tiles"), key)
        folder.without_others()
        if not self.parameterAsBoolean(parameters, "RESUME", context):
            folder.remove()
        yield folder
        folder.remove()

    def _write(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
        scene: Scene,
        work: SceneWork,
        found: SceneDelineation,
        model: Mapping[str, str],
    ) -> Dict[str, Any]:
        """All outputs, when everything is worked out."""
        began, monitor = time.perf_counter(), monitor_of(feedback)
        drawing = monitor.part(_FOUND, _DRAWN)
        rows = polygons_of(self, parameters, context, scene, found, drawing)
        seconds = {**dict(found.seconds), "polygons": time.perf_counter() - began}
        html = ""
        if self.parameterAsFileOutput(parameters, "REPORT", context):
            html = report_of(self, work.images[0], found, rows, seconds)
        monitor.check()
        outputs = {
            "RESIDUAL": write_residual(self, parameters, context, scene, found, monitor),
            "OUTPUT": write_fields(self, parameters, context, scene, rows),
            "REPORT": write_text(self, parameters, "REPORT", context, html),
        }
        feedback.pushInfo(
            tr("{} fields cover {:.1f} % of the area.").format(len(rows), 100 * found.coverage)
        )
        counts = {"FIELD_COUNT": len(rows), "TILES": found.tiles, "TILES_REUSED": found.reused}
        rounds = {f"ROUND_{each.round}": each.fields for each in found.rounds}
        self.write_records(outputs, {**counts, **rounds}, (), model=model, seconds=seconds)
        given = {name: value for name, value in outputs.items() if value}
        return {**given, "FIELD_COUNT": len(rows), "COVERAGE": round(found.coverage, 6)}


def _found(
    plan: ScenePlan, work: SceneWork, feedback: QgsProcessingFeedback, told: TileTold
) -> SceneDelineation:
    """The fields of the scene.

    :param told: called with each tile that is done.
    :raises Cancelled: after the user was told what becomes of the tiles that are done.
    """
    monitor = monitor_of(feedback)
    try:
        with tile_worker(work, plan.workers) as on_tile:
            reused = work_on_tiles(plan, on_tile, monitor.part(0, _LOOKED), told)
        # By now the processes have ended, for joining takes memory of its own.
        return join_tiles(plan, reused, monitor.part(_LOOKED, _FOUND))
    except Cancelled:
        kept = sum(1 for job in plan.jobs if plan.folder.path_of(job.tile).is_file())
        feedback.pushInfo(
            tr("{} of {} tiles are done; where OUTPUT is a file, the next run goes on there.")
            .format(kept, len(plan.jobs))
        )  # fmt: skip
        raise
