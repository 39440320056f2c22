"""The address at which the model's authors publish it: the file itself, or a tar.gz that holds it."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from functools import partial
from pathlib import Path

from posecli.model.catalog import KnownModel
from posecli.model.sources.http import TransientError, download, download_until
from posecli.model.sources.progress import Progress

#: Bytes that a tar.gz may have beyond those of the model: weights hardly shrink, and headers are small.
_ARCHIVE_OVERHEAD = 1 << 20
#: Entries of an archive that are looked at.
_MOST_ENTRIES = 100


def offers(known: KnownModel) -> bool:
    """Whether the file itself is published."""
    return bool(known.address)


def bring(known: KnownModel, part: Path, progress: Progress) -> None:
    """Download the file to `part`, whole and right. Raises DownloadError."""
    if not known.member:
        download(known.address, part, size=known.size, sha256=known.sha256, progress=progress)
        return
    archive = part.with_name(f"{known.file_name}.tar.gz.part")
    limit = known.size + _ARCHIVE_OVERHEAD
    download_until(partial(_unpack, archive, known, part), known.address, archive, limit=limit, progress=progress)
    archive.unlink()


def _unpack(archive: Path, known: KnownModel, part: Path) -> None:
    """Write the model in a tar.gz to `part`. Raises TransientError, and deletes the archive, where the model is not
    whole and right there."""
    try:
        data = _read_member(archive, known)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        archive.unlink()
        raise TransientError(f"what came is no tar.gz that can be read: {error}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != known.sha256:
        archive.unlink()
        raise TransientError(f"{known.member} in what came has the SHA-256 {digest}, expected {known.sha256}")
    part.write_bytes(data)


def _read_member(archive: Path, known: KnownModel) -> bytes:
    """The bytes of a regular file of the right name and size; nothing is written, wherever other entries lead.

    Raises EOFError for an archive that is cut off, TarError, zlib.error or OSError for one that is no good.
    """
    with tarfile.open(archive, "r|gz", errorlevel=2) as entries:
        for _, entry in zip(range(_MOST_ENTRIES), entries, strict=False):
            if entry.name.removeprefix("./") != known.member:
                if entry.size > _ARCHIVE_OVERHEAD:
                    raise tarfile.ReadError(f"{entry.name!r} in it has {entry.size} bytes")
                continue
            if not entry.isreg() or entry.size != known.size:
                raise tarfile.ReadError(
                    f"expected the file {known.member} of {known.size} bytes, found {entry.size} bytes of another kind"
                    if not entry.isreg()
                    else f"expected {known.member} of {known.size} bytes, found {entry.size}"
                )
            stream = entries.extractfile(entry)
            assert stream is not None
            data = stream.read(known.size)
            if len(data) < known.size:
                raise EOFError
            return data
    raise tarfile.ReadError(f"it holds no {known.member}")
