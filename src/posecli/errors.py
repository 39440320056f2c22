"""The exceptions of posecli. This module does not depend on click: `commands/` maps exceptions to exit statuses.

PosecliError
├── UsageError                 2  an invalid option or output path
├── FatalError                 4  the command cannot run
│   ├── ModelError                the model is missing, damaged or not supported
│   │   └── DownloadError         the model could not be downloaded
│   ├── EngineError               an engine or a runtime is not installed or does not start
│   ├── MissingExtra              a package of an extra is not installed
│   ├── OutputError               an output cannot be written, for example because the disk is full
│   │   └── PipeClosed          141  the reader of an output has closed its pipe
│   └── UnexpectedError                a bug in posecli
└── InputError                 1  one input failed; it becomes an error record
    ├── NotFound, PermissionDenied, UnreadableImage, UnsupportedImage, ImageTooLarge
"""

from __future__ import annotations

import os
import traceback

#: Environment variable: if set, this process and its child processes show tracebacks and messages of native code.
_DEBUG = "POSECLI_DEBUG"


def is_debugging() -> bool:
    """Whether tracebacks are shown."""
    return bool(os.environ.get(_DEBUG))


def show_tracebacks(shown: bool) -> None:
    """Turn tracebacks on or off, for this process and its child processes."""
    if shown:
        os.environ[_DEBUG] = "1"
    else:
        os.environ.pop(_DEBUG, None)


class PosecliError(Exception):
    """Base class of all expected errors. `hint`: what the user can do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(PosecliError):
    """An option or argument is invalid. It is raised before a model is loaded."""


class FatalError(PosecliError):
    """The command cannot run."""


class ModelError(FatalError):
    """The model file is missing, damaged, or not a supported network."""


class DownloadError(ModelError):
    """The model could not be downloaded."""


class EngineError(FatalError):
    """An engine, or the runtime that it needs, is not installed or does not start."""


class MissingExtra(FatalError):
    """An optional package is not installed or cannot be imported. The hint is a command that installs it."""


class OutputError(FatalError):
    """An output cannot be written."""


class PipeClosed(OutputError):
    """The reader of a pipe has closed it. This is not a failure: no message is shown."""

    def __init__(self, message: str = "the reader of an output has closed its pipe", hint: str = "") -> None:
        super().__init__(message, hint)


class UnexpectedError(FatalError):
    """An unexpected exception: a bug in posecli. `details`: the traceback."""

    def __init__(self, message: str, hint: str = "", details: str = "") -> None:
        super().__init__(message, hint)
        self.details = details

    @classmethod
    def from_exception(cls, error: BaseException) -> UnexpectedError:
        """Wrap an exception that was not handled."""
        description = " ".join(f"{type(error).__name__}: {error}".split())
        return cls(
            f"{description}: this is a bug in posecli; please report it with the output of `posecli --debug`",
            details="".join(traceback.format_exception(type(error), error, error.__traceback__)),
        )


class InputError(PosecliError):
    """One input failed. `code`: the error code of its record."""

    code = "internal_error"

    @property
    def reason(self) -> tuple[str, str]:
        """Error code and message, as in inputs and records."""
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


#: Error codes without an exception class: the process pool reports the first two, the third is an unexpected exception.
TIMED_OUT, WORKER_CRASHED, INTERNAL_ERROR = "timed_out", "worker_crashed", "internal_error"
ERROR_CODES = (
    *(kind.code for kind in (NotFound, UnreadableImage, UnsupportedImage, ImageTooLarge, PermissionDenied)),
    TIMED_OUT,
    WORKER_CRASHED,
    INTERNAL_ERROR,
)
