"""Smoothing of keypoints over time, on people with known paths."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from posecli.poses.smoothing import Smoother
from posecli.types import Record

from ..tiny_model import person_at
from .test_tracking import frame, pose, through, xy

RATE = 50
WRIST = 9


def moved(path: Callable[[float], float], frames: int, *, noise: float = 0.0, rate: int = RATE) -> list[Record]:
    """Records of one tracked person at x = path(seconds)."""
    rng = np.random.default_rng(5)
    found = []
    for number in range(frames):
        one = pose(person_at(path(number / rate), 100) + rng.normal(0, noise, (17, 2)))._replace(id=1)
        found.append(Record(**{**vars(frame(number, [one])), "time": number / rate}))
    return found


def truth(path: Callable[[float], float], frames: int, rate: int = RATE) -> np.ndarray:
    return np.array([person_at(path(number / rate), 100) for number in range(frames)])


def positions(records: list[Record]) -> np.ndarray:
    return np.array([xy(record) for record in records])


@pytest.mark.parametrize("speed", [0.0, 200.0])
def test_jitter_is_reduced_at_rest_and_in_movement(speed: float) -> None:
    def path(t: float) -> float:
        return 60 + speed * t

    records = moved(path, 100, noise=2.0)
    raw, smoothed = (
        np.abs(positions(found) - truth(path, 100)).mean() for found in (records, through(Smoother(), records))
    )
    assert smoothed < 0.6 * raw
    raw_jitter, jitter = (
        np.abs(np.diff(positions(found), 2, axis=0)).mean() for found in (records, through(Smoother(), records))
    )
    assert jitter < 0.25 * raw_jitter


def test_smoothing_has_no_lag() -> None:
    """A swing at 2 Hz is not delayed and keeps nearly all of its amplitude."""

    def path(t: float) -> float:
        return 200 + 50 * float(np.sin(2 * np.pi * 2 * t))

    smoothed = positions(through(Smoother(), moved(path, 100)))[:, 0, 0]
    expected = truth(path, 100)[:, 0, 0]
    shifts = [np.corrcoef(smoothed[10:-10], np.roll(expected, shift)[10:-10])[0, 1] for shift in range(-3, 4)]
    assert np.argmax(shifts) == 3
    assert np.ptp(smoothed[10:-10]) > 0.8 * np.ptp(expected)


@pytest.mark.parametrize("length", [1, 2])
def test_a_wrist_that_jumps_is_not_averaged_in(length: int) -> None:
    records = moved(lambda t: 100 + 50 * t, 60, noise=0.3)
    for number in range(30, 30 + length):
        (one,) = records[number].poses
        points = list(one.keypoints)
        points[WRIST] = points[WRIST]._replace(x=points[WRIST].x + 80)
        records[number] = Record(**{**vars(records[number]), "poses": (one._replace(keypoints=tuple(points)),)})
    smoothed = positions(through(Smoother(), records))
    expected = truth(lambda t: 100 + 50 * t, 60)
    assert np.abs(smoothed - expected).max() < 3


def test_a_permanent_movement_is_not_an_outlier() -> None:
    """If a wrist jumps and stays at its new place, the smoothed wrist arrives there within a few frames."""
    records = moved(lambda t: 100 if t < 0.6 else 180, 60)
    smoothed = positions(through(Smoother(), records))[:, WRIST, 0]
    expected = truth(lambda t: 100 if t < 0.6 else 180, 60)[:, WRIST, 0]
    assert np.abs(smoothed[:22] - expected[:22]).max() < 1
    assert np.abs(smoothed[40:] - expected[40:]).max() < 1


def test_an_absence_is_not_bridged() -> None:
    records = moved(lambda t: 100 if t < 0.6 else 300, 100)
    with_gap = [record for record in records if not 0.6 <= (record.time or 0) < 1.4]
    smoothed = positions(through(Smoother(), with_gap))
    expected = positions(with_gap)
    assert np.abs(smoothed - expected).max() < 0.1


def test_people_without_a_number_pass_unchanged() -> None:
    record = frame(0, [pose(person_at(100, 100))])
    assert through(Smoother(), [record]) == [record]


def test_pages_without_times_are_smoothed_too() -> None:
    records = [Record(**{**vars(record), "time": None}) for record in moved(lambda t: 100, 20, noise=2.0)]
    smoothed = through(Smoother(), records)
    assert [record.frame for record in smoothed] == list(range(20))
