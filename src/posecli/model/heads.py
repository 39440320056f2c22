"""Which output is which: by name and shape, never by position. PoseNet files in the wild differ in both."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

from posecli.errors import ModelError
from posecli.model.graph import CONVOLUTIONS, ELEMENTWISE, Graph, Operator, Tensor
from posecli.skeleton import EDGE_COUNT, KEYPOINT_COUNT
from posecli.types import STRIDES

#: Words that name a head, the most telling first, and its channels.
_HEADS = {
    "mid_offsets": (("mid_offset",), 4 * EDGE_COUNT),
    "displacement_fwd": (("displacement_fwd", "displacementfwd", "forward"), 2 * EDGE_COUNT),
    "displacement_bwd": (("displacement_bwd", "displacementbwd", "backward"), 2 * EDGE_COUNT),
    "heatmaps": (("heatmap",), KEYPOINT_COUNT),
    "offsets": (("offset",), 2 * KEYPOINT_COUNT),
}
#: What joined displacements hold: forward, then backward.
_JOINED = {"mid_offsets": ("displacement_fwd", "displacement_bwd")}
_EXPECTED = (
    f"expected heatmaps [1, h, w, {KEYPOINT_COUNT}], offsets [1, h, w, {2 * KEYPOINT_COUNT}], and displacements "
    f"forward and backward [1, h, w, {2 * EDGE_COUNT}] each, or joined as mid_offsets [1, h, w, {4 * EDGE_COUNT}]"
)


class Heads(NamedTuple):
    """The output tensors by meaning, and what is needed to read them."""

    tensors: dict[str, Tensor]  # heatmaps, offsets, and displacement_fwd + displacement_bwd, or mid_offsets
    heatmaps_are_logits: bool
    output_stride: int


def name_heads(graph: Graph) -> Heads:
    """Tell heatmaps, offsets and displacements apart. Raises ModelError where the file is no PoseNet."""
    found: dict[str, Tensor] = {}
    for tensor in graph.outputs:
        head = _head_of(graph, tensor)
        if head is None or head in found:
            raise _no_posenet(graph)
        found[head] = tensor
    complete = set(found) | {part for head in found for part in _JOINED.get(head, ())}
    if not {"heatmaps", "offsets", "displacement_fwd", "displacement_bwd"} <= complete:
        raise _no_posenet(graph)
    if len({tensor.shape[1:3] for tensor in found.values()}) != 1:
        raise _no_posenet(graph)
    return Heads(
        tensors=found,
        heatmaps_are_logits=not any(operator.kind == "LOGISTIC" for operator, _ in _upstream(graph, found["heatmaps"])),
        output_stride=_output_stride(graph, found["heatmaps"]),
    )


def _head_of(graph: Graph, tensor: Tensor) -> str | None:
    channels = tensor.shape[-1]
    if len(tensor.shape) != 4 or tensor.shape[0] != 1:
        return None
    fitting = [head for head, (_, wanted) in _HEADS.items() if wanted == channels]
    for name in _names(graph, tensor):
        for head, (words, wanted) in _HEADS.items():
            if any(word in name.lower() for word in words):
                return head if wanted == channels else None
    # No telling name: the channels say it, unless it is forward or backward.
    return fitting[0] if len(fitting) == 1 else None


def _names(graph: Graph, tensor: Tensor) -> Iterator[str]:
    """A tensor's own name, its name in a signature, and the names before a sigmoid or a change of type."""
    yield tensor.name
    if tensor.number in graph.signature_names:
        yield graph.signature_names[tensor.number]
    for _, earlier in _upstream(graph, tensor):
        yield earlier.name


def _upstream(graph: Graph, tensor: Tensor) -> Iterator[tuple[Operator, Tensor]]:
    """The elementwise operators before a tensor, the last first, each with what it reads."""
    operator = graph.producer(tensor.number)
    while operator is not None and operator.kind in ELEMENTWISE:
        earlier = graph.tensors[operator.inputs[0]]
        yield operator, earlier
        operator = graph.producer(earlier.number)


def _output_stride(graph: Graph, tensor: Tensor) -> int:
    """The product of all strides between the input and a head."""
    strides = []
    operator = graph.producer(tensor.number)
    while operator is not None:
        if operator.kind in CONVOLUTIONS and operator.options is not None:
            strides.append((operator.options["stride_h"], operator.options["stride_w"]))
        operator = graph.producer(operator.inputs[0])
    vertical, horizontal = (prod(axis) for axis in zip(*strides, strict=True)) if strides else (1, 1)
    if vertical != horizontal or vertical not in STRIDES:
        raise ModelError(f"it is no PoseNet: its output stride is {vertical} x {horizontal}, expected 8, 16 or 32")
    return vertical


def _no_posenet(graph: Graph) -> ModelError:
    outputs = ", ".join(tensor.describe() for tensor in graph.outputs)
    return ModelError(f"it is no PoseNet: {_EXPECTED}; found {outputs or 'no output'}")
