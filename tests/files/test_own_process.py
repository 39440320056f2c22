import gc
import os
from collections.abc import Iterator

import pytest

from posecli.files import own_process


@pytest.fixture(autouse=True)
def collector_as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_libraries_start_no_threads_and_the_collector_rarely_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "")  # so that it is put back
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    before = gc.get_threshold()[0]
    own_process.set_up()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert gc.isenabled()
    assert gc.get_threshold()[0] > before


def test_threads_that_the_user_asks_for_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    own_process.set_up()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"
