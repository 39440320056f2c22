"""How much memory a process of posecli's own may take, so that one input never takes the machine's."""

from __future__ import annotations

import os
from contextlib import suppress

#: Share of the memory at hand that all processes may take together.
_SHARE = 0.8
#: Bytes that a process gets at least: a picture of the default --max-pixels in RGB, and the network.
LEAST = 1 << 30
#: Bytes without which the interpreter, the TFLite runtime and the largest model do not fit.
LEAST_TO_RUN = 512 << 20
#: Where control groups say how much their processes may take: version 2, then 1.
_CGROUP_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_UNITS = {"": 20, "k": 10, "m": 20, "g": 30, "t": 40}


def memory_at_hand() -> int | None:
    """Bytes of memory that this machine has and its control group allows; None where the system does not say."""
    found = []
    with suppress(AttributeError, OSError, ValueError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _CGROUP_FILES:
        with suppress(OSError, ValueError), open(path) as file:
            found.append(int(file.read()))  # ValueError: "max"
    return min(found, default=None)


def share_of_memory(processes: int) -> int | None:
    """Bytes for each of so many processes; None where the system does not say how much there is."""
    memory = memory_at_hand()
    return None if memory is None else max(int(memory * _SHARE / processes), LEAST)


def parse_size(text: str) -> int:
    """Bytes of a size such as 2048 (MiB), 512M or 4G. Raises ValueError."""
    number = text.strip().lower().removesuffix("ib").removesuffix("b")
    unit = number[-1:] if number[-1:].isalpha() else ""
    if unit not in _UNITS:
        raise ValueError(f"{text!r} is no size")
    size = float(number.removesuffix(unit))
    if not 0 < size < 1 << 40:  # also refuses NaN
        raise ValueError(f"{text!r} is no size")
    return int(size * (1 << _UNITS[unit]))


def limit_memory(size: int | None) -> None:
    """Let this process take so many bytes for its data: what asks for more gets a MemoryError. None: no limit.

    Nothing on systems without such limits. Threads' stacks and what native code takes count as well; what is only set
    aside, as address space, does not.
    """
    if size is None:
        return
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
