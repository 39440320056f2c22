"""What a user should know about a model before he waits for it. Imports neither NumPy nor a runtime."""

from __future__ import annotations

from posecli.errors import ModelError
from posecli.model.flatbuffer import Table, read_model
from posecli.model.locate import ModelFile
from posecli.model.runtime_choice import LITERT, steps_to_litert

_UINT8, _INT8 = 3, 9


def runtime_hint(file: ModelFile, runtime: str) -> str:
    """A line for those who run an 8-bit model on tflite-runtime, which has no fast kernels for it; otherwise empty.

    runtime: the chosen one. The line is also empty for a damaged file: the error comes from whoever loads it.
    """
    if runtime == LITERT or not _computes_in_8_bits(file.data):
        return ""
    return f"{file.name} is an 8-bit model: LiteRT runs it about ten times faster ({steps_to_litert()})"


def _computes_in_8_bits(data: bytes) -> bool:
    """Whether a network computes 8-bit numbers; weights alone may be 8-bit in a float network."""
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
    """Whether 8-bit numbers stand for real ones; the pixels of a picture do not."""
    quantization = tensor["quantization"]
    return quantization is not None and bool(quantization["scale"])
