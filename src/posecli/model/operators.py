"""Tensors and operators of a network, and what makes sense of each kind of operator.

A runtime computes shapes and types again, and trusts much of what it finds. What is checked here follows its kernels:
numbers of inputs, shapes, types, and the constants that say where something goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import NamedTuple

import numpy as np

from posecli.errors import ModelError
from posecli.model.flatbuffer import Table

#: Kinds of operators by their numbers in the schema: all that PoseNet and MoveNet are made of.
OPERATOR_KINDS = {
    0: "ADD", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE", 14: "LOGISTIC",
    18: "MUL", 19: "RELU", 21: "RELU6", 22: "RESHAPE", 23: "RESIZE_BILINEAR", 41: "SUB", 42: "DIV", 53: "CAST",
    56: "ARG_MAX", 75: "SQRT", 83: "PACK", 88: "UNPACK", 90: "FLOOR_DIV", 107: "GATHER_ND", 114: "QUANTIZE",
}  # fmt: skip
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
#: Operators that leave shape and meaning of the one input as they are.
ELEMENTWISE = ("DEQUANTIZE", "LOGISTIC", "RELU", "RELU6", "QUANTIZE")
QUANTISED = ("uint8", "int8", "int16")
MAX_STRIDE, MAX_DILATION = 64, 64
#: Axes of what two inputs are broadcast to: the kernels know no more.
MAX_BROADCAST_RANK = 4
#: How much coarser the scale of what is added may be than the sum's: from 2^19 on the kernels end the process.
MAX_SCALE_RATIO = 2**16

_PADDINGS = {0: "SAME", 1: "VALID"}
_LAST_ACTIVATION = 3  # NONE, RELU, RELU_N1_TO_1, RELU6
_INT32 = 2  # of the schema's types

Shape = tuple[int, ...]


class Tensor(NamedTuple):
    """One tensor: its shape, its type, and for 8 and 16 bits how numbers are stored (value = scale·(q − zero))."""

    number: int
    name: str
    shape: Shape
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
    outputs: tuple[int, ...]
    options: Table | None
    options_at: int | None

    @property
    def output(self) -> int:
        """The first output: the only one of all kinds but UNPACK."""
        return self.outputs[0]


class _Use(NamedTuple):
    """An operator with the tensors that it works on, and the file's bytes, which hold the constants."""

    kind: str
    options: Table | None
    inputs: list[Tensor]
    outputs: list[Tensor]
    data: bytes

    def damaged(self) -> ModelError:
        return ModelError(f"it is damaged: the {self.kind} that makes {self.outputs[0].name!r} makes no sense")

    def need(self, condition: bool) -> None:
        """Raise ModelError unless it holds."""
        if not condition:
            raise self.damaged()

    def option(self, name: str) -> int:
        """A field of the options. Raises ModelError where the file has no options."""
        if self.options is None:
            raise self.damaged()
        return int(self.options[name])

    def whole_numbers(self, index: int) -> list[int]:
        """The values of an input that must be a constant list, or one number, of int32."""
        tensor = self.inputs[index]
        if tensor.data is None or tensor.dtype != "int32" or len(tensor.shape) > 1:
            raise self.damaged()
        values = np.frombuffer(self.data, "<i4", prod(tensor.shape), tensor.data[0])
        return [int(value) for value in values]


def check_operator(operator: Operator, tensors: tuple[Tensor, ...], data: bytes) -> None:
    """Raise ModelError where an operator's inputs, options and outputs do not fit together.

    Its inputs and outputs are tensors of the network. data: the file.
    """
    inputs, outputs = ([tensors[index] for index in side] for side in (operator.inputs, operator.outputs))
    use = _Use(operator.kind, operator.options, inputs, outputs, data)
    rule = _RULES[operator.kind]
    least, most = rule.inputs
    if not least <= len(inputs) <= most:
        raise ModelError(f"it is damaged: a {operator.kind} has {len(inputs)} inputs")
    use.need(use.options is None or use.options.kind == rule.options)
    shapes = rule.shapes(use)
    _check_types(use, rule)
    for shape, output in zip(shapes, outputs, strict=True):
        if shape != output.shape:
            raise ModelError(
                f"it is damaged: a {operator.kind} makes {list(shape)}, "
                f"but its output {output.name!r} is written down as {list(output.shape)}"
            )


def _check_types(use: _Use, rule: _Rule) -> None:
    """The combinations of types that the runtimes have kernels for."""
    first, made = use.inputs[0].dtype, {tensor.dtype for tensor in use.outputs}
    alike = use.inputs[:1] if rule.has_indices or use.kind in CONVOLUTIONS else use.inputs
    fits = first in rule.types and {tensor.dtype for tensor in alike} == {first}
    fits = fits and (made == {first} if rule.makes is None else made <= set(rule.makes))
    if use.kind in CONVOLUTIONS:
        fits = fits and tuple(tensor.dtype for tensor in use.inputs) in _CONVOLUTION_TYPES
    if rule.has_indices:
        fits = fits and all(tensor.dtype == "int32" for tensor in use.inputs[1:])
    if not fits:
        found = ", ".join(tensor.dtype for tensor in use.inputs)
        raise ModelError(f"it is damaged: a {use.kind} takes {found} and makes {', '.join(sorted(made))}")
    for tensor in [*use.inputs, *use.outputs]:
        if tensor.dtype in QUANTISED and not _scales_fit(use, tensor):
            raise ModelError(f"it is damaged: the {use.kind} of {tensor.describe()} needs another number of scales")


def _scales_fit(use: _Use, tensor: Tensor) -> bool:
    """Whether the kernel can use a tensor's scales: one; one or many for weights; none where 8-bit numbers change
    their type, as those of a picture do."""
    if use.kind == "CAST":
        return True
    is_weights = use.kind in CONVOLUTIONS and tensor in use.inputs[1:]
    return bool(tensor.scales) if is_weights or use.kind == "DEQUANTIZE" else len(tensor.scales) == 1


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


def _same(use: _Use) -> list[Shape]:
    return [use.inputs[0].shape]


def _convolution(use: _Use) -> list[Shape]:
    image, weights = use.inputs[0].shape, use.inputs[1].shape
    use.need(len(image) == len(weights) == 4 and use.inputs[0].data is None)
    strides, dilations = ([use.option(f"{name}_{axis}") for axis in "hw"] for name in ("stride", "dilation"))
    if use.kind == "DEPTHWISE_CONV_2D":
        channels = weights[3]
        use.need(weights[0] == 1 and channels == image[3] * use.option("depth_multiplier"))
    else:
        channels = weights[0]
        use.need(weights[3] == image[3])
    use.need(len(use.inputs) == 2 or use.inputs[2].shape == (channels,))
    use.need(all(1 <= stride <= MAX_STRIDE for stride in strides))
    use.need(all(1 <= dilation <= MAX_DILATION for dilation in dilations))
    use.need(use.option("padding") in _PADDINGS and 0 <= use.option("activation") <= _LAST_ACTIVATION)
    kernel = [(size - 1) * dilation + 1 for size, dilation in zip(weights[1:3], dilations, strict=True)]
    if _PADDINGS[use.option("padding")] == "SAME":
        sides = [-(-side // stride) for side, stride in zip(image[1:3], strides, strict=True)]
    else:
        sides = [(side - size) // stride + 1 for side, size, stride in zip(image[1:3], kernel, strides, strict=True)]
    return [(image[0], *sides, channels)]


def _concatenation(use: _Use) -> list[Shape]:
    same = {tensor.shape[:-1] for tensor in use.inputs}
    use.need(len(same) == 1 and all(tensor.shape for tensor in use.inputs) and use.option("activation") == 0)
    (leading,) = same
    if use.option("axis") not in (-1, len(leading)):
        raise ModelError(f"it is damaged: a CONCATENATION joins along axis {use.option('axis')}, expected the last")
    return [(*leading, sum(tensor.shape[-1] for tensor in use.inputs))]


def _broadcast(use: _Use) -> list[Shape]:
    """Two inputs, number by number."""
    use.need(0 <= (use.options["activation"] if use.options is not None else 0) <= _LAST_ACTIVATION)
    try:
        shape = np.broadcast_shapes(*(tensor.shape for tensor in use.inputs))
    except ValueError:
        raise use.damaged() from None
    use.need(len(shape) <= MAX_BROADCAST_RANK)
    return [shape]


def _sum(use: _Use) -> list[Shape]:
    taken, made = ([tensor.scales[0] for tensor in side if tensor.scales] for side in (use.inputs, use.outputs))
    use.need(not taken or not made or max(taken) <= MAX_SCALE_RATIO * made[0])
    return _broadcast(use)


def _whole_division(use: _Use) -> list[Shape]:
    use.need(all(divisor >= 1 for divisor in use.whole_numbers(1)))
    return _broadcast(use)


def _reshape(use: _Use) -> list[Shape]:
    wanted = use.whole_numbers(1) if len(use.inputs) == 2 else use.options["new_shape"] if use.options else []
    count, known = prod(use.inputs[0].shape), prod(side for side in wanted if side != -1)
    use.need(wanted.count(-1) <= 1 and known >= 1 and all(side >= 1 or side == -1 for side in wanted))
    shape = tuple(count // known if side == -1 else side for side in wanted)
    use.need(prod(shape) == count)
    return [shape]


def _resize(use: _Use) -> list[Shape]:
    image, size = use.inputs[0].shape, use.whole_numbers(1)
    use.need(len(image) == 4 and len(size) == 2 and all(side >= 1 for side in size))
    return [(image[0], size[0], size[1], image[3])]


def _arg_max(use: _Use) -> list[Shape]:
    shape, axes = use.inputs[0].shape, use.whole_numbers(1)
    use.need(len(axes) == 1 and -len(shape) <= axes[0] < len(shape) and use.option("output_type") == _INT32)
    axis = axes[0] % len(shape)
    return [shape[:axis] + shape[axis + 1 :]]


def _pack(use: _Use) -> list[Shape]:
    shape, axis = use.inputs[0].shape, use.option("axis")
    use.need(use.option("values_count") == len(use.inputs) and -len(shape) - 1 <= axis <= len(shape))
    use.need(all(tensor.shape == shape for tensor in use.inputs))
    axis %= len(shape) + 1
    return [(*shape[:axis], len(use.inputs), *shape[axis:])]


def _unpack(use: _Use) -> list[Shape]:
    shape, axis = use.inputs[0].shape, use.option("axis")
    use.need(-len(shape) <= axis < len(shape))
    axis %= len(shape)
    use.need(use.option("num") == len(use.outputs) == shape[axis])
    return [shape[:axis] + shape[axis + 1 :]] * len(use.outputs)


def _gather(use: _Use) -> list[Shape]:
    """Where the indices lead is known only when it runs: the runtimes look at each of them."""
    values, indices = use.inputs[0].shape, use.inputs[1].shape
    use.need(bool(indices) and 1 <= indices[-1] <= len(values))
    return [indices[:-1] + values[indices[-1] :]]


class _Rule(NamedTuple):
    """What one kind of operator takes and makes.

    inputs: least and greatest number. types: of the first input; the others are of the same, unless has_indices: then
    they are int32. makes: types of the outputs; None: that of the first input. options: the table of its options.
    """

    shapes: Callable[[_Use], list[Shape]]
    inputs: tuple[int, int]
    types: tuple[str, ...]
    makes: tuple[str, ...] | None = None
    options: str = "EmptyOptions"
    has_indices: bool = False


_REAL = ("float32", *QUANTISED)
_ANY_32_OR_8 = ("float32", "int32", "int8", "uint8")
_FLOAT_OR_8 = ("float32", "int8", "uint8")
#: More inputs than any network joins.
_MANY = 1000

_RULES: Mapping[str, _Rule] = {
    "CONV_2D": _Rule(_convolution, (2, 3), _REAL, options="Conv2DOptions"),
    "DEPTHWISE_CONV_2D": _Rule(_convolution, (2, 3), _REAL, options="DepthwiseConv2DOptions"),
    "DEQUANTIZE": _Rule(_same, (1, 1), (*QUANTISED, "float16"), makes=("float32",)),
    "QUANTIZE": _Rule(_same, (1, 1), _REAL, makes=QUANTISED),
    "LOGISTIC": _Rule(_same, (1, 1), _REAL),
    "RELU": _Rule(_same, (1, 1), _REAL),
    "RELU6": _Rule(_same, (1, 1), _REAL),
    "SQRT": _Rule(_same, (1, 1), ("float32",)),
    "CAST": _Rule(_same, (1, 1), _ANY_32_OR_8, makes=("float32", "int32"), options="CastOptions"),
    "CONCATENATION": _Rule(_concatenation, (1, _MANY), (*_REAL, "int32"), options="ConcatenationOptions"),
    "ADD": _Rule(_sum, (2, 2), _ANY_32_OR_8, options="AddOptions"),
    "SUB": _Rule(_sum, (2, 2), _ANY_32_OR_8, options="SubOptions"),
    "MUL": _Rule(_broadcast, (2, 2), _ANY_32_OR_8, options="MulOptions"),
    "DIV": _Rule(_broadcast, (2, 2), ("float32",), options="DivOptions"),
    "FLOOR_DIV": _Rule(_whole_division, (2, 2), ("int32",)),
    "RESHAPE": _Rule(_reshape, (1, 2), _ANY_32_OR_8, options="ReshapeOptions", has_indices=True),
    "RESIZE_BILINEAR": _Rule(_resize, (2, 2), _FLOAT_OR_8, options="ResizeBilinearOptions", has_indices=True),
    "ARG_MAX": _Rule(_arg_max, (2, 2), _FLOAT_OR_8, makes=("int32",), options="ArgMaxOptions", has_indices=True),
    "PACK": _Rule(_pack, (1, _MANY), _ANY_32_OR_8, options="PackOptions"),
    "UNPACK": _Rule(_unpack, (1, 1), _ANY_32_OR_8, options="UnpackOptions"),
    "GATHER_ND": _Rule(_gather, (2, 2), _ANY_32_OR_8, has_indices=True),
}
