"""Options that several commands share, each group a decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from posecli.errors import UsageError
from posecli.types import DECODERS, FITS, STRIDES, Settings
from posecli.writers import FORMAT_NAMES

if TYPE_CHECKING:
    from posecli.outputs import Outputs

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]

_EXTRAS = ("scores", "boxes", "names")
_BACKGROUNDS = ("picture", "none", "black", "white")
_PICTURE_FORMATS = ("png", "jpg", "webp")


def _group(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _default(name: str, help_text: str, kind: Any, metavar: str | None = None) -> Callable[[Any], Any]:
    """An option of `Settings` with its default shown."""
    default = getattr(Settings, name)
    flag = "--" + name.replace("_", "-")
    return click.option(flag, type=kind, default=default, show_default=True, metavar=metavar, help=help_text)


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

picture_options = _group(
    click.option("-a", "--annotate", metavar="PATH", help="Annotated pictures: a folder, or a file for one picture."),
    click.option(
        "--picture-format", type=click.Choice(_PICTURE_FORMATS), default="png", show_default=True,
        help="Of annotated pictures in a folder.",
    ),
    click.option("--draw", multiple=True, type=click.Choice(_EXTRAS), help="Draw more than skeletons; repeatable."),
    click.option(
        "--background", type=click.Choice(_BACKGROUNDS), default="picture", show_default=True,
        help="What people are drawn on; none is transparent.",
    ),
)  # fmt: skip

model_options = _group(
    click.option(
        "--model", metavar="NAME|PATH", help="The model.  [default: POSECLI_MODEL, else the official PoseNet]"
    ),
    click.option("--offline", is_flag=True, help="Never touch the network (also POSECLI_OFFLINE)."),
)

settings_options = _group(
    click.option(
        "--stride", type=click.Choice([str(stride) for stride in STRIDES]),
        help="Output stride: smaller is finer and slower.  [default: the model's]",
    ),
    click.option(
        "--input-size", type=int, metavar="N", help="Longer side of the input, n*32+1.  [default: the model's]"
    ),
    _default("fit", "How a picture meets the input.", click.Choice(FITS)),
    _default("decoder", "All people, or the one that stands out.", click.Choice(DECODERS)),
    _default("max_poses", "Most people in a picture.", int, "N"),
    _default("score_threshold", "Least score of the part that a pose grows from.", float, "X"),
    _default("nms_radius", "Parts this close are the same person's; input pixels.", float, "PX"),
    _default("min_pose_score", "Poses below it are dropped; 0 keeps all.", float, "X"),
    _default("max_pixels", "Refuse pictures of more pixels.", int, "N"),
)  # fmt: skip


def settings_of(options: dict[str, Any]) -> Settings:
    """The settings that the options ask for. Raises UsageError."""
    names = (
        "input_size",
        "fit",
        "decoder",
        "max_poses",
        "score_threshold",
        "nms_radius",
        "min_pose_score",
        "max_pixels",
    )
    stride = int(options["stride"]) if options["stride"] else None
    return Settings(stride=stride, **{name: options[name] for name in names})


def outputs_of(options: dict[str, Any], *, one_input: bool) -> Outputs:
    """The destinations that the options ask for. Raises UsageError."""
    from posecli.outputs import choose_outputs, choose_pictures
    from posecli.writers.base import WriteOptions

    if options["coco_images"] is not None:
        from posecli.writers.coco import annotated_ids

        annotated_ids(options["coco_images"])  # found out now, not after hours
    pictures = choose_pictures(
        options["annotate"],
        kind=options["picture_format"],
        extras=options["draw"],
        background=options["background"],
        one_input=one_input,
    )
    write_options = WriteOptions(coco_images=options["coco_images"], body25=options["openpose_body25"])
    return choose_outputs(options["output"], options["format_name"], pictures, write_options)


def policy_of(options: dict[str, Any]) -> str:
    """What becomes of outputs that exist. Raises UsageError for two answers at once."""
    from posecli.outputs import OVERWRITE, REFUSE, RESUME

    if options["overwrite"] and options["resume"]:
        raise UsageError("--overwrite and --resume exclude one another")
    return OVERWRITE if options["overwrite"] else RESUME if options["resume"] else REFUSE
