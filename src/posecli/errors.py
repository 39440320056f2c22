"""What can go wrong, as a tree. No click here: `commands/` turns these into exit statuses.

PosecliError
├── UsageError                 2  an option or an output path that cannot be meant
├── FatalError                 4  nothing can run
│   ├── ModelError                model missing, damaged, foreign
│   │   └── DownloadError         not to be had from where it should be
│   ├── EngineError               an engine or a runtime is not there
│   ├── MissingExtra              a package beyond the core is not there
│   ├── OutputError               not writable, disk full
│   │   └── ReaderLeft          141  whoever read an output wants no more
│   └── Unforeseen                a mistake in posecli itself
└── InputError                 1  one input failed; becomes its record
    ├── NotFound, PermissionDenied, UnreadableImage, UnsupportedImage, ImageTooLarge
"""

from __future__ import annotations

import os
import traceback

#: Set where tracebacks and messages of native code are wanted, also for processes that this one starts.
_DEBUG = "POSECLI_DEBUG"


def is_debugging() -> bool:
    """Whether tracebacks are shown."""
    return bool(os.environ.get(_DEBUG))


def show_tracebacks(shown: bool) -> None:
    """Have tracebacks shown, or not, by this process and those that it starts."""
    if shown:
        os.environ[_DEBUG] = "1"
    else:
        os.environ.pop(_DEBUG, None)


class PosecliError(Exception):
    """Base of every expected failure. `hint` says what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(PosecliError):
    """The request itself is wrong: found before anything is loaded."""


class FatalError(PosecliError):
    """Nothing can run."""


class ModelError(FatalError):
    """The model file is missing, damaged, or not a PoseNet."""


class DownloadError(ModelError):
    """The model could not be fetched."""


class EngineError(FatalError):
    """An engine, or the runtime that it needs, is not there or will not start."""


class MissingExtra(FatalError):
    """A package that only this needs is not installed, or broken; the hint is a command that installs it."""


class OutputError(FatalError):
    """An output cannot be written."""


class ReaderLeft(OutputError):
    """Whoever read an output through a pipe has left: no mistake, and nothing is said."""

    def __init__(self, message: str = "the reader of an output has left", hint: str = "") -> None:
        super().__init__(message, hint)


class Unforeseen(FatalError):
    """What nobody foresaw went wrong: a mistake in posecli. `details`: the traceback."""

    def __init__(self, message: str, hint: str = "", details: str = "") -> None:
        super().__init__(message, hint)
        self.details = details

    @classmethod
    def from_exception(cls, error: BaseException) -> Unforeseen:
        """The error to be told of another one that nobody handled."""
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return cls(
            f"{said}: this is a mistake in posecli; please report it, with what `posecli --debug` says",
            details="".join(traceback.format_exception(type(error), error, error.__traceback__)),
        )


class InputError(PosecliError):
    """One input failed. `code` is the record's error code."""

    code = "internal_error"

    @property
    def reason(self) -> tuple[str, str]:
        """Code and message, as inputs and records carry them."""
        return self.code, str(self)


class NotFound(InputError):
    code = "not_found"


class PermissionDenied(InputError):
    code = "permission_denied"


class UnreadableImage(InputError):
    code = "unreadable_image"


class UnsupportedImage(InputError):
    code = "unsupported_image"


class ImageTooLarge(InputError):
    code = "image_too_large"


#: Codes that stand for no exception of the worker itself: the pool reports them, or nobody foresaw them.
TIMED_OUT, WORKER_CRASHED, INTERNAL_ERROR = "timed_out", "worker_crashed", "internal_error"
ERROR_CODES = (
    *(kind.code for kind in (NotFound, UnreadableImage, UnsupportedImage, ImageTooLarge, PermissionDenied)),
    TIMED_OUT,
    WORKER_CRASHED,
    INTERNAL_ERROR,
)
