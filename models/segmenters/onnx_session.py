"""Opening ONNX files with onnxruntime, which the user may have installed or not."""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional, Tuple

from ...core.errors import ModelError

PACKAGE = "onnxruntime"
_MOST_THREADS = 4
_KEPT_SESSIONS = 8
_WARNINGS_OFF = 3


def available() -> bool:
    """Whether onnxruntime is installed for this Python; it is not imported."""
    return importlib.util.find_spec(PACKAGE) is not None


def default_threads() -> int:
    """How many threads a session uses unless told otherwise."""
    return min(_MOST_THREADS, os.cpu_count() or 1)


def open_session(path: Path, threads: Optional[int] = None) -> Any:
    """The session of a model file; one that was opened before is given again.

    Its `run` may be called from several threads at once.

    :param path: an ONNX file.
    :param threads: how many threads one run uses at most; None: `default_threads()`.
    :return: an onnxruntime.InferenceSession on the CPU.
    :raises ModelError: no onnxruntime, no file, or a file that onnxruntime cannot read.
    """
    if not available():
        raise ModelError(
            f"MODEL: {path.name} needs the Python package {PACKAGE}, which is not installed; "
            f"install it with 'python -m pip install {PACKAGE}' in QGIS' Python or choose the "
            "model classical."
        )
    if not path.is_file():
        raise ModelError(
            f"MODEL: the model file {path} is missing; install Furrow again or choose the model "
            "classical."
        )
    return _opened(path, path.stat().st_mtime_ns, threads or default_threads())


@lru_cache(maxsize=_KEPT_SESSIONS)
def _opened(path: Path, changed: int, threads: int) -> Any:
    """:param changed: when the file was written; part of the key, so a new file is read anew."""
    runtime, failures = _runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _WARNINGS_OFF
    # Threads that wait in a loop would take the processor from QGIS between two runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except failures as failure:
        raise ModelError(
            f"MODEL: {PACKAGE} {runtime.__version__} cannot read the model file {path}; install "
            "Furrow again or choose the model classical."
        ) from failure


def _runtime() -> Tuple[Any, Tuple[type, ...]]:
    """onnxruntime and the exceptions with which it refuses a file."""
    try:
        runtime = importlib.import_module(PACKAGE)
        state = importlib.import_module(f"{PACKAGE}.capi.onnxruntime_pybind11_state")
    except (ImportError, OSError, AttributeError) as failure:
        raise ModelError(
            f"MODEL: the Python package {PACKAGE} is installed but does not load; install a "
            "version that fits QGIS' Python and numpy, or choose the model classical."
        ) from failure
    names = ("Fail", "InvalidProtobuf", "InvalidArgument", "InvalidGraph", "NotImplemented",
             "NoSuchFile", "RuntimeException")  # fmt: skip
    known = tuple(getattr(state, name) for name in names if hasattr(state, name))
    return runtime, (*known, RuntimeError, ValueError)
