"""A set of names that keeps little of each."""

from __future__ import annotations

import os

from posecli.inputs.name_set import NameSet


def test_it_is_a_set() -> None:
    seen, names = NameSet(), [f"folder/{number}.jpg" for number in range(20000)]
    for name in names:
        assert name not in seen
        seen.add(name)
        seen.add(name)
    assert len(seen) == len(names)
    assert all(name in seen for name in names)
    assert not any(name + "x" in seen for name in names)


def test_names_that_are_no_text() -> None:
    seen = NameSet()
    seen.add(os.fsdecode(b"bytes\xff.jpg"))
    assert os.fsdecode(b"bytes\xff.jpg") in seen
    assert os.fsdecode(b"bytes\xfe.jpg") not in seen
