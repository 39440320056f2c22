"""Unexpected errors: one line that asks for a report, exit status 4, and a traceback only with --debug."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from posecli.commands import cli
from posecli.errors import FatalError, ModelError
from posecli.model.locate import cache_folder

#: Starts posecli with an injected fault in a command.
FAULTY = """
import sys
import posecli.records.schema
def fail():
    raise {fault}
posecli.records.schema.record_schema = fail
sys.argv[1:] = {arguments!r}
from posecli.__main__ import main
main()
"""


def run(fault: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = FAULTY.format(fault=fault, arguments=list(arguments))
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("ZeroDivisionError('one\\ntwo')", "ZeroDivisionError: one two"),
        ("EOFError", "EOFError:"),
        ("BrokenPipeError(32, 'of an engine')", "BrokenPipeError: [Errno 32] of an engine"),
        ("MemoryError", "MemoryError:"),
    ],
)
def test_an_unexpected_error_is_one_line_that_asks_for_a_report(fault: str, said: str) -> None:
    result = run(fault, "schema")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (4, "", 1)
    assert result.stderr.startswith(f"posecli: error: {said}")
    assert "please report it" in result.stderr


@pytest.mark.parametrize(("arguments", "environment"), [(["--debug"], {}), ([], {"POSECLI_DEBUG": "1"})])
def test_debug_shows_the_traceback(arguments: list[str], environment: dict[str, str]) -> None:
    result = run("ZeroDivisionError('why')", *arguments, "schema", **environment)
    assert result.returncode == 4
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("posecli: error: ZeroDivisionError: why: this is a bug")


def test_the_variable_is_checked_like_the_option() -> None:
    result = run("ZeroDivisionError", "schema", POSECLI_DEBUG="perhaps")
    assert (result.returncode, "--debug" in result.stderr, "Traceback" in result.stderr) == (2, True, False)


def test_warnings_of_libraries_are_shown_only_with_debug() -> None:
    warns = "__import__('warnings').warn('odd bytes') or ZeroDivisionError"
    assert "odd bytes" not in run(warns, "schema").stderr
    assert "odd bytes" in run(warns, "--debug", "schema").stderr


@pytest.mark.skipif(os.name != "posix", reason="a folder in use cannot be deleted here")
def test_a_deleted_working_folder_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FatalError, match="the working folder cannot be used"):
        cli.main(["estimate", "a.png"], standalone_mode=False)


@pytest.mark.skipif(os.name != "posix", reason="another system finds the folder otherwise")
def test_a_missing_home_folder_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(user: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {user}")

    for name in ("POSECLI_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(ModelError, match="no home folder"):
        cache_folder()
