"""Writes one self-contained HTML page of a run: pictures with skeletons, failures, scores.

The page is `page.html` (Jinja2) with `page.css` and `page.js` embedded. Names and messages are embedded as JSON and set
as text, never as markup. The content security policy allows only the page's own script.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from posecli.errors import InputError
from posecli.extras import import_extra
from posecli.files.atomic import atomic_text
from posecli.files.storage import is_web, name_bytes
from posecli.inputs.arguments import picture_path
from posecli.inputs.clips import FrameReader, unpack
from posecli.inputs.pictures import frame_from_array, read_frame
from posecli.records.formats.base import text_name
from posecli.render.draw import colour_number, web_colours
from posecli.skeleton import DRAWN_EDGES, KEYPOINT_IDS, KEYPOINT_NAMES, side_of
from posecli.types import Record, Settings

#: Longer side in pixels and quality of embedded pictures: about 25 kB each, suitable for a page of 2,000.
DEFAULT_SIZE, JPEG_QUALITY = 480, 70
#: Pictures of these kinds can be linked. Others, such as TIFF, are embedded.
_SHOWN_BY_BROWSERS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif")
_FOLDER = Path(__file__).parent
_BODY = {"parts": KEYPOINT_NAMES, "sides": [side_of(part) for part in KEYPOINT_IDS.values()], "edges": DRAWN_EDGES}


def write_page(
    records: Iterable[Record], path: str, *, image_root: str | None = None, link: bool = False, size: int = DEFAULT_SIZE
) -> None:
    """Write the page, complete or not at all.

    image_root: folder of the pictures, if they are not at the paths in the records. link: link pictures that a browser
    can show, instead of embedding them. size: longer side of embedded pictures in pixels. Pictures that cannot be read
    are left out.
    Raises MissingExtra if Jinja2 is not installed, OutputError if the page cannot be written.
    """
    jinja2 = import_extra("jinja2", extra="report")
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_FOLDER), autoescape=True)
    listed = list(records)
    places = [picture_path(record, image_root) for record in listed]
    entries = [_entry(record) for record in listed]
    if link:
        folder = os.path.dirname(os.path.abspath(path))
        for record, entry, place in zip(listed, entries, places, strict=True):
            entry["link"] = link_to(place, folder) if _can_be_linked(record, place) else None
    style, script = ((_FOLDER / name).read_text("utf-8") for name in ("page.css", "page.js"))
    context = {
        "title": f"posecli: {_counted(listed)}",
        "style": style,
        "script": script,
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "images": "data: file: http: https:" if link else "data:",
        "data": _json({**_BODY, "colours": web_colours(), "records": entries}),
        "pictures": _pictures(
            [(number, record, places[number]) for number, record in enumerate(listed) if not entries[number]["link"]],
            size,
        ),
    }
    with atomic_text(path) as file:
        file.writelines(environment.get_template("page.html").generate(context))


def link_to(place: str, folder: str) -> str:
    """The URL of a file for a page in a folder: relative, or absolute if it is on the web or on another drive."""
    if is_web(place):
        return place
    try:
        path, start, safe = os.path.relpath(place, folder), "", "/"
    except ValueError:
        path, start, safe = os.path.abspath(place), "file:///", "/:"
    return start + urllib.parse.quote(name_bytes(path.replace(os.sep, "/")), safe=safe)


def _entry(record: Record) -> dict[str, Any]:
    return {
        "image": text_name(record.image),
        "file": None if record.file is None else text_name(record.file),
        "frame": record.frame,
        "time": record.time,
        "link": None,
        "error": [record.error.code, text_name(record.error.message)] if record.error else None,
        "width": record.width,
        "height": record.height,
        "people": [
            {
                "score": round(pose.score, 3),
                "id": pose.id,
                "colour": colour_number(index, pose),
                "points": [[round(p.x, 1), round(p.y, 1), round(p.score, 2)] for p in pose.keypoints],
            }
            for index, pose in enumerate(record.poses)
        ],
    }


def _is_inside_a_clip(record: Record) -> bool:
    """Whether the picture is a frame inside a clip's file."""
    return record.frame is not None and record.file is None


def _can_be_linked(record: Record, place: str) -> bool:
    """Whether a browser can show the linked picture: it is on the web, or an existing file of a suitable kind."""
    if not record.ok or _is_inside_a_clip(record):
        return False
    return is_web(place) or (place.lower().endswith(_SHOWN_BY_BROWSERS) and os.path.isfile(name_bytes(place)))


def _counted(records: Iterable[Record]) -> str:
    """The numbers of pictures and frames, as text."""
    count = Counter("frames" if record.frame is not None else "pictures" for record in records)
    return " and ".join(f"{count[unit]} {unit}" for unit in ("pictures", "frames") if count[unit]) or "no pictures"


def _pictures(records: Iterable[tuple[int, Record, str]], size: int) -> Iterator[tuple[int, str]]:
    """Yield number and base64 text of each picture that can be read. records: with numbers and paths of pictures."""
    frames = FrameReader()
    for number, record, place in records:
        frame = record.frame if _is_inside_a_clip(record) else None
        if record.ok and (data := _jpeg(place, frame, size, frames)):
            yield number, base64.b64encode(data).decode()


def _jpeg(place: str, number: int | None, size: int, frames: FrameReader) -> bytes:
    """A small JPEG of a picture or of a clip's frame; empty if it cannot be read."""

    def shrunk(width: int, height: int) -> tuple[int, int]:
        scale = min(size / max(width, height), 1)
        return max(round(width * scale), 1), max(round(height * scale), 1)

    try:
        if number is not None:
            frame = frame_from_array(unpack(frames.read(place, number)))
        else:
            frame = read_frame(place, max_pixels=Settings.max_pixels, detail=shrunk)
    except InputError:
        return b""
    data = io.BytesIO()
    picture = frame.image.resize(shrunk(frame.width, frame.height), Image.Resampling.BILINEAR)
    picture.save(data, "JPEG", quality=JPEG_QUALITY)
    return data.getvalue()


def _json(data: Any) -> str:
    """JSON for a script element, escaped so that it cannot end the element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
