"""Identifies the network in a file and the meaning of its outputs, by name and shape, never by position.

PoseNet has four heads over the whole picture. Published files differ in the names and shapes of the heads. A
single-person network has one output. Each is an entry of `SINGLE_PERSON_NETWORKS`, with a decoder of the same name in
`decode/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

from posecli.errors import ModelError, UsageError
from posecli.model.graph import NEITHER, Graph
from posecli.model.operators import CONVOLUTIONS, ELEMENTWISE, Operator, Tensor
from posecli.skeleton import EDGE_COUNT, KEYPOINT_COUNT
from posecli.types import STRIDES

#: Head → parts of tensor names that identify it, and its number of channels. The most specific names come first.
_HEADS = {
    "mid_offsets": (("mid_offset",), 4 * EDGE_COUNT),
    "displacement_fwd": (("displacement_fwd", "displacementfwd", "forward"), 2 * EDGE_COUNT),
    "displacement_bwd": (("displacement_bwd", "displacementbwd", "backward"), 2 * EDGE_COUNT),
    "heatmaps": (("heatmap",), KEYPOINT_COUNT),
    "offsets": (("offset",), 2 * KEYPOINT_COUNT),
}
#: Joined displacement maps and their parts: forward, then backward.
_JOINED = {"mid_offsets": ("displacement_fwd", "displacement_bwd")}
_EXPECTED = (
    f"expected heatmaps [1, h, w, {KEYPOINT_COUNT}], offsets [1, h, w, {2 * KEYPOINT_COUNT}], and displacements "
    f"forward and backward [1, h, w, {2 * EDGE_COUNT}] each, or joined as mid_offsets [1, h, w, {4 * EDGE_COUNT}]"
)


class SinglePersonNetwork(NamedTuple):
    """A network for a crop of one person. A file is identified by the shape of its only output.

    The input is a square of fixed size that takes RGB values from 0 to 255 without scaling.
    name: key of `decode.SINGLE_PERSON_DECODERS`. title: name in messages. meaning: meaning of the output's last axis.
    output_stride: output stride of the network's internal maps, in input pixels.
    """

    name: str
    title: str
    output_shape: tuple[int, ...]
    meaning: str
    output_stride: int


SINGLE_PERSON_NETWORKS = (
    SinglePersonNetwork(
        "movenet", "MoveNet SinglePose", (1, 1, KEYPOINT_COUNT, 3), "y, x and score, as fractions of the input", 4
    ),
)
#: Input types that take pixel values without scaling. 8-bit inputs have no scale then.
_RAW_TYPES = ("uint8", "int32", "float32")
#: Operators of PoseNet files.
_POSENET_KINDS = {*CONVOLUTIONS, *ELEMENTWISE, "CONCATENATION"}


class SinglePersonHeads(NamedTuple):
    """The only output of a single-person network."""

    network: SinglePersonNetwork
    output: Tensor
    input_size: int  # side of the square input in pixels

    @property
    def title(self) -> str:
        """The network's name for messages."""
        return self.network.title

    def describe(self) -> dict[str, Any]:
        """Describe the outputs, by meaning."""
        return {"outputs": {"keypoints": f"{self.output.describe()}: {self.network.meaning}"}}


class Heads(NamedTuple):
    """The output tensors of a PoseNet by meaning, and how to read them."""

    tensors: dict[str, Tensor]  # heatmaps, offsets, and displacement_fwd + displacement_bwd, or mid_offsets
    heatmaps_are_logits: bool
    output_stride: int
    title: str = "PoseNet"

    def describe(self) -> dict[str, Any]:
        """Describe the output stride and the outputs, by meaning."""
        return {
            "output stride": self.output_stride,
            "heatmaps are": "logits" if self.heatmaps_are_logits else "scores",
            "outputs": {name: tensor.describe() for name, tensor in self.tensors.items()},
        }


def find_heads(graph: Graph) -> Heads | SinglePersonHeads:
    """The heads of the network in a file. Raises ModelError if the network is not supported."""
    return find_single_person(graph) or find_posenet(graph)


def find_single_person(graph: Graph) -> SinglePersonHeads | None:
    """The output of a single-person network; None if the file holds another network."""
    image, outputs = graph.input, graph.outputs
    _, height, width, _ = image.shape
    takes_pixels = image.dtype in _RAW_TYPES and not image.scales and height == width
    for network in SINGLE_PERSON_NETWORKS:
        if takes_pixels and [(tensor.shape, tensor.dtype) for tensor in outputs] == [(network.output_shape, "float32")]:
            return SinglePersonHeads(network, outputs[0], height)
    return None


def check_fixed_input(heads: SinglePersonHeads, *, stride: object, input_size: object) -> None:
    """Raise UsageError if an output stride or an input size is set for a network with a fixed input.

    stride, input_size: as in `types.Settings`; None is the model's default.
    """
    size = heads.input_size
    for option, value in (("output stride", stride), ("input size", input_size)):
        if value is not None:
            raise UsageError(
                f"the {option} of {heads.network.title} cannot be changed: its input is always {size} x {size} pixels",
                "leave the option out, or use a PoseNet",
            )


def find_posenet(graph: Graph) -> Heads:
    """Identify heatmaps, short offsets and displacements. Raises ModelError if the file is not a PoseNet."""
    if (single := find_single_person(graph)) is not None:
        raise ModelError(f"it is a {single.network.title}, expected a PoseNet")
    if foreign := {operator.kind for operator in graph.operators} - _POSENET_KINDS:
        raise ModelError(f"{_not_a_posenet(graph).message}, and the operators {', '.join(sorted(foreign))}")
    if graph.input.dtype != "float32" and len(graph.input.scales) != 1:
        raise ModelError(f"it is not a PoseNet: its input {graph.input.describe()} has no scale")
    _check_activations(graph)
    found: dict[str, Tensor] = {}
    for tensor in graph.outputs:
        head = _head_of(graph, tensor)
        if head is None or head in found:
            raise _not_a_posenet(graph)
        found[head] = tensor
    complete = set(found) | {part for head in found for part in _JOINED.get(head, ())}
    if not {"heatmaps", "offsets", "displacement_fwd", "displacement_bwd"} <= complete:
        raise _not_a_posenet(graph)
    if len({tensor.shape[1:3] for tensor in found.values()}) != 1:
        raise _not_a_posenet(graph)
    return Heads(
        tensors=found,
        heatmaps_are_logits=not any(operator.kind == "LOGISTIC" for operator, _ in _upstream(graph, found["heatmaps"])),
        output_stride=_output_stride(graph, found["heatmaps"]),
    )


def _head_of(graph: Graph, tensor: Tensor) -> str | None:
    channels = tensor.shape[-1]
    if len(tensor.shape) != 4 or tensor.shape[0] != 1:
        return None
    candidates = [head for head, (_, expected) in _HEADS.items() if expected == channels]
    for name in _names(graph, tensor):
        for head, (name_parts, expected) in _HEADS.items():
            if any(part in name.lower() for part in name_parts):
                return head if expected == channels else None
    # No name matches: the number of channels identifies all heads except forward and backward displacements.
    return candidates[0] if len(candidates) == 1 else None


def _names(graph: Graph, tensor: Tensor) -> Iterator[str]:
    """A tensor's name, its name in a signature, and the names of the tensors before elementwise operators."""
    yield tensor.name
    if tensor.number in graph.signature_names:
        yield graph.signature_names[tensor.number]
    for _, earlier in _upstream(graph, tensor):
        yield earlier.name


def _upstream(graph: Graph, tensor: Tensor) -> Iterator[tuple[Operator, Tensor]]:
    """The elementwise operators before a tensor, each with its input tensor, in reverse order."""
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
        raise ModelError(f"it is not a PoseNet: its output stride is {vertical} x {horizontal}, expected 8, 16 or 32")
    return vertical


def _check_activations(graph: Graph) -> None:
    """Raise ModelError unless the heads are linear and all layers before them have the same activation.

    A damaged byte often breaks this rule, and no other check would find it.
    """
    body: set[int] = set()
    heads: set[int] = set()
    outputs = {tensor.number for tensor in graph.outputs}
    read: set[int] = set()
    for operator in reversed(graph.operators):
        # There may be type conversions between two convolutions.
        if operator.kind in CONVOLUTIONS or (operator.kind in ELEMENTWISE and operator.output in read):
            read.add(operator.inputs[0])
    for operator in graph.operators:
        if operator.kind in CONVOLUTIONS and operator.options is not None:
            is_head = operator.output in outputs or operator.output not in read
            (heads if is_head else body).add(operator.options["activation"])
    if heads - {0} or len(body) > 1:
        raise ModelError(
            f"it is damaged: its layers have the activations {sorted(body)} and its heads {sorted(heads)}, "
            "expected the same activation in all layers and none in the heads"
        )


def _not_a_posenet(graph: Graph) -> ModelError:
    outputs = ", ".join(tensor.describe() for tensor in graph.outputs)
    single_person = "; or ".join(
        f"{network.title}: an input of {'/'.join(_RAW_TYPES)} [1, n, n, 3] without a scale and one output "
        f"{list(network.output_shape)} float32, {network.meaning}"
        for network in SINGLE_PERSON_NETWORKS
    )
    found = f"found {outputs or 'no output'} and the input {graph.input.describe()}"
    return ModelError(f"it is {NEITHER}: {_EXPECTED}; or {single_person}; {found}")
