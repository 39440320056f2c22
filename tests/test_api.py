"""The public names of posecli: drawing, the frames of clips, records as tables."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import posecli
from posecli.errors import MissingExtra, NotFound, UnreadableImage, UsageError
from posecli.inputs import clips
from posecli.records.formats import get_format
from posecli.records.formats.base import WriteOptions
from posecli.render.draw import draw_poses
from posecli.render.faces import hide_faces
from posecli.types import FACES, Record

from .conftest import SAMPLES
from .test_types import make_record


def test_dir_lists_all_public_names() -> None:
    assert set(posecli.__all__) <= set(dir(posecli))
    for name in posecli.__all__:
        assert getattr(posecli, name) is not None
    for name in ("ClipFrame", "PoseEstimator", "draw", "frames"):
        assert getattr(posecli, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'estimate'"):
        _ = posecli.estimate  # type: ignore[attr-defined]


def test_importing_posecli_imports_no_heavy_package() -> None:
    code = (
        "import sys; import posecli; dir(posecli)\n"
        "print([name for name in ('numpy', 'PIL', 'pandas', 'ai_edge_litert', 'click') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "[]\n"


def pictured(**changes: Any) -> tuple[Image.Image, Record]:
    """A picture and the record of two people in it."""
    return Image.new("RGB", (640, 480), (90, 120, 60)), replace(make_record(people=2), **changes)


def test_people_are_drawn_on_every_kind_of_image(tmp_path: Path) -> None:
    picture, record = pictured()
    expected = np.asarray(draw_poses(picture, record.poses))
    assert (expected != np.asarray(picture)).any()
    picture.save(tmp_path / "p.png")
    data = (tmp_path / "p.png").read_bytes()
    pixels = np.asarray(picture)
    for image in (picture, tmp_path / "p.png", str(tmp_path / "p.png"), data, io.BytesIO(data), pixels, pixels / 255):
        drawn = posecli.draw(image, record)
        assert isinstance(drawn, Image.Image)  # Jupyter displays it
        assert (np.asarray(drawn) == expected).all()
    assert (np.asarray(picture) == pixels).all()


def test_drawing_supports_the_options_of_the_command() -> None:
    picture, record = pictured()
    drawn = posecli.draw(picture, record, extras=["scores", "boxes"], background="black")
    assert drawn == draw_poses(picture, record.poses, extras=("scores", "boxes"), background="black")
    assert posecli.draw(picture, record, extras="names") == draw_poses(picture, record.poses, extras=("names",))
    assert posecli.draw(picture, record, background="none").mode == "RGBA"
    picture = Image.effect_noise(picture.size, 90).convert("RGB")
    for faces in FACES:
        hidden = posecli.draw(picture, record, extras=["names"], faces=faces, skeletons=False)
        assert hidden == hide_faces(picture, record.poses, faces) != picture


def test_a_record_without_people_leaves_the_picture_unchanged() -> None:
    picture, _ = pictured()
    for record in (make_record(people=0), Record.failed("a.jpg", "not_found", "no such file")):
        assert posecli.draw(picture, record) == picture


def test_drawing_refuses_invalid_arguments() -> None:
    picture, record = pictured()
    with pytest.raises(UsageError, match=r"has 640 x 480 pixels, but the record's picture has 480 x 640"):
        posecli.draw(picture, replace(record, width=480, height=640))
    with pytest.raises(UsageError, match="background: 'blue' is not one of picture, none, black, white"):
        posecli.draw(picture, record, background="blue")
    with pytest.raises(UsageError, match="extras: 'score' is not one of scores, boxes, names, angles"):
        posecli.draw(picture, record, extras=["score"])
    with pytest.raises(UsageError, match="faces: 'black' is not one of blurred, pixelated"):
        posecli.draw(picture, record, faces="black")
    with pytest.raises(UsageError, match="several pictures"):
        posecli.draw(np.zeros((2, 480, 640, 3), np.uint8), record)
    with pytest.raises(TypeError, match="not list"):
        posecli.draw([picture], record)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        posecli.draw("no.jpg", record)


def animation(folder: Path) -> Path:
    first, *others = (Image.new("RGB", (40, 30), (50 * number, 0, 0)) for number in range(5))
    first.save(
        folder / "a.webp", save_all=True, append_images=others, duration=[100, 200, 300, 100, 100], lossless=True
    )
    return folder / "a.webp"


def test_the_frames_of_a_clip(tmp_path: Path) -> None:
    path = animation(tmp_path)
    for clip in (path, str(path), path.read_bytes()):
        found = list(posecli.frames(clip))
        assert [frame.number for frame in found] == [0, 1, 2, 3, 4]
        assert [frame.time for frame in found] == pytest.approx([0, 0.1, 0.3, 0.6, 0.7])
        assert [frame.image.getpixel((0, 0)) for frame in found] == [(50 * number, 0, 0) for number in range(5)]
        assert isinstance(found[0], posecli.ClipFrame)
    assert [frame.number for frame in posecli.frames(path, every=2)] == [0, 2, 4]
    assert [frame.number for frame in posecli.frames(path, start=0.1, end=0.7)] == [1, 2, 3]
    assert [frame.number for frame in posecli.frames(SAMPLES / "wave.jpg")] == [0]


def test_frames_refuses_invalid_options_and_unreadable_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="every is 0"):
        posecli.frames("no.mp4", every=0)
    with pytest.raises(NotFound, match=r"no\.mp4: no such file"):
        posecli.frames("no.mp4")
    with pytest.raises(UnreadableImage):
        list(posecli.frames(b"hello"))
    (tmp_path / "v.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(64))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match="this needs av"):
        posecli.frames(tmp_path / "v.mp4")
    assert clips.is_video(str(tmp_path / "v.mp4"))


def test_a_record_as_a_table() -> None:
    pandas = pytest.importorskip("pandas", reason="needs the extra pandas")
    tracked = tuple(pose._replace(id=7 + person) for person, pose in enumerate(make_record(people=2).poses))
    records = [
        make_record(people=2),
        make_record("nobody.jpg", 0),
        Record.failed("bad.jpg", "not_found", "bad.jpg: no such file"),
        replace(make_record("c.mp4"), frame=3, time=0.12, poses=tracked),
    ]
    file = io.BytesIO()
    get_format("csv").write(records, file, WriteOptions())
    written = pandas.read_csv(io.BytesIO(file.getvalue()))
    table = pandas.concat([record.to_dataframe() for record in records], ignore_index=True)
    assert list(table.columns) == list(written.columns)
    assert len(table) == 2 * 17 + 1 + 1 + 2 * 17
    whole = ["frame", "width", "height", "person", "track", "id"]
    assert {str(table[name].dtype) for name in whole} == {"Int64"}
    for name in table.columns:
        ours, theirs = table[name].astype(object), written[name].astype(object)
        assert ours.where(ours.notna(), None).tolist() == theirs.where(theirs.notna(), None).tolist(), name
    alone = make_record(people=2).to_dataframe()
    assert alone[alone["part"] == "nose"][["person", "x", "y"]].to_numpy().tolist() == [[0, 10, 20], [1, 10, 20]]


def test_without_pandas_the_error_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match="pip install pandas"):
        make_record().to_dataframe()
