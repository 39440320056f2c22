"""A TFLite file with the output of MoveNet SinglePose that finds the coloured discs of `tiny_model`, for one person.

The network is constructed, not trained. A 1×1 layer separates the colours. Layers as large as the picture sum each
colour's share and its moments. Moments divided by share are the centre of all pixels of the colour, for discs of any
size. A LOGISTIC of the share is the score. A missing colour gives the middle of the picture and a score near 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from posecli.model.flatbuffer import write_model
from posecli.skeleton import KEYPOINT_COUNT

from .tiny_model import colour_layer

SIDE = 96
#: Number of pixels of a colour at which its keypoint has the score 0.5. With a tenth of them the score is near 0.
HALF_SCORE_PX = 8.0
#: Weight of the middle of the picture, in pixels.
_MIDDLE = 1e-3
_UINT8, _INT32, _FLOAT32 = 3, 2, 0
_TYPES = {"uint8": _UINT8, "int32": _INT32, "float32": _FLOAT32}
_CONCATENATION, _CONV_2D, _DEPTHWISE, _LOGISTIC, _RESHAPE, _DIV, _CAST = 2, 3, 4, 14, 22, 42, 53
_VALID, _RELU = 1, 1


def write_tiny_movenet(path: Path, *, side: int = SIDE, input_type: str = "uint8") -> Path:
    """Write the model. side: of the input, pixels. input_type: uint8, int32 or float32."""
    path.write_bytes(tiny_movenet(side=side, input_type=input_type))
    return path


def tiny_movenet(*, side: int = SIDE, input_type: str = "uint8", output_shape: tuple[int, ...] | None = None) -> bytes:
    """The model's bytes. output_shape: another shape with the same number of values."""
    network = _Network()
    image = network.tensor("image", (1, side, side, 3), dtype=_TYPES[input_type])
    pixels = image
    if input_type != "float32":
        pixels = network.operator(_CAST, [image], "pixels", (1, side, side, 3))
    colours = network.convolution(_CONV_2D, pixels, _colours(), "colours", (1, side, side, KEYPOINT_COUNT), _RELU)
    sums = {}
    for name, (kernel, bias) in _sums(side).items():
        layer = (kernel, np.full(kernel.shape[3], bias))
        sums[name] = network.convolution(_DEPTHWISE, colours, layer, name, (1, 1, 1, kernel.shape[3]), 0)
    moments, shares, logits = (
        network.reshape(sums[name], (1, 1, KEYPOINT_COUNT, size))
        for name, size in (("moments", 2), ("shares", 1), ("logits", 1))
    )
    centres = network.operator(_DIV, [moments, shares], "centres", (1, 1, KEYPOINT_COUNT, 2), options=(29, {}))
    scores = network.operator(_LOGISTIC, [logits], "scores", (1, 1, KEYPOINT_COUNT, 1))
    joined, shape = [centres, scores], (1, 1, KEYPOINT_COUNT, 3)
    output = network.operator(_CONCATENATION, joined, "keypoints", shape, options=(10, {"axis": 3}))
    return network.to_bytes(image, network.reshape(output, output_shape) if output_shape else output)


def _colours() -> tuple[np.ndarray, np.ndarray]:
    """The colour layer of the tiny PoseNet, for pixel values from 0 to 255 without scaling."""
    weights, bias = colour_layer()
    return weights / 127.5, bias - weights.sum(axis=(1, 2, 3))


def _sums(side: int) -> dict[str, tuple[np.ndarray, float]]:
    """Name → kernel [1, side, side, 17·n] and bias of each depthwise layer. Moments are in fractions of the side."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    one = np.ones_like(y)
    return {
        "moments": (np.tile(np.stack([y, x], axis=-1), KEYPOINT_COUNT)[None], 0.5 * _MIDDLE),
        "shares": (np.tile(one[..., None], KEYPOINT_COUNT)[None], _MIDDLE),
        "logits": (np.tile(one[..., None], KEYPOINT_COUNT)[None] * 5 / HALF_SCORE_PX, -5.0),
    }


class _Network:
    """Collects tensors, constants and operators."""

    def __init__(self) -> None:
        self._tensors: list[dict[str, Any]] = []
        self._buffers: list[dict[str, bytes]] = [{}]
        self._operators: list[dict[str, Any]] = []
        self._codes: list[int] = []

    def tensor(self, name: str, shape: tuple[int, ...], *, dtype: int = _FLOAT32, data: bytes = b"") -> int:
        if data:
            self._buffers.append({"data": data})
        buffer = len(self._buffers) - 1 if data else 0
        self._tensors.append({"name": name, "shape": shape, "type": dtype, "buffer": buffer})
        return len(self._tensors) - 1

    def operator(
        self, code: int, inputs: list[int], name: str, shape: tuple[int, ...], options: tuple[int, Any] | None = None
    ) -> int:
        output = self.tensor(name, shape)
        if code not in self._codes:
            self._codes.append(code)
        table = {"opcode_index": self._codes.index(code), "inputs": inputs, "outputs": [output]}
        if options is not None:
            table |= {"builtin_options_type": options[0], "builtin_options": options[1]}
        self._operators.append(table)
        return output

    def convolution(
        self,
        code: int,
        source: int,
        layer: tuple[np.ndarray, np.ndarray],
        name: str,
        shape: tuple[int, ...],
        activation: int,
    ) -> int:
        constants = [
            self.tensor(f"{name}/{part}", values.shape, data=values.astype("<f4").tobytes())
            for part, values in zip(("weights", "bias"), layer, strict=True)
        ]
        options = {"padding": _VALID, "stride_w": 1, "stride_h": 1, "activation": activation}
        if code == _DEPTHWISE:
            options["depth_multiplier"] = shape[3] // KEYPOINT_COUNT
        return self.operator(code, [source, *constants], name, shape, options=(1 if code == _CONV_2D else 2, options))

    def reshape(self, source: int, shape: tuple[int, ...]) -> int:
        name = f"{self._tensors[source]['name']} {shape}"
        sides = self.tensor(f"{name}/shape", (len(shape),), dtype=_INT32, data=np.array(shape, "<i4").tobytes())
        return self.operator(_RESHAPE, [source, sides], name, shape)

    def to_bytes(self, image: int, output: int) -> bytes:
        codes = [{"deprecated_builtin_code": code, "builtin_code": code} for code in self._codes]
        network = {
            "tensors": self._tensors,
            "inputs": [image],
            "outputs": [output],
            "operators": self._operators,
        }
        return write_model({"version": 3, "operator_codes": codes, "subgraphs": [network], "buffers": self._buffers})
