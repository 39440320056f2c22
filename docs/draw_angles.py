#!/usr/bin/env python3
"""Draw the angle conventions of `posecli measure`: docs/angles_convention.png. Needs matplotlib and posecli.

posecli measures the angles in the drawing from the drawn body.
"""

from __future__ import annotations

from dataclasses import replace
from math import atan2, cos, degrees, radians, sin
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Circle, Polygon

from posecli.poses.angles import Measurement, in_convention, measure
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import Keypoint, Pose, Record

Point = tuple[float, float]
#: Colours of matplotlib.
ANGLE, GUIDE, BODY, FAR = "C0", "0.55", "0.82", "0.92"


def step(start: Point, direction: float, length: float) -> Point:
    """The point at a distance from `start`. direction: degrees, 0 is down, 90 is right; y points down."""
    return start[0] + length * sin(radians(direction)), start[1] + length * cos(radians(direction))


def walker() -> dict[str, Point]:
    """The joints of a person who walks to the right, seen from the right side."""
    hip = (0.0, 0.0)
    shoulder = step(hip, 180 - 8, 1.0)
    ear = step(shoulder, 180 - 20, 0.5)
    joints = {"nose": step(ear, 100, 0.17), "rightEar": ear, "rightShoulder": shoulder, "rightHip": hip}
    for side, arm, leg in (("right", (38, 100), (42, -22)), ("left", (-20, 5), (-18, -30))):
        knee, elbow = step(hip, leg[0], 0.88), step(shoulder, arm[0], 0.6)
        joints |= {
            f"{side}Knee": knee, f"{side}Ankle": step(knee, leg[1], 0.82),
            f"{side}Elbow": elbow, f"{side}Wrist": step(elbow, arm[1], 0.52),
        }  # fmt: skip
    left = {name.replace("right", "left"): point for name, point in joints.items() if name.startswith("right")}
    return left | joints | {"leftEye": joints["nose"], "rightEye": joints["nose"]}


def measured(joints: dict[str, Point], convention: str) -> Measurement:
    """The angles that posecli measures."""
    points = [Keypoint(i, name, *joints[name], 0.9) for i, name in enumerate(KEYPOINT_NAMES)]
    record = replace(Record("a.jpg", "ok"), poses=(Pose.from_keypoints(0.9, points),))
    return in_convention(next(measure([record])), convention)


def line(axes: Axes, *points: Point, colour: str = "0.2", style: str = "-", width: float = 2.0) -> None:
    """Draw a limb, or a thin guide line."""
    xs, ys = zip(*points, strict=True)
    axes.plot(xs, ys, style, color=colour, linewidth=width, solid_capstyle="round", zorder=width < 9)


def arc(axes: Axes, centre: Point, one: Point, other: Point, radius: float) -> None:
    """Draw the smaller angle between two points at a centre."""
    first, second = (degrees(atan2(end[1] - centre[1], end[0] - centre[0])) for end in (one, other))
    if (second - first) % 360 > 180:
        first, second = second, first
    axes.add_patch(Arc(centre, 2 * radius, 2 * radius, theta1=first, theta2=second, color=ANGLE, linewidth=2.5))


def body(axes: Axes, joints: dict[str, Point]) -> None:
    """Draw the body, then the keypoints and lines of the near side."""
    for side, colour in (("left", FAR), ("right", BODY)):
        for parts, width in ((("Hip", "Knee", "Ankle"), 20), (("Shoulder", "Elbow", "Wrist"), 13)):
            line(axes, *(joints[f"{side}{part}"] for part in parts), colour=colour, width=width)
    line(axes, joints["rightHip"], joints["rightShoulder"], colour=BODY, width=32)
    axes.add_patch(Circle(joints["rightEar"], 0.23, color=BODY, zorder=0))
    for parts in (("Ear", "Shoulder", "Hip", "Knee", "Ankle"), ("Shoulder", "Elbow", "Wrist")):
        points = [joints[f"right{part}"] for part in parts]
        line(axes, *points)
        axes.plot(*zip(*points, strict=True), "o", color="0.2", markersize=5)


def joints_panel(axes: Axes, joints: dict[str, Point], convention: str) -> None:
    """Draw the joint angles of the near side in one convention."""
    body(axes, joints)
    chain = {"elbow": ("Shoulder", "Elbow", "Wrist"), "shoulder": ("Elbow", "Shoulder", "Hip")}
    chain |= {"hip": ("Shoulder", "Hip", "Knee"), "knee": ("Hip", "Knee", "Ankle")}
    angles = measured(joints, convention).angles
    label_offsets = {"elbow": (0.35, 0.24), "shoulder": (-1.25, 0.1), "hip": (-0.95, -0.02), "knee": (0.2, 0.1)}
    for name, (one, middle, other) in chain.items():
        start, centre, end = (joints[f"right{part}"] for part in (one, middle, other))
        angle_name = next(key for key in angles if key.startswith(f"right {name}"))
        if convention == "flexion" and name != "shoulder":
            straight = (1.6 * centre[0] - 0.6 * start[0], 1.6 * centre[1] - 0.6 * start[1])
            line(axes, centre, straight, colour=GUIDE, style="--", width=1.3)
            start = straight
        arc(axes, centre, start, end, 0.22 if convention == "included" else 0.32)
        text = f"{angle_name.removeprefix('right ')}\n{angles[angle_name]:.0f}°"
        x, y = label_offsets[name]
        axes.text(centre[0] + x, centre[1] + y, text, color=ANGLE, fontsize=11)
    straight = "180 is straight (default)" if convention == "included" else "0 is straight"
    axes.set_title(f"--convention {convention}: {straight}", fontsize=11)
    axes.set(xlim=(-1.6, 1.75), ylim=(1.85, -1.85))


def lines_panels(lean: Axes, neck: Axes, ankles: Axes) -> None:
    """Draw trunk lean, neck and ankle line, which are the same in both conventions."""
    lean.set_title("trunk lean: right +, left −", fontsize=10)
    line(lean, (0, 0), (0, -1.8), colour=GUIDE, style="--", width=1.3)
    line(lean, (0, 0), (0.6, -1.65))
    arc(lean, (0, 0), (0, -1), (0.6, -1.65), 0.5)
    lean.text(-0.7, -0.6, "+20°", color=ANGLE, fontsize=11)
    lean.text(0.12, 0.1, "middle of the hips", fontsize=8)
    lean.text(0.1, -1.8, "middle of the shoulders", fontsize=8)
    neck.set_title("neck: from the trunk's line", fontsize=10)
    line(neck, (-0.3, 1.0), (0, 0), (0.87, -0.87))
    line(neck, (0, 0), (0.45, -1.5), colour=GUIDE, style="--", width=1.3)
    arc(neck, (0, 0), (0.3, -1), (0.87, -0.87), 0.55)
    neck.text(-0.35, -0.8, "+28°", color=ANGLE, fontsize=11)
    neck.text(0.55, -1.05, "middle of the ears", fontsize=8)
    neck.text(0.12, 0.1, "middle of the shoulders", fontsize=8)
    ankles.set_title("ankle line: right end lower +", fontsize=10)
    line(ankles, (-0.8, 0), (1.2, 0), colour=GUIDE, style="--", width=1.3)
    line(ankles, (-0.8, 0), (1.1, 0.34))
    arc(ankles, (-0.8, 0), (1, 0), (1.1, 0.34), 1.2)
    ankles.text(0.5, -0.1, "+10°", color=ANGLE, fontsize=11)


def camera_panel(axes: Axes) -> None:
    """Draw the camera from above, in the position in which angles in the picture equal those of the body."""
    axes.set_title("the camera, from above", fontsize=10)
    axes.annotate("", (1.5, -1), (-1.2, -1), arrowprops={"arrowstyle": "->", "color": "0.2", "lw": 2})
    axes.text(-1.2, -1.2, "the plane of the movement", fontsize=8)
    line(axes, (0, -1), (0, 0.55), colour=GUIDE, style="--", width=1.3)
    line(axes, (0.2, -1), (0.2, -0.8), (0, -0.8), colour=ANGLE, width=1.5)
    case = [(-0.25, 1.1), (0.25, 1.1), (0.25, 0.75), (0.1, 0.55), (-0.1, 0.55), (-0.25, 0.75)]
    axes.add_patch(Polygon(case, color="0.3"))
    axes.text(0.35, 0.7, "level, at hip height,\nsquare to the movement", fontsize=8)


def draw() -> Figure:
    """Draw the figure: both conventions at the top, lines and camera at the bottom."""
    figure = Figure(figsize=(11, 8.2), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(2.1, 1))
    joints = walker()
    bodies, lines = above.subplots(1, 2), below.subplots(1, 4)
    for axes, convention in zip(bodies, ("included", "flexion"), strict=True):
        joints_panel(axes, joints, convention)
    for axes in lines:
        axes.set(xlim=(-1.4, 1.9), ylim=(1.3, -2.0))
    lines_panels(*lines[:3])
    camera_panel(lines[3])
    for axes in (*bodies, *lines):
        axes.set_aspect("equal")
        axes.axis("off")
    return figure


if __name__ == "__main__":
    draw().savefig(Path(__file__).with_name("angles_convention.png"), dpi=90)
