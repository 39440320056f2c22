"""Detects by a file's first bytes whether it holds one picture, perhaps several, or a video.

Detection takes a bounded number of small reads for any file, so the main process of a run can do it. Anything more is
left to processes that may fail.
"""

from __future__ import annotations

import codecs
import io
import os
import stat
from collections.abc import Callable
from enum import Enum
from typing import IO, Literal

#: Bytes that are read first, and the most segments or chunks that are skipped to find the one that decides.
HEAD_BYTES, _MOST_PARTS = 512, 64
VIDEO_EXTENSIONS = frozenset(
    (
        ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts",
        ".webm", ".wmv",
    )
)  # fmt: skip
#: Extensions of HEIC and other HEIF pictures.
HEIF_EXTENSIONS = frozenset((".heic", ".heics", ".heif", ".heifs", ".hif"))
_PNG = b"\x89PNG\r\n\x1a\n"
#: Brands of ISO files that hold pictures rather than videos. Sequences of AVIF pictures have a brand of their own.
_HEIF_BRANDS, _AVIF_BRANDS, _SEQUENCE_BRAND = (
    (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"),
    (b"avif", b"avis"),
    b"avis",
)
#: A packet of an MPEG transport stream begins with this byte; M2TS puts four bytes before it.
_SYNC, _PACKET, _STAMPED_PACKET = 0x47, 188, 192
#: Header bit of an animated WebP; markers of a JPEG that end the segments before its pixels.
_WEBP_IS_ANIMATED, _JPEG_ENDS = 0x02, (0xD9, 0xDA)


class Content(Enum):
    """What a file may hold. UNKNOWN: the first bytes do not tell."""

    PICTURE = "one picture"
    SEQUENCE = "perhaps several pictures"
    VIDEO = "a video"
    UNKNOWN = "unknown"


def content_of(source: str | bytes) -> Content:
    """What a local file, or its bytes, may hold. UNKNOWN if it cannot be read or is not a regular file."""
    if isinstance(source, bytes):
        return _content(io.BytesIO(source))
    try:
        with _open_regular(source) as file:
            return _content(file)
    except (OSError, ValueError):
        return Content.UNKNOWN


def _open_regular(path: str) -> IO[bytes]:
    """Open a regular file. Raises OSError for anything else: opening a pipe may block."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"{path} is not a regular file")
    return open(path, "rb")


def means_video(content: Content, name: str) -> bool:
    """Whether a file is a video: by its content or, if that is UNKNOWN, by its name."""
    if content is Content.UNKNOWN:
        return os.path.splitext(name)[1].lower() in VIDEO_EXTENSIONS
    return content is Content.VIDEO


def begins_as_text(path: str) -> bool:
    """Whether the first bytes of a local file are text without control characters. False if it is empty or cannot be
    read."""
    try:
        with _open_regular(path) as file:
            head = codecs.getincrementaldecoder("utf-8")().decode(file.read(HEAD_BYTES))
    except (OSError, ValueError):
        return False
    return bool(head) and all(character.isprintable() or character.isspace() for character in head.lstrip("\ufeff"))


def is_heif(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a HEIC or other HEIF picture. False for AVIF, which is HEIF with
    another codec."""
    if head[4:8] != b"ftyp":
        return False
    brands = _brands(head)
    return brands[0] in _HEIF_BRANDS and not any(brand in _AVIF_BRANDS for brand in brands)


def _content(file: IO[bytes]) -> Content:
    head = file.read(HEAD_BYTES)
    for start, magic, found in _SIGNATURES:
        if head.startswith(magic, start):
            return found if isinstance(found, Content) else found(file, head)
    return Content.VIDEO if _is_transport_stream(head) else Content.UNKNOWN


def _of_jpeg(file: IO[bytes], head: bytes) -> Content:
    """A JPEG holds several pictures if one of its segments lists them (MPF)."""
    place = 2
    for _ in range(_MOST_PARTS):
        file.seek(place)
        segment = file.read(8)
        if len(segment) < 4 or segment[0] != 0xFF or segment[1] in _JPEG_ENDS:
            return Content.PICTURE
        if segment[1] == 0xE2 and segment[4:8] == b"MPF\0":
            return Content.SEQUENCE
        place += 2 + int.from_bytes(segment[2:4], "big")
    return Content.SEQUENCE


def _of_png(file: IO[bytes], head: bytes) -> Content:
    """A PNG is animated if an acTL chunk precedes its pixels."""
    place = len(_PNG)
    for _ in range(_MOST_PARTS):
        file.seek(place)
        chunk = file.read(8)
        if chunk[4:] == b"acTL":
            return Content.SEQUENCE
        if len(chunk) < 8 or chunk[4:] in (b"IDAT", b"IEND"):
            return Content.PICTURE
        place += 12 + int.from_bytes(chunk[:4], "big")
    return Content.SEQUENCE


def _of_riff(file: IO[bytes], head: bytes) -> Content:
    if head[8:12] == b"AVI ":
        return Content.VIDEO
    if head[8:12] != b"WEBP":
        return Content.UNKNOWN
    is_animated = head[12:16] == b"VP8X" and len(head) > 20 and head[20] & _WEBP_IS_ANIMATED
    return Content.SEQUENCE if is_animated else Content.PICTURE


def _of_iso(file: IO[bytes], head: bytes) -> Content:
    """A HEIF file of several pictures counts as its primary one: the second view of a portrait is not a frame."""
    brands = _brands(head)
    if _SEQUENCE_BRAND in brands:
        return Content.SEQUENCE
    return Content.PICTURE if brands[0] in (*_HEIF_BRANDS, *_AVIF_BRANDS) else Content.VIDEO


def _brands(head: bytes) -> list[bytes]:
    """The brands of an ISO file: the major brand, then the compatible ones."""
    length = int.from_bytes(head[:4], "big")
    return [head[8:12], *(head[start : start + 4] for start in range(16, min(length, len(head)), 4))]


def _of_tiff(file: IO[bytes], head: bytes) -> Content:
    """A TIFF holds one picture if its first directory has no next one."""
    order: Literal["little", "big"] = "little" if head.startswith(b"II") else "big"

    def number(place: int, size: int) -> int:
        file.seek(place)
        return int.from_bytes(file.read(size), order)

    directory = number(4, 4)
    return Content.SEQUENCE if number(directory + 2 + 12 * number(directory, 2), 4) else Content.PICTURE


def _is_transport_stream(head: bytes) -> bool:
    return any(
        len(head) > start + size and head[start] == head[start + size] == _SYNC
        for start, size in ((0, _PACKET), (4, _STAMPED_PACKET))
    )


#: Offset, bytes there, and the content: known, or found by a function that reads more.
_SIGNATURES: tuple[tuple[int, bytes, Content | Callable[[IO[bytes], bytes], Content]], ...] = (
    (0, b"\xff\xd8\xff", _of_jpeg),
    (0, _PNG, _of_png),
    (0, b"RIFF", _of_riff),
    (4, b"ftyp", _of_iso),
    (0, b"II*\0", _of_tiff),
    (0, b"MM\0*", _of_tiff),
    (0, b"BM", Content.PICTURE),
    (0, b"GIF8", Content.SEQUENCE),
    (0, b"II+\0", Content.SEQUENCE),  # BigTIFF
    (0, b"MM\0+", Content.SEQUENCE),
    (0, b"\xb1\x68\xde\x3a", Content.SEQUENCE),  # DCX
    (4, b"\x11\xaf", Content.SEQUENCE),  # FLI
    (4, b"\x12\xaf", Content.SEQUENCE),  # FLC
    (0, b"\x1aE\xdf\xa3", Content.VIDEO),  # Matroska, WebM
    (0, b"FLV\x01", Content.VIDEO),
    (0, b"0&\xb2u\x8ef\xcf\x11", Content.VIDEO),  # ASF, WMV
    (0, b"OggS", Content.VIDEO),
    (0, b"\x00\x00\x01\xba", Content.VIDEO),  # MPEG program stream
    (0, b"\x00\x00\x01\xb3", Content.VIDEO),  # MPEG video
    (4, b"moov", Content.VIDEO),
    (4, b"mdat", Content.VIDEO),
    (4, b"wide", Content.VIDEO),
)
