"""First and second passes, and the refinement of positions: on synthetic poses and maps, and on real people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posecli import PoseEstimator
from posecli.decode.refine import certainty, mirror_average, refine
from posecli.errors import UsageError
from posecli.inference.crops import person_crop
from posecli.inference.passes import PoseFinder
from posecli.inference.presets import PRESETS
from posecli.inputs.pictures import frame_from_image, prepare_part, turned_bounds, turned_xy
from posecli.model.graph import read_graph
from posecli.model.runtime import Runtime
from posecli.region import Region
from posecli.skeleton import FLIP_PAIRS
from posecli.types import DecodedPose, Maps, Settings

from ..conftest import SAMPLES, make_maps
from ..tiny_model import draw_discs, person_at


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
    assert moved.xy[1].tolist() == [64, 64]  # no votes


def test_keypoints_far_outside_do_not_move() -> None:
    start = DecodedPose(np.full((17, 2), 1e25), np.full(17, 0.8), 0.8)
    np.testing.assert_array_equal(refine(make_maps(3, 3), start).xy, start.xy)


def test_certainty_combines_score_and_visible_keypoints() -> None:
    half = DecodedPose(np.zeros((17, 2)), np.array([0.9] * 8 + [0.1] * 9), 0.45)
    assert certainty(half) == pytest.approx((0.45 * 0.9) ** 0.5)
    assert certainty(DecodedPose(np.zeros((17, 2)), np.full(17, 0.1), 0.1)) == 0


def test_the_mirror_average_is_symmetric_and_idempotent(real_model: Path) -> None:
    """In a symmetric picture, the maps of left and right keypoints must be mirror images of each other."""
    runtime = Runtime(read_graph(real_model.read_bytes()), threads=2, stride=16)
    half = np.asarray(Image.open(SAMPLES / "wave.jpg").convert("RGB").resize((257, 257)))[:, :129]
    symmetric = np.concatenate([half, half[:, -2::-1]], axis=1)
    maps = runtime.run(symmetric)
    joined = mirror_average(maps, maps, 257)
    np.testing.assert_allclose(joined.heatmaps, joined.heatmaps[:, ::-1, list(FLIP_PAIRS)], atol=1e-6)
    again = mirror_average(joined, joined, 257)
    for name in ("heatmaps", "offsets", "displacement_fwd", "displacement_bwd"):
        np.testing.assert_allclose(getattr(again, name), getattr(joined, name), atol=1e-3)


@pytest.mark.parametrize("xy", [(320, 100), (5, 5), (639, 470), (320, -400)])
def test_crops_stay_inside_the_picture(xy: tuple[float, float]) -> None:
    crop = person_crop(pose(*xy), (640, 480), 257)
    if crop is None:
        assert xy[1] < -300
        return
    left, top, right, bottom = crop.box
    assert 0 <= left < right <= 640
    assert 0 <= top < bottom <= 480
    assert all(side % 32 == 1 for side in crop.size_hw)
    assert 0.6 < crop.size_hw[0] * crop.size_hw[1] / 257**2 < 1.5


@pytest.mark.parametrize("turn", [30.0, 90.0, 180.0, -120.0])
def test_a_turned_crop_shows_the_person_upright(turn: float) -> None:
    """The keypoints lie at the same input pixels as in the crop of an upright person."""
    upright, middle = pose(320, 240), np.array([320.0, 240.0])
    turned = upright._replace(xy=turned_xy(upright.xy - middle, turn) + middle)
    frame = frame_from_image(Image.new("RGB", (640, 480)))
    plain, crop = person_crop(upright, (640, 480), 257), person_crop(turned, (640, 480), 257, turn=turn)
    assert plain is not None
    assert crop is not None
    assert crop.size_hw == plain.size_hw
    input_xy = [
        prepare_part(frame, one.box, size_hw=one.size_hw, turn=one.turn).transform.to_input(person.xy)
        for one, person in ((plain, upright), (crop, turned))
    ]
    np.testing.assert_allclose(input_xy[0], input_xy[1], atol=1e-6)


def test_crops_of_a_turned_picture_stay_inside_the_picture() -> None:
    crop = person_crop(pose(600, 20), (640, 480), 257, turn=90.0)
    assert crop is not None
    left, top, right, bottom = turned_bounds((640, 480), 90.0)
    assert left <= crop.box[0] < crop.box[2] <= right
    assert top <= crop.box[1] < crop.box[3] <= bottom


@pytest.mark.slow
@pytest.mark.parametrize("turn", [90, 180, 270])
@pytest.mark.parametrize("preset", ["accurate", "best"])
def test_people_are_found_at_any_turn(preset: str, turn: int, real_model: Path) -> None:
    """A person who lies or is upside down is found at the same keypoints as the upright person."""
    estimator = PoseEstimator(real_model, preset=preset)
    picture = Image.open(SAMPLES / "wave.jpg").convert("RGB")
    (upright,) = estimator.estimate(picture).poses
    (turned,) = estimator.estimate(picture.rotate(-turn, expand=True)).poses
    centre, turned_centre = (
        np.array(picture.size) / 2,
        np.array(picture.size if turn == 180 else picture.size[::-1]) / 2,
    )
    expected = turned_xy(np.array([(p.x, p.y) for p in upright.keypoints]) - centre, turn) + turned_centre
    found = np.array([(p.x, p.y) for p in turned.keypoints])
    certain = np.array([p.score for p in upright.keypoints]) > 0.5
    assert np.linalg.norm(found - expected, axis=1)[certain].max() < 0.05 * max(upright.box[2:])


@pytest.mark.slow
def test_without_turns_people_upside_down_are_not_found(real_model: Path) -> None:
    picture = Image.open(SAMPLES / "wave.jpg").convert("RGB").rotate(180)
    off = PoseEstimator(real_model, preset="accurate", turns="off").estimate(picture).poses
    on = PoseEstimator(real_model, preset="accurate").estimate(picture).poses
    assert max((pose.score for pose in off), default=0) < 0.5 < on[0].score


def test_the_smallest_pass_decides_on_larger_turned_passes(tiny_model: Path) -> None:
    """In an empty picture `auto` runs one pass for each turn; `all` runs every size at every turn."""
    passes = {}
    for turns in ("off", "auto", "all"):
        settings = Settings(input_size=(65, 129), turns=turns)
        finder = PoseFinder(read_graph(tiny_model.read_bytes()), settings, threads=1, runtime_class=CountingRuntime)
        finder.find(frame_from_image(Image.new("RGB", (200, 100))), {})
        (runtime,) = finder.runtimes
        assert isinstance(runtime, CountingRuntime)
        passes[turns] = runtime.count
    assert passes == {"off": 2, "auto": 2 + 3, "all": 2 + 6}


def test_max_poses_limits_several_passes(tiny_model: Path) -> None:
    people = [person_at(x, y, 0.5) for x in (60, 130, 200) for y in (60, 160)]
    settings = Settings(input_size=(257, 513), max_poses=4)
    finder = PoseFinder(read_graph(tiny_model.read_bytes()), settings, threads=1)
    assert len(finder.find(frame_from_image(draw_discs(people)), {})) <= 4


def test_missed_people_of_the_previous_frame_are_found_again(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `zoom`, only people of the previous frame that the first passes miss get a second pass."""
    finder = PoseFinder(read_graph(tiny_model.read_bytes()), Settings(), threads=1)
    frame = frame_from_image(draw_discs([person_at(60, 60), person_at(190, 80)], (257, 257)))
    both = finder.find(frame, {})
    assert len(both) == 2
    views = []
    passes = finder._first
    view, find = passes.view, passes.find
    monkeypatch.setattr(passes, "view", lambda frame, pose, crop: views.append(pose) or view(frame, pose, crop))
    assert len(finder.find(frame, {}, both)) == 2
    assert views == []
    monkeypatch.setattr(passes, "find", lambda prepared, timings: find(prepared, timings)[:1])  # misses one person
    again = finder.find(frame, {}, both)
    assert [one is both[1] for one in views] == [True]
    assert len(again) == 2
    assert np.abs(again[1].xy - both[1].xy).max() < 12
    gone = frame_from_image(draw_discs([person_at(60, 60)], (257, 257)))
    assert len(finder.find(gone, {}, both)) == 1


REGION = Region.parse("290,170,257,257")


def test_positions_in_a_region_are_picture_pixels(tiny_model: Path) -> None:
    """A person inside is found at the same position as without the region; a person outside is not found."""
    people = [person_at(150, 90), person_at(420, 250)]
    frame = frame_from_image(draw_discs(people, (577, 449)))
    graph = read_graph(tiny_model.read_bytes())
    without_region = PoseFinder(graph, Settings(input_size=(513,)), threads=1).find(frame, {})
    assert len(without_region) == 2
    finder = PoseFinder(graph, Settings(region=REGION), threads=1)
    (inside,) = finder.find(frame, {})
    assert finder.input_size(577, 449) == (257, 257)
    assert np.abs(inside.xy - people[1]).max() < 0.35
    assert min(np.abs(inside.xy - pose.xy).max() for pose in without_region) < 0.35


@pytest.mark.parametrize("settings", [{}, {"zoom": True, "mirror": True, "turns": "all"}, {"fit": "pad"}])
def test_pixels_outside_the_region_have_no_effect(settings: dict, tiny_model: Path) -> None:
    """Noise outside the region changes no pass, with or without people of a previous frame."""
    within = draw_discs([person_at(420, 250)], (577, 449))
    left, top, right, bottom = REGION.box_in(577, 449) or (0, 0, 0, 0)
    noise = Image.effect_noise(within.size, 90).convert("RGB")
    noise.paste(within.crop((left, top, right, bottom)), (left, top))
    finder = PoseFinder(read_graph(tiny_model.read_bytes()), Settings(region=REGION, **settings), threads=1)
    previous = [pose(420, 250), pose(300, 175), pose(60, 60)]
    for people in ([], previous[:1], previous):
        found, with_noise = (finder.find(frame_from_image(picture), {}, people) for picture in (within, noise))
        assert found
        for one, other in zip(found, with_noise, strict=True):
            np.testing.assert_array_equal(one.xy, other.xy)


def test_people_of_the_previous_frame_are_found_again_in_the_region(tiny_model: Path) -> None:
    """Second passes suffice: no first pass runs."""
    settings = Settings(region=REGION, zoom=True, zoom_size=(257,), input_size=(65,))
    finder = PoseFinder(read_graph(tiny_model.read_bytes()), settings, threads=1, runtime_class=CountingRuntime)
    frame = frame_from_image(draw_discs([person_at(420, 250)], (577, 449)))
    (again,) = finder.find(frame, {}, [pose(423, 247)])
    (runtime,) = finder.runtimes
    assert isinstance(runtime, CountingRuntime)
    assert runtime.count == 1
    assert np.abs(again.xy - person_at(420, 250)).max() < 5


def test_a_jpeg_is_decoded_at_the_resolution_that_the_region_needs(tiny_model: Path, tmp_path: Path) -> None:
    people = [person_at(300, 300), person_at(1420, 250)]
    path = tmp_path / "big.jpg"
    draw_discs(people, (2056, 2056)).save(path, quality=100, subsampling=0)
    estimator = PoseEstimator(tiny_model, region="1290,170,257,257")
    frame = estimator.estimate_with_frame(path, full_size=False)[1]
    assert frame is not None
    assert frame.reduction == 1
    (inside,) = estimator.estimate(path).poses
    assert np.abs(np.array([(p.x, p.y) for p in inside.keypoints]) - people[1]).max() < 0.5
    frame = PoseEstimator(tiny_model, region="0,0,50%,50%").estimate_with_frame(path, full_size=False)[1]
    assert frame is not None
    assert frame.reduction == 4


@pytest.mark.parametrize(
    ("person", "expected"), [("largest", 1), ("center", 0), (0, None), (1, None), (2, None), (3, None)]
)
def test_one_person_is_chosen(person: str | int, expected: int | None, tiny_model: Path) -> None:
    """The choice is made among all people, even with `max_poses` 1."""
    people = [person_at(200, 90), person_at(330, 60, 1.2), person_at(70, 60)]
    frame, graph = frame_from_image(draw_discs(people, (401, 257))), read_graph(tiny_model.read_bytes())
    everybody = PoseFinder(graph, Settings(input_size=(321,)), threads=1).find(frame, {})
    assert len(everybody) == 3
    chooser = PoseFinder(graph, Settings(input_size=(321,), person=person, max_poses=1), threads=1)
    found = chooser.find(frame, {})
    assert len(chooser.find(frame, {}, all_people=True)) == 3
    if expected is None:
        assert [one.xy.tolist() for one in found] == [one.xy.tolist() for one in everybody[int(person) :][:1]]
    else:
        assert np.abs(found[0].xy - people[expected]).max() < 5


@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_a_small_person_is_found_in_a_region(preset: str, real_model: Path) -> None:
    """A person too small for a pass over the whole picture is found as in a picture of the region alone."""
    sample = Image.open(SAMPLES / "wave.jpg").convert("RGB")
    small = sample.resize((sample.width // 3, sample.height // 3), Image.Resampling.LANCZOS)
    picture = Image.new("RGB", (2000, 1500), (120, 120, 120))
    picture.paste(small, (1507, 303))
    (alone,) = PoseEstimator(real_model, preset=preset).estimate(small).poses
    region = (1507, 303, *small.size)
    (inside,) = PoseEstimator(real_model, preset=preset, region=region).estimate(picture).poses
    assert [(round(p.x - 1507, 2), round(p.y - 303, 2)) for p in inside.keypoints] == [
        (p.x, p.y) for p in alone.keypoints
    ]
    assert inside.score == alone.score
    if preset == "fast":
        assert not PoseEstimator(real_model).estimate(picture).poses


class CountingRuntime(Runtime):
    """A runtime that counts its passes."""

    count = 0

    def run(self, image: np.ndarray) -> Maps:
        self.count += 1
        return super().run(image)


@pytest.mark.parametrize(
    "preset", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("accurate", "best"))) for name in PRESETS]
)
def test_every_preset_finds_the_people_of_the_samples(preset: str, real_model: Path) -> None:
    estimator = PoseEstimator(real_model, preset=preset)
    assert [len(estimator.estimate(SAMPLES / f"{name}.jpg").poses) for name in ("wave", "three", "exercise")] == [
        1,
        3,
        2,
    ]


@pytest.mark.slow
def test_second_passes_neither_lose_nor_duplicate_people(real_model: Path) -> None:
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
def test_large_jpegs_are_decoded_at_the_resolution_that_the_crops_need(real_model: Path, tmp_path: Path) -> None:
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
        (reduced,) = estimator.estimate_with_frame(path, full_size=False)[0].poses
        height = max(point.y for point in full.keypoints) - min(point.y for point in full.keypoints)
        pairs = zip(full.keypoints, reduced.keypoints, strict=True)
        largest = max(np.hypot(a.x - b.x, a.y - b.y) for a, b in pairs if a.score > 0.3)
        assert largest < 0.06 * height


def test_settings_of_passes_are_checked() -> None:
    with pytest.raises(UsageError, match="nearest are 193 and 225"):
        Settings(input_size=(257, 200))
    with pytest.raises(UsageError, match="input_size is empty"):
        Settings(input_size=())
    with pytest.raises(UsageError, match="off, auto, all"):
        Settings(turns="90")
    with pytest.raises(UsageError, match="largest, center, best"):
        Settings(person="me")
    for wrong in (-1, True):
        with pytest.raises(UsageError, match="not a whole number from 0"):
            Settings(person=wrong)
    with pytest.raises(UsageError, match="no person 1"):
        Settings(person=1, decoder="single")


def test_zoom_settings_are_checked() -> None:
    with pytest.raises(UsageError, match="nearest are 193 and 225"):
        Settings(zoom_size=(200,))
    with pytest.raises(UsageError, match="max_zooms"):
        Settings(max_zooms=-1)


def test_a_picture_of_one_pixel_is_supported(tiny_model: Path) -> None:
    settings = Settings(input_size=(65, 129), turns="all", zoom=True, mirror=True)
    finder = PoseFinder(read_graph(tiny_model.read_bytes()), settings, threads=1)
    finder.find(frame_from_image(Image.new("RGB", (1, 1))), {})
