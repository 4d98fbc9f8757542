"""Who works on the tiles of furrow:delineate: this process, others, or a cluster."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

from qgis.core import QgsProcessingContext

from ..core.errors import WorkerError
from ..core.execution import WorkerKind, Workers, parse_workers
from ..core.execution_cluster import require_distributed
from ..core.fields.delineation.scene import TileJob
from ..core.fields.delineation.tile_records import TileRecord
from ..core.monitor import Monitor
from ..models.dependencies.interpreter import find_own_python
from ..models.segmenters.own_models import CHECKPOINT_SUFFIXES
from ..models.segmenters.registry import Registry
from ..models.segmenters.tiles.tile_processes import TileProcesses, tile_command
from ..models.segmenters.tiles.tile_work import SceneWork, work_on_tile
from ..qgis_io.places import places
from .base import FurrowAlgorithm
from .model_parameters import read_model


def read_workers(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> Workers:
    """WORKERS; threads in place of processes for models that have a process of their own.

    :raises ParameterError: neither a number nor an address.
    :raises DependencyError: an address, and dask.distributed is not installed.
    """
    workers = parse_workers(algorithm.text(parameters, "WORKERS", context))
    if workers.kind is WorkerKind.CLUSTER:
        require_distributed()
    if workers.kind is WorkerKind.PROCESSES and _runs_apart(algorithm, parameters, context):
        return replace(workers, kind=WorkerKind.THREADS)
    return workers


@contextmanager
def tile_worker(
    work: SceneWork, workers: Workers
) -> Iterator[Callable[[TileJob, Monitor], TileRecord]]:
    """What works on a tile; processes end with the context.

    :raises WorkerError: there is no Python to start processes with.
    """
    if workers.kind is not WorkerKind.PROCESSES:
        yield partial(work_on_tile, work)
        return
    processes = TileProcesses(work, tile_command(_own_python()))
    try:
        yield processes
    finally:
        processes.close()


def _own_python() -> Path:
    """:raises WorkerError: there is none."""
    python = find_own_python()
    if python is None:
        raise WorkerError(
            "WORKERS: QGIS' own Python was not found as a program, so no processes can be started; "
            "give 1 or threads:4."
        )
    return python


def _runs_apart(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> bool:
    """Whether the model runs in a process of its own, which is large: one must do."""
    model, model_file = read_model(algorithm, parameters, context)
    if model_file:
        return model_file.lower().endswith(CHECKPOINT_SUFFIXES)
    return Registry(places()).model(model).entry.engine == "torch"
