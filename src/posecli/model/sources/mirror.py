"""Mirrors: URLs in POSECLI_MODEL_URL, separated by spaces. A URL that ends in / is a folder of model files."""

from __future__ import annotations

import os
from pathlib import Path

from posecli.errors import DownloadError
from posecli.model.catalog import KnownModel
from posecli.model.sources.http import download
from posecli.model.sources.progress import Progress


def addresses() -> list[str]:
    """The mirrors that the user has named."""
    return os.environ.get("POSECLI_MODEL_URL", "").split()


def offers(known: KnownModel) -> bool:
    """Whether the user has named a mirror. A mirror may have any model."""
    return bool(addresses())


def download_file(known: KnownModel, part: Path, progress: Progress) -> None:
    """Download the model from the first mirror that has it to `part`, and check it. Raises DownloadError."""
    failures = []
    for address in addresses():
        url = address + known.file_name if address.endswith("/") else address
        try:
            download(url, part, size=known.size, sha256=known.sha256, progress=progress)
            return
        except DownloadError as error:
            failures.append(error)
    raise DownloadError("; ".join(error.message for error in failures), failures[-1].hint)
