"""A plan made by another process: its result, its errors, and its sudden end."""

import os
import signal
import sys

import pytest

from retouche.errors import InputError
from retouche.runners.beside import beside

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not fork")


def test_result_comes_from_another_process_while_this_one_works() -> None:
    did: list[int] = []
    assert beside(os.getpid, lambda: did.append(os.getpid())) != os.getpid()
    assert did == [os.getpid()]
    assert len(beside(lambda: b"x" * 3_000_000, lambda: None)) == 3_000_000  # more than a pipe holds


def test_errors_are_those_of_the_function() -> None:
    def refuse() -> int:
        raise InputError("--image is not there: give a file")

    with pytest.raises(InputError, match="--image is not there: give a file"):
        beside(refuse, lambda: None)


def test_a_process_that_is_ended_by_the_system_is_replaced_by_this_one() -> None:
    here = os.getpid()

    def die_elsewhere() -> int:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    assert beside(die_elsewhere, lambda: None) == here


def test_an_error_here_leaves_no_process_behind() -> None:
    import multiprocessing
    import time

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        beside(lambda: time.sleep(60), interrupt)
    assert not multiprocessing.active_children()
