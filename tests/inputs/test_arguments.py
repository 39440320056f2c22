"""Arguments are expanded to pictures: in order, without duplicates, complete."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from posecli.errors import UsageError
from posecli.inputs.arguments import OUTSIDE, Inputs
from posecli.inputs.walk import natural_key


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with pictures (empty files suffice) and other files."""
    for name in ("p/10.jpg", "p/2.jpg", "p/1.JPG", "p/sub/a.png", "p/sub/.hidden.jpg", "p/.git/x.jpg", "p/notes.txt",
                 "q/2.jpg", "[x]*.jpg"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "p" / "loop").symlink_to(tmp_path / "p", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*arguments: str, **options: object) -> list[str]:
    return [image.name for image in Inputs(arguments, **options)]  # type: ignore[arg-type]


def outputs(*arguments: str, **options: object) -> list[str]:
    return [image.output for image in Inputs(arguments, **options)]  # type: ignore[arg-type]


def test_a_folder_is_walked_in_natural_order(tree: Path) -> None:
    inputs = Inputs(["p"])
    assert [image.name for image in inputs] == ["p/1.JPG", "p/2.jpg", "p/10.jpg", "p/sub/a.png"]
    assert str(inputs.passed_over) == "1 without extension, 1 .txt"  # the link to a folder


def test_source_code_is_not_taken_for_a_video(tmp_path: Path) -> None:
    """TypeScript shares extensions with videos. Undecided files are tried."""
    (tmp_path / "code.ts").write_text("export const größe = 3;\r\n" * 50, "utf-8-sig")
    (tmp_path / "module.mts").write_text("export {}")
    (tmp_path / "clip.TS").write_bytes(b"G\x40\x11\x10" + bytes(184))
    (tmp_path / "empty.ts").touch()
    inputs = Inputs([str(tmp_path)])
    assert [Path(image.name).name for image in inputs] == ["clip.TS", "empty.ts"]
    assert str(inputs.passed_over) == "1 .ts, 1 .mts"
    assert [image.name for image in Inputs([str(tmp_path / "code.ts")])] == [str(tmp_path / "code.ts")]


def test_names_are_kept_as_given(tree: Path) -> None:
    assert names("./p/2.jpg", "p/sub/", f"{tree}/q") == ["./p/2.jpg", "p/sub/a.png", f"{tree}/q/2.jpg"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("p/2.jpg", "./p/2.jpg", "p/../p/2.jpg"),
        ("p/2.jpg", "p/2.jpg"),
        ("q", "q/2.jpg"),
        ("q/2.jpg", "q"),
        ("q", "q/"),
        ("q/*.jpg", "q/2.jpg"),
    ],
)
def test_a_picture_named_twice_is_read_once(arguments: tuple[str, ...], tree: Path) -> None:
    assert len(names(*arguments)) == 1


def test_files_that_a_walk_skips_can_be_named_beside_the_folder(tree: Path) -> None:
    assert names("p", "p/notes.txt", "p/.git/x.jpg", "p/loop/2.jpg")[4:] == [
        "p/notes.txt",
        "p/.git/x.jpg",
        "p/loop/2.jpg",
    ]


def test_patterns_are_expanded_unless_a_file_has_that_name(tree: Path) -> None:
    assert names("p/*.jpg") == ["p/2.jpg", "p/10.jpg"]
    assert names("p/**/*.png") == ["p/sub/a.png"]
    assert names("[x]*.jpg") == ["[x]*.jpg"]


def test_missing_files_are_inputs_too(tree: Path) -> None:
    assert names("no.jpg", "none-*.jpg") == ["no.jpg", "none-*.jpg"]


@pytest.mark.parametrize(
    ("null", "text"), [(False, b"p/2.jpg\r\n\nq\np/2.jpg\nlast.jpg"), (True, b"p/2.jpg\0q\0last.jpg\0")]
)
def test_lists_may_be_separated_by_lines_or_nul(null: bool, text: bytes, tree: Path) -> None:
    (tree / "list").write_bytes(text)
    assert names(files_from="list", null=null) == ["p/2.jpg", "q/2.jpg", "last.jpg"]


def test_a_list_on_standard_input_is_read_as_it_arrives(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    stream = io.TextIOWrapper(os.fdopen(reader, "rb"))
    monkeypatch.setattr("sys.stdin", stream)
    os.write(writer, b"first.jpg\nsec")
    listed = iter(Inputs([], files_from="-"))
    assert next(listed).name == "first.jpg"  # before the list has ended
    os.write(writer, b"ond.jpg\n")
    os.close(writer)
    assert [image.name for image in listed] == ["second.jpg"]
    stream.close()


def test_undecodable_names_are_kept(tree: Path) -> None:
    (tree / "list").write_bytes(b"b\xff.jpg\n")
    (name,) = names(files_from="list")
    assert os.fsencode(name) == b"b\xff.jpg"


def test_standard_input_is_one_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"bytes")))
    (image,) = Inputs(["-"])
    assert (image.name, image.data) == ("stdin", b"bytes")


def test_outputs_mirror_the_tree(tree: Path) -> None:
    assert outputs("p") == ["1.JPG", "2.jpg", "10.jpg", "sub/a.png"]
    assert outputs("p/sub", "q") == ["p/sub/a.png", "q/2.jpg"]
    assert outputs("p/2.jpg", "./q/2.jpg") == ["p/2.jpg", "q/2.jpg"]
    assert outputs(f"{tree}/p/2.jpg", f"{tree}/q/2.jpg") == ["p/2.jpg", "q/2.jpg"]
    assert outputs(f"{tree}/p/2.jpg") == ["2.jpg"]
    assert outputs(f"{tree}/p/*.jpg") == ["2.jpg", "10.jpg"]


def test_listed_files_outside_stay_below_the_output_folder(tree: Path) -> None:
    (tree / "list").write_text(f"p/2.jpg\n{tree}/q/2.jpg\n../up.jpg\n")
    assert outputs(files_from="list") == [
        "p/2.jpg",
        f"{OUTSIDE}{tree}/q/2.jpg",
        f"{OUTSIDE}{tree.parent}/up.jpg",
    ]


def test_arguments_whose_outputs_would_collide_are_refused(tree: Path) -> None:
    with pytest.raises(UsageError, match="would both be written as"):
        Inputs(["2.jpg", f"{tree}/q/2.jpg"])


def test_standard_input_cannot_be_a_picture_and_a_list() -> None:
    with pytest.raises(UsageError):
        Inputs(["-"], files_from="-")


def test_a_missing_list_is_a_usage_error(tree: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the list"):
        names(files_from="no-list")


def test_a_list_entry_too_long_for_a_path_is_refused(tree: Path) -> None:
    (tree / "list").write_bytes(b"x" * 200_000)
    with pytest.raises(UsageError, match="NUL"):
        names(files_from="list")


def test_natural_order() -> None:
    given = ["b", "a10", "a9", "a", "10", "9", "a09b", "٣"]
    assert sorted(given, key=natural_key) == ["9", "10", "a", "a9", "a09b", "a10", "b", "٣"]
