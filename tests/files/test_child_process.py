import os
import signal
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from posecli.files.child_process import Child
from posecli.files.lock import locked

#: Messages of 4 KiB, ten times what a pipe takes on Linux.
MESSAGES = [f"{number:04096}" for number in range(500)]


def reads_behind_a_gate(connection: Connection, gate: str) -> None:
    """Read nothing before the gate, a named pipe, is opened; then give all back."""
    open(gate, "rb").close()
    connection.send([connection.recv() for _ in MESSAGES])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_sending_never_waits_and_keeps_the_order(tmp_path: Path) -> None:
    os.mkfifo(gate := str(tmp_path / "gate"))
    child = Child(reads_behind_a_gate, gate, name="test")
    try:
        for message in MESSAGES:
            child.send(message, short=True)
        open(gate, "wb").close()
        assert child.connection.recv() == MESSAGES
    finally:
        child.stop()


#: Forks two children and closes the pipe of the first, which ends then although the second lives on. Run by a process
#: of its own: what else tests load does not survive a fork.
TWO_CHILDREN = """
from posecli.files.child_process import Child

def wait_for_the_end(connection):
    connection.send(None)
    connection.recv()

if __name__ == "__main__":
    first, second = (Child(wait_for_the_end, name="test", forked=True) for _ in range(2))
    for child in (first, second):
        child.connection.recv()
    first.connection.close()
    first._process.join(30)
    print(first.has_ended, second.has_ended)
    for child in (first, second):
        child.stop()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks only there")
def test_a_forked_child_does_not_hold_the_pipes_of_others() -> None:
    found = subprocess.run([sys.executable, "-c", TWO_CHILDREN], capture_output=True, check=True, text=True)
    assert found.stdout.split() == ["True", "False"]


#: Dies while it holds a lock and a forked child lives on; prints the child's number first.
LOCKED = """
import os, signal, sys
from posecli.files.child_process import Child
from posecli.files.lock import locked

def live_on(connection):
    connection.send(os.getpid())
    signal.pause()

if __name__ == "__main__":
    with locked([(sys.argv[1], "the output")]):
        child = Child(live_on, name="test", forked=True)
        print(child.connection.recv(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks only there")
def test_a_forked_child_does_not_hold_the_locks_of_a_parent_that_was_killed(tmp_path: Path) -> None:
    path = str(tmp_path / "a.lock")
    with subprocess.Popen([sys.executable, "-c", LOCKED, path], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())  # its end would not come: the child holds it as well
        parent.wait(30)
        try:
            with locked([(path, "the output")]):
                pass
        finally:
            os.kill(child, signal.SIGKILL)
