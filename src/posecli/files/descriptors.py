"""Descriptors 0 to 2 of the process, made safe: a closed one would be given to the next file or socket that is opened,
and what is printed would be written into that.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from posecli.errors import OutputError, ReaderLeft

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STDIN, _STDOUT, _STDERR = range(3)


def make_safe() -> None:
    """Open what is closed of standard input, output and error, and name the output in what goes wrong with it.

    Standard input is then empty. Standard output refuses what is written: it raises OutputError, or ReaderLeft once
    its reader has left. Standard error never raises: a message that cannot be written is dropped. A character that the
    encoding of either lacks is escaped.
    """
    # In the order of their numbers, since each gets the lowest one that is free. What may only be read refuses output.
    for descriptor, flags in ((_STDIN, os.O_RDONLY), (_STDOUT, os.O_RDONLY), (_STDERR, os.O_WRONLY)):
        if not _is_open(descriptor):
            os.open(os.devnull, flags)
            os.set_inheritable(descriptor, True)
    if sys.stdin is None:
        sys.stdin = open(_STDIN, closefd=False)  # noqa: SIM115 (open as long as the process)
    if sys.stdout is sys.__stdout__:  # not where a caller within the process has put something else
        sys.stdout = _text(_StandardOutput(_STDOUT, "wb", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_StandardError(_STDERR, "wb", closefd=False), sys.stderr, by_line=True)


def discard_output() -> None:
    """Let what is still to be written to standard output go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)


class _StandardOutput(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError as error:
            raise ReaderLeft from error
        except OSError as error:
            raise OutputError(f"cannot write standard output: {error.strerror or error}") from error


class _StandardError(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        with suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _text(raw: io.FileIO, before: TextIO | None, *, by_line: bool = False) -> TextIO:
    """Text over a raw file, encoded and buffered as Python has set it up, if it has."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before is not None else None,
        errors="backslashreplace",
        line_buffering=by_line or raw.isatty(),
    )
