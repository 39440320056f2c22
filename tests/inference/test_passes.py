"""The second look and the refining of positions: on poses and maps made up for it, and on real people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posecli import PoseEstimator
from posecli.decode.refine import certainty, mirror_average, refine
from posecli.errors import UsageError
from posecli.inference.crops import average, fills, join_looks, person_crop, put_together
from posecli.inputs.pictures import frame_from_image
from posecli.model.graph import read_graph
from posecli.model.runtime import Runtime
from posecli.skeleton import TWIN_PARTS
from posecli.types import DecodedPose, Settings

from ..conftest import SAMPLES, make_maps
from ..tiny_model import person_at


def pose(x: float, y: float, scale: float = 1.0, *, score: float = 0.5, shift: float = 0.0) -> DecodedPose:
    return DecodedPose(person_at(x, y, scale) + shift, np.full(17, 0.8), score)


def test_votes_of_neighbours_are_averaged_by_score() -> None:
    maps = make_maps(5, 5)
    for column, score, x in ((2, 0.8, 64.0), (3, 0.4, 70.0)):
        maps.heatmaps[2, column, 0] = score
        maps.offsets[2, column, 17] = x - 32 * column
    start = DecodedPose(np.full((17, 2), 64.0), np.full(17, 0.8), 0.8)
    moved = refine(maps, start)
    weight = (0.4 / 0.8) ** 2 * np.exp(-36 / (2 * 16**2))
    assert moved.xy[0].tolist() == pytest.approx([64 + 6 * weight / (1 + weight), 64])
    assert moved.xy[1].tolist() == [64, 64]  # nobody votes


def test_far_outside_nothing_moves() -> None:
    start = DecodedPose(np.full((17, 2), 1e25), np.full(17, 0.8), 0.8)
    np.testing.assert_array_equal(refine(make_maps(3, 3), start).xy, start.xy)


def test_certainty_lies_between_share_and_sight() -> None:
    half = DecodedPose(np.zeros((17, 2)), np.array([0.9] * 8 + [0.1] * 9), 0.45)
    assert certainty(half) == pytest.approx((0.45 * 0.9) ** 0.5)
    assert certainty(DecodedPose(np.zeros((17, 2)), np.full(17, 0.1), 0.1)) == 0


def test_maps_joined_with_their_own_mirror_image_do_not_change(real_model: Path) -> None:
    """A picture that is its own mirror image: left and right must come out as each other's mirror image."""
    runtime = Runtime(read_graph(real_model.read_bytes()), threads=2, stride=16)
    half = np.asarray(Image.open(SAMPLES / "wave.jpg").convert("RGB").resize((257, 257)))[:, :129]
    symmetric = np.concatenate([half, half[:, -2::-1]], axis=1)
    maps = runtime.run(symmetric)
    joined = mirror_average(maps, maps, 257)
    np.testing.assert_allclose(joined.heatmaps, joined.heatmaps[:, ::-1, list(TWIN_PARTS)], atol=1e-6)
    again = mirror_average(joined, joined, 257)
    for name in ("heatmaps", "offsets", "displacement_fwd", "displacement_bwd"):
        np.testing.assert_allclose(getattr(again, name), getattr(joined, name), atol=1e-3)


@pytest.mark.parametrize("where", [(320, 100), (5, 5), (639, 470), (320, -400)])
def test_crops_stay_inside_the_picture(where: tuple[float, float]) -> None:
    crop = person_crop(pose(*where), (640, 480), 257)
    if crop is None:
        assert where[1] < -300
        return
    left, top, right, bottom = crop.box
    assert 0 <= left < right <= 640
    assert 0 <= top < bottom <= 480
    assert all(side % 32 == 1 for side in crop.size_hw)
    assert 0.6 < crop.size_hw[0] * crop.size_hw[1] / 257**2 < 1.5


def test_looks_are_joined_where_they_agree() -> None:
    first, second = pose(100, 100, score=0.4), pose(100, 100, score=0.9, shift=1)
    joined = join_looks(first, [pose(400, 100, score=0.99), second])
    assert (first.xy < joined.xy).all()
    assert (joined.xy <= second.xy).all()
    assert joined.score == pytest.approx(0.6)


def test_a_second_look_that_shows_somebody_else_is_none() -> None:
    first = pose(100, 100)
    assert join_looks(first, []) is None
    assert join_looks(first, [pose(400, 100)]) is None


def test_several_looks_are_averaged() -> None:
    near, far = pose(100, 100, score=0.9), pose(100, 100, score=0.3, shift=10)
    joined = average([near, far._replace(scores=far.scores / 2)])
    assert (abs(joined.xy - near.xy) < abs(joined.xy - far.xy)).all()
    assert joined.score == pytest.approx(0.6)


def test_crops_are_no_coarser_than_asked_for() -> None:
    person = pose(320, 240)
    small, fine = person_crop(person, (640, 480), 129), person_crop(person, (640, 480), 129, least_scale=2)
    assert small is not None
    assert fine is not None
    assert small.box == fine.box
    left, _, right, _ = fine.box
    assert small.size_hw[1] / (right - left) < 2
    assert fine.size_hw[1] / (right - left) == pytest.approx(2, rel=0.3)
    assert person_crop(person, (640, 480), 129, least_scale=2, largest=129) == small


def test_large_people_take_the_place_of_their_pieces() -> None:
    person, elsewhere = pose(100, 100, score=0.6), pose(400, 100, score=0.2)
    piece = person._replace(scores=np.where(np.arange(17) < 5, 0.9, 0.0), score=0.3)
    assert put_together([piece, elsewhere], [person]) == [elsewhere, person]
    better = piece._replace(score=0.7)
    assert put_together([better, elsewhere], [person]) == [better, elsewhere]
    assert put_together([elsewhere], [person]) == [elsewhere, person]


def test_how_much_of_the_picture_a_person_fills() -> None:
    person = pose(100, 100)
    low, high = person.xy.min(axis=0), person.xy.max(axis=0)
    assert fills(person, (1000, 1000)) == pytest.approx((high - low).max() / 1000)


@pytest.mark.parametrize("preset", ["fast", "balanced", pytest.param("accurate", marks=pytest.mark.slow)])
def test_every_preset_finds_the_samples(preset: str, real_model: Path) -> None:
    estimator = PoseEstimator(real_model, preset=preset)
    assert [len(estimator.estimate(SAMPLES / f"{name}.jpg").poses) for name in ("wave", "three", "exercise")] == [
        1,
        3,
        2,
    ]


@pytest.mark.slow
def test_looking_again_never_loses_or_doubles_anybody(real_model: Path) -> None:
    picture = Image.open(SAMPLES / "three.jpg").convert("RGB")
    crowd = Image.new("RGB", (picture.width * 3, picture.height * 2))
    for index in range(6):
        crowd.paste(picture, (picture.width * (index % 3), picture.height * (index // 3)))
    settings = {"input_size": 1025, "stride": 16}
    once = PoseEstimator(real_model, preset="fast", **settings).estimate(crowd)
    again = PoseEstimator(real_model, preset="accurate", **settings).estimate(crowd)
    few = PoseEstimator(real_model, preset="accurate", max_zooms=3, **settings).estimate(crowd)
    assert len(once.poses) == len(again.poses) == len(few.poses) == 18


@pytest.mark.slow
def test_large_jpegs_are_decoded_as_finely_as_the_crops_need(real_model: Path, tmp_path: Path) -> None:
    """The same people in the same places as after a full decode, whether they fill the picture or are small in it."""
    sample = Image.open(SAMPLES / "wave.jpg").convert("RGB")
    large = sample.resize((sample.width * 4, sample.height * 4))
    small = Image.new("RGB", (4000, 3000), (120, 120, 120))
    small.paste(sample.resize((sample.width * 2, sample.height * 2)), (2500, 800))
    estimator = PoseEstimator(real_model, preset="balanced")
    for picture in (large, small):
        path = tmp_path / "picture.jpg"
        picture.save(path, quality=95)
        (full,) = estimator.estimate_with_frame(path, full_size=True)[0].poses
        (sparing,) = estimator.estimate_with_frame(path, full_size=False)[0].poses
        height = max(point.y for point in full.keypoints) - min(point.y for point in full.keypoints)
        pairs = zip(full.keypoints, sparing.keypoints, strict=True)
        far = max(np.hypot(a.x - b.x, a.y - b.y) for a, b in pairs if a.score > 0.3)
        assert far < 0.06 * height


def test_zoom_settings_are_checked() -> None:
    with pytest.raises(UsageError, match="nearest are 193 and 225"):
        Settings(zoom_size=(200,))
    with pytest.raises(UsageError, match="max_zooms"):
        Settings(max_zooms=-1)


def test_frames_of_one_pixel_survive_every_preset(tiny_model: Path) -> None:
    from posecli.inference.passes import Looker

    looker = Looker(read_graph(tiny_model.read_bytes()), Settings(zoom=True, mirror=True), threads=1)
    looker.look(frame_from_image(Image.new("RGB", (1, 1))), {})
