"""Options that several commands share. Each group of options is a decorator."""

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
from posecli.types import BACKGROUNDS, DECODERS, FITS, OVERLAYS, PERSONS, STRIDES, TURNS, Drawing, Settings

if TYPE_CHECKING:
    from posecli.checks.compare import Limits
    from posecli.inputs.clips import ClipOptions
    from posecli.run.destinations import Destinations, Policy

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]

_PICTURE_FORMATS = ("png", "jpg", "webp")


class Number(click.FloatRange):
    """A number within limits. Rejects NaN, which passes click's comparisons."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return found


def person_of(text: str) -> str | int:
    """Parse --person: a name of `PERSONS`, or an index from 0. Raises click.BadParameter."""
    if text in PERSONS:
        return text
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise click.BadParameter(f"{text!r} is not one of {', '.join(PERSONS)}, or an index from 0.")
    return int(text)


def region_of(text: str) -> Region:
    """Parse --region. Raises click.BadParameter."""
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
    click.option("-o", "--output", metavar="PATH", help="Write records to a file, or to a folder (path ends with /)."),
    click.option(
        "-f", "--format", "format_name", type=click.Choice(FORMAT_NAMES),
        help="Format of the records.  [default: by the extension of -o; json for a folder, jsonl for standard output]",
    ),
    click.option("--coco-images", metavar="FILE", help="Take image ids for coco from this COCO file, by file name."),
    click.option("--openpose-body25", is_flag=True, help="Write 25 keypoints (BODY_25) instead of 18 with openpose."),
    click.option("--overwrite", is_flag=True, help="Replace existing outputs."),
)  # fmt: skip
run_data_options = _group(
    data_options,
    click.option("--shards", is_flag=True, help="Write part files (jsonl or parquet) to the folder of -o."),
    click.option(
        "--shard-size", type=click.IntRange(1), default=256, show_default=True, metavar="N", help="Inputs per part."
    ),
    click.option("--resume", is_flag=True, help="Continue an earlier run: compute only what failed or is missing."),
)

picture_options = _group(
    click.option(
        "-a", "--annotate", metavar="PATH", help="Write annotated pictures and clips to a folder, or one to a file."
    ),
    click.option(
        "--picture-format", type=click.Choice(_PICTURE_FORMATS), default="png", show_default=True,
        help="Format of annotated pictures in a folder.",
    ),
    click.option(
        "--draw", multiple=True, type=click.Choice([*OVERLAYS, "none"]),
        help="Draw these too; repeatable. none: draw no skeletons.  [default: skeletons only]",
    ),
    click.option(
        "--background", type=click.Choice(BACKGROUNDS), default="picture", show_default=True,
        help="Background of the skeletons; none: transparent.",
    ),
    click.option("--blur-faces", is_flag=True, help="Blur the faces of the people found."),
    click.option("--pixelate-faces", is_flag=True, help="Pixelate the faces of the people found."),
)  # fmt: skip

model_option = click.option(
    "--model",
    metavar="NAME|PATH",
    help="Model file, or name of a known model.  [default: POSECLI_MODEL, or the official PoseNet]",
)
model_options = _group(
    model_option,
    click.option("--offline", is_flag=True, help="Never download anything (also POSECLI_OFFLINE)."),
)

limit_options = _group(
    click.option(
        "--max-distance", type=Number(0), default=4.0, show_default=True, metavar="PX",
        help="Tolerance for positions of keypoints, in pixels.",
    ),
    click.option(
        "--max-score-change", type=Number(0), default=0.1, show_default=True, metavar="X",
        help="Tolerance for scores.",
    ),
)  # fmt: skip


def limits_of(options: dict[str, Any]) -> Limits:
    """The limits below which a record counts as unchanged."""
    from posecli.checks.compare import Limits

    return Limits(options["max_distance"], options["max_score_change"])


def size_of(text: str | None) -> int | None:
    """Parse --max-memory to bytes. Raises click.BadParameter if it is not a size, or too small to run a network."""
    from posecli.files.memory import MIN_TO_RUN, parse_size

    if text is None:
        return None
    try:
        size = parse_size(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a size such as 2048 (MiB), 512M or 4G") from None
    if size < MIN_TO_RUN:
        raise click.BadParameter(f"{text} is less than the {MIN_TO_RUN >> 20} MiB that a network needs")
    return size


#: Setting → help text of its default None.
_NO_VALUE = {"stride": "the model's", "person": "all people", "region": "the whole picture"}


def _of_settings(name: str, help_text: str, kind: Any, metavar: str | None = None) -> Callable[[Any], Any]:
    """An option of `Settings`. Its value is None if it is not given: only given options override the preset."""
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
    "input_size": ("Input size, n*32+1: about N*N pixels. Repeatable: one pass per size.", int, "N"),
    "turns": ("Also search the turned picture, for people who lie or hang head down.", click.Choice(TURNS), None),
    "fit": ("Keep the picture's shape, pad it to the model's shape, or stretch it.", click.Choice(FITS), None),
    "zoom": ("Crop each person from the full picture and run a second pass over the crop.", bool, None),
    "zoom_size": ("Input size of second passes, as --input-size. Repeatable: one pass per size.", int, "N"),
    "max_zooms": ("Maximum number of people with second passes.", int, "N"),
    "mirror": ("Flip test: average each last pass with one over the mirror image.", bool, None),
    "decoder": ("Find all people, or only the most prominent one.", click.Choice(DECODERS), None),
    "max_poses": ("Maximum number of people per picture.", int, "N"),
    "score_threshold": ("Minimum score of a root part.", float, "X"),
    "nms_radius": ("Radius of pose NMS: closer parts belong to one person; input pixels.", float, "PX"),
    "min_pose_score": ("Drop poses with lower scores; 0 keeps all.", float, "X"),
    "person": (
        "Keep one person: the largest, most central, or best scored, or number N from 0.",
        person_of,
        f"{'|'.join(PERSONS)}|N",
    ),
    "region": ("Search only this part of the picture, in pixels or percent.", region_of, "X,Y,W,H"),
    "max_pixels": ("Reject pictures with more pixels.", int, "N"),
    "track": ("Give each person an id that stays the same in all frames.", bool, None),
    "track_gap": ("Longest time that a person may be out of sight and keep the id.", float, "SECONDS"),
    "smooth": ("Smooth keypoints over time; implies --track.", bool, None),
}
clip_options = _group(
    click.option(
        "--every", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Use every N-th frame only."
    ),
    click.option(
        "--fps", type=Number(0, min_open=True), metavar="N", help="Use at most N frames per second.  [default: all]"
    ),
    click.option("--as-clip", is_flag=True, help="Treat the pictures of each folder as one clip; needs --fps."),
    click.option(
        "--from", "start", type=Number(0), default=0.0, show_default=True, metavar="SECONDS", help="Begin at this time."
    ),
    click.option("--to", "end", type=Number(0), metavar="SECONDS", help="Stop before this time.  [default: the end]"),
)


def clips_of(options: dict[str, Any]) -> ClipOptions:
    """Which frames of clips are used. Raises UsageError."""
    from posecli.inputs.clips import ClipOptions, check_options

    if options["as_clip"] and options["fps"] is None:
        raise UsageError("--as-clip needs the frame rate", "add --fps N")
    return check_options(ClipOptions(options["every"], options["start"], options["end"], options["fps"]))


settings_options = _group(
    click.option(
        "--preset", type=click.Choice(list(PRESETS)), default=DEFAULT_PRESET, show_default=True,
        help="Defaults for the options below; explicit options override them.",
    ),
    *(_of_settings(name, *description) for name, description in _SETTINGS.items()),
)  # fmt: skip


def settings_of(options: dict[str, Any]) -> Settings:
    """Turn the options into settings. Raises UsageError."""
    explicit = {name: options[name] for name in _SETTINGS}
    if explicit["stride"] is not None:
        explicit["stride"] = int(explicit["stride"])
    for name in SIZES:
        explicit[name] = explicit[name] or None  # an empty tuple: not given
    explicit["track"] = explicit["track"] or explicit["smooth"]
    return Settings(**with_preset(options["preset"], explicit))


def drawing_of(options: dict[str, Any]) -> Drawing:
    """Turn the options into a drawing. Raises UsageError if they contradict each other."""
    if options["blur_faces"] and options["pixelate_faces"]:
        raise UsageError("--blur-faces and --pixelate-faces cannot be combined")
    faces = "blurred" if options["blur_faces"] else "pixelated" if options["pixelate_faces"] else None
    skeletons = "none" not in options["draw"]
    if not skeletons and set(options["draw"]) != {"none"}:
        raise UsageError("--draw none cannot be combined with another --draw")
    return Drawing(options["draw"] if skeletons else (), options["background"], faces, skeletons)


def destinations_of(options: dict[str, Any], *, one_input: bool) -> Destinations:
    """Turn the options into destinations. Raises UsageError."""
    from posecli.records.formats.base import WriteOptions
    from posecli.run.destinations import choose_annotation, choose_destinations

    if options["coco_images"] is not None:
        from posecli.records.formats.coco import annotated_ids

        annotated_ids(options["coco_images"])  # raises now if the file is wrong, not at the end of the run
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
    """Raise UsageError for the first output that exists, unless overwrite. None: no such output."""
    for path in paths:
        if path is not None and not overwrite and os.path.lexists(path):
            raise UsageError(f"{path} already exists", "--overwrite replaces it")


def policy_of(options: dict[str, Any]) -> Policy:
    """The policy for existing outputs. Raises UsageError if options contradict each other."""
    from posecli.run.destinations import Policy

    if options["overwrite"] and options.get("resume"):
        raise UsageError("--overwrite and --resume cannot be combined")
    return Policy.OVERWRITE if options["overwrite"] else Policy.RESUME if options.get("resume") else Policy.REFUSE
