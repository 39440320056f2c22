"""What every test may ask for: where the test data lies, which model there is, posecli as a process."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pytest

from posecli.errors import ModelError
from posecli.inputs import clip_decoder
from posecli.model.catalog import KNOWN_MODELS
from posecli.model.locate import find_model
from posecli.model.sources import download_model
from posecli.model.sources.npm import find_npm
from posecli.run.engines import processes
from posecli.types import Maps, Record

from .tiny_model import write_tiny_model
from .tiny_movenet import write_tiny_movenet

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("POSECLI_TEST_DATA") or ROOT.parent / "shared")
SAMPLES = ROOT / "samples"

#: Files whose tests share a Ray cluster, or start one at a port of its own.
RAY_FILES = ("test_cluster_recipes.py", "test_engines.py", "test_ray.py", "test_readme.py")
#: Files of many tests that take long, and share nothing.
SPREAD_FILES = ("test_replay.py",)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile` of pytest-xdist, with the files of Ray on one worker, one cluster after the other, and each of
    the spread files on all workers."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            name = Path(file).name
            return "ray" if name in RAY_FILES else nodeid if name in SPREAD_FILES else file

    return Scheduling(config, log)


Posecli = Callable[..., "subprocess.CompletedProcess[bytes]"]

#: Seconds to wait for a condition that a loaded machine reaches late. Only a failing test waits so long.
PATIENCE = 120
Found = TypeVar("Found")


def wait_for(find: Callable[[], Found]) -> Found:
    """Call a function until its result is true, and return that. Fails after `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not (found := find()):
        assert time.monotonic() < deadline, f"nothing after {PATIENCE} seconds"
        time.sleep(0.02)
    return found


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests of pictures, models and fixtures that are not part of the repository, where these are not here.

    Where POSECLI_TEST_DATA names them, they must be there.
    """
    if (DATA / "fixtures").is_dir():
        return
    if os.environ.get("POSECLI_TEST_DATA"):
        raise pytest.UsageError(f"POSECLI_TEST_DATA is {DATA}, and there is no test data")
    left_out = [item for item in items if "test_data" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    config.stash[LEFT_OUT] = len(left_out)


LEFT_OUT: pytest.StashKey[int] = pytest.StashKey()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say loudly what was left out."""
    if count := config.stash.get(LEFT_OUT, 0):
        terminalreporter.section("test data is missing")
        terminalreporter.line(f"{count} tests need pictures, models and fixtures that are not part of the repository.")
        terminalreporter.line("Name their folder with POSECLI_TEST_DATA to run them.")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Pictures, models and fixtures that are not part of the repository."""
    return DATA


def _find_real_model() -> Path | ModelError:
    """The model that posecli would use for whoever runs the tests: POSECLI_MODEL, models/, the cache."""
    try:
        return find_model()
    except ModelError as error:
        return error


_REAL_MODEL = _find_real_model()


@pytest.fixture(scope="session")
def real_model() -> Path:
    """A PoseNet with real weights. `scripts/test.sh` sees to it that there is one."""
    if isinstance(_REAL_MODEL, ModelError):
        pytest.fail(str(_REAL_MODEL))
    return _REAL_MODEL


@pytest.fixture(scope="session")
def built_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name → file of the models that are built of what the real npm downloads."""
    if find_npm() is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("built")
    models = [known for known in KNOWN_MODELS if known.npm is not None]
    return {known.name: download_model([known], folder, source="npm") for known in models}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built model that finds coloured discs."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.tflite")


@pytest.fixture(scope="session")
def tiny_movenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built network for one person that finds coloured discs."""
    return write_tiny_movenet(tmp_path_factory.mktemp("model") / "tiny_movenet.tflite")


@pytest.fixture(scope="session", autouse=True)
def _interrupts_are_heard() -> None:
    """A shell starts what runs in its background with Ctrl-C ignored, which all child processes inherit."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test depends on what the user has set or an earlier test has left, and none touches the user's cache."""
    for name in [name for name in os.environ if name.startswith("POSECLI_")]:
        monkeypatch.delenv(name)
    if find_spec("tflite_runtime") is not None and int(np.__version__.split(".")[0]) < 2:
        # Where both runtimes are installed for the tests, this Python is the one that covers the older.
        monkeypatch.setenv("POSECLI_RUNTIME", "tflite-runtime")
    monkeypatch.setenv("POSECLI_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    clip_decoder._stop_idle()


@pytest.fixture(autouse=True)
def _tests_do_not_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have loaded into this process may not survive it. posecli as a process does fork."""
    monkeypatch.setattr(processes, "may_fork", lambda: False)


@pytest.fixture
def posecli(tiny_model: Path) -> Posecli:
    """Run posecli as a process, with the tiny model unless another is named."""

    def run(*args: object, model: Path | None = None, **options: object) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "POSECLI_MODEL": str(model or tiny_model), **options.pop("env", {})}  # type: ignore[dict-item]
        return subprocess.run(
            [sys.executable, "-m", "posecli", *map(os.fspath, args)],  # type: ignore[arg-type]
            capture_output=True,
            check=False,
            env=environment,
            timeout=300,
            **{"stdin": subprocess.DEVNULL, **options} if "input" not in options else options,  # type: ignore[arg-type]
        )

    return run


@pytest.fixture
def without(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """A function that gives an environment for processes in which packages cannot be imported."""

    def environment(*packages: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("without")
        (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({packages}))\n")
        return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}

    return environment


def records_of(output: bytes) -> list[Record]:
    """JSON Lines as records; refuses NaN."""
    return [Record.from_dict(json.loads(line, parse_constant=_refuse)) for line in output.splitlines()]


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Any]:
    """Two nodes of one processor each, on this machine."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


class Running(NamedTuple):
    """A process that runs (Linux): its id, those of its parent and session, its command line."""

    pid: int
    parent: int
    session: int
    command: bytes


def running() -> Iterator[Running]:
    """All processes that run; zombies do not."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if fields[0] != "Z":
                yield Running(int(entry.name), int(fields[1]), int(fields[3]), command)


class Gate:
    """A picture that blocks its reader until `close`: a named pipe that this process holds open. A run with a gate
    among its inputs cannot end early, and a process that reads the gate is busy for certain."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR)

    def reader(self) -> Running:
        """Wait for the process that reads it (Linux)."""
        return wait_for(lambda: next(filter(self._is_read_by, running()), None))

    def _is_read_by(self, process: Running) -> bool:
        if process.pid == os.getpid():
            return False
        ours = os.fstat(self._descriptor)
        with suppress(OSError):
            for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
                with suppress(OSError):  # closed meanwhile
                    if os.path.samestat(descriptor.stat(), ours):
                        return True
        return False

    def replace(self, picture: Path) -> None:
        """Put a picture in its place. Who reads the gate already still waits."""
        self.path.unlink()
        self.path.symlink_to(picture)

    def close(self) -> None:
        """Let its readers go: they find it empty."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@pytest.fixture
def make_gate() -> Iterator[Callable[[Path], Gate]]:
    """A function that makes a gate at a path. All gates are closed after the test."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    with ExitStack() as gates:

        def make(path: Path) -> Gate:
            gate = Gate(path)
            gates.callback(gate.close)
            return gate

        yield make


def spawned_children() -> set[int]:
    """Ids of the processes of posecli's own that this process has started."""
    return {found.pid for found in running() if found.parent == os.getpid() and b"spawn_main" in found.command}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def make_maps(height: int, width: int, stride: int = 32) -> Maps:
    """Maps of nobody: all zero, writable."""
    return Maps(*(np.zeros((height, width, channels), np.float32) for channels in (17, 34, 32, 32)), stride)
