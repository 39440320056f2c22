"""Opening pictures with Pillow, in this process and by no other program; nothing is decoded yet."""

from __future__ import annotations

import warnings
from typing import IO

from PIL import Image, UnidentifiedImageError

from posecli.errors import ImageTooLarge, UnsupportedImage
from posecli.extras import installed, need
from posecli.inputs.signature import HEAD_BYTES, is_heif
from posecli.region import Region

#: Formats that Pillow recognises but does not decode by itself: for some of them it starts another program.
NOT_DECODED = frozenset(("BUFR", "EPS", "FPX", "GRIB", "HDF5", "IPTC", "MIC", "MPEG", "WMF"))
#: Formats that Pillow has loaded before it has looked at a file. All others take it some time.
_LOADED = ("JPEG", "PNG", "BMP", "DIB", "GIF", "PPM")
#: What Pillow calls HEIC and other HEIF pictures once pillow-heif (extra `heif`) is registered.
HEIF = "HEIF"
#: Where an MPO lists its pictures.
_MPF_ENTRIES = 0xB002


def too_large(name: str, width: int, height: int, max_pixels: int) -> ImageTooLarge:
    """The error of a picture or frame of more pixels than may be decoded."""
    return ImageTooLarge(
        f"{name} has {width} x {height} pixels, more than the limit of {max_pixels}", "--max-pixels raises it"
    )


def outside_of_picture(name: str, region: Region, width: int, height: int) -> UnsupportedImage:
    """The error of a picture or frame that shows nothing of the region that is looked at."""
    return UnsupportedImage(f"{name} has {width} x {height} pixels, and the region {region} lies outside of them")


def holds_several(image: Image.Image) -> bool:
    """Whether an opened picture is one of several, such as an animation's frame or a page. Raises what Pillow raises.

    Layers are one picture together, and a HEIF file is its primary picture. Many cameras put a preview or a gain map
    behind the picture of a JPEG: others count only where they are said to be taken together with it, or are as large as
    it.
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
    """A picture of a format that Pillow decodes by itself, in this process; its pixels are not decoded yet.

    Raises whatever Pillow raises.
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
    """Pillow's formats that read HEIF: none without the extra `heif`."""
    if not installed("heif"):
        return []
    if HEIF not in Image.OPEN:
        need("pillow_heif", extra="heif").register_heif_opener(thumbnails=False, decode_threads=1)
    return [HEIF]


def limit_pillow(max_pixels: int) -> None:
    """Set Pillow's own limit on pixels, for this process: it holds wherever Pillow decodes pictures inside others. Only
    for processes of posecli's own: as a library, Pillow's limit stays as the program set it."""
    Image.MAX_IMAGE_PIXELS = max_pixels
    warnings.simplefilter("error", Image.DecompressionBombWarning)  # else it holds from twice as many on
