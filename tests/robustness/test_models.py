"""Crafted model files are refused quickly, with little memory."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from posecli.commands import cli
from posecli.errors import ModelError
from posecli.model.flatbuffer import MAX_TABLES, append_table, read_model, write_model


def with_shared_table(kind: str, field: str, table: dict[str, object]) -> bytes:
    """A model with three vectors, each of which refers to the same table as often as the limit allows."""
    inner = {"tensors": [table]} if kind == "SubGraph" else table
    data = bytearray(write_model({"version": 3, field: [inner]}))
    root = read_model(bytes(data))
    vector = len(data) + -len(data) % 4
    data += bytes(vector - len(data)) + struct.pack("<I", MAX_TABLES) + bytes(4 * MAX_TABLES)
    # Offsets point forwards: the table is after the vector.
    shared = append_table(data, kind, inner)
    for index in range(MAX_TABLES):
        slot = vector + 4 + 4 * index
        struct.pack_into("<I", data, slot, shared - slot)
    struct.pack_into("<I", data, root.at[field], vector - root.at[field])
    return bytes(data)


@pytest.mark.parametrize(
    ("kind", "field", "table"),
    [
        ("SubGraph", "subgraphs", {"name": "", "shape": [1] * 4}),
        ("Metadata", "metadata", {"name": "x" * 50_000, "buffer": 0}),
        ("SignatureDef", "signature_defs", {"inputs": [{"name": "a", "tensor_index": 0}] * 50}),
    ],
)
def test_the_work_for_repeated_references_is_bounded(kind: str, field: str, table: dict[str, object]) -> None:
    data = with_shared_table(kind, field, {**table, "shape": [1] * 500} if kind == "SubGraph" else table)
    with pytest.raises(ModelError, match=r"damaged: .*more than"):
        read_model(data)


@pytest.mark.parametrize("text", ["{", "\0", "[" * 100_000, "\x1b[2J"])
def test_a_damaged_provenance_is_shown_as_damaged(
    text: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("posecli.model.graph._provenance", lambda model, data: text)
    cli.main(["model", "info", str(tiny_model)], standalone_mode=False)
    assert "made by posecli: damaged text" in capsys.readouterr().out
