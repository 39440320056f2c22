"""Changes the output stride of a network: rewrites strides and dilations in the file, and keeps the weights.

A network of output stride 32 halves its maps five times. If a late convolution gets stride 1, and all later
convolutions get twice the dilation, each weight is applied to the same positions as before, and the maps have twice
the resolution. This is the "atrous" convolution of DeepLab. The weights of PoseNet were trained for it at 8, 16 and 32.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import prod
from typing import NamedTuple

from posecli.errors import ModelError, UsageError
from posecli.model.flatbuffer import append_table
from posecli.model.graph import Graph
from posecli.model.operators import CONVOLUTIONS, Operator


class _Layer(NamedTuple):
    """A spatial convolution, and the stride that it was trained with."""

    operator: Operator
    trained_stride: int


def restride(graph: Graph, stride: int) -> bytes:
    """The file's bytes with another output stride (8, 16 or 32).

    Tensor sizes in the file are not changed: the runtime recomputes them. Raises UsageError if the network cannot have
    this output stride.
    """
    data = bytearray(graph.data)
    stride_so_far, dilation = 1, 1
    for operator, trained_stride in _spatial_layers(graph):
        if stride_so_far * trained_stride <= stride:
            _rewrite(data, operator, trained_stride, dilation)
            stride_so_far *= trained_stride
        elif stride_so_far == stride:
            _rewrite(data, operator, 1, dilation)
            dilation *= trained_stride
        else:
            break
    if stride_so_far != stride:
        trained = prod(layer.trained_stride for layer in _spatial_layers(graph))
        raise UsageError(
            f"this model cannot run at an output stride of {stride}: the product of its layers' strides is {trained}"
        )
    return bytes(data)


def _spatial_layers(graph: Graph) -> Iterator[_Layer]:
    """The spatial convolutions, in order.

    In a file that is already dilated, a removed stride appears as an increase of the dilation at the next layer.
    """
    found = [op for op in graph.operators if op.kind in CONVOLUTIONS and _is_spatial(graph, op)]
    for operator, following in zip(found, [*found[1:], None], strict=True):
        options = operator.options
        assert options is not None
        if options["stride_h"] != options["stride_w"] or options["dilation_h"] != options["dilation_w"]:
            raise ModelError("it is not a PoseNet: a layer has different strides or dilations in height and width")
        removed_stride = 1
        if following is not None and following.options is not None:
            removed_stride = max(following.options["dilation_h"] // options["dilation_h"], 1)
        yield _Layer(operator, options["stride_h"] * removed_stride)


def _is_spatial(graph: Graph, operator: Operator) -> bool:
    """Whether a convolution has a kernel of more than one cell, or a stride."""
    kernel = graph.tensors[operator.inputs[1]].shape[1:3]
    assert operator.options is not None
    return kernel != (1, 1) or operator.options["stride_h"] != 1


def _rewrite(data: bytearray, operator: Operator, stride: int, dilation: int) -> None:
    """Give an operator new options: append a table to the file, and redirect the operator's offset to it.

    Options cannot be changed in place, because fields with default values are not in the file.
    """
    options, reference = operator.options, operator.options_at
    assert options is not None
    assert reference is not None
    if (options["stride_h"], options["dilation_h"]) == (stride, dilation):
        return
    values = {name: options[name] for name in options.field_names()}
    values |= {"stride_w": stride, "stride_h": stride, "dilation_w": dilation, "dilation_h": dilation}
    struct.pack_into("<I", data, reference, append_table(data, options.kind, values) - reference)
