#!/usr/bin/env python3
"""Draw the sample pictures, and write where everybody's keypoints are (COCO format, `person_keypoints.json`).

    python samples/draw_samples.py

Each figure is built from its joints, so the truth is known to the pixel. Everything is drawn four times as large
and shrunk, then lit and grained a little: flat colours look less like a photograph to the network.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from posecli.skeleton import KEYPOINT_NAMES

HERE = Path(__file__).resolve().parent
FINE = 4
Point = tuple[float, float]
Colour = tuple[int, int, int]

SKINS = ((236, 188, 160), (199, 140, 106), (141, 90, 62), (248, 208, 180))
HAIRS = ((58, 38, 26), (24, 20, 20), (30, 22, 18), (168, 120, 60))


@dataclass
class Figure:
    """One person: where the middle of the hips is, how tall, how the limbs point (degrees, 0 down, 90 to the
    picture's right), and what is worn. Limb angles are (upper, lower)."""

    hips: Point
    height: float
    left_arm: tuple[float, float] = (12, 8)
    right_arm: tuple[float, float] = (-12, -8)
    left_leg: tuple[float, float] = (6, 4)
    right_leg: tuple[float, float] = (-6, -4)
    lean: float = 0
    look: int = 0
    shirt: Colour = (200, 60, 50)
    trousers: Colour = (50, 70, 120)
    shoes: Colour = (40, 36, 36)
    long_hair: bool = False
    shorts: bool = False
    joints: dict[str, Point] = field(default_factory=dict)

    def __post_init__(self) -> None:
        h = self.height
        hips, up = self.hips, 180 + self.lean
        neck = step(hips, up, 0.30 * h)
        across = up - 90
        self.joints = {"neck": neck, "crown": step(neck, up, 0.185 * h)}
        head = step(neck, up, 0.105 * h)
        self.joints |= {
            "nose": step(head, up + 180, 0.004 * h),
            "leftEye": step(step(head, up, 0.016 * h), across, 0.018 * h),
            "rightEye": step(step(head, up, 0.016 * h), across + 180, 0.018 * h),
            "leftEar": step(head, across, 0.046 * h),
            "rightEar": step(head, across + 180, 0.046 * h),
        }
        for side, sign in (("left", 1), ("right", -1)):
            outwards = across if sign > 0 else across + 180
            shoulder = step(step(neck, up + 180, 0.022 * h), outwards, 0.098 * h)
            hip = step(hips, outwards, 0.056 * h)
            arm, leg = getattr(self, f"{side}_arm"), getattr(self, f"{side}_leg")
            elbow, knee = step(shoulder, arm[0], 0.165 * h), step(hip, leg[0], 0.235 * h)
            self.joints |= {
                f"{side}Shoulder": shoulder,
                f"{side}Elbow": elbow,
                f"{side}Wrist": step(elbow, arm[1], 0.145 * h),
                f"{side}Hip": hip,
                f"{side}Knee": knee,
                f"{side}Ankle": step(knee, leg[1], 0.225 * h),
            }


def step(point: Point, degrees: float, length: float) -> Point:
    """A point moved; 0 degrees is down, 90 the picture's right."""
    angle = math.radians(degrees)
    return point[0] + length * math.sin(angle), point[1] + length * math.cos(angle)


def shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (max(0, min(255, round(c * factor))) for c in colour)
    return red, green, blue


class Painter:
    """Draws figures in fine pixels."""

    def __init__(self, picture: Image.Image) -> None:
        self._pen = ImageDraw.Draw(picture)

    def figure(self, f: Figure) -> None:
        """Shadow, legs, arms behind, body, head, arms in front."""
        skin, hair = SKINS[f.look % len(SKINS)], HAIRS[f.look % len(HAIRS)]
        j, h = f.joints, f.height
        self._shadow(f)
        if f.long_hair:
            self._limb(
                step(j["crown"], f.lean, 0.07 * h), step(j["neck"], f.lean, 0.03 * h), 0.062 * h, 0.075 * h, hair
            )
        for side in ("left", "right"):
            self._leg(f, side, skin)
        self._body(f)
        self._limb(
            step(j["neck"], f.lean, 0.012 * h),
            step(j["nose"], f.lean, 0.02 * h),
            0.03 * h,
            0.028 * h,
            shade(skin, 0.88),
        )
        self._head(f, skin, hair)
        for side in ("left", "right"):
            self._arm(f, side, skin)

    def _shadow(self, f: Figure) -> None:
        xs = [f.joints[n][0] for n in ("leftAnkle", "rightAnkle")]
        y = max(f.joints[n][1] for n in ("leftAnkle", "rightAnkle")) + 0.045 * f.height
        left, right = min(xs) - 0.09 * f.height, max(xs) + 0.09 * f.height
        self._ellipse(((left + right) / 2, y), ((right - left) / 2, 0.022 * f.height), (92, 96, 88))

    def _leg(self, f: Figure, side: str, skin: Colour) -> None:
        j, h = f.joints, f.height
        hip, knee, ankle = (j[side + part] for part in ("Hip", "Knee", "Ankle"))
        tone = f.trousers if side == "left" else shade(f.trousers, 0.9)
        lower = skin if f.shorts else tone
        outwards = 1 if side == "left" else -1
        toe = (ankle[0] + outwards * 0.05 * h, ankle[1] + 0.036 * h)
        self._limb((ankle[0] - outwards * 0.008 * h, ankle[1] + 0.03 * h), toe, 0.021 * h, 0.017 * h, f.shoes)
        self._limb(ankle, (ankle[0], ankle[1] + 0.02 * h), 0.021 * h, 0.024 * h, skin)
        self._limb(knee, ankle, 0.040 * h, 0.024 * h, shade(lower, 0.97))
        self._limb(hip, knee, 0.059 * h, 0.042 * h, tone)
        if not f.shorts:
            self._limb(step(ankle, 180, 0.02 * h), step(ankle, 180, 0.008 * h), 0.03 * h, 0.03 * h, shade(tone, 0.9))

    def _body(self, f: Figure) -> None:
        j, h = f.joints, f.height
        self._limb(j["leftHip"], j["rightHip"], 0.056 * h, 0.056 * h, f.trousers)
        waist = [step(j[s + "Hip"], 180 + f.lean, 0.07 * h) for s in ("left", "right")]
        chest = [step(j[s + "Shoulder"], f.lean, 0.05 * h) for s in ("left", "right")]
        hips = [step(j[s + "Hip"], 180 + f.lean, 0.005 * h) for s in ("left", "right")]
        outline = [j["leftShoulder"], chest[0], waist[0], hips[0], hips[1], waist[1], chest[1], j["rightShoulder"]]
        self._polygon(outline, f.shirt)
        for a, b in zip(outline, [*outline[1:], outline[0]], strict=True):
            self._taper(a, b, 0.032 * h, 0.032 * h, f.shirt)
        collar = step(j["neck"], f.lean, 0.012 * h)
        self._limb(
            step(collar, f.lean - 90, 0.03 * h),
            step(collar, f.lean + 90, 0.03 * h),
            0.02 * h,
            0.02 * h,
            shade(f.shirt, 0.8),
        )
        middle = step(j["neck"], f.lean, 0.06 * h)
        self._limb(middle, step(middle, f.lean, 0.2 * h), 0.003 * h, 0.003 * h, shade(f.shirt, 0.82))

    def _arm(self, f: Figure, side: str, skin: Colour) -> None:
        j, h = f.joints, f.height
        shoulder, elbow, wrist = (j[side + part] for part in ("Shoulder", "Elbow", "Wrist"))
        angle = getattr(f, f"{side}_arm")[1]
        tone = shade(f.shirt, 0.93 if side == "left" else 0.84)
        self._limb(elbow, wrist, 0.026 * h, 0.019 * h, skin)
        self._hand(wrist, angle, h, skin, side)
        self._limb(shoulder, elbow, 0.038 * h, 0.028 * h, skin)
        self._limb(shoulder, step(shoulder, getattr(f, f"{side}_arm")[0], 0.11 * h), 0.042 * h, 0.038 * h, tone)

    def _hand(self, wrist: Point, angle: float, h: float, skin: Colour, side: str) -> None:
        palm = step(wrist, angle, 0.026 * h)
        self._limb(wrist, palm, 0.017 * h, 0.021 * h, shade(skin, 0.97))
        for spread in (-24, -8, 8, 24):
            tip = step(step(palm, angle + spread, 0.02 * h), angle + spread / 2, 0.024 * h)
            self._limb(palm, tip, 0.0075 * h, 0.006 * h, shade(skin, 0.94))
        thumb = 60 if side == "left" else -60
        self._limb(palm, step(palm, angle - thumb, 0.03 * h), 0.008 * h, 0.006 * h, shade(skin, 0.9))

    def _head(self, f: Figure, skin: Colour, hair: Colour) -> None:
        j, h = f.joints, f.height
        up = 180 + f.lean
        middle = step(j["nose"], up, 0.008 * h)
        self._limb(step(middle, up, 0.032 * h), step(middle, up, 0.022 * h), 0.058 * h, 0.058 * h, hair)
        for side in ("left", "right"):
            self._ellipse(j[side + "Ear"], (0.011 * h, 0.017 * h), shade(skin, 0.86))
        self._limb(step(middle, up, 0.018 * h), step(middle, f.lean, 0.03 * h), 0.046 * h, 0.036 * h, skin)
        fringe = step(middle, up, 0.052 * h)
        self._limb(step(fringe, up - 90, 0.026 * h), step(fringe, up + 90, 0.026 * h), 0.019 * h, 0.019 * h, hair)
        for side in ("left", "right"):
            eye = j[side + "Eye"]
            self._ellipse(eye, (0.0098 * h, 0.0062 * h), (250, 250, 250))
            self._ellipse(eye, (0.0052 * h, 0.0058 * h), (50, 34, 24))
            brow = step(eye, up, 0.014 * h)
            self._limb(
                step(brow, up - 90, 0.010 * h), step(brow, up + 90, 0.010 * h), 0.0028 * h, 0.0028 * h, shade(hair, 0.9)
            )
            cheek = step(step(eye, f.lean, 0.024 * h), f.lean + (90 if side == "left" else -90), 0.008 * h)
            self._ellipse(cheek, (0.009 * h, 0.007 * h), shade(skin, 0.95))
        tip = j["nose"]
        self._limb(step(tip, up, 0.014 * h), tip, 0.0032 * h, 0.0072 * h, shade(skin, 0.86))
        for side in (-1, 1):
            self._ellipse(
                step(step(tip, f.lean, 0.004 * h), f.lean + 90 * side, 0.0045 * h),
                (0.0022 * h, 0.0016 * h),
                shade(skin, 0.5),
            )
        mouth = step(tip, f.lean, 0.020 * h)
        self._limb(
            step(mouth, f.lean - 90, 0.013 * h),
            step(mouth, f.lean + 90, 0.013 * h),
            0.0036 * h,
            0.0036 * h,
            (176, 82, 80),
        )

    def _limb(self, a: Point, b: Point, radius_a: float, radius_b: float, colour: Colour) -> None:
        """A tapering stroke with round ends, darker along one edge as if lit from the left."""
        self._taper(a, b, radius_a, radius_b, shade(colour, 0.84))
        shift = 0.14
        a2, b2 = (a[0] - shift * radius_a, a[1] - shift * radius_a), (b[0] - shift * radius_b, b[1] - shift * radius_b)
        self._taper(a2, b2, radius_a * 0.86, radius_b * 0.86, colour)

    def _taper(self, a: Point, b: Point, radius_a: float, radius_b: float, colour: Colour) -> None:
        length = math.dist(a, b)
        if length > 0:
            nx, ny = -(b[1] - a[1]) / length, (b[0] - a[0]) / length
            self._polygon(
                [
                    (a[0] + nx * radius_a, a[1] + ny * radius_a), (b[0] + nx * radius_b, b[1] + ny * radius_b),
                    (b[0] - nx * radius_b, b[1] - ny * radius_b), (a[0] - nx * radius_a, a[1] - ny * radius_a),
                ], colour,
            )  # fmt: skip
        self._ellipse(a, (radius_a, radius_a), colour)
        self._ellipse(b, (radius_b, radius_b), colour)

    def _ellipse(self, centre: Point, radii: Point, colour: Colour) -> None:
        (x, y), (rx, ry) = centre, radii
        self._pen.ellipse([(x - rx) * FINE, (y - ry) * FINE, (x + rx) * FINE, (y + ry) * FINE], fill=colour)

    def _polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self._pen.polygon([(x * FINE, y * FINE) for x, y in points], fill=colour)


def park(size: tuple[int, int], horizon: float) -> Image.Image:
    """Sky, a row of trees, a lawn."""
    width, height = size[0] * FINE, size[1] * FINE
    picture = Image.new("RGB", (width, height))
    pen, dice, edge = ImageDraw.Draw(picture), random.Random(3), int(height * horizon)
    for y in range(height):
        t = y / height
        sky, lawn = (168 + 50 * t, 200 + 30 * t, 232), (126 - 30 * t, 158 - 30 * t, 92 - 20 * t)
        pen.line([(0, y), (width, y)], fill=tuple(round(c) for c in (sky if y < edge else lawn)))
    for _ in range(70):
        x, r = dice.randrange(width), dice.randrange(width // 40, width // 14)
        green = shade((96, 130, 84), dice.uniform(0.8, 1.15))
        pen.ellipse([x - r, edge - r * 1.5, x + r, edge + r * 0.3], fill=green)
    return picture.filter(ImageFilter.GaussianBlur(FINE * 5))


def hall(size: tuple[int, int], horizon: float) -> Image.Image:
    """A wall with windows and a wooden floor."""
    width, height = size[0] * FINE, size[1] * FINE
    picture = Image.new("RGB", (width, height), (150, 168, 182))
    pen, edge = ImageDraw.Draw(picture), int(height * horizon)
    for index in range(3):
        x = int(width * (0.1 + 0.33 * index))
        pen.rectangle([x, int(0.03 * height), x + int(0.14 * width), int(0.14 * height)], fill=(176, 192, 204))
    pen.rectangle([0, edge, width, height], fill=(176, 142, 106))
    for index in range(-10, 22):
        x = width * index / 11
        pen.line([(width / 2 + (x - width / 2) * 0.6, edge), (x, height)], fill=(158, 124, 90), width=FINE)
    pen.rectangle([0, edge - 8 * FINE, width, edge], fill=(240, 236, 230))
    return picture.filter(ImageFilter.GaussianBlur(FINE * 2))


def finish(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Shrink, soften, and add grain."""
    small = picture.resize(size, Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(0.6))
    noise = random.Random(7).randbytes(size[0] * size[1])
    grain = Image.frombytes("L", size, noise).point(lambda value: 128 + (value - 128) // 12).convert("RGB")
    return ImageChops.add(small, grain, scale=1.0, offset=-128)


SCENES: dict[str, tuple[tuple[int, int], Image.Image, list[Figure]]] = {}


def scenes() -> dict[str, tuple[tuple[int, int], Image.Image, list[Figure]]]:
    """Name → size, background, people from back to front."""
    return {
        "wave": (
            (480, 640),
            park((480, 640), 0.55),
            [Figure((240, 345), 500, left_arm=(125, 170), right_arm=(-14, -6), look=0, shirt=(202, 66, 54))],
        ),
        "three": (
            (720, 520),
            hall((720, 520), 0.7),
            [
                Figure((125, 290), 430, left_arm=(24, 10), right_arm=(-24, -10), look=1, shirt=(196, 60, 66), trousers=(60, 62, 76)),
                Figure((360, 292), 425, left_arm=(34, -20), right_arm=(-34, 20), left_leg=(10, 6), right_leg=(-10, -6), look=2, shirt=(60, 122, 92), trousers=(104, 92, 80), shoes=(240, 240, 240)),
                Figure((590, 290), 420, left_arm=(22, 8), right_arm=(-48, 24), look=3, shirt=(64, 90, 176), trousers=(46, 50, 66), long_hair=True),
            ],
        ),
        "exercise": (
            (800, 600),
            park((800, 600), 0.5),
            [
                Figure((215, 325), 430, left_arm=(140, 160), right_arm=(-140, -160), left_leg=(25, 12), right_leg=(-25, -12), look=2, shirt=(236, 236, 240), trousers=(40, 90, 140), shorts=True, shoes=(60, 60, 70)),
                Figure((560, 335), 440, left_arm=(80, 70), right_arm=(-35, -10), left_leg=(30, 26), right_leg=(-28, -18), lean=-6, look=1, shirt=(60, 120, 150), trousers=(50, 50, 58), shoes=(220, 220, 220)),
            ],
        ),
    }  # fmt: skip


def annotation(number: int, image_id: int, figure: Figure) -> dict:
    """One person in COCO's form; every keypoint is drawn and visible."""
    points = [figure.joints[name] for name in KEYPOINT_NAMES]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "num_keypoints": len(points),
        "area": round(box[2] * box[3] * 0.6, 1),
        "bbox": [round(v, 1) for v in box],
        "keypoints": [value for x, y in points for value in (round(x, 1), round(y, 1), 2)],
    }


def main() -> None:
    """Draw every scene beside this file."""
    images, annotations = [], []
    for image_id, (name, (size, background, people)) in enumerate(scenes().items(), start=1):
        painter = Painter(background)
        for figure in people:
            painter.figure(figure)
            annotations.append(annotation(len(annotations) + 1, image_id, figure))
        finish(background, size).save(HERE / f"{name}.jpg", quality=88)
        images.append({"id": image_id, "file_name": f"{name}.jpg", "width": size[0], "height": size[1]})
    category = {"id": 1, "name": "person", "keypoints": list(KEYPOINT_NAMES)}
    data = {"images": images, "annotations": annotations, "categories": [category]}
    (HERE / "person_keypoints.json").write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
