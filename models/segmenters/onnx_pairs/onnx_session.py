"""Opening ONNX files with onnxruntime, which the user may have installed or not."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ....core.errors import ModelError
from .onnx_graph import read_graph
from .onnx_safety import check_safe

PACKAGE = "onnxruntime"
CPU = "CPUExecutionProvider"
_DIRECTML = "DmlExecutionProvider"
_ACCELERATED: Dict[str, Dict[str, str]] = {
    # The default tries all algorithms out, again for each size of image.
    "CUDAExecutionProvider": {"cudnn_conv_algo_search": "HEURISTIC"},
    _DIRECTML: {},
    # Parts whose sizes change from click to click would be compiled anew each time.
    "CoreMLExecutionProvider": {"RequireStaticInputShapes": "1"},
}
"""onnxruntime's providers that are faster than the CPU, best first, and their options."""
THREADS_VARIABLE = "FURROW_THREADS"
"""Of the environment: processes that work side by side are told to use one thread each."""
_MOST_THREADS = 4
_KEPT_SESSIONS = 4
"""Those of two models; large ones take gigabytes."""
_WARNINGS_OFF, _ERRORS_OFF = 3, 4

LOGGER = logging.getLogger("furrow")


def available() -> bool:
    """Whether onnxruntime is installed for this Python; it is not imported."""
    return importlib.util.find_spec(PACKAGE) is not None


def default_threads() -> int:
    """How many threads a session uses unless told otherwise, here or in THREADS_VARIABLE."""
    told = os.environ.get(THREADS_VARIABLE, "")
    return max(1, int(told)) if told.isdecimal() else min(_MOST_THREADS, os.cpu_count() or 1)


def open_session(path: Path, threads: Optional[int] = None, accelerated: bool = False) -> Any:
    """The session of a model file; one that was opened before is given again.

    Its `run` may be called from several threads at once, unless it is accelerated: see
    :class:`GraphRunner`.

    :param path: an ONNX file.
    :param threads: how many threads one run uses at most; None: `default_threads()`.
    :param accelerated: on the graphics processor where onnxruntime offers one that starts, which
        takes longer to open and is worth it for large models only; else on the CPU.
    :return: an onnxruntime.InferenceSession.
    :raises ModelError: no onnxruntime, no file, a file that reaches out of its folder or needs
        operators from elsewhere, or one that onnxruntime cannot read.
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
    return _opened(path, path.stat().st_mtime_ns, threads or default_threads(), accelerated)


def close_sessions() -> None:
    """Forget all sessions; those that nobody uses let go of their files, which can be moved then.

    Files of weights stay open as long as their session, and Windows moves no open file.
    """
    _opened.cache_clear()


class GraphRunner:
    """A model file that is run on the fastest processor that can; safe for several threads."""

    def __init__(self, path: Path, threads: Optional[int] = None, accelerated: bool = True) -> None:
        """Open the file.

        :raises ModelError: as :func:`open_session`.
        """
        self._path, self._threads = path, threads
        self._session = open_session(path, threads, accelerated)
        self._runtime, self._failures = _runtime()
        self._lock = Lock()
        """Held while DirectML runs: it cannot do two things at once."""

    @property
    def provider(self) -> str:
        """onnxruntime's name of what it runs on."""
        return str(self._session.get_providers()[0])

    def run(self, names: Sequence[str], inputs: Mapping[str, np.ndarray]) -> List[np.ndarray]:
        """Outputs of the graph; only what they need is worked out.

        A graphics processor that fails, as when its memory is full, is left for the CPU.

        :raises ModelError: the graph cannot be run on these inputs.
        """
        session = self._session
        try:
            return self._run(session, names, inputs)
        except self._failures as failure:
            if session.get_providers()[0] == CPU:
                raise ModelError(_cannot_run(self._path, failure)) from failure
            _say_slow(session.get_providers()[0], "it failed while running", _first_line(failure))
        self._session = open_session(self._path, self._threads)
        return self.run(names, inputs)

    def _run(
        self, session: Any, names: Sequence[str], inputs: Mapping[str, np.ndarray]
    ) -> List[np.ndarray]:
        options = self._runtime.RunOptions()
        # Without it masks are enlarged within the graph even if nobody asks for them.
        options.only_execute_path_to_fetches = True
        options.log_severity_level = _ERRORS_OFF
        if session.get_providers()[0] != _DIRECTML:
            return session.run(list(names), dict(inputs), options)
        with self._lock:
            return session.run(list(names), dict(inputs), options)


@lru_cache(maxsize=_KEPT_SESSIONS)
def _opened(path: Path, changed: int, threads: int, accelerated: bool) -> Any:
    """:param changed: when the file was written; part of the key, so a new file is read anew."""
    runtime, failures = _runtime()
    check_safe(read_graph(path))
    session = _accelerated(runtime, failures, path, threads) if accelerated else None
    if session is not None:
        return session
    options = _options(runtime, threads)
    try:
        return runtime.InferenceSession(str(path), options, providers=[CPU])
    except failures as failure:
        raise ModelError(
            f"MODEL: {PACKAGE} {runtime.__version__} cannot read the model file {path}; install "
            "Furrow again, download or export the file again, or choose the model classical."
        ) from failure


def _accelerated(
    runtime: Any, failures: Tuple[type, ...], path: Path, threads: int
) -> Optional[Any]:
    """A session on a graphics processor; None where there is none or none starts."""
    for provider in accelerators(runtime):
        options = _options(runtime, threads)
        # DirectML wants memory that is laid out anew for each run.
        options.enable_mem_pattern = provider != _DIRECTML
        wanted = [(provider, _ACCELERATED[provider]), CPU]
        try:
            session = runtime.InferenceSession(
                str(path), options, providers=wanted, enable_fallback=0
            )
        except failures as failure:
            _say_slow(provider, "it does not start", _first_line(failure))
            continue
        # onnxruntime leaves a provider out without an error where its libraries are missing.
        if session.get_providers()[0] == provider:
            return session
        _say_slow(provider, "it does not start", "its libraries are missing or do not fit")
    return None


def accelerators(runtime: Any) -> Tuple[str, ...]:
    """Names of the providers on graphics processors that an onnxruntime offers, best first."""
    offered = runtime.get_available_providers()
    return tuple(provider for provider in _ACCELERATED if provider in offered)


def _options(runtime: Any, threads: int) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _WARNINGS_OFF
    # Threads that wait in a loop would take the processor from QGIS between two runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


@cache
def _say_slow(provider: str, trouble: str, reason: str) -> None:
    """Tell why models run on the CPU; the cache keeps it from being told for each file."""
    name = provider.replace("ExecutionProvider", "")
    LOGGER.warning("Models run on the CPU, not with %s: %s (%s).", name, trouble, reason)


def _cannot_run(path: Path, failure: BaseException) -> str:
    return (
        f"MODEL: {PACKAGE} cannot run {path.name} on this image ({_first_line(failure)}); choose "
        "another model or another export of it."
    )


def _first_line(failure: BaseException) -> str:
    lines = str(failure).strip().splitlines()
    return (lines[0] if lines else type(failure).__name__)[:200].rstrip(".")


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
             "NoSuchFile", "RuntimeException", "EPFail")  # fmt: skip
    known = tuple(getattr(state, name) for name in names if hasattr(state, name))
    return runtime, (*known, RuntimeError, ValueError)
