"""Tensors and operators of a network, and the consistency checks of each kind of operator.

A runtime recomputes shapes and types, but does not check everything in the file. The checks here follow its kernels:
numbers of inputs, shapes, types, and constants that are axes, sizes or indices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import NamedTuple

import numpy as np

from posecli.errors import ModelError
from posecli.model.flatbuffer import Table

#: Kinds of operators by their numbers in the schema: all operators of PoseNet and MoveNet.
OPERATOR_KINDS = {
    0: "ADD", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE", 14: "LOGISTIC",
    18: "MUL", 19: "RELU", 21: "RELU6", 22: "RESHAPE", 23: "RESIZE_BILINEAR", 41: "SUB", 42: "DIV", 53: "CAST",
    56: "ARG_MAX", 75: "SQRT", 83: "PACK", 88: "UNPACK", 90: "FLOOR_DIV", 107: "GATHER_ND", 114: "QUANTIZE",
}  # fmt: skip
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
#: Operators with one input whose output has the same shape and meaning.
ELEMENTWISE = ("DEQUANTIZE", "LOGISTIC", "RELU", "RELU6", "QUANTIZE")
QUANTISED = ("uint8", "int8", "int16")
MAX_STRIDE, MAX_DILATION = 64, 64
#: Largest number of axes that the kernels support for two broadcast inputs.
MAX_BROADCAST_RANK = 4
#: Largest ratio of the scale of a summand to the scale of the sum. From 2^19 on the kernels abort the process.
MAX_SCALE_RATIO = 2**16

_PADDINGS = {0: "SAME", 1: "VALID"}
_LAST_ACTIVATION = 3  # NONE, RELU, RELU_N1_TO_1, RELU6
_INT32 = 2  # type code of the schema

Shape = tuple[int, ...]


class Tensor(NamedTuple):
    """A tensor: shape, type and, for 8 and 16 bits, the quantisation (value = scale · (q − zero point))."""

    number: int
    name: str
    shape: Shape
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    data: tuple[int, int] | None  # of a constant: first byte and length in the file

    def describe(self) -> str:
        """Name, shape and type, for messages."""
        return f"{self.name!r} {list(self.shape)} {self.dtype}"


class Operator(NamedTuple):
    """An operator. `options_at` is the byte position of the offset of its options table."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None
    options_at: int | None

    @property
    def output(self) -> int:
        """The first output. Only UNPACK has more than one."""
        return self.outputs[0]


class _Call(NamedTuple):
    """An operator with its input and output tensors, and the bytes of the file, which contain the constants."""

    kind: str
    options: Table | None
    inputs: list[Tensor]
    outputs: list[Tensor]
    data: bytes

    def damaged(self) -> ModelError:
        return ModelError(
            f"it is damaged: the {self.kind} with output {self.outputs[0].name!r} has inconsistent inputs or options"
        )

    def require(self, condition: bool) -> None:
        """Raise ModelError unless the condition is true."""
        if not condition:
            raise self.damaged()

    def option(self, name: str) -> int:
        """A field of the options. Raises ModelError if the operator has no options."""
        if self.options is None:
            raise self.damaged()
        return int(self.options[name])

    def whole_numbers(self, index: int) -> list[int]:
        """The values of an input that must be a constant int32 scalar or vector. Raises ModelError otherwise."""
        tensor = self.inputs[index]
        if tensor.data is None or tensor.dtype != "int32" or len(tensor.shape) > 1:
            raise self.damaged()
        values = np.frombuffer(self.data, "<i4", prod(tensor.shape), tensor.data[0])
        return [int(value) for value in values]


def check_operator(operator: Operator, tensors: tuple[Tensor, ...], data: bytes) -> None:
    """Raise ModelError if an operator's inputs, options and outputs are inconsistent.

    tensors: the tensors of the network; the operator's indices must be valid. data: the bytes of the file.
    """
    inputs, outputs = ([tensors[index] for index in side] for side in (operator.inputs, operator.outputs))
    call = _Call(operator.kind, operator.options, inputs, outputs, data)
    rule = _RULES[operator.kind]
    least, most = rule.inputs
    if not least <= len(inputs) <= most:
        raise ModelError(f"it is damaged: a {operator.kind} has {len(inputs)} inputs")
    call.require(call.options is None or call.options.kind == rule.options)
    shapes = rule.shapes(call)
    _check_types(call, rule)
    for shape, output in zip(shapes, outputs, strict=True):
        if shape != output.shape:
            raise ModelError(
                f"it is damaged: the output of a {operator.kind} has the shape {list(shape)}, "
                f"but its tensor {output.name!r} is declared as {list(output.shape)}"
            )


def _check_types(call: _Call, rule: _Rule) -> None:
    """Raise ModelError unless the runtimes have kernels for this combination of types and numbers of scales."""
    first, output_types = call.inputs[0].dtype, {tensor.dtype for tensor in call.outputs}
    same_typed = call.inputs[:1] if rule.has_indices or call.kind in CONVOLUTIONS else call.inputs
    is_supported = first in rule.input_types and {tensor.dtype for tensor in same_typed} == {first}
    is_supported = is_supported and (
        output_types == {first} if rule.output_types is None else output_types <= set(rule.output_types)
    )
    if call.kind in CONVOLUTIONS:
        is_supported = is_supported and tuple(tensor.dtype for tensor in call.inputs) in _CONVOLUTION_TYPES
    if rule.has_indices:
        is_supported = is_supported and all(tensor.dtype == "int32" for tensor in call.inputs[1:])
    if not is_supported:
        found = f"{', '.join(tensor.dtype for tensor in call.inputs)} and outputs {', '.join(sorted(output_types))}"
        raise ModelError(f"it is damaged: a {call.kind} has the unsupported types: inputs {found}")
    for tensor in [*call.inputs, *call.outputs]:
        if tensor.dtype in QUANTISED and not _has_valid_scales(call, tensor):
            raise ModelError(f"it is damaged: {tensor.describe()} of a {call.kind} has a wrong number of scales")


def _has_valid_scales(call: _Call, tensor: Tensor) -> bool:
    """Whether the number of a tensor's scales suits the kernel: one or more for weights and DEQUANTIZE, any number for
    CAST (8-bit pixels have none), otherwise one."""
    if call.kind == "CAST":
        return True
    is_weights = call.kind in CONVOLUTIONS and tensor in call.inputs[1:]
    return bool(tensor.scales) if is_weights or call.kind == "DEQUANTIZE" else len(tensor.scales) == 1


#: Supported types of a convolution's input, weights and bias.
_CONVOLUTION_TYPES = {
    types[:length]
    for types in (
        ("float32", "float32", "float32"),
        ("float32", "int8", "float32"),  # only the weights have 8 bits
        ("uint8", "uint8", "int32"),
        ("int8", "int8", "int32"),
        ("int16", "int8", "int64"),
        ("int16", "int8", "int32"),
    )
    for length in (2, 3)
}


def _elementwise(call: _Call) -> list[Shape]:
    return [call.inputs[0].shape]


def _convolution(call: _Call) -> list[Shape]:
    image, weights = call.inputs[0].shape, call.inputs[1].shape
    call.require(len(image) == len(weights) == 4 and call.inputs[0].data is None)
    strides, dilations = ([call.option(f"{name}_{axis}") for axis in "hw"] for name in ("stride", "dilation"))
    if call.kind == "DEPTHWISE_CONV_2D":
        channels = weights[3]
        call.require(weights[0] == 1 and channels == image[3] * call.option("depth_multiplier"))
    else:
        channels = weights[0]
        call.require(weights[3] == image[3])
    call.require(len(call.inputs) == 2 or call.inputs[2].shape == (channels,))
    call.require(all(1 <= stride <= MAX_STRIDE for stride in strides))
    call.require(all(1 <= dilation <= MAX_DILATION for dilation in dilations))
    call.require(call.option("padding") in _PADDINGS and 0 <= call.option("activation") <= _LAST_ACTIVATION)
    kernel = [(size - 1) * dilation + 1 for size, dilation in zip(weights[1:3], dilations, strict=True)]
    if _PADDINGS[call.option("padding")] == "SAME":
        sides = [-(-side // stride) for side, stride in zip(image[1:3], strides, strict=True)]
    else:
        sides = [(side - size) // stride + 1 for side, size, stride in zip(image[1:3], kernel, strides, strict=True)]
    return [(image[0], *sides, channels)]


def _concatenation(call: _Call) -> list[Shape]:
    same = {tensor.shape[:-1] for tensor in call.inputs}
    call.require(len(same) == 1 and all(tensor.shape for tensor in call.inputs) and call.option("activation") == 0)
    (leading,) = same
    if call.option("axis") not in (-1, len(leading)):
        raise ModelError(f"it is damaged: a CONCATENATION joins along axis {call.option('axis')}, expected the last")
    return [(*leading, sum(tensor.shape[-1] for tensor in call.inputs))]


def _broadcast(call: _Call) -> list[Shape]:
    """Two inputs, combined element by element."""
    call.require(0 <= (call.options["activation"] if call.options is not None else 0) <= _LAST_ACTIVATION)
    try:
        shape = np.broadcast_shapes(*(tensor.shape for tensor in call.inputs))
    except ValueError:
        raise call.damaged() from None
    call.require(len(shape) <= MAX_BROADCAST_RANK)
    return [shape]


def _sum(call: _Call) -> list[Shape]:
    summands, sums = ([tensor.scales[0] for tensor in side if tensor.scales] for side in (call.inputs, call.outputs))
    call.require(not summands or not sums or max(summands) <= MAX_SCALE_RATIO * sums[0])
    return _broadcast(call)


def _whole_division(call: _Call) -> list[Shape]:
    call.require(all(divisor >= 1 for divisor in call.whole_numbers(1)))
    return _broadcast(call)


def _reshape(call: _Call) -> list[Shape]:
    wanted = call.whole_numbers(1) if len(call.inputs) == 2 else call.options["new_shape"] if call.options else []
    count, known = prod(call.inputs[0].shape), prod(side for side in wanted if side != -1)
    call.require(wanted.count(-1) <= 1 and known >= 1 and all(side >= 1 or side == -1 for side in wanted))
    shape = tuple(count // known if side == -1 else side for side in wanted)
    call.require(prod(shape) == count)
    return [shape]


def _resize(call: _Call) -> list[Shape]:
    image, size = call.inputs[0].shape, call.whole_numbers(1)
    call.require(len(image) == 4 and len(size) == 2 and all(side >= 1 for side in size))
    return [(image[0], size[0], size[1], image[3])]


def _arg_max(call: _Call) -> list[Shape]:
    shape, axes = call.inputs[0].shape, call.whole_numbers(1)
    call.require(len(axes) == 1 and -len(shape) <= axes[0] < len(shape) and call.option("output_type") == _INT32)
    axis = axes[0] % len(shape)
    return [shape[:axis] + shape[axis + 1 :]]


def _pack(call: _Call) -> list[Shape]:
    shape, axis = call.inputs[0].shape, call.option("axis")
    call.require(call.option("values_count") == len(call.inputs) and -len(shape) - 1 <= axis <= len(shape))
    call.require(all(tensor.shape == shape for tensor in call.inputs))
    axis %= len(shape) + 1
    return [(*shape[:axis], len(call.inputs), *shape[axis:])]


def _unpack(call: _Call) -> list[Shape]:
    shape, axis = call.inputs[0].shape, call.option("axis")
    call.require(-len(shape) <= axis < len(shape))
    axis %= len(shape)
    call.require(call.option("num") == len(call.outputs) == shape[axis])
    return [shape[:axis] + shape[axis + 1 :]] * len(call.outputs)


def _gather(call: _Call) -> list[Shape]:
    """Index values are known only at run time. The runtimes check each of them."""
    values, indices = call.inputs[0].shape, call.inputs[1].shape
    call.require(bool(indices) and 1 <= indices[-1] <= len(values))
    return [indices[:-1] + values[indices[-1] :]]


class _Rule(NamedTuple):
    """The inputs and outputs of one kind of operator.

    shapes: function that computes the shapes of the outputs. inputs: minimum and maximum number of inputs.
    input_types: allowed types of the first input. The others have the same type or, if has_indices, int32.
    output_types: allowed types of the outputs; None: the type of the first input. options: name of the options table.
    """

    shapes: Callable[[_Call], list[Shape]]
    inputs: tuple[int, int]
    input_types: tuple[str, ...]
    output_types: tuple[str, ...] | None = None
    options: str = "EmptyOptions"
    has_indices: bool = False


_REAL = ("float32", *QUANTISED)
_ANY_32_OR_8 = ("float32", "int32", "int8", "uint8")
_FLOAT_OR_8 = ("float32", "int8", "uint8")
#: Limit of inputs of a concatenation, more than any network has.
_MAX_INPUTS = 1000

_RULES: Mapping[str, _Rule] = {
    "CONV_2D": _Rule(_convolution, (2, 3), _REAL, options="Conv2DOptions"),
    "DEPTHWISE_CONV_2D": _Rule(_convolution, (2, 3), _REAL, options="DepthwiseConv2DOptions"),
    "DEQUANTIZE": _Rule(_elementwise, (1, 1), (*QUANTISED, "float16"), output_types=("float32",)),
    "QUANTIZE": _Rule(_elementwise, (1, 1), _REAL, output_types=QUANTISED),
    "LOGISTIC": _Rule(_elementwise, (1, 1), _REAL),
    "RELU": _Rule(_elementwise, (1, 1), _REAL),
    "RELU6": _Rule(_elementwise, (1, 1), _REAL),
    "SQRT": _Rule(_elementwise, (1, 1), ("float32",)),
    "CAST": _Rule(_elementwise, (1, 1), _ANY_32_OR_8, output_types=("float32", "int32"), options="CastOptions"),
    "CONCATENATION": _Rule(_concatenation, (1, _MAX_INPUTS), (*_REAL, "int32"), options="ConcatenationOptions"),
    "ADD": _Rule(_sum, (2, 2), _ANY_32_OR_8, options="AddOptions"),
    "SUB": _Rule(_sum, (2, 2), _ANY_32_OR_8, options="SubOptions"),
    "MUL": _Rule(_broadcast, (2, 2), _ANY_32_OR_8, options="MulOptions"),
    "DIV": _Rule(_broadcast, (2, 2), ("float32",), options="DivOptions"),
    "FLOOR_DIV": _Rule(_whole_division, (2, 2), ("int32",)),
    "RESHAPE": _Rule(_reshape, (1, 2), _ANY_32_OR_8, options="ReshapeOptions", has_indices=True),
    "RESIZE_BILINEAR": _Rule(_resize, (2, 2), _FLOAT_OR_8, options="ResizeBilinearOptions", has_indices=True),
    "ARG_MAX": _Rule(_arg_max, (2, 2), _FLOAT_OR_8, output_types=("int32",), options="ArgMaxOptions", has_indices=True),
    "PACK": _Rule(_pack, (1, _MAX_INPUTS), _ANY_32_OR_8, options="PackOptions"),
    "UNPACK": _Rule(_unpack, (1, 1), _ANY_32_OR_8, options="UnpackOptions"),
    "GATHER_ND": _Rule(_gather, (2, 2), _ANY_32_OR_8, has_indices=True),
}
