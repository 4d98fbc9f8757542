"""Going through a series image by image: each file is opened once and read in its own blocks.

Images are read by a few threads side by side (GDAL and zlib work outside Python's lock). A file
that breaks on reading drops out with a reason; the others go on.
"""

from __future__ import annotations

import os
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Callable, List, Tuple, TypeVar, Union

from ..errors import RasterError, SeriesError
from ..monitor import Monitor
from .raster import Raster
from .series import Series, SeriesImage, Skipped

Result = TypeVar("Result")
_POLL_SECONDS = 0.2
_MOST_THREADS = 4


def each_image(
    series: Series,
    work: Callable[[int, SeriesImage, Raster], Result],
    monitor: Monitor,
) -> Tuple[List[Result], List[Skipped]]:
    """Open every image and call `work(position, image, raster)` on it.

    :param work: runs in a thread of its own; calls `monitor.check()` between blocks.
    :returns: results of the images that could be read, and those that could not.
    :raises Cancelled: within a fraction of a second after the user asked.
    :raises SeriesError: where not one image could be read.
    """
    results: List[Result] = []
    broken: List[Skipped] = []
    threads = min(_MOST_THREADS, os.cpu_count() or 1, max(1, len(series.images)))
    with ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(_one, series, k, image, work) for k, image in enumerate(series.images)]
        waiting = set(jobs)
        try:
            while waiting:
                done, waiting = wait(waiting, _POLL_SECONDS, FIRST_COMPLETED)
                monitor.check()
                for job in done:
                    result = job.result()
                    (broken if isinstance(result, Skipped) else results).append(result)
                monitor.progress(1 - len(waiting) / len(jobs))
        finally:
            for job in waiting:
                job.cancel()
    broken.sort(key=lambda item: item.item)
    if broken and not results:
        raise SeriesError(
            f"SERIES: none of the {len(broken)} image(s) in {series.folder} can be read; fetch the "
            f"files again ({broken[0].reason.rstrip('.')})."
        )
    return results, broken


def _one(
    series: Series,
    position: int,
    image: SeriesImage,
    work: Callable[[int, SeriesImage, Raster], Result],
) -> Union[Result, Skipped]:
    """The error ends here: kept by a job it would keep what GDAL has open until some later time."""
    try:
        raster = series.open(image)
        try:
            return work(position, image, raster)
        finally:
            raster.close()
    except RasterError as error:
        return Skipped(image.name, str(error))
