"""Matches the names of two sets of pictures, whose paths may begin in different folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Set

from posecli.files.storage import endings


def match_names(ours: Iterable[str], theirs: Iterable[str]) -> dict[str, str]:
    """For each of our names that has one, the other set's name of the same picture. No name is used twice.

    1. Equal names match.
    2. A name matches the one longer name that ends with it, and with no longer name of its set. Long names come first.
    3. Two names match where both end alike, and no third name does.

    A name that fits several is left out. The order of the names does not matter.
    """
    ours, theirs = frozenset(ours), frozenset(theirs)
    pairs = {name: name for name in ours & theirs}
    taken = set(pairs)
    contained = [*_contained(ours, theirs), *((one, other) for other, one in _contained(theirs, ours))]
    contained.sort(key=lambda pair: min(map(len, pair)), reverse=True)
    for one, other in (*contained, *_alike(ours, theirs)):
        if one not in pairs and other not in taken:
            pairs[one] = other
            taken.add(other)
    return pairs


def _contained(short: Set[str], long: Set[str]) -> Iterator[tuple[str, str]]:
    """Names of the short set, each with the only name of the long set that ends with it."""
    longer: dict[str, list[str]] = {}
    for name in long:
        ending = next((ending for ending in endings(name) if ending != name and ending in short), None)
        if ending:
            longer.setdefault(ending, []).append(name)
    for ending, names in longer.items():
        if len(names) == 1:
            yield ending, names[0]


def _alike(ours: Set[str], theirs: Set[str]) -> Iterator[tuple[str, str]]:
    """Names that share an ending which no third name has."""
    our_names, their_names = _unique_endings(ours), _unique_endings(theirs)
    for ending in our_names.keys() & their_names.keys():
        yield our_names[ending], their_names[ending]


def _unique_endings(names: Set[str]) -> dict[str, str]:
    """The endings that only one name has, and that name."""
    counts = Counter(ending for name in names for ending in endings(name))
    return {ending: name for name in names for ending in endings(name) if ending and counts[ending] == 1}
