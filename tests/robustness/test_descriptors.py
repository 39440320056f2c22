"""Standard input, output and error that are closed, full, or pipes without a reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from posecli.errors import OutputError, PipeClosed
from posecli.files import descriptors
from posecli.model.runtime import captured_stderr

from ..conftest import Posecli
from ..tiny_model import draw_discs, person_at

needs_shell = pytest.mark.skipif(os.name != "posix", reason="descriptors are closed by a shell")
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    draw_discs([person_at(62.3, 41.7)]).save(path)
    return path


@pytest.fixture
def redirected(tiny_model: Path) -> Posecli:
    """Run posecli in a shell with redirections."""

    def run(redirections: str, *args: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-m", "posecli", *map(str, args)],
            capture_output=True,
            check=False,
            timeout=300,
            env={**os.environ, "POSECLI_MODEL": str(tiny_model)},
        )

    return run


@needs_shell
def test_records_to_a_closed_standard_output_are_an_error(redirected: Posecli, picture: Path) -> None:
    result = redirected(">&-", "estimate", picture, picture.parent / "other.png")
    assert result.returncode == 4
    assert b"posecli: error: cannot write standard output" in result.stderr
    assert b"Traceback" not in result.stderr


@needs_shell
def test_output_to_a_file_needs_no_standard_streams(redirected: Posecli, picture: Path, tmp_path: Path) -> None:
    more = [tmp_path / f"{number}.png" for number in range(3)]
    for path in more:
        os.link(picture, path)
    result = redirected("<&- >&- 2>&-", "estimate", *more, "-o", tmp_path / "out.jsonl")
    assert result.returncode == 0
    assert [json.loads(line)["status"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == ["ok"] * 3


@needs_shell
@needs_full
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_messages_that_cannot_be_written_do_not_end_the_run(
    redirection: str, redirected: Posecli, picture: Path
) -> None:
    result = redirected(redirection, "estimate", "nothere.png", picture)
    assert [json.loads(line)["status"] for line in result.stdout.splitlines()] == ["error", "ok"]
    assert (result.returncode, result.stderr) == (1, b"")


@needs_shell
@needs_full
@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
def test_printed_text_that_cannot_be_written_is_an_error(redirection: str, redirected: Posecli) -> None:
    result = redirected(redirection, "schema")
    assert (result.returncode, result.stderr.count(b"\n")) == (4, 1)
    assert result.stderr.startswith(b"posecli: error: cannot write standard output: ")


@needs_shell
@pytest.mark.parametrize("arguments", [["estimate", "FOLDER"], ["estimate", "FOLDER", "-f", "csv"], ["schema"]])
def test_a_closed_pipe_gives_status_141_and_no_message(arguments: list[str], tiny_model: Path, picture: Path) -> None:
    for number in range(20):
        os.link(picture, picture.parent / f"{number}.png")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = subprocess.run(
            [sys.executable, "-m", "posecli", *(str(picture.parent) if a == "FOLDER" else a for a in arguments)],
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
            timeout=300,
            env={**os.environ, "POSECLI_MODEL": str(tiny_model)},
        )
    finally:
        os.close(writing)
    assert (result.returncode, result.stderr) == (141, b"")


def test_errors_of_every_kind_of_output_file_are_raised(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(OutputError, match="standard output"), descriptors._StandardOutput(path, "rb") as file:
        file.write(b"text")
    with descriptors._StandardError(path, "rb") as file:
        assert file.write(b"text") == 4
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(PipeClosed), descriptors._StandardOutput(writing, "wb") as file:
        file.write(b"text")


def test_standard_error_is_restored_after_two_threads() -> None:
    """If two threads could redirect it at once, the second would restore the file of the first, which has ended."""
    before = os.fstat(2)
    first_is_in, second_is_in = threading.Event(), threading.Event()
    first_is_out = threading.Event()

    def first() -> None:
        with captured_stderr() as written:
            first_is_in.set()
            os.write(2, b"of the first")
            second_is_in.wait(0.2)  # times out, since the second thread must wait
            said.append(written())
        first_is_out.set()

    def second() -> None:
        first_is_in.wait(5)
        with captured_stderr() as written:
            second_is_in.set()
            first_is_out.wait(5)
            os.write(2, b"of the second")
            said.append(written())

    said: list[str] = []
    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.path.samestat(os.fstat(2), before)
    assert said == ["of the first", "of the second"]


def test_messages_of_native_code_are_shown_if_they_cannot_be_redirected(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("posecli.model.runtime.tempfile.TemporaryFile", no_room)
    before = os.fstat(2)
    with captured_stderr() as written:
        assert (os.path.samestat(os.fstat(2), before), written()) == (True, "")
