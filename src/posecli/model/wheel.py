"""Writes a wheel that contains only a model, for `pip install` on machines without a network.

Source of the format: the binary distribution format of PyPA's specifications (a zip archive with a `.dist-info`
folder). The same model gives the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zipfile
from typing import IO

from posecli.model.installed import DISTRIBUTION_PREFIX, ENTRY_POINT_GROUP, MANIFEST_NAME
from posecli.model.locate import ModelFile

VERSION = "1.0.0"
_TAG = "py3-none-any"
#: The earliest date in the zip format.
_DATE = (1980, 1, 1, 0, 0, 0)


def wheel_name(model: ModelFile) -> str:
    """The file name of a model's wheel."""
    return f"{_package_name(model)}-{VERSION}-{_TAG}.whl"


def write_wheel(model: ModelFile, file: IO[bytes], *, licence: str) -> None:
    """Write the wheel of a model: its file, a manifest with its SHA-256, and the entry point that names it."""
    package, file_name = _package_name(model), model.path.name
    info = f"{package}-{VERSION}.dist-info"
    manifest = {"name": model.name, "file_name": file_name, "size": len(model.data), "sha256": model.sha256}
    members = {
        f"{package}/__init__.py": f'"""The model {model.name} for posecli: data only."""\n'.encode(),
        f"{package}/{MANIFEST_NAME}": json.dumps({**manifest, "licence": licence}, indent=2).encode(),
        f"{package}/{file_name}": model.data,
        f"{info}/METADATA": _metadata(model, package, licence).encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: posecli\nRoot-Is-Purelib: true\nTag: {_TAG}\n".encode(),
        f"{info}/entry_points.txt": f"[{ENTRY_POINT_GROUP}]\n{model.name} = {package}\n".encode(),
    }
    records = [f"{name},sha256={_urlsafe_sha256(data)},{len(data)}\n" for name, data in members.items()]
    members[f"{info}/RECORD"] = "".join([*records, f"{info}/RECORD,,\n"]).encode()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)


def _package_name(model: ModelFile) -> str:
    return DISTRIBUTION_PREFIX + re.sub(r"[^a-z0-9]+", "_", model.name.lower()).strip("_")


def _metadata(model: ModelFile, package: str, licence: str) -> str:
    return (
        f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: {VERSION}\n"
        f"Summary: The model {model.name} for posecli\nLicense: {licence}\nRequires-Python: >=3.8\n"
    )


def _urlsafe_sha256(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
