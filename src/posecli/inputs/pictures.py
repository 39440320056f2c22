"""Pictures: decodes bytes to an upright RGB frame, and resizes that to the network's input, with the transform back.

Formats are detected by content, not by name. Size limits are checked before any pixel is decoded.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import ceil, cos, radians, sin, sqrt
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from posecli.errors import (
    ImageTooLarge,
    InputError,
    NotFound,
    PermissionDenied,
    UnreadableImage,
    UnsupportedImage,
    UsageError,
)
from posecli.extras import install_extra, installed
from posecli.files.storage import TooManyBytes, is_remote, read_bytes
from posecli.inputs.opening import holds_several, open_image, too_large
from posecli.inputs.signature import HEAD_BYTES, content_of, is_heif, means_video
from posecli.region import PixelBox
from posecli.types import INPUT_SIZE_STEP, MAX_INPUT_SIZE

#: A JPEG decoded at a reduced scale stays at least this many times finer than the input. A larger margin moves
#: keypoints less, compared with a full decode; at 1 no loss of precision was measured (`benchmarks/results.md`).
DRAFT_MARGIN = 1.0
#: Most bytes of a remote picture, which is held in memory: the uncompressed size of the largest allowed picture.
MOST_REMOTE_BYTES = 600 << 20
#: Colour around a padded picture: black, as in the reference implementation.
PADDING_COLOUR = (0, 0, 0)
_BACKGROUND = (255, 255, 255)
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: Channels of grey, RGB and RGBA arrays.
_CHANNELS = (1, 3, 4)
_SIDEWAYS = (5, 6, 7, 8)
#: Tolerance for boxes that exceed the picture because of rounding: picture pixels.
_BORDER_PX = 0.01
#: Clockwise quarter turns → the transposition that undoes them.
_TURNED_BACK = {
    1: Image.Transpose.ROTATE_90,
    2: Image.Transpose.ROTATE_180,
    3: Image.Transpose.ROTATE_270,
}
#: Hint for files of several pictures that are read as one picture: remote ones, pipes, and in the library.
_AS_A_CLIP = "save it as a local file for posecli estimate, or use PoseEstimator.estimate_clip"
#: First bytes of files that are mistaken for pictures, or that only some builds of Pillow open.
_FOREIGN = (
    (4, b"ftypavif", "an AVIF picture"),
    (0, b"%PDF", "a PDF document"),
    (0, b"%!PS", "an EPS drawing"),
    (0, b"\xc5\xd0\xd3\xc6", "an EPS drawing"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"PK\x03\x04", "a ZIP archive"),
)

Source = str | os.PathLike[str] | bytes | IO[bytes]
#: What the library accepts as a picture: see `frame_from`.
AnyImage = Source | bytearray | memoryview | Image.Image | npt.NDArray[Any]
#: Width and height of a picture → width and height to which it will be shrunk.
Detail = Callable[[int, int], tuple[float, float]]


class Frame(NamedTuple):
    """An upright RGB picture.

    image: the decoded pixels, perhaps at a reduced scale: each stands for `reduction` × `reduction` picture pixels.
    width, height: full size in picture pixels.
    source: bytes or path from which a reduced picture can be decoded again, or None.
    origin: x, y of the picture's corner in `image`, in pixels of `image`.
    cut_from: the frame of which this is a part, and the part's box; None for a whole picture.
    """

    image: Image.Image
    width: int
    height: int
    reduction: int = 1
    source: str | bytes | None = None
    origin: tuple[float, float] = (0.0, 0.0)
    cut_from: tuple[Frame, PixelBox] | None = None

    def part(self, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        """Convert a box in picture pixels to pixels of `image`, clipped to the picture."""
        scale, (x, y) = self.reduction, self.origin
        last_x, last_y = min(self.image.width, x + self.width / scale), min(self.image.height, y + self.height / scale)
        return (
            max(x + left / scale, x),
            max(y + top / scale, y),
            min(x + right / scale, last_x),
            min(y + bottom / scale, last_y),
        )


class Transform(NamedTuple):
    """Converts input pixels to picture pixels and back: picture = turned(scale · input + shift), for each axis.

    Both start at the outer corner of the first pixel. PoseNet was trained with this convention: the reference
    implementations scale positions this way, and an added half pixel lowers average precision at every size tried
    (`benchmarks/results.md`). turn: degrees clockwise, about the picture's origin.
    """

    scale_xy: tuple[float, float]
    shift_xy: tuple[float, float]
    turn: float = 0.0

    @property
    def input_scale(self) -> float:
        """Input pixels per picture pixel, along the axis that has more of them."""
        return 1 / min(self.scale_xy)

    def to_picture(self, xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Convert [n, 2] x, y in input pixels to picture pixels."""
        return turned_xy(xy * np.array(self.scale_xy) + np.array(self.shift_xy), self.turn)

    def to_input(self, xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Convert [n, 2] x, y in picture pixels to input pixels: the exact inverse."""
        input_xy: npt.NDArray[np.float64] = (turned_xy(xy, -self.turn) - np.array(self.shift_xy)) / self.scale_xy
        return input_xy


def turned_xy(xy: npt.NDArray[np.float64], degrees: float) -> npt.NDArray[np.float64]:
    """Turn points [n, 2] (x, y) clockwise about the origin."""
    if degrees == 0:
        return xy
    if degrees % 90 == 0:  # exactly
        cosine, sine = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(degrees // 90) % 4]
    else:
        cosine, sine = cos(radians(degrees)), sin(radians(degrees))
    x, y = xy[:, 0], xy[:, 1]
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=1)


def turned_bounds(picture_wh: tuple[int, int], turn: float) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a picture that is turned back by `turn` degrees about its origin."""
    width, height = picture_wh
    corners = turned_xy(np.array([(0, 0), (width, 0), (0, height), (width, height)], np.float64), -turn)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


class ModelInput(NamedTuple):
    """The network's input: RGB uint8 [h, w, 3], and the transform back to the picture."""

    pixels: npt.NDArray[np.uint8]
    transform: Transform


def read_frame(source: Source, *, max_pixels: int, detail: Detail | None = None) -> Frame:
    """Decode a picture of any format and mode to upright RGB.

    source: a path, the bytes of a file, or an open binary file.
    max_pixels: a larger picture is refused before it is decoded.
    detail: gives the size to which the upright picture will be shrunk. A JPEG is then decoded at 1/2, 1/4 or 1/8 of
        its size if that is fine enough. None: at full size.
    Raises InputError: NotFound, PermissionDenied, UnreadableImage, UnsupportedImage, ImageTooLarge.
    """
    with _open(source) as (file, name), _named_failures(file, name):
        image = open_image(file)
        width, height = image.size
        if width * height > max_pixels:
            raise too_large(name, width, height, max_pixels)
        if holds_several(image):
            raise UnsupportedImage(
                f"{name} holds several pictures, but it is read as one picture here",
                _AS_A_CLIP,
            )
        orientation = _orientation(image)
        if orientation in _SIDEWAYS:
            width, height = height, width
        reduction = _reduce_jpeg(image, width, height, detail)
        rgb = to_rgb(image)
        if orientation in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[orientation])
        return Frame(rgb, width, height, reduction, _source_to_reread(file, source) if reduction > 1 else None)


def finer(frame: Frame, detail: Detail) -> Frame:
    """The frame at the scale that `detail` needs (as in `read_frame`): the frame itself, or decoded again.

    Raises InputError if the picture can no longer be read, or its size has changed.
    """
    if frame.cut_from is not None:
        whole, box = frame.cut_from
        again = finer(whole, detail_for_part(detail, box))
        return frame if again is whole else cut(again, box)
    if frame.source is None or reduction_for(frame.width, frame.height, detail) >= frame.reduction:
        return frame
    again = read_frame(frame.source, max_pixels=frame.width * frame.height, detail=detail)
    if (again.width, again.height) != (frame.width, frame.height):
        raise UnreadableImage("the picture was changed while it was processed")
    return again


def cut(frame: Frame, box: PixelBox) -> Frame:
    """A part of a frame as a frame of its own, without the pixels around it. box: must lie inside the picture."""
    left, top, right, bottom = box
    if box == (0, 0, frame.width, frame.height):
        return frame
    scale = frame.reduction
    first_x, first_y = left // scale, top // scale
    last_x, last_y = min(ceil(right / scale), frame.image.width), min(ceil(bottom / scale), frame.image.height)
    return Frame(
        frame.image.crop((first_x, first_y, last_x, last_y)),
        right - left,
        bottom - top,
        scale,
        origin=(left / scale - first_x, top / scale - first_y),
        cut_from=(frame, box),
    )


def detail_for_part(detail: Detail, box: PixelBox) -> Detail:
    """The detail for a whole picture, such that its part in `box` has the given detail."""
    part_width, part_height = box[2] - box[0], box[3] - box[1]

    def of_whole(width: int, height: int) -> tuple[float, float]:
        part = detail(part_width, part_height)
        return part[0] * width / part_width, part[1] * height / part_height

    return of_whole


def _source_to_reread(file: IO[bytes], source: Source) -> str | bytes | None:
    """What the picture can be decoded from again: its bytes if they are in memory, its path, or None."""
    if isinstance(file, io.BytesIO):
        return file.getvalue()
    return os.fspath(source) if isinstance(source, str | os.PathLike) else None


def frame_from_image(image: Image.Image) -> Frame:
    """Convert an opened Pillow image to a frame, with its EXIF orientation applied. Raises UnreadableImage."""
    with _named_failures(None, "the image"):
        orientation = _orientation(image)
        rgb = to_rgb(image)
        if orientation in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[orientation])
    return Frame(rgb, *rgb.size)


def frame_from_array(pixels: npt.NDArray[Any]) -> Frame:
    """Convert pixels to a frame: [H, W, 3] RGB, [H, W, 4] RGBA, [H, W] or [H, W, 1] grey; uint8, or floats of 0 to 1.

    Raises UsageError for any other array.
    """
    _check_shape(pixels.shape)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    rgb = to_rgb(Image.fromarray(np.ascontiguousarray(_eight_bits(pixels))))
    return Frame(rgb, *rgb.size)


def _check_shape(shape: tuple[int, ...]) -> None:
    if 0 not in shape and (len(shape) == 2 or (len(shape) == 3 and shape[2] in _CHANNELS)):
        return
    hint = ""
    if len(shape) == 4:
        hint = "it holds several pictures: pass them one by one"
    elif len(shape) == 3 and shape[0] in _CHANNELS:
        hint = "channels come last: pixels.transpose(1, 2, 0)"
    raise UsageError(f"the array has the shape {shape}, expected [height, width, 3] or [height, width]", hint)


def _eight_bits(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise UsageError(f"the array has the type {pixels.dtype}, expected uint8 of 0 to 255, or floats of 0 to 1")
    low, high = float(pixels.min()), float(pixels.max())
    if not 0 <= low <= high <= 1:  # also refuses NaN
        raise UsageError(
            f"the array has floats of {low:g} to {high:g}, expected 0 to 1",
            "use pixels.astype(numpy.uint8) for 0 to 255",
        )
    return (pixels * 255 + 0.5).astype(np.uint8)


def check_is_image(image: object) -> None:
    """Raise TypeError unless the value is an `AnyImage`."""
    if isinstance(image, str | os.PathLike | bytes | bytearray | memoryview | Image.Image | np.ndarray):
        return
    if hasattr(image, "read") and not isinstance(image, io.TextIOBase):
        return
    if image is None:
        hint = "cv2.imread returns None for a file that it cannot read"
    elif isinstance(image, io.TextIOBase):
        hint = "open the file with mode 'rb'"
    else:
        hint = "convert pixels with numpy.asarray; pass several pictures one by one"
    raise TypeError(
        f"a picture must be a path, the bytes of a file, an open binary file, a Pillow image or an array, "
        f"not {type(image).__name__} ({hint})"
    )


def frame_from(image: AnyImage, *, max_pixels: int, detail: Detail | None = None) -> Frame:
    """Convert any kind of picture to a frame.

    image: a path, the bytes of a file or an open binary file (see `read_frame`), a Pillow image, or an array (see
        `frame_from_array`).
    Raises InputError if a picture cannot be read, UsageError for an array that is not a picture.
    """
    if isinstance(image, Image.Image):
        return frame_from_image(image)
    if isinstance(image, np.ndarray):
        return frame_from_array(image)
    source = bytes(image) if isinstance(image, bytearray | memoryview) else image
    return read_frame(source, max_pixels=max_pixels, detail=detail)


@contextmanager
def _open(source: Source) -> Iterator[tuple[IO[bytes], str]]:
    if isinstance(source, bytes):
        yield io.BytesIO(source), "the picture"
    elif isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        try:
            if is_remote(name):
                yield io.BytesIO(read_bytes(name, most=MOST_REMOTE_BYTES)), name
                return
            mode = os.stat(name).st_mode
            if stat.S_ISDIR(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                raise UnsupportedImage(f"{name} is a {'folder' if stat.S_ISDIR(mode) else 'device'}, not a picture")
            with open(name, "rb") as file:
                # A pipe cannot seek: it is read completely first.
                yield (file if stat.S_ISREG(mode) else io.BytesIO(file.read())), name
        except OSError as error:
            raise failed_to_open(name, error) from error
        except MemoryError as error:
            raise ImageTooLarge(f"{name}: not enough memory to read it") from error
        except ValueError as error:  # the name has a NUL, or a surrogate that encodes no byte
            raise NotFound(f"{name}: no file can have this name") from error
    else:
        yield source, "the picture"


def failed_to_open(name: str, error: OSError) -> InputError:
    """Convert a system error for a file or folder to the error of that input."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFound(f"{name}: no such file")
    if isinstance(error, PermissionError):
        return PermissionDenied(f"{name}: permission denied")
    if isinstance(error, TooManyBytes):
        return ImageTooLarge(str(error))
    return UnreadableImage(f"{name}: {error.strerror or str(error).removeprefix(f'{name}: ')}")


@contextmanager
def _named_failures(file: IO[bytes] | None, name: str) -> Iterator[None]:
    """Convert any exception of a decoder to an InputError that names the picture."""
    try:
        yield
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"{name}: {error}", "--max-pixels raises the limit") from error
    except MemoryError as error:
        raise ImageTooLarge(f"{name}: not enough memory to decode it") from error
    except UnidentifiedImageError as error:
        raise _not_identified(file, name) from error
    except Exception as error:
        # Decoders of damaged files raise anything from SyntaxError to struct.error.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(f"{name}: the picture is damaged ({reason})") from error


def _not_identified(file: IO[bytes] | None, name: str) -> InputError:
    head = b""
    if file is not None:
        with suppress(OSError, ValueError):
            file.seek(0)
            head = file.read(HEAD_BYTES)
    if not head:
        return UnreadableImage(f"{name} is empty")
    if is_heif(head):
        return _needs_extra(name, "a HEIC picture", "heif") or UnreadableImage(f"{name} is a damaged HEIC picture")
    if means_video(content_of(head), name):
        missing = None if is_remote(name) else _needs_extra(name, "a video", "video")
        return missing or UnsupportedImage(f"{name} is a video, but it is read as one picture here", _AS_A_CLIP)
    for start, magic, what in _FOREIGN:
        if head[start:].startswith(magic):
            return UnsupportedImage(f"{name} is {what}, which cannot be read here")
    return UnreadableImage(f"{name} is not a picture, or its beginning is damaged")


def _needs_extra(name: str, what: str, extra: str) -> UnsupportedImage | None:
    """The error of a file that needs an extra; None if the extra is installed."""
    if installed(extra):
        return None
    return UnsupportedImage(f"{name} is {what}, and the extra {extra} is not installed", install_extra(extra))


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # the picture can be used without its broken metadata
        return 1
    return value if value in _UPRIGHT else 1


def _reduce_jpeg(image: Image.Image, width: int, height: int, detail: Detail | None) -> int:
    """Set the JPEG decoder to the smallest scale that is fine enough; return the factor."""
    if detail is None or image.format not in ("JPEG", "MPO"):
        return 1
    reduction = reduction_for(width, height, detail)
    if reduction > 1:
        stored = image.size
        image.draft(None, (stored[0] // reduction, stored[1] // reduction))
        reduction = round(stored[0] / image.size[0])
    return reduction


def reduction_for(width: int, height: int, detail: Detail) -> int:
    """The factor, 1, 2, 4 or 8, by which a JPEG of this size may be decoded smaller."""
    needed_width, needed_height = detail(width, height)
    room = min(width / needed_width, height / needed_height) / DRAFT_MARGIN
    return next((factor for factor in (8, 4, 2) if factor <= room), 1)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB. Transparency becomes white; 16 and 32 bits and floats are scaled to 8 bits."""
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _from_wide_numbers(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, _BACKGROUND)
        return Image.alpha_composite(background, image).convert("RGB")
    return image.convert("RGB")


def _from_wide_numbers(image: Image.Image) -> Image.Image:
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if image.mode != "F" and low >= 0 and high <= 0xFFFF:
        scaled = values / np.float32(257)
    elif low >= 0 and high <= 1:
        scaled = values * np.float32(255)
    elif low >= 0 and high <= 255:
        scaled = values
    else:
        scaled = (values - low) * np.float32(255 / (high - low))
    return Image.fromarray((scaled + 0.5).clip(0, 255).astype(np.uint8)).convert("RGB")


def input_size_for(
    frame_wh: tuple[int, int], native_hw: tuple[int, int], size: int | None, fit: str
) -> tuple[int, int]:
    """Height and width of the network's input for a picture.

    fit `aspect`: the picture's aspect ratio with as many pixels as the model's input or, if given, as size × size.
    Other fits: the model's input or, if given, its aspect ratio with `size` as the longer side.
    Every side is n·32 + 1.
    """
    if fit != "aspect":
        if size is None:
            return native_hw
        longer = max(native_hw)
        return _nearest_size(size * native_hw[0] / longer), _nearest_size(size * native_hw[1] / longer)
    budget = float(size**2) if size is not None else float(native_hw[0] * native_hw[1])
    width, height = frame_wh
    # The shorter side is chosen first, so that a very long picture does not exceed the budget.
    shorter = _nearest_size(sqrt(budget * min(width / height, height / width)))
    longer = min(_nearest_size(shorter * max(width / height, height / width)), _nearest_size(budget / shorter))
    return (shorter, longer) if width >= height else (longer, shorter)


def _nearest_size(pixels: float) -> int:
    """The nearest n·32 + 1, from two cells to the largest input size."""
    cells = max(round((pixels - 1) / INPUT_SIZE_STEP), 1)
    return min(cells * INPUT_SIZE_STEP + 1, MAX_INPUT_SIZE)


def fitted_size(frame_wh: tuple[int, int], size_hw: tuple[int, int], fit: str) -> tuple[int, int]:
    """Width and height of the picture inside an input: the whole input, unless the picture is padded."""
    height, width = size_hw
    if fit != "pad":
        return width, height
    scale = min(width / frame_wh[0], height / frame_wh[1])
    return max(round(frame_wh[0] * scale), 1), max(round(frame_wh[1] * scale), 1)


def prepare(frame: Frame, *, size_hw: tuple[int, int], fit: str) -> ModelInput:
    """Resize a frame to the network's input (bilinear with antialiasing).

    `pad` keeps the aspect ratio and adds black on both sides; `stretch` and `aspect` fill the input.
    """
    height, width = size_hw
    inner = fitted_size((frame.width, frame.height), size_hw, fit)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    box = frame.part(0, 0, frame.width, frame.height)
    picture = frame.image.resize(inner, Image.Resampling.BILINEAR, box=box)
    if inner != (width, height):
        canvas = Image.new("RGB", (width, height), PADDING_COLOUR)
        canvas.paste(picture, (left, top))
        picture = canvas
    scale_xy = (frame.width / inner[0], frame.height / inner[1])
    transform = Transform(scale_xy, (-left * scale_xy[0], -top * scale_xy[1]))
    return ModelInput(np.asarray(picture), transform)


def prepare_part(
    frame: Frame, box: tuple[float, float, float, float], *, size_hw: tuple[int, int], turn: float = 0.0
) -> ModelInput:
    """Resize a part of a frame to fill the network's input.

    box: left, top, right, bottom in pixels of the picture turned back by `turn` degrees (as in `turned_bounds`): a
        person who is turned clockwise by `turn` degrees is upright in it. Outside of the picture the input is black.
    """
    height, width = size_hw
    left, top, right, bottom = box
    transform = Transform(((right - left) / width, (bottom - top) / height), (left, top), turn)
    corners = transform.to_picture(np.array([(0, 0), (width, 0), (0, height), (width, height)], np.float64))
    low, high = corners.min(axis=0), corners.max(axis=0)
    part = frame.part(*low, *high)
    inside = min(*low, *(np.array((frame.width, frame.height)) - high)) > -_BORDER_PX
    if turn % 90 == 0 and inside:
        quarters = int(turn // 90) % 4
        size = (width, height) if quarters % 2 == 0 else (height, width)
        picture = frame.image.resize(size, Image.Resampling.BILINEAR, box=part)
        if quarters:
            picture = picture.transpose(_TURNED_BACK[quarters])
    else:
        picture = _sampled(frame, part, transform, size_hw)
    return ModelInput(np.asarray(picture), transform)


def _sampled(
    frame: Frame, part: tuple[float, float, float, float], transform: Transform, size_hw: tuple[int, int]
) -> Image.Image:
    """The input for a box that is not turned by quarters, or that exceeds the picture.

    part: the visible part of the frame, in pixels of its image.
    """
    left, top, right, bottom = part
    if right <= left or bottom <= top:
        return Image.new("RGB", size_hw[::-1], PADDING_COLOUR)
    # Shrunk first: an affine transform samples single points and does not average over the pixels between them.
    shrink = min(frame.reduction * transform.input_scale, 1.0)
    size = max(round((right - left) * shrink), 1), max(round((bottom - top) * shrink), 1)
    region = frame.image.resize(size, Image.Resampling.BILINEAR, box=part)
    steps = transform.to_picture(np.array([(0, 0), (1, 0), (0, 1)], np.float64)) / frame.reduction + frame.origin
    origin, right_step, down_step = (steps - (left, top)) * np.array(size) / (right - left, bottom - top)
    columns = (right_step - origin, down_step - origin, origin)
    data = [float(column[axis]) for axis in (0, 1) for column in columns]
    return region.transform(size_hw[::-1], Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
