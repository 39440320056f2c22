"""The pictures of a folder as the frames of one clip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from posecli.inputs.arguments import Inputs
from posecli.inputs.clip_decoder import FrameCounter, ReadLimits, expand
from posecli.inputs.clips import ClipOptions
from posecli.types import ImageInput

from .test_clips import pictures


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Frames 1 to 12, a folder whose name sorts between theirs, an animation, and a file that is not a picture."""
    folder = tmp_path / "walk"
    (folder / "3").mkdir(parents=True)
    for number, picture in enumerate(pictures(12), 1):
        picture.save(folder / f"{number}.png")
    for number, picture in enumerate(pictures(2)):
        picture.save(folder / "3" / f"x{number}.png")
    first, *others = pictures(3)
    first.save(folder / "5.gif", save_all=True, append_images=others, duration=100)
    (folder / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    return folder


def frames(options: ClipOptions, *names: str) -> list[ImageInput]:
    return list(expand(Inputs(names, as_clip=True), options, limits=ReadLimits()))


def test_each_folder_is_a_clip_in_natural_order(walk: Path) -> None:
    found = frames(ClipOptions(fps=10), "walk")
    assert [(image.name, image.file, image.frame, image.time) for image in found] == [
        *(("walk", f"walk/{number + 1}.png", number, number / 10) for number in range(12)),
        *(("walk/5.gif", None, number, number / 10) for number in range(3)),
        *(("walk/3", f"walk/3/x{number}.png", number, number / 10) for number in range(2)),
    ]
    assert [image.output for image in found][::5] == ["walk_000000000000", "walk_000000000005", "walk_000000000010",
                                                      "3_000000000000"]  # fmt: skip
    assert all(image.pixels is None for image in found if image.file is not None)


@pytest.mark.parametrize("names", [["walk/1?.png", "walk/9.png"], ["walk/9.png", "walk/12.png", "walk/1[01].png"]])
def test_named_files_are_sorted_too(names: list[str], walk: Path) -> None:
    found = frames(ClipOptions(fps=10), *names)
    assert [image.file for image in found] == ["walk/9.png", "walk/10.png", "walk/11.png", "walk/12.png"]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (ClipOptions(fps=10, every=5), [0, 5, 10]),
        (ClipOptions(fps=10, start=0.35, end=0.8), [4, 5, 6, 7]),
        (ClipOptions(fps=29.97), list(range(12))),
    ],
)
def test_options_choose_frames(options: ClipOptions, numbers: list[int], walk: Path) -> None:
    assert [image.frame for image in frames(options, "walk") if image.name == "walk"] == numbers
    counted = dict(FrameCounter(ReadLimits()).count(Inputs(["walk"], as_clip=True), options))
    assert counted["walk"] == len(numbers)


def test_inputs_that_are_one_clip_are_recognised(walk: Path) -> None:
    def is_one(*names: str) -> bool:
        inputs = Inputs(names, as_clip=True)
        answer = inputs.is_one_file()
        assert list(inputs)  # the inputs can still be iterated
        return answer

    assert (is_one("walk/3"), is_one("walk/?.png"), is_one("walk")) == (True, True, False)
    assert not is_one("walk/*.*")  # the animation is a second clip


def test_groups_last_a_fifth_of_a_second(walk: Path) -> None:
    images = Inputs(["walk/*.png"], as_clip=True)
    found = expand(images, ClipOptions(fps=20), limits=ReadLimits(), grouped=True)
    assert [image.group for image in found] == [1] * 4 + [2] * 4 + [3] * 4


def test_pipes_and_missing_files_are_frames_too(make_gate: Callable[[Path], object], walk: Path) -> None:
    make_gate(walk / "2.png")
    found = frames(ClipOptions(fps=10), "walk/2.png", "walk/none.png")
    assert [(image.file, image.frame) for image in found] == [("walk/2.png", 0), ("walk/none.png", 1)]
