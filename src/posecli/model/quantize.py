"""Quantisation from float32 to int8: a quarter of the size, and several times faster on CPUs with int8 instructions.

`ai-edge-quantizer` does it: 8 bits with one scale per channel for weights, and with one scale per tensor for
activations. Every layer of a PoseNet's body ends in a RELU6, so activations use the range 0 to 6 for all pictures. The
heads have no such bound: a step of 8 bits would be more than a pixel there. The first layers read the picture, and an
error there affects all later layers. Therefore the first layers and the heads stay in float32. Together they are less
than a tenth of the work.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from posecli._version import __version__
from posecli.errors import ModelError, UsageError
from posecli.extras import import_extra
from posecli.model.graph import PROVENANCE, Graph
from posecli.model.heads import find_posenet, find_single_person
from posecli.model.operators import CONVOLUTIONS
from posecli.model.runtime import captured_stderr

EXTRA = "quantize"
#: Number of convolutions in the first block: the first convolution, and one separable convolution.
FIRST_BLOCK = 3
BITS = 8

Ranges = Mapping[str, tuple[float, float]]


def quantize(graph: Graph, ranges: Ranges, *, recipe: str, source: Mapping[str, Any]) -> bytes:
    """Quantise a float32 network to an int8 file.

    ranges: minimum and maximum of each computed tensor, by name (`ObservingRuntime.ranges`).
    source: the source of the network, stored in the file's metadata.
    Raises the errors of `check_quantizable`, MissingExtra without the quantizer, and ModelError if the quantizer fails.
    """
    check_quantizable(graph)
    quantizer_package = import_extra("ai_edge_quantizer.quantizer", extra=EXTRA)
    operation = import_extra("ai_edge_quantizer.qtyping", extra=EXTRA).TFLOperationName
    unchanged = quantizer_package.AlgorithmName.NO_QUANTIZE
    quantizer = quantizer_package.Quantizer(_with_signatures(graph.data))
    quantizer.add_static_config(".*", operation.ALL_SUPPORTED, BITS, BITS)
    if kept := _kept_in_float(graph, recipe):
        # The quantizer appends a semicolon to each name.
        pattern = f"^({'|'.join(map(re.escape, kept))});?$"
        quantizer.update_quantization_recipe(pattern, operation.ALL_SUPPORTED, algorithm_key=unchanged)
        quantizer.update_quantization_recipe(".*", operation.OUTPUT, algorithm_key=unchanged)
    calibration = {
        name: {"min": np.full((1, 1, 1, 1), low, np.float32), "max": np.full((1, 1, 1, 1), high, np.float32)}
        for name, (low, high) in ranges.items()
    }
    with captured_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            quantised = quantizer.quantize(calibration, enable_progress_report=False, enable_progress_bar=False)
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            raise ModelError(f"it cannot be quantised: {error}") from error
    return _with_provenance(quantised.quantized_model, {"posecli": __version__, "recipe": recipe, **source})


def check_quantizable(graph: Graph) -> None:
    """Raise UsageError for a network that cannot be quantised: it is not float32 or not a PoseNet."""
    if (single := find_single_person(graph)) is not None:
        raise UsageError(
            f"only PoseNet models can be quantised, but this model is a {single.title}",
            "`posecli model list` names its published int8 file",
        )
    if graph.input.dtype != "float32":
        raise UsageError(f"only float32 models can be quantised, but this model has the type {graph.input.dtype}")


def _kept_in_float(graph: Graph, recipe: str) -> list[str]:
    """Names of the outputs of the layers that a recipe does not quantise."""
    heads = [tensor.name for tensor in find_posenet(graph).tensors.values()]
    layers = [graph.tensors[operator.output].name for operator in graph.operators if operator.kind in CONVOLUTIONS]
    kept = {"float-ends": layers[:FIRST_BLOCK] + heads, "float-heads": heads, "int8": []}
    return kept[recipe]


def _with_signatures(data: bytes) -> bytearray:
    """The file with a list of signatures, which may be empty. The quantizer does not accept files without the list."""
    tools = import_extra("ai_edge_litert.tools.flatbuffer_utils", extra=EXTRA)
    model = tools.read_model_from_bytearray(bytearray(data))
    model.signatureDefs = model.signatureDefs or []
    return bytearray(tools.convert_object_to_bytearray(model))


def _with_provenance(data: bytes | bytearray, provenance: Mapping[str, Any]) -> bytes:
    """The file with a metadata entry about its source."""
    schema = import_extra("ai_edge_litert.schema_py_generated", extra=EXTRA)
    tools = import_extra("ai_edge_litert.tools.flatbuffer_utils", extra=EXTRA)
    model = tools.read_model_from_bytearray(bytearray(data))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(json.dumps(provenance).encode(), np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = PROVENANCE, len(model.buffers) - 1
    others = [item for item in model.metadata or () if item.name not in (PROVENANCE, PROVENANCE.encode())]
    model.metadata = [*others, entry]
    return bytes(tools.convert_object_to_bytearray(model))
