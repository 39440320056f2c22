"""Which network a file holds, and which output is which: by name and shape, never by position.

PoseNet has four heads over the whole picture; its files in the wild differ in names and shapes. Networks for a single
person say all in one output: each is a row of `SINGLE_PERSON_NETWORKS`, and a decoder of that name in `decode/`.
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


class SinglePersonNetwork(NamedTuple):
    """A network for the picture of one person. Its input is a square of a fixed size that takes RGB values from 0 to
    255 as they are; its file is told by the shape of the one output.

    name: as in `decode.SINGLE_PERSON_DECODERS`. title: for messages. meaning: of the output's last axis.
    output_stride: pixels of the input to a cell of its maps, which are inside the network.
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
#: Types of input that take pixel values as they are; 8-bit numbers have no scale then.
_RAW_TYPES = ("uint8", "int32", "float32")
#: What PoseNet files are made of.
_POSENET_KINDS = {*CONVOLUTIONS, *ELEMENTWISE, "CONCATENATION"}


class SinglePersonHeads(NamedTuple):
    """The one output of a network for a single person."""

    network: SinglePersonNetwork
    output: Tensor
    input_size: int  # pixels of both sides

    @property
    def title(self) -> str:
        """What the network is called."""
        return self.network.title

    def describe(self) -> dict[str, Any]:
        """The outputs in words, by meaning."""
        return {"outputs": {"keypoints": f"{self.output.describe()}: {self.network.meaning}"}}


class Heads(NamedTuple):
    """The output tensors of a PoseNet by meaning, and what is needed to read them."""

    tensors: dict[str, Tensor]  # heatmaps, offsets, and displacement_fwd + displacement_bwd, or mid_offsets
    heatmaps_are_logits: bool
    output_stride: int
    title: str = "PoseNet"

    def describe(self) -> dict[str, Any]:
        """The output stride and the outputs in words, by meaning."""
        return {
            "output stride": self.output_stride,
            "heatmaps are": "logits" if self.heatmaps_are_logits else "scores",
            "outputs": {name: tensor.describe() for name, tensor in self.tensors.items()},
        }


def find_heads(graph: Graph) -> Heads | SinglePersonHeads:
    """The heads of whichever network the file holds. Raises ModelError where it is none that posecli knows."""
    return find_single_person(graph) or name_heads(graph)


def find_single_person(graph: Graph) -> SinglePersonHeads | None:
    """The output of a network for a single person; None where the file holds another network."""
    picture, outputs = graph.input, graph.outputs
    _, height, width, _ = picture.shape
    takes_pixels = picture.dtype in _RAW_TYPES and not picture.scales and height == width
    for network in SINGLE_PERSON_NETWORKS:
        if takes_pixels and [(tensor.shape, tensor.dtype) for tensor in outputs] == [(network.output_shape, "float32")]:
            return SinglePersonHeads(network, outputs[0], height)
    return None


def check_fixed_input(heads: SinglePersonHeads, *, stride: object, input_size: object) -> None:
    """Raise UsageError where a stride or an input size is asked of a network that has one way to run.

    stride, input_size: as in `types.Settings`, None where they are left to the model.
    """
    size = heads.input_size
    for option, value in (("an output stride", stride), ("an input size", input_size)):
        if value is not None:
            raise UsageError(
                f"{heads.network.title} has no choice of {option}: its input is always {size} x {size} pixels",
                "leave the option out, or use a PoseNet",
            )


def name_heads(graph: Graph) -> Heads:
    """Tell heatmaps, offsets and displacements apart. Raises ModelError where the file is no PoseNet."""
    if (single := find_single_person(graph)) is not None:
        raise ModelError(f"it is a {single.network.title}, and only a PoseNet will do here")
    if foreign := {operator.kind for operator in graph.operators} - _POSENET_KINDS:
        raise ModelError(f"{_no_posenet(graph).message}, and {', '.join(sorted(foreign))} among its operators")
    if graph.input.dtype != "float32" and len(graph.input.scales) != 1:
        raise ModelError(f"it is no PoseNet: its input {graph.input.describe()} has no scale")
    _check_activations(graph)
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


def _no_posenet(graph: Graph) -> ModelError:
    outputs = ", ".join(tensor.describe() for tensor in graph.outputs)
    single = "; or ".join(
        f"{network.title}: an input of {'/'.join(_RAW_TYPES)} [1, n, n, 3] without a scale and one output "
        f"{list(network.output_shape)} float32, {network.meaning}"
        for network in SINGLE_PERSON_NETWORKS
    )
    found = f"found {outputs or 'no output'} and the input {graph.input.describe()}"
    return ModelError(f"it is {NEITHER}: {_EXPECTED}; or {single}; {found}")
