"""Sets and maps of millions of names in little memory."""

from __future__ import annotations

import hashlib
from array import array

from posecli.files.storage import name_bytes

#: Initial number of slots, a power of two, and the share of occupied slots from which the table grows.
_SLOTS, _FULL = 1 << 10, 0.6


class NameSet:
    """A set of names that stores a 64-bit digest of each: 8 to 27 bytes per name; a set of strings takes about 100.

    Names with equal digests count as the same name: this happens once in thirty million lists of a million names.
    """

    def __init__(self) -> None:
        self._slots = array("Q", [0]) * _SLOTS  # 0: free; open addressing
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, name: str) -> bool:
        digest = _digest(name)
        return self._slots[self._place(digest)] == digest

    def add(self, name: str) -> None:
        """Add a name."""
        self._put(_digest(name))

    def _put(self, digest: int) -> int:
        """Add a digest; return its slot."""
        place = self._place(digest)
        if self._slots[place] == 0:
            if self._count >= _FULL * len(self._slots):
                self._grow()
                place = self._place(digest)
            self._slots[place] = digest
            self._count += 1
        return place

    def _place(self, digest: int) -> int:
        """The slot that holds a digest, or the free slot for it."""
        last = len(self._slots) - 1
        place = digest & last
        while self._slots[place] not in (0, digest):
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        old = self._slots
        self._slots = array("Q", [0]) * (2 * len(old))
        for digest in old:
            if digest:
                self._slots[self._place(digest)] = digest


class NameMap(NameSet):
    """A NameSet with a number from 0 to 2⁶⁴ - 1 for each name."""

    def __init__(self) -> None:
        super().__init__()
        self._values = array("Q", [0]) * _SLOTS

    def __setitem__(self, name: str, value: int) -> None:
        place = self._put(_digest(name))
        self._values[place] = value

    def get(self, name: str) -> int | None:
        """The number of a name, or None."""
        digest = _digest(name)
        place = self._place(digest)
        return self._values[place] if self._slots[place] == digest else None

    def _grow(self) -> None:
        old = list(zip(self._slots, self._values, strict=True))
        self._slots, self._values = (array("Q", [0]) * (2 * len(old)) for _ in range(2))
        for digest, value in old:
            if digest:
                place = self._place(digest)
                self._slots[place], self._values[place] = digest, value


def _digest(name: str) -> int:
    value = int.from_bytes(hashlib.blake2b(name_bytes(name), digest_size=8).digest(), "little")
    return value or 1  # 0 marks a free slot
