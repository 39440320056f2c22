"""Hints about a model that are shown before a run. This module imports neither NumPy nor a runtime."""

from __future__ import annotations

from posecli.errors import ModelError
from posecli.model.flatbuffer import Table, read_model
from posecli.model.locate import ModelFile
from posecli.model.runtime_choice import LITERT, steps_to_litert

_UINT8, _INT8 = 3, 9


def runtime_hint(file: ModelFile, runtime: str) -> str:
    """A hint if an 8-bit model runs on tflite-runtime, which has no fast kernels for it; otherwise empty.

    runtime: name of the chosen runtime. The hint is empty for a damaged file too: loading the file raises the error.
    """
    if runtime == LITERT or not _computes_in_8_bits(file.data):
        return ""
    return f"{file.name} is an 8-bit model: LiteRT runs it about ten times faster ({steps_to_litert()})"


def _computes_in_8_bits(data: bytes) -> bool:
    """Whether a network has 8-bit activations. A float network with 8-bit weights does not count."""
    try:
        model = read_model(data)
    except ModelError:
        return False
    constants = {index for index, buffer in enumerate(model["buffers"]) if buffer["data"] or buffer["size"]}
    return any(
        tensor["type"] in (_UINT8, _INT8) and _has_scale(tensor) and tensor["buffer"] not in constants
        for subgraph in model["subgraphs"]
        for tensor in subgraph["tensors"]
    )


def _has_scale(tensor: Table) -> bool:
    """Whether a tensor is quantised. 8-bit pixel values have no scale."""
    quantization = tensor["quantization"]
    return quantization is not None and bool(quantization["scale"])
