"""Rules for the source that can be checked: imports between modules, length of functions, imports for help texts."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

PACKAGE = ROOT / "src" / "posecli"
#: Modules from the lowest layer to the highest: a module imports only from its own row and the rows before it.
ROWS = (
    ("errors", "_version"),
    ("skeleton", "extras"),
    ("fields", "region"),
    ("types",),
    ("files.own_process",),
    ("files.storage", "files.child_process", "files.descriptors", "files.terminal", "files.lock"),
    ("files",),
    ("model.catalog", "model.flatbuffer", "model.runtime_choice"),
    ("model.operators",),
    ("model.graph",),
    ("model.build", "model.heads", "model.stride"),
    ("model.installed", "model.sources.progress", "model.sources.pace"),
    ("model.sources.http",),
    ("model.sources.official", "model.sources.mirror", "model.sources.npm"),
    ("model.sources",),
    ("model.locate",),
    ("model.runtime",),
    ("model",),
    ("decode",),
    ("inputs.name_set", "inputs.opening", "inputs.pictures", "inputs.signature"),
    ("inputs.clips",),
    ("inputs",),
    ("records.formats.base",),
    ("records.formats",),
    ("records.parts",),
    ("records",),
    ("poses.similarity", "poses.appearance", "poses.angles"),
    ("poses.consensus",),
    ("poses",),
    ("render.draw", "render.faces", "render.clip_writer", "render.picture_writer"),
    ("render",),
    ("inference.presets", "inference.crops"),
    ("inference.networks",),
    ("inference.passes",),
    ("inference",),
    ("api",),
    ("run",),
    ("checks",),
    ("commands",),
    ("__main__",),
)
LONGEST_FUNCTION = 45


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def row_of(module: str) -> int:
    """The index of the row with the module or its package; the longest matching entry decides."""
    matches = [
        (len(entry), index) for index, row in enumerate(ROWS) for entry in row if f"{module}.".startswith(f"{entry}.")
    ]
    assert matches, f"{module} has no row: add it to ROWS"
    return max(matches)[1]


def imports_of(path: Path) -> set[str]:
    """Modules of the package that a file imports, in any form of import."""
    known, names = modules(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            submodules = {name for name in inside if name.removeprefix("posecli.") in known}
            names |= submodules if submodules == inside else submodules | {node.module}
    return {name.removeprefix("posecli.") for name in names if name.startswith("posecli.")}


@pytest.mark.parametrize("module", [name for name in modules() if name not in ("__init__", "model")])
def test_modules_import_only_from_lower_layers(module: str) -> None:
    for imported in imports_of(modules()[module]):
        assert row_of(imported) <= row_of(module), f"{module} imports {imported}"


@pytest.mark.parametrize("module", modules())
def test_functions_are_short(module: str) -> None:
    for node in ast.walk(ast.parse(modules()[module].read_text())):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{module}.{node.name} has {length} lines"


def test_only_runtime_modules_name_a_tflite_package() -> None:
    for module, path in modules().items():
        if module not in ("model.runtime", "model.runtime_choice", "model.quantize", "extras"):
            assert "tflite_runtime" not in path.read_text(), module
            assert "ai_edge_litert" not in path.read_text(), module


HELP = [
    ["--version"], ["--help"], [], ["help"], ["help", "estimate"], ["estimate", "--help"], ["model", "--help"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", HELP)
def test_help_imports_no_heavy_package(arguments: list[str]) -> None:
    code = (
        "import sys, atexit\n"
        "from posecli.__main__ import main\n"
        "heavy = ('numpy', 'PIL', 'tflite_runtime', 'ai_edge_litert', 'tqdm')\n"
        "atexit.register(lambda: print('HEAVY', [name for name in heavy if name in sys.modules]))\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "main()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.endswith("HEAVY []\n")
