"""Builds a .tflite file of PoseNet MobileNet v1 from weights in TensorFlow.js format.

The network is a convolution and 13 separable convolutions, all with ReLU6, and four parallel 1×1 heads (MobileNet:
arXiv 1704.04861; heads: PersonLab, arXiv 1803.08225). Tensor names and the order of the outputs equal those of the
official file. The same weights give the same bytes on every machine: the only arithmetic is float32 multiplication and
addition.

Source of the weight format: TensorFlow.js's `weightsManifest` (name, shape, dtype, quantization of each tensor, in the
order of the .bin file).
"""

from __future__ import annotations

import json
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from posecli.errors import ModelError
from posecli.model.flatbuffer import write_model
from posecli.model.graph import PROVENANCE, SCHEMA_VERSION

#: Strides of the first convolution and of the 13 depthwise convolutions. The narrow network (width 0.75) does not
#: double its channels at the twelfth one and does not halve its maps there: its output stride is 16.
WIDE_STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
NARROW_STRIDES = (*WIDE_STRIDES[:12], 1, 1)
_LAST_HALVING = 12
#: Heads in the order in which the official file computes them, and in the order of its outputs.
_HEADS = ("displacement_bwd_2", "displacement_fwd_2", "heatmap_2", "offset_2")
_OUTPUTS = ("heatmap_2", "offset_2", "displacement_fwd_2", "displacement_bwd_2")
_INPUT_NAME = "sub_2"
_SCOPE = "MobilenetV1"

# Codes of the TFLite schema.
_CONV_2D, _DEPTHWISE_CONV_2D = 3, 4
_OPTIONS_TYPE = {_CONV_2D: 1, _DEPTHWISE_CONV_2D: 2}
_NO_ACTIVATION, _RELU6 = 0, 3

Weights = dict[str, npt.NDArray[np.float32]]


class _Map(NamedTuple):
    """A computed tensor: its index, and its shape without the batch axis."""

    number: int
    height: int
    width: int
    channels: int


def build_posenet(
    topology: bytes, weights: bytes, *, input_size_hw: tuple[int, int], provenance: dict[str, Any]
) -> bytes:
    """Build a float32 .tflite file of a PoseNet MobileNet v1, width 1.00 or 0.75.

    topology: a TensorFlow.js model.json; weights: its .bin file, float32 or quantised to uint16 or uint8.
    input_size_hw: height and width of the input in pixels, each n·32 + 1.
    provenance: the source of the weights; stored in the file's metadata.
    Raises ModelError if the weights do not belong to such a network.
    """
    tensors = read_weights(topology, weights)
    network = _Network(tensors)
    try:
        network.add_layers(*input_size_hw)
    except KeyError as error:
        raise ModelError(f"the weights are not those of a PoseNet MobileNet v1: {error.args[0]} is missing") from error
    return network.to_bytes(provenance)


def read_weights(topology: bytes, weights: bytes) -> Weights:
    """Read the tensors of a TensorFlow.js model by name, as float32 (quantised: value = q · scale + min).

    A repeated scope in a name is reduced to one. Raises ModelError if the two files do not match.
    """
    tensors, position = {}, 0
    try:
        for entry in json.loads(topology)["weightsManifest"][0]["weights"]:
            quantization = entry.get("quantization")
            stored = np.dtype(quantization["dtype"] if quantization else entry["dtype"]).newbyteorder("<")
            values = np.frombuffer(weights, stored, prod(entry["shape"]), position).astype(np.float32)
            position += values.size * stored.itemsize
            if quantization:
                values = values * np.float32(quantization["scale"]) + np.float32(quantization["min"])
            name = entry["name"].replace(f"{_SCOPE}/{_SCOPE}/", f"{_SCOPE}/")
            tensors[name] = values.reshape(entry["shape"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(f"the weights cannot be read: {error}") from error
    if position != len(weights):
        raise ModelError(f"the weights have {len(weights)} bytes, expected {position}")
    return tensors


class _Network:
    """Collects tensors, buffers and operators, in the order of the official file."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._tensors: list[dict[str, Any]] = []
        self._buffers: list[dict[str, bytes]] = [{}]  # by convention the first buffer is empty
        self._operators: list[dict[str, Any]] = []
        self._outputs: dict[str, int] = {}

    def add_layers(self, height: int, width: int) -> None:
        """Add all layers, for an input of this size. Raises KeyError if a weight is missing."""
        image = _Map(self._tensor(_INPUT_NAME, (1, height, width, 3)), height, width, 3)
        body = self._convolution("Conv2d_0", image, stride=WIDE_STRIDES[0])
        for number, stride in enumerate(self._strides()[1:], 1):
            body = self._depthwise(f"Conv2d_{number}_depthwise", body, stride=stride)
            body = self._convolution(f"Conv2d_{number}_pointwise", body)
        for head in _HEADS:
            self._outputs[head] = self._convolution(head, body, is_head=True).number

    def to_bytes(self, provenance: dict[str, Any]) -> bytes:
        """Serialize the network, with its provenance as metadata."""
        self._buffers.append({"data": json.dumps(provenance, sort_keys=True).encode()})
        codes = [{"deprecated_builtin_code": code, "builtin_code": code} for code in (_CONV_2D, _DEPTHWISE_CONV_2D)]
        network = {
            "tensors": self._tensors,
            "inputs": [0],
            "outputs": [self._outputs[head] for head in _OUTPUTS],
            "operators": self._operators,
        }
        return write_model(
            {
                "version": SCHEMA_VERSION,
                "operator_codes": codes,
                "subgraphs": [network],
                "description": "PoseNet MobileNet v1, float32",
                "buffers": self._buffers,
                "metadata": [{"name": PROVENANCE, "buffer": len(self._buffers) - 1}],
            }
        )

    def _strides(self) -> tuple[int, ...]:
        *_, in_channels, out_channels = self._weights[f"{_SCOPE}/Conv2d_{_LAST_HALVING}_pointwise/weights"].shape
        return WIDE_STRIDES if out_channels > in_channels else NARROW_STRIDES

    def _convolution(self, name: str, source: _Map, *, stride: int = 1, is_head: bool = False) -> _Map:
        weights = self._weights[f"{_SCOPE}/{name}/weights"].transpose(3, 0, 1, 2)  # HWIO → OHWI
        bias = f"{_SCOPE}/{name}/Conv2D_bias"
        return self._layer(name, _CONV_2D, source, weights, bias, stride=stride, is_head=is_head)

    def _depthwise(self, name: str, source: _Map, *, stride: int) -> _Map:
        weights = self._weights[f"{_SCOPE}/{name}/depthwise_weights"].transpose(3, 0, 1, 2)  # HWC1 → 1HWC
        bias = f"{_SCOPE}/{name}/depthwise_bias"
        return self._layer(name, _DEPTHWISE_CONV_2D, source, weights, bias, stride=stride)

    def _layer(
        self,
        name: str,
        code: int,
        source: _Map,
        weights: npt.NDArray[np.float32],
        bias: str,
        *,
        stride: int,
        is_head: bool = False,
    ) -> _Map:
        values = self._weights[bias]
        inputs = [source.number, self._constant(f"{_SCOPE}/{name}/weights", weights), self._constant(bias, values)]
        height, width = -(-source.height // stride), -(-source.width // stride)  # padding SAME
        output = self._tensor(f"{_SCOPE}/{name}/{'BiasAdd' if is_head else 'Relu6'}", (1, height, width, values.size))
        options = {"stride_w": stride, "stride_h": stride, "activation": _NO_ACTIVATION if is_head else _RELU6}
        if code == _DEPTHWISE_CONV_2D:
            options["depth_multiplier"] = 1
        self._operators.append(
            {
                "opcode_index": (_CONV_2D, _DEPTHWISE_CONV_2D).index(code),
                "inputs": inputs,
                "outputs": [output],
                "builtin_options_type": _OPTIONS_TYPE[code],
                "builtin_options": options,
            }
        )
        return _Map(output, height, width, values.size)

    def _constant(self, name: str, values: npt.NDArray[np.float32]) -> int:
        self._buffers.append({"data": values.astype("<f4").tobytes()})
        return self._tensor(name, values.shape, buffer=len(self._buffers) - 1)

    def _tensor(self, name: str, shape: tuple[int, ...], *, buffer: int = 0) -> int:
        self._tensors.append({"name": name, "shape": shape, "buffer": buffer})
        return len(self._tensors) - 1
