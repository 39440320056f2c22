"""The address at which the model's authors publish it."""

from __future__ import annotations

from pathlib import Path

from posecli.model.catalog import KnownModel
from posecli.model.sources.http import download
from posecli.model.sources.progress import Progress


def offers(known: KnownModel) -> bool:
    """Whether the file itself is published."""
    return bool(known.address)


def bring(known: KnownModel, part: Path, progress: Progress) -> None:
    """Download the file to `part`, whole and right. Raises DownloadError."""
    download(known.address, part, size=known.size, sha256=known.sha256, progress=progress)
