"""Text fit for a terminal: names and messages of others cannot move its cursor, nor fail in its encoding."""

from __future__ import annotations

from typing import TextIO


def printable(text: str) -> str:
    """One line: control characters, and whatever else is not printable, are escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def encodable(text: str, stream: TextIO) -> str:
    """What a stream's encoding lacks is escaped."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def print_line(text: str, stream: TextIO) -> None:
    """Print text as one line that is fit for a terminal, at once."""
    print(encodable(printable(text), stream), file=stream, flush=True)
