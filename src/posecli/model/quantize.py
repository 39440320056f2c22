"""float32 → int8: a quarter of the size and, on processors with instructions for it, a multiple of the speed.

Weights get 8 bits a channel, activations 8 bits a tensor, by `ai-edge-quantizer`. Every layer of a PoseNet's body ends
in a RELU6, so activations use all of 0 to 6 whatever the pictures show; the heads have no such bound, and one step of
8 bits would be more than a pixel there. The first layers see the picture itself, and what is lost there is lost for
all. So both ends stay in float32: together they are less than a tenth of the work.
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
from posecli.extras import need
from posecli.model.graph import PROVENANCE, Graph
from posecli.model.heads import find_single_person, name_heads
from posecli.model.operators import CONVOLUTIONS
from posecli.model.runtime import chatter_held_back

EXTRA = "quantize"
#: Convolutions of the first block: the one that reads the picture, and one separable convolution.
FIRST_BLOCK = 3
BITS = 8

Ranges = Mapping[str, tuple[float, float]]


def quantize(graph: Graph, ranges: Ranges, *, recipe: str, source: Mapping[str, Any]) -> bytes:
    """An int8 file of a float32 network.

    ranges: least and largest value of every tensor that the network computes, by name (`ObservingRuntime.ranges`).
    source: where the network comes from, kept in the file's metadata.
    Raises what `check_quantizable` raises, MissingExtra without the quantizer, ModelError where it fails.
    """
    check_quantizable(graph)
    quantizer_package = need("ai_edge_quantizer.quantizer", extra=EXTRA)
    operation = need("ai_edge_quantizer.qtyping", extra=EXTRA).TFLOperationName
    unchanged = quantizer_package.AlgorithmName.NO_QUANTIZE
    quantizer = quantizer_package.Quantizer(_with_signatures(graph.data))
    quantizer.add_static_config(".*", operation.ALL_SUPPORTED, BITS, BITS)
    if kept := _kept_in_float(graph, recipe):
        # The quantizer ends each name with a semicolon.
        pattern = f"^({'|'.join(map(re.escape, kept))});?$"
        quantizer.update_quantization_recipe(pattern, operation.ALL_SUPPORTED, algorithm_key=unchanged)
        quantizer.update_quantization_recipe(".*", operation.OUTPUT, algorithm_key=unchanged)
    calibration = {
        name: {"min": np.full((1, 1, 1, 1), low, np.float32), "max": np.full((1, 1, 1, 1), high, np.float32)}
        for name, (low, high) in ranges.items()
    }
    with chatter_held_back(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            quantised = quantizer.quantize(calibration, enable_progress_report=False, enable_progress_bar=False)
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            raise ModelError(f"it cannot be quantised: {error}") from error
    return _with_provenance(quantised.quantized_model, {"posecli": __version__, "recipe": recipe, **source})


def check_quantizable(graph: Graph) -> None:
    """Raise UsageError for what cannot be quantised: a network that is not float32, or is no PoseNet."""
    if (single := find_single_person(graph)) is not None:
        raise UsageError(
            f"only PoseNet models can be quantised, and this one is a {single.title}",
            "`posecli model list` names its published int8 file",
        )
    if graph.input.dtype != "float32":
        raise UsageError(f"only float32 models can be quantised, and this one takes {graph.input.dtype}")


def _kept_in_float(graph: Graph, recipe: str) -> list[str]:
    """Names of what the layers make that a recipe leaves alone."""
    heads = [tensor.name for tensor in name_heads(graph).tensors.values()]
    layers = [graph.tensors[operator.output].name for operator in graph.operators if operator.kind in CONVOLUTIONS]
    kept = {"float-ends": layers[:FIRST_BLOCK] + heads, "float-heads": heads, "int8": []}
    return kept[recipe]


def _with_signatures(data: bytes) -> bytearray:
    """The file with a list of signatures, be it empty: the quantizer does not take files that have none."""
    tools = need("ai_edge_litert.tools.flatbuffer_utils", extra=EXTRA)
    model = tools.read_model_from_bytearray(bytearray(data))
    model.signatureDefs = model.signatureDefs or []
    return bytearray(tools.convert_object_to_bytearray(model))


def _with_provenance(data: bytes | bytearray, provenance: Mapping[str, Any]) -> bytes:
    """The file with an entry of metadata that says where it comes from."""
    schema = need("ai_edge_litert.schema_py_generated", extra=EXTRA)
    tools = need("ai_edge_litert.tools.flatbuffer_utils", extra=EXTRA)
    model = tools.read_model_from_bytearray(bytearray(data))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(json.dumps(provenance).encode(), np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = PROVENANCE, len(model.buffers) - 1
    others = [known for known in model.metadata or () if known.name not in (PROVENANCE, PROVENANCE.encode())]
    model.metadata = [*others, entry]
    return bytes(tools.convert_object_to_bytearray(model))
