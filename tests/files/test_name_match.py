"""Names of the same pictures, seen from different folders."""

from __future__ import annotations

import random

import pytest

from posecli.files.name_match import match_names


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("1.jpg", "1.jpg", "1.jpg"),
        ("1.jpg a/1.jpg b/a/1.jpg", "/x/1.jpg /x/a/1.jpg /x/b/a/1.jpg", "/x/1.jpg /x/a/1.jpg /x/b/a/1.jpg"),
        ("/x/1.jpg /x/a/1.jpg /x/b/a/1.jpg", "1.jpg a/1.jpg b/a/1.jpg", "1.jpg a/1.jpg b/a/1.jpg"),
        ("x/1.jpg x/a/1.jpg", "a/1.jpg 1.jpg", "1.jpg a/1.jpg"),
        ("/x/a/1.jpg", "1.jpg a/1.jpg", "a/1.jpg"),
        ("a/1.jpg b/2.jpg", "c/1.jpg c/2.jpg", "c/1.jpg c/2.jpg"),
        ("images/default/1.jpg", "samples/1.jpg", "samples/1.jpg"),
        ("x/a/1.jpg x/b/1.jpg", "y/b/1.jpg y/a/1.jpg", "y/a/1.jpg y/b/1.jpg"),
        ("1.jpg", "1.jpg a/1.jpg", "1.jpg"),
        ("a/1.jpg", "1.jpg x/a/1.jpg", "x/a/1.jpg"),
        ("1.jpg", "a/1.jpg b/1.jpg", "-"),
        ("z/1.jpg", "a/1.jpg b/1.jpg", "-"),
        ("a/1.jpg b/1.jpg", "a/1.jpg c/1.jpg", "a/1.jpg -"),
        ("a/1.jpg x/a/1.jpg", "a/1.jpg 1.jpg", "a/1.jpg -"),
        ("1.jpg", "11.jpg", "-"),
        ("http://h/", "a/", "-"),
        ("", "a.jpg", ""),
    ],
)
def test_names_match_by_their_longest_ending(ours: str, theirs: str, expected: str) -> None:
    names = ours.split()
    found = match_names(names, theirs.split())
    assert [found.get(name, "-") for name in names] == expected.split()
    assert match_names(theirs.split(), names) == {other: one for one, other in found.items()}


def test_the_order_of_names_does_not_matter_and_no_name_is_used_twice() -> None:
    chance = random.Random(0)
    for _ in range(300):
        sets = [["/".join(chance.choices("ab", k=chance.randint(1, 4))) for _ in range(5)] for _ in range(2)]
        found = match_names(*sets)
        assert len(set(found.values())) == len(found)
        assert match_names(*(names[::-1] for names in sets)) == found
        assert {other: one for one, other in found.items()} == match_names(*sets[::-1])
