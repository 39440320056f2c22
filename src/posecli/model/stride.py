"""Other output strides from the same weights, by rewriting strides and dilations in the file's bytes.

A network of output stride 32 halves its maps five times. Where a later convolution keeps its input's size instead,
and all that follow look at points twice as far apart (dilation), every weight sees what it saw before, and the maps
are twice as fine: the "atrous" convolution of DeepLab, which the weights of PoseNet were trained for at 8, 16 and 32.
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
    """A convolution that moves between positions: its place in the graph, and the stride that it was trained with."""

    operator: Operator
    trained_stride: int


def restride(graph: Graph, stride: int) -> bytes:
    """The file's bytes with another output stride (8, 16 or 32). Sizes written down in the file stay as they are:
    the runtime works them out again. Raises UsageError where the network does not allow it."""
    data = bytearray(graph.data)
    running, rate = 1, 1
    for operator, trained_stride in _layers(graph):
        if running * trained_stride <= stride:
            _rewrite(data, operator, trained_stride, rate)
            running *= trained_stride
        elif running == stride:
            _rewrite(data, operator, 1, rate)
            rate *= trained_stride
        else:
            break
    if running != stride:
        trained = prod(layer.trained_stride for layer in _layers(graph))
        raise UsageError(f"this model cannot run at an output stride of {stride}: its layers step by {trained} in all")
    return bytes(data)


def _layers(graph: Graph) -> Iterator[_Layer]:
    """Convolutions over more than a point, in order. A file that is dilated already has dropped strides: each shows
    as a jump of the dilation at the next layer."""
    found = [op for op in graph.operators if op.kind in CONVOLUTIONS and _moves(graph, op)]
    for operator, following in zip(found, [*found[1:], None], strict=True):
        options = operator.options
        assert options is not None
        if options["stride_h"] != options["stride_w"] or options["dilation_h"] != options["dilation_w"]:
            raise ModelError("its layers step differently in height and width: no PoseNet does")
        jump = 1
        if following is not None and following.options is not None:
            jump = max(following.options["dilation_h"] // options["dilation_h"], 1)
        yield _Layer(operator, options["stride_h"] * jump)


def _moves(graph: Graph, operator: Operator) -> bool:
    kernel = graph.tensors[operator.inputs[1]].shape[1:3]
    assert operator.options is not None
    return kernel != (1, 1) or operator.options["stride_h"] != 1


def _rewrite(data: bytearray, operator: Operator, stride: int, dilation: int) -> None:
    """Give an operator new options: a table appended to the file, and the offset that points to it changed.

    Fields at their defaults are not in the file, so they cannot be changed in place.
    """
    options, reference = operator.options, operator.options_at
    assert options is not None
    assert reference is not None
    if (options["stride_h"], options["dilation_h"]) == (stride, dilation):
        return
    values = {name: options[name] for name in options.field_names()}
    values |= {"stride_w": stride, "stride_h": stride, "dilation_w": dilation, "dilation_h": dilation}
    struct.pack_into("<I", data, reference, append_table(data, options.kind, values) - reference)
