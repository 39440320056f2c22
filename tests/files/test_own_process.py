import gc
import os
from collections.abc import Iterator

import pytest

from posecli.files import own_process


@pytest.fixture(autouse=True)
def restore_gc_threshold() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_openblas_starts_no_threads_and_garbage_collection_is_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "")  # so that monkeypatch restores the variable
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    before = gc.get_threshold()[0]
    own_process.set_up()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert gc.isenabled()
    assert gc.get_threshold()[0] > before


def test_a_thread_count_set_by_the_user_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    own_process.set_up()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"
