"""Fetching one file over HTTP so that it is whole and right, or absent."""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

from posecli.errors import DownloadError

TRIES = 5
#: Seconds before the second try; doubled for each further one. POSECLI_DOWNLOAD_BACKOFF changes it.
BACKOFF = 1.0
#: Seconds without a byte after which a server counts as stalled. POSECLI_DOWNLOAD_TIMEOUT changes it.
TIMEOUT = 30.0
CHUNK = 1 << 18
_RANGE_NOT_SATISFIABLE = 416
_PARTIAL_CONTENT = 206
#: Answers that may be different a moment later.
_RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)


class _TryAgainError(Exception):
    """One try failed in a way that the next may not."""


def fetch(url: str, target: Path, *, size: int, sha256: str, progress: bool = False) -> None:
    """Download `url` to `target`.

    What has arrived is kept beside it in `NAME.part` and continued on the next try or the next run. The name
    `target` appears only once size and SHA-256 are right. progress: say on standard error what is going on, with a
    bar where that is a terminal. Raises DownloadError.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _only_one_process(part):
            if not target.is_file():
                if progress:
                    print(f"posecli: fetching the model ({size / 1e6:.0f} MB) from {url}", file=sys.stderr)
                _fetch_with_retries(url, part, size, sha256, progress)
                os.replace(part, target)
    except OSError as error:
        raise DownloadError(f"cannot write {target}: {error.strerror or error}") from error


def _fetch_with_retries(url: str, part: Path, size: int, sha256: str, progress: bool) -> None:
    pause, reason = float(os.environ.get("POSECLI_DOWNLOAD_BACKOFF") or BACKOFF), ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            _continue_download(url, part, size, progress)
            _check(part, size, sha256)
        except _TryAgainError as error:
            reason = str(error)
        else:
            return
    hint = "try again later, name a mirror with POSECLI_MODEL_URL, or name a file with --model"
    raise DownloadError(f"cannot download {url}: {reason}; gave up after {TRIES} tries", hint)


def _continue_download(url: str, part: Path, size: int, progress: bool) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have >= size:
        return  # whole already; _check decides
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "posecli", "Accept-Encoding": "identity"})
        if have:
            request.add_header("Range", f"bytes={have}-")
        timeout = float(os.environ.get("POSECLI_DOWNLOAD_TIMEOUT") or TIMEOUT)
        with urllib.request.urlopen(request, timeout=timeout) as response:
            continued = response.status == _PARTIAL_CONTENT and _starts_at(response, have)
            with open(part, "ab" if continued else "wb") as file:
                _copy(response, file, have if continued else 0, size, progress)
    except urllib.error.HTTPError as error:
        with error:
            _explain_status(url, part, error)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _TryAgainError(str(getattr(error, "reason", error) or type(error).__name__)) from error
    except ValueError as error:
        raise DownloadError(f"cannot download {url!r}: {error}") from error


def _starts_at(response: http.client.HTTPResponse, have: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _explain_status(url: str, part: Path, error: urllib.error.HTTPError) -> None:
    if error.code == _RANGE_NOT_SATISFIABLE:
        part.unlink()
        raise _TryAgainError("the server has less than was already downloaded") from error
    if error.code in _RETRIED_STATUS:
        raise _TryAgainError(f"the server answered {error.code} {error.reason}") from error
    raise DownloadError(
        f"cannot download {url}: the server answered {error.code} {error.reason}",
        "name a mirror with POSECLI_MODEL_URL, or a file with --model",
    ) from error


def _copy(response: http.client.HTTPResponse, file: IO[bytes], have: int, size: int, progress: bool) -> None:
    with _progress_bar(have, size, progress) as bar:
        while chunk := response.read(CHUNK):
            have += len(chunk)
            if have > size:
                break  # a wrong file; _check says so, and nothing fills the disk
            file.write(chunk)
            bar.update(len(chunk))
    if have > size:
        file.truncate(0)
        raise _TryAgainError(f"the server sends more than the expected {size} bytes")


def _progress_bar(have: int, size: int, progress: bool) -> Any:
    if not progress or not sys.stderr.isatty():
        return nullcontext(_NoBar())
    from tqdm import tqdm

    return tqdm(desc="PoseNet model", initial=have, total=size, unit="B", unit_scale=True, leave=False)


class _NoBar:
    def update(self, count: int) -> None:
        """Show nothing."""


def _check(part: Path, size: int, sha256: str) -> None:
    """Raise _TryAgainError unless the file is whole and right; a wrong one is deleted."""
    found = part.stat().st_size
    if found < size:
        raise _TryAgainError(f"the connection ended after {found} of {size} bytes")
    with open(part, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    if digest != sha256:
        part.unlink()
        raise _TryAgainError(f"what came has the SHA-256 {digest}, expected {sha256}")


@contextmanager
def _only_one_process(part: Path) -> Iterator[None]:
    """Let processes that want the same file wait for the first, where the system can lock files."""
    lock = part.with_name(part.name + ".lock")
    with open(lock, "wb") as file:
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
