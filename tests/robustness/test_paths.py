"""No name of an input or a record creates a file outside the output folder."""

from __future__ import annotations

import io
import json
import ntpath
import os
import posixpath
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from posecli.commands import cli
from posecli.errors import NotFound, UsageError
from posecli.files.storage import confined_path
from posecli.inputs.pictures import read_frame
from posecli.records.formats.base import output_path
from posecli.render import gallery
from posecli.render.gallery import write_page
from posecli.run.report import EXIT_USAGE

from ..test_types import make_record
from ..tiny_model import draw_discs, person_at

#: `{out}` is the parent of the output folder: files that are written there have escaped.
REMOTE = (
    "http://127.0.0.1:9/../../X.jpg", "http://127.0.0.1:9/../../../../../../{out}/X.jpg", "nosuch://b/../../../X",
    "nosuch://../X", "nosuch://", "nosuch:///etc/X.jpg", "nosuch://..", "nosuch://b/%2e%2e/%2e%2e/X.jpg",
    "HTTP://127.0.0.1:9/a/../../X.jpg", "nosuch://b/./.././../X.jpg", "nosuch://b//..//..//X.jpg",
)  # fmt: skip
LOCAL = (
    "../X.jpg", "../../X.jpg", "{out}/X.jpg", "a/../../X.jpg", "a/b/../../../X.jpg", "..", "../..", ".", "/", "//",
    "///X.jpg", "//{out}/X.jpg", "/../X.jpg", "./../X.jpg", "C:\\X.jpg", "C:X.jpg", "\\\\server\\share\\X.jpg",
    "..\\X.jpg", "a\\..\\..\\X.jpg", "\\X.jpg", "X\0.jpg", "../X\0.jpg", "a\rX.jpg", "~/X.jpg", "$HOME/X.jpg",
    "a/../../X_000000000000",
)  # fmt: skip
HOSTILE = (*REMOTE, *LOCAL)


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    """A deep working folder: paths that climb out of it stay inside the folder of the test. All names can be read."""
    folder = tmp_path / "1" / "2" / "3"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("POSECLI_MODEL", str(tiny_model))
    picture = io.BytesIO()
    draw_discs([person_at(80, 80)]).save(picture, "PNG")

    @contextmanager
    def opened(source: str) -> Iterator[tuple[io.BytesIO, str]]:
        yield io.BytesIO(picture.getvalue()), source

    monkeypatch.setattr("posecli.inputs.pictures._open", opened)
    return tmp_path


def run(*arguments: str) -> int:
    """Run posecli in this process; return its exit status. Only a usage error may be raised."""
    try:
        cli.main(arguments, standalone_mode=False)
    except SystemExit as end:
        return int(end.code or 0)
    except UsageError:
        return EXIT_USAGE
    return 0


def expanded(name: str, folder: Path) -> str:
    return name.replace("{out}", str(folder).strip("/") if "://" in name else str(folder))


def escaped(folder: Path) -> set[str]:
    """Files that were created outside the output folders."""
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in files if not name.startswith(("1/2/3/out/", "1/2/3/drawn/", "given/"))}


@pytest.mark.parametrize("name", HOSTILE)
def test_estimate_writes_below_its_folders(name: str, deep: Path) -> None:
    if os.path.isdir(expanded(name, deep)):
        return  # all that is below the root would be read
    (deep / "given").mkdir()
    (deep / "given" / "list").write_bytes(os.fsencode(expanded(name, deep)))
    options = ["-q", "--engine", "serial", "-o", "out/", "-a", "drawn/"]
    status = run("estimate", *options, "--files-from", str(deep / "given" / "list"))
    assert status in (0, 2)
    assert escaped(deep) == set()


@pytest.mark.parametrize("name", [name for name in LOCAL if "\0" not in name])
def test_an_argument_writes_below_its_folders(name: str, deep: Path) -> None:
    if os.path.isdir(expanded(name, deep)):
        return  # all that is below the root would be read
    argument = expanded(name, deep)
    assert run("estimate", "-q", "--engine", "serial", "-o", "out/", "-a", "drawn/", "--", argument) in (0, 2)
    assert escaped(deep) == set()


@pytest.mark.parametrize("frame", [None, 3])
@pytest.mark.parametrize("root", [(), ("--image-root", "root")])
def test_convert_and_report_write_below_their_folders(root: tuple[str, ...], frame: int | None, deep: Path) -> None:
    (deep / "given").mkdir()
    path, written = deep / "given" / "records.jsonl", 0
    for name in HOSTILE:
        path.write_text(json.dumps(replace(make_record(expanded(name, deep)), frame=frame).to_dict()) + "\n")
        status = run("convert", str(path), "-q", "-o", "out/", "-a", "drawn/", "--overwrite", *root)
        assert status in (0, 1, EXIT_USAGE)  # a name that no file can have is an invalid record
        assert run("report", str(path), "-o", "out/page.html", "--link", "--overwrite", *root) in (0, EXIT_USAGE)
        written += status != EXIT_USAGE
    assert escaped(deep) == set()
    assert written > len(HOSTILE) / 2


def test_a_name_that_no_file_can_have_is_not_found(tmp_path: Path) -> None:
    for name in ("a\0b.jpg", "x\ud800.jpg"):
        with pytest.raises(NotFound):
            read_frame(str(tmp_path / name), max_pixels=1)


@pytest.mark.parametrize(
    "name", ["a.jpg", "a/b.jpg", " a/ b .jpg", "a/x.tar.gz", "..a/b..jpg", "a\\b.jpg", "é/\udce9.jpg"]
)
def test_plain_names_are_unchanged(name: str) -> None:
    assert confined_path(name, posixpath) == name


@pytest.mark.parametrize("paths", [posixpath, ntpath])
def test_generated_names_stay_inside_the_folder(paths: ModuleType) -> None:
    """Any sequence of the components of paths."""
    dice, folder = random.Random(5), {posixpath: "/top/out", ntpath: "C:\\top\\out"}[paths]
    pieces = ["..", ".", "/", "\\", "a", "C:", "//", "\\\\?\\", "\0", "x.jpg", ":", "~", "con", " ", "\ud800", "s3://"]
    for _ in range(5_000):
        name = "".join(dice.choices(pieces, k=dice.randint(0, 8)))
        result = confined_path(name, paths)
        path = paths.abspath(paths.join(folder, result + ".json")) if paths is posixpath else joined(folder, result)
        assert path.startswith(folder + paths.sep), (name, result)
        assert "\0" not in path
        path.encode("utf-8", "surrogateescape")


def joined(folder: str, relative: str) -> str:
    return ntpath.normpath(ntpath.join(folder, relative + ".json"))


def test_every_output_path_is_inside_the_folder() -> None:
    assert output_path("out", "../../x.jpg", ".json") == os.path.join("out", "x.jpg.json")
    assert output_path("out", "/etc/x.jpg", ".json") == os.path.join("out", "etc", "x.jpg.json")


def test_the_page_does_not_depend_on_the_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its templates are UTF-8, whatever the encoding of the system."""
    pytest.importorskip("jinja2")
    real = Path.read_text

    def read_text(path: Path, encoding: str = "ascii") -> str:
        return real(path, encoding)

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr("posecli.render.gallery._FOLDER", with_an_accent(tmp_path))
    write_page([], str(tmp_path / "page.html"))
    assert "/* é */" in (tmp_path / "page.html").read_bytes().decode("utf-8")


def with_an_accent(folder: Path) -> Path:
    """The templates of the page, one of which has a non-ASCII character."""
    parts = folder / "parts"
    shutil.copytree(gallery.__path__[0], parts)
    (parts / "page.css").write_bytes((parts / "page.css").read_bytes() + "\n/* é */\n".encode())
    return parts
