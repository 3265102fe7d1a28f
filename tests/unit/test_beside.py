"""A plan made by another process: its result, its errors, and its sudden end."""

import multiprocessing
import os
import signal
import sys

import pytest

from retouche.errors import InputError
from retouche.runners.beside import beside
from retouche.runners.local import Pool
from retouche.runners.work import Steps

forking = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not fork")


@forking
def test_result_comes_from_another_process_while_this_one_works() -> None:
    did: list[int] = []
    assert beside(os.getpid, lambda: did.append(os.getpid())) != os.getpid()
    assert did == [os.getpid()]
    assert len(beside(lambda: b"x" * 3_000_000, lambda: None)) == 3_000_000  # more than a pipe holds


@forking
def test_errors_are_those_of_the_function() -> None:
    def refuse() -> int:
        raise InputError("--image is not there: give a file")

    with pytest.raises(InputError, match="--image is not there: give a file"):
        beside(refuse, lambda: None)


@forking
def test_a_process_that_is_ended_by_the_system_is_replaced_by_this_one() -> None:
    here = os.getpid()

    def die_elsewhere() -> int:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    assert beside(die_elsewhere, lambda: None) == here


@forking
def test_an_error_here_leaves_no_process_behind() -> None:
    import time

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        beside(lambda: time.sleep(60), interrupt)
    assert not multiprocessing.active_children()


# Systems that cannot fork ---------------------------------------------------------------------------------------------


@pytest.fixture(params=["windows", "macos"])
def cannot_fork(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without fork, whose `multiprocessing` refuses the word; and one on which a fork is not safe."""
    usual = multiprocessing.get_context

    def refusing(method: str | None = None) -> object:
        if method == "fork":
            raise ValueError("cannot find context for 'fork'")
        return usual(method)

    monkeypatch.setattr(multiprocessing, "get_context", refusing)
    if request.param == "windows":
        monkeypatch.setattr(sys, "platform", "win32")
        monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    else:
        monkeypatch.setattr(sys, "platform", "darwin")


@pytest.mark.usefixtures("cannot_fork")
def test_this_process_does_both_where_none_can_be_forked() -> None:
    did: list[str] = []

    def refuse() -> int:
        raise InputError("--image is not there: give a file")

    def plan() -> int:
        did.append("plan")
        return os.getpid()

    assert beside(plan, lambda: did.append("import")) == os.getpid()
    assert did == ["plan", "import"]
    with pytest.raises(InputError, match="is not there"):
        beside(refuse, lambda: did.append("in vain"))
    assert "in vain" not in did


@pytest.mark.usefixtures("cannot_fork")
def test_several_processes_are_spawned_where_none_can_be_forked() -> None:
    assert Pool(Steps(_nothing, _nothing, _nothing), 2, "fork").method == "spawn"


def _nothing(*given: object) -> None:
    return None
