"""Reading of model files: supported files are read, damaged and unsupported files are refused with a reason."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from posecli.errors import ModelError, UsageError
from posecli.model.flatbuffer import read_model
from posecli.model.graph import read_graph
from posecli.model.heads import find_posenet
from posecli.model.runtime import Runtime
from posecli.model.stride import restride

from ..tiny_model import write_tiny_model

FOUR_HEADS = {"heatmaps", "offsets", "displacement_fwd", "displacement_bwd"}
VARIANTS = {
    "posenet_257_s32.tflite": ((257, 257), 32, True, FOUR_HEADS),
    "posenet_v101_257_s16.tflite": ((257, 257), 16, False, FOUR_HEADS),
    "posenet_075_353x481_uint8.tflite": ((353, 481), 16, True, {"heatmaps", "offsets", "mid_offsets"}),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_heads_of_variants_are_identified_by_names_and_shapes(name: str, test_data: Path) -> None:
    size, stride, logits, heads = VARIANTS[name]
    graph = read_graph((test_data / "models" / name).read_bytes())
    found = find_posenet(graph)
    assert graph.input.shape[1:3] == size
    assert (found.output_stride, found.heatmaps_are_logits, set(found.tensors)) == (stride, logits, heads)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_run(name: str, test_data: Path) -> None:
    (height, width), stride, _, _ = VARIANTS[name]
    runtime = Runtime(read_graph((test_data / "models" / name).read_bytes()), threads=2)
    for size in ((height, width), (257, 321)):
        maps = runtime.run(np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8))
        assert maps.heatmaps.shape == ((size[0] - 1) // stride + 1, (size[1] - 1) // stride + 1, 17)
        assert 0 <= maps.heatmaps.min() <= maps.heatmaps.max() <= 1


def _corrupted(intact: bytes, positions: np.ndarray, random: np.random.Generator) -> bytes:
    data = bytearray(intact)
    for _ in range(random.integers(1, 5)):
        data[int(random.choice(positions))] = int(random.choice([0, 1, 128, 255, random.integers(256)]))
    return bytes(data)


def _structure_positions(data: bytes) -> np.ndarray:
    """Byte positions outside the weights, where damage can crash a runtime."""
    is_structure = np.ones(len(data), bool)
    for tensor in read_graph(data).tensors:
        if tensor.data:
            is_structure[tensor.data[0] : sum(tensor.data)] = False
    return np.nonzero(is_structure)[0]


_RUN_CHILD = """
import sys, numpy as np
from pathlib import Path
from posecli.errors import ModelError
from posecli.model.graph import read_graph
from posecli.model.runtime import Runtime
image = np.zeros((257, 257, 3), np.uint8)
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        Runtime(read_graph(path.read_bytes()), threads=1).run(image)
    except ModelError:
        pass
print("survived")
"""


def test_damaged_files_never_crash_the_process(tiny_model: Path, tmp_path: Path) -> None:
    intact, random = tiny_model.read_bytes(), np.random.default_rng(11)
    positions = _structure_positions(intact)
    for number in range(300):
        (tmp_path / f"{number:03d}.tflite").write_bytes(_corrupted(intact, positions, random))
    for number in range(30):
        (tmp_path / f"cut{number:02d}.tflite").write_bytes(intact[: int(random.integers(len(intact)))])
    result = subprocess.run(
        [sys.executable, "-c", _RUN_CHILD, tmp_path], capture_output=True, text=True, timeout=300, check=False
    )
    assert (result.returncode, result.stdout) == (0, "survived\n"), result.stderr[-500:]


def test_most_damage_to_the_structure_is_detected(tiny_model: Path) -> None:
    """Damage to names, padding and unused bytes cannot be detected, because it does not change the network."""
    intact, random = tiny_model.read_bytes(), np.random.default_rng(12)
    positions, accepted = _structure_positions(intact), 0
    for _ in range(200):
        with suppress(ModelError):
            find_posenet(read_graph(_corrupted(intact, positions, random)))
            accepted += 1
    assert accepted < 100


@pytest.mark.parametrize("data", [b"", b"TFL3", b"not a model at all", b"<html>404</html>", bytes(1000)])
def test_a_file_that_is_not_tflite_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="not a TensorFlow Lite file"):
        read_model(data)


def test_nan_weights_are_refused(tiny_model: Path) -> None:
    data = bytearray(tiny_model.read_bytes())
    weights = next(tensor for tensor in read_graph(bytes(data)).tensors if tensor.data)
    assert weights.data is not None
    data[weights.data[0] : weights.data[0] + 4] = np.float32(np.nan).tobytes()
    with pytest.raises(ModelError, match="not finite"):
        read_graph(bytes(data))


def test_the_error_for_other_outputs_describes_them(tmp_path: Path) -> None:
    data = write_tiny_model(tmp_path / "m.tflite").read_bytes()
    renamed = data.replace(b"displacement_fwd_2", b"something_else_xyz")
    with pytest.raises(ModelError, match=r"expected heatmaps .* found .*something_else_xyz"):
        find_posenet(read_graph(renamed))


def test_a_head_with_an_unknown_name_is_identified_by_its_channels(tmp_path: Path) -> None:
    """Its position among the outputs does not matter."""
    data = write_tiny_model(tmp_path / "m.tflite").read_bytes().replace(b"offset_2\0", b"output_2\0")
    assert find_posenet(read_graph(data)).tensors["offsets"].name == "output_2"


@pytest.mark.parametrize("variant", ["float", "sigmoid", "joined"])
def test_variants_of_the_tiny_model_have_equal_maps(variant: str, tmp_path: Path, tiny_model: Path) -> None:
    image = np.random.default_rng(3).integers(0, 256, (257, 257, 3), dtype=np.uint8)
    runs = [
        Runtime(read_graph(path.read_bytes()), threads=1).run(image)
        for path in (tiny_model, write_tiny_model(tmp_path / "v.tflite", variant=variant))
    ]
    for name in ("heatmaps", "offsets", "displacement_fwd", "displacement_bwd"):
        np.testing.assert_allclose(getattr(runs[0], name), getattr(runs[1], name), atol=1e-4)


def test_an_unsupported_output_stride_is_a_usage_error(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="cannot run at an output stride of 16"):
        restride(read_graph(tiny_model.read_bytes()), 16)


def test_restriding_to_its_own_stride_changes_nothing(test_data: Path) -> None:
    for name, (_, stride, _, _) in VARIANTS.items():
        graph = read_graph((test_data / "models" / name).read_bytes())
        assert restride(graph, stride) == graph.data


def test_finer_strides_have_equal_maps_at_shared_cells(real_model: Path) -> None:
    graph = read_graph(real_model.read_bytes())
    image = np.random.default_rng(2).integers(0, 256, (225, 289, 3), dtype=np.uint8)
    coarse = Runtime(graph, threads=2).run(image)
    for stride in (16, 8):
        fine = Runtime(graph, threads=2, stride=stride).run(image)
        assert fine.output_stride == stride
        step = 32 // stride
        for name in ("heatmaps", "offsets", "displacement_fwd", "displacement_bwd"):
            shared = getattr(fine, name)[::step, ::step]
            np.testing.assert_allclose(shared, getattr(coarse, name), atol=2e-3 if name == "heatmaps" else 0.05)


def test_a_dilated_file_can_run_at_its_trained_stride(test_data: Path) -> None:
    graph = read_graph((test_data / "models" / "posenet_v101_257_s16.tflite").read_bytes())
    image = np.random.default_rng(2).integers(0, 256, (257, 257, 3), dtype=np.uint8)
    fine, coarse = (Runtime(graph, threads=2, stride=stride).run(image) for stride in (16, 32))
    np.testing.assert_allclose(fine.offsets[::2, ::2], coarse.offsets, atol=0.05)


def test_a_limited_number_of_interpreters_is_kept(real_model: Path) -> None:
    from posecli.model import runtime as module

    runtime = Runtime(read_graph(real_model.read_bytes()), threads=1)
    for cells in range(2, 2 + module.KEPT_INTERPRETERS + 2):
        runtime.run(np.zeros((65, 32 * cells + 1, 3), np.uint8))
    assert len(runtime._interpreters) == module.KEPT_INTERPRETERS
    assert (65, 65) not in runtime._interpreters


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_network_runs_completely_in_xnnpack_at_every_stride(stride: int, real_model: Path) -> None:
    graph = read_graph(real_model.read_bytes())
    runtime = Runtime(graph, threads=1, stride=stride)
    runtime.run(np.zeros((129, 161, 3), np.uint8))
    (interpreter,) = runtime._interpreters.values()
    delegates = [node for node in interpreter._get_ops_details() if node["op_name"] == "DELEGATE"]
    assert len(delegates) == 1
    assert set(delegates[0]["outputs"]) == {tensor.number for tensor in graph.outputs}
    assert graph.input.number in delegates[0]["inputs"]


def test_a_resized_interpreter_has_the_results_of_a_new_one(real_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posecli.model.runtime.KEPT_INTERPRETERS", 1)
    graph = read_graph(real_model.read_bytes())
    image = np.random.default_rng(4).integers(0, 256, (129, 161, 3), dtype=np.uint8)
    changed = Runtime(graph, threads=1)
    for shape in ((257, 257), (65, 321)):
        changed.run(np.zeros((*shape, 3), np.uint8))
    maps, expected = changed.run(image), Runtime(graph, threads=1).run(image)
    for name in ("heatmaps", "offsets", "displacement_fwd", "displacement_bwd"):
        np.testing.assert_array_equal(getattr(maps, name), getattr(expected, name))
