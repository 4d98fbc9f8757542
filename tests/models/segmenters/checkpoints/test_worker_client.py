"""Child processes are started, shared, ended and started again, whatever becomes of them."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, List

import numpy as np
import pytest

from furrow.core.errors import Cancelled, ModelError, WorkerError
from furrow.core.monitor import Monitor, watched
from furrow.models.segmenters.checkpoints import worker_client
from furrow.models.segmenters.checkpoints.worker_client import START, Worker, shared_worker
from furrow.models.worker.framing import Frame

ROOT = Path(__file__).resolve().parents[4]
MADE_UP = ROOT / "tests" / "models" / "worker" / "made_up_worker.py"
IMAGE = np.random.default_rng(1).integers(0, 255, (60, 90, 3)).astype(np.uint8)
ENCODE = Frame({"kind": "encode"}, {"image": IMAGE})
MEMORY = Frame({"kind": "memory"})

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")


def command(*behaviours: str) -> List[str]:
    return [sys.executable, "-I", "-X", "utf8", str(MADE_UP), str(START), *behaviours]


def runs(pid: int) -> bool:
    """Whether a process runs; one that nobody has asked for its exit code does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children() -> set:
    """Pids of the worker processes of this process."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for path in tasks for pid in path.read_text().split() if runs(int(pid))}


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


@pytest.fixture
def worker() -> Iterator[Callable[..., Worker]]:
    """Workers with a made-up network; none is left when the test is over."""
    before, made = children(), []

    def make(*behaviours: str, **options: Any) -> Worker:
        made.append(Worker(command(*behaviours), "made-up.pth", **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()
    assert children() <= before


def test_a_worker_starts_when_it_is_first_asked(worker: Callable[..., Worker]) -> None:
    one = worker()
    assert (one.pid, one.about) == (None, None)
    assert one.ask(ENCODE).header["kind"] == "features"
    about = one.start()
    assert (about.family, about.side, about.device) == ("segment-anything", 256, "cpu")
    assert about.versions["numpy"] == np.__version__
    assert 0 < about.seconds < 30
    assert one.memory()["memory"] > 10 << 20
    pid = one.pid
    assert runs(pid)
    one.stop()
    assert not runs(pid)
    assert one.pid is None


def test_a_stopped_worker_starts_again(worker: Callable[..., Worker]) -> None:
    one = worker()
    first = one.ask(ENCODE).header["token"]
    one.stop()
    assert one.ask(ENCODE).header["token"] == first


def test_the_start_is_told_of(worker: Callable[..., Worker]) -> None:
    told: List[str] = []
    worker().start(Monitor(message=told.append))
    assert told[0] == "Starting the process that runs made-up.pth."
    assert told[-1].startswith("made-up.pth is ready on cpu after ")


def test_long_waits_are_told_of(
    worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("furrow.models.segmenters.checkpoints.worker_child._TELL_SECONDS", 0.3)
    told: List[str] = []
    worker("slow=1").ask(ENCODE, Monitor(message=told.append))
    assert told[-1] == "Waiting for made-up.pth, 1 s so far."


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        ("crash", "ended with exit code 1 (a start that fails) when it was started"),
        ("silent-exit", "ended with exit code 0 when it was started"),
        ("rubbish", "answered with what is no answer"),
        ("traceback", "failed with ModuleNotFoundError: No module named 'a_package"),
        ("mute", "gave no answer for 1 s when it was started"),
    ],
)
def test_a_start_that_fails_has_a_sentence(
    worker: Callable[..., Worker], behaviour: str, text: str
) -> None:
    one = worker(behaviour, start_seconds=1.0 if behaviour == "mute" else 30.0)
    with pytest.raises(WorkerError) as caught:
        one.ask(ENCODE)
    assert str(caught.value).startswith("MODEL: the process that runs made-up.pth ")
    assert text in str(caught.value)
    assert str(caught.value).endswith("or choose another model.")
    assert one.pid is None


def test_what_the_model_refuses_is_said_as_it_is(worker: Callable[..., Worker]) -> None:
    with pytest.raises(ModelError) as caught:
        worker("refused").start()
    assert str(caught.value) == "MODEL: made.pth is no checkpoint; choose another file."
    assert not isinstance(caught.value, WorkerError)


def test_an_interpreter_that_is_not_there_has_a_sentence() -> None:
    with pytest.raises(WorkerError, match="cannot be started with /nowhere/python"):
        Worker(["/nowhere/python", "x"], "made-up.pth").start()


@pytest.mark.parametrize(
    ("behaviour", "text", "lives"),
    [
        ("memory-on-encode", "the device cpu has not enough memory for this model", True),
        ("fail-on-encode", "failed with RuntimeError: Given groups=1, weight of size 3;", True),
        ("crash-on-encode", "ended with exit code 3 (the network falls over);", False),
        ("rubbish-on-encode", "answered with what is no answer", False),
    ],
)
def test_an_image_that_fails_has_a_sentence(
    worker: Callable[..., Worker], behaviour: str, text: str, lives: bool
) -> None:
    one = worker(behaviour)
    one.start()
    pid = one.pid
    with pytest.raises(ModelError) as caught:
        one.ask(ENCODE)
    assert text in str(caught.value)
    assert one.memory()["memory"] > 0, "it can be asked again"
    assert (one.pid == pid) == lives


def test_what_the_child_prints_is_logged(
    worker: Callable[..., Worker], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "furrow.worker"):
        one = worker("chatter")
        one.ask(ENCODE)
        one.stop()
    assert {"printed by Python", "printed by a library"} <= {r.message for r in caplog.records}


def test_a_flood_of_words_does_not_stop_the_child(worker: Callable[..., Worker]) -> None:
    code = "import sys; sys.stderr.write('x' * 3_000_000); sys.exit('the last line')"
    one = Worker([sys.executable, "-I", "-c", code], "talkative")
    with pytest.raises(WorkerError, match=r"exit code 1 \(.*the last line\)"):
        one.start()


def test_a_killed_child_is_replaced_and_asked_again(worker: Callable[..., Worker]) -> None:
    one = worker("slow=0.5")
    one.start()
    pid = one.pid
    threading.Timer(0.2, os.kill, (pid, signal.SIGKILL)).start()
    assert one.ask(ENCODE).header["kind"] == "features"
    assert one.pid != pid


def test_killing_the_child_at_any_moment_ends_well(worker: Callable[..., Worker]) -> None:
    one, dice = worker("slow=0.1"), random.Random(7)
    expected = one.ask(ENCODE).header["token"]
    longest = 1.5 * one.about.seconds + 0.3
    failures = 0
    for round_number in range(20):
        if round_number % 2:
            one.stop()  # so that some moments are those of a start

        def kill(delay: float = dice.uniform(0, longest)) -> None:
            time.sleep(delay)
            if one.pid is not None:
                os.kill(one.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        began = time.monotonic()
        try:
            for _ in range(3):
                assert one.ask(ENCODE).header["token"] == expected
        except WorkerError as error:
            failures += 1
            # At its start, or twice: the one before had just been killed while it was idle.
            assert "often for lack of memory" in str(error) and "; try again" in str(error)
        assert time.monotonic() - began < 15
        killer.join()
    assert failures < 20
    assert one.ask(ENCODE).header["token"] == expected


def test_two_threads_share_a_child(worker: Callable[..., Worker]) -> None:
    one = worker()
    images = [np.full((40, 40, 3), k, np.uint8) for k in range(8)]

    def token(image: np.ndarray) -> str:
        return one.ask(Frame({"kind": "encode"}, {"image": image})).header["token"]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(token, images * 3))
    assert found == found[:8] * 3
    assert len(set(found)) == 8
    assert len(children()) == 1


def test_two_threads_that_lose_a_child_share_the_next(worker: Callable[..., Worker]) -> None:
    one = worker("slow=0.4")
    one.start()
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(one.ask, ENCODE) for _ in range(2)]
        time.sleep(0.2)
        os.kill(one.pid, signal.SIGKILL)
        assert {job.result(20).header["kind"] for job in jobs} == {"features"}
    assert len(children()) == 1


def test_the_child_outlives_the_thread_that_needed_it_first(
    worker: Callable[..., Worker],
) -> None:
    """Linux would end it with that thread, were it started there."""
    one = worker()
    thread = threading.Thread(target=one.start)
    thread.start()
    thread.join()
    pid = one.pid
    time.sleep(0.3)
    assert runs(pid)
    one.ask(MEMORY)
    assert one.pid == pid


def test_a_call_that_is_given_up_does_not_spoil_the_next(worker: Callable[..., Worker]) -> None:
    one = worker("slow=1")
    one.start()
    pid, end = one.pid, time.monotonic() + 0.3
    monitor = Monitor(cancelled=lambda: time.monotonic() > end)
    for ask in (
        lambda: watched(lambda: one.ask(ENCODE), monitor),
        lambda: one.ask(ENCODE, monitor),
    ):
        began = time.monotonic()
        with pytest.raises(Cancelled):
            ask()
        assert time.monotonic() - began < 0.9
    assert one.ask(MEMORY).header["kind"] == "memory"
    assert one.ask(ENCODE).header["kind"] == "features"
    assert one.pid == pid


def test_a_start_that_is_given_up_leaves_no_child(worker: Callable[..., Worker]) -> None:
    one = worker("mute")
    end = time.monotonic() + 0.3
    with pytest.raises(Cancelled):
        one.start(Monitor(cancelled=lambda: time.monotonic() > end))
    assert one.pid is None


@pytest.mark.parametrize("behaviour", ["slow=60", "mute"])
def test_stopping_ends_calls_that_wait(worker: Callable[..., Worker], behaviour: str) -> None:
    one = worker(behaviour)
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(one.ask, ENCODE) for _ in range(3)]
        assert wait_until(lambda: one.pid is not None, 10)
        time.sleep(0.5)
        pid, began = one.pid, time.monotonic()
        one.stop()
        for job in jobs:
            with pytest.raises(WorkerError, match="was stopped; try again"):
                job.result(5)
    assert time.monotonic() - began < 3
    assert not runs(pid)


def test_the_environment_of_qgis_is_kept_from_the_child(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "FURROW_KEPT"):
        monkeypatch.setenv(name, str(tmp_path))
    names = "'PYTHONPATH', 'PYTHONHOME', 'PYTHONSTARTUP', 'FURROW_KEPT'"
    code = f"import os; raise SystemExit(str([name for name in ({names}) if name in os.environ]))"
    with pytest.raises(WorkerError, match=r"\(\['FURROW_KEPT'\]\)"):
        Worker([sys.executable, "-c", code], "made-up").start()


PARENT = """
    import importlib.util, sys, time
    from concurrent.futures import ThreadPoolExecutor
    root = sys.argv[1]
    spec = importlib.util.spec_from_file_location(
        "furrow", root + "/__init__.py", submodule_search_locations=[root])
    sys.modules["furrow"] = importlib.util.module_from_spec(spec)
    from furrow.models.segmenters.checkpoints import worker_client
    from furrow.models.worker.framing import Frame
    import numpy as np
    worker = worker_client._POOL.worker(("made up",), sys.argv[3:], "made up")
    worker.start()
    image = np.zeros((20, 20, 3), np.uint8)
    pool = ThreadPoolExecutor(2)
    if sys.argv[2] != "idle":
        jobs = [pool.submit(worker.ask, Frame({"kind": "encode"}, {"image": image}))
                for _ in range(2)]
        time.sleep(0.3)
    print(worker.pid, flush=True)
    if sys.argv[2] != "exit":
        time.sleep(600)
"""


def parent(what: str) -> subprocess.Popen:
    """A process that has a worker: idle, busy, or about to exit while it is busy."""
    code = [sys.executable, "-c", textwrap.dedent(PARENT), str(ROOT), what, *command("slow=60")]
    return subprocess.Popen(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("what", ["idle", "busy"])
def test_killing_the_parent_leaves_no_child(what: str) -> None:
    with parent(what) as process:
        pid = int(process.stdout.readline())
        assert runs(pid)
        process.kill()
        assert wait_until(lambda: not runs(pid), 5)


def test_python_ends_though_threads_wait_for_the_child() -> None:
    with parent("exit") as process:
        pid = int(process.stdout.readline())
        try:
            assert process.wait(10) == 0
        finally:
            process.kill()
        assert wait_until(lambda: not runs(pid), 5)


def test_workers_are_shared_by_what_they_run(tmp_path: Path) -> None:
    checkpoint = tmp_path / "sam vit b.pth"
    checkpoint.write_bytes(b"1")
    interpreter = Path(sys.executable)
    one = shared_worker(interpreter, checkpoint)
    assert one.title == "sam vit b.pth"
    assert shared_worker(interpreter, checkpoint) is one
    assert shared_worker(interpreter, checkpoint, "cpu") is not one
    checkpoint.write_bytes(b"12")
    assert shared_worker(interpreter, checkpoint) is not one


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    checkpoint = tmp_path / "a.pth"
    with pytest.raises(ModelError, match=r"a\.pth cannot be read \(No such file"):
        shared_worker(Path(sys.executable), checkpoint)
    checkpoint.write_bytes(b"")
    with pytest.raises(ModelError, match=r"there is no .*python; install that environment"):
        shared_worker(tmp_path / "python", checkpoint)


def test_a_third_model_ends_the_process_of_the_first() -> None:
    pool = worker_client._Pool()
    workers = []
    for number in range(3):
        workers.append(pool.worker((number,), command(), str(number)))
        workers[-1].start()
    assert [one.pid is None for one in workers] == [True, False, False]
    assert workers[0].ask(MEMORY).header["kind"] == "memory", "it starts again when asked"
    pids = [one.pid for one in workers]
    pool.stop_all()
    assert not any(runs(pid) for pid in pids)
