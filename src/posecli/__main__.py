"""`posecli` and `python -m posecli`: run a command, and turn errors into messages and an exit status."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from posecli.commands import cli
from posecli.errors import OutputError, PipeClosed, PosecliError, UnexpectedError, UsageError, is_debugging
from posecli.files import descriptors, own_process
from posecli.files.terminal import print_line
from posecli.run.report import EXIT_FATAL, EXIT_USAGE

_BY_SIGNAL = 128


class Terminated(BaseException):
    """Raised by SIGTERM, so that the program cleans up as after Ctrl-C. Not a KeyboardInterrupt, which click
    replaces by its own exception."""


def main() -> None:
    """Run the command line and exit. No error ends in a traceback."""
    own_process.set_up()
    descriptors.open_standard_streams()
    signal.signal(signal.SIGTERM, _terminate)
    # Worker processes then treat this module as a start script, and do not import it and click again.
    sys.modules["__main__"].__spec__ = __spec__
    try:
        status = _run()
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except PosecliError as error:
        status = _status_of(error)
    except Terminated:
        status = _BY_SIGNAL + signal.SIGTERM
    except (KeyboardInterrupt, click.Abort):
        status = _BY_SIGNAL + signal.SIGINT
    except Exception as error:
        status = _status_of(UnexpectedError.from_exception(error))
    own_process.end_quickly()
    sys.exit(status)


def _run() -> int:
    """Run the command and return its exit status. Standard output is flushed, so that its errors are raised here."""
    try:
        status = cli.main(sys.argv[1:] or ["--help"], prog_name="posecli", standalone_mode=False)
    except SystemExit as end:
        status = end.code
    sys.stdout.flush()
    return status if isinstance(status, int) else 0


def _status_of(error: PosecliError) -> int:
    """Print an error, and return the exit status. Nothing is printed if the reader of the output closed its pipe."""
    if isinstance(error, OutputError):
        descriptors.discard_output()  # otherwise the buffered output raises again when Python ends
    if isinstance(error, PipeClosed):
        return _BY_SIGNAL + getattr(signal, "SIGPIPE", 13)
    if isinstance(error, UnexpectedError) and is_debugging():
        print(error.details, end="", file=sys.stderr)
    print_line(f"posecli: error: {error.message}", sys.stderr)
    if error.hint:
        print_line(f"posecli: hint: {error.hint}", sys.stderr)
    return EXIT_USAGE if isinstance(error, UsageError) else EXIT_FATAL


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


if __name__ == "__main__":
    main()
