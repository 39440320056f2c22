"""The catalog of known models: names, sizes, hashes and sources. Data only."""

from __future__ import annotations

from typing import NamedTuple

_MOVENET = "https://www.kaggle.com/api/v1/models/google/movenet/tfLite/{}/1/download"
_OFFICIAL_HOST = "https://storage.googleapis.com/download.tensorflow.org/models/tflite/"


class PackedFile(NamedTuple):
    """A file inside an npm package."""

    path: str
    size: int
    sha256: str


class NpmWeights(NamedTuple):
    """Weights in TensorFlow.js format inside an npm package. integrity: the registry's SHA-512 of the tarball."""

    package: str
    version: str
    size: int
    integrity: str
    topology: PackedFile
    weights: PackedFile


class KnownModel(NamedTuple):
    """A model that is identified by its hash. input_size: height and width of its input in pixels.

    address: official URL of the file; empty if posecli builds the file.
    member: the file's name if `address` is a tar.gz; empty if `address` is the file itself.
    npm: weights from which `model.build` builds the file; None if the file itself is published.
    """

    name: str
    file_name: str
    size: int
    sha256: str
    input_size: tuple[int, int]
    address: str = ""
    npm: NpmWeights | None = None
    licence: str = "Apache-2.0"
    member: str = ""


def _official(side: int, size: int, sha256: str) -> KnownModel:
    name = f"posenet_mobilenet_v1_100_{side}x{side}"
    file_name = f"{name}_multi_kpt_stripped.tflite"
    return KnownModel(name, file_name, size, sha256, (side, side), address=_OFFICIAL_HOST + file_name)


def _movenet(variant: str, kind: str, side: int, size: int, sha256: str) -> KnownModel:
    name = f"movenet_singlepose_{variant}_{kind}"
    address = _MOVENET.format(f"singlepose-{variant}-tflite-{kind}")
    return KnownModel(name, f"{name}.tflite", size, sha256, (side, side), address=address, member="4.tflite")


def _built(name: str, size: int, sha256: str, npm: NpmWeights) -> KnownModel:
    return KnownModel(name, f"{name}.tflite", size, sha256, (257, 257), npm=npm)


_NPM_PACKAGE = "@vladmandic/human"
_WIDE = NpmWeights(
    _NPM_PACKAGE,
    "1.0.2",
    43_954_869,
    "sha512-EdrnXmDBsFqSFe349E/FAuqUzpt9RV7gaWHjeSIwU0iUttvbuOPeYtT3wAmy7aSejl/eL36PjrJncnv/wRyqhw==",
    PackedFile("models/posenet.json", 50_933, "459e7fb016a2926580753188b4435ad5693c299b81a9d6e7494eb839b5c5b511"),
    PackedFile("models/posenet.bin", 6_627_814, "2d7095f79cc8082a8352b3eb74da04d991896a9c9715ae86815e76d6a42f90bb"),
)
_NARROW = NpmWeights(
    _NPM_PACKAGE,
    "0.8.8",
    33_391_463,
    "sha512-CarRWS5KSl+MMUHLahxX5aMWvUkOduT8XYaCoPzRHENH6K7T0IX5LL8yUAj17ET/ioNePXeGy0uloIOpei4FZg==",
    PackedFile("models/posenet.json", 48_039, "2d3685ad25b6191e5920c7e0437ea99661642416bf97dd9da4dd8954f2a244e8"),
    PackedFile("models/posenet.bin", 5_032_780, "7d65385c84e6af3da3786068dd13dceba98b2ff4ccf8bc3ae9e2f2525f818a02"),
)

OFFICIAL_257 = _official(257, 13_269_068, "7bcc1efa3010de45640406a4ce0acc2ef89a742021f11adacdca2fd6e494fa07")
OFFICIAL_513 = _official(513, 13_268_992, "2fb9760d6912f77dc6347ad1067ae6f21b1a25015173e356b62547c57ced4ac5")
#: The official network and weights. The weights are rounded to 16 bits: 65,536 steps over each tensor's range.
BUILT_257 = _built(
    "posenet_mobilenet_v1_100_257x257_16bit",
    13_271_928,
    "99b0ff38a3b0ed21c120bebd7dc41ff3be1d1229fd3ebe678b766355614500a9",
    _WIDE,
)
#: The narrow network: three quarters of the channels, native output stride 16.
BUILT_075 = _built(
    "posenet_mobilenet_v1_075_257x257",
    5_049_080,
    "06eb88456d10f51e03621416d590c475b99955942af8fc9db8737f2d1b87e116",
    _NARROW,
)

#: MoveNet SinglePose, for crops of one person. It is used only if the user names it.
MOVENETS = (
    _movenet("lightning", "int8", 192, 2_894_840, "cd7cc22fa946e5d146a7b98d496853e1923e22828d3972d579973f27f91bb105"),
    _movenet(
        "lightning", "float16", 192, 4_758_512, "0fac2226112d0371903ca86e3853cec24ef603a0b2f96f589b180f0ebdd135ab"
    ),
    _movenet("thunder", "int8", 256, 7_126_768, "b72fed22707cd6fb94b5a248b9bddb9c062b9f445471b4fa263407cf6d222011"),
    _movenet("thunder", "float16", 256, 12_584_128, "41641538679ec79b07d4101e591dda47d098c09af29607674b2a40b8a3798dd3"),
)

KNOWN_MODELS = (OFFICIAL_257, OFFICIAL_513, BUILT_257, BUILT_075, *MOVENETS)
#: The models that are used if the user names none: the first that is on this machine, otherwise the first that can be
#: downloaded.
DEFAULT_MODELS = (OFFICIAL_257, BUILT_257)


def find_by_name(name: str) -> KnownModel | None:
    """The known model with this name or file name, or None."""
    return next((known for known in KNOWN_MODELS if name in (known.name, known.file_name)), None)
