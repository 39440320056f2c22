"""A TFLite file with the outputs of a PoseNet that finds coloured discs: keypoint k is a disc of colour k on grey.

The network is constructed, not trained, so the correct result is known. A 1×1 convolution separates the 17 colours. A
depthwise convolution sums each tile's share of a disc and its first moments. From these, the heads compute a score, the
short offset to the disc's centre, and the displacements to the neighbours in the part tree. Positions are exact to a
fraction of a pixel if a disc is completely inside the sums.
"""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
import tflite
from PIL import Image, ImageDraw

from posecli.skeleton import EDGE_COUNT, KEYPOINT_COUNT, PART_TREE

SIDE, STRIDE = 257, 32
RADIUS = 7.0
GREY = 128
#: Number of tiles on each side of a cell that its heads read.
_REACH = 2
#: A pixel has a colour if the angle between their directions from grey is small: cosine of 35 degrees.
_THRESHOLD = 0.82
#: Minimum angle between colours and black, because black pads pictures: cosine of 66 degrees.
_FROM_BLACK = 0.4
_COLOUR_RADIUS = 118


def colours() -> np.ndarray:
    """[17, 3] uint8: colours at the largest distance from grey, spread over all directions except dark ones."""
    k = np.arange(KEYPOINT_COUNT) + 0.5
    height, angle = 1 - (1 + _FROM_BLACK) * k / KEYPOINT_COUNT, np.pi * (1 + 5**0.5) * k
    ring = np.sqrt(1 - height**2)
    white, red, green = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])
    directions = np.outer(height, white) + np.outer(ring * np.cos(angle), red) + np.outer(ring * np.sin(angle), green)
    return np.round(GREY + _COLOUR_RADIUS * directions).astype(np.uint8)


def draw_discs(people: list[np.ndarray], size: tuple[int, int] = (SIDE, SIDE), radius: float = RADIUS) -> Image.Image:
    """Draw people: each is [17, 2] x, y in pixels (corner frame). A keypoint that is NaN is not drawn."""
    fine = 8
    picture = Image.new("RGB", (size[0] * fine, size[1] * fine), (GREY,) * 3)
    pen = ImageDraw.Draw(picture)
    for person in people:
        for (x, y), colour in zip(person, colours(), strict=True):
            if np.isfinite(x):
                box = [(x - radius) * fine, (y - radius) * fine, (x + radius) * fine - 1, (y + radius) * fine - 1]
                pen.ellipse(box, fill=tuple(int(c) for c in colour))
    return picture.resize(size, Image.Resampling.BOX)


def person_at(x: float, y: float, scale: float = 1.0) -> np.ndarray:
    """[17, 2] x, y of an upright person with 17 discs that do not touch, about 80 × 140 pixels at scale 1."""
    figure = np.array(
        [
            (0, 0), (9, -17), (-9, -17), (26, -11), (-26, -11), (22, 18), (-22, 18), (37, 38), (-37, 38), (40, 60),
            (-40, 60), (13, 60), (-13, 60), (14, 85), (-14, 85), (16, 110), (-16, 110),
        ], float,
    )  # fmt: skip
    return figure * scale + (x, y)


def write_tiny_model(path: Path, *, variant: str = "float", side: int = SIDE) -> Path:
    """Write the model. variant: `float`, `sigmoid` (heatmaps are scores) or `joined` (mid_offsets, other names)."""
    path.write_bytes(_Builder(variant, side).build())
    return path


def colour_layer() -> tuple[np.ndarray, np.ndarray]:
    """1×1 kernel [17, 1, 1, 3] and bias: after ReLU, a channel is 1 for its own colour, 0 for others and grey."""
    to_input = 1 / 127.5
    direction = (colours().astype(float) - GREY) * to_input
    radius_squared = (direction**2).sum(axis=1)
    weights = direction / (radius_squared * (1 - _THRESHOLD))[:, None]
    grey = GREY * to_input - 1
    bias = -_THRESHOLD / (1 - _THRESHOLD) - weights.sum(axis=1) * grey
    return weights.reshape(KEYPOINT_COUNT, 1, 1, 3), bias


def _tile_layer() -> tuple[np.ndarray, np.ndarray]:
    """Depthwise 32×32, stride 32: for each part the tile's sum, and its moments in y and x about the first pixel."""
    y, x = np.mgrid[:STRIDE, :STRIDE].astype(float)
    kernel = np.stack([np.ones_like(y), y, x], axis=-1)
    return np.tile(kernel, (1, 1, KEYPOINT_COUNT))[None], np.zeros(3 * KEYPOINT_COUNT)


def _area(radius: float = RADIUS) -> float:
    """The sum of the colour layer over a disc. It is measured, because edge pixels have values between 0 and 1."""
    centre = np.full((KEYPOINT_COUNT, 2), np.nan)
    centre[0] = 32.5, 32.5
    pixels = np.asarray(draw_discs([centre], (65, 65), radius), float) / 127.5 - 1
    weights, bias = colour_layer()
    return float(np.maximum(pixels @ weights[0, 0, 0] + bias[0], 0).sum())


def _first_pixel() -> int:
    """The first pixel of the tile of cell 0, relative to the cell's position: padding SAME adds 15 pixels before it."""
    return -((STRIDE - 1) // 2)


def _centre_weights(kernel: np.ndarray, out: int, part: int, sign: float) -> None:
    """Add ± the displacement from the cell to a part's disc to the channels `out` (y) and `out` + half (x)."""
    half, area, middle = kernel.shape[0] // 2, _area(), kernel.shape[1] // 2
    for row in range(-_REACH, _REACH + 1):
        for column in range(-_REACH, _REACH + 1):
            cell = kernel[:, middle + row, middle + column]
            for axis, shift in ((0, row), (1, column)):
                channel = out + axis * half
                cell[channel, 3 * part] += sign * (shift * STRIDE + _first_pixel()) / area
                cell[channel, 3 * part + 1 + axis] += sign / area


def _head_layers() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    channels, size = 3 * KEYPOINT_COUNT, 2 * _REACH + 1
    heat = np.zeros((KEYPOINT_COUNT, size, size, channels))
    offsets = np.zeros((2 * KEYPOINT_COUNT, size, size, channels))
    moves = {name: np.zeros((2 * EDGE_COUNT, size, size, channels)) for name in ("fwd", "bwd")}
    for part in range(KEYPOINT_COUNT):
        heat[part, _REACH - 1 : _REACH + 2, _REACH - 1 : _REACH + 2, 3 * part] = 8 / _area()
        heat[part, _REACH, _REACH, 3 * part] = 16 / _area()
        _centre_weights(offsets, part, part, 1)
    for edge, (parent, child) in enumerate(PART_TREE):
        for name, source, target in (("fwd", parent, child), ("bwd", child, parent)):
            _centre_weights(moves[name], edge, target, 1)
            _centre_weights(moves[name], edge, source, -1)
    return {
        "heatmap": (heat, np.full(KEYPOINT_COUNT, -6.0)),
        # Moments use pixel indices, positions start at the corner of the first pixel: the difference is 0.5.
        "offset_2": (offsets, np.full(2 * KEYPOINT_COUNT, 0.5)),
        "displacement_fwd_2": (moves["fwd"], np.zeros(2 * EDGE_COUNT)),
        "displacement_bwd_2": (moves["bwd"], np.zeros(2 * EDGE_COUNT)),
    }


class _Builder:
    """Collects tensors, buffers and operators, and writes them as a flatbuffer, inner tables first."""

    def __init__(self, variant: str, side: int) -> None:
        self._b = flatbuffers.Builder(1 << 20)
        self._variant = variant
        self._side = side
        self._tensors: list[tuple[str, tuple[int, ...], int]] = []
        self._buffers: list[bytes] = [b""]
        self._operators: list[tuple[int, list[int], int, int, int]] = []

    def build(self) -> bytes:
        cells = (self._side - 1) // STRIDE + 1
        image = self._tensor("image", (1, self._side, self._side, 3))
        parts = self._conv(image, colour_layer(), (1, self._side, self._side, KEYPOINT_COUNT), "parts")
        tiles = self._depthwise(parts, _tile_layer(), (1, cells, cells, 3 * KEYPOINT_COUNT))
        outputs = {}
        for name, layer in _head_layers().items():
            outputs[name] = self._conv(tiles, layer, (1, cells, cells, layer[0].shape[0]), name, relu=False)
        if self._variant == "sigmoid":
            outputs["heatmap"] = self._unary(outputs["heatmap"], tflite.BuiltinOperator.LOGISTIC, "scores")
        if self._variant == "joined":
            pair = [outputs.pop("displacement_fwd_2"), outputs.pop("displacement_bwd_2")]
            outputs["mid"] = self._concat(pair, (1, cells, cells, 4 * EDGE_COUNT), "float_mid_offsets")
        return self._finish(image, list(outputs.values()))

    def _tensor(self, name: str, shape: tuple[int, ...], data: np.ndarray | None = None) -> int:
        buffer = 0
        if data is not None:
            self._buffers.append(data.astype("<f4").tobytes())
            buffer = len(self._buffers) - 1
        self._tensors.append((name, shape, buffer))
        return len(self._tensors) - 1

    def _weights(self, layer: tuple[np.ndarray, np.ndarray], name: str) -> list[int]:
        weights, bias = layer
        return [self._tensor(name + "/w", weights.shape, weights), self._tensor(name + "/b", bias.shape, bias)]

    def _conv(self, source: int, layer: tuple, shape: tuple[int, ...], name: str, relu: bool = True) -> int:
        b, inputs = self._b, [source, *self._weights(layer, name)]
        tflite.Conv2DOptionsStart(b)
        tflite.Conv2DOptionsAddPadding(b, tflite.Padding.SAME)
        tflite.Conv2DOptionsAddStrideW(b, 1)
        tflite.Conv2DOptionsAddStrideH(b, 1)
        tflite.Conv2DOptionsAddFusedActivationFunction(b, 1 if relu else 0)
        options = tflite.Conv2DOptionsEnd(b)
        return self._operator(tflite.BuiltinOperator.CONV_2D, inputs, name, shape, options, 1)

    def _depthwise(self, source: int, layer: tuple, shape: tuple[int, ...]) -> int:
        b, inputs = self._b, [source, *self._weights(layer, "tiles")]
        tflite.DepthwiseConv2DOptionsStart(b)
        tflite.DepthwiseConv2DOptionsAddPadding(b, tflite.Padding.SAME)
        tflite.DepthwiseConv2DOptionsAddStrideW(b, STRIDE)
        tflite.DepthwiseConv2DOptionsAddStrideH(b, STRIDE)
        tflite.DepthwiseConv2DOptionsAddDepthMultiplier(b, 3)
        tflite.DepthwiseConv2DOptionsAddFusedActivationFunction(b, 1)
        options = tflite.DepthwiseConv2DOptionsEnd(b)
        return self._operator(tflite.BuiltinOperator.DEPTHWISE_CONV_2D, inputs, "tiles", shape, options, 2)

    def _concat(self, sources: list[int], shape: tuple[int, ...], name: str) -> int:
        tflite.ConcatenationOptionsStart(self._b)
        tflite.ConcatenationOptionsAddAxis(self._b, 3)
        options = tflite.ConcatenationOptionsEnd(self._b)
        return self._operator(tflite.BuiltinOperator.CONCATENATION, sources, name, shape, options, 10)

    def _unary(self, source: int, code: int, name: str) -> int:
        return self._operator(code, [source], name, self._tensors[source][1], 0, 0)

    def _operator(
        self, code: int, inputs: list[int], name: str, shape: tuple[int, ...], options: int, options_type: int
    ) -> int:
        output = self._tensor(name, shape)
        self._operators.append((code, inputs, output, options, options_type))
        return output

    def _finish(self, image: int, outputs: list[int]) -> bytes:
        b = self._b
        codes = sorted({operator[0] for operator in self._operators})
        buffers = self._offsets(tflite.ModelStartBuffersVector, [self._put_buffer(data) for data in self._buffers])
        tensors = self._offsets(tflite.SubGraphStartTensorsVector, [self._put_tensor(t) for t in self._tensors])
        operators = self._offsets(
            tflite.SubGraphStartOperatorsVector, [self._put_operator(o, codes) for o in self._operators]
        )
        inputs, outs = self._ints([image]), self._ints(outputs)
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, tensors)
        tflite.SubGraphAddInputs(b, inputs)
        tflite.SubGraphAddOutputs(b, outs)
        tflite.SubGraphAddOperators(b, operators)
        subgraphs = self._offsets(tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(b)])
        code_tables = self._offsets(tflite.ModelStartOperatorCodesVector, [self._put_code(code) for code in codes])
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, code_tables)
        tflite.ModelAddSubgraphs(b, subgraphs)
        tflite.ModelAddBuffers(b, buffers)
        b.Finish(tflite.ModelEnd(b), b"TFL3")
        return bytes(b.Output())

    def _offsets(self, start: object, items: list[int]) -> int:
        start(self._b, len(items))  # type: ignore[operator]
        for item in reversed(items):
            self._b.PrependUOffsetTRelative(item)
        return self._b.EndVector()

    def _ints(self, values: list[int]) -> int:
        return self._b.CreateNumpyVector(np.array(values, np.int32))

    def _put_buffer(self, data: bytes) -> int:
        vector = self._b.CreateByteVector(data) if data else None
        tflite.BufferStart(self._b)
        if vector is not None:
            tflite.BufferAddData(self._b, vector)
        return tflite.BufferEnd(self._b)

    def _put_tensor(self, tensor: tuple[str, tuple[int, ...], int]) -> int:
        name, shape = self._b.CreateString(tensor[0]), self._ints(list(tensor[1]))
        tflite.TensorStart(self._b)
        tflite.TensorAddShape(self._b, shape)
        tflite.TensorAddType(self._b, tflite.TensorType.FLOAT32)
        tflite.TensorAddBuffer(self._b, tensor[2])
        tflite.TensorAddName(self._b, name)
        return tflite.TensorEnd(self._b)

    def _put_operator(self, operator: tuple[int, list[int], int, int, int], codes: list[int]) -> int:
        code, inputs, output, options, options_type = operator
        ins, outs = self._ints(inputs), self._ints([output])
        tflite.OperatorStart(self._b)
        tflite.OperatorAddOpcodeIndex(self._b, codes.index(code))
        tflite.OperatorAddInputs(self._b, ins)
        tflite.OperatorAddOutputs(self._b, outs)
        if options_type:
            tflite.OperatorAddBuiltinOptionsType(self._b, options_type)
            tflite.OperatorAddBuiltinOptions(self._b, options)
        return tflite.OperatorEnd(self._b)

    def _put_code(self, code: int) -> int:
        tflite.OperatorCodeStart(self._b)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(self._b, code)
        tflite.OperatorCodeAddBuiltinCode(self._b, code)
        tflite.OperatorCodeAddVersion(self._b, 1)
        return tflite.OperatorCodeEnd(self._b)
