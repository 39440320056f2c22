"""A minimum rate for downloads: a server that sends a byte at a time could otherwise block a download forever."""

from __future__ import annotations

import functools
import http.client
import io
import socket
import urllib.request
from time import monotonic
from typing import Any

#: Minimum rate in bytes per second. At this rate the largest model takes an hour.
LEAST_RATE = 4096


class TooSlow(TimeoutError):
    """A server sends more slowly than the minimum rate."""


def paced_opener() -> urllib.request.OpenerDirector:
    """An opener of web addresses with a minimum rate.

    The timeout is the limit for all headers together. In each later interval of this length, the server must send at
    the rate `LEAST_RATE` on average. Otherwise opening or reading raises TooSlow.
    """
    return urllib.request.build_opener(_Handler, _SecureHandler)


class _PacedStream(io.RawIOBase):
    """The bytes that a server sends, with the rate limit. seconds: the timeout and the length of an interval."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, seconds: float) -> None:
        self._raw = raw
        self._connection = connection
        self._seconds = seconds
        self._in_headers = True
        self._begin_interval()

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read the available bytes, or wait for them. Raises TooSlow."""
        rest = self._end - monotonic()
        if rest <= 0:
            if self._in_headers or self._received < LEAST_RATE * self._seconds:
                raise self._too_slow()
            self._begin_interval()
            rest = self._seconds
        self._connection.settimeout(rest)
        try:
            count: int | None = self._raw.readinto(buffer)
        except TimeoutError as error:
            raise self._too_slow() from error
        finally:
            self._connection.settimeout(self._seconds)
        self._received += count or 0
        return count

    def begin_body(self) -> None:
        """Start the first interval of the body, after the headers."""
        self._in_headers = False
        self._begin_interval()

    def close(self) -> None:
        """Close the underlying stream too."""
        self._raw.close()
        super().close()

    def _begin_interval(self) -> None:
        self._received = 0
        self._end = monotonic() + self._seconds

    def _too_slow(self) -> TooSlow:
        """The error of an interval that has ended."""
        if self._in_headers:
            return TooSlow(f"it did not answer within {self._seconds:g} s")
        return TooSlow(f"it sent {self._received} bytes in {self._seconds:g} s")


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, seconds: float, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._paced = _PacedStream(self.fp.detach(), sock, seconds)
        self.fp = io.BufferedReader(self._paced)

    def begin(self) -> None:
        """Read the headers. Raises TooSlow."""
        super().begin()
        self._paced.begin_body()


class _Connection(http.client.HTTPConnection):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.response_class = functools.partial(_Response, seconds=options["timeout"])  # type: ignore[assignment]


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    pass


class _Handler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open an http address."""
        return self.do_open(_Connection, req)


class _SecureHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open an https address."""
        return self.do_open(_SecureConnection, req)
