"""`posecli estimate`: options → settings and outputs → one run."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from posecli.errors import UsageError
from posecli.types import DECODERS, FITS, STRIDES, Settings
from posecli.writers import FORMAT_NAMES

if TYPE_CHECKING:
    from posecli.batch import RunOutput
    from posecli.inputs import Inputs
    from posecli.worker import DataOutput, PictureOutput

_EXTRAS = ("scores", "boxes", "names")
_BACKGROUNDS = ("picture", "none", "black", "white")


class _Outputs(NamedTuple):
    run: RunOutput | None
    data: DataOutput | None
    pictures: PictureOutput | None


@click.command("estimate", context_settings={"max_content_width": 100})
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option("--files-from", metavar="FILE", help="Read more paths from FILE, one a line (-: standard input).")
@click.option("-0", "--null", is_flag=True, help="The list of --files-from is separated by NUL.")
@click.option("-o", "--output", metavar="PATH", help="Where the data goes: a file, or a folder (ends in /).")
@click.option("-f", "--format", "format_name", type=click.Choice(FORMAT_NAMES), help="Format of the data.")
@click.option("-a", "--annotate", metavar="PATH", help="Annotated pictures: a folder, or a file for one picture.")
@click.option(
    "--picture-format", type=click.Choice(["png", "jpg", "webp"]), default="png", help="Of annotated pictures.",
    show_default=True,
)  # fmt: skip
@click.option("--draw", multiple=True, type=click.Choice(_EXTRAS), help="Draw more than the skeletons; repeatable.")
@click.option(
    "--background", type=click.Choice(_BACKGROUNDS), default="picture", show_default=True,
    help="What people are drawn on; none is transparent.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("--model", metavar="NAME|PATH", help="The model.  [default: POSECLI_MODEL, else the official PoseNet]")
@click.option("--offline", is_flag=True, help="Never touch the network (also POSECLI_OFFLINE).")
@click.option("--stride", type=click.Choice([str(s) for s in STRIDES]), help="Output stride.  [default: the model's]")
@click.option("--input-size", type=int, metavar="N", help="Longer side of the input, n*32+1.  [default: the model's]")
@click.option(
    "--fit", type=click.Choice(FITS), default=Settings.fit, show_default=True, help="How a picture meets the input."
)
@click.option(
    "--decoder", type=click.Choice(DECODERS), default=Settings.decoder, show_default=True, help="All people, or one."
)
@click.option("--max-poses", type=int, default=Settings.max_poses, show_default=True, metavar="N")
@click.option(
    "--score-threshold", type=float, default=Settings.score_threshold, show_default=True, metavar="X",
    help="Least score of the part that a pose starts from.",
)  # fmt: skip
@click.option(
    "--nms-radius", type=float, default=Settings.nms_radius, show_default=True, metavar="PX", help="Input pixels."
)
@click.option(
    "--min-pose-score", type=float, default=Settings.min_pose_score, show_default=True, metavar="X",
    help="Poses below it are dropped; 0 keeps all.",
)  # fmt: skip
@click.option(
    "--max-pixels", type=int, default=Settings.max_pixels, show_default=True, metavar="N",
    help="Refuse pictures of more pixels.",
)  # fmt: skip
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Processors of one interpreter.")
@click.option(
    "--timeout", type=click.FloatRange(0.001), default=60, show_default=True, metavar="SECONDS", help="For one picture."
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first input that fails.")
@click.option("--require-pose", is_flag=True, help="Exit with 3 unless every picture has somebody in it.")
@click.option("--progress/--no-progress", default=None, help="Progress bar.  [default: on a terminal]")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless something fails.")
@click.option("-v", "--verbose", count=True, help="Say more.")
def command(**options: Any) -> None:
    """Find people's poses in pictures.

    INPUT is a picture, a folder (with all below it), a quoted glob pattern, or - for a picture on standard input.
    One JSON record a picture goes to standard output, unless -o or -a says otherwise.

    \b
    Examples:
      posecli estimate photo.jpg
      posecli estimate photo.jpg -o photo.json -a photo.png
      posecli estimate photos/ -o poses.jsonl
      find . -name '*.jpg' -print0 | posecli estimate --files-from - -0
    """
    from posecli.inputs import Inputs

    settings = _settings(options)
    if not options["inputs"] and options["files_from"] is None:
        raise UsageError("there is no picture to read", "name files, folders, or - for standard input")
    inputs = Inputs(options["inputs"], files_from=options["files_from"], null=options["null"])
    outputs = _outputs(options, inputs)
    sys.exit(_run(options, settings, inputs, outputs))


def _settings(options: dict[str, Any]) -> Settings:
    names = (
        "input_size", "fit", "decoder", "max_poses", "score_threshold", "nms_radius", "min_pose_score", "max_pixels",
    )  # fmt: skip
    stride = int(options["stride"]) if options["stride"] else None
    return Settings(stride=stride, **{name: options[name] for name in names})


def _outputs(options: dict[str, Any], inputs: Inputs) -> _Outputs:
    from posecli.batch import RunOutput
    from posecli.worker import DataOutput
    from posecli.writers import choose_format

    output, pictures = options["output"], _picture_output(options, inputs)
    if output is None and pictures is not None and options["format_name"] is None:
        return _Outputs(None, None, pictures)
    folder = output is not None and (os.path.isdir(output) or output.endswith(("/", os.sep)))
    data_format = choose_format(options["format_name"], output, folder=folder)
    if folder:
        return _Outputs(None, DataOutput(output, data_format.name), pictures)
    if output is not None and not options["overwrite"] and os.path.lexists(output):
        raise UsageError(f"{output} exists already", "--overwrite replaces it")
    return _Outputs(RunOutput(data_format, output), None, pictures)


def _picture_output(options: dict[str, Any], inputs: Inputs) -> PictureOutput | None:
    from posecli.worker import PictureOutput, picture_kind

    path, look = options["annotate"], {"extras": options["draw"], "background": options["background"]}
    if path is None:
        return None
    kind = picture_kind(path)
    if kind is None or os.path.isdir(path) or path.endswith(("/", os.sep)):
        return PictureOutput(path, is_file=False, kind=options["picture_format"], **look)
    if not inputs.is_one_file():
        raise UsageError(f"{path} is one picture, but the inputs may be many", "name a folder: --annotate FOLDER/")
    if os.path.lexists(path) and not options["overwrite"]:
        raise UsageError(f"{path} exists already", "--overwrite replaces it")
    return PictureOutput(path, is_file=True, kind=kind, **look)


def _run(options: dict[str, Any], settings: Settings, inputs: Inputs, outputs: _Outputs) -> int:
    from posecli import batch
    from posecli.engines import EngineOptions, get_engine
    from posecli.estimate import available_processors
    from posecli.model.catalog import load_model_file
    from posecli.report import Report
    from posecli.worker import Job

    listed = batch.at_least_one(inputs)
    show_bar = sys.stderr.isatty() if options["progress"] is None else options["progress"]
    model = load_model_file(options["model"], offline=options["offline"], progress=not options["quiet"])
    job = Job(settings, str(model.path), model.sha256, outputs.pictures, outputs.data)
    engine_options = EngineOptions(
        workers=1, threads=options["threads"] or available_processors(), timeout=options["timeout"]
    )
    report = Report(
        quiet=options["quiet"],
        progress=show_bar and not options["quiet"] and not inputs.is_one_file(),
        require_pose=options["require_pose"],
    )
    records = get_engine("serial")(listed, job, engine_options)
    status = batch.run(records, outputs.run, report, fail_fast=options["fail_fast"])
    if options["verbose"]:
        report.say(f"{inputs.passed_over} other files were passed over")
    return status
