"""A plan made in one process while another gets ready: to pair many files takes as long as importing torch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

T = TypeVar("T")


def forks_safely() -> bool:
    """Whether this system can fork a process without harm: macOS has fork, but its own libraries do not survive it."""
    return sys.platform != "darwin" and "fork" in multiprocessing.get_all_start_methods()


def beside(function: Callable[[], T], meanwhile: Callable[[], object]) -> T:
    """What a function returns or raises, called in a fork of this process, while this one does something else.

    Where forking is not safe, this process does one after the other, the function first: what it refuses is known soon.

    Args:
        function: needs nothing but what is loaded; its result and its errors are pickled
        meanwhile: leaves no threads behind that a later fork would miss
    """
    if not forks_safely():
        value = function()
        meanwhile()
        return value
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(function, ours, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        meanwhile()
        succeeded, answer = ours.recv()
    except EOFError:  # it was ended by the system
        return function()
    finally:
        ours.close()
        process.terminate()  # it has nothing left to do
        process.join()
    if not succeeded:
        raise answer
    result: T = answer
    return result


def _answer(function: Callable[[], object], ours: Connection, theirs: Connection) -> None:
    ours.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the parent that answers Ctrl-C
    answer: tuple[bool, object]
    try:
        answer = True, function()
    except Exception as error:
        answer = False, error
    try:
        theirs.send(answer)
    except OSError:  # nobody listens any more
        os._exit(1)
