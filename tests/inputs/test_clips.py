"""Clips of all kinds: each frame gives a record, in order; runs over clips can be resumed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import av
import pytest
from PIL import Image

from posecli.errors import UnreadableImage
from posecli.inputs.clip_decoder import is_clip
from posecli.inputs.clips import ClipOptions, frame_count, frames_of
from posecli.types import Record

from ..conftest import Posecli, has_lines, records_of, wait_for
from ..tiny_model import draw_discs, person_at

FRAMES = 12


def pictures(frames: int = FRAMES) -> list[Image.Image]:
    """A person drawn with discs, who moves to the right by 8 pixels per frame."""
    return [draw_discs([person_at(60 + 8 * number, 80)], (320, 257)) for number in range(frames)]


def write_video(path: Path, frames: int = FRAMES, *, rate: int = 10, stamps: list[int] | None = None) -> Path:
    """stamps: times of the frames in hundredths of a second."""
    from fractions import Fraction

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 320, 256, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        for number, picture in enumerate(pictures(frames)):
            frame = av.VideoFrame.from_image(picture.crop((0, 0, 320, 256)))
            frame.pts, frame.time_base = stamps[number] if stamps else number * 100 // rate, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4")


@pytest.fixture
def animation(tmp_path: Path) -> Path:
    first, *others = pictures(5)
    path = tmp_path / "moving.webp"
    first.save(path, save_all=True, append_images=others, duration=[100, 200, 300, 100, 100], lossless=True)
    return path


def nose_xs(records: list[Record]) -> list[float]:
    """The x coordinate of the nose in each frame."""
    return [record.poses[0].keypoints[0].x for record in records]


def test_a_video_gives_one_record_per_frame_in_order(video: Path, posecli: Posecli) -> None:
    result = posecli("estimate", video)
    assert result.returncode == 0, result.stderr
    records = records_of(result.stdout)
    assert [record.frame for record in records] == list(range(FRAMES))
    assert [record.time for record in records] == pytest.approx([number / 10 for number in range(FRAMES)])
    assert nose_xs(records) == pytest.approx([60 + 8 * number for number in range(FRAMES)], abs=6)


def test_frames_of_animations_have_times_and_pages_have_none(animation: Path, tmp_path: Path, posecli: Posecli) -> None:
    records = records_of(posecli("estimate", animation).stdout)
    assert [record.time for record in records] == pytest.approx([0, 0.1, 0.3, 0.6, 0.7])
    assert nose_xs(records) == pytest.approx([60, 68, 76, 84, 92], abs=6)
    first, *others = pictures(3)
    first.save(tmp_path / "pages.tiff", save_all=True, append_images=others)
    pages = records_of(posecli("estimate", tmp_path / "pages.tiff").stdout)
    assert [(page.frame, page.time) for page in pages] == [(0, None), (1, None), (2, None)]


def test_stills_are_not_clips(tmp_path: Path) -> None:
    pictures(1)[0].save(tmp_path / "one.gif")
    pictures(1)[0].save(tmp_path / "one.png")
    (tmp_path / "broken.gif").write_bytes(b"GIF89a")
    assert not any(is_clip(str(tmp_path / name)) for name in ("one.gif", "one.png", "broken.gif", "none.mp4"))


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        (ClipOptions(every=5), [0, 5, 10]),
        (ClipOptions(start=0.35, end=0.8), [4, 5, 6, 7]),
        (ClipOptions(fps=5), [0, 2, 4, 6, 8, 10]),
        (ClipOptions(fps=100), list(range(FRAMES))),
    ],
)
def test_options_choose_frames(options: ClipOptions, frames: list[int], video: Path) -> None:
    assert [frame.number for frame in frames_of(str(video), options)] == frames
    assert frame_count(str(video), options) == len(frames)


def test_frames_are_counted_without_decoding(animation: Path, tmp_path: Path) -> None:
    assert frame_count(str(animation), ClipOptions(every=2)) == 3
    (tmp_path / "junk.mp4").write_bytes(b"not a video at all")
    assert frame_count(str(tmp_path / "junk.mp4"), ClipOptions()) is None


def test_times_are_those_of_the_clip(tmp_path: Path) -> None:
    stamps = [0, 5, 30, 31, 90]
    path = write_video(tmp_path / "uneven.mkv", 5, stamps=stamps)
    assert [frame.time for frame in frames_of(str(path), ClipOptions())] == pytest.approx(
        [s / 100 for s in stamps], abs=0.002
    )


def test_a_truncated_video_gives_what_it_has_and_one_error(tmp_path: Path, posecli: Posecli) -> None:
    whole = write_video(tmp_path / "whole.avi")
    (tmp_path / "cut.avi").write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    (tmp_path / "junk.mp4").write_bytes(b"not a video at all")
    records = records_of(posecli("estimate", tmp_path / "cut.avi").stdout)
    assert 0 < len(records) <= FRAMES
    result = posecli("estimate", tmp_path / "junk.mp4")
    (record,) = records_of(result.stdout)
    assert (result.returncode, record.error.code if record.error else "") == (1, "unreadable_image")
    with pytest.raises(UnreadableImage):
        list(frames_of(str(tmp_path / "junk.mp4"), ClipOptions()))


def test_clips_in_folders_are_read(video: Path, tmp_path: Path, posecli: Posecli) -> None:
    pictures(1)[0].save(tmp_path / "a.png")
    result = posecli("estimate", tmp_path, "-o", tmp_path / "r.jsonl", "--every", "6")
    assert [(Path(r.image).name, r.frame) for r in records_of((tmp_path / "r.jsonl").read_bytes())] == [
        ("a.png", None), ("clip.mp4", 0), ("clip.mp4", 6),
    ], result.stderr  # fmt: skip


def test_every_format_writes_frames(video: Path, tmp_path: Path, posecli: Posecli) -> None:
    posecli("estimate", video, "-o", tmp_path / "r.csv", "--every", "6", "--track")
    table = (tmp_path / "r.csv").read_text().splitlines()
    assert table[0].startswith("image,frame,time,")
    assert table[-1].split(",")[1] == "6"
    posecli("estimate", video, "-o", tmp_path / "c.json", "-f", "coco", "--every", "6")
    images = json.loads((tmp_path / "c.images.json").read_text())["images"]
    assert [(image["id"], image["frame"]) for image in images] == [(1, 0), (2, 6)]
    posecli("estimate", video, "-o", f"{tmp_path}/op/", "-f", "openpose", "--every", "6")
    found = sorted(path.name for path in (tmp_path / "op").rglob("*.json"))
    assert found == ["clip.mp4_000000000000_keypoints.json", "clip.mp4_000000000006_keypoints.json"]


def test_saved_records_of_a_clip_are_drawn_and_shown(video: Path, tmp_path: Path, posecli: Posecli) -> None:
    posecli("estimate", video, "-o", tmp_path / "r.jsonl", "--track")
    result = posecli("convert", tmp_path / "r.jsonl", "-a", tmp_path / "again.mp4", "--background", "black")
    assert result.returncode == 0, result.stderr
    with av.open(str(tmp_path / "again.mp4")) as container:
        assert len(list(container.decode(video=0))) == FRAMES
    posecli("report", tmp_path / "r.jsonl", "-o", tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text().count('<script type="text/plain"') == FRAMES
    video.unlink()
    missing = posecli("convert", tmp_path / "r.jsonl", "-a", tmp_path / "none.mp4")
    assert (missing.returncode, b"is missing or not a clip" in missing.stderr) == (1, True)


@pytest.mark.slow
def test_a_killed_run_over_a_clip_can_be_resumed(tmp_path: Path, tiny_model: Path, posecli: Posecli) -> None:
    frames = 250  # the run takes seconds: it is killed before its end
    video = write_video(tmp_path / "long.mp4", frames)
    command = ["estimate", video, "-o", tmp_path / "r.jsonl", "-a", tmp_path / "a.mp4", "--track"]
    process = subprocess.Popen(
        [sys.executable, "-m", "posecli", *map(str, command), "--model", str(tiny_model), "-q"],
        stderr=subprocess.DEVNULL,
    )
    journal = tmp_path / "r.jsonl.partial.jsonl"  # ahead of r.jsonl: tracking follows the journal
    wait_for(lambda: process.poll() is not None or has_lines(journal, 1))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "a.mp4").exists()
    done = journal.read_bytes().count(b"\n")
    result = posecli(*command, "--resume")
    assert result.returncode == 0, result.stderr
    assert f"{frames - done} ok + 0 failed + {done} skipped".encode() in result.stderr
    records = records_of((tmp_path / "r.jsonl").read_bytes())
    assert [record.frame for record in records] == list(range(frames))
    assert {pose.id for record in records for pose in record.poses} == {1}
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert len(list(container.decode(video=0))) == frames


@pytest.mark.parametrize("kind", ["mp4", "gif", "webp", "png", "tiff"])
def test_max_pixels_applies_to_clips(kind: str, tmp_path: Path, posecli: Posecli) -> None:
    path, (first, *others) = tmp_path / f"clip.{kind}", pictures(3)
    if kind == "mp4":
        write_video(path, 3)
    else:
        first.save(path, save_all=True, append_images=others)
    result = posecli("estimate", path, "--max-pixels", str(320 * 256 - 1))
    (record,) = records_of(result.stdout)
    assert (result.returncode, record.error and record.error.code) == (1, "image_too_large")
    assert len(records_of(posecli("estimate", path, "--max-pixels", str(320 * 257)).stdout)) == 3


def test_a_later_page_over_the_limit_is_one_error(tmp_path: Path, posecli: Posecli) -> None:
    small, large = pictures(2)[0].crop((0, 0, 100, 100)), pictures(1)[0]
    small.save(tmp_path / "grows.tiff", save_all=True, append_images=[large])
    records = records_of(posecli("estimate", tmp_path / "grows.tiff", "--max-pixels", "10000").stdout)
    assert [record.error and record.error.code for record in records] == [None, "image_too_large"]


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_a_clip_without_a_chosen_frame_is_one_error(engine: str, animation: Path, posecli: Posecli) -> None:
    """If --from is after the clip's end, for a file and for a folder as a clip."""
    for more in ([animation], [animation.parent, "--as-clip", "--fps", "10"]):
        result = posecli("estimate", *more, "--from", "99", "--to", "100.5", "--track", "--engine", engine)
        assert result.returncode == 1
        (record,) = records_of(result.stdout)
        assert record.error is not None
        assert record.error.code == "not_found"
        assert "has no frame from 99 to 100.5 s" in record.error.message


def test_invalid_options_are_refused(video: Path, posecli: Posecli) -> None:
    assert posecli("estimate", video, "--from", "3", "--to", "2").returncode == 2
    assert posecli("estimate", video, "--every", "0").returncode == 2
