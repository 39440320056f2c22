"""Hiding faces: the covered area, the removed detail, and the options."""

from __future__ import annotations

from math import hypot
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from posecli.render.faces import LEAST_RADIUS_PX, face_discs, hide_faces, missed_people
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import FACES, Keypoint, Pose

from ..conftest import Posecli
from ..tiny_model import draw_discs, person_at

#: A person of 170 cm from the front, one pixel per centimetre; the nose is at 0, 0.
PERSON = {
    "nose": (0, 0), "leftEye": (3, -3), "rightEye": (-3, -3), "leftEar": (7, -1), "rightEar": (-7, -1),
    "leftShoulder": (18, 27), "rightShoulder": (-18, 27), "leftElbow": (22, 55), "rightElbow": (-22, 55),
    "leftWrist": (23, 80), "rightWrist": (-23, 80), "leftHip": (13, 77), "rightHip": (-13, 77),
    "leftKnee": (13, 120), "rightKnee": (-13, 120), "leftAnkle": (13, 160), "rightAnkle": (-13, 160),
}  # fmt: skip
HEAD = [(0, -18), (0, 12), (9, -3), (-9, -3)]  # crown, chin, ears
FACE_PARTS = KEYPOINT_NAMES[:5]


def person(*, x: float = 100, y: float = 100, scale: float = 2.0, score: float = 0.9, **scores: float) -> Pose:
    """A person whose keypoints have the same score, except for those in `scores`."""
    points = [
        Keypoint(number, name, x + scale * PERSON[name][0], y + scale * PERSON[name][1], scores.get(name, score))
        for number, name in enumerate(KEYPOINT_NAMES)
    ]
    return Pose.from_keypoints(score, points)


def covers(pose: Pose, *, x: float = 100, y: float = 100, scale: float = 2.0) -> bool:
    """Whether the discs cover the whole head."""
    return all(
        any(hypot(x + scale * dx - disc.x, y + scale * dy - disc.y) < disc.radius for disc in face_discs(pose))
        for dx, dy in HEAD
    )


def low(*parts: str) -> dict[str, float]:
    return dict.fromkeys(parts, 0.02)


@pytest.mark.parametrize("scale", [0.5, 2.0, 20.0])
def test_a_head_is_covered_at_any_size(scale: float) -> None:
    pose = person(scale=scale)
    assert covers(pose, scale=scale)
    assert face_discs(pose)[0].radius < 40 * max(scale, 0.5)


@pytest.mark.parametrize("part", FACE_PARTS)
def test_one_keypoint_of_a_face_suffices(part: str) -> None:
    """The body gives the size of the head. The rest of the face may be on any side of the keypoint."""
    assert covers(person(**low(*(other for other in FACE_PARTS if other != part))))


@pytest.mark.parametrize("part", FACE_PARTS)
def test_one_uncertain_keypoint_suffices_without_a_body(part: str) -> None:
    scores = {**low(*KEYPOINT_NAMES), part: 0.15}
    assert covers(person(**scores))


def test_people_below_every_threshold_are_hidden() -> None:
    assert covers(person(score=0.01))
    assert covers(person(score=0.0))


def test_the_shoulders_locate_a_face_without_sure_keypoints() -> None:
    """Keypoints of a face that is not visible may be anywhere."""
    pose = person(**low(*FACE_PARTS))
    astray = [point._replace(x=400, y=300) if point.part in FACE_PARTS else point for point in pose.keypoints]
    assert covers(pose._replace(keypoints=tuple(astray)))


def test_in_profile_the_trunk_gives_the_size() -> None:
    """In profile, both shoulders, ears and eyes have nearly the same x."""
    pose = person()
    narrow = tuple(point._replace(x=100 + 0.1 * (point.x - 100)) for point in pose.keypoints)
    assert face_discs(pose._replace(keypoints=narrow))[0].radius >= 2 * 17


def test_one_misplaced_keypoint_does_not_cover_the_picture() -> None:
    pose = person()
    astray = tuple(point._replace(x=5000) if point.part == "leftAnkle" else point for point in pose.keypoints)
    assert face_discs(pose._replace(keypoints=astray))[0].radius < 2 * 40


def test_a_person_without_extent_is_covered_too() -> None:
    pose = person(scale=0.0)
    assert face_discs(pose)[0].radius == LEAST_RADIUS_PX


@pytest.mark.parametrize("how", FACES)
def test_faces_lose_their_detail_and_other_pixels_are_unchanged(how: str) -> None:
    noise = Image.effect_noise((400, 450), 100).convert("RGB")
    pose = person(x=200)
    before, after = np.asarray(noise).astype(float), np.asarray(hide_faces(noise, [pose], how)).astype(float)
    face = (slice(100 - 24, 100 + 24), slice(200 - 18, 200 + 18))
    assert after[face].std() < before[face].std() / 4
    assert abs(np.corrcoef(before[face].ravel(), after[face].ravel())[0, 1]) < 0.35
    changed = (before != after).any(axis=2)
    assert not changed[200:].any()
    assert not changed[:, :100].any()
    assert not changed[:, 300:].any()


@pytest.mark.parametrize("how", FACES)
@pytest.mark.parametrize("where", [(0, 0), (-30, 20), (399, 440), (5000, 5000), (-5000, 0)])
def test_faces_may_lie_at_the_border_and_beyond_it(where: tuple[int, int], how: str) -> None:
    picture = Image.effect_noise((400, 450), 100).convert("RGB")
    hidden = hide_faces(picture, [person(x=where[0], y=where[1])], how)
    assert hidden.size == picture.size
    assert (hidden.tobytes() == picture.tobytes()) == (abs(where[0]) == 5000)


def test_people_who_move_are_not_missed_people() -> None:
    walker, stander = person(x=100), person(x=600)
    assert missed_people([walker, stander], [person(x=130)]) == [stander]
    assert missed_people([walker], [walker, stander]) == []


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture of a person drawn with discs, with a camera's EXIF data, including a thumbnail."""
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    draw_discs([person_at(120, 80)], (320, 257)).save(tmp_path / "x.png", exif=exif)
    return tmp_path / "x.png"


@pytest.mark.parametrize("option", ["--blur-faces", "--pixelate-faces"])
def test_draw_none_only_hides_faces(option: str, picture: Path, tmp_path: Path, posecli: Posecli) -> None:
    result = posecli("estimate", picture, "-a", tmp_path / "y.png", option, "--draw", "none")
    assert result.returncode == 0, result.stderr
    before, after = Image.open(picture), Image.open(tmp_path / "y.png")
    changed = (np.asarray(before) != np.asarray(after)).any(axis=2)
    assert changed[80, 120]
    assert not changed[150:].any()  # no skeleton
    assert "somebody" not in str(after.info)
    assert not after.getexif()


def test_draw_none_without_hidden_faces_is_the_picture(picture: Path, tmp_path: Path, posecli: Posecli) -> None:
    assert posecli("estimate", picture, "-a", tmp_path / "y.png", "--draw", "none").returncode == 0
    assert Image.open(picture).tobytes() == Image.open(tmp_path / "y.png").tobytes()


def test_convert_hides_faces_too(picture: Path, tmp_path: Path, posecli: Posecli) -> None:
    options = ("--blur-faces", "--draw", "boxes", "--background", "picture")
    posecli("estimate", picture, "-o", tmp_path / "x.jsonl", "-a", tmp_path / "one.png", *options)
    result = posecli("convert", tmp_path / "x.jsonl", "-a", tmp_path / "two.png", *options)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.parametrize("records", [["-o", "x.jsonl"], ["-o", "data/"], ["-o", "parts/", "--shards"], []])
@pytest.mark.parametrize("clips", [False, True])
def test_a_resumed_run_that_hides_faces_draws_all_pictures_again(
    records: list[str], clips: bool, picture: Path, tmp_path: Path, posecli: Posecli
) -> None:
    """An earlier run may have drawn them without hiding faces."""
    if clips:
        frames = [Image.open(picture)] * 3
        frames[0].save(tmp_path / "x.webp", save_all=True, append_images=frames[1:], duration=100, lossless=True)
        picture.unlink()
    source = "x.webp" if clips else "x.png"
    runs = [[], ["--blur-faces", "--resume"], ["--blur-faces", "--overwrite"]]
    drawn, written = [], []
    for options in runs:
        result = posecli("estimate", source, *records, "-a", "drawn/", *options, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        drawn.append([path.read_bytes() for path in (tmp_path / "drawn").iterdir()])
        files = [path for path in sorted(tmp_path.rglob("*")) if path.is_file() and "drawn" not in path.parts]
        written.append([path.read_bytes() for path in files])
    assert drawn[0] != drawn[1] == drawn[2]
    assert len(written[0]) > len(records) / 2  # the input and the files of records
    assert written[0] == written[1]


@pytest.mark.parametrize("policy", ["--resume", "--overwrite"])
@pytest.mark.parametrize("name", ["x.png", "x.webp"])
def test_the_earlier_picture_of_a_failed_input_is_deleted(
    name: str, policy: str, picture: Path, tmp_path: Path, posecli: Posecli
) -> None:
    """It may show a face that must be hidden. convert deletes it too."""
    if name == "x.webp":
        frames = [Image.open(picture)] * 3
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100, lossless=True)
    command = ("estimate", name, "-o", "x.jsonl", "-a", "drawn/")
    assert posecli(*command, cwd=tmp_path).returncode == 0
    saved = (tmp_path / "x.jsonl").read_bytes()
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[:30])
    assert posecli(*command, "--blur-faces", policy, cwd=tmp_path).returncode == 1
    assert not list((tmp_path / "drawn").iterdir())
    (tmp_path / "x.jsonl").write_bytes(saved)
    (tmp_path / name).write_bytes(data)
    command = ("convert", "x.jsonl", "-a", "drawn/")
    assert posecli(*command, cwd=tmp_path).returncode == 0
    (tmp_path / name).unlink()
    assert posecli(*command, "--blur-faces", "--overwrite", cwd=tmp_path).returncode == 1
    assert not list((tmp_path / "drawn").iterdir())


@pytest.mark.parametrize(
    "options", [["--person", "largest"], ["--region", "0,0,50%,50%"], ["--decoder", "single"], ["--max-poses", "1"]]
)
def test_hiding_faces_is_refused_with_settings_that_leave_people_out(
    options: list[str], picture: Path, tmp_path: Path, posecli: Posecli
) -> None:
    """The faces of those people would stay visible. convert refuses such records too."""
    refused = posecli("estimate", picture, *options, "--blur-faces", "-a", tmp_path / "y.png", model=Path("/no/model"))
    assert refused.returncode == 2
    assert b"leaves people out, and their faces would not be hidden" in refused.stderr
    saved = tmp_path / "x.jsonl"
    assert posecli("estimate", picture, *options, "-o", saved).returncode == 0
    refused = posecli("convert", saved, "--blur-faces", "-a", tmp_path / "y.png")
    assert refused.returncode == 2
    assert b"leaves people out" in refused.stderr
    assert not (tmp_path / "y.png").exists()


def test_convert_refuses_a_picture_of_another_size(picture: Path, tmp_path: Path, posecli: Posecli) -> None:
    posecli("estimate", picture, "-o", tmp_path / "x.jsonl")
    Image.open(picture).resize((160, 128)).save(picture)
    result = posecli("convert", tmp_path / "x.jsonl", "-a", tmp_path / "y.png", "--blur-faces")
    assert result.returncode == 1
    assert b"has 160 x 128 pixels, but the picture of the record has 320 x 257" in result.stderr
    assert not (tmp_path / "y.png").exists()


def test_a_resumed_run_that_hides_no_faces_keeps_pictures(picture: Path, tmp_path: Path, posecli: Posecli) -> None:
    """Also if other drawing options differ from those of the earlier run."""
    places = ("-o", tmp_path / "x.jsonl", "-a", f"{tmp_path}/drawn/")
    posecli("estimate", picture, *places)
    (drawn,) = (tmp_path / "drawn").iterdir()
    shown = drawn.read_bytes()
    assert posecli("estimate", picture, *places, "--draw", "boxes", "--resume").returncode == 0
    assert drawn.read_bytes() == shown


def grey_stripes(shade: int) -> Image.Image:
    """A picture without people. Its stripes make blurred areas detectable."""
    rows = np.where(np.arange(257) % 4 < 2, shade, shade + 60).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(rows[:, None, None], (257, 320, 3)).copy())


def test_a_face_stays_hidden_in_a_frame_that_misses_its_person(tmp_path: Path, posecli: Posecli) -> None:
    """From the third frame on no person is found. The face stays hidden for half a second."""
    frames = [draw_discs([person_at(x, 80)], (320, 257)) for x in (119, 120)]
    frames += [grey_stripes(shade) for shade in range(100, 108)]
    clip = tmp_path / "x.webp"
    frames[0].save(clip, save_all=True, append_images=frames[1:], duration=100, lossless=True)
    drawn = [tmp_path / "shown.gif", tmp_path / "hidden.gif"]
    for path, options in zip(drawn, ([], ["--blur-faces"]), strict=True):
        result = posecli("estimate", clip, "-a", path, "--draw", "none", *options)
        assert result.returncode == 0, result.stderr
    changed = []
    with Image.open(drawn[0]) as shown, Image.open(drawn[1]) as hidden:
        for number in range(10):
            shown.seek(number)
            hidden.seek(number)
            face = (100, 60, 140, 100)
            pixels = [np.asarray(image.convert("RGB").crop(face)).astype(float) for image in (shown, hidden)]
            changed.append(bool(pixels[1].std() < 0.7 * pixels[0].std()))
    assert changed == [True] * 7 + [False] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--blur-faces"], b"faces are hidden only in annotated pictures and clips"),
        (["--pixelate-faces", "-o", "x.jsonl"], b"-a FOLDER/"),
        (["--blur-faces", "--pixelate-faces", "-a", "y.png"], b"cannot be combined"),
        (["--draw", "none", "--draw", "boxes", "-a", "y.png"], b"--draw none cannot be combined"),
    ],
)
def test_invalid_options_are_refused(
    options: list[str], message: bytes, picture: Path, tmp_path: Path, posecli: Posecli
) -> None:
    result = posecli("estimate", picture, *options, cwd=tmp_path, model=Path("/no/such/model"))
    assert result.returncode == 2
    assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
