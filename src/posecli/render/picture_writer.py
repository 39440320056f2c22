"""Annotated pictures as files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from posecli.files.atomic import whole_file

if TYPE_CHECKING:
    from PIL import Image

#: PNG compression: level 6 takes three times as long for pictures 3 % smaller.
PNG_LEVEL, LOSSY_QUALITY = 3, 90
_KINDS = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp"}


def save_picture(picture: Image.Image, path: str, kind: str) -> None:
    """Write a picture whole, as png, jpg or webp. Raises OutputError."""
    with whole_file(path) as file:
        if kind == "png":
            picture.save(file, "PNG", compress_level=PNG_LEVEL)
        elif kind == "webp":
            picture.save(file, "WEBP", quality=LOSSY_QUALITY)
        else:
            picture.convert("RGB").save(file, "JPEG", quality=LOSSY_QUALITY)


def picture_kind(path: str) -> str | None:
    """png, jpg or webp by a path's extension; None for any other."""
    return _KINDS.get(os.path.splitext(path)[1].lower())
