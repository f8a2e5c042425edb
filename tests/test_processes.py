"""What tests stand on: processes that end with them, memory and ends that are measured as they are."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.memory import taking_at_most
from tests.processes import are_gone
from tests.started import end_started, ends_with_test

PARENT = (
    "import subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(child.pid, flush=True)\n"
    "if sys.argv[1] == 'waits': child.wait()\n"
)


@pytest.mark.parametrize("then", ["waits", "ends"])
def test_what_a_test_started_ends_with_all_that_it_started(then: str) -> None:
    process = ends_with_test(
        subprocess.Popen(
            [sys.executable, "-c", PARENT, then], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    if then == "ends":
        assert process.wait() == 0
    assert not are_gone([child], 0)
    end_started()
    assert are_gone([process.pid, child], 15)


def test_a_process_in_a_session_of_its_own_leads_its_group_as_soon_as_it_is_known() -> None:
    """Or a signal to the group of one that was just started would find nobody."""
    for _ in range(20):
        process = subprocess.Popen([sys.executable, "-c", "pass"], start_new_session=True)
        group = os.getpgid(process.pid)
        process.wait()
        assert group == process.pid


def test_one_that_nobody_has_asked_after_has_ended() -> None:
    process = subprocess.Popen(["true"])
    assert are_gone([process.pid], 15)
    assert process.wait() == 0


def test_memory_that_was_given_back_hides_none_that_a_block_takes() -> None:
    size = 2**26
    np.ones(4 * size, np.uint8)
    with pytest.raises(AssertionError), taking_at_most(size):
        np.ones(2 * size, np.uint8)
    with taking_at_most(size):
        np.ones(size // 2, np.uint8)
