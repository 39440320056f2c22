"""Drawing: position and strength of strokes; other pixels are unchanged."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from posecli.render.draw import draw_poses
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import OVERLAYS, Keypoint, Pose

from ..tiny_model import person_at


def pose_at(x: float, y: float, scale: float = 1.0, score: float = 0.9) -> Pose:
    points = zip(KEYPOINT_NAMES, person_at(x, y, scale), strict=True)
    return Pose.from_keypoints(score, [Keypoint(i, n, *map(float, xy), score) for i, (n, xy) in enumerate(points)])


def changed(before: Image.Image, after: Image.Image) -> np.ndarray:
    return (np.asarray(before).astype(int) != np.asarray(after)).any(axis=2)


def test_only_pixels_near_keypoints_change() -> None:
    picture = Image.new("RGB", (300, 260), (90, 90, 90))
    pose = pose_at(150, 60)
    touched = changed(picture, draw_poses(picture, [pose]))
    for point in pose.keypoints:
        assert touched[int(point.y), int(point.x)], point.part
    assert not touched[:30].any()
    assert not touched[:, :95].any()


def test_the_given_picture_is_not_modified() -> None:
    picture = Image.new("RGB", (100, 200), (90, 90, 90))
    copy = picture.copy()
    draw_poses(picture, [pose_at(50, 40)], extras=OVERLAYS)
    assert picture.tobytes() == copy.tobytes()


def test_without_people_the_picture_is_unchanged() -> None:
    picture = Image.effect_noise((50, 40), 50).convert("RGB")
    assert draw_poses(picture, []).tobytes() == picture.tobytes()


def test_without_background_only_people_are_opaque() -> None:
    overlay = draw_poses(Image.new("RGB", (300, 260), (90, 90, 90)), [pose_at(150, 60)], background="none")
    alpha = np.asarray(overlay)[:, :, 3]
    assert overlay.mode == "RGBA"
    assert alpha[0, 0] == 0
    assert alpha[60, 150] == 255


@pytest.mark.parametrize(("background", "value"), [("black", 0), ("white", 255)])
def test_plain_backgrounds_have_one_colour(background: str, value: int) -> None:
    assert draw_poses(Image.new("RGB", (8, 8), (9, 9, 9)), [], background=background).getpixel((0, 0)) == (value,) * 3


def test_sides_and_people_have_different_colours() -> None:
    drawn = draw_poses(Image.new("RGB", (600, 300)), [pose_at(150, 60, 1.5), pose_at(450, 60, 1.5)])
    left, right, other = (drawn.getpixel(xy) for xy in ((150 + 33, 60 + 27), (150 - 33, 60 + 27), (450 + 33, 60 + 27)))
    assert len({left, right, other}) == 3
    assert sum(left) > sum(right)


def test_uncertain_keypoints_are_fainter_or_not_drawn() -> None:
    picture = Image.new("RGB", (300, 260))
    strength = [np.asarray(draw_poses(picture, [pose_at(150, 60, score=s)])).sum() for s in (0.9, 0.3, 0.15, 0.05)]
    assert strength[0] > strength[1] > strength[2] > 0
    assert strength[3] == 0


def test_lines_grow_with_the_picture() -> None:
    covered = []
    for scale in (1, 2, 4):
        picture = Image.new("RGB", (400 * scale, 600 * scale))
        covered.append(changed(picture, draw_poses(picture, [pose_at(200 * scale, 100 * scale, 3.0 * scale)])).mean())
    assert max(covered) < 1.25 * min(covered)


def test_edges_are_smooth() -> None:
    drawn = np.asarray(draw_poses(Image.new("RGB", (800, 1200)), [pose_at(400, 200, 6.0)], background="none"))
    assert len(np.unique(drawn[:, :, 3])) > 50


@pytest.mark.parametrize("where", [(-500.0, -500.0), (1e25, 0.0), (-20.0, 10.0), (99.9, 199.9)])
def test_people_beyond_the_border_are_accepted(where: tuple[float, float]) -> None:
    assert draw_poses(Image.new("RGB", (100, 200)), [pose_at(*where)], extras=OVERLAYS).size == (100, 200)


def test_a_picture_of_one_pixel_can_be_drawn_on() -> None:
    assert draw_poses(Image.new("RGB", (1, 1)), [pose_at(0, 0)], extras=OVERLAYS).size == (1, 1)


def test_labels_stay_inside_the_picture() -> None:
    picture = Image.new("RGB", (120, 160))
    plain = draw_poses(picture, [pose_at(60, 12)])
    labelled = draw_poses(picture, [pose_at(60, 12)], extras=("scores",))
    assert changed(plain, labelled).any()
    assert not changed(plain, labelled)[:, 0].any()
