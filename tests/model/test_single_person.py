"""Single-person networks: identification by shape, fixed input size, and refusal of damaged files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posecli import PoseEstimator
from posecli.decode import decode_output
from posecli.errors import ModelError, UsageError
from posecli.model.graph import read_graph
from posecli.model.heads import Heads, check_fixed_input, find_heads, find_posenet, find_single_person
from posecli.model.hints import runtime_hint
from posecli.model.locate import read_model_file
from posecli.model.runtime import SinglePersonRuntime
from posecli.model.runtime_choice import TFLITE_RUNTIME
from posecli.types import DecodedPose

from ..conftest import SAMPLES, Posecli
from ..tiny_model import draw_discs, person_at
from ..tiny_movenet import SIDE, tiny_movenet


def decode(data: bytes, image: np.ndarray) -> DecodedPose:
    """Run a network on an image, and decode its output."""
    graph = read_graph(data)
    heads = find_single_person(graph)
    assert heads is not None
    return decode_output(SinglePersonRuntime(graph, heads, threads=1).run(image))


@pytest.mark.parametrize("input_type", ["uint8", "int32", "float32"])
def test_pixel_values_are_not_scaled(input_type: str) -> None:
    person = person_at(48, 30, 0.5)
    pose = decode(tiny_movenet(input_type=input_type), np.asarray(draw_discs([person], (SIDE, SIDE), radius=4)))
    np.testing.assert_allclose(pose.xy, person, atol=0.1)
    assert pose.scores.min() > 0.9


def test_an_empty_picture_gives_low_scores_and_no_nan() -> None:
    pose = decode(tiny_movenet(), np.full((SIDE, SIDE, 3), 128, np.uint8))
    assert pose.score < 0.05
    assert np.isfinite(pose.xy).all()


def test_a_network_is_identified_by_its_shapes(tiny_movenet: Path, tiny_model: Path) -> None:
    heads = find_single_person(read_graph(tiny_movenet.read_bytes()))
    assert heads is not None
    assert (heads.network.title, heads.input_size, heads.output.shape) == ("MoveNet SinglePose", SIDE, (1, 1, 17, 3))
    assert isinstance(find_heads(read_graph(tiny_model.read_bytes())), Heads)
    assert find_single_person(read_graph(tiny_model.read_bytes())) is None


def test_the_error_for_an_unsupported_network_describes_the_supported_ones() -> None:
    graph = read_graph(tiny_movenet(output_shape=(1, 1, 3, 17)))
    with pytest.raises(
        ModelError, match=r"neither a PoseNet nor a MoveNet.*heatmaps.*one output \[1, 1, 17, 3\].*found .*"
    ):
        find_heads(graph)


def test_find_posenet_refuses_a_movenet(tiny_movenet: Path) -> None:
    with pytest.raises(ModelError, match="it is a MoveNet SinglePose, expected a PoseNet"):
        find_posenet(read_graph(tiny_movenet.read_bytes()))


def test_its_input_size_is_fixed(tiny_movenet: Path) -> None:
    graph = read_graph(tiny_movenet.read_bytes())
    heads = find_single_person(graph)
    assert heads is not None
    check_fixed_input(heads, stride=None, input_size=None)
    with pytest.raises(
        UsageError, match="output stride of MoveNet SinglePose cannot be changed: its input is always 96"
    ):
        check_fixed_input(heads, stride=16, input_size=None)
    with pytest.raises(UsageError, match="input size of MoveNet SinglePose cannot be changed"):
        check_fixed_input(heads, stride=None, input_size=257)
    runtime = SinglePersonRuntime(graph, heads, threads=1)
    assert runtime.native_size_hw == (SIDE, SIDE)
    with pytest.raises(ValueError, match=r"expected \(96, 96\)"):
        runtime.run(np.zeros((SIDE + 1, SIDE, 3), np.uint8))


def test_an_output_that_is_not_finite_is_an_error() -> None:
    data = bytearray(tiny_movenet(input_type="float32"))
    (bias,) = (tensor for tensor in read_graph(bytes(data)).tensors if tensor.name == "shares/bias")
    assert bias.data is not None
    data[slice(bias.data[0], sum(bias.data))] = bytes(bias.data[1])
    with pytest.raises(ModelError, match="not finite"):
        decode(bytes(data), np.full((SIDE, SIDE, 3), 128, np.uint8))


@pytest.mark.parametrize(("name", "sample"), [("exercise.jpg", 0), ("wave.jpg", 0)])
def test_the_real_network_agrees_with_posenet(name: str, sample: int, test_data: Path, real_model: Path) -> None:
    picture = Image.open(SAMPLES / name).convert("RGB")
    expected = PoseEstimator(real_model, preset="balanced").estimate(SAMPLES / name).poses[sample]
    x, y, width, height = expected.box
    side = 1.25 * max(width, height)
    left, top = x + (width - side) / 2, y + (height - side) / 2
    crop = picture.transform(
        (192, 192), Image.Transform.EXTENT, (left, top, left + side, top + side), Image.Resampling.BILINEAR
    )
    pose = decode((test_data / "models" / "movenet_lightning_int8.tflite").read_bytes(), np.asarray(crop))
    expected_xy = np.array([(point.x, point.y) for point in expected.keypoints])
    distances = np.linalg.norm(pose.xy * side / 192 + (left, top) - expected_xy, axis=1) / side
    assert np.median(distances) < 0.03
    assert pose.score > 0.3


_RUN_CHILD = """
import sys, numpy as np
from pathlib import Path
from posecli.errors import ModelError
from posecli.model.graph import read_graph
from posecli.model.heads import find_single_person
from posecli.model.hints import runtime_hint
from posecli.model.locate import read_model_file
from posecli.model.runtime import SinglePersonRuntime
intact, seed, count = Path(sys.argv[1]).read_bytes(), int(sys.argv[2]), int(sys.argv[3])
is_structure = np.ones(len(intact), bool)
for tensor in read_graph(intact).tensors:
    if tensor.data and tensor.dtype != "int32":
        is_structure[tensor.data[0] : sum(tensor.data)] = False
positions, random, refused = np.nonzero(is_structure)[0], np.random.default_rng(seed), 0
for _ in range(count):
    data = bytearray(intact)
    for _ in range(random.integers(1, 4)):
        data[int(random.choice(positions))] = int(random.choice([0, 1, 2, 128, 255, random.integers(256)]))
    try:
        graph = read_graph(bytes(data))
        heads = find_single_person(graph)
        if heads is not None:
            image = random.integers(0, 256, (heads.input_size, heads.input_size, 3), dtype=np.uint8)
            SinglePersonRuntime(graph, heads, threads=1).run(image)
    except ModelError:
        refused += 1
print(refused)
"""


def _count_refused(path: Path, *, seed: int, count: int) -> int:
    """Damage a file `count` times, and run each file that is not refused; return the number of refused files."""
    command = [sys.executable, "-c", _RUN_CHILD, path, str(seed), str(count)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-500:]
    return int(result.stdout)


def test_damaged_files_never_crash_the_process(tiny_movenet: Path) -> None:
    assert _count_refused(tiny_movenet, seed=21, count=200) > 100


def test_damaged_copies_of_the_real_network_never_crash_the_process(test_data: Path) -> None:
    assert _count_refused(test_data / "models" / "movenet_lightning_int8.tflite", seed=22, count=100) > 30


def test_model_commands_support_it(tiny_movenet: Path, tmp_path: Path, posecli: Posecli) -> None:
    info = json.loads(posecli("model", "info", tiny_movenet, "--json").stdout)
    assert (info["network"], "output stride" in info) == ("MoveNet SinglePose", False)
    assert info["outputs"]["keypoints"].endswith("y, x and score, as fractions of the input")
    assert b"but a valid MoveNet SinglePose" in posecli("model", "verify", tiny_movenet).stdout
    result = posecli("model", "quantize", tiny_movenet, "-o", tmp_path / "x", "--calibrate", SAMPLES)
    assert (result.returncode, b"only PoseNet models can be quantised" in result.stderr) == (2, True)


def test_the_real_file_is_a_known_model(test_data: Path) -> None:
    file = read_model_file(test_data / "models" / "movenet_lightning_int8.tflite")
    assert (file.name, file.known) == ("movenet_singlepose_lightning_int8", True)
    assert "ten times faster" in runtime_hint(file, TFLITE_RUNTIME)
