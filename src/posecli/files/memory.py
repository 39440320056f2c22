"""Memory limits of posecli's processes, so that one input cannot exhaust the machine's memory."""

from __future__ import annotations

import os
from contextlib import suppress

#: Share of the available memory that all processes together may use.
_SHARE = 0.8
#: Minimum limit of a process in bytes: a picture of the default --max-pixels in RGB, and the network.
LEAST = 1 << 30
#: Minimum in bytes for the interpreter, the TFLite runtime and the largest model.
MIN_TO_RUN = 512 << 20
#: Files with the memory limit of the control group: version 2, then version 1.
_CGROUP_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_UNITS = {"": 20, "k": 10, "m": 20, "g": 30, "t": 40}


def available_memory() -> int | None:
    """Bytes of memory that this machine has and the control group allows. None if the system does not tell."""
    found = []
    with suppress(AttributeError, OSError, ValueError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _CGROUP_FILES:
        with suppress(OSError, ValueError), open(path) as file:
            found.append(int(file.read()))  # ValueError: "max"
    return min(found, default=None)


def memory_per_process(processes: int) -> int | None:
    """Memory limit in bytes for each of this number of processes. None if the memory is not known."""
    memory = available_memory()
    return None if memory is None else max(int(memory * _SHARE / processes), LEAST)


def parse_size(text: str) -> int:
    """Parse a size such as 2048 (MiB), 512M or 4G to bytes. Raises ValueError."""
    number = text.strip().lower().removesuffix("ib").removesuffix("b")
    unit = number[-1:] if number[-1:].isalpha() else ""
    if unit not in _UNITS:
        raise ValueError(f"{text!r} is not a size")
    size = float(number.removesuffix(unit))
    if not 0 < size < 1 << 40:  # also refuses NaN
        raise ValueError(f"{text!r} is not a size")
    return int(size * (1 << _UNITS[unit]))


def limit_memory(size: int | None) -> None:
    """Limit the data segment of this process: an allocation beyond the limit raises MemoryError.

    size: bytes, or None for no limit. It has no effect on systems without such limits. Stacks of threads and memory of
    native code count too. Address space that is only reserved does not count.
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
