"""The compact set of names."""

from __future__ import annotations

import os

from posecli.inputs.name_set import NameSet


def test_it_holds_exactly_the_added_names() -> None:
    name_set, names = NameSet(), [f"folder/{number}.jpg" for number in range(20000)]
    for name in names:
        assert name not in name_set
        name_set.add(name)
        name_set.add(name)
    assert len(name_set) == len(names)
    assert all(name in name_set for name in names)
    assert not any(name + "x" in name_set for name in names)


def test_undecodable_names_are_held() -> None:
    name_set = NameSet()
    name_set.add(os.fsdecode(b"bytes\xff.jpg"))
    assert os.fsdecode(b"bytes\xff.jpg") in name_set
    assert os.fsdecode(b"bytes\xfe.jpg") not in name_set
