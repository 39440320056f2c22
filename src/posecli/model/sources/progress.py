"""Messages and a progress bar of a download, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """Prints messages, and shows a bar if standard error is a terminal. It does nothing unless `shown`."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown

    def say(self, message: str) -> None:
        """Print one line."""
        if self._shown:
            print(f"posecli: {message}", file=sys.stderr)

    @contextmanager
    def bar(self, received: int, size: int) -> Iterator[Callable[[int], object]]:
        """Show a bar while the block runs; yield a function that advances it by a number of bytes."""
        if not self._shown or not sys.stderr.isatty():
            yield lambda count: None
            return
        from tqdm import tqdm

        with tqdm(desc="PoseNet model", initial=received, total=size, unit="B", unit_scale=True, leave=False) as bar:
            yield bar.update
