#!/usr/bin/env python3
"""Draws how `posecli measure` counts angles: docs/angles_convention.png. Needs matplotlib."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Arc


def line(axes: Axes, *points: tuple[float, float], colour: str = "0.2", style: str = "-") -> None:
    """A limb, or a thin line to measure from."""
    xs, ys = zip(*points, strict=True)
    axes.plot(xs, ys, style, color=colour, linewidth=3 if style == "-" else 1.2, marker="o" if style == "-" else "")


def arc(
    axes: Axes, centre: tuple[float, float], start: float, end: float, text: str, *, at: tuple[float, float]
) -> None:
    """An angle from `start` to `end` (degrees, anticlockwise from the right), and what it is called."""
    axes.add_patch(Arc(centre, 0.9, 0.9, theta1=start, theta2=end, color="C0", linewidth=2))
    axes.text(*at, text, color="C0", fontsize=11)


def main() -> None:
    """Draw the four kinds of angle side by side."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    joint, lean, neck, ankles = figure.subplots(1, 4)
    joint.set_title("joint: 180 stretched out")
    line(joint, (-1, 1), (0, 0), (1.2, 0.4))
    arc(joint, (0, 0), 18.4, 135, "117°", at=(-0.15, 0.55))
    joint.text(-0.2, -0.4, "elbow, shoulder,\nhip or knee", fontsize=9)
    lean.set_title("trunk lean: right +, left −")
    line(lean, (0, 0), (0, 1.8), colour="0.6", style="--")
    line(lean, (0, 0), (0.6, 1.65))
    arc(lean, (0, 0), 70, 90, "+20°", at=(-0.55, 0.6))
    lean.text(0.15, -0.1, "middle of the hips", fontsize=9)
    lean.text(0.68, 1.6, "of the shoulders", fontsize=9)
    neck.set_title("neck: from the trunk's line")
    line(neck, (-0.3, -1.0), (0, 0))
    line(neck, (0, 0), (0.3, 1.0), colour="0.6", style="--")
    line(neck, (0, 0), (0.87, 0.87))
    arc(neck, (0, 0), 45, 73.3, "+28°", at=(-0.45, 0.45))
    neck.text(0.95, 0.8, "middle of\nthe ears", fontsize=9)
    neck.text(0.1, -0.15, "of the shoulders", fontsize=9)
    ankles.set_title("ankle line: right end lower +")
    line(ankles, (-0.8, 0), (1, 0), colour="0.6", style="--")
    line(ankles, (-0.8, 0), (0.9, -0.3))
    arc(ankles, (-0.8, 0), -10, 0, "+10°", at=(-0.3, 0.08))
    for axes in (joint, lean, neck, ankles):
        axes.set_xlim(-1.4, 1.9)
        axes.set_ylim(-1.2, 2.0)
        axes.set_aspect("equal")
        axes.axis("off")
    figure.savefig(Path(__file__).with_name("angles_convention.png"), dpi=90)


if __name__ == "__main__":
    main()
