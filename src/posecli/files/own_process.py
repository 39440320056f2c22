"""Settings of a process of posecli's own, made before it loads anything; a program that uses the library keeps its own.

They cost no result: posecli multiplies no large matrices, and what it makes is freed without the garbage collector.
"""

from __future__ import annotations

import gc
import os

#: Objects made beyond those deleted before the collector looks at any. Its own number makes it look several times
#: while libraries load, and again and again at lists of keypoints.
_OBJECTS_BETWEEN_LOOKS = 50_000
#: What tells NumPy's library for linear algebra, OpenBLAS, how many threads to start. They take time to start and stop,
#: and a process that has them cannot be forked cheaply.
_BLAS_THREADS = "OPENBLAS_NUM_THREADS"


def set_up() -> None:
    """Let this process, and those that it starts, load quickly. A number of threads that the user has set stays."""
    os.environ.setdefault(_BLAS_THREADS, "1")
    gc.set_threshold(_OBJECTS_BETWEEN_LOOKS)


def end_quickly() -> None:
    """Spare the collector a last look at everything at the end of Python: the system takes the memory back."""
    gc.freeze()
