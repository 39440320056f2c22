"""A checked reader, and a writer, of TensorFlow Lite files.

A runtime follows the offsets of a flatbuffer without checks, so that a damaged file crashes the process. This reader
follows every table, vector and string that a runtime may follow, raises an error for offsets outside the file, and
returns plain values. It supports the tables of the schema (version 3) that PoseNet and MoveNet need. The options of
other operators are not read (their value is None), because `graph` refuses such operators.

Source: the FlatBuffers internals document (layout of tables, vtables, vectors) and TensorFlow Lite's schema.fbs.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from posecli.errors import ModelError

IDENTIFIER = b"TFL3"
#: Limit of tables in one vector, more than any real model has. It bounds the work that a hostile file can cause.
MAX_TABLES = 20_000
#: Limits of tables and vector elements in a file. A table is read, and counts, once for each reference to it.
MAX_TABLES_IN_ALL, MAX_ELEMENTS_IN_ALL = 40_000, 4_000_000

_SCALARS = {
    "bool": "B", "i8": "b", "u8": "B", "u16": "H", "i32": "i", "u32": "I", "i64": "q", "u64": "Q", "f32": "f",
}  # fmt: skip
_OFFSET_SIZE = 4
#: The schema's `force_align` of a buffer's data, in bytes.
_BUFFER_ALIGNMENT = 16

#: Fields of each table in the order of the schema: `name:type` or `name:type=default`. `[x]` is a vector. The type of a
#: `<union>` is given by the field of the same name with `_type`. `!` marks a field that must be absent.
_SCHEMA = {
    "Model": "version:u32 operator_codes:[OperatorCode] subgraphs:[SubGraph] description:string"
    " buffers:[Buffer] metadata_buffer:[i32] metadata:[Metadata] signature_defs:[SignatureDef]",
    "OperatorCode": "deprecated_builtin_code:i8 custom_code:string version:i32=1 builtin_code:i32",
    "SubGraph": "tensors:[Tensor] inputs:[i32] outputs:[i32] operators:[Operator] name:string"
    " debug_metadata_index:i32=-1",
    "Tensor": "shape:[i32] type:i8 buffer:u32 name:string quantization:Quantization is_variable:bool"
    " sparsity:! shape_signature:[i32] has_rank:bool variant_tensors:!",
    "Quantization": "min:[f32] max:[f32] scale:[f32] zero_point:[i64] details_type:u8 details:!"
    " quantized_dimension:i32",
    "Operator": "opcode_index:u32 inputs:[i32] outputs:[i32] builtin_options_type:u8"
    " builtin_options:<union> custom_options:[u8] custom_options_format:i8 mutating_variable_inputs:[bool]"
    " intermediates:[i32] large_custom_options_offset:u64 large_custom_options_size:u64"
    " builtin_options_2_type:u8 builtin_options_2:! debug_metadata_index:i32=-1",
    "Buffer": "data:[u8] offset:u64 size:u64",
    "Metadata": "name:string buffer:u32",
    "SignatureDef": "inputs:[TensorMap] outputs:[TensorMap] signature_key:string deprecated_tag:string"
    " subgraph_index:u32",
    "TensorMap": "name:string tensor_index:u32",
    "Conv2DOptions": "padding:i8 stride_w:i32 stride_h:i32 activation:i8 dilation_w:i32=1 dilation_h:i32=1"
    " quantized_bias_type:i8",
    "DepthwiseConv2DOptions": "padding:i8 stride_w:i32 stride_h:i32 depth_multiplier:i32 activation:i8"
    " dilation_w:i32=1 dilation_h:i32=1",
    "ConcatenationOptions": "axis:i32 activation:i8",
    "AddOptions": "activation:i8 pot_scale_int16:bool=1",
    "SubOptions": "activation:i8 pot_scale_int16:bool=1",
    "MulOptions": "activation:i8",
    "DivOptions": "activation:i8",
    "ResizeBilinearOptions": "new_height:i32 new_width:i32 align_corners:bool half_pixel_centers:bool",
    "ReshapeOptions": "new_shape:[i32]",
    "CastOptions": "in_type:i8 out_type:i8",
    "ArgMaxOptions": "output_type:i8",
    "PackOptions": "values_count:i32 axis:i32",
    "UnpackOptions": "num:i32 axis:i32",
    "EmptyOptions": "",
}
#: The union BuiltinOptions: type code to table.
_UNION = {
    1: "Conv2DOptions",
    2: "DepthwiseConv2DOptions",
    10: "ConcatenationOptions",
    11: "AddOptions",
    15: "ResizeBilinearOptions",
    17: "ReshapeOptions",
    21: "MulOptions",
    28: "SubOptions",
    29: "DivOptions",
    37: "CastOptions",
    38: "EmptyOptions",  # DequantizeOptions
    40: "ArgMaxOptions",
    59: "PackOptions",
    64: "UnpackOptions",
    65: "EmptyOptions",  # FloorDivOptions
    83: "EmptyOptions",  # GatherNdOptions
    89: "EmptyOptions",  # QuantizeOptions
}


class _Field(NamedTuple):
    name: str
    type: str
    default: int | None


def _parse_schema() -> dict[str, list[_Field]]:
    tables = {}
    for table, text in _SCHEMA.items():
        fields = []
        for item in text.split():
            name, _, kind = item.partition(":")
            kind, _, default = kind.partition("=")
            fallback = int(default) if default else 0 if kind in _SCALARS else None
            fields.append(_Field(name, kind, fallback))
        tables[table] = fields
    return tables


_TABLES = _parse_schema()


class Table:
    """A table: the values of its fields by name, and `at`, the byte position of each field that is in the file."""

    def __init__(self, kind: str, values: dict[str, Any], at: dict[str, int]) -> None:
        self.kind = kind
        self.at = at
        self._values = values

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def field_names(self) -> list[str]:
        """All fields of this kind of table, in the order of the schema."""
        return list(self._values)


def read_model(data: bytes) -> Table:
    """Read all tables of a .tflite file. Byte vectors are returned as (start, length), strings as str.

    Raises ModelError, which describes the damage, if a runtime would read outside the file.
    """
    if len(data) < 2 * _OFFSET_SIZE or data[_OFFSET_SIZE : 2 * _OFFSET_SIZE] != IDENTIFIER:
        raise ModelError(f"it is not a TensorFlow Lite file: expected {IDENTIFIER!r} at byte 4, found {data[4:8]!r}")
    reader = _Reader(data)
    return reader.table(reader.follow(0), "Model")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._tables = self._elements = 0

    def scalar(self, position: int, kind: str) -> int | float:
        try:
            value: int | float = struct.unpack_from("<" + _SCALARS[kind], self._data, position)[0]
        except struct.error:
            raise self._damaged(f"a {kind} at byte {position} lies outside the file") from None
        return value

    def follow(self, position: int) -> int:
        target = position + int(self.scalar(position, "u32"))
        if not position < target < len(self._data):
            raise self._damaged(f"the offset at byte {position} points outside the file")
        return target

    def table(self, position: int, kind: str) -> Table:
        self._tables += 1
        if self._tables > MAX_TABLES_IN_ALL:
            raise self._damaged(f"it refers to more than {MAX_TABLES_IN_ALL} tables")
        vtable = position - int(self.scalar(position, "i32"))
        if not 0 <= vtable < len(self._data) - _OFFSET_SIZE:
            raise self._damaged(f"{kind} at byte {position} has its field list outside the file")
        list_size, table_size = int(self.scalar(vtable, "u16")), int(self.scalar(vtable + 2, "u16"))
        if list_size < 4 or list_size % 2 or vtable + list_size > len(self._data):
            raise self._damaged(f"{kind} at byte {position} has a field list of {list_size} bytes")
        if table_size < _OFFSET_SIZE or position + table_size > len(self._data):
            raise self._damaged(f"{kind} at byte {position} claims {table_size} bytes")
        at = self._field_positions(position, kind, vtable, list_size, table_size)
        values: dict[str, Any] = {}
        for field in _TABLES[kind]:
            values[field.name] = self._value(field, at, values)
        return Table(kind, values, at)

    def _field_positions(
        self, position: int, kind: str, vtable: int, list_size: int, table_size: int
    ) -> dict[str, int]:
        fields, at = _TABLES[kind], {}
        for slot in range((list_size - 4) // 2):
            offset = int(self.scalar(vtable + 4 + 2 * slot, "u16"))
            if offset == 0:
                continue
            if slot >= len(fields) or fields[slot].type == "!":
                name = fields[slot].name if slot < len(fields) else f"number {slot}"
                raise ModelError(f"it is not a supported network: its {kind} tables have the unknown field {name}")
            size = struct.calcsize(_SCALARS.get(fields[slot].type, "I"))
            if offset < _OFFSET_SIZE or offset + size > table_size:
                raise self._damaged(f"{kind}.{fields[slot].name} at byte {position} lies outside its table")
            at[fields[slot].name] = position + offset
        return at

    def _value(self, field: _Field, at: dict[str, int], values: dict[str, Any]) -> Any:
        position = at.get(field.name)
        if position is None:
            return [] if field.type.startswith("[") else "" if field.type == "string" else field.default
        if field.type in _SCALARS:
            return self.scalar(position, field.type)
        target = self.follow(position)
        if field.type == "string":
            return self._string(target)
        if field.type.startswith("["):
            return self._vector(target, field.type[1:-1])
        kind = _UNION.get(values[field.name + "_type"]) if field.type == "<union>" else field.type
        return self.table(target, kind) if kind else None

    def _vector(self, position: int, kind: str) -> Any:
        length, start = int(self.scalar(position, "u32")), position + _OFFSET_SIZE
        size = struct.calcsize(_SCALARS.get(kind, "I"))
        if start + length * size > len(self._data):
            raise self._damaged(f"a vector at byte {position} claims {length} elements")
        if kind == "u8":
            return start, length
        self._count(length)
        if kind in _SCALARS:
            return list(struct.unpack_from(f"<{length}{_SCALARS[kind]}", self._data, start))
        if length > MAX_TABLES:
            raise self._damaged(f"a vector at byte {position} claims {length} tables")
        return [self.table(self.follow(start + _OFFSET_SIZE * index), kind) for index in range(length)]

    def _string(self, position: int) -> str:
        start, length = self._vector(position, "u8")
        self._count(length)
        if start + length >= len(self._data) or self._data[start + length] != 0:
            raise self._damaged(f"the string at byte {position} is not terminated")
        return self._data[start : start + length].decode("utf-8", "replace")

    def _count(self, elements: int) -> None:
        self._elements += elements
        if self._elements > MAX_ELEMENTS_IN_ALL:
            raise self._damaged(f"its strings and vectors have more than {MAX_ELEMENTS_IN_ALL} elements")

    def _damaged(self, reason: str) -> ModelError:
        return ModelError(f"it is damaged: {reason} (the file has {len(self._data)} bytes)")


def write_model(model: Mapping[str, Any]) -> bytes:
    """Serialize nested values to a .tflite file: tables are mappings by field name, vectors sequences, `[u8]` bytes.

    The options of an operator are the mapping `builtin_options`; `builtin_options_type` is the type of their table.
    Omitted fields have their default. The same values must always give the same bytes. Therefore no library is used,
    whose next version may lay tables out differently.
    """
    data = bytearray(bytes(_OFFSET_SIZE) + IDENTIFIER)
    root = append_table(data, "Model", model)
    struct.pack_into("<I", data, 0, root)
    return bytes(data)


def append_table(data: bytearray, kind: str, values: Mapping[str, Any]) -> int:
    """Append a table, with everything that it refers to, to a file's bytes; return its position.

    Every field takes four bytes. Smaller fields are read from the first of these bytes (little endian). Fields of eight
    bytes are not supported.
    """
    fields = {field.name: field for field in _TABLES[kind]}
    if unknown := set(values) - set(fields):
        raise ValueError(f"{kind} has no field {', '.join(sorted(unknown))}")
    offsets = {name: _OFFSET_SIZE * (1 + index) for index, name in enumerate(values)}
    _align(data, _OFFSET_SIZE, ahead=4 + 2 * len(fields))
    vtable = len(data)
    table_size = _OFFSET_SIZE * (1 + len(values))
    slots = (offsets.get(name, 0) for name in fields)
    data += struct.pack(f"<HH{len(fields)}H", 4 + 2 * len(fields), table_size, *slots)
    table = len(data)
    data += struct.pack("<i", table - vtable) + bytes(table_size - _OFFSET_SIZE)
    for name, value in values.items():
        _put_field(data, table + offsets[name], fields[name], value, values)
    return table


def _put_field(data: bytearray, position: int, field: _Field, value: Any, values: Mapping[str, Any]) -> None:
    if field.type in _SCALARS:
        form = {"f32": "<f", "u32": "<I"}.get(field.type, "<i")
        struct.pack_into(form, data, position, value)
        return
    if field.type == "<union>":
        target = append_table(data, _UNION[values[field.name + "_type"]], value)
    elif field.type == "string":
        target = _append_bytes(data, value.encode(), alignment=_OFFSET_SIZE, terminator=b"\0")
    elif field.type == "[u8]":
        target = _append_bytes(data, value, alignment=_BUFFER_ALIGNMENT)
    else:
        target = _append_vector(data, field.type[1:-1], value)
    struct.pack_into("<I", data, position, target - position)


def _append_bytes(data: bytearray, content: bytes, *, alignment: int, terminator: bytes = b"") -> int:
    _align(data, alignment, ahead=_OFFSET_SIZE)
    position = len(data)
    data += struct.pack("<I", len(content)) + content + terminator
    return position


def _append_vector(data: bytearray, kind: str, items: Sequence[Any]) -> int:
    _align(data, _OFFSET_SIZE)
    position = len(data)
    if kind in _SCALARS:
        data += struct.pack(f"<I{len(items)}{_SCALARS[kind]}", len(items), *items)
        return position
    data += struct.pack("<I", len(items)) + bytes(_OFFSET_SIZE * len(items))
    for index, item in enumerate(items):
        slot = position + _OFFSET_SIZE * (1 + index)
        struct.pack_into("<I", data, slot, append_table(data, kind, item) - slot)
    return position


def _align(data: bytearray, alignment: int, *, ahead: int = 0) -> None:
    """Append zeros so that the position `ahead` bytes after the end is aligned."""
    data.extend(bytes(-(len(data) + ahead) % alignment))
