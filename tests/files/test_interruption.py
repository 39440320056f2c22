import signal
import threading

import pytest

from posecli.files.interruption import uninterrupted


def test_ctrl_c_comes_after_the_block() -> None:
    steps = []

    @uninterrupted()
    def block() -> None:
        steps.append(1)
        signal.raise_signal(signal.SIGINT)
        steps.append(2)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert steps == [1, 2]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_sigterm_comes_after_the_block() -> None:
    steps: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: steps.append("ended"))
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            steps.append("block")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert steps == ["block", "ended"]


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_may_use_it() -> None:
    done = []

    def use() -> None:
        with uninterrupted():
            done.append(True)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert done == [True]
