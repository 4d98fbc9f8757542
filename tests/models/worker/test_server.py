"""What the worker process answers, and how it starts, fails and ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest

from furrow.core.fields.segmenter import Prompts
from furrow.models.worker.framing import Frame, read_frame, write_frame
from furrow.models.worker.messages import FEATURE, packed_prompts
from furrow.models.worker.server import Server
from furrow.tests.models.worker.made_up_worker import MadeUpNetwork

ROOT = Path(__file__).resolve().parents[3]
START = ROOT / "models" / "worker" / "start.py"
MADE_UP = Path(__file__).with_name("made_up_worker.py")
IMAGE = np.random.default_rng(1).integers(0, 255, (60, 90, 3)).astype(np.uint8)


def network(*behaviours: str) -> MadeUpNetwork:
    return MadeUpNetwork(behaviours)


def decode(token: str, **more: Any) -> Frame:
    box = Prompts(np.empty((0, 2)), np.empty(0, bool), np.array([10.0, 10, 40, 40]))
    arrays = packed_prompts([Prompts.click(30, 20), box])
    header = {"kind": "decode", "token": token, "shape": [60, 90], "request": 5}
    return Frame(header, {**arrays, **more})


def encoded(server: Server, image: np.ndarray = IMAGE) -> Frame:
    return server.answer(Frame({"kind": "encode", "request": 4}, {"image": image}))


def test_features_are_halved_and_have_a_token() -> None:
    answer = encoded(Server(network()))
    assert answer.header["kind"] == "features"
    assert answer.header["request"] == 4
    assert {values.dtype for values in answer.arrays.values()} == {np.dtype(np.float16)}
    assert answer.header["token"] == encoded(Server(network())).header["token"]
    other = encoded(Server(network()), 255 - IMAGE)
    assert answer.header["token"] != other.header["token"]


def test_features_too_large_for_float16_stay_as_they_are() -> None:
    tall = network()
    tall.encode = lambda image: {"a": np.float32([1e6, 1]), "b": np.int32([1 << 20])}
    arrays = encoded(Server(tall)).arrays
    assert (arrays["a"].dtype, arrays["b"].dtype) == (np.float32, np.int32)


def test_features_known_and_features_sent_give_the_same_logits() -> None:
    server = Server(network())
    features = encoded(server)
    known = server.answer(decode(features.header["token"]))
    assert known.header["request"] == 5
    assert known.arrays["logits"].shape == (2, 4, 256, 256)
    assert known.arrays["scores"].shape == (2, 4)
    fresh = Server(network())
    assert fresh.answer(decode(features.header["token"])).header["kind"] == "unknown"
    own = {FEATURE + name: values for name, values in features.arrays.items()}
    sent = fresh.answer(decode(features.header["token"], **own))
    again = fresh.answer(decode(features.header["token"]))
    for answer in (sent, again):
        for name, values in known.arrays.items():
            assert np.array_equal(answer.arrays[name], values)


def test_the_last_images_are_remembered() -> None:
    server = Server(network())
    tokens = [encoded(server, np.full_like(IMAGE, k)).header["token"] for k in range(8)]
    server.answer(decode(tokens[0]))
    encoded(server)
    kinds = [server.answer(decode(token)).header["kind"] for token in tokens]
    assert kinds == ["answers", "unknown", *["answers"] * 6]


@pytest.mark.parametrize(
    ("request_frame", "text"),
    [
        (Frame({"kind": "sing"}), "ValueError: There is no request of the kind 'sing'."),
        (Frame({"kind": "encode"}), "KeyError: 'image'"),
        (Frame({}), "ValueError: There is no request of the kind None."),
    ],
)
def test_what_is_no_request_is_answered_by_an_error(request_frame: Frame, text: str) -> None:
    answer = Server(network()).answer(request_frame)
    assert (answer.header["what"], answer.header["text"]) == ("other", text)


@pytest.mark.parametrize(
    "failure",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
)
def test_out_of_memory_has_a_sentence_and_makes_room(failure: Exception) -> None:
    full = network()
    server = Server(full)
    token = encoded(server).header["token"]

    def encode(image: np.ndarray) -> Dict[str, np.ndarray]:
        raise failure

    full.encode = encode
    answer = encoded(server)
    assert answer.header["what"] == "memory"
    assert "device cpu has not enough memory" in answer.header["text"]
    assert server.answer(decode(token)).header["kind"] == "unknown"


class Child:
    """A worker process, talked to without the client."""

    def __init__(self, *behaviours: str, start: Path = START, **options: Any) -> None:
        command = [sys.executable, "-I", "-X", "utf8", str(MADE_UP), str(start), *behaviours]
        pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
        self.process = subprocess.Popen(command, bufsize=0, **{**pipes, **options})

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def read(self) -> Frame:
        return read_frame(self.process.stdout)

    def ask(self, frame: Frame) -> Frame:
        write_frame(self.process.stdin, frame)
        return self.read()


def test_hello_names_the_network_versions_memory_and_seconds() -> None:
    with Child() as child:
        hello = child.read().header
    assert (hello["kind"], hello["family"], hello["side"]) == ("hello", "segment-anything", 256)
    assert hello["versions"]["numpy"] == np.__version__
    assert 0 < hello["seconds"] < 30
    assert 10 << 20 < hello["memory"] < 1 << 30
    assert hello["device_memory"] is None


def test_bye_ends_the_process() -> None:
    with Child() as child:
        child.read()
        assert child.ask(Frame({"kind": "bye", "request": 1})).header["kind"] == "bye"
        assert child.process.wait(5) == 0


@pytest.mark.parametrize("behaviour", ["", "slow=60", "mute"])
def test_closing_its_input_ends_the_process(behaviour: str) -> None:
    """Idle, in the middle of an image, and while the network is being opened."""
    with Child(behaviour) as child:
        if behaviour == "mute":
            time.sleep(1)
        else:
            child.read()
        if behaviour == "slow=60":
            write_frame(child.process.stdin, Frame({"kind": "encode"}, {"image": IMAGE}))
            time.sleep(0.2)
        child.process.stdin.close()
        child.process.stdin = None
        assert child.process.wait(5) == 0


def test_rubbish_on_its_input_ends_the_process() -> None:
    with Child() as child:
        child.read()
        child.process.stdin.write(b"This is no frame, and long enough to be seen as none.")
        assert child.process.wait(5) == 1
        assert b"no frame" in child.process.stderr.read()


def test_what_libraries_print_goes_to_stderr() -> None:
    with Child("chatter") as child:
        child.read()
        answer = child.ask(Frame({"kind": "encode", "request": 1}, {"image": IMAGE}))
        assert answer.header["kind"] == "features"
        child.process.stdin.close()
        child.process.stdin = None
        said = child.process.stderr.read().decode()
    assert [f"printed by {who}" in said for who in ("Python", "a library", "a child")] == [True] * 3


def test_a_prompt_is_answered_while_an_image_is_encoded() -> None:
    with Child("slow=0.8") as child:
        child.read()
        token = child.ask(Frame({"kind": "encode"}, {"image": IMAGE})).header["token"]
        write_frame(child.process.stdin, Frame({"kind": "encode", "request": 1}, {"image": IMAGE}))
        began = time.monotonic()
        assert child.ask(decode(token)).header["request"] == 5
        assert time.monotonic() - began < 0.6
        assert child.read().header["request"] == 1


@pytest.mark.parametrize(
    ("behaviour", "what", "text"),
    [
        ("refused", "model", "MODEL: made.pth is no checkpoint; choose another file."),
        ("no-memory", "memory", "this computer has not enough memory"),
        ("traceback", "other", "ModuleNotFoundError: No module named 'a_package_that"),
    ],
)
def test_a_network_that_cannot_be_opened_is_told_of(behaviour: str, what: str, text: str) -> None:
    with Child(behaviour) as child:
        header = child.read().header
        assert (header["kind"], header["what"]) == ("error", what)
        assert text in header["text"]
        assert child.process.wait(5) == 0
        assert b"Traceback" in child.process.stderr.read()


def test_the_folder_may_have_any_name_and_any_environment(tmp_path: Path) -> None:
    folder = tmp_path / "Schläge & Äcker 農地" / "my plugin-1.0"
    for part in ("core", "models/worker"):
        shutil.copytree(ROOT / part, folder / part)
    for name in ("__init__.py", "models/__init__.py", "models/segmenters/__init__.py",
                 "models/segmenters/model_frame.py"):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    environment = {**os.environ, "LC_ALL": "C"}
    start = folder / "models" / "worker" / "start.py"
    with Child(start=start, env=environment, cwd=str(folder)) as child:
        assert child.read().header["kind"] == "hello"


def test_an_interrupt_is_left_to_the_parent() -> None:
    with Child() as child:
        child.read()
        child.process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        assert child.ask(Frame({"kind": "memory"})).header["memory"] > 0


def test_the_worker_imports_neither_qgis_nor_a_model_engine() -> None:
    code = (
        "import runpy, sys; start = runpy.run_path(sys.argv[1]); start['_register']();"
        "import furrow.models.worker.server; print(*sys.modules)"
    )
    command = [sys.executable, "-I", "-c", code, str(START)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "furrow.models.worker.server" in found
    heavy = {"qgis", "PyQt5", "scipy", "torch", "onnxruntime", "osgeo"}
    assert heavy.isdisjoint(name.split(".")[0] for name in found)
