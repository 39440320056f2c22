"""Settings of posecli's own processes, made before they load libraries. Programs that use the library are not changed.

They do not slow posecli down: it multiplies no large matrices, and its objects are freed without the garbage collector.
"""

from __future__ import annotations

import gc
import os

#: Allocations minus deallocations that start a garbage collection. With Python's default it runs several times while
#: libraries load, and often on lists of keypoints.
_GC_THRESHOLD = 50_000
#: Environment variable with the number of threads of OpenBLAS, NumPy's library for linear algebra. Threads take time to
#: start and stop, and a process with threads cannot be forked cheaply.
_BLAS_THREADS = "OPENBLAS_NUM_THREADS"


def set_up() -> None:
    """Make this process and its child processes load quickly. A number of threads that the user has set is kept."""
    os.environ.setdefault(_BLAS_THREADS, "1")
    gc.set_threshold(_GC_THRESHOLD)


def end_quickly() -> None:
    """Skip the garbage collection at the end of Python: the system frees the memory."""
    gc.freeze()
