"""Files wherever they are: local paths, and places of fsspec's (s3://, gs://, https://, …; extra `remote`).

Whole files only: remote stores have no others. What may pass by itself is tried again after a while. Credentials and
addresses come from the usual environment of each store, and from nowhere else.
"""

from __future__ import annotations

import errno
import io
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeVar

from posecli.errors import MissingExtra, PosecliError
from posecli.extras import install_extra, need

EXTRA = "remote"
#: What fsspec itself needs for a scheme.
_PACKAGES = {"http": "aiohttp", "https": "aiohttp", "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
#: Seconds before the second, third, … try.
WAITS = (0.3, 1.0, 3.0)
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_FORBIDDEN = (401, 403)
#: What outputs are named after where a name holds nothing that a file could be called.
UNNAMED = "unnamed"
#: NUL, and surrogates that stand for no byte.
_NO_CHARACTER = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")
#: Parts of a key, between slashes, that are none of a path.
_NO_PART = re.compile(r"(?<=/)\.{0,2}(?=/)")
_SEPARATORS = frozenset(("/", os.sep))
#: What another try does not change.
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, MemoryError)
Result = TypeVar("Result")


class UnusableStore(OSError):
    """There is no store of this kind: no other try helps."""


class TooManyBytes(OSError):
    """A file is larger than what is wanted of it."""


class _PassingError(OSError):
    """Another try may help."""


def is_remote(path: str) -> bool:
    """Whether a path names a place on the network, as `s3://bucket/key` does."""
    return _REMOTE.match(path) is not None


def check_packages(path: str) -> None:
    """Raise MissingExtra where a remote path needs a package that is not installed. Nothing is imported for it."""
    for package in ("fsspec", _PACKAGES.get(path.partition("://")[0].lower(), "fsspec")):
        if find_spec(package) is None:
            raise MissingExtra(f"{path} needs {package}, which is not installed", install_extra(EXTRA))


def is_web(path: str) -> bool:
    """Whether a path is a web address: there are no folders or patterns there, and a ? is none."""
    return path.lower().startswith(("http://", "https://"))


def without_scheme(path: str) -> str:
    """What follows the `s3://` of a remote path, made fit for names of files. Parts of a key that mean something else
    there, as in `a//b` and `a/../b`, become %HEX: different keys stay different."""
    return inside(_NO_PART.sub(_escaped, _REMOTE.sub("", path)))


def _escaped(part: re.Match[str]) -> str:
    return "".join(f"%{ord(character):02X}" for character in part[0] or "/")


def inside(name: str, paths: ModuleType = os.path) -> str:
    """A name as a relative path that stays below whatever folder it is joined to; a plain one stays as it is.

    Drives and the root go, `..` leads no further up than to the folder itself, and what no file system takes becomes
    %HEX. paths: the rules of names, os.path or, for another system's, posixpath or ntpath.
    """
    text = _NO_CHARACTER.sub(lambda match: f"%{ord(match[0]):02X}", name)
    if paths.sep == "\\":
        text = text.replace(":", "%3A") if not paths.splitdrive(text)[0] else _without_drive(text, paths)
    return str(paths.normpath(paths.sep + text.lstrip("/" + paths.sep))).lstrip(paths.sep) or UNNAMED


def endings(name: str) -> Iterator[str]:
    """A name, and what is left of it without its first folder, without the first two, and so on."""
    yield name
    for place, character in enumerate(name):
        if character in _SEPARATORS:
            yield name[place + 1 :]


def _without_drive(text: str, paths: ModuleType) -> str:
    """A Windows path below a folder for its drive or share: two drives may hold files of one name."""
    drive, rest = paths.splitdrive(text)
    return f"{re.sub(r'[^A-Za-z0-9]+', '_', drive).strip('_')}{paths.sep}{rest.replace(':', '%3A')}"


def name_bytes(name: str) -> bytes:
    """The bytes of a name where names are UTF-8, the same in every locale; also of one that no file can have."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogatepass")


def open_file(path: str) -> io.BufferedReader:
    """A file for reading. Raises OSError."""
    return io.BufferedReader(io.BytesIO(read_bytes(path))) if is_remote(path) else open(path, "rb")


def read_bytes(path: str, *, most: int | None = None) -> bytes:
    """All of a remote file. most: bytes, decompressed where it travels compressed; no more are taken in.

    Raises OSError (FileNotFoundError, PermissionError, TooManyBytes, …), MissingExtra, MemoryError.
    """
    if most is None:
        data: bytes = _patiently(path, lambda store, key: store.cat_file(key))
    elif is_web(path):  # a server may send more than it was asked for
        data = _patiently(path, lambda store, key: _stream(store, key, most + 1))
    else:
        data = _patiently(path, lambda store, key: _beginning(store, key, most + 1))
    if most is not None and len(data) > most:
        raise TooManyBytes(f"{path}: it has more than {most} bytes")
    return data


def _stream(store: Any, key: str, count: int) -> bytes:
    """The first bytes of a file of a web server, as they come."""
    data = bytearray()
    # With a size that is known, nothing is asked before; with no size of a block, the answer is read as a stream.
    with store.open(key, "rb", block_size=0, size=count) as file:
        while len(data) < count and (piece := file.read(count - len(data))):
            data += piece
    return bytes(data)


def _beginning(store: Any, key: str, count: int) -> bytes:
    """The first bytes of a file, in one request."""
    try:
        data: bytes = store.cat_file(key, start=0, end=count)
    except OSError as error:
        if error.errno == errno.EINVAL and store.size(key) == 0:
            return b""  # no part of an empty file can be asked for
        raise
    return data


def write_bytes(path: str, data: bytes) -> None:
    """Put a remote file there, whole. Raises OSError, MissingExtra."""
    _patiently(path, lambda store, key: store.pipe_file(key, data))


def remove(path: str) -> None:
    """Delete a file; nothing where there is none. Raises OSError."""
    try:
        if is_remote(path):
            _patiently(path, lambda store, key: store.rm_file(key))
        else:
            os.unlink(path)
    except FileNotFoundError:
        return


def exists(path: str) -> bool:
    """Whether there is a file or anything else. Raises OSError where a remote store does not say."""
    if not is_remote(path):
        return os.path.lexists(path)
    found: bool = _patiently(path, lambda store, key: store.exists(key))
    return found


def is_folder(path: str) -> bool:
    """Whether files lie below a path. A remote one that ends in / is a folder, as there are no empty ones."""
    if not is_remote(path):
        return os.path.isdir(path)
    if is_web(path):
        return False
    found: bool = path.endswith("/") or _patiently(path, lambda store, key: store.isdir(key))
    return found


def names_in(folder: str) -> Iterator[str]:
    """Names of what is in a folder, in no order; nothing where there is none. Raises OSError."""
    if not is_remote(folder):
        if os.path.isdir(folder):
            with os.scandir(folder) as entries:
                yield from (entry.name for entry in entries)
        return
    try:
        found: list[str] = _patiently(folder, lambda store, key: store.ls(key, detail=False))
    except FileNotFoundError:
        return
    yield from (os.path.basename(name.rstrip("/")) for name in found)


def walk(folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """As os.walk over a remote folder, top down: full path, names of folders (which may be thinned out), of files.

    What lies behind a part of a key without a name, as `b` in `a//b`, is among the files, as `/b`.
    """
    store, key = _store(folder)
    store.invalidate_cache()
    for place, folders, files in store.walk(key, on_error="raise", detail=True):
        found, names = list(folders), [name for name in files if name]
        if files.get("", {}).get("type") == "directory":  # the store's own walk passes over it
            names += [path[len(place) + 1 :] for path in store.find(place, prefix="/")]
        yield store.unstrip_protocol(place), found, names
        kept = {name: folders[name] for name in found}
        folders.clear()
        folders.update(kept)


def matches(pattern: str) -> list[str]:
    """The files that a remote pattern stands for, hidden ones left out. Raises OSError."""
    store, _ = _store(pattern)
    found: list[str] = _patiently(pattern, lambda store, key: store.glob(key))
    return [store.unstrip_protocol(name) for name in found if not os.path.basename(name).startswith(".")]


def _store(path: str) -> tuple[Any, str]:
    check_packages(path)
    fsspec = need("fsspec", extra=EXTRA)
    try:
        store, key = fsspec.core.url_to_fs(path)
    except ImportError as error:
        raise UnusableStore(f"{path}: {error}") from error
    except ValueError as error:  # a scheme that nobody knows
        raise UnusableStore(f"{path}: {error}") from error
    return store, key


def _patiently(path: str, action: Callable[[Any, str], Result]) -> Result:
    """What an action on a store and a key gives, tried again where that may help. Raises OSError."""
    for wait in WAITS:
        with suppress(_PassingError):
            return _once(path, action)
        time.sleep(wait)
    return _once(path, action)


def _once(path: str, action: Callable[[Any, str], Result]) -> Result:
    try:
        store, key = _store(path)
        store.invalidate_cache()
        return action(store, key)
    except (*_FINAL, PosecliError, UnusableStore):
        raise
    except Exception as error:  # every store has its own
        if getattr(error, "status", None) in _FORBIDDEN:
            raise PermissionError(f"{path}: permission denied") from error
        raise _PassingError(f"{path}: {error or type(error).__name__}") from error
