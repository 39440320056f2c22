"""The pace that a web server must keep to: else it could hold up a download for ever, byte after byte."""

from __future__ import annotations

import functools
import http.client
import io
import socket
import urllib.request
from time import monotonic
from typing import Any

#: Bytes a second that a server must send at least: with them the largest model takes an hour.
LEAST_RATE = 4096


class TooSlow(TimeoutError):
    """A server does not keep to the pace."""


def paced_opener() -> urllib.request.OpenerDirector:
    """Opens web addresses. A server has the seconds of the timeout for its headers, all in all, and must send at least
    `LEAST_RATE` over any such time: else TooSlow is raised while it is opened or read."""
    return urllib.request.build_opener(_Handler, _SecureHandler)


class _Paced(io.RawIOBase):
    """What comes from a server."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, seconds: float) -> None:
        self._raw = raw
        self._connection = connection
        self._seconds = seconds
        self._in_headers = True
        self._begin()

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Take in what has come, or wait for it. Raises TooSlow."""
        rest = self._end - monotonic()
        if rest <= 0:
            if self._in_headers or self._received < LEAST_RATE * self._seconds:
                raise self._reason()
            self._begin()
            rest = self._seconds
        self._connection.settimeout(rest)
        try:
            count: int | None = self._raw.readinto(buffer)
        except TimeoutError as error:
            raise self._reason() from error
        finally:
            self._connection.settimeout(self._seconds)
        self._received += count or 0
        return count

    def begin_body(self) -> None:
        """The headers are there."""
        self._in_headers = False
        self._begin()

    def close(self) -> None:
        """End with what it reads from."""
        self._raw.close()
        super().close()

    def _begin(self) -> None:
        self._received = 0
        self._end = monotonic() + self._seconds

    def _reason(self) -> TooSlow:
        """What to say of the time that is over."""
        if self._in_headers:
            return TooSlow(f"it did not answer within {self._seconds:g} s")
        return TooSlow(f"it sent {self._received} bytes in {self._seconds:g} s")


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, seconds: float, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._paced = _Paced(self.fp.detach(), sock, seconds)
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
