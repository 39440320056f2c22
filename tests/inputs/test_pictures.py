"""Pictures of every kind become upright RGB frames; transforms map coordinates back."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posecli.errors import ImageTooLarge, InputError, NotFound, PermissionDenied, UnreadableImage, UnsupportedImage
from posecli.inputs.pictures import (
    Frame,
    Transform,
    cut,
    detail_for_part,
    finer,
    fitted_size,
    frame_from_array,
    frame_from_image,
    input_size_for,
    prepare,
    prepare_part,
    read_frame,
    turned_bounds,
    turned_xy,
)

LIMIT = 10**8


def gradient(width: int = 60, height: int = 40) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 4, y * 6, x + y], axis=2).astype(np.uint8))


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = gradient()
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    frame = read_frame(encoded(stored, exif=exif), max_pixels=LIMIT)
    assert (frame.width, frame.height) == upright.size
    np.testing.assert_array_equal(np.asarray(frame.image), np.asarray(upright))


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        (gradient().convert("L"), "PNG"),
        (gradient().convert("LA"), "PNG"),
        (gradient().convert("P"), "GIF"),
        (gradient().convert("1"), "TIFF"),
        (gradient().convert("CMYK"), "JPEG"),
        (gradient().convert("YCbCr"), "JPEG"),
        (gradient().convert("F"), "TIFF"),
        (gradient().convert("I"), "TIFF"),
        (Image.new("I;16", (60, 40), 40000), "PNG"),
        (gradient(1, 1), "BMP"),
        (gradient(1, 3000), "WEBP"),
    ],
)
def test_modes_become_rgb(picture: Image.Image, kind: str) -> None:
    frame = read_frame(encoded(picture, kind), max_pixels=LIMIT)
    assert (frame.image.mode, frame.image.size) == ("RGB", picture.size)


def test_transparency_is_laid_over_white() -> None:
    picture = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert read_frame(encoded(picture), max_pixels=LIMIT).image.getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_keep_their_brightness() -> None:
    picture = Image.new("I;16", (4, 4), 128 * 257)
    assert read_frame(encoded(picture), max_pixels=LIMIT).image.getpixel((0, 0)) == (128, 128, 128)


def test_nan_and_infinite_pixels_are_accepted() -> None:
    values = np.full((4, 4), np.nan, np.float32)
    values[0, 0], values[1, 1] = np.inf, -5
    read_frame(encoded(Image.fromarray(values), "TIFF"), max_pixels=LIMIT)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", UnreadableImage),
        (b"hello", UnreadableImage),
        (encoded(gradient(), "JPEG")[:300], UnreadableImage),
        (encoded(gradient())[:80], UnreadableImage),
        (b"\0\0\0\x18ftypheic" + bytes(50), UnreadableImage),
        (b"%PDF-1.7" + bytes(50), UnsupportedImage),
        (encoded(Image.new("1", (20000, 20000))), ImageTooLarge),
    ],
)
def test_bad_bytes_are_one_clear_error(data: bytes, error: type[InputError]) -> None:
    with pytest.raises(error) as caught:
        read_frame(data, max_pixels=LIMIT)
    assert caught.value.message


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged metadata
def test_flipped_bytes_raise_only_input_errors() -> None:
    dice = np.random.default_rng(5)
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "TGA", "PPM", "ICO", "PCX"):
        good = encoded(gradient(), kind)
        for _ in range(25):
            data = bytearray(good)
            for _ in range(6):
                data[dice.integers(min(len(data), 300))] = dice.integers(256)
            try:
                frame = read_frame(bytes(data), max_pixels=10**6)
            except InputError:
                continue
            assert frame.image.mode == "RGB"


def test_missing_files_folders_and_forbidden_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_frame(tmp_path / "no.jpg", max_pixels=LIMIT)
    with pytest.raises(UnsupportedImage, match="folder"):
        read_frame(tmp_path, max_pixels=LIMIT)
    if os.geteuid() != 0:
        secret = tmp_path / "secret.png"
        secret.write_bytes(encoded(gradient()))
        secret.chmod(0)
        with pytest.raises(PermissionDenied):
            read_frame(secret, max_pixels=LIMIT)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_read_completely(tmp_path: Path) -> None:
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(encoded(gradient())))
    writer.start()
    assert read_frame(pipe, max_pixels=LIMIT).width == 60
    writer.join()


@pytest.mark.parametrize("size", [(640, 480), (481, 640), (1, 1), (3000, 17), (257, 257), (33, 4000)])
@pytest.mark.parametrize("fit", ["pad", "stretch", "aspect"])
def test_round_trip_between_picture_and_input(size: tuple[int, int], fit: str) -> None:
    size_hw = input_size_for(size, (257, 257), None, fit)
    transform = prepare(Frame(Image.new("RGB", size), *size), size_hw=size_hw, fit=fit).transform
    points = np.random.default_rng(1).uniform(-500, 5000, (50, 2))
    np.testing.assert_allclose(transform.to_picture(transform.to_input(points)), points, atol=0.01)


@pytest.mark.parametrize("fit", ["pad", "stretch", "aspect"])
def test_a_mark_in_the_picture_lies_where_the_transform_says(fit: str) -> None:
    picture = Image.new("RGB", (640, 400))
    picture.paste((255, 255, 255), (300, 100, 340, 140))
    size_hw = input_size_for(picture.size, (257, 257), None, fit)
    prepared = prepare(Frame(picture, *picture.size), size_hw=size_hw, fit=fit)
    light = prepared.pixels[:, :, 0].astype(float)
    y, x = np.mgrid[: light.shape[0], : light.shape[1]]
    centre = np.array([[((x + 0.5) * light).sum(), ((y + 0.5) * light).sum()]]) / light.sum()
    np.testing.assert_allclose(prepared.transform.to_picture(centre), [[320, 120]], atol=0.3)


def test_jpeg_at_reduced_scale_lies_where_the_full_one_does() -> None:
    big = Image.new("RGB", (2411, 1607), (40, 40, 40))
    big.paste((250, 250, 250), (1200, 800, 1300, 900))
    data = encoded(big, "JPEG", quality=95)
    full = read_frame(data, max_pixels=LIMIT)
    reduced = read_frame(data, max_pixels=LIMIT, detail=lambda w, h: fitted_size((w, h), (257, 257), "pad"))
    assert (full.reduction, reduced.reduction) == (1, 8)
    assert (reduced.width, reduced.height) == big.size
    a, b = (prepare(frame, size_hw=(257, 257), fit="pad").pixels.astype(int) for frame in (full, reduced))
    assert np.abs(a - b).mean() < 0.2
    assert np.abs(a - b).max() < 25


def test_a_reduced_picture_can_be_decoded_finer(tmp_path: Path) -> None:
    path = tmp_path / "big.jpg"
    Image.new("RGB", (2400, 1600), (40, 40, 40)).save(path)
    for source in (path, path.read_bytes()):
        coarse = read_frame(source, max_pixels=LIMIT, detail=lambda w, h: (w / 8, h / 8))
        assert (coarse.reduction, coarse.image.size) == (8, (300, 200))
        assert finer(coarse, lambda w, h: (w / 9, h / 9)) is coarse
        better = finer(coarse, lambda w, h: (w / 2.5, h / 2.5))
        assert (better.reduction, better.image.size, better.width) == (2, (1200, 800), 2400)
        assert finer(coarse, lambda w, h: (w, h)).reduction == 1
    Image.new("RGB", (1600, 1600)).save(path)
    coarse = coarse._replace(source=str(path))
    with pytest.raises(UnreadableImage, match="changed"):
        finer(coarse, lambda w, h: (w, h))
    path.unlink()
    with pytest.raises(NotFound):
        finer(coarse, lambda w, h: (w, h))


@pytest.mark.parametrize("reduction", [1, 2, 4])
@pytest.mark.parametrize("turn", [0.0, 90.0, 30.0])
def test_a_part_is_a_picture_of_its_own(reduction: int, turn: float) -> None:
    """It has the same pixels at the same places, wherever it begins, and none of those around it."""
    noise = np.random.default_rng(5).integers(0, 255, (60, 80, 3), np.uint8)
    big = Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)
    whole = Frame(big.reduce(reduction), 640, 480, reduction)
    left, top, right, bottom = 37, 42, 437, 343
    part = cut(whole, (left, top, right, bottom))
    assert (part.width, part.height) == (400, 301)
    assert part.image.size == (-(-right // reduction) - left // reduction, -(-bottom // reduction) - top // reduction)
    middle = turned_xy(np.array([[200.0, 150.0], [200.0 + left, 150.0 + top]]), -turn)
    boxes = [(x - 60, y - 60, x + 60, y + 60) for x, y in middle.tolist()]
    inside, outside = (
        prepare_part(frame, box, size_hw=(65, 65), turn=turn).pixels.astype(int)
        for frame, box in zip((part, whole), boxes, strict=True)
    )
    assert np.abs(inside - outside).max() <= 2
    from_part = prepare(part, size_hw=(65, 97), fit="aspect").pixels.astype(int)
    from_box = prepare_part(whole, (left, top, right, bottom), size_hw=(65, 97)).pixels.astype(int)
    assert np.abs(from_part - from_box)[1:-1, 1:-1].max() <= 1
    beyond = prepare_part(part, (-200, 0, 0, 200), size_hw=(65, 65), turn=0.0).pixels
    assert not beyond.any()


def test_a_part_that_covers_the_picture_is_the_picture() -> None:
    frame = frame_from_image(gradient())
    assert cut(frame, (0, 0, 60, 40)) is frame


def test_a_part_of_a_reduced_picture_can_be_decoded_finer() -> None:
    data = encoded(gradient(2400, 1600), "JPEG", quality=95)
    box = (601, 401, 1201, 801)
    coarse = cut(read_frame(data, max_pixels=LIMIT, detail=detail_for_part(lambda w, h: (w / 8, h / 8), box)), box)
    assert (coarse.reduction, coarse.width, coarse.height) == (8, 600, 400)
    assert finer(coarse, lambda w, h: (w / 9, h / 9)) is coarse
    better = finer(coarse, lambda w, h: (w / 2.5, h / 2.5))
    assert (better.reduction, better.width, better.height) == (2, 600, 400)
    assert better.image.size == (301, 201)


def test_the_detail_of_a_part_is_scaled_to_the_whole_picture() -> None:
    """If a quarter of a picture is shrunk to an input, the whole picture needs four times the input's pixels."""
    assert detail_for_part(lambda w, h: (257, 193), (0, 0, 600, 400))(2400, 1600) == (1028, 772)


def test_a_picture_that_cannot_be_read_again_stays_reduced() -> None:
    file = io.BufferedReader(io.BytesIO(encoded(Image.new("RGB", (2400, 1600)), "JPEG")))
    coarse = read_frame(file, max_pixels=LIMIT, detail=lambda w, h: (w / 8, h / 8))
    assert finer(coarse, lambda w, h: (w, h)) is coarse


def test_corners_of_the_input_map_to_corners_of_the_picture() -> None:
    transform = Transform((2.0, 4.0), (10.0, 0.0))
    assert transform.to_picture(np.array([[0.0, 0.0], [3.0, 1.0]])).tolist() == [[10.0, 0.0], [16.0, 4.0]]


@pytest.mark.parametrize("size", [(1, 1), (640, 480), (480, 640), (1, 4000), (4000, 1), (1000, 999), (60000, 3)])
@pytest.mark.parametrize("budget", [65, 257, 513])
def test_aspect_inputs_are_whole_cells_and_keep_the_budget(size: tuple[int, int], budget: int) -> None:
    height, width = input_size_for(size, (257, 257), budget, "aspect")
    assert height % 32 == 1
    assert width % 32 == 1
    assert height * width <= budget**2 * 1.35
    if max(size) < 2 * min(size):
        assert height * width >= budget**2 * 0.7


def test_models_whose_input_is_not_square_keep_its_aspect_ratio() -> None:
    assert input_size_for((640, 480), (353, 481), None, "pad") == (353, 481)
    assert input_size_for((640, 480), (353, 481), 257, "pad") == (193, 257)


@pytest.mark.parametrize("turn", [0.0, 90.0, 180.0, 270.0, 30.0, -75.0])
def test_turned_transforms_have_an_exact_inverse(turn: float) -> None:
    transform = Transform((2.0, 4.0), (10.0, -3.0), turn)
    points = np.array([(0.0, 0.0), (1.0, 2.0), (100.0, 50.0)])
    np.testing.assert_allclose(transform.to_input(transform.to_picture(points)), points, atol=1e-9)


@pytest.mark.parametrize("turn", [90.0, 180.0, 270.0, 45.0, -30.0])
def test_a_spot_of_a_turned_part_lies_where_the_transform_says(turn: float) -> None:
    pixels = np.zeros((120, 200, 3), np.uint8)
    pixels[60:66, 140:146] = 255
    frame = frame_from_array(pixels)
    prepared = prepare_part(frame, turned_bounds((200, 120), turn), size_hw=(257, 321), turn=turn)
    ys, xs = np.nonzero(prepared.pixels[:, :, 0] > 128)
    centre = np.array([[xs.mean() + 0.5, ys.mean() + 0.5]])
    np.testing.assert_allclose(prepared.transform.to_picture(centre), [[143, 63]], atol=0.5)


@pytest.mark.parametrize("turn", [90.0, 180.0, 270.0])
def test_a_quarter_turn_only_moves_pixels(turn: float) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (65, 97, 3), np.uint8)
    size_hw = (97, 65) if turn != 180 else (65, 97)
    prepared = prepare_part(frame_from_array(pixels), turned_bounds((97, 65), turn), size_hw=size_hw, turn=turn)
    np.testing.assert_array_equal(prepared.pixels, np.rot90(pixels, int(turn) // 90))


def test_pixels_outside_of_the_picture_are_black() -> None:
    frame = frame_from_array(np.full((100, 100, 3), 200, np.uint8))
    corner = prepare_part(frame, turned_bounds((100, 100), 45.0), size_hw=(65, 65), turn=45.0).pixels
    assert (corner[0, 0] == 0).all()
    assert (corner[32, 32] == 200).all()
    outside = prepare_part(frame, (500, 500, 600, 600), size_hw=(65, 65), turn=45.0).pixels
    assert not outside.any()


def test_a_turned_part_of_a_reduced_frame_is_the_same_part() -> None:
    pixels = np.asarray(Image.effect_noise((400, 300), 60).resize((800, 600)).convert("RGB"))
    full = frame_from_array(pixels)
    reduced = Frame(full.image.reduce(2), 800, 600, reduction=2)
    box = (100.0, -300.0, 600.0, 200.0)
    a, b = (prepare_part(one, box, size_hw=(129, 129), turn=60.0).pixels.astype(int) for one in (full, reduced))
    assert np.abs(a - b).mean() < 6
