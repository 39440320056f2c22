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

SCHEMA_VERSION = 3
#: Name of the metadata entry that tells where a file comes from.
PROVENANCE = "posecli"
#: No layer of a PoseNet comes near this many elements; a damaged shape easily does.
MAX_ELEMENTS = 2**28
MAX_STRIDE, MAX_DILATION = 64, 64
#: Weights beyond this come from damage, not from training.
MAX_WEIGHT = 1e6

_DTYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 7: "int16", 9: "int8"}
_QUANTISED = ("uint8", "int8", "int16")
_OPERATORS = {
    2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE", 14: "LOGISTIC", 19: "RELU",
    21: "RELU6", 114: "QUANTIZE",
}  # fmt: skip
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
#: Operators that leave shape and meaning of the one input as they are.
ELEMENTWISE = ("DEQUANTIZE", "LOGISTIC", "RELU", "RELU6", "QUANTIZE")
_PADDINGS = {0: "SAME", 1: "VALID"}
_LAST_ACTIVATION = 3  # NONE, RELU, RELU_N1_TO_1, RELU6


class Tensor(NamedTuple):
    """One tensor: its shape, its type, and for 8 and 16 bits how numbers are stored (value = scale·(q − zero))."""

    number: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    data: tuple[int, int] | None  # first byte and length in the file, of a constant

    def describe(self) -> str:
        """Name, shape and type in a few words, for messages."""
        return f"{self.name!r} {list(self.shape)} {self.dtype}"


class Operator(NamedTuple):
    """One operator. `options_at` is the byte that holds the offset of its options table."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    options: Table | None
    options_at: int | None


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
        return next((operator for operator in self.operators if operator.output == tensor), None)


def read_graph(data: bytes, *, trusted: bool = False) -> Graph:
    """Read and check a .tflite file.

    trusted: the file's hash is that of a known model, so its weights need not be looked at.
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
        operators=_read_operators(subgraph, model["operator_codes"], tensors),
        input=_only_input(subgraph, tensors),
        outputs=tuple(_tensor(tensors, index, "an output") for index in subgraph["outputs"]),
        signature_names={
            entry["tensor_index"]: entry["name"]
            for signature in model["signature_defs"]
            for entry in signature["outputs"]
        },
        provenance=_provenance(model, data),
    )
    _check_order(graph)
    for operator in graph.operators:
        _check_operator(operator, tensors)
    _check_activations(graph)
    if not trusted:
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
        raise ModelError(f"its tensor {name!r} has the type number {table['type']}, which no PoseNet uses")
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
        if dtype in _QUANTISED:
            raise ModelError(f"its tensor {name!r} has the type {dtype} but no scale")
        return (), ()
    scales = tuple(quantization["scale"])
    zero_points = tuple(quantization["zero_point"]) or (0,) * len(scales)
    axis = quantization["quantized_dimension"]
    wanted = (1, shape[axis]) if 0 <= axis < len(shape) else (1,)
    if len(scales) not in wanted or len(zero_points) != len(scales):
        raise ModelError(f"it is damaged: its tensor {name!r} has {len(scales)} scales, {len(zero_points)} zero points")
    limits = np.iinfo(dtype) if dtype in (*_QUANTISED, "int32", "int64") else None
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
        raise ModelError(f"it is no PoseNet: expected one input [1, height, width, 3], found {described}")
    if found[0].dtype not in ("float32", "uint8", "int8") or found[0].data is not None:
        raise ModelError(f"it is no PoseNet: expected an input of float32, uint8 or int8, found {described}")
    return found[0]


def _read_operators(subgraph: Table, codes: list[Table], tensors: tuple[Tensor, ...]) -> tuple[Operator, ...]:
    operators = []
    for table in subgraph["operators"]:
        if table["opcode_index"] >= len(codes):
            raise ModelError(f"it is damaged: an operator has kind {table['opcode_index']} of {len(codes)}")
        code = codes[table["opcode_index"]]
        number = max(code["deprecated_builtin_code"], code["builtin_code"])
        if number not in _OPERATORS:
            outputs = [tensors[i].describe() for i in subgraph["outputs"] if 0 <= i < len(tensors)]
            raise ModelError(
                f"it is no PoseNet: it has an operator ({number}) that no PoseNet has, and its outputs are "
                f"{', '.join(outputs)}; expected heatmaps [1, h, w, 17], offsets [1, h, w, 34] and displacements"
            )
        if len(table["outputs"]) != 1 or table["custom_options"] or table["intermediates"]:
            raise ModelError(f"it is damaged: a {_OPERATORS[number]} has {len(table['outputs'])} outputs")
        operators.append(
            Operator(
                kind=_OPERATORS[number],
                inputs=tuple(table["inputs"]),
                output=table["outputs"][0],
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
        if _tensor(graph.tensors, operator.output, f"the output of a {operator.kind}").number in known:
            raise ModelError(f"it is damaged: tensor {operator.output} is written twice")
        known.add(operator.output)
    for tensor in graph.outputs:
        if tensor.number not in known or tensor.data is not None:
            raise ModelError(f"it is damaged: nothing makes its output {tensor.name!r}")


def _check_operator(operator: Operator, tensors: tuple[Tensor, ...]) -> None:
    inputs = [tensors[index] for index in operator.inputs]
    output = tensors[operator.output]
    if operator.kind in CONVOLUTIONS:
        shape = _convolution_shape(operator, inputs, output)
    elif operator.kind == "CONCATENATION":
        shape = _concatenation_shape(operator, inputs)
    else:
        if len(inputs) != 1:
            raise ModelError(f"it is damaged: a {operator.kind} has {len(inputs)} inputs")
        shape = inputs[0].shape
    _check_types(operator, inputs, output)
    if shape != output.shape:
        raise ModelError(
            f"it is damaged: a {operator.kind} makes {list(shape)}, "
            f"but its output {output.name!r} is written down as {list(output.shape)}"
        )


def _convolution_shape(operator: Operator, inputs: list[Tensor], output: Tensor) -> tuple[int, ...]:
    options = operator.options
    damaged = ModelError(f"it is damaged: the {operator.kind} that makes {output.name!r} makes no sense")
    if options is None or options.kind != _options_table(operator.kind) or len(inputs) not in (2, 3):
        raise damaged
    image, weights = inputs[0].shape, inputs[1].shape
    if len(image) != 4 or len(weights) != 4 or inputs[0].data is not None:
        raise damaged
    depthwise = operator.kind == "DEPTHWISE_CONV_2D"
    channels = weights[3] if depthwise else weights[0]
    fits = (
        weights[0] == 1 and channels == image[3] * options["depth_multiplier"] if depthwise else weights[3] == image[3]
    )
    bias_fits = len(inputs) == 2 or inputs[2].shape == (channels,)
    strides, dilations = (options["stride_h"], options["stride_w"]), (options["dilation_h"], options["dilation_w"])
    if not (
        fits
        and bias_fits
        and all(1 <= stride <= MAX_STRIDE for stride in strides)
        and all(1 <= dilation <= MAX_DILATION for dilation in dilations)
        and options["padding"] in _PADDINGS
        and 0 <= options["activation"] <= _LAST_ACTIVATION
    ):
        raise damaged
    kernel = [(size - 1) * dilation + 1 for size, dilation in zip(weights[1:3], dilations, strict=True)]
    if _PADDINGS[options["padding"]] == "SAME":
        sides = [-(-side // stride) for side, stride in zip(image[1:3], strides, strict=True)]
    else:
        sides = [(side - size) // stride + 1 for side, size, stride in zip(image[1:3], kernel, strides, strict=True)]
    return (image[0], *sides, channels)


def _options_table(kind: str) -> str:
    return "Conv2DOptions" if kind == "CONV_2D" else "DepthwiseConv2DOptions"


def _concatenation_shape(operator: Operator, inputs: list[Tensor]) -> tuple[int, ...]:
    options = operator.options
    same = {tensor.shape[:-1] for tensor in inputs}
    if options is None or options.kind != "ConcatenationOptions" or len(same) != 1 or options["activation"] != 0:
        raise ModelError("it is damaged: a CONCATENATION makes no sense")
    (leading,) = same
    if options["axis"] not in (-1, len(leading)):
        raise ModelError(f"it is damaged: a CONCATENATION joins along axis {options['axis']}, expected the last")
    return (*leading, sum(tensor.shape[-1] for tensor in inputs))


def _check_types(operator: Operator, inputs: list[Tensor], output: Tensor) -> None:
    """The combinations of types that the runtimes have kernels for."""
    first, kind = inputs[0].dtype, operator.kind
    if kind == "DEQUANTIZE":
        fits = output.dtype == "float32" and first in (*_QUANTISED, "float16")
    elif kind == "QUANTIZE":
        fits = output.dtype in _QUANTISED and first in ("float32", *_QUANTISED)
    else:
        fits = output.dtype == first and first in ("float32", *_QUANTISED)
    if kind in CONVOLUTIONS:
        types = (first, inputs[1].dtype, *(tensor.dtype for tensor in inputs[2:]))
        fits = fits and types in _CONVOLUTION_TYPES
    if not fits:
        found = ", ".join(tensor.dtype for tensor in inputs)
        raise ModelError(f"it is damaged: a {kind} takes {found} and makes {output.dtype}")


#: Types of image, weights and bias.
_CONVOLUTION_TYPES = {
    types[:length]
    for types in (
        ("float32", "float32", "float32"),
        ("float32", "int8", "float32"),  # weights alone in 8 bits
        ("uint8", "uint8", "int32"),
        ("int8", "int8", "int32"),
        ("int16", "int8", "int64"),
        ("int16", "int8", "int32"),
    )
    for length in (2, 3)
}


def _check_activations(graph: Graph) -> None:
    """Heads are linear; every layer before them has the same activation. A flipped byte often breaks this, and
    nothing else would show it."""
    body: set[int] = set()
    heads: set[int] = set()
    outputs = {tensor.number for tensor in graph.outputs}
    read: set[int] = set()
    for operator in reversed(graph.operators):
        # What a convolution reads may have changed its type on the way.
        if operator.kind in CONVOLUTIONS or (operator.kind in ELEMENTWISE and operator.output in read):
            read.add(operator.inputs[0])
    for operator in graph.operators:
        if operator.kind in CONVOLUTIONS and operator.options is not None:
            is_head = operator.output in outputs or operator.output not in read
            (heads if is_head else body).add(operator.options["activation"])
    if heads - {0} or len(body) > 1:
        raise ModelError(
            f"it is damaged: its layers have the activations {sorted(body)} and its heads {sorted(heads)}, "
            "expected the same one in all layers and none in the heads"
        )


def _check_weights(graph: Graph) -> None:
    for tensor in graph.tensors:
        if tensor.data is None or not tensor.dtype.startswith("float"):
            continue
        start, length = tensor.data
        values = np.frombuffer(graph.data[start : start + length], tensor.dtype)
        # One pass each and no copy; a NaN fails both comparisons.
        if not (values.max() < MAX_WEIGHT and values.min() > -MAX_WEIGHT):
            raise ModelError(f"it is damaged: its weights {tensor.name!r} are not finite numbers of a sane size")
