"""Plots of angles: people that are drawn, how they are drawn, and the title that lists the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from posecli.poses.angles import ANGLES, measure
from posecli.poses.curves import FrameTimes, curves_of
from posecli.render.angle_plot import figure_of, plot_angles
from posecli.types import Record

from ..commands.test_measure import frames
from ..poses.test_angles import figure
from ..test_types import make_record

pytest.importorskip("matplotlib", reason="needs the extra measure")


def drawn(records: Sequence[Record]) -> Any:
    times = FrameTimes()
    rows = list(measure(times.noted(records)))
    return figure_of(rows, curves_of(rows), times)


def legend_of(found: Any) -> list[str]:
    return [text.get_text() for text in found.axes[len(ANGLES)].get_legend().get_texts()]


def still(image: str, people: int = 1) -> Record:
    return replace(make_record(image), poses=tuple(figure(10 * place) for place in range(people)))


def test_each_track_is_a_line_that_is_cut_where_frames_are_missing() -> None:
    records = frames("c.mp4", 20, 25, 3, 5)
    found = drawn([*records[:8], *(replace(record, poses=record.poses[:1]) for record in records[8:12]), *records[12:]])
    assert [panel.get_title() for panel in found.axes[: len(ANGLES)]] == list(ANGLES)
    assert legend_of(found) == ["track 3", "track 5"]
    complete, cut = found.axes[ANGLES.index("trunk lean")].get_lines()
    assert complete.get_linestyle() == "-"
    assert np.flatnonzero(np.isnan(complete.get_xdata())).tolist() == [20]
    assert np.flatnonzero(np.isnan(cut.get_xdata())).tolist() == [8, 17]
    assert np.nanmax(cut.get_xdata()) == pytest.approx(19 / 25)
    assert cut.get_ydata()[7] == pytest.approx(27)


def test_a_line_is_cut_where_the_angle_crosses_the_edge_of_its_range() -> None:
    turning = [
        replace(record, poses=(figure(173 + 4 * number)._replace(id=1),))
        for number, record in enumerate(frames("c.mp4", 5, 25, 1))
    ]
    (lean,) = drawn(turning).axes[ANGLES.index("trunk lean")].get_lines()
    assert lean.get_ydata() == pytest.approx([173, 177, np.nan, -179, -175, -171, np.nan], nan_ok=True)


def test_pictures_are_points_above_their_names() -> None:
    found = drawn([still("a/$x$.jpg", 2), still("b/" + "long" * 9 + ".jpg"), still("_c.jpg", 0)])
    assert legend_of(found) == ["person 0", "person 1"]
    first, second = found.axes[0].get_lines()
    assert (first.get_linestyle(), first.get_marker()) == ("None", "o")
    assert (first.get_xdata().tolist(), second.get_xdata().tolist()) == ([0, 1], [0])
    names = [label.get_text() for label in found.axes[len(ANGLES) - 1].get_xticklabels()]
    assert names == [r"\$x\$.jpg", "…onglonglonglonglong.jpg"]


def test_many_pictures_are_labelled_with_numbers() -> None:
    found = drawn([still(f"{number}.jpg") for number in range(40)])
    found.canvas.draw()
    assert len(found.axes[len(ANGLES) - 1].get_xticklabels()) < 15


def test_the_longest_tracks_are_drawn_and_the_others_are_counted() -> None:
    records = frames("c.mp4", 12, 25, *range(1, 12))
    found = drawn([replace(record, poses=record.poses[: 11 - i]) for i, record in enumerate(records)])
    assert legend_of(found) == [f"track {track}" for track in range(1, 9)]
    assert found.get_suptitle() == "3 people with fewer rows are not drawn. Choose people with --track and --person."


def test_clips_and_pictures_do_not_share_an_axis() -> None:
    found = drawn([still("a.jpg", 2), *frames("x/c.mp4", 5, 25, 1), *frames("_d.mp4", 5, 25, 1)])
    assert legend_of(found) == ["track 1 of c.mp4", "track 1 of _d.mp4"]
    assert found.get_suptitle() == "2 rows of pictures are not drawn: only clips are."


def test_people_without_tracks_are_a_line_only_if_each_frame_has_one() -> None:
    found = drawn([*frames("alone.mp4", 5, 25, None), *frames("crowd.mp4", 5, 25, None, None)])
    assert legend_of(found) == ["people without tracks of crowd.mp4", "the only person of alone.mp4"]
    crowd, alone = found.axes[0].get_lines()
    assert (crowd.get_linestyle(), alone.get_linestyle()) == ("None", "-")


@pytest.mark.parametrize(
    "records", [[], [still("a.jpg", 0)], [still("人\udcff\n\x1b.jpg")]], ids=["no record", "no person", "odd name"]
)
def test_the_plot_is_a_png(records: list[Record], tmp_path: Path) -> None:
    times = FrameTimes()
    rows = list(measure(times.noted(records)))
    plot_angles(rows, curves_of(rows), times, str(tmp_path / "p.png"))
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.format == "PNG"
