"""Text that is safe to print: it contains no control sequences and no characters that the terminal cannot encode."""

from __future__ import annotations

from typing import TextIO


def printable(text: str) -> str:
    """Escape control characters and all other characters that are not printable. The result is one line."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def encodable(text: str, stream: TextIO) -> str:
    """Escape the characters that a stream's encoding lacks."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def print_line(text: str, stream: TextIO) -> None:
    """Print text as one safe line, and flush."""
    print(encodable(printable(text), stream), file=stream, flush=True)
