"""Runs a model on a prepared picture. This is the only module that imports a TFLite runtime."""

from __future__ import annotations

import importlib
import io
import os
import sys
import tempfile
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from posecli.errors import EngineError, ModelError
from posecli.extras import install_command
from posecli.model.graph import Graph
from posecli.model.heads import Heads, SinglePersonHeads, find_posenet
from posecli.model.operators import Tensor
from posecli.model.runtime_choice import RUNTIMES, choose_runtime
from posecli.model.stride import restride
from posecli.skeleton import EDGE_COUNT
from posecli.types import Maps, SinglePersonOutput

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

#: Number of interpreters that are kept for different input shapes. Each has its own packed weights (20 MiB) and
#: activations.
KEPT_INTERPRETERS = 3
#: Normalisation of pixel values: x / 127.5 - 1. float32 models take the result, quantised models its quantised value.
PIXEL_SCALE, PIXEL_SHIFT = 1 / 127.5, -1.0

_STDERR = 2
#: Held while descriptor 2 is redirected: all runtimes and threads of the process share it.
_STDERR_LOCK = threading.RLock()

UInt8Image = npt.NDArray[np.uint8]


class _Interpreters:
    """The interpreters of one model, by input shape. `_compute` holds a lock: it runs one call at a time.

    data: the file to run, which may differ from the graph's own. Raises the errors of `find_runtime`.
    """

    _interpreter_options: ClassVar[dict[str, Any]] = {}

    def __init__(self, graph: Graph, data: bytes, *, threads: int) -> None:
        self._graph = graph
        self._data = data
        self._threads = threads
        self._interpreters: OrderedDict[tuple[int, int], Interpreter] = OrderedDict()
        self._lock = threading.Lock()
        self._interpreter_class = find_runtime()[1]

    @property
    def native_size_hw(self) -> tuple[int, int]:
        """Height and width of the input in the file, in pixels."""
        _, height, width, _ = self._graph.input.shape
        return height, width

    def _compute(self, image: UInt8Image, outputs: Sequence[Tensor]) -> list[npt.NDArray[np.float32]]:
        """Run the network on RGB pixels, uint8 [h, w, 3], and return outputs without their batch axis.

        Raises ModelError if the runtime refuses the model or an output is not finite.
        """
        with self._lock:
            interpreter = self._interpreter(image.shape[0], image.shape[1])
            self._fill_input(interpreter, image)
            try:
                interpreter.invoke()
            except (RuntimeError, ValueError) as error:
                raise ModelError(f"the runtime cannot run it: {error}") from error
            self._observe(interpreter)
            values = [_read_output(interpreter, tensor) for tensor in outputs]
        if not all(np.isfinite(output).all() for output in values):
            raise ModelError("it is damaged: its outputs contain values that are not finite")
        return values

    def _interpreter(self, height: int, width: int) -> Interpreter:
        """The interpreter for an input shape.

        The first KEPT_INTERPRETERS shapes get a new interpreter. For other shapes, the least recently used interpreter
        is resized. This is faster than a new interpreter and limits the memory.
        """
        size = (height, width)
        if size not in self._interpreters:
            if len(self._interpreters) < KEPT_INTERPRETERS:
                interpreter = self._make_interpreter()
            else:
                _, interpreter = self._interpreters.popitem(last=False)
            self._resize(interpreter, size)
            self._interpreters[size] = interpreter
        self._interpreters.move_to_end(size)
        return self._interpreters[size]

    def _make_interpreter(self) -> Interpreter:
        with captured_stderr() as chatter:
            try:
                return self._interpreter_class(
                    model_content=self._data, num_threads=self._threads, **self._interpreter_options
                )
            except (RuntimeError, ValueError) as error:
                raise ModelError(f"the runtime cannot load it: {error} {chatter()}".rstrip()) from error

    def _resize(self, interpreter: Interpreter, size_hw: tuple[int, int]) -> None:
        with captured_stderr() as chatter:
            try:
                interpreter.resize_tensor_input(self._graph.input.number, [1, *size_hw, 3], strict=False)
                interpreter.allocate_tensors()
            except (RuntimeError, ValueError) as error:
                raise ModelError(f"the runtime cannot load it: {error} {chatter()}".rstrip()) from error

    def _fill_input(self, interpreter: Interpreter, image: UInt8Image) -> None:
        self._write_pixels(image, interpreter.tensor(self._graph.input.number)()[0])

    def _write_pixels(self, image: UInt8Image, tensor: npt.NDArray[Any]) -> None:
        """Write RGB pixels, in the network's number format, to its input tensor [h, w, 3]."""
        raise NotImplementedError

    def _observe(self, interpreter: Interpreter) -> None:
        """Hook for subclasses that read other tensors than the outputs. It is called after each run."""


class Runtime(_Interpreters):
    """A PoseNet that runs at any input size. `run` holds a lock: it runs one call at a time.

    graph: a checked network. threads: number of cores that one call may use. stride: output stride; None: that of the
    file. Raises UsageError if the network does not support the output stride, and the errors of `find_runtime`.
    """

    def __init__(self, graph: Graph, *, threads: int, stride: int | None = None) -> None:
        self._heads: Heads = find_posenet(graph)
        self.output_stride = self._heads.output_stride  # input pixels between two cells of the maps
        data = graph.data
        if stride is not None and stride != self.output_stride:
            data, self.output_stride = restride(graph, stride), stride
        self._pixel_values = _pixel_values(graph.input)
        super().__init__(graph, data, threads=threads)

    def run(self, image: UInt8Image) -> Maps:
        """Run the network on RGB pixels, uint8 [h, w, 3], sides n·32 + 1.

        Raises ModelError if the runtime refuses the model or the maps are not finite.
        """
        heads = self._heads.tensors
        return self._to_maps(dict(zip(heads, self._compute(image, list(heads.values())), strict=True)))

    def _write_pixels(self, image: UInt8Image, tensor: npt.NDArray[Any]) -> None:
        if self._pixel_values is None:
            np.multiply(image, np.float32(PIXEL_SCALE), out=tensor)
            tensor += np.float32(PIXEL_SHIFT)
        else:
            np.take(self._pixel_values, image, out=tensor)

    def _to_maps(self, outputs: dict[str, npt.NDArray[np.float32]]) -> Maps:
        if "mid_offsets" in outputs:
            joined = outputs.pop("mid_offsets")
            outputs["displacement_fwd"] = joined[:, :, : 2 * EDGE_COUNT]
            outputs["displacement_bwd"] = joined[:, :, 2 * EDGE_COUNT :]
        if self._heads.heatmaps_are_logits:
            outputs["heatmaps"] = _sigmoid(outputs["heatmaps"])
        return Maps(**outputs, output_stride=self.output_stride)


class SinglePersonRuntime(_Interpreters):
    """A single-person network that is ready to run. `run` holds a lock: it runs one call at a time.

    graph: a checked network; heads: the result of `find_single_person`. Raises the errors of `find_runtime`.
    """

    def __init__(self, graph: Graph, heads: SinglePersonHeads, *, threads: int) -> None:
        self._heads = heads
        super().__init__(graph, graph.data, threads=threads)

    def run(self, image: UInt8Image) -> SinglePersonOutput:
        """Run the network on RGB pixels, uint8 [n, n, 3], in its fixed input size (`native_size_hw`).

        Raises ModelError if the runtime refuses the model or the output is not finite, ValueError for another size.
        """
        if image.shape[:2] != self.native_size_hw:
            raise ValueError(f"the picture has the size {image.shape[:2]}, expected {self.native_size_hw}")
        (values,) = self._compute(image, [self._heads.output])
        return SinglePersonOutput(self._heads.network.name, values, self._heads.input_size)

    def _write_pixels(self, image: UInt8Image, tensor: npt.NDArray[Any]) -> None:
        tensor[...] = image


class ObservingRuntime(Runtime):
    """A runtime that records the range of every computed tensor, for calibration. It is slow.

    ranges: minimum and maximum by tensor name, over all runs.
    """

    _interpreter_options: ClassVar[dict[str, Any]] = {"experimental_preserve_all_tensors": True}

    def __init__(self, graph: Graph, *, threads: int, stride: int | None = None) -> None:
        super().__init__(graph, threads=threads, stride=stride)
        self.ranges: dict[str, tuple[float, float]] = {}

    def _make_interpreter(self) -> Interpreter:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the runtime warns that preserved tensors need memory
            return super()._make_interpreter()

    def _observe(self, interpreter: Interpreter) -> None:
        for tensor in self._graph.tensors:
            if tensor.data is None:
                values = interpreter.get_tensor(tensor.number)
                low, high = self.ranges.get(tensor.name, (np.inf, -np.inf))
                self.ranges[tensor.name] = min(low, float(values.min())), max(high, float(values.max()))


def find_runtime() -> tuple[str, type[Interpreter]]:
    """Name and interpreter class of the chosen runtime.

    Raises EngineError if the runtime cannot be imported, and the errors of `choose_runtime`.
    """
    name = choose_runtime()
    try:
        return name, importlib.import_module(f"{RUNTIMES[name]}.interpreter").Interpreter
    except (ImportError, AttributeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise EngineError(f"{name} cannot be imported: {reason}", install_command(name, again=True)) from error


def _pixel_values(tensor: Tensor) -> npt.NDArray[Any] | None:
    """The quantised value of each of the 256 pixel values; None for a float input."""
    if tensor.dtype == "float32":
        return None
    values = (np.arange(256) * PIXEL_SCALE + PIXEL_SHIFT) / tensor.scales[0] + tensor.zero_points[0]
    limits = np.iinfo(tensor.dtype)
    stored: npt.NDArray[Any] = np.floor(values + 0.5).clip(limits.min, limits.max).astype(tensor.dtype)
    return stored


def _read_output(interpreter: Interpreter, tensor: Tensor) -> npt.NDArray[np.float32]:
    """A dequantised copy of an output, without its batch axis."""
    values: npt.NDArray[Any] = interpreter.get_tensor(tensor.number)[0]
    if tensor.dtype == "float32":
        return values
    shifted = values.astype(np.float32) - np.float32(tensor.zero_points[0])
    return shifted * np.float32(tensor.scales[0])


def _sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    # Beyond ±80 the result is 0 or 1 in float32. Clipping avoids an overflow of exp.
    one = np.float32(1)
    scores: npt.NDArray[np.float32] = one / (one + np.exp(-logits.clip(-80, 80)))
    return scores


@contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Capture what the runtime's C++ code writes to standard error.

    Yields a function that returns the captured text, which explains a failure. The descriptor belongs to the whole
    process: a lock admits one thread at a time, and other code should not write to standard error meanwhile. If there
    is no free descriptor or no place for a temporary file, the text is not captured and appears on standard error.
    """
    with _STDERR_LOCK, ExitStack() as stack:
        file: IO[bytes] = io.BytesIO()
        with suppress(OSError):
            saved = os.dup(_STDERR)
            stack.callback(os.close, saved)
            file = stack.enter_context(tempfile.TemporaryFile())
            if sys.stderr is not None:
                sys.stderr.flush()
            stack.callback(os.dup2, saved, _STDERR)
            os.dup2(file.fileno(), _STDERR)

        def written() -> str:
            file.seek(0)
            return " ".join(file.read().decode("utf-8", "replace").split())

        yield written
