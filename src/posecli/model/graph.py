"""The network in a model file: its tensors and operators, checked before a runtime loads it.

`flatbuffer` checks the structure of the file. This module checks the content: indices, types, sizes, and whether the
shapes match. It refuses files on which a runtime would crash or compute wrong results.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from posecli.errors import ModelError
from posecli.model.flatbuffer import Table, read_model
from posecli.model.operators import OPERATOR_KINDS, QUANTISED, Operator, Tensor, check_operator

SCHEMA_VERSION = 3
#: Name of the metadata entry with the provenance of a file.
PROVENANCE = "posecli"
#: Limit of elements of a tensor, far above the tensors of known networks. Damaged shapes often exceed it.
MAX_ELEMENTS = 2**28
#: Limit of the absolute value of a weight. Larger weights are damage: training does not produce them.
MAX_WEIGHT = 1e6
#: Description, for messages, of an intact file with an unsupported network.
NEITHER = "neither a PoseNet nor a MoveNet SinglePose"

_DTYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 7: "int16", 9: "int8"}


class Graph(NamedTuple):
    """A network: tensors by index, and operators in the order in which they run."""

    data: bytes
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    input: Tensor
    outputs: tuple[Tensor, ...]
    #: Names that signatures give to output tensors, by tensor index.
    signature_names: dict[int, str]
    #: JSON that posecli wrote about the source of a file that it made; empty for other files.
    provenance: str

    def producer(self, tensor: int) -> Operator | None:
        """The operator that writes a tensor; None for the input and for constants."""
        return next((operator for operator in self.operators if tensor in operator.outputs), None)


def read_graph(data: bytes, *, trusted: bool = False) -> Graph:
    """Read and check a .tflite file.

    trusted: the file's hash is that of a known model; its operators and weights are then not checked.
    Raises ModelError, which says what was found and what was expected.
    """
    model = read_model(data)
    if model["version"] != SCHEMA_VERSION:
        raise ModelError(f"its schema version is {model['version']}, expected {SCHEMA_VERSION}")
    if len(model["subgraphs"]) != 1:
        raise ModelError(f"it has {len(model['subgraphs'])} subgraphs, expected one")
    (subgraph,) = model["subgraphs"]
    tensors = _read_tensors(subgraph, model["buffers"], len(data))
    graph = Graph(
        data=data,
        tensors=tensors,
        operators=_read_operators(subgraph, model["operator_codes"], tensors, trusted=trusted),
        input=_only_input(subgraph, tensors),
        outputs=tuple(_tensor(tensors, index, "an output") for index in subgraph["outputs"]),
        signature_names={
            entry["tensor_index"]: entry["name"]
            for signature in model["signature_defs"]
            for entry in signature["outputs"]
        },
        provenance=_provenance(model, data),
    )
    if not trusted:
        _check_order(graph)
        for operator in graph.operators:
            check_operator(operator, tensors, data)
        _check_weights(graph)
    return graph


def _provenance(model: Table, data: bytes) -> str:
    for entry in model["metadata"]:
        if entry["name"] == PROVENANCE and entry["buffer"] < len(model["buffers"]):
            extent = _buffer_extent(model["buffers"][entry["buffer"]], len(data))
            return data[extent[0] : sum(extent)].decode("utf-8", "replace") if extent else ""
    return ""


def _read_tensors(subgraph: Table, buffers: list[Table], file_size: int) -> tuple[Tensor, ...]:
    return tuple(_read_tensor(index, table, buffers, file_size) for index, table in enumerate(subgraph["tensors"]))


def _read_tensor(index: int, table: Table, buffers: list[Table], file_size: int) -> Tensor:
    name, shape = table["name"], tuple(table["shape"])
    if table["type"] not in _DTYPES:
        raise ModelError(f"its tensor {name!r} has the unsupported type {table['type']}")
    if any(side < 1 for side in shape) or prod(shape) > MAX_ELEMENTS:
        raise ModelError(f"it is damaged: its tensor {name!r} has the shape {list(shape)}")
    signature = table["shape_signature"]
    if signature and (
        len(signature) != len(shape) or any(a not in (-1, b) for a, b in zip(signature, shape, strict=True))
    ):
        raise ModelError(f"it is damaged: its tensor {name!r} has the shapes {list(shape)} and {signature}")
    if table["buffer"] >= len(buffers):
        raise ModelError(f"it is damaged: its tensor {name!r} refers to buffer {table['buffer']} of {len(buffers)}")
    data = _buffer_extent(buffers[table["buffer"]], file_size)
    dtype = _DTYPES[table["type"]]
    if data is not None and data[1] != prod(shape) * np.dtype(dtype).itemsize:
        raise ModelError(
            f"it is damaged: its tensor {name!r} of shape {list(shape)} and type {dtype} has {data[1]} bytes"
        )
    scales, zero_points = _read_quantization(table, name, shape, dtype)
    return Tensor(index, name, shape, dtype, scales, zero_points, data)


def _buffer_extent(buffer: Table, file_size: int) -> tuple[int, int] | None:
    """First byte and length of a constant. It is in the flatbuffer or, in files of newer writers, after it."""
    start, length = buffer["offset"], buffer["size"]
    if start <= 1:  # in the schema, 0 and 1 mean that the data are in the flatbuffer
        return buffer["data"] or None
    if buffer["data"] or not length or start + length > file_size:
        raise ModelError(f"it is damaged: a buffer of {length} bytes at {start} in a file of {file_size}")
    return start, length


def _read_quantization(
    table: Table, name: str, shape: tuple[int, ...], dtype: str
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    quantization = table["quantization"]
    if quantization is None or not quantization["scale"]:
        return (), ()
    scales = tuple(quantization["scale"])
    zero_points = tuple(quantization["zero_point"]) or (0,) * len(scales)
    axis = quantization["quantized_dimension"]
    allowed_counts = (1, shape[axis]) if 0 <= axis < len(shape) else (1,)
    if len(scales) not in allowed_counts or len(zero_points) != len(scales):
        raise ModelError(f"it is damaged: its tensor {name!r} has {len(scales)} scales, {len(zero_points)} zero points")
    limits = np.iinfo(dtype) if dtype in (*QUANTISED, "int32", "int64") else None
    if not all(0 < scale < MAX_WEIGHT for scale in scales) or (
        limits is not None and not all(limits.min <= zero <= limits.max for zero in zero_points)
    ):
        raise ModelError(f"it is damaged: its tensor {name!r} has scales or zero points outside their range")
    return scales, zero_points


def _tensor(tensors: tuple[Tensor, ...], index: int, role: str) -> Tensor:
    if not 0 <= index < len(tensors):
        raise ModelError(f"it is damaged: {role} is tensor {index}, but it has {len(tensors)} tensors")
    return tensors[index]


def _only_input(subgraph: Table, tensors: tuple[Tensor, ...]) -> Tensor:
    found = [_tensor(tensors, index, "an input") for index in subgraph["inputs"]]
    described = ", ".join(tensor.describe() for tensor in found) or "none"
    image_rank, channels = 4, 3
    if len(found) != 1 or len(found[0].shape) != image_rank or found[0].shape[::3] != (1, channels):
        raise ModelError(f"it is {NEITHER}: expected one input [1, height, width, 3], found {described}")
    if found[0].dtype not in ("float32", "int32", "uint8", "int8") or found[0].data is not None:
        raise ModelError(f"it is {NEITHER}: expected an input of float32, int32, uint8 or int8, found {described}")
    return found[0]


def _read_operators(
    subgraph: Table, codes: list[Table], tensors: tuple[Tensor, ...], *, trusted: bool
) -> tuple[Operator, ...]:
    operators = []
    for table in subgraph["operators"]:
        if table["opcode_index"] >= len(codes):
            raise ModelError(
                f"it is damaged: an operator has code {table['opcode_index']}, but it has {len(codes)} operator codes"
            )
        code = codes[table["opcode_index"]]
        number = max(code["deprecated_builtin_code"], code["builtin_code"])
        if number not in OPERATOR_KINDS and not trusted:
            outputs = [tensors[i].describe() for i in subgraph["outputs"] if 0 <= i < len(tensors)]
            raise ModelError(
                f"it is {NEITHER}: it has the unsupported operator {number}, and its outputs are "
                f"{', '.join(outputs)}; expected heatmaps [1, h, w, 17], offsets [1, h, w, 34] and displacements, or "
                "keypoints [1, 1, 17, 3]"
            )
        kind = OPERATOR_KINDS.get(number, f"operator {number}")
        output_count = len(table["outputs"])
        has_extras = table["custom_options"] or table["intermediates"]
        if output_count < 1 or (output_count > 1 and kind != "UNPACK") or has_extras:
            raise ModelError(f"it is damaged: a {kind} has {output_count} outputs")
        operators.append(
            Operator(
                kind=kind,
                inputs=tuple(table["inputs"]),
                outputs=tuple(table["outputs"]),
                options=table["builtin_options"],
                options_at=table.at.get("builtin_options"),
            )
        )
    return tuple(operators)


def _check_order(graph: Graph) -> None:
    """Raise ModelError unless each tensor is written once, and before it is read."""
    written = {graph.input.number} | {tensor.number for tensor in graph.tensors if tensor.data is not None}
    for operator in graph.operators:
        for index in operator.inputs:
            if _tensor(graph.tensors, index, f"an input of a {operator.kind}").number not in written:
                raise ModelError(f"it is damaged: a {operator.kind} reads tensor {index} before it is written")
        for index in operator.outputs:
            if _tensor(graph.tensors, index, f"the output of a {operator.kind}").number in written:
                raise ModelError(f"it is damaged: tensor {index} is written twice")
            written.add(index)
    for tensor in graph.outputs:
        if tensor.number not in written or tensor.data is not None:
            raise ModelError(f"it is damaged: no operator writes its output {tensor.name!r}")


def _check_weights(graph: Graph) -> None:
    for tensor in graph.tensors:
        if tensor.data is None or not tensor.dtype.startswith("float"):
            continue
        start, length = tensor.data
        values = np.frombuffer(graph.data[start : start + length], tensor.dtype)
        # max and min need one pass each and no copy. NaN fails both comparisons.
        if not (values.max() < MAX_WEIGHT and values.min() > -MAX_WEIGHT):
            raise ModelError(f"it is damaged: its weights {tensor.name!r} are not finite, or above {MAX_WEIGHT:g}")
