"""The official address of a model: the file itself, or a tar.gz that contains it."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from functools import partial
from pathlib import Path

from posecli.model.catalog import KnownModel
from posecli.model.sources.http import TransientError, download, download_until
from posecli.model.sources.progress import Progress

#: Limit in bytes of a tar.gz beyond the size of the model: weights hardly compress, and headers are small.
_ARCHIVE_OVERHEAD = 1 << 20
#: Limit of entries that are read in an archive.
_MAX_ENTRIES = 100


def offers(known: KnownModel) -> bool:
    """Whether the model file is published."""
    return bool(known.address)


def download_file(known: KnownModel, part: Path, progress: Progress) -> None:
    """Download the model to `part`, and check it. Raises DownloadError."""
    if not known.member:
        download(known.address, part, size=known.size, sha256=known.sha256, progress=progress)
        return
    archive = part.with_name(f"{known.file_name}.tar.gz.part")
    limit = known.size + _ARCHIVE_OVERHEAD
    download_until(partial(_unpack, archive, known, part), known.address, archive, limit=limit, progress=progress)
    archive.unlink()


def _unpack(archive: Path, known: KnownModel, part: Path) -> None:
    """Extract the model from a tar.gz to `part`.

    Raises TransientError, and deletes the archive, if the model in it is not complete or has a wrong hash.
    """
    try:
        data = _read_member(archive, known)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        archive.unlink()
        raise TransientError(f"the downloaded file is not a readable tar.gz: {error}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != known.sha256:
        archive.unlink()
        raise TransientError(f"{known.member} in the archive has the SHA-256 {digest}, expected {known.sha256}")
    part.write_bytes(data)


def _read_member(archive: Path, known: KnownModel) -> bytes:
    """The bytes of the model: a regular file with the expected name and size. No entry is extracted to the disk.

    Raises EOFError for a truncated archive, and TarError, zlib.error or OSError for an invalid one.
    """
    with tarfile.open(archive, "r|gz", errorlevel=2) as entries:
        for _, entry in zip(range(_MAX_ENTRIES), entries, strict=False):
            if entry.name.removeprefix("./") != known.member:
                if entry.size > _ARCHIVE_OVERHEAD:
                    raise tarfile.ReadError(f"its entry {entry.name!r} is too large: {entry.size} bytes")
                continue
            if not entry.isreg() or entry.size != known.size:
                raise tarfile.ReadError(
                    f"expected the file {known.member} of {known.size} bytes, found an entry that is not a file"
                    if not entry.isreg()
                    else f"expected {known.member} of {known.size} bytes, found {entry.size}"
                )
            stream = entries.extractfile(entry)
            assert stream is not None
            data = stream.read(known.size)
            if len(data) < known.size:
                raise EOFError
            return data
    raise tarfile.ReadError(f"it does not contain {known.member}")
