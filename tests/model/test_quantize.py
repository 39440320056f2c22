"""int8 models: quantisation of a float32 model, their results, and their provenance."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from posecli import PoseEstimator
from posecli.checks.calibrate import _pairs
from posecli.errors import UsageError
from posecli.model.graph import read_graph
from posecli.model.hints import runtime_hint
from posecli.model.locate import read_model_file
from posecli.model.runtime import ObservingRuntime
from posecli.model.runtime_choice import LITERT, TFLITE_RUNTIME
from posecli.poses.similarity import similarity
from posecli.types import RECIPES

from ..conftest import SAMPLES, Posecli
from ..inference.test_passes import pose

pytestmark = pytest.mark.usefixtures("litert")


@pytest.fixture
def litert(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use LiteRT: tflite-runtime is slow with 8-bit models, and the quantizer needs LiteRT."""
    monkeypatch.setenv("POSECLI_RUNTIME", "ai-edge-litert")


@pytest.fixture(scope="module")
def int8_models(real_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("int8")
    models = {}
    for recipe in RECIPES:
        models[recipe] = folder / f"{recipe}.tflite"
        command = ["model", "quantize", real_model, "-o", models[recipe], "--calibrate", SAMPLES, "--preset", "fast"]
        subprocess.run(
            [sys.executable, "-m", "posecli", *map(str, command), "--recipe", recipe], check=True, capture_output=True
        )
    return models


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_int8_models_find_the_same_people(recipe: str, int8_models: dict[str, Path], real_model: Path) -> None:
    path = int8_models[recipe]
    assert path.stat().st_size < real_model.stat().st_size / 3
    for options in ({}, {"stride": 16}, {"input_size": (385,)}, {"zoom": True}):
        expected = PoseEstimator(real_model, **options).estimate(SAMPLES / "three.jpg")
        found = PoseEstimator(path, **options).estimate(SAMPLES / "three.jpg")
        assert len(found.poses) == len(expected.poses) == 3
        for found_pose, expected_pose in zip(
            sorted(found.poses, key=lambda p: p.box), sorted(expected.poses, key=lambda p: p.box), strict=True
        ):
            distances = sorted(
                abs(a.x - b.x) + abs(a.y - b.y)
                for a, b in zip(found_pose.keypoints, expected_pose.keypoints, strict=True)
            )
            assert distances[8] < 0.02 * expected_pose.box[3], options


def test_recipes_keep_their_layers_in_float32(int8_models: dict[str, Path]) -> None:
    graphs = {recipe: read_graph(path.read_bytes()) for recipe, path in int8_models.items()}
    first_weights = [
        graph.tensors[next(op for op in graph.operators if op.kind == "CONV_2D").inputs[1]].dtype
        for graph in (graphs[recipe] for recipe in RECIPES)
    ]
    assert first_weights == ["float32", "int8", "int8"]
    assert all(graph.input.dtype == "int8" for graph in graphs.values())  # pixel values have 8 bits
    assert [graphs[recipe].outputs[0].dtype for recipe in RECIPES] == ["float32", "float32", "int8"]
    for graph in graphs.values():
        assert [op.kind for op in graph.operators].count("QUANTIZE") <= 1  # no repeated conversions


def test_the_file_contains_its_provenance(int8_models: dict[str, Path], real_model: Path, posecli: Posecli) -> None:
    info = json.loads(posecli("model", "info", int8_models["int8"], "--json").stdout)
    provenance = info["made by posecli"]
    assert provenance["source"]["sha256"] == read_model_file(real_model).sha256
    assert provenance["recipe"] == "int8"
    assert provenance["calibration"]["pictures"] == 3
    assert posecli("model", "verify", int8_models["float-ends"]).returncode == 0


def test_only_float32_models_can_be_quantised(int8_models: dict[str, Path], tmp_path: Path, posecli: Posecli) -> None:
    command = ["model", "quantize", int8_models["int8"], "-o", tmp_path / "x", "--calibrate", SAMPLES]
    result = posecli(*command, "--preset", "fast")
    assert (result.returncode, b"only float32" in result.stderr) == (2, True)
    assert not (tmp_path / "x").exists()


def test_an_existing_output_or_a_folder_without_pictures_is_a_usage_error(tmp_path: Path, posecli: Posecli) -> None:
    (tmp_path / "existing").write_text("x")
    (tmp_path / "empty").mkdir()
    result = posecli("model", "quantize", "-o", tmp_path / "existing", "--calibrate", SAMPLES)
    assert (result.returncode, b"--overwrite" in result.stderr) == (2, True)
    assert posecli("model", "quantize", "-o", tmp_path / "x", "--calibrate", tmp_path / "empty").returncode == 2


def test_the_observing_runtime_records_the_range_of_each_tensor(tiny_model: Path) -> None:
    graph = read_graph(tiny_model.read_bytes())
    runtime = ObservingRuntime(graph, threads=1)
    height, width = runtime.native_size_hw
    runtime.run(np.zeros((height, width, 3), np.uint8))
    assert runtime.ranges[graph.input.name] == (-1, -1)
    runtime.run(np.full((height, width, 3), 255, np.uint8))
    assert runtime.ranges[graph.input.name] == (-1, 1)
    assert set(runtime.ranges) == {tensor.name for tensor in graph.tensors if tensor.data is None}


def test_people_are_paired_by_similarity() -> None:
    truth = [pose(100, 100), pose(400, 100)]
    others = [pose(400, 100, shift=2), pose(700, 100)]
    assert similarity(truth[1], others[0]) > 0.3
    (distances,) = _pairs(truth, others)
    assert distances == pytest.approx([8**0.5] * len(distances))


def test_an_8_bit_model_on_tflite_runtime_gives_a_hint(
    int8_models: dict[str, Path], real_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    int8 = read_model_file(int8_models["float-ends"])
    assert "ten times faster (unset POSECLI_RUNTIME)" in runtime_hint(int8, TFLITE_RUNTIME)
    monkeypatch.delenv("POSECLI_RUNTIME")
    monkeypatch.setattr("posecli.model.runtime_choice.find_spec", lambda name: None)
    assert "ten times faster (pip install ai-edge-litert)" in runtime_hint(int8, TFLITE_RUNTIME)
    assert runtime_hint(int8, LITERT) == ""
    assert runtime_hint(read_model_file(real_model), TFLITE_RUNTIME) == ""


def test_invalid_settings_are_a_usage_error(posecli: Posecli, tmp_path: Path) -> None:
    result = posecli("model", "quantize", "-o", tmp_path / "x", "--calibrate", SAMPLES, "--input-size", "300")
    assert result.returncode == 2
    with pytest.raises(UsageError):
        PoseEstimator(input_size=300)
