"""HEIC pictures; errors of HEIC pictures and videos if the extra that reads them is not installed."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pillow_heif
import pytest
from PIL import ExifTags, Image

from posecli.errors import ImageTooLarge, UnreadableImage, UnsupportedImage
from posecli.inputs.arguments import Inputs
from posecli.inputs.opening import HEIF, open_image
from posecli.inputs.pictures import read_frame
from posecli.inputs.signature import Content, content_of, is_heif
from posecli.inputs.walk import PassedOver

from ..conftest import Posecli, records_of
from ..tiny_model import draw_discs, person_at
from .test_clips import write_video

LIMIT = 10**8
Without = Callable[..., dict[str, str]]


def heic(*pictures: Image.Image, **options: object) -> bytes:
    """A HEIC file of one or several pictures; the last is the primary one."""
    file = pillow_heif.HeifFile()
    for picture in pictures:
        file.add_from_pillow(picture)
    data = io.BytesIO()
    file.save(data, quality=90, primary_index=len(pictures) - 1, **options)
    return data.getvalue()


def halves(size: tuple[int, int] = (160, 80)) -> Image.Image:
    """A picture whose left half is red and whose right half is blue."""
    picture = Image.new("RGB", size, (220, 20, 20))
    picture.paste((20, 20, 220), (size[0] // 2, 0, *size))
    return picture


def is_red(colour: object) -> bool:
    assert isinstance(colour, tuple)
    return bool(colour[0] > 150 and colour[2] < 100)


@pytest.fixture(autouse=True)
def _restored_pillow() -> Iterator[None]:
    """Unregister HEIF after each test: other tests need a Pillow that does not know it."""
    yield
    for registered in (Image.OPEN, Image.SAVE, Image.SAVE_ALL, Image.MIME):
        registered.pop(HEIF, None)
    if HEIF in Image.ID:
        Image.ID.remove(HEIF)


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """A folder copied from a phone: a HEIC, a video, and files of other kinds."""
    folder = tmp_path / "phone"
    folder.mkdir()
    (folder / "IMG_1.HEIC").write_bytes(heic(draw_discs([person_at(120, 80)], (320, 257))))
    write_video(folder / "IMG_2.MOV", 3)
    for name in ("IMG_1.AAE", "IMG_3.AAE", "notes.txt", "README"):
        (folder / name).touch()
    return folder


def test_a_heic_is_read_upright() -> None:
    data = heic(halves())
    assert is_heif(data[:512])
    assert content_of(data) is Content.PICTURE
    frame = read_frame(data, max_pixels=LIMIT)
    assert (frame.width, frame.height, frame.image.mode) == (160, 80, "RGB")
    assert is_red(frame.image.getpixel((20, 40)))


def test_a_heic_is_turned_once() -> None:
    """Phones store the orientation twice: in the HEIF container and in the EXIF data."""
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = io.BytesIO()
    halves().save(data, HEIF, exif=exif.tobytes())
    frame = read_frame(data.getvalue(), max_pixels=LIMIT)
    assert (frame.width, frame.height) == frame.image.size == (80, 160)
    assert is_red(frame.image.getpixel((40, 20)))


def test_of_several_pictures_the_primary_one_is_read() -> None:
    data = heic(Image.new("RGB", (96, 64), "white"), halves())
    assert content_of(data) is Content.PICTURE
    assert read_frame(data, max_pixels=LIMIT).image.size == (160, 80)


@pytest.mark.parametrize("brand", [b"mif1", b"heix", b"heic"])
def test_heic_is_recognised_by_its_brands(brand: bytes) -> None:
    data = heic(halves())
    data = data[:8] + brand + data[12:]
    assert is_heif(data)
    assert open_image(io.BytesIO(data)).format == HEIF


def test_avif_is_not_heic() -> None:
    data = io.BytesIO()
    halves().save(data, "AVIF")
    for brand in (b"avif", b"mif1"):
        changed = data.getvalue()[:8] + brand + data.getvalue()[12:]
        assert not is_heif(changed)
        assert read_frame(changed, max_pixels=LIMIT).image.size == (160, 80)


def test_max_pixels_applies_to_heic() -> None:
    with pytest.raises(ImageTooLarge):
        read_frame(heic(halves()), max_pixels=100)


@pytest.mark.parametrize("cut", [60, 400])
def test_a_damaged_heic_is_one_error(cut: int) -> None:
    with pytest.raises(UnreadableImage, match="damaged"):
        read_frame(heic(halves())[:cut], max_pixels=LIMIT)


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "IMG_1.HEIC"
    path.write_bytes(heic(halves()))
    with pytest.raises(UnsupportedImage, match=r"IMG_1\.HEIC is a HEIC picture, and the extra heif is not") as caught:
        read_frame(path, max_pixels=LIMIT)
    assert caught.value.hint == "pip install pillow-heif"


def test_pillow_heif_is_not_imported_for_other_pictures(phone: Path) -> None:
    code = (
        "import sys, io; from PIL import Image\n"
        "from posecli.inputs.arguments import Inputs; from posecli.inputs.pictures import read_frame\n"
        f"assert len(list(Inputs([{str(phone)!r}]))) == 2\n"
        "data = io.BytesIO(); Image.new('RGB', (9, 9)).save(data, 'WEBP'); read_frame(data, max_pixels=100)\n"
        "print('pillow_heif' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == "False\n"


def test_heic_and_videos_of_a_phone_folder_are_read(phone: Path, posecli: Posecli) -> None:
    result = posecli("estimate", phone, "-v")
    records = records_of(result.stdout)
    assert result.returncode == 0, result.stderr
    assert [Path(record.image).name for record in records] == ["IMG_1.HEIC", *["IMG_2.MOV"] * 3]
    assert all(len(record.poses) == 1 for record in records)
    *_, passed_over, summary = result.stderr.decode().splitlines()
    assert passed_over == "posecli: passed over: 2 .aae, 1 without extension, 1 .txt"
    assert summary.startswith("posecli: 4 pictures = 4 ok + 0 failed + 0 skipped; ")


def test_without_the_extras_each_file_is_an_error_that_names_its_extra(
    phone: Path, posecli: Posecli, without: Without
) -> None:
    result = posecli("estimate", phone, env=without("pillow_heif", "av"))
    assert result.returncode == 1
    heif, video = (record.error for record in records_of(result.stdout))
    assert heif is not None
    assert video is not None
    assert (heif.code, video.code) == ("unsupported_image", "unsupported_image")
    assert "the extra heif is not installed (pip install pillow-heif)" in heif.message
    assert "the extra video is not installed (pip install av scipy)" in video.message
    assert b"passed over" not in result.stderr


def test_a_video_through_a_pipe_without_the_extra(phone: Path, posecli: Posecli, without: Without) -> None:
    result = posecli("estimate", "-", input=(phone / "IMG_2.MOV").read_bytes(), env=without("av"))
    assert result.returncode == 1
    assert b"is a video, and the extra video is not installed" in result.stderr


def test_the_error_of_a_folder_without_pictures_lists_its_files(phone: Path, posecli: Posecli) -> None:
    for name in ("IMG_1.HEIC", "IMG_2.MOV"):
        (phone / name).unlink()
    result = posecli("estimate", phone)
    assert result.returncode == 2
    assert b"no picture to read, and passed over: 2 .aae, 1 without extension, 1 .txt" in result.stderr


def test_the_number_of_counted_extensions_is_limited() -> None:
    passed_over = PassedOver()
    for number in range(1000):
        passed_over.count(f"run.{number}")
    for _ in range(3):
        passed_over.count("a.XMP")
        passed_over.count("run.5")
    assert passed_over.total == 1006
    assert str(passed_over).startswith("4 .5, 1 .0, ")
    assert str(passed_over).endswith(" others")


def test_walks_yield_heic_and_videos_without_their_extras_too(phone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setitem(sys.modules, "av", None)
    assert [Path(image.name).name for image in Inputs([str(phone)])] == ["IMG_1.HEIC", "IMG_2.MOV"]
