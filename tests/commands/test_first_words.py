"""First attempts of a new user: a picture without a command, a mistyped command, `help`, no arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..conftest import Posecli


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
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
def test_a_word_that_is_not_a_command_gets_a_suggestion(
    arguments: list[str], suggestion: str, posecli: Posecli, tmp_path: Path
) -> None:
    (tmp_path / "FOLDER").mkdir()
    result = posecli(*arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, b"")
    error, hint = result.stderr.decode().splitlines()
    assert "is not a command" in error
    assert hint.startswith("posecli: hint: did you mean ")
    assert suggestion in hint


def test_a_word_without_a_similar_command_gets_the_help(posecli: Posecli) -> None:
    result = posecli("xyzzy")
    assert result.returncode == 2
    assert b"'xyzzy' is not a command" in result.stderr
    assert b"`posecli help`" in result.stderr


def test_the_name_of_a_folder_like_a_command_gets_two_suggestions(posecli: Posecli, tmp_path: Path) -> None:
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
def test_help_is_a_command(words: list[str], title: str, posecli: Posecli) -> None:
    result = posecli("help", *words)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode().startswith(f"Usage: {title}")
    assert result.stdout == posecli(*words, "--help").stdout


def test_no_arguments_show_the_help(posecli: Posecli) -> None:
    result = posecli()
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == posecli("--help").stdout


def test_a_mistyped_option_gets_a_suggestion(posecli: Posecli) -> None:
    result = posecli("estimate", "img.jpg", "--outptu", "x.json")
    assert result.returncode == 2
    assert b"--output" in result.stderr
