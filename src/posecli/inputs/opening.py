"""Opens pictures with Pillow, within this process; no pixels are decoded and no other program is started."""

from __future__ import annotations

import warnings
from typing import IO

from PIL import Image, UnidentifiedImageError

from posecli.errors import ImageTooLarge, UnsupportedImage
from posecli.extras import import_extra, installed
from posecli.inputs.signature import HEAD_BYTES, is_heif
from posecli.region import Region

#: Formats that Pillow recognises but does not decode by itself. For some of them it starts another program.
NOT_DECODED = frozenset(("BUFR", "EPS", "FPX", "GRIB", "HDF5", "IPTC", "MIC", "MPEG", "WMF"))
#: Formats that Pillow always loads before it opens a file. Loading the others takes time.
_LOADED = ("JPEG", "PNG", "BMP", "DIB", "GIF", "PPM")
#: Pillow's name for HEIC and other HEIF pictures, after pillow-heif (extra `heif`) is registered.
HEIF = "HEIF"
#: The MPF tag with which an MPO lists its pictures.
_MPF_ENTRIES = 0xB002


def too_large(name: str, width: int, height: int, max_pixels: int) -> ImageTooLarge:
    """The error of a picture or frame with too many pixels."""
    return ImageTooLarge(
        f"{name} has {width} x {height} pixels, more than the limit of {max_pixels}", "--max-pixels raises it"
    )


def check_region(name: str, region: Region | None, width: int, height: int) -> None:
    """Raise UnsupportedImage if a picture or frame does not overlap the region. region: None is the whole picture."""
    if region is not None and region.box_in(width, height) is None:
        raise UnsupportedImage(f"{name} has {width} x {height} pixels, and the region {region} lies outside of them")


def holds_several(image: Image.Image) -> bool:
    """Whether the file of an opened picture holds several: frames of an animation, or pages. Raises Pillow's errors.

    The layers of a PSD are one picture. A HEIF file counts as its primary picture. Many cameras append a preview or a
    gain map to a JPEG: further pictures of an MPO count only if it declares them as taken together (Multi-Frame), or
    if they have the first one's size.
    """
    if not getattr(image, "is_animated", False) or image.format in ("PSD", HEIF):
        return False
    return image.format != "MPO" or _is_taken_together(image)


def _is_taken_together(image: Image.Image) -> bool:
    entries = image.mpinfo[_MPF_ENTRIES]  # type: ignore[attr-defined]
    kinds = {entry["Attribute"]["MPType"] for entry in entries[1:]}
    if any(kind.startswith("Multi-Frame") for kind in kinds):
        return True
    if kinds != {"Undefined"}:
        return False
    size, mode = image.size, image.mode
    try:
        image.seek(1)
        return (image.size, image.mode) == (size, mode)
    except Exception:  # a preview that is damaged or missing does not matter
        return False
    finally:
        image.seek(0)


def open_image(file: IO[bytes]) -> Image.Image:
    """Open a picture of a format that Pillow decodes by itself, in this process. Its pixels are not decoded yet.

    Raises Pillow's errors.
    """
    try:
        return Image.open(file, formats=_LOADED)
    except UnidentifiedImageError:
        Image.init()
        file.seek(0)
        formats = _heif() if is_heif(file.read(HEAD_BYTES)) else [name for name in Image.ID if name not in NOT_DECODED]
        file.seek(0)
        return Image.open(file, formats=formats)


def _heif() -> list[str]:
    """Pillow's formats for HEIF: none if the extra `heif` is not installed."""
    if not installed("heif"):
        return []
    if HEIF not in Image.OPEN:
        import_extra("pillow_heif", extra="heif").register_heif_opener(thumbnails=False, decode_threads=1)
    return [HEIF]


def limit_pillow(max_pixels: int) -> None:
    """Set Pillow's own pixel limit in this process. It also covers pictures that Pillow decodes inside others.

    Only for posecli's own processes: as a library, posecli leaves the program's limit unchanged.
    """
    Image.MAX_IMAGE_PIXELS = max_pixels
    warnings.simplefilter("error", Image.DecompressionBombWarning)  # without this, Pillow refuses only twice as many
