"""A web server on the loopback address that misbehaves on request."""

from __future__ import annotations

import contextlib
import gzip
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Server(ThreadingHTTPServer):
    """Serves one file. The path selects the behaviour: /fine, /cut, /lies, /longer, /404, /503, /redirect, /stall, …"""

    daemon_threads = True

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data = data
        self.requests: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def count(self, path: str) -> int:
        return sum(requested == path for requested, _ in self.requests)


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range", "")))
        path = urlsplit(self.path).path  # a request to a proxy contains the whole URL
        name = path.strip("/").split("/")[0]
        getattr(self, "_do_" + name)()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Do not log."""

    def _send(self, data: bytes, cut: int | None = None, ranges: bool = True) -> None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(match[1]) if match and ranges else 0
        if match and ranges and start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if match and ranges else 200)
        if match and ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data[start:] if cut is None else data[start : start + cut])
            self.wfile.flush()
        if cut is not None:
            self.close_connection = True

    def _do_fine(self) -> None:
        self._send(self.server.data)

    def _do_cut(self) -> None:
        """Sends a third of the file per request."""
        self._send(self.server.data, cut=len(self.server.data) // 3 + 1)

    def _do_norange(self) -> None:
        """Cuts off the first response, and does not support ranges."""
        first = self.server.count(self.path) == 1
        self._send(self.server.data, cut=1000 if first else None, ranges=False)

    def _do_broken(self) -> None:
        """Closes the first connection without a response."""
        if self.server.count(self.path) == 1:
            self.close_connection = True
        else:
            self._send(self.server.data)

    def _do_lies(self) -> None:
        self._send(bytes(len(self.server.data)))

    def _do_longer(self) -> None:
        self._send(self.server.data + b"more")

    def _do_404(self) -> None:
        self.send_error(404)

    def _do_416(self) -> None:
        self.send_error(416)

    def _do_always500(self) -> None:
        self.send_error(500)

    def _do_always503(self) -> None:
        self.send_error(503)

    def _do_dripped(self) -> None:
        """Sends the correct body, one byte at a time."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.data)))
        self.end_headers()
        self._drip(self.server.data)

    def _do_drippedheaders(self) -> None:
        self._drip(b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 1000)

    def _do_continues(self) -> None:
        """Sends status 100 without end."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    def _drip(self, data: bytes) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            for byte in data:
                self.wfile.write(bytes((byte,)))
                time.sleep(0.01)

    def _do_endless(self) -> None:
        """Sends bytes until the client closes the connection."""
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(bytes(1 << 16))

    def _do_bomb(self) -> None:
        """Sends a small body that decompresses to a large one."""
        data = gzip.compress(bytes(1 << 24))
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data)

    def _do_unlisted(self) -> None:
        """Behaves like an S3 bucket in which pictures may be read but not listed."""
        if ".png" in self.path:
            self._send(self.server.data)
        else:
            self.send_error(403)

    def _do_503(self) -> None:
        """Answers the first two requests with 503, then with the file."""
        if self.server.count(self.path) <= 2:
            self.send_error(503)
        else:
            self._send(self.server.data)

    def _do_redirect(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/fine")
        self.end_headers()

    def _do_stall(self) -> None:
        """Stops sending during the first response."""
        if self.server.count(self.path) > 1:
            self._send(self.server.data)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.data)))
        self.end_headers()
        self.wfile.write(self.server.data[:2000])
        self.wfile.flush()
        time.sleep(3)


@contextlib.contextmanager
def serving(data: bytes) -> Iterator[Server]:
    """Run the server while the block runs."""
    server = Server(data)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
