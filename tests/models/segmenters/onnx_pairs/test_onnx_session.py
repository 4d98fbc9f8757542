"""Sessions: safety before opening, the processor that runs them, failures as sentences."""

from __future__ import annotations

import gc
import logging
import time
import weakref

import numpy as np
import pytest

onnxruntime = pytest.importorskip("onnxruntime")

from furrow.core.errors import ModelError  # noqa: E402
from furrow.models.segmenters.furrow_field.field_model import WEIGHTS  # noqa: E402
from furrow.models.segmenters.onnx_pairs import onnx_session  # noqa: E402
from furrow.models.segmenters.onnx_pairs.onnx_session import (  # noqa: E402
    CPU,
    GraphRunner,
    accelerators,
    close_sessions,
    open_session,
)

ENCODER = next(WEIGHTS.glob("*encoder.onnx"))
CUDA, COREML = "CUDAExecutionProvider", "CoreMLExecutionProvider"


@pytest.fixture(autouse=True)
def nothing_kept():
    close_sessions()
    onnx_session._say_slow.cache_clear()
    yield
    close_sessions()


class Offering:
    """onnxruntime as built for a graphics processor that this computer may not have."""

    __version__ = onnxruntime.__version__
    SessionOptions, RunOptions = onnxruntime.SessionOptions, onnxruntime.RunOptions

    def __init__(self, *providers: str, silent: bool = False, fails_later: bool = False) -> None:
        self._providers, self._silent, self._fails_later = providers, silent, fails_later
        self.started = []

    def get_available_providers(self) -> list:
        return [*self._providers, CPU]

    def InferenceSession(self, path, options, providers, **more):
        names = [each if isinstance(each, str) else each[0] for each in providers]
        self.started.append(names[0])
        if names[0] != CPU and not (self._silent or self._fails_later):
            raise RuntimeError("no device\nsecond line")
        session = onnxruntime.InferenceSession(path, options, providers=[CPU])
        return Failing(session, names) if self._fails_later and names[0] != CPU else session


class Failing:
    """A session on a graphics processor whose memory is full."""

    def __init__(self, session, names: list) -> None:
        self._session, self._names = session, names

    def get_providers(self) -> list:
        return self._names

    def run(self, *given):
        raise RuntimeError("out of memory")


def offered(monkeypatch, runtime: Offering) -> Offering:
    real = onnx_session._runtime()
    monkeypatch.setattr(onnx_session, "_runtime", lambda: (runtime, real[1]))
    return runtime


def features(runner: GraphRunner) -> np.ndarray:
    return runner.run(["detail2"], {"image": np.zeros((1, 3, 64, 64), np.float32)})[0]


def test_a_session_is_opened_once() -> None:
    assert open_session(ENCODER, 1) is open_session(ENCODER, 1)
    assert open_session(ENCODER).get_providers() == [CPU]


def test_sessions_that_nobody_uses_are_closed() -> None:
    used, unused = open_session(ENCODER, 1), weakref.ref(open_session(ENCODER, 2))
    close_sessions()
    gc.collect()
    assert unused() is None
    assert features(GraphRunner(ENCODER, 1)).any() and used.get_inputs()


def test_opening_the_shipped_model_is_cheap() -> None:
    start = time.process_time()
    for _ in range(200):
        open_session(ENCODER, 1)
    assert time.process_time() - start < 1


def test_providers_are_tried_best_first() -> None:
    assert accelerators(Offering(COREML, "AzureExecutionProvider", CUDA)) == (CUDA, COREML)
    assert accelerators(Offering()) == ()


@pytest.mark.parametrize("silent", [False, True])
def test_a_provider_that_does_not_start(monkeypatch, caplog, silent) -> None:
    runtime = offered(monkeypatch, Offering(COREML, CUDA, silent=silent))
    with caplog.at_level(logging.WARNING, logger="furrow"):
        runner = GraphRunner(ENCODER, 1)
        GraphRunner(next(WEIGHTS.glob("*decoder.onnx")), 1)
    assert runner.provider == CPU and features(runner).any()
    assert runtime.started[:3] == [CUDA, COREML, CPU]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, "once for each provider, not for each file"
    assert "on the CPU, not with CUDA" in said[0] and "second line" not in said[0]


def test_a_provider_that_fails_while_running(monkeypatch, caplog) -> None:
    offered(monkeypatch, Offering(CUDA, fails_later=True))
    runner = GraphRunner(ENCODER, 1)
    assert runner.provider == CUDA
    with caplog.at_level(logging.WARNING, logger="furrow"):
        assert features(runner).any() and features(runner).any()
    assert runner.provider == CPU
    assert [record.getMessage() for record in caplog.records] == [
        "Models run on the CPU, not with CUDA: it failed while running (out of memory)."
    ]


def test_the_field_model_stays_on_the_cpu(monkeypatch) -> None:
    runtime = offered(monkeypatch, Offering(CUDA))
    open_session(ENCODER, 1)
    assert runtime.started == [CPU]


def test_inputs_that_do_not_fit() -> None:
    runner = GraphRunner(ENCODER, 1)
    for given in ({}, {"image": np.zeros((1, 4, 64, 64), np.float32)}, {"x": np.zeros(1)}):
        with pytest.raises(ModelError, match="cannot run furrow-field-encoder.onnx") as caught:
            runner.run(["detail2"], given)
        assert "\n" not in str(caught.value)


def test_an_unsafe_file_is_not_opened(monkeypatch, tmp_path) -> None:
    onnx = pytest.importorskip("onnx")
    runtime = offered(monkeypatch, Offering())
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Steal", ["x"], ["y"], domain="evil.corp")], "g",
        [onnx.helper.make_tensor_value_info("x", 1, [1])],
        [onnx.helper.make_tensor_value_info("y", 1, [1])],
    )  # fmt: skip
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("evil.corp", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), tmp_path / "evil.onnx")
    with pytest.raises(ModelError, match="Steal"):
        open_session(tmp_path / "evil.onnx")
    assert not runtime.started


def test_a_graph_that_onnxruntime_does_not_know(tmp_path) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("NoSuchThing", ["x"], ["y"])], "g",
        [onnx.helper.make_tensor_value_info("x", 1, [1])],
        [onnx.helper.make_tensor_value_info("y", 1, [1])],
    )  # fmt: skip
    onnx.save(onnx.helper.make_model(graph), tmp_path / "odd.onnx")
    with pytest.raises(ModelError, match="cannot read the model file"):
        open_session(tmp_path / "odd.onnx")
