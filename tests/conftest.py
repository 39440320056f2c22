"""Fixtures and helpers for all tests: test data, models, and posecli as a process."""

from __future__ import annotations

import json
import logging
import os
import shutil
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

#: Test files that share a Ray cluster, or start a cluster on another port.
RAY_FILES = ("test_cluster_recipes.py", "test_engines.py", "test_ray.py", "test_documents.py")
#: Test files with many slow and independent tests.
SPREAD_FILES = ("test_replay.py",)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile` of pytest-xdist, with two exceptions.

    All RAY_FILES run on one worker, so that one cluster runs at a time. Each of the SPREAD_FILES runs on all workers.
    """
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

#: Timeout in seconds for a condition that takes long on a loaded machine. Only a failing test reaches it.
PATIENCE = 120
Found = TypeVar("Found")


def wait_for(find: Callable[[], Found]) -> Found:
    """Call a function until its result is true, and return the result. Fails after `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not (found := find()):
        assert time.monotonic() < deadline, f"the condition is not met after {PATIENCE} seconds"
        time.sleep(0.02)
    return found


def has_lines(path: Path, count: int) -> bool:
    return path.exists() and path.read_bytes().count(b"\n") >= count


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that need the test data, or Docker, if there is none.

    The test data are pictures, models and fixtures that are not part of the repository. If POSECLI_TEST_DATA is set,
    missing test data are an error.
    """
    if not (DATA / "fixtures").is_dir():
        if os.environ.get("POSECLI_TEST_DATA"):
            raise pytest.UsageError(f"POSECLI_TEST_DATA is {DATA}, but this folder contains no test data")
        _deselect_users(
            "test_data", "pictures, models and fixtures that are not part of the repository: set POSECLI_TEST_DATA",
            config, items,
        )  # fmt: skip
    if any("docker" in getattr(item, "fixturenames", ()) for item in items) and not _docker_runs():
        _deselect_users("docker", "a running Docker", config, items)


def _deselect_users(fixture: str, needed: str, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that use a fixture, and remember for the summary what they need."""
    deselected = [item for item in items if fixture in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=deselected)
    items[:] = [item for item in items if item not in deselected]
    config.stash.setdefault(DESELECTED, []).append(f"{len(deselected)} need {needed}")


def _docker_runs() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


DESELECTED: pytest.StashKey[list[str]] = pytest.StashKey()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Report the deselected tests in a section of the summary."""
    if lines := config.stash.get(DESELECTED, []):
        terminalreporter.section("deselected tests")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture
def docker() -> None:
    """A running Docker. Tests that ask for it are deselected if there is none."""


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of pictures, models and fixtures that are not part of the repository."""
    return DATA


def _find_real_model() -> Path | ModelError:
    """The model that posecli uses outside tests: POSECLI_MODEL, models/ or the user's cache."""
    try:
        return find_model()
    except ModelError as error:
        return error


_REAL_MODEL = _find_real_model()


@pytest.fixture(scope="session")
def real_model() -> Path:
    """A PoseNet with trained weights. `scripts/test.sh` provides it."""
    if isinstance(_REAL_MODEL, ModelError):
        pytest.fail(str(_REAL_MODEL))
    return _REAL_MODEL


@pytest.fixture(scope="session")
def built_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name → file of the models that are built from weights that the real npm downloads."""
    if find_npm() is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("built")
    models = [known for known in KNOWN_MODELS if known.npm is not None]
    return {known.name: download_model([known], folder, source="npm") for known in models}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small PoseNet that finds coloured discs."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.tflite")


@pytest.fixture(scope="session")
def tiny_movenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small single-person network that finds coloured discs."""
    return write_tiny_movenet(tmp_path_factory.mktemp("model") / "tiny_movenet.tflite")


@pytest.fixture(scope="session", autouse=True)
def _default_interrupt_handler() -> None:
    """Restore the handling of Ctrl-C: a shell starts background jobs with SIGINT ignored, and children inherit that."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Isolate tests from the user's settings, from other tests and from the user's cache."""
    for name in [name for name in os.environ if name.startswith("POSECLI_")]:
        monkeypatch.delenv(name)
    if find_spec("tflite_runtime") is not None and int(np.__version__.split(".")[0]) < 2:
        # If both runtimes are installed, this Python version tests the older one.
        monkeypatch.setenv("POSECLI_RUNTIME", "tflite-runtime")
    monkeypatch.setenv("POSECLI_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    clip_decoder._stop_idle()


@pytest.fixture(autouse=True)
def _tests_do_not_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable forking in this process: libraries that tests load may not survive it. posecli as a process does fork."""
    monkeypatch.setattr(processes, "may_fork", lambda: False)


@pytest.fixture
def posecli(tiny_model: Path) -> Posecli:
    """A function that runs posecli as a process, with the tiny model by default."""

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
    """A function that makes an environment for processes in which some packages cannot be imported."""

    def environment(*packages: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("without")
        (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({packages}))\n")
        return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}

    return environment


def records_of(output: bytes) -> list[Record]:
    """Parse JSON Lines to records. NaN is refused."""
    return [Record.from_dict(json.loads(line, parse_constant=_refuse)) for line in output.splitlines()]


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Any]:
    """A Ray cluster on this machine: two nodes with one CPU each."""
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
    """A running process (Linux): its id, the ids of its parent and session, and its command line."""

    pid: int
    parent: int
    session: int
    command: bytes


def running() -> Iterator[Running]:
    """All running processes, without zombies."""
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
    """An input that blocks its reader until `close`: a named pipe that this process holds open.

    A run with a gate among its inputs cannot end before `close`, and the process that reads the gate is surely busy.
    """

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR)

    def reader(self) -> Running:
        """Wait for a process that reads the gate, and return it (Linux)."""
        return wait_for(lambda: next(filter(self._is_read_by, running()), None))

    def _is_read_by(self, process: Running) -> bool:
        if process.pid == os.getpid():
            return False
        status = os.fstat(self._descriptor)
        with suppress(OSError):
            for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
                with suppress(OSError):  # the descriptor was closed in the meantime
                    if os.path.samestat(descriptor.stat(), status):
                        return True
        return False

    def replace(self, picture: Path) -> None:
        """Replace the gate by a picture. A process that already reads the gate still waits."""
        self.path.unlink()
        self.path.symlink_to(picture)

    def close(self) -> None:
        """Unblock the readers: they read an empty file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@pytest.fixture
def make_gate() -> Iterator[Callable[[Path], Gate]]:
    """A function that makes a gate at a path. All gates are closed after the test."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    with ExitStack() as gates:

        def make(path: Path) -> Gate:
            gate = Gate(path)
            gates.callback(gate.close)
            return gate

        yield make


def spawned_children() -> set[int]:
    """Process ids of posecli's child processes of this process."""
    return {found.pid for found in running() if found.parent == os.getpid() and b"spawn_main" in found.command}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def make_maps(height: int, width: int, stride: int = 32) -> Maps:
    """Writable maps without people: all zero."""
    return Maps(*(np.zeros((height, width, channels), np.float32) for channels in (17, 34, 32, 32)), stride)
