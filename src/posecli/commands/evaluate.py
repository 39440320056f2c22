"""`posecli evaluate`: measures results against annotations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from posecli.checks.evaluate import Evaluation


@click.command("evaluate", context_settings={"max_content_width": 100})
@click.argument("ground_truth")
@click.argument("results")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(ground_truth: str, results: str, *, as_json: bool) -> None:
    """Measure COCO keypoint precision (AP) and recall (AR), with pycocotools (extra eval).

    \b
    Examples:
      posecli evaluate person_keypoints.json poses.jsonl
      posecli evaluate person_keypoints.json results.json --json

    GROUND_TRUTH is a file of COCO person keypoint annotations. Pictures are matched by its file_name entries.
    RESULTS is output of `posecli estimate` (records or COCO results), or COCO keypoint results from another program.

    For a fair measurement, keep poses with low scores: --min-pose-score 0.05 --score-threshold 0.3.
    """
    from posecli.checks.evaluate import evaluate

    evaluation = evaluate(ground_truth, results)
    if as_json:
        click.echo(json.dumps(evaluation.to_dict(), indent=2))
    else:
        click.echo(_tables(evaluation))
    for what, names in (
        ("annotated pictures have no results; they count as pictures without people", evaluation.missing),
        ("results belong to pictures without annotations; they are ignored", evaluation.unknown),
    ):
        if names:
            click.echo(
                f"posecli: {len(names)} {what}: {', '.join(names[:3])}{', …' if len(names) > 3 else ''}", err=True
            )


def _tables(evaluation: Evaluation) -> str:
    from posecli.checks.evaluate import FIGURES

    lines = [f"{'':14} {'pictures':>8} {'people':>6}  " + "  ".join(f"{name:>6}" for name in FIGURES)]
    for name, score in evaluation.groups.items():
        figures = "  ".join(f"{_number(score.figures[figure]):>{max(len(figure), 6)}}" for figure in FIGURES)
        lines.append(f"{name:14} {score.pictures:8} {score.people:6}  {figures}")
    people = evaluation.groups["all"].people
    lines += ["", f"Mean similarity of each keypoint, for the {evaluation.found} people found of {people}:"]
    lines += [f"  {part:14} {_number(value)}" for part, value in evaluation.keypoints.items()]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
