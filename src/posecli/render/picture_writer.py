"""Writes annotated pictures to files."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from posecli.errors import UnsupportedImage
from posecli.files.atomic import atomic_file

if TYPE_CHECKING:
    from PIL import Image

#: PNG compression level: 6 takes three times as long, for files that are 3 % smaller. Quality of JPEG and WebP.
PNG_LEVEL, LOSSY_QUALITY = 3, 90
_KINDS = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp"}


def save_picture(picture: Image.Image, path: str, kind: str) -> None:
    """Write a picture as png, jpg or webp, complete or not at all. Raises OutputError if the file cannot be written,
    UnsupportedImage if the picture cannot be encoded."""
    data = _encoded(picture, path, kind)
    with atomic_file(path) as file:
        file.write(data)


def _encoded(picture: Image.Image, path: str, kind: str) -> bytes:
    """Encode a picture in memory, so that errors of encoding and of writing can be told apart."""
    file = io.BytesIO()
    try:
        if kind == "png":
            picture.save(file, "PNG", compress_level=PNG_LEVEL)
        elif kind == "webp":
            picture.save(file, "WEBP", quality=LOSSY_QUALITY)
        else:
            picture.convert("RGB").save(file, "JPEG", quality=LOSSY_QUALITY)
    except (OSError, ValueError, MemoryError) as error:
        size = f"{picture.width} x {picture.height} pixels"
        raise UnsupportedImage(
            f"{path}: {size} cannot be written as {kind} ({error or 'not enough memory'})"
        ) from error
    return file.getvalue()


def picture_kind(path: str) -> str | None:
    """png, jpg or webp, by a path's extension; None for other extensions."""
    return _KINDS.get(os.path.splitext(path)[1].lower())
