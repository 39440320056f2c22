"""Paths on several drives, with the path rules of Windows."""

from __future__ import annotations

import ntpath
import os
import types
from collections.abc import Iterator
from functools import partial
from pathlib import PureWindowsPath

import pytest

from posecli.files import storage
from posecli.inputs import arguments, walk
from posecli.inputs.arguments import OUTSIDE, Inputs, output_name
from posecli.render import gallery


@pytest.fixture(autouse=True)
def _windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replace the path functions of these modules by those of Windows."""
    system = types.SimpleNamespace(**{**vars(os), "path": ntpath, "sep": "\\", "getcwd": lambda: "C:\\here"})
    with monkeypatch.context() as patched:
        patched.setattr(ntpath, "abspath", lambda path: ntpath.normpath(ntpath.join("C:\\here", path)))
        for module in (arguments, walk, gallery):
            patched.setattr(module, "os", system)
        patched.setattr(arguments, "PurePath", PureWindowsPath)
        patched.setattr(storage, "confined_path", partial(storage.confined_path, paths=ntpath))
        yield


def outputs(*names: str) -> list[str]:
    return [image.output for image in Inputs(names)]


def test_outputs_of_two_drives_have_separate_folders() -> None:
    names = ("C:\\a\\x.jpg", "D:\\a\\x.jpg", "\\\\server\\share\\x.jpg", "E:/b/y.jpg")
    assert outputs(*names) == ["C\\a\\x.jpg", "D\\a\\x.jpg", "server_share\\x.jpg", "E\\b\\y.jpg"]
    assert outputs("C:\\a\\x.jpg", "C:\\b\\x.jpg") == ["a\\x.jpg", "b\\x.jpg"]


def test_relative_and_upward_names_with_another_drive() -> None:
    assert outputs("x.jpg", "..\\y.jpg", "D:\\z.jpg") == ["x.jpg", "C\\y.jpg", "D\\z.jpg"]


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("D:\\a\\x.jpg", "D\\a\\x.jpg"),
        ("C:\\a\\x.jpg", "C\\a\\x.jpg"),
        ("..\\x.jpg", "C\\x.jpg"),
        ("\\\\server\\share\\x.jpg", "server_share\\x.jpg"),
    ],
)
def test_listed_names_on_another_drive(name: str, output: str) -> None:
    assert output_name(name) == f"{OUTSIDE}\\{output}"


@pytest.mark.parametrize(
    ("place", "link"),
    [
        ("C:\\out\\sub\\a b.jpg", "sub/a%20b.jpg"),
        ("C:\\in\\a.jpg", "../in/a.jpg"),
        ("D:\\in\\a#1.jpg", "file:///D:/in/a%231.jpg"),
        ("\\\\server\\share\\a.jpg", "file://///server/share/a.jpg"),
        ("https://host/in/a.jpg?size=2", "https://host/in/a.jpg?size=2"),
    ],
)
def test_a_page_links_to_pictures_on_any_drive(place: str, link: str) -> None:
    assert gallery.link_to(place, "C:\\out") == link
