"""Safe standard streams: descriptors 0 to 2 are always open.

The system would give a closed descriptor to the next file or socket that is opened, and messages would be written to
that file.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from posecli.errors import OutputError, PipeClosed

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STDIN, _STDOUT, _STDERR = range(3)


def open_standard_streams() -> None:
    """Open those of standard input, output and error that are closed, and replace the streams of Python.

    A closed standard input becomes empty. A closed standard output refuses all writes. Standard output raises
    OutputError if a write fails, or PipeClosed if the reader of its pipe has closed it. Standard error never raises: a
    message that cannot be written is dropped. Characters that the encoding of a stream lacks are escaped.
    """
    # Ascending order: each open returns the lowest free descriptor. Standard output is opened for reading, so that
    # writes to it fail.
    for descriptor, flags in ((_STDIN, os.O_RDONLY), (_STDOUT, os.O_RDONLY), (_STDERR, os.O_WRONLY)):
        if not _is_open(descriptor):
            os.open(os.devnull, flags)
            os.set_inheritable(descriptor, True)
    if sys.stdin is None:
        sys.stdin = open(_STDIN, closefd=False)  # noqa: SIM115 (open as long as the process)
    if sys.stdout is sys.__stdout__:  # a stream that a caller in this process has set is kept
        sys.stdout = _text(_StandardOutput(_STDOUT, "wb", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_StandardError(_STDERR, "wb", closefd=False), sys.stderr, by_line=True)


def discard_output() -> None:
    """Redirect standard output, including what is still buffered, to the null device."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)


class _StandardOutput(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError as error:
            raise PipeClosed from error
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
    """A text stream over a raw file, with the encoding of the stream that it replaces."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before is not None else None,
        errors="backslashreplace",
        line_buffering=by_line or raw.isatty(),
    )
