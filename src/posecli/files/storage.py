"""Local and remote files: local paths, and the stores of fsspec (s3://, gs://, https://, …; extra `remote`).

Remote files are read and written whole. Transient failures are retried. Credentials and endpoints come only from the
usual environment of each store.
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
from posecli.extras import import_extra, install_extra

EXTRA = "remote"
#: Scheme → package that fsspec needs for it.
_PACKAGES = {"http": "aiohttp", "https": "aiohttp", "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
#: Seconds before each retry.
WAITS = (0.3, 1.0, 3.0)
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_FORBIDDEN_STATUS = (401, 403)
#: File name for an input whose name has no usable part.
UNNAMED = "unnamed"
#: NUL, and surrogates that do not stand for a byte.
_INVALID_CHARACTER = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")
#: Parts of a key that have a special meaning in a path: empty, `.` and `..`.
_SPECIAL_PART = re.compile(r"(?<=/)\.{0,2}(?=/)")
_SEPARATORS = frozenset(("/", os.sep))
#: Errors that are not retried.
_PERMANENT_ERRORS = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, MemoryError)
Result = TypeVar("Result")


class UnusableStore(OSError):
    """The scheme of a path has no usable store. It is not retried."""


class TooManyBytes(OSError):
    """A file is larger than the limit for its bytes."""


class _TransientError(OSError):
    """A failure that is retried."""


def is_remote(path: str) -> bool:
    """Whether a path is remote, such as `s3://bucket/key`."""
    return _REMOTE.match(path) is not None


def check_packages(path: str) -> None:
    """Raise MissingExtra if a remote path needs a package that is not installed. No package is imported."""
    for package in ("fsspec", _PACKAGES.get(path.partition("://")[0].lower(), "fsspec")):
        if find_spec(package) is None:
            raise MissingExtra(f"{path} needs {package}, which is not installed", install_extra(EXTRA))


def is_web(path: str) -> bool:
    """Whether a path is a web address. Web addresses have no folders or patterns: a ? is not a wildcard."""
    return path.lower().startswith(("http://", "https://"))


def without_scheme(path: str) -> str:
    """A remote path without its scheme (`s3://`), as a relative file path.

    Parts of a key with a special meaning in file paths, as in `a//b` and `a/../b`, become %HEX. Different keys give
    different paths.
    """
    return confined_path(_SPECIAL_PART.sub(_escaped, _REMOTE.sub("", path)))


def _escaped(part: re.Match[str]) -> str:
    return "".join(f"%{ord(character):02X}" for character in part[0] or "/")


def confined_path(name: str, paths: ModuleType = os.path) -> str:
    """A relative path that stays inside any folder that it is joined to. A plain name does not change.

    The drive and the root are removed, leading `..` are dropped, and invalid characters become %HEX.
    paths: the path rules: os.path, or posixpath or ntpath for another system.
    """
    text = _INVALID_CHARACTER.sub(lambda match: f"%{ord(match[0]):02X}", name)
    if paths.sep == "\\":
        text = text.replace(":", "%3A") if not paths.splitdrive(text)[0] else _without_drive(text, paths)
    return str(paths.normpath(paths.sep + text.lstrip("/" + paths.sep))).lstrip(paths.sep) or UNNAMED


def endings(name: str) -> Iterator[str]:
    """A name, then the name without its first folder, without its first two folders, and so on."""
    yield name
    for position, character in enumerate(name):
        if character in _SEPARATORS:
            yield name[position + 1 :]


def _without_drive(text: str, paths: ModuleType) -> str:
    """A Windows path with a folder in place of its drive or share: two drives may hold files of the same name."""
    drive, rest = paths.splitdrive(text)
    return f"{re.sub(r'[^A-Za-z0-9]+', '_', drive).strip('_')}{paths.sep}{rest.replace(':', '%3A')}"


def name_bytes(name: str) -> bytes:
    """A name as UTF-8 bytes, the same in every locale. Names that no file can have are encoded too."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogatepass")


def open_file(path: str) -> io.BufferedReader:
    """Open a local or remote file for reading. Raises OSError."""
    return io.BufferedReader(io.BytesIO(read_bytes(path))) if is_remote(path) else open(path, "rb")


def read_bytes(path: str, *, most: int | None = None) -> bytes:
    """Read a remote file.

    most: limit in bytes, after decompression of the transfer. Reading stops there.
    Raises OSError (FileNotFoundError, PermissionError, TooManyBytes, …), MissingExtra, MemoryError.
    """
    if most is None:
        data: bytes = _with_retries(path, lambda store, key: store.cat_file(key))
    elif is_web(path):  # a server may send more bytes than the requested range
        data = _with_retries(path, lambda store, key: _stream(store, key, most + 1))
    else:
        data = _with_retries(path, lambda store, key: _first_bytes(store, key, most + 1))
    if most is not None and len(data) > most:
        raise TooManyBytes(f"{path}: it has more than {most} bytes")
    return data


def _stream(store: Any, key: str, count: int) -> bytes:
    """The first bytes of a file of a web server, read as a stream."""
    data = bytearray()
    # A given size saves a HEAD request. A block size of 0 makes fsspec stream the response.
    with store.open(key, "rb", block_size=0, size=count) as file:
        while len(data) < count and (piece := file.read(count - len(data))):
            data += piece
    return bytes(data)


def _first_bytes(store: Any, key: str, count: int) -> bytes:
    """The first bytes of a file, in one range request."""
    try:
        data: bytes = store.cat_file(key, start=0, end=count)
    except OSError as error:
        if error.errno == errno.EINVAL and store.size(key) == 0:
            return b""  # an empty file has no valid range
        raise
    return data


def write_bytes(path: str, data: bytes) -> None:
    """Write a remote file in one operation. Raises OSError, MissingExtra."""
    _with_retries(path, lambda store, key: store.pipe_file(key, data))


def remove(path: str) -> None:
    """Delete a local or remote file if it exists. Raises OSError."""
    try:
        if is_remote(path):
            _with_retries(path, lambda store, key: store.rm_file(key))
        else:
            os.unlink(path)
    except FileNotFoundError:
        return


def exists(path: str) -> bool:
    """Whether a path exists, as a file or anything else. Raises OSError if a remote store does not answer."""
    if not is_remote(path):
        return os.path.lexists(path)
    found: bool = _with_retries(path, lambda store, key: store.exists(key))
    return found


def is_same(path: str, other: str) -> bool:
    """Whether two local names mean the same existing file or folder, with links resolved."""
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


def is_folder(path: str) -> bool:
    """Whether a path is a folder. A remote path that ends in / always is one: remote stores have no empty folders."""
    if not is_remote(path):
        return os.path.isdir(path)
    if is_web(path):
        return False
    found: bool = path.endswith("/") or _with_retries(path, lambda store, key: store.isdir(key))
    return found


def names_in(folder: str) -> Iterator[str]:
    """Names of the entries of a folder, in no order. A folder that does not exist has none. Raises OSError."""
    if not is_remote(folder):
        if os.path.isdir(folder):
            with os.scandir(folder) as entries:
                yield from (entry.name for entry in entries)
        return
    try:
        found: list[str] = _with_retries(folder, lambda store, key: store.ls(key, detail=False))
    except FileNotFoundError:
        return
    yield from (os.path.basename(name.rstrip("/")) for name in found)


def walk(folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """os.walk for a remote folder, top down: full path, folder names, file names.

    The caller may remove folder names, so that these folders are not visited. Keys with an empty part, such as `a//b`,
    are listed as files of the folder before it: `/b` in `a`.
    """
    store, key = _store(folder)
    store.invalidate_cache()
    for subfolder, folders, files in store.walk(key, on_error="raise", detail=True):
        folder_names, names = list(folders), [name for name in files if name]
        if files.get("", {}).get("type") == "directory":  # the walk of fsspec does not visit empty parts
            names += [path[len(subfolder) + 1 :] for path in store.find(subfolder, prefix="/")]
        yield store.unstrip_protocol(subfolder), folder_names, names
        kept = {name: folders[name] for name in folder_names}
        folders.clear()
        folders.update(kept)


def matches(pattern: str) -> list[str]:
    """The files that match a remote pattern, without hidden files. Raises OSError."""
    store, _ = _store(pattern)
    found: list[str] = _with_retries(pattern, lambda store, key: store.glob(key))
    return [store.unstrip_protocol(name) for name in found if not os.path.basename(name).startswith(".")]


def _store(path: str) -> tuple[Any, str]:
    check_packages(path)
    fsspec = import_extra("fsspec", extra=EXTRA)
    try:
        store, key = fsspec.core.url_to_fs(path)
    except ImportError as error:
        raise UnusableStore(f"{path}: {error}") from error
    except ValueError as error:  # an unknown scheme
        raise UnusableStore(f"{path}: {error}") from error
    return store, key


def _with_retries(path: str, action: Callable[[Any, str], Result]) -> Result:
    """Run an action on a store and a key; return its result. Transient failures are retried. Raises OSError."""
    for wait in WAITS:
        with suppress(_TransientError):
            return _attempt(path, action)
        time.sleep(wait)
    return _attempt(path, action)


def _attempt(path: str, action: Callable[[Any, str], Result]) -> Result:
    try:
        store, key = _store(path)
        store.invalidate_cache()
        return action(store, key)
    except (*_PERMANENT_ERRORS, PosecliError, UnusableStore):
        raise
    except Exception as error:  # each store has its own exception classes
        if getattr(error, "status", None) in _FORBIDDEN_STATUS:
            raise PermissionError(f"{path}: permission denied") from error
        raise _TransientError(f"{path}: {error or type(error).__name__}") from error
