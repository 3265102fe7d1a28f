"""A campaign of broken and hostile picture files through decoding and encoding.

    python tests/property/fuzz_pictures.py --count 5000 --seed 0

Every file is read and written in a process of its own keeping, whose time and memory are measured. What counts as a
finding: an exception that is no `InputError`, a process that died, more than 10 s of CPU, more than 500 MB. Findings
are kept as files in --keep. Exit code 0 without findings. `test_hostile_pictures.py` runs a short form.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from hostile_pictures import generated, passed

CPU_SECONDS, MEGABYTES = 10.0, 500.0
MAX_PIXELS = 4_000_000  # so that no header's size alone takes much memory; larger ones are refused before decoding


def _status(field: str) -> float:
    """A field of the process's status in megabytes; 0 where the system does not tell."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0.0
    found = re.search(rf"{field}:\s+(\d+) kB", text)
    return int(found[1]) / 1024 if found else 0.0


def _work(pipe: Connection) -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process
    while True:
        name, data = pipe.recv()
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        before, started = _status("VmRSS"), time.process_time()
        signal.setitimer(signal.ITIMER_PROF, 3 * CPU_SECONDS)
        try:
            outcome = ("passed", passed(name, data, MAX_PIXELS))
        except Exception:
            outcome = ("foreign", traceback.format_exc(limit=-3))
        signal.setitimer(signal.ITIMER_PROF, 0)
        pipe.send((*outcome, time.process_time() - started, _status("VmHWM") - before))


def _outcomes(files: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes, str, str, float, float]]:
    """name, data, kind of outcome, words, CPU seconds, megabytes"""
    context = multiprocessing.get_context("spawn")
    worker = None
    for name, data in files:
        if worker is None:
            here, there = context.Pipe()
            worker = context.Process(target=_work, args=(there,), daemon=True)
            worker.start()
            there.close()
        here.send((name, data))
        try:
            yield (name, data, *here.recv())
        except EOFError:
            worker.join()
            yield name, data, "died", f"the process ended with {worker.exitcode}", 3 * CPU_SECONDS, 0.0
            worker = None
    if worker is not None:
        worker.terminate()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=None, help="folder for what was found")
    options = parser.parse_args()
    kinds: Counter[str] = Counter()
    refusals: Counter[str] = Counter()
    found, slowest, largest = 0, (0.0, ""), (0.0, "")
    for name, data, kind, words, seconds, megabytes in _outcomes(generated(options.count, options.seed)):
        slowest, largest = max(slowest, (seconds, name)), max(largest, (megabytes, name))
        if kind == "passed":
            kind = "kept" if words == "kept" else "refused"
            refusals[re.sub(r"\d+", "#", words.replace(name, "FILE"))[:100]] += kind == "refused"
            if seconds > CPU_SECONDS or megabytes > MEGABYTES:
                kind, words = "over the limits", f"{seconds:.1f} s, {megabytes:.0f} MB"
        kinds[kind] += 1
        if kind not in ("kept", "refused"):
            found += 1
            print(f"{kind}: {name} ({len(data)} bytes): {words}", flush=True)
            if options.keep is not None:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / f"{re.sub(r'[^A-Za-z0-9.]+', '-', name)}.bin").write_bytes(data)
    print(f"{sum(kinds.values())} files of seed {options.seed}: {dict(kinds)}")
    print(f"slowest {slowest[0]:.2f} s of CPU ({slowest[1]}), largest {largest[0]:.0f} MB ({largest[1]})")
    for words, count in refusals.most_common(12):
        print(f"{count:6} {words}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
