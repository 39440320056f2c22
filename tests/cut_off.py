"""Programs without a network, whose attempts to reach one are counted (Linux).

A filter of the kernel (seccomp) stops each call that makes a socket, of the program and of all processes that it
starts, native code too, until this process has answered it. Only sockets within the machine (AF_UNIX) are given out;
they are counted as well, since a service of the machine may resolve names. It needs no rights, and where the kernel
refuses it, the program does not start.

As a program: `python cut_off.py DESCRIPTOR COMMAND…` takes up the filter, hands it over, and becomes the command.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import select
import socket
import struct
import subprocess
import sys
import threading
from typing import NamedTuple

#: By machine: what the kernel calls it, and the numbers of its calls `seccomp` and `socket`.
_MACHINES = {"x86_64": (0xC000003E, 317, 41), "aarch64": (0xC00000B7, 277, 198)}
#: The other way to make a socket has the same number everywhere.
_IO_URING_SETUP = 425
_NO_NEW_PRIVILEGES, _SET_FILTER, _NEW_LISTENER = 38, 1, 1 << 3
_ALLOW, _ASK, _KILL = 0x7FFF0000, 0x7FC00000, 0x80000000
#: Instructions of a filter: load a word, compare and skip, return.
_LOAD, _SKIP_UNLESS, _RETURN = 0x20, 0x15, 0x06
#: Requests to the kernel, and what travels: id, process, flags, call, machine, place, six arguments; id, value, error,
#: flags.
_RECEIVE, _ANSWER = 0xC0502100, 0xC0182101
_QUESTION, _REPLY = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_GO_ON = 1


class CutOff(NamedTuple):
    """What became of a program. attempts: the families of the sockets that it asked for; io_uring is -1."""

    returncode: int
    stdout: bytes
    stderr: bytes
    attempts: list[int]


def run_cut_off(command: list[str], *, env: dict[str, str], timeout: float = 300) -> CutOff:
    """Run a program to its end. Raises RuntimeError where the kernel takes no filter."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno()), *command],
            env=env, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        theirs.close()
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    if not descriptors:
        raise RuntimeError(process.communicate()[1].decode())
    attempts: list[int] = []
    guard = threading.Thread(target=_answer, args=(descriptors[0], attempts), daemon=True)
    guard.start()
    stdout, stderr = process.communicate(timeout=timeout)
    guard.join(timeout)
    return CutOff(process.returncode, stdout, stderr, attempts)


def _answer(listener: int, attempts: list[int]) -> None:
    """Answer calls until no process with the filter is left."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while poll.poll()[0][1] & select.POLLIN:
        question = bytearray(_QUESTION.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, question)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                continue  # who asked has ended
            raise
        number, _, _, call, _, _, family, *_ = _QUESTION.unpack(question)
        is_local = call != _IO_URING_SETUP and family == socket.AF_UNIX
        attempts.append(-1 if call == _IO_URING_SETUP else family)
        reply = _REPLY.pack(number, 0, 0 if is_local else -errno.ENETUNREACH, _GO_ON if is_local else 0)
        try:
            fcntl.ioctl(listener, _ANSWER, reply)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
    os.close(listener)


def _filter() -> bytes:
    machine, _, make_socket = _MACHINES[platform.machine()]
    instructions = [
        (_LOAD, 0, 0, 4), (_SKIP_UNLESS, 1, 0, machine), (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0), (_SKIP_UNLESS, 1, 0, make_socket), (_SKIP_UNLESS, 0, 1, _IO_URING_SETUP),
        (_RETURN, 0, 0, _ASK), (_RETURN, 0, 0, _ALLOW),
    ]  # fmt: skip
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def _take_up() -> int:
    """Put the filter on this process; return what its calls are answered by."""
    library = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(_filter())
    program = ctypes.create_string_buffer(struct.pack("@HP", (len(code) - 1) // 8, ctypes.addressof(code)))
    library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    library.syscall.restype = ctypes.c_long
    call = _MACHINES[platform.machine()][1]
    listener: int = library.syscall(
        ctypes.c_long(call), ctypes.c_long(_SET_FILTER), ctypes.c_long(_NEW_LISTENER), program
    )
    if listener < 0:
        raise OSError(ctypes.get_errno(), "the kernel takes no filter")
    return listener


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        answered_by = _take_up()
        socket.send_fds(connection, [b"1"], [answered_by])
    os.close(answered_by)
    os.execvp(sys.argv[2], sys.argv[2:])
