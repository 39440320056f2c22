import os
import signal
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from posecli.files.child_process import Child
from posecli.files.lock import locked

#: Messages of 4 KiB, in all about ten times what a pipe can buffer on Linux.
MESSAGES = [f"{number:04096}" for number in range(500)]


def read_after_the_gate(connection: Connection, gate: str) -> None:
    """Wait until the gate, a named pipe, is opened; then receive all messages and send them back."""
    open(gate, "rb").close()
    connection.send([connection.recv() for _ in MESSAGES])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_sending_does_not_block_and_keeps_the_order(tmp_path: Path) -> None:
    os.mkfifo(gate := str(tmp_path / "gate"))
    child = Child(read_after_the_gate, gate, name="test")
    try:
        for message in MESSAGES:
            child.send(message, short=True)
        open(gate, "wb").close()
        assert child.connection.recv() == MESSAGES
    finally:
        child.stop()


#: Forks two children and closes the pipe of the first. The first must end although the second still runs. The script
#: runs in a separate process, because libraries that other tests load do not survive a fork.
TWO_CHILDREN = """
from posecli.files.child_process import Child

def wait_for_a_closed_pipe(connection):
    connection.send(None)
    connection.recv()

if __name__ == "__main__":
    first, second = (Child(wait_for_a_closed_pipe, name="test", forked=True) for _ in range(2))
    for child in (first, second):
        child.connection.recv()
    first.connection.close()
    first._process.join(30)
    print(first.has_ended, second.has_ended)
    for child in (first, second):
        child.stop()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="children are forked only on Linux")
def test_a_forked_child_does_not_keep_the_pipes_of_other_children_open() -> None:
    result = subprocess.run([sys.executable, "-c", TWO_CHILDREN], capture_output=True, check=True, text=True)
    assert result.stdout.split() == ["True", "False"]


#: Prints the process id of a forked child, and kills itself while it holds a lock and the child still runs.
LOCKED = """
import os, signal, sys
from posecli.files.child_process import Child
from posecli.files.lock import locked

def keep_running(connection):
    connection.send(os.getpid())
    signal.pause()

if __name__ == "__main__":
    with locked([(sys.argv[1], "the output")]):
        child = Child(keep_running, name="test", forked=True)
        print(child.connection.recv(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="children are forked only on Linux")
def test_a_forked_child_does_not_keep_the_locks_of_a_killed_parent(tmp_path: Path) -> None:
    path = str(tmp_path / "a.lock")
    with subprocess.Popen([sys.executable, "-c", LOCKED, path], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())  # one line only: the child keeps the pipe open
        parent.wait(30)
        try:
            with locked([(path, "the output")]):
                pass
        finally:
            os.kill(child, signal.SIGKILL)
