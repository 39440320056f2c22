"""`posecli` and `python -m posecli`: run a command, turn what went wrong into an exit status."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import click

from posecli.commands import cli
from posecli.errors import PosecliError, UsageError
from posecli.run.report import EXIT_FATAL, EXIT_USAGE

_BY_SIGNAL = 128


class Terminated(BaseException):
    """SIGTERM came: everything is put in order on the way out, as after Ctrl-C. No kind of KeyboardInterrupt, since
    click turns those into its own."""


def main() -> None:
    """Run the command line and exit."""
    signal.signal(signal.SIGTERM, _terminate)
    # So that worker processes know this for a start script and do not import it and all of click again.
    sys.modules["__main__"].__spec__ = __spec__
    try:
        status = cli.main(sys.argv[1:] or ["--help"], prog_name="posecli", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except PosecliError as error:
        _say(error)
        status = EXIT_USAGE if isinstance(error, UsageError) else EXIT_FATAL
    except Terminated:
        status = _BY_SIGNAL + signal.SIGTERM
    except (KeyboardInterrupt, click.Abort):
        status = _BY_SIGNAL + signal.SIGINT
    except BrokenPipeError:
        status = _reader_left()
    sys.exit(status if isinstance(status, int) else 0)


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


def _say(error: PosecliError) -> None:
    print(f"posecli: error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"posecli: hint: {error.hint}", file=sys.stderr)


def _reader_left() -> int:
    """End as other tools do whose output pipe is closed; keep Python from complaining about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _BY_SIGNAL + getattr(signal, "SIGPIPE", 13)


if __name__ == "__main__":
    main()
