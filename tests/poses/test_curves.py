"""Angles over time: smoothing, and the detection of implausible changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan

import numpy as np
import pytest

from posecli.poses.angles import ANGLES, SPANS, Measurement, measure
from posecli.poses.curves import (
    FrameTimes,
    Unsmoothed,
    curves_of,
    flag_jumps,
    least_seconds,
    smooth,
    stretches_of,
    unsmoothed,
)

from ..test_types import make_record


def clip(
    angles: Sequence[float | None], *, name: str = "left knee", rate: float = 50, image: str = "c.mp4", track: int = 1
) -> tuple[list[Measurement], FrameTimes]:
    """One angle of one person, a value a frame. NaN: the person is absent; None: the angle is missing."""
    times = FrameTimes()
    frames = [replace(make_record(image), frame=i, time=i / rate) for i in range(len(angles))]
    assert len(list(times.noted(frames))) == len(angles)
    nothing = dict.fromkeys(ANGLES)
    rows = [
        Measurement(image, i, i / rate, 0, track, 0.9, nothing | {name: angle}, nothing | {name: 0.9})
        for i, angle in enumerate(angles)
        if angle is None or not isnan(angle)
    ]
    return rows, times


def angles_after(rows: Sequence[Measurement], name: str = "left knee") -> list[float | None]:
    return [row.angles[name] for row in rows]


ABSENT = float("nan")


def test_smoothing_does_not_cross_an_absence() -> None:
    """A person with straight knees is absent for three seconds and comes back sitting: neither part is changed."""
    rows, times = clip([179.0] * 30 + [ABSENT] * 170 + [90.0] * 30)
    smoothed = [angle for angle in angles_after(smooth(rows, 0.5, times)) if angle is not None]
    assert smoothed == pytest.approx([179] * 30 + [90] * 30)


@pytest.mark.parametrize("track", [1, None])
def test_one_absent_frame_is_a_gap(track: int | None) -> None:
    rows, times = clip([179.0] * 20 + [ABSENT] + [150.0] * 20)
    rows = [row._replace(track=track) for row in rows]
    smoothed = [angle for angle in angles_after(smooth(rows, 0.3, times)) if angle is not None]
    assert smoothed == pytest.approx([179] * 20 + [150] * 20)


def test_skipped_frames_are_not_a_gap() -> None:
    """Frames numbered 0, 2, 4, … (`--every 2`) are consecutive. A person in every third of these frames has gaps."""
    rows, times = clip([170.0, 178.0] * 20)
    every_second = [row._replace(frame=2 * (row.frame or 0)) for row in rows]
    assert angles_after(smooth(every_second, 0.3, times)) != angles_after(rows)
    assert angles_after(smooth(rows[::3], 0.3, times)) == angles_after(rows[::3])


def test_missing_angles_stay_missing_and_split_the_curve() -> None:
    rows, times = clip([179.0] * 20 + [None] + [150.0] * 20)
    assert angles_after(smooth(rows, 0.3, times)) == pytest.approx([179] * 20 + [None] + [150] * 20)


def test_smoothing_removes_jitter_and_keeps_movement() -> None:
    truth = 90 + 30 * np.sin(np.arange(100) / 6)
    noisy = truth + np.random.default_rng(1).normal(0, 3, 100)
    rows, times = clip(noisy.tolist(), rate=25)
    smoothed = np.array(angles_after(smooth(rows, 0.3, times)), float)
    assert np.abs(smoothed - truth).mean() < 0.65 * np.abs(noisy - truth).mean()
    peak = int(truth[:20].argmax())
    assert smoothed[peak] == pytest.approx(truth[peak], abs=3)


@pytest.mark.parametrize("name", ANGLES)
def test_smoothed_angles_stay_within_their_range(name: str) -> None:
    span = SPANS[name]
    rng = np.random.default_rng(2)
    values = span.low + (span.high - span.low) * rng.beta(0.2, 0.2, 300)
    rows, times = clip(values.tolist(), name=name)
    smoothed = np.array(angles_after(smooth(rows, 0.3, times), name), float)
    assert smoothed.min() >= span.low
    assert smoothed.max() <= span.high


@pytest.mark.parametrize(("name", "edge"), [("trunk lean", 180.0), ("neck", 180.0), ("ankle line", 90.0)])
def test_angles_of_lines_are_smoothed_across_the_wrap_of_their_range(name: str, edge: float) -> None:
    """The angle of a line that turns past the edge jumps from one end of its range to the other."""
    turning = edge - 8 + np.arange(17)
    wrapped = (turning + edge) % (2 * edge) - edge
    rows, times = clip(wrapped.tolist(), name=name)
    smoothed = np.array(angles_after(smooth(rows, 0.2, times), name), float)
    assert smoothed % (2 * edge) == pytest.approx(turning % (2 * edge), abs=1e-6)


def test_a_short_stretch_gets_a_shorter_window() -> None:
    rows, times = clip([170.0, 176.0, 170.0, 176.0, 170.0, ABSENT, 170.0, 176.0, 170.0, 176.0])
    smoothed = angles_after(smooth(rows, 1, times))
    assert smoothed[5:] == angles_after(rows)[5:]  # four frames are too few for any window
    assert smoothed[:5] != angles_after(rows)[:5]


def test_inputs_that_cannot_be_smoothed_are_reported() -> None:
    slow, times = clip([170.0, 178.0] * 10, rate=10, image="slow.gif")
    fast, fast_times = clip([170.0, 178.0] * 10, rate=50, image="fast.mp4")
    stills = list(measure([make_record("a.jpg"), make_record("a.jpg", people=2)]))
    crowd = [row._replace(track=None, person=person) for row in fast for person in (0, 1)]
    assert unsmoothed(slow, 0.3, times) == {"slow.gif": Unsmoothed.SLOW}
    assert smooth(slow, 0.3, times) == slow
    assert unsmoothed(slow, 0.4, times) == unsmoothed(fast, 0.3, fast_times) == {}
    assert unsmoothed(stills, 1, times) == {"a.jpg": Unsmoothed.STILL}
    assert smooth(stills, 1, times) == stills
    assert unsmoothed(crowd, 1, fast_times) == {"fast.mp4": Unsmoothed.UNTRACKED}
    assert smooth(crowd, 1, fast_times) == crowd


@pytest.mark.parametrize("rate", [1, 7, 10, 12.5, 23.976, 25, 30, 50, 59.94, 240])
def test_the_shortest_window_has_an_effect(rate: float) -> None:
    rows, times = clip([170.0, 178.0] * 10, rate=rate)
    seconds = least_seconds(1 / rate)
    assert unsmoothed(rows, seconds, times) == {}
    assert smooth(rows, seconds, times) != rows
    assert unsmoothed(rows, 0.8 * seconds, times) != {}


def test_only_a_single_person_without_a_track_is_a_curve() -> None:
    rows, _ = clip([170.0] * 4)
    alone = [row._replace(track=None) for row in rows]
    assert curves_of(alone) == {("c.mp4", None): [0, 1, 2, 3]}
    other = alone[3]._replace(person=1)
    assert curves_of([*alone, other]) == {}
    assert curves_of([*rows, other]) == {("c.mp4", 1): [0, 1, 2, 3]}


def test_a_late_frame_cuts_the_curve() -> None:
    """In a clip of variable frame rate, a pause of one second does not count as one frame interval."""
    rows, _ = clip([170.0] * 6)
    late = [*rows[:3], *(row._replace(time=(row.time or 0) + 1) for row in rows[3:])]
    assert stretches_of(late, range(6), 0.02) == [[0, 1, 2], [3, 4, 5]]


def test_the_order_of_records_does_not_matter() -> None:
    values = 150 + 20 * np.random.default_rng(3).random(40)
    rows, times = clip([*values[:20], ABSENT, *values[20:]])
    order = np.random.default_rng(4).permutation(len(rows)).tolist()
    expected = smooth(flag_jumps(rows, times), 0.3, times)
    shuffled = [rows[index] for index in order]
    assert smooth(flag_jumps(shuffled, times), 0.3, times) == [expected[index] for index in order]


def test_frames_at_one_time_are_not_smoothed() -> None:
    rows, _ = clip([170.0, 178.0] * 10)
    still = [replace(make_record("c.mp4"), frame=i, time=1.0) for i in range(20)]
    times = FrameTimes()
    assert len(list(times.noted(still))) == 20
    together = [row._replace(time=1.0) for row in rows]
    assert smooth(flag_jumps(together, times), 1, times) == together
    assert unsmoothed(together, 1, times) == {"c.mp4": Unsmoothed.STILL}


def test_a_jump_has_quality_0_and_no_influence() -> None:
    """In two frames a knee is detected on another person."""
    rows, times = clip([170.0] * 10 + [60.0, 65.0] + [172.0] * 10)
    flagged = flag_jumps(rows, times)
    assert [row.quality["left knee"] for row in flagged] == [0.9] * 10 + [0, 0] + [0.9] * 10
    assert angles_after(flagged) == angles_after(rows)
    smoothed = np.array(angles_after(smooth(flagged, 0.3, times)), float)
    assert smoothed == pytest.approx(171, abs=1.5)
    assert [row.quality for row in smooth(flagged, 0.3, times)] == [row.quality for row in flagged]


def test_a_change_that_lasts_becomes_plausible() -> None:
    rows, times = clip([170.0] * 10 + [90.0] * 10)  # 80 degrees at 1000 a second: 0.08 s
    qualities = [row.quality["left knee"] for row in flag_jumps(rows, times)]
    assert qualities == [0.9] * 10 + [0] * 3 + [0.9] * 7


@pytest.mark.parametrize(
    ("angles", "name", "rate"),
    [
        ([170.0, ABSENT, 60.0], "left knee", 50),  # the person may have sat down while absent
        ([170.0, 60.0, 170.0], "left knee", 5),  # slow enough
        ([170.0, 162.0, 170.0], "left knee", 240),  # noise of keypoints, at any frame rate
        ([175.0, -175.0, 175.0], "trunk lean", 50),  # 10 degrees apart
        ([89.0, -89.0, 89.0], "ankle line", 50),  # 2 degrees apart
    ],
)
def test_plausible_changes_are_not_flagged(angles: list[float], name: str, rate: float) -> None:
    rows, times = clip(angles, name=name, rate=rate)
    assert flag_jumps(rows, times) == rows
