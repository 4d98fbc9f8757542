"""The virtual environment of the worker, made for real of small packages."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, List

import pytest

from furrow.core.errors import Cancelled, DependencyError
from furrow.core.monitor import Monitor
from furrow.models.dependencies import environment
from furrow.models.dependencies.environment import Wanted, interpreter_of, ready, state
from furrow.models.dependencies.obtaining import Network, Sources
from furrow.models.dependencies.own_packages import Condition
from furrow.tests.file_server import FileServer, Manner, wait_until
from furrow.tests.models.dependencies.small_index import SmallIndex, plain_network, wheel_bytes

IMPORTS = ("alpha", "beta_two")


@pytest.fixture
def index(index: SmallIndex) -> SmallIndex:
    index.put_pip()
    index.put_package("alpha")
    index.put_package("beta_two", "2.0")
    return index


@pytest.fixture
def wanted(index: SmallIndex, place: Path) -> Wanted:
    lock = index.write_lock(place)
    return Wanted(place / "furrow" / "environment", Path(sys.executable), False, lock, IMPORTS)


def create(index: SmallIndex, wanted: Wanted, **options: Any) -> None:
    sources = options.pop("sources", Sources(index.address))
    environment.create(wanted, index.pinned(), sources, plain_network(), **options)


def repair(index: SmallIndex, wanted: Wanted, **options: Any) -> None:
    sources = options.pop("sources", Sources(index.address))
    environment.repair(wanted, index.pinned(), sources, plain_network(), **options)


def answer(wanted: Wanted, code: str) -> str:
    command = [str(interpreter_of(wanted.folder)), "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def nothing_left(wanted: Wanted) -> bool:
    """At once where the environment would be; what was begun is deleted by and by."""
    return not wanted.folder.exists() and wait_until(
        lambda: not list(wanted.folder.parent.glob("*.old*"))
    )


def test_made_used_repaired_removed(index: SmallIndex, wanted: Wanted) -> None:
    """All in one, as making takes seconds."""
    assert state(wanted.folder, wanted.lock).condition is Condition.ABSENT
    assert not ready(wanted.folder)
    told: List[str] = []
    shares: List[float] = []
    create(index, wanted, monitor=Monitor(progress=shares.append, message=told.append))
    assert ready(wanted.folder)
    assert state(wanted.folder, wanted.lock).condition is Condition.READY
    assert (
        answer(wanted, "import alpha, beta_two; print(alpha.VERSION, beta_two.VERSION)")
        == "1.0 2.0"
    )
    assert answer(wanted, "import sys; print(sys.prefix)") == str(wanted.folder)
    assert "numpy" not in answer(
        wanted, "import sys, pkgutil; print([m.name for m in pkgutil.iter_modules()])"
    )
    assert shares[-1] == 1.0
    assert "ok alpha" in told
    assert not environment.downloads_of(wanted.folder).exists()

    # A package has gone: it is fetched again, the rest stays.
    site = Path(answer(wanted, "import alpha; print(alpha.__path__[0])")).parent
    for path in site.glob("alpha*"):
        shutil.rmtree(path)
    repair(index, wanted)
    assert answer(wanted, "import alpha; print(alpha.VERSION)") == "1.0"

    # A newer version of Furrow wants another version; the index is down at first.
    index.put_package("gamma", "3.0")
    newer = replace(wanted, lock=index.write_lock(wanted.lock.parent), imports=(*IMPORTS, "gamma"))
    assert state(wanted.folder, newer.lock).condition is Condition.OUTDATED
    with pytest.raises(DependencyError, match="cannot be reached"):
        repair(index, newer, sources=Sources("http://127.0.0.1:9/simple"))
    assert ready(wanted.folder), "what worked goes on working"
    repair(index, newer)
    assert state(newer.folder, newer.lock).condition is Condition.READY
    assert answer(wanted, "import gamma; print(gamma.VERSION)") == "3.0"

    # The Python that made it has gone.
    settings = wanted.folder / "pyvenv.cfg"
    settings.write_text(settings.read_text().replace("home = ", "home = /gone"))
    assert not ready(wanted.folder)
    assert state(wanted.folder, newer.lock).condition is Condition.BROKEN
    repair(index, newer)
    assert ready(wanted.folder)

    environment.uninstall(wanted.folder)
    assert nothing_left(wanted)
    environment.uninstall(wanted.folder)


def test_a_damaged_package_is_made_anew(index: SmallIndex, wanted: Wanted) -> None:
    create(index, wanted)
    broken = Path(answer(wanted, "import alpha; print(alpha.__file__)"))
    broken.write_text("raise ImportError('damaged')")
    told: List[str] = []
    repair(index, wanted, monitor=Monitor(message=told.append))
    assert any("made anew" in line for line in told)
    assert answer(wanted, "import alpha; print(alpha.VERSION)") == "1.0"


def test_wheel_folder(index: SmallIndex, wanted: Wanted, place: Path) -> None:
    wheels = index.save_wheels(place / "wheels")
    offline = Sources("http://nowhere.invalid/simple", wheels)
    create(index, wanted, sources=offline)
    assert ready(wanted.folder)
    assert index.server.requests == []
    shutil.rmtree(next(wanted.folder.rglob("alpha-1.0.dist-info")))
    (wheels / "alpha-1.0-py3-none-any.whl").unlink()
    with pytest.raises(DependencyError, match="a package is missing in .* wheel folder"):
        repair(index, wanted, sources=offline)


def test_wheel_folder_without_pip(index: SmallIndex, wanted: Wanted, place: Path) -> None:
    with pytest.raises(DependencyError, match=f"{place} has no {index.pip.name}"):
        create(index, wanted, sources=Sources(index.address, place))
    assert nothing_left(wanted)


def test_another_file_of_that_name(index: SmallIndex, wanted: Wanted) -> None:
    name = "beta_two-2.0-py3-none-any.whl"
    index.put(name, index.wheels["alpha-1.0-py3-none-any.whl"])
    with pytest.raises(DependencyError, match="not the one that Furrow expects"):
        create(index, wanted)
    assert nothing_left(wanted)


def test_a_package_that_does_not_load(index: SmallIndex, wanted: Wanted) -> None:
    """Nothing is left but what was downloaded, which is not downloaded again."""
    kept = Manner(headers={"Cache-Control": "max-age=1000"})
    name = "alpha-1.0-py3-none-any.whl"
    index.put(name, index.wheels[name], kept)
    index.put_package("delta", "1.0", "raise OSError('[WinError 206] too long')")
    wanted = replace(wanted, lock=index.write_lock(wanted.lock.parent))
    with pytest.raises(DependencyError, match="do not work: a path is too long for Windows"):
        create(index, replace(wanted, imports=("delta",)))
    assert nothing_left(wanted)
    assert environment.downloads_of(wanted.folder).is_dir()
    create(index, wanted)
    assert len(index.server.asked(f"files/{name}")) == 1
    assert not environment.downloads_of(wanted.folder).exists()


def test_no_space(index: SmallIndex, wanted: Wanted) -> None:
    with pytest.raises(DependencyError, match="no room for"):
        environment.create(
            wanted, index.pinned(room=10**16), Sources(index.address), plain_network()
        )
    assert index.server.requests == []
    assert not wanted.folder.parent.exists()


def test_what_was_given_up_is_swept(wanted: Wanted) -> None:
    """Where QGIS has ended before all of it was deleted."""
    rest = wanted.folder.with_name(f"{wanted.folder.name}.old-1234")
    other = wanted.folder.with_name("environment of mine")
    for folder in (rest, other):
        (folder / "lib").mkdir(parents=True)
    environment.uninstall(wanted.folder)
    assert not rest.exists()
    assert other.exists()


def test_cancel_while_pip_waits(index: SmallIndex, wanted: Wanted) -> None:
    """Within a second or two, with all that was started, and nothing is left."""
    name = "alpha-1.0-py3-none-any.whl"
    index.put(name, index.wheels[name], Manner(stall_after=10))
    stalled: List[float] = []

    def stop() -> bool:
        if not stalled and index.server.asked(f"files/{name}"):
            stalled.append(time.monotonic())
        return bool(stalled)

    with pytest.raises(Cancelled):
        create(index, wanted, monitor=Monitor(stop))
    assert time.monotonic() - stalled[0] < 1.5
    assert nothing_left(wanted)
    assert str(wanted.folder) not in running()


def running() -> str:
    return subprocess.run(["ps", "-ef"], capture_output=True, text=True, check=True).stdout


def test_proxy_reaches_pip(index: SmallIndex, wanted: Wanted) -> None:
    """An index that is found through the proxy only; with a password that nobody sees."""
    with FileServer(index.server, proxy_login=("me", "hidden word")) as proxy:
        login = "me:hidden%20word@"
        variables = {"HTTP_PROXY": f"http://{login}127.0.0.1:{proxy.port}"}
        far = Sources(f"http://packages.example{index.server.root}/simple", None, variables)
        told: List[str] = []
        network = Network(
            lambda address, monitor: plain_network().read(near(address, index), monitor),
            lambda download, monitor: plain_network().fetch(
                replace(download, url=near(download.url, index)), monitor
            ),
        )
        monitor = Monitor(message=told.append)
        environment.create(wanted, index.pinned(), far, network, monitor)
        assert ready(wanted.folder)
        assert [each for each in proxy.requests if "simple/alpha" in each.path]
        assert "hidden" not in " ".join(told)


def near(address: str, index: SmallIndex) -> str:
    return address.replace("http://packages.example", f"http://127.0.0.1:{index.server.port}")


def test_password_of_the_index_is_not_told(index: SmallIndex, wanted: Wanted) -> None:
    told: List[str] = []
    secret = index.address.replace("://", "://me:hidden@")
    network = Network(
        lambda address, monitor: plain_network().read(index.address + "/pip/", monitor),
        lambda download, monitor: plain_network().fetch(
            replace(download, url=f"{index.server.address}/files/{index.pip.name}"), monitor
        ),
    )
    for package in ("alpha", "beta-two"):
        index.server.put(f"simple/{package}/", b"", Manner(403))
    with pytest.raises(DependencyError) as error:
        environment.create(
            wanted, index.pinned(), Sources(secret), network, Monitor(message=told.append)
        )
    assert "hidden" not in str(error.value) + " ".join(told)


def test_a_folder_of_the_user_is_left_alone(index: SmallIndex, wanted: Wanted) -> None:
    wanted.folder.mkdir(parents=True)
    (wanted.folder / "thesis.odt").write_text("years of work")
    for work in (lambda: create(index, wanted), lambda: environment.uninstall(wanted.folder)):
        with pytest.raises(DependencyError, match="is no virtual environment"):
            work()
    assert (wanted.folder / "thesis.odt").read_text() == "years of work"


def test_a_python_that_is_none(index: SmallIndex, wanted: Wanted, place: Path) -> None:
    with pytest.raises(DependencyError, match="does not exist"):
        create(index, replace(wanted, python=place / "python3"))


def test_without_cuda(index: SmallIndex, wanted: Wanted, place: Path) -> None:
    """Torch comes as another file than the lock file knows, of a known hash; CUDA does not come."""
    index.put_package("torch", "2.0")
    index.put_package("nvidia_thing", "1.0", "raise ImportError('no card')")
    wheels = index.save_wheels(place / "wheels")
    plain, of_cpu = (wheels / f"torch-2.0{part}-py3-none-any.whl" for part in ("", "+cpu"))
    plain.unlink()
    files = {"torch/__init__.py": b"KIND = 'processor'\n"}
    of_cpu.write_bytes(wheel_bytes("torch", "2.0+cpu", "py3-none-any", files))
    wanted = replace(
        wanted, without_cuda=True, lock=index.write_lock(place), imports=("torch", *IMPORTS)
    )
    index.torch_hashes = (hashlib.sha256(of_cpu.read_bytes()).hexdigest(),)
    create(index, wanted, sources=Sources(index.address, wheels))
    assert answer(wanted, "import torch; print(torch.KIND)") == "processor"
    assert environment.runs_without_cuda(wanted.folder)
    assert state(wanted.folder, wanted.lock).version == "2.0"
