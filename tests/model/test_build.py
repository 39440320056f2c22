"""The network built from TensorFlow.js weights: same results as the official graph, same bytes on every machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posecli.errors import ModelError
from posecli.model.build import build_posenet, read_weights
from posecli.model.catalog import BUILT_075, BUILT_257, KNOWN_MODELS
from posecli.model.graph import read_graph
from posecli.model.heads import find_posenet
from posecli.model.runtime import Runtime
from posecli.types import Maps

from ..conftest import SAMPLES
from ..tiny_weights import HEADS, to_tfjs, weight_tensors

OFFICIAL_OUTPUTS = ["heatmap_2", "offset_2", "displacement_fwd_2", "displacement_bwd_2"]
TINY_SHA256 = "6e99a9fbae11bbb26fa82eaffd711b1fdca8d7fb43b276ef36283ec239745938"


def build(topology: bytes, weights: bytes, size_hw: tuple[int, int] = (65, 97)) -> bytes:
    return build_posenet(topology, weights, input_size_hw=size_hw, provenance={"weights": "test"})


def maps_of(data: bytes, pixels: np.ndarray, stride: int | None = None) -> Maps:
    return Runtime(read_graph(data), threads=1, stride=stride).run(pixels)


def test_names_order_and_shapes_equal_the_official_ones() -> None:
    graph = read_graph(build(*to_tfjs(weight_tensors())))
    assert graph.input.describe() == "'sub_2' [1, 65, 97, 3] float32"
    assert [output.name for output in graph.outputs] == [f"MobilenetV1/{head}/BiasAdd" for head in OFFICIAL_OUTPUTS]
    assert [output.shape for output in graph.outputs] == [(1, 3, 4, HEADS[head]) for head in OFFICIAL_OUTPUTS]
    assert graph.provenance == '{"weights": "test"}'
    heads = find_posenet(graph)
    assert (heads.output_stride, heads.heatmaps_are_logits) == (32, True)


def test_the_narrow_network_has_an_output_stride_of_16() -> None:
    assert find_posenet(read_graph(build(*to_tfjs(weight_tensors(narrow=True))))).output_stride == 16


def test_the_same_weights_give_the_same_bytes_everywhere() -> None:
    tensors = {name: np.round(values * 64) / 64 for name, values in weight_tensors().items()}
    assert hashlib.sha256(build(*to_tfjs(tensors, quantised=False))).hexdigest() == TINY_SHA256


def test_the_network_runs_at_other_sizes_and_strides() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (129, 65, 3), np.uint8)
    data = build(*to_tfjs(weight_tensors()))
    coarse, fine = maps_of(data, pixels), maps_of(data, pixels, 16)
    assert (coarse.heatmaps.shape, fine.heatmaps.shape) == ((5, 3, 17), (9, 5, 17))


@pytest.mark.parametrize("quantised", [True, False])
def test_written_weights_are_read_back(quantised: bool) -> None:
    tensors = weight_tensors()
    found = read_weights(*to_tfjs(tensors, quantised=quantised))
    assert list(found) == list(tensors)
    for name, values in tensors.items():
        half_a_step = np.ptp(values) / 65535 / 2 if quantised else 0
        assert np.abs(found[name] - values).max() <= half_a_step * 1.01 + 1e-6 * quantised


@pytest.mark.parametrize("damage", ["cut", "longer", "no json", "no manifest", "missing tensor"])
def test_damaged_weights_raise_a_model_error(damage: str) -> None:
    topology, weights = to_tfjs(weight_tensors())
    if damage == "missing tensor":
        tensors = weight_tensors()
        del tensors["MobilenetV1/heatmap_2/Conv2D_bias"]
        topology, weights = to_tfjs(tensors)
    topology = {"no json": b"<html>", "no manifest": b"{}"}.get(damage, topology)
    weights = {"cut": weights[:-10], "longer": weights + b"more"}.get(damage, weights)
    with pytest.raises(ModelError):
        build(topology, weights)


def test_hashes_in_the_catalog_are_unique_and_models_have_a_source() -> None:
    assert len({known.sha256 for known in KNOWN_MODELS}) == len(KNOWN_MODELS)
    assert all(known.address or known.npm for known in KNOWN_MODELS)


@pytest.fixture(scope="session")
def built_model(built_models: dict[str, Path]) -> bytes:
    return built_models[BUILT_257.name].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("size_hw", [(257, 257), (225, 321)])
@pytest.mark.parametrize("stride", [None, 16, 8])
def test_its_maps_equal_those_of_the_official_graph(
    size_hw: tuple[int, int], stride: int | None, built_model: bytes, test_data: Path
) -> None:
    official = (test_data / "models" / "posenet_257_s32_16bit.tflite").read_bytes()
    pixels = np.asarray(Image.open(SAMPLES / "three.jpg").convert("RGB").resize(size_hw[::-1]))
    expected, found = maps_of(official, pixels, stride), maps_of(built_model, pixels, stride)
    for name in ("heatmaps", "offsets", "displacement_fwd", "displacement_bwd"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_the_narrow_network_finds_people(built_models: dict[str, Path]) -> None:
    pixels = np.asarray(Image.open(SAMPLES / "three.jpg").convert("RGB").resize((353, 257)))
    maps = maps_of(built_models[BUILT_075.name].read_bytes(), pixels)
    assert (maps.output_stride, maps.heatmaps.shape) == (16, (17, 23, 17))
    assert (maps.heatmaps.max(axis=(0, 1)) > 0.5).sum() >= 15
