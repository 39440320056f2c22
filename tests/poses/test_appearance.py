"""The colours of clothes, sampled from the picture at trunk and thighs."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from posecli.poses.appearance import clothing_colours
from posecli.skeleton import KEYPOINT_IDS

from ..tiny_model import person_at

RED, BLUE = (200, 40, 30), (20, 60, 220)


def drawn(xy: np.ndarray) -> Image.Image:
    """A person in a red shirt and blue trousers, with a white stripe across the shirt."""
    picture = Image.new("RGB", (320, 257), (128, 128, 128))
    pen = ImageDraw.Draw(picture)

    def part(*names: str, colour: tuple[int, int, int], width: int) -> None:
        pen.polygon([tuple(xy[KEYPOINT_IDS[name]]) for name in names], fill=colour, outline=colour, width=width)

    part("leftHip", "leftKnee", "rightKnee", "rightHip", colour=BLUE, width=7)
    part("leftShoulder", "leftHip", "rightHip", "rightShoulder", colour=RED, width=3)
    shoulder, hip = xy[KEYPOINT_IDS["leftShoulder"]], xy[KEYPOINT_IDS["rightHip"]]
    pen.line([tuple(shoulder), tuple(hip)], fill=(255, 255, 255), width=2)
    return picture


def test_colours_of_shirt_and_trousers() -> None:
    xy = person_at(120, 60)
    assert clothing_colours(drawn(xy), xy) == pytest.approx([c / 255 for c in RED + BLUE], abs=0.02)


def test_outside_the_picture_the_colours_of_its_border_count() -> None:
    xy = person_at(120, 60)
    colours = clothing_colours(drawn(xy), xy + np.array([5000.0, -5000.0]))
    assert colours == pytest.approx([128 / 255] * 6)
