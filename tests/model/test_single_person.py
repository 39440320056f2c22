"""Networks for one person: told by their shapes, run at their one size, refused where damaged."""

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
from posecli.model.heads import Heads, check_fixed_input, find_heads, find_single_person, name_heads
from posecli.model.hints import runtime_hint
from posecli.model.locate import read_model_file
from posecli.model.runtime import SinglePersonRuntime
from posecli.model.runtime_choice import TFLITE_RUNTIME
from posecli.types import DecodedPose

from ..conftest import SAMPLES, Posecli
from ..tiny_model import draw_discs, person_at
from ..tiny_movenet import SIDE, tiny_movenet


def look(data: bytes, image: np.ndarray) -> DecodedPose:
    graph = read_graph(data)
    heads = find_single_person(graph)
    assert heads is not None
    return decode_output(SinglePersonRuntime(graph, heads, threads=1).run(image))


@pytest.mark.parametrize("input_type", ["uint8", "int32", "float32"])
def test_pixel_values_go_in_as_they_are(input_type: str) -> None:
    person = person_at(48, 30, 0.5)
    pose = look(tiny_movenet(input_type=input_type), np.asarray(draw_discs([person], (SIDE, SIDE), radius=4)))
    np.testing.assert_allclose(pose.xy, person, atol=0.1)
    assert pose.scores.min() > 0.9


def test_an_empty_picture_gives_low_scores_and_no_nan() -> None:
    pose = look(tiny_movenet(), np.full((SIDE, SIDE, 3), 128, np.uint8))
    assert pose.score < 0.05
    assert np.isfinite(pose.xy).all()


def test_the_kind_of_network_is_told_by_its_shapes(tiny_movenet: Path, tiny_model: Path) -> None:
    heads = find_single_person(read_graph(tiny_movenet.read_bytes()))
    assert heads is not None
    assert (heads.network.title, heads.input_size, heads.output.shape) == ("MoveNet SinglePose", SIDE, (1, 1, 17, 3))
    assert isinstance(find_heads(read_graph(tiny_model.read_bytes())), Heads)
    assert find_single_person(read_graph(tiny_model.read_bytes())) is None


def test_a_file_that_is_neither_names_both() -> None:
    graph = read_graph(tiny_movenet(output_shape=(1, 1, 3, 17)))
    with pytest.raises(ModelError, match=r"no PoseNet and no MoveNet.*heatmaps.*one output \[1, 1, 17, 3\].*found .*"):
        find_heads(graph)


def test_where_only_a_posenet_will_do(tiny_movenet: Path) -> None:
    with pytest.raises(ModelError, match="it is a MoveNet SinglePose, and only a PoseNet"):
        name_heads(read_graph(tiny_movenet.read_bytes()))


def test_its_input_has_one_size(tiny_movenet: Path) -> None:
    graph = read_graph(tiny_movenet.read_bytes())
    heads = find_single_person(graph)
    assert heads is not None
    check_fixed_input(heads, stride=None, input_size=None)
    with pytest.raises(UsageError, match="no choice of an output stride: its input is always 96 x 96"):
        check_fixed_input(heads, stride=16, input_size=None)
    with pytest.raises(UsageError, match="no choice of an input size"):
        check_fixed_input(heads, stride=None, input_size=257)
    runtime = SinglePersonRuntime(graph, heads, threads=1)
    assert runtime.native_size_hw == (SIDE, SIDE)
    with pytest.raises(ValueError, match="the network takes"):
        runtime.run(np.zeros((SIDE + 1, SIDE, 3), np.uint8))


def test_numbers_that_are_not_finite_are_an_error() -> None:
    data = bytearray(tiny_movenet(input_type="float32"))
    (bias,) = (tensor for tensor in read_graph(bytes(data)).tensors if tensor.name == "shares/bias")
    assert bias.data is not None
    data[slice(bias.data[0], sum(bias.data))] = bytes(bias.data[1])
    with pytest.raises(ModelError, match="not finite"):
        look(bytes(data), np.full((SIDE, SIDE, 3), 128, np.uint8))


@pytest.mark.parametrize(("name", "sample"), [("exercise.jpg", 0), ("wave.jpg", 0)])
def test_the_real_network_sees_what_posenet_sees(name: str, sample: int, test_data: Path, real_model: Path) -> None:
    picture = Image.open(SAMPLES / name).convert("RGB")
    expected = PoseEstimator(real_model, preset="balanced").estimate(SAMPLES / name).poses[sample]
    x, y, width, height = expected.box
    side = 1.25 * max(width, height)
    left, top = x + (width - side) / 2, y + (height - side) / 2
    crop = picture.transform(
        (192, 192), Image.Transform.EXTENT, (left, top, left + side, top + side), Image.Resampling.BILINEAR
    )
    pose = look((test_data / "models" / "movenet_lightning_int8.tflite").read_bytes(), np.asarray(crop))
    theirs = np.array([(point.x, point.y) for point in expected.keypoints])
    distances = np.linalg.norm(pose.xy * side / 192 + (left, top) - theirs, axis=1) / side
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
good, seed, count = Path(sys.argv[1]).read_bytes(), int(sys.argv[2]), int(sys.argv[3])
places = np.ones(len(good), bool)
for tensor in read_graph(good).tensors:
    if tensor.data and tensor.dtype != "int32":
        places[tensor.data[0] : sum(tensor.data)] = False
places, dice, refused = np.nonzero(places)[0], np.random.default_rng(seed), 0
for _ in range(count):
    data = bytearray(good)
    for _ in range(dice.integers(1, 4)):
        data[int(dice.choice(places))] = int(dice.choice([0, 1, 2, 128, 255, dice.integers(256)]))
    try:
        graph = read_graph(bytes(data))
        heads = find_single_person(graph)
        if heads is not None:
            image = dice.integers(0, 256, (heads.input_size, heads.input_size, 3), dtype=np.uint8)
            SinglePersonRuntime(graph, heads, threads=1).run(image)
    except ModelError:
        refused += 1
print(refused)
"""


def _refused(path: Path, *, seed: int, count: int) -> int:
    command = [sys.executable, "-c", _RUN_CHILD, path, str(seed), str(count)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-500:]
    return int(result.stdout)


def test_damaged_files_never_crash_the_process(tiny_movenet: Path) -> None:
    assert _refused(tiny_movenet, seed=21, count=200) > 100


def test_the_damaged_real_network_never_crashes_the_process(test_data: Path) -> None:
    assert _refused(test_data / "models" / "movenet_lightning_int8.tflite", seed=22, count=100) > 30


def test_the_commands_know_it(tiny_movenet: Path, tmp_path: Path, posecli: Posecli) -> None:
    info = json.loads(posecli("model", "info", tiny_movenet, "--json").stdout)
    assert (info["network"], "output stride" in info) == ("MoveNet SinglePose", False)
    assert info["outputs"]["keypoints"].endswith("y, x and score, as fractions of the input")
    assert b"but a sound MoveNet SinglePose" in posecli("model", "verify", tiny_movenet).stdout
    wanted = ["model", "quantize", tiny_movenet, "-o", tmp_path / "x", "--calibrate", SAMPLES]
    result = posecli(*wanted)
    assert (result.returncode, b"only PoseNet models can be quantised" in result.stderr) == (2, True)


def test_the_real_file_is_known(test_data: Path) -> None:
    file = read_model_file(test_data / "models" / "movenet_lightning_int8.tflite")
    assert (file.name, file.known) == ("movenet_singlepose_lightning_int8", True)
    assert "ten times faster" in runtime_hint(file, TFLITE_RUNTIME)
