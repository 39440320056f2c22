"""Downloads one file over HTTP, with retries, resume, and a check of its size and hash."""

from __future__ import annotations

import hashlib
import http.client
import math
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.parse import SplitResult, urlsplit

from posecli.errors import DownloadError, UsageError
from posecli.model.sources.pace import paced_opener
from posecli.model.sources.progress import Progress

TRIES = 5
#: Seconds before the second try, doubled before each further try. POSECLI_DOWNLOAD_BACKOFF overrides it.
BACKOFF = 1.0
#: Seconds until a server must have answered, and the interval over which the minimum rate of `pace` is measured.
#: POSECLI_DOWNLOAD_TIMEOUT overrides it.
TIMEOUT = 30.0
#: Timeouts in seconds to resolve a host and to connect to it. They are short, because there may be no network.
RESOLVE_TIMEOUT, CONNECT_TIMEOUT = 1.5, 5.0
CHUNK = 1 << 18
_RANGE_NOT_SATISFIABLE = 416
_PARTIAL_CONTENT = 206
#: Status codes of transient failures.
_RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)
_HINT = "name a mirror with POSECLI_MODEL_URL"


class TransientError(Exception):
    """A failure that is retried."""


def download(url: str, part: Path, *, size: int, sha256: str, progress: Progress) -> None:
    """Download `url` to `part`, which may hold the beginning of the file from an earlier run.

    A partial file is kept, and the next try or the next run resumes it. The function returns when size and SHA-256 are
    correct. Raises DownloadError, and OSError if `part` cannot be written.
    """
    download_until(lambda: _check(part, size, sha256), url, part, limit=size, progress=progress)


def download_until(check: Callable[[], None], url: str, part: Path, *, limit: int, progress: Progress) -> None:
    """Download `url` to `part`, like `download`, until `check` raises no TransientError.

    limit: maximum size of the file in bytes. Raises DownloadError, other errors of `check`, and OSError.
    """
    backoff = _seconds("POSECLI_DOWNLOAD_BACKOFF", BACKOFF)
    timeout = _seconds("POSECLI_DOWNLOAD_TIMEOUT", TIMEOUT)
    _refuse_unreachable(url)
    progress.say(f"downloading the model ({limit / 1e6:.0f} MB) from {url}")
    reason = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(backoff * 2 ** (attempt - 1))
        try:
            _resume_download(url, part, limit, timeout, progress)
            check()
        except TransientError as error:
            reason = str(error)
        else:
            return
    raise DownloadError(f"cannot download {url}: {reason}; gave up after {TRIES} tries", _HINT)


def _seconds(variable: str, default: float) -> float:
    """A duration in seconds: the environment variable or, if it is not set, the default. Raises UsageError."""
    text = os.environ.get(variable, "")
    try:
        value = float(text or default)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{variable} is {text!r}, expected a number of seconds above 0")
    return value


def _refuse_unreachable(url: str) -> None:
    """Raise DownloadError if the host cannot be resolved or does not accept a connection. This is not retried.

    With a proxy for the address nothing is checked, because the proxy resolves the host.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise DownloadError(f"cannot download {url!r}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DownloadError(f"cannot download {url!r}: it is not an http or https address")
    if _has_proxy(parts):
        return
    reason = _resolving_error(parts.hostname, port)
    if not reason:
        try:
            socket.create_connection((parts.hostname, port), timeout=CONNECT_TIMEOUT).close()
        except OSError as error:
            reason = f"it does not accept a connection: {error.strerror or error}"
    if reason:
        raise DownloadError(f"cannot reach {parts.netloc}: {reason}", _HINT)


def _has_proxy(parts: SplitResult) -> bool:
    proxied = parts.scheme in urllib.request.getproxies() or "all" in urllib.request.getproxies()
    return proxied and not urllib.request.proxy_bypass(parts.netloc)


def _resolving_error(host: str, port: int) -> str:
    """The reason why a host cannot be resolved; empty if it can. A resolver that does not answer times out."""
    errors: list[str] = []

    def resolve() -> None:
        try:
            socket.getaddrinfo(host, port)
        except OSError as error:
            errors.append(f"its name cannot be resolved: {error.strerror or error}")
        except UnicodeError:
            errors.append("it is not a valid host name")

    thread = threading.Thread(target=resolve, daemon=True, name="posecli-resolve")
    thread.start()
    thread.join(RESOLVE_TIMEOUT)
    if thread.is_alive():
        return f"its name was not resolved within {RESOLVE_TIMEOUT} s"
    return errors[0] if errors else ""


def _resume_download(url: str, part: Path, size: int, timeout: float, progress: Progress) -> None:
    received = part.stat().st_size if part.exists() else 0
    if received >= size:
        return  # already complete: _check verifies the content
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "posecli", "Accept-Encoding": "identity"})
        if received:
            request.add_header("Range", f"bytes={received}-")
        with paced_opener().open(request, timeout=timeout) as response:
            is_resumed = response.status == _PARTIAL_CONTENT and _starts_at(response, received)
            with open(part, "ab" if is_resumed else "wb") as file:
                _copy(response, file, received if is_resumed else 0, size, progress)
    except urllib.error.HTTPError as error:
        with error:
            _raise_status_error(url, part, error)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise TransientError(str(getattr(error, "reason", error) or type(error).__name__)) from error
    except ValueError as error:
        raise DownloadError(f"cannot download {url!r}: {error}") from error


def _starts_at(response: http.client.HTTPResponse, received: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {received}-")


def _raise_status_error(url: str, part: Path, error: urllib.error.HTTPError) -> None:
    if error.code == _RANGE_NOT_SATISFIABLE and part.exists():
        part.unlink(missing_ok=True)
        raise TransientError("the server has less than was already downloaded") from error
    if error.code in _RETRIED_STATUS:
        raise TransientError(f"the server answered {error.code} {error.reason}") from error
    raise DownloadError(
        f"cannot download {url}: the server answered {error.code} {error.reason}",
        _HINT,
    ) from error


def _copy(response: http.client.HTTPResponse, file: IO[bytes], received: int, size: int, progress: Progress) -> None:
    with progress.bar(received, size) as advance:
        while chunk := response.read(CHUNK):
            received += len(chunk)
            if received > size:
                break  # not the expected file: stop here, so that it does not fill the disk
            file.write(chunk)
            advance(len(chunk))
    if received > size:
        file.truncate(0)
        raise TransientError(f"the server sent more than the expected {size} bytes")


def _check(part: Path, size: int, sha256: str) -> None:
    """Raise TransientError unless size and hash of the file are correct. A file with a wrong hash is deleted."""
    found = part.stat().st_size
    if found < size:
        raise TransientError(f"the connection ended after {found} of {size} bytes")
    with open(part, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    if digest != sha256:
        part.unlink()
        raise TransientError(f"the downloaded file has the SHA-256 {digest}, expected {sha256}")
