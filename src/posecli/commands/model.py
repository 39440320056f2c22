"""`posecli model …`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from posecli.commands.options import refuse_existing
from posecli.presets import PRESETS, with_preset
from posecli.types import RECIPES, STRIDES, Settings

if TYPE_CHECKING:
    from posecli.model.catalog import KnownModel

_MODEL_ARGUMENT = click.argument("model", required=False)
_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group("model")
def command() -> None:
    """Find, fetch and check the model's file.

    MODEL is a known name or a path; without it, POSECLI_MODEL, else the official PoseNet.

    \b
    Examples:
      posecli model download
      posecli model info my_posenet.tflite
    """


@command.command("list")
@_JSON
def list_models(as_json: bool) -> None:
    """List the known models and where they are."""
    from posecli.model.catalog import KNOWN_MODELS, find_known

    rows = [
        {"name": known.name, "url": known.url, "size": known.size, "sha256": known.sha256,
         "input": list(known.input_size), "licence": known.licence, "path": _text(find_known(known))}
        for known in KNOWN_MODELS
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['name']}  {row['size']:,} bytes  {row['path'] or 'not on this machine'}")


@command.command("path")
@_MODEL_ARGUMENT
def path(model: str | None) -> None:
    """Print where the model's file is, without fetching it."""
    from posecli.model.catalog import locate_model

    click.echo(locate_model(model, offline=True))


@command.command("download")
@_MODEL_ARGUMENT
@click.option("--force", is_flag=True, help="Fetch it even where it is there already.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder to fetch it into instead of the user's cache folder.",
)
def download(model: str | None, *, force: bool, quiet: bool, output: Path | None) -> None:
    """Fetch a known model, check it and print its path."""
    from posecli.errors import ModelError
    from posecli.model.catalog import cache_folder, find_known, is_offline, read_model_file
    from posecli.model.fetch import fetch

    known = _known(model)
    target = (output or cache_folder()) / known.file_name
    found = (target if target.is_file() else None) if output else find_known(known)
    if found is None or force:
        if is_offline():
            raise ModelError("the network is switched off", "unset POSECLI_OFFLINE")
        target.unlink(missing_ok=True)
        fetch(known.url, target, size=known.size, sha256=known.sha256, progress=not quiet)
        found = target
    click.echo(read_model_file(found).path)


@command.command("verify")
@_MODEL_ARGUMENT
def verify(model: str | None) -> None:
    """Check a model's file: its hash where it is a known one, its structure always."""
    from posecli.model.catalog import load_model_file
    from posecli.model.graph import read_graph
    from posecli.model.heads import name_heads

    file = load_model_file(model, offline=True)
    name_heads(read_graph(file.data))
    identity = f"the published {file.name}" if file.known else "not a published file, but a sound PoseNet"
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
    from posecli.model.catalog import load_model_file
    from posecli.model.graph import read_graph
    from posecli.model.heads import name_heads

    file = load_model_file(model, offline=True)
    graph = read_graph(file.data)
    heads = name_heads(graph)
    return {
        "name": file.name,
        "path": str(file.path),
        "size": len(file.data),
        "sha256": file.sha256,
        "published": file.known,
        "input": graph.input.describe(),
        "output stride": heads.output_stride,
        "heatmaps are": "logits" if heads.heatmaps_are_logits else "scores",
        "outputs": {name: tensor.describe() for name, tensor in heads.tensors.items()},
        "operators": len(graph.operators),
        **({"made by posecli": json.loads(graph.provenance)} if graph.provenance else {}),
    }


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
    from posecli.calibrate import make_int8
    from posecli.writers.base import whole_file

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


def _known(model: str | None) -> KnownModel:
    from posecli.errors import UsageError
    from posecli.model.catalog import DEFAULT_MODEL, KNOWN_MODELS

    wanted = model or DEFAULT_MODEL.name
    found = next((known for known in KNOWN_MODELS if wanted in (known.name, known.file_name)), None)
    if found is None:
        raise UsageError(f"{wanted!r} is not a known model", f"known: {', '.join(k.name for k in KNOWN_MODELS)}")
    return found


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None
