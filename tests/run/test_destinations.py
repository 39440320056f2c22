"""Destinations: what is refused before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ..conftest import SAMPLES, Posecli


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    frames = [Image.new("RGB", (64, 64), (shade, 90, 90)) for shade in (0, 90, 180)]
    frames[0].save(tmp_path / "c.gif", save_all=True, append_images=frames[1:], duration=100)
    return tmp_path / "c.gif"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["CLIP", "wave.jpg", "-o", "x.csv", "--track"], b"dlc writes one clip to one file"),
        ([".", "-o", "x.csv", "--track"], b"dlc writes one clip to one file"),
        (["CLIP", "-o", "x/", "--track"], b"dlc writes one clip to one file"),
        (["wave.jpg", "-o", "x.csv", "--track"], b"wave.jpg is a picture, and the format dlc is for clips"),
        (["CLIP", "-o", "x.csv"], b"dlc needs tracks if there are several people"),
    ],
)
def test_dlc_needs_one_clip_with_tracks(
    arguments: list[str], said: bytes, clip: Path, tmp_path: Path, posecli: Posecli
) -> None:
    places = {"CLIP": clip, "x.csv": tmp_path / "x.csv", "x/": f"{tmp_path}/x/"}
    words = [places.get(word, word) for word in arguments]
    result = posecli("estimate", *words, "-f", "dlc", cwd=SAMPLES, model=Path("/no/such/model"))
    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == [clip]


@pytest.mark.parametrize("option", ["--track", "--max-poses=1", "--decoder=single"])
def test_dlc_of_one_person_needs_no_tracks(
    option: str, clip: Path, tmp_path: Path, posecli: Posecli, tiny_model: Path
) -> None:
    result = posecli("estimate", clip, "-o", tmp_path / "x.csv", "-f", "dlc", option, model=tiny_model)
    assert result.returncode == 0, result.stderr
    rows = (tmp_path / "x.csv").read_text().splitlines()
    assert rows[0].startswith("scorer,")
    assert [row.split(",")[0] for row in rows[-3:]] == ["0", "1", "2"]


@pytest.mark.parametrize("words", [["estimate", "CLIP"], ["convert", "x.jsonl"]])
def test_a_video_that_cannot_be_written_is_refused_before_the_first_frame(
    words: list[str], clip: Path, tmp_path: Path, posecli: Posecli, without: Callable[..., dict[str, str]]
) -> None:
    assert posecli("estimate", clip, "-o", tmp_path / "x.jsonl").returncode == 0
    arguments = [{"CLIP": clip, "x.jsonl": tmp_path / "x.jsonl"}.get(word, word) for word in words]
    model = Path("/no/such/model")
    result = posecli(*arguments, "-a", tmp_path / "y.mp4", model=model, env=without("av"))
    assert result.returncode == 4
    assert b"y.mp4 is a video, and the extra video is not installed" in result.stderr
    assert b"hint: pip install av scipy" in result.stderr
    assert posecli(*arguments, "-a", tmp_path / "y.gif", env=without("av")).returncode == 0
