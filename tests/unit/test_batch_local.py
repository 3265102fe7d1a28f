"""The runners of a batch on one machine: every job ends exactly once, whatever dies."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from retouche.errors import InputError, RetoucheError
from retouche.runners.local import AHEAD, Inline, Pool, stream
from retouche.runners.work import Facts, Job, Outcome

METHODS = ["spawn", "fork"] if sys.platform == "linux" else ["spawn"]


class Held(bytes):
    """What was read; counts as much memory as it says."""

    nbytes = 0


@dataclass
class Upper:
    """Text files in capitals. A file's text says what shall go wrong with it."""

    folder: Path
    starts: int = 0

    def start(self) -> Facts:
        self.starts += 1
        (self.folder / f"started-{os.getpid()}").touch()
        return Facts({"model": "upper", "model_hash": "1", "options": {}})

    def read(self, job: Job) -> Any:
        return Held(job.image.read_bytes())

    def make(self, job: Job, given: Any, progress: Any) -> bytes:
        if given == b"fail":
            raise ValueError("told to fail\nin two lines")
        if given == b"memory":
            raise MemoryError
        if given == b"slow":
            time.sleep(0.2)
        if given == b"kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if given == b"kill once" and not (self.folder / "killed").exists():
            (self.folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if progress is not None:
            progress(1.0)
        return bytes(given).upper()

    def write(self, job: Job, made: bytes) -> tuple[tuple[str, ...], None]:
        if job.output.exists() and not job.again:
            raise InputError(f"{job.output} exists")
        job.output.parent.mkdir(exist_ok=True)
        job.output.write_bytes(made)
        return (f"by {os.getpid()}",), None


def jobs(folder: Path, *texts: str) -> list[Job]:
    made = []
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text)
        made.append(Job(folder / f"{number}.txt", None, folder / "out" / f"{number}.txt"))
    return made


@pytest.fixture(params=["inline", *METHODS])
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    work = Upper(tmp_path)
    made: Any = Inline(work) if request.param == "inline" else Pool(work, 2, request.param)
    assert made.start().about["model"] == "upper"
    yield made
    made.close()


def ends(outcomes: list[Outcome]) -> dict[str, str | None]:
    """Job -> error; none may end twice."""
    assert len({outcome.job.output for outcome in outcomes}) == len(outcomes)
    return {outcome.job.output.name: outcome.error for outcome in outcomes}


def test_all_runners_do_the_same(runner: Any, tmp_path: Path) -> None:
    planned = jobs(tmp_path, *["a"] * 9, "fail", "memory", *["b"] * 9)
    planned[3].image.unlink()
    outcomes = list(runner.run(planned))
    failed = {name: error for name, error in ends(outcomes).items() if error is not None}
    assert failed.keys() == {"3.txt", "9.txt", "10.txt"} and len(outcomes) == 20
    assert "No such file" in failed["3.txt"] and failed["9.txt"] == "ValueError: told to fail"
    assert failed["10.txt"] == "MemoryError: out of memory"
    for outcome in outcomes:
        if outcome.error is None:
            assert outcome.job.output.read_text() == outcome.job.image.read_text().upper()
            assert outcome.stamps["image"]["bytes"] == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_picture_that_ends_its_process_is_tried_once_more_alone(tmp_path: Path, method: Any) -> None:
    """Before: the whole batch ended with the first process."""
    planned = jobs(tmp_path, *["slow"] * 4, "kill", *["slow"] * 4, "kill once", *["slow"] * 4)
    pool = Pool(Upper(tmp_path), 2, method)
    pool.start()
    failed = {name: error for name, error in ends(list(pool.run(planned))).items() if error is not None}
    pool.close()
    assert failed.keys() == {"4.txt"} and "ended the process that filled it, twice" in failed["4.txt"]
    assert len(list((tmp_path / "out").iterdir())) == 13


@pytest.mark.skipif("fork" not in METHODS, reason="no fork here")
def test_forked_workers_share_what_is_loaded_once(tmp_path: Path) -> None:
    """Before: each worker started Python anew and loaded a model, and the parent held one of its own."""
    work = Upper(tmp_path)
    pool = Pool(work, 2, "fork")
    pool.start()
    assert work.starts == 1 and (tmp_path / f"started-{os.getpid()}").exists()
    done = list(pool.run(jobs(tmp_path, *["slow"] * 8)))
    pool.close()
    assert len({outcome.remarks for outcome in done}) == 2


def test_spawned_workers_load_and_the_parent_does_not(tmp_path: Path) -> None:
    work = Upper(tmp_path)
    pool = Pool(work, 2, "spawn")
    assert pool.start().about["model"] == "upper" and work.starts == 0
    pool.close()
    assert not (tmp_path / f"started-{os.getpid()}").exists()


class Hopeless(Upper):
    def start(self) -> Facts:
        raise InputError("no such model: choose another")


class Deadly(Upper):
    def start(self) -> Facts:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


@pytest.mark.parametrize(("kind", "words"), [(Hopeless, "no such model"), (Deadly, "before it could start")])
def test_workers_that_cannot_start_end_the_batch_in_words(tmp_path: Path, kind: type[Upper], words: str) -> None:
    pool = Pool(kind(tmp_path), 2, "spawn")
    with pytest.raises(RetoucheError, match=words):
        pool.start()
    pool.close(at_once=True)


@pytest.mark.parametrize("method", METHODS)
def test_closing_at_once_leaves_no_process(tmp_path: Path, method: Any) -> None:
    pool = Pool(Upper(tmp_path), 2, method)
    pool.start()
    running = pool.run(jobs(tmp_path, *["slow"] * 20))
    next(running)
    processes = [worker.process for worker in pool._workers]
    pool.close(at_once=True)
    assert not any(process.is_alive() for process in processes)


def test_reading_is_ahead_but_bounded_in_pictures_and_bytes(tmp_path: Path) -> None:
    read: list[str] = []
    seen: list[int] = []

    class Counting(Upper):
        size = 0

        def read(self, job: Job) -> Any:
            read.append(job.image.name)
            held = Held(b"a")
            held.nbytes = self.size
            return held

        def make(self, job: Job, given: Any, progress: Any) -> bytes:
            time.sleep(0.05)  # enough for the reader to go as far as it may
            seen.append(len(read))
            return b"A"

    for size, most in ((0, AHEAD + 2), (10**9, 2)):
        read.clear()
        seen.clear()
        work = Counting(tmp_path)
        work.size = size
        for path in (tmp_path / "out").glob("*"):
            path.unlink()
        assert len(list(stream(work, jobs(tmp_path, *["a"] * 12)))) == 12
        ahead = [count - number for number, count in enumerate(seen)]
        assert max(ahead) <= most and (size or max(ahead) > 1)


def test_a_stream_that_is_left_ends_its_threads(tmp_path: Path) -> None:
    before = threading.active_count()
    running: Any = stream(Upper(tmp_path), jobs(tmp_path, *["slow"] * 9))
    next(running)
    running.close()
    for _ in range(100):
        if threading.active_count() == before:
            break
        time.sleep(0.05)
    assert threading.active_count() == before
