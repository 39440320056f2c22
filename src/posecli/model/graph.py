"""The network inside a model file: its tensors and operators, checked before a runtime sees them.

`flatbuffer` makes sure that the file can be walked; this file makes sure that it makes sense: indices, types,
sizes, shapes that follow from one another. What a runtime would crash on, or compute nonsense from, ends here.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from posecli.errors import ModelError
from posecli.model.flatbuffer import Table, read_model
from posecli.model.operators import OPERATOR_KINDS, QUANTISED, Operator, Tensor, check_operator

SCHEMA_VERSION = 3
#: Name of the metadata entry that tells where a file comes from.
PROVENANCE = "posecli"
#: No layer of a known network comes near this many elements; a damaged shape easily does.
MAX_ELEMENTS = 2**28
#: Weights beyond this come from damage, not from training.
MAX_WEIGHT = 1e6
#: What is said of a file that is sound, and no network that posecli knows.
NEITHER = "no PoseNet and no MoveNet SinglePose"

_DTYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 7: "int16", 9: "int8"}


class Graph(NamedTuple):
    """A whole network: tensors by index, operators in the order in which they run."""

    data: bytes
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    input: Tensor
    outputs: tuple[Tensor, ...]
    #: Names that signatures give to output tensors, by tensor index.
    signature_names: dict[int, str]
    #: What `posecli model quantize` wrote down about where the file comes from: JSON, empty for other files.
    provenance: str

    def producer(self, tensor: int) -> Operator | None:
        """The operator that makes a tensor; None for the input and for constants."""
        return next((operator for operator in self.operators if tensor in operator.outputs), None)


def read_graph(data: bytes, *, trusted: bool = False) -> Graph:
    """Read and check a .tflite file.

    trusted: the file's hash is that of a known model, so its operators and weights need not be looked at.
    Raises ModelError, which says what was found and what was expected.
    """
    model = read_model(data)
    if model["version"] != SCHEMA_VERSION:
        raise ModelError(f"its schema version is {model['version']}, expected {SCHEMA_VERSION}")
    if len(model["subgraphs"]) != 1:
        raise ModelError(f"it has {len(model['subgraphs'])} networks in it, expected one")
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
            place = _buffer_place(model["buffers"][entry["buffer"]], len(data))
            return data[place[0] : sum(place)].decode("utf-8", "replace") if place else ""
    return ""


def _read_tensors(subgraph: Table, buffers: list[Table], file_size: int) -> tuple[Tensor, ...]:
    return tuple(_read_tensor(index, table, buffers, file_size) for index, table in enumerate(subgraph["tensors"]))


def _read_tensor(index: int, table: Table, buffers: list[Table], file_size: int) -> Tensor:
    name, shape = table["name"], tuple(table["shape"])
    if table["type"] not in _DTYPES:
        raise ModelError(f"its tensor {name!r} has the type number {table['type']}, which no known network uses")
    if any(side < 1 for side in shape) or prod(shape) > MAX_ELEMENTS:
        raise ModelError(f"it is damaged: its tensor {name!r} has the shape {list(shape)}")
    signature = table["shape_signature"]
    if signature and (
        len(signature) != len(shape) or any(a not in (-1, b) for a, b in zip(signature, shape, strict=True))
    ):
        raise ModelError(f"it is damaged: its tensor {name!r} has the shapes {list(shape)} and {signature}")
    if table["buffer"] >= len(buffers):
        raise ModelError(f"it is damaged: its tensor {name!r} refers to buffer {table['buffer']} of {len(buffers)}")
    data = _buffer_place(buffers[table["buffer"]], file_size)
    dtype = _DTYPES[table["type"]]
    if data is not None and data[1] != prod(shape) * np.dtype(dtype).itemsize:
        raise ModelError(
            f"it is damaged: its tensor {name!r} of shape {list(shape)} and type {dtype} has {data[1]} bytes"
        )
    scales, zero_points = _read_quantization(table, name, shape, dtype)
    return Tensor(index, name, shape, dtype, scales, zero_points, data)


def _buffer_place(buffer: Table, file_size: int) -> tuple[int, int] | None:
    """First byte and length of a constant: inside the flatbuffer or, in files of newer writers, behind it."""
    start, length = buffer["offset"], buffer["size"]
    if start <= 1:  # the schema's "not behind it"
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
    wanted = (1, shape[axis]) if 0 <= axis < len(shape) else (1,)
    if len(scales) not in wanted or len(zero_points) != len(scales):
        raise ModelError(f"it is damaged: its tensor {name!r} has {len(scales)} scales, {len(zero_points)} zero points")
    limits = np.iinfo(dtype) if dtype in (*QUANTISED, "int32", "int64") else None
    if not all(0 < scale < MAX_WEIGHT for scale in scales) or (
        limits is not None and not all(limits.min <= zero <= limits.max for zero in zero_points)
    ):
        raise ModelError(f"it is damaged: its tensor {name!r} has impossible scales or zero points")
    return scales, zero_points


def _tensor(tensors: tuple[Tensor, ...], index: int, what: str) -> Tensor:
    if not 0 <= index < len(tensors):
        raise ModelError(f"it is damaged: {what} is tensor {index} of {len(tensors)}")
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
            raise ModelError(f"it is damaged: an operator has kind {table['opcode_index']} of {len(codes)}")
        code = codes[table["opcode_index"]]
        number = max(code["deprecated_builtin_code"], code["builtin_code"])
        if number not in OPERATOR_KINDS and not trusted:
            outputs = [tensors[i].describe() for i in subgraph["outputs"] if 0 <= i < len(tensors)]
            raise ModelError(
                f"it is {NEITHER}: it has an operator ({number}) that neither has, and its outputs are "
                f"{', '.join(outputs)}; expected heatmaps [1, h, w, 17], offsets [1, h, w, 34] and displacements, or "
                "keypoints [1, 1, 17, 3]"
            )
        kind = OPERATOR_KINDS.get(number, f"operator {number}")
        made = len(table["outputs"])
        if made < 1 or (made > 1 and kind != "UNPACK") or table["custom_options"] or table["intermediates"]:
            raise ModelError(f"it is damaged: a {kind} has {made} outputs")
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
    """Each operator reads what exists already and writes what nothing else has written."""
    known = {graph.input.number} | {tensor.number for tensor in graph.tensors if tensor.data is not None}
    for operator in graph.operators:
        for index in operator.inputs:
            if _tensor(graph.tensors, index, f"an input of a {operator.kind}").number not in known:
                raise ModelError(f"it is damaged: a {operator.kind} reads tensor {index} before it is made")
        for index in operator.outputs:
            if _tensor(graph.tensors, index, f"the output of a {operator.kind}").number in known:
                raise ModelError(f"it is damaged: tensor {index} is written twice")
            known.add(index)
    for tensor in graph.outputs:
        if tensor.number not in known or tensor.data is not None:
            raise ModelError(f"it is damaged: nothing makes its output {tensor.name!r}")


def _check_weights(graph: Graph) -> None:
    for tensor in graph.tensors:
        if tensor.data is None or not tensor.dtype.startswith("float"):
            continue
        start, length = tensor.data
        values = np.frombuffer(graph.data[start : start + length], tensor.dtype)
        # One pass each and no copy; a NaN fails both comparisons.
        if not (values.max() < MAX_WEIGHT and values.min() > -MAX_WEIGHT):
            raise ModelError(f"it is damaged: its weights {tensor.name!r} are not finite numbers of a sane size")
