"""Runs programs without a network, and records their attempts to use it (Linux).

A seccomp filter intercepts each system call that makes a socket, also in child processes and native code. The call
waits until this process has answered it. Only local sockets (AF_UNIX) are allowed. They are recorded too, because a
local service may resolve names. The filter needs no privileges. If the kernel refuses it, the program does not start.

As a script: `python cut_off.py DESCRIPTOR COMMAND…` installs the filter, sends its descriptor over the socket
DESCRIPTOR, and replaces itself by the command.
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

#: Machine → its audit architecture, and the numbers of the system calls `seccomp` and `socket`.
_MACHINES = {"x86_64": (0xC000003E, 317, 41), "aarch64": (0xC00000B7, 277, 198)}
#: Sockets can also be made through io_uring. This number is the same on all machines.
_IO_URING_SETUP = 425
_NO_NEW_PRIVILEGES, _SET_FILTER, _NEW_LISTENER = 38, 1, 1 << 3
_ALLOW, _NOTIFY, _KILL = 0x7FFF0000, 0x7FC00000, 0x80000000
#: BPF instructions: load a word, skip unless equal, return.
_LOAD, _SKIP_UNLESS, _RETURN = 0x20, 0x15, 0x06
#: ioctl requests of the listener, and their structures. Notification: id, process, flags, system call, architecture,
#: instruction pointer, six arguments. Response: id, value, error, flags.
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTIFICATION, _RESPONSE = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_CONTINUE = 1


class CutOff(NamedTuple):
    """The result of a program. attempts: address families of the sockets that it requested; io_uring is -1."""

    returncode: int
    stdout: bytes
    stderr: bytes
    attempts: list[int]


def run_cut_off(command: list[str], *, env: dict[str, str], timeout: float = 300) -> CutOff:
    """Run a program to its end. Raises RuntimeError if the kernel refuses the filter."""
    parent_end, child_end = socket.socketpair()
    with parent_end, child_end:
        process = subprocess.Popen(
            [sys.executable, __file__, str(child_end.fileno()), *command],
            env=env, pass_fds=[child_end.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        child_end.close()
        _, descriptors, _, _ = socket.recv_fds(parent_end, 1, 1)
    if not descriptors:
        raise RuntimeError(process.communicate()[1].decode())
    attempts: list[int] = []
    guard = threading.Thread(target=_answer, args=(descriptors[0], attempts), daemon=True)
    guard.start()
    stdout, stderr = process.communicate(timeout=timeout)
    guard.join(timeout)
    return CutOff(process.returncode, stdout, stderr, attempts)


def _answer(listener: int, attempts: list[int]) -> None:
    """Answer system calls until no process with the filter is left."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while poll.poll()[0][1] & select.POLLIN:
        notification = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, notification)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                continue  # the calling process has ended
            raise
        number, _, _, call, _, _, family, *_ = _NOTIFICATION.unpack(notification)
        is_local = call != _IO_URING_SETUP and family == socket.AF_UNIX
        attempts.append(-1 if call == _IO_URING_SETUP else family)
        response = _RESPONSE.pack(number, 0, 0 if is_local else -errno.ENETUNREACH, _CONTINUE if is_local else 0)
        try:
            fcntl.ioctl(listener, _SEND, response)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
    os.close(listener)


def _filter() -> bytes:
    machine, _, make_socket = _MACHINES[platform.machine()]
    instructions = [
        (_LOAD, 0, 0, 4), (_SKIP_UNLESS, 1, 0, machine), (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0), (_SKIP_UNLESS, 1, 0, make_socket), (_SKIP_UNLESS, 0, 1, _IO_URING_SETUP),
        (_RETURN, 0, 0, _NOTIFY), (_RETURN, 0, 0, _ALLOW),
    ]  # fmt: skip
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def _install_filter() -> int:
    """Install the filter in this process; return the descriptor of its listener."""
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
        raise OSError(ctypes.get_errno(), "the kernel refuses the seccomp filter")
    return listener


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        filter_listener = _install_filter()
        socket.send_fds(connection, [b"1"], [filter_listener])
    os.close(filter_listener)
    os.execvp(sys.argv[2], sys.argv[2:])
