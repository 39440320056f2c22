"""Options that several commands share, each group a decorator."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from posecli.errors import UsageError
from posecli.inference.presets import DEFAULT_PRESET, PRESETS, SIZES, with_preset
from posecli.records.formats import FORMAT_NAMES
from posecli.region import Region
from posecli.types import BACKGROUNDS, DECODERS, EXTRAS, FITS, PERSONS, STRIDES, TURNS, Drawing, Settings

if TYPE_CHECKING:
    from posecli.checks.compare import Limits
    from posecli.inputs.clips import ClipOptions
    from posecli.run.destinations import Destinations, Policy

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]

_PICTURE_FORMATS = ("png", "jpg", "webp")


class Number(click.FloatRange):
    """A number within limits. NaN is in none of them: click's own comparisons let it pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return found


def person_of(text: str) -> str | int:
    """A name of `PERSONS`, or a number from 0 on. Raises click.BadParameter."""
    if text in PERSONS:
        return text
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise click.BadParameter(f"{text!r} is not a number from 0 on, nor one of {', '.join(PERSONS)}.")
    return int(text)


def region_of(text: str) -> Region:
    """The region that a text names. Raises click.BadParameter."""
    try:
        return Region.parse(text)
    except UsageError as error:
        raise click.BadParameter(str(error)) from None


def _group(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


data_options = _group(
    click.option("-o", "--output", metavar="PATH", help="Where the data goes: a file, or a folder (ends in /)."),
    click.option(
        "-f", "--format", "format_name", type=click.Choice(FORMAT_NAMES),
        help="Format of the data.  [default: by the extension of -o; json for a folder, jsonl for standard output]",
    ),
    click.option("--coco-images", metavar="FILE", help="COCO annotations that give image ids by file name."),
    click.option("--openpose-body25", is_flag=True, help="25 points instead of 18 in openpose files."),
    click.option("--overwrite", is_flag=True, help="Replace outputs that exist."),
)  # fmt: skip
run_data_options = _group(
    data_options,
    click.option("--shards", is_flag=True, help="Write records as part files of a folder, as jsonl or parquet."),
    click.option(
        "--shard-size", type=click.IntRange(1), default=256, show_default=True, metavar="N", help="Inputs in a part."
    ),
    click.option("--resume", is_flag=True, help="Keep what an earlier run has finished; do what failed or is missing."),
)

picture_options = _group(
    click.option("-a", "--annotate", metavar="PATH", help="Annotated pictures: a folder, or a file for one picture."),
    click.option(
        "--picture-format", type=click.Choice(_PICTURE_FORMATS), default="png", show_default=True,
        help="Format of annotated pictures in a folder.",
    ),
    click.option(
        "--draw", multiple=True, type=click.Choice([*EXTRAS, "none"]),
        help="Also draw these; repeatable. none: no skeletons either.  [default: skeletons only]",
    ),
    click.option(
        "--background", type=click.Choice(BACKGROUNDS), default="picture", show_default=True,
        help="What people are drawn on; none is transparent.",
    ),
    click.option("--blur-faces", is_flag=True, help="Blur the faces of the people who are found."),
    click.option("--pixelate-faces", is_flag=True, help="Pixelate the faces of the people who are found."),
)  # fmt: skip

model_option = click.option(
    "--model", metavar="NAME|PATH", help="The model.  [default: POSECLI_MODEL, else the official PoseNet]"
)
model_options = _group(
    model_option,
    click.option("--offline", is_flag=True, help="Never touch the network (also POSECLI_OFFLINE)."),
)

limit_options = _group(
    click.option(
        "--max-distance", type=Number(0), default=4.0, show_default=True, metavar="PX",
        help="Keypoints may move by so many pixels.",
    ),
    click.option(
        "--max-score-change", type=Number(0), default=0.1, show_default=True, metavar="X",
        help="Scores may change by so much.",
    ),
)  # fmt: skip


def limits_of(options: dict[str, Any]) -> Limits:
    """What counts as unchanged."""
    from posecli.checks.compare import Limits

    return Limits(options["max_distance"], options["max_score_change"])


def size_of(text: str | None) -> int | None:
    """Bytes of memory for one process. Raises click.BadParameter for no size, and for too little to run a network."""
    from posecli.files.memory import LEAST_TO_RUN, parse_size

    if text is None:
        return None
    try:
        size = parse_size(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no size such as 2048 (MiB), 512M or 4G") from None
    if size < LEAST_TO_RUN:
        raise click.BadParameter(f"{text} is less than the {LEAST_TO_RUN >> 20} MiB that a network needs")
    return size


#: What the default of a setting is called where that is no value.
_NO_VALUE = {"stride": "the model's", "person": "everybody", "region": "the whole picture"}


def _of_settings(name: str, help_text: str, kind: Any, metavar: str | None = None) -> Callable[[Any], Any]:
    """An option of `Settings`; None where it is not given, so that it can win over a preset."""
    flag = "--" + name.replace("_", "-")
    value = getattr(Settings, name)
    several = name in SIZES
    by_preset = name == "turns" or (kind is bool and not name.startswith(("track", "smooth")))
    default = "by preset" if by_preset or several else "off" if kind is bool else value or _NO_VALUE[name]
    shown = f"{help_text}  [default: {default}]"
    if kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=shown)
    return click.option(flag, name, type=kind, metavar=metavar, multiple=several, help=shown)


_SETTINGS = {
    "stride": ("Output stride: smaller is finer and slower.", click.Choice([str(stride) for stride in STRIDES]), None),
    "input_size": ("Size of the input, n*32+1: it has about N*N pixels. Repeatable: a pass each.", int, "N"),
    "turns": ("Also look at the turned picture, for people who lie or hang head down.", click.Choice(TURNS), None),
    "fit": ("How a picture is fitted to the input.", click.Choice(FITS), None),
    "zoom": ("Second passes: crop each person from the full picture and run again.", bool, None),
    "zoom_size": ("As --input-size, for second passes. Repeatable: a pass each.", int, "N"),
    "max_zooms": ("Most people who get second passes.", int, "N"),
    "mirror": ("Average each last pass with one over the mirror image.", bool, None),
    "decoder": ("All people, or only the most prominent one.", click.Choice(DECODERS), None),
    "max_poses": ("Most people in a picture.", int, "N"),
    "score_threshold": ("Least score of a pose's root part.", float, "X"),
    "nms_radius": ("Parts this close are the same person's; input pixels.", float, "PX"),
    "min_pose_score": ("Poses below it are dropped; 0 keeps all.", float, "X"),
    "person": (
        "Keep one person: by size, by place, by score, or number N from 0.",
        person_of,
        f"{'|'.join(PERSONS)}|N",
    ),
    "region": ("Look only at this part of the picture, in pixels or per cent.", region_of, "X,Y,W,H"),
    "max_pixels": ("Refuse pictures of more pixels.", int, "N"),
    "track": ("Number the people, and keep the numbers from frame to frame.", bool, None),
    "track_gap": ("How long somebody may be out of sight and keep the number.", float, "SECONDS"),
    "smooth": ("Make keypoints steadier; tracks people too.", bool, None),
}
clip_options = _group(
    click.option(
        "--every", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Read every N-th frame."
    ),
    click.option(
        "--fps", type=Number(0, min_open=True), metavar="N", help="Read at most N frames a second.  [default: all]"
    ),
    click.option("--as-clip", is_flag=True, help="Read the pictures of each folder as one clip; needs --fps."),
    click.option(
        "--from", "start", type=Number(0), default=0.0, show_default=True, metavar="SECONDS", help="Begin at this time."
    ),
    click.option("--to", "end", type=Number(0), metavar="SECONDS", help="Stop before this time.  [default: the end]"),
)


def clips_of(options: dict[str, Any]) -> ClipOptions:
    """Which frames of clips to look at. Raises UsageError."""
    from posecli.inputs.clips import ClipOptions, check_options

    if options["as_clip"] and options["fps"] is None:
        raise UsageError("--as-clip does not know how many frames a second there are", "--fps N says it")
    return check_options(ClipOptions(options["every"], options["start"], options["end"], options["fps"]))


settings_options = _group(
    click.option(
        "--preset", type=click.Choice(list(PRESETS)), default=DEFAULT_PRESET, show_default=True,
        help="A named set of the options below; those given explicitly win.",
    ),
    *(_of_settings(name, *description) for name, description in _SETTINGS.items()),
)  # fmt: skip


def settings_of(options: dict[str, Any]) -> Settings:
    """The settings that the options ask for. Raises UsageError."""
    explicit = {name: options[name] for name in _SETTINGS}
    if explicit["stride"] is not None:
        explicit["stride"] = int(explicit["stride"])
    for name in SIZES:
        explicit[name] = explicit[name] or None  # empty where it is not given
    explicit["track"] = explicit["track"] or explicit["smooth"]
    return Settings(**with_preset(options["preset"], explicit))


def drawing_of(options: dict[str, Any]) -> Drawing:
    """How the options ask people to be drawn. Raises UsageError for two answers at once."""
    if options["blur_faces"] and options["pixelate_faces"]:
        raise UsageError("--blur-faces and --pixelate-faces exclude one another")
    faces = "blurred" if options["blur_faces"] else "pixelated" if options["pixelate_faces"] else None
    skeletons = "none" not in options["draw"]
    if not skeletons and set(options["draw"]) != {"none"}:
        raise UsageError("--draw none draws nothing, and another --draw asks for more")
    return Drawing(options["draw"] if skeletons else (), options["background"], faces, skeletons)


def destinations_of(options: dict[str, Any], *, one_input: bool) -> Destinations:
    """The destinations that the options ask for. Raises UsageError."""
    from posecli.records.formats.base import WriteOptions
    from posecli.run.destinations import choose_annotation, choose_destinations

    if options["coco_images"] is not None:
        from posecli.records.formats.coco import annotated_ids

        annotated_ids(options["coco_images"])  # found out now, not after hours
    drawn = choose_annotation(
        options["annotate"],
        kind=options["picture_format"],
        drawing=drawing_of(options),
        one_input=one_input,
    )
    write_options = WriteOptions(coco_images=options["coco_images"], body25=options["openpose_body25"])
    shard_size = options["shard_size"] if options.get("shards") else None
    return choose_destinations(
        options["output"], options["format_name"], drawn, write_options, one_input=one_input, shard_size=shard_size
    )


def refuse_existing(*paths: str | None, overwrite: bool) -> None:
    """Raise UsageError for the first output that is there, unless it may be replaced. None: no such output."""
    for path in paths:
        if path is not None and not overwrite and os.path.lexists(path):
            raise UsageError(f"{path} exists already", "--overwrite replaces it")


def policy_of(options: dict[str, Any]) -> Policy:
    """What becomes of outputs that exist. Raises UsageError for two answers at once."""
    from posecli.run.destinations import Policy

    if options["overwrite"] and options.get("resume"):
        raise UsageError("--overwrite and --resume exclude one another")
    return Policy.OVERWRITE if options["overwrite"] else Policy.RESUME if options.get("resume") else Policy.REFUSE
