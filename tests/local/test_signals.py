import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from radiant_dagster.local.signals import EndSignals

SHOW_CHILD = """
import signal, subprocess, sys
from radiant_dagster.local.signals import EndSignals
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as for `radiant up &` in a script
EndSignals().take()
show = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
subprocess.run([sys.executable, "-c", show], check=True)
"""


@pytest.fixture
def signals() -> Iterator[EndSignals]:
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    taken = EndSignals()
    yield taken
    taken.give_back()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_end_of_a_terminal_acts_like_ctrl_c(signals: EndSignals, number: int) -> None:
    signals.take()

    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)

    signals.give_back()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_nohup_is_respected(signals: EndSignals) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    signals.take()
    os.kill(os.getpid(), signal.SIGHUP)

    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_second_signal_does_not_disturb_the_end(signals: EndSignals) -> None:
    signals.take()
    ended = False

    with signals.undisturbed():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        ended = True

    assert ended
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


def test_processes_do_not_inherit_an_ignored_ctrl_c() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", SHOW_CHILD], capture_output=True, text=True, check=True
    )

    assert shown.stdout == "False\n"
