"""What a newcomer types first: a picture without a command, a mistyped command, `help`, nothing at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..conftest import Posecli


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["img.jpg"], "`posecli estimate img.jpg`"),
        (["img.jpg", "-o", "two words.json"], "`posecli estimate img.jpg -o 'two words.json'`"),
        (["photos/"], "`posecli estimate photos/`"),
        (["*.jpg"], "`posecli estimate '*.jpg'`"),
        (["-"], "`posecli estimate -`"),
        (["https://example.com/a"], "`posecli estimate https://example.com/a`"),
        (["FOLDER"], "`posecli estimate FOLDER`"),
        (["estimte", "img.jpg"], "`posecli estimate img.jpg`"),
        (["est", "img.jpg"], "`posecli estimate img.jpg`"),
        (["Doctor"], "`posecli doctor`"),
        (["mode"], "`posecli model`"),
        (["model", "dowload"], "`posecli model download`"),
        (["model", "my.tflite"], "`posecli model info my.tflite`"),
        (["model", "help"], "`posecli model --help`"),
        (["help", "estimte"], "`posecli estimate --help`"),
        (["help", "model", "verfy"], "`posecli model verify --help`"),
    ],
)
def test_a_wrong_word_is_answered_with_what_was_meant(
    arguments: list[str], meant: str, posecli: Posecli, tmp_path: Path
) -> None:
    (tmp_path / "FOLDER").mkdir()
    result = posecli(*arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, b"")
    error, hint = result.stderr.decode().splitlines()
    assert "is not a command" in error
    assert hint.startswith("posecli: hint: did you mean ")
    assert meant in hint


def test_a_word_like_nothing_else(posecli: Posecli) -> None:
    result = posecli("xyzzy")
    assert result.returncode == 2
    assert b"'xyzzy' is not a command" in result.stderr
    assert b"`posecli help`" in result.stderr


def test_a_name_that_is_a_folder_and_nearly_a_command(posecli: Posecli, tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    assert b"`posecli estimate reports` or `posecli report`?" in posecli("reports", cwd=tmp_path).stderr


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ([], "posecli [OPTIONS] COMMAND"),
        (["estimate"], "posecli estimate [OPTIONS] [INPUT]"),
        (["model"], "posecli model [OPTIONS] COMMAND"),
        (["model", "download"], "posecli model download [OPTIONS]"),
        (["help"], "posecli help [OPTIONS] [COMMAND]"),
    ],
)
def test_help_is_a_command_too(words: list[str], title: str, posecli: Posecli) -> None:
    result = posecli("help", *words)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode().startswith(f"Usage: {title}")
    assert result.stdout == posecli(*words, "--help").stdout


def test_nothing_at_all_shows_the_help(posecli: Posecli) -> None:
    result = posecli()
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == posecli("--help").stdout


def test_a_wrong_option_is_answered_by_a_right_one(posecli: Posecli) -> None:
    result = posecli("estimate", "img.jpg", "--outptu", "x.json")
    assert result.returncode == 2
    assert b"--output" in result.stderr
