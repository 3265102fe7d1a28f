"""Gives every hostile file to every door, in a process that may take 500 MB beyond the file, and prints what happened.

Usage: hostile_driver.py FOLDER; one JSON object a line: file, door, exit code, CPU seconds, what was said.
"""

import contextlib
import io
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import hostile_files
import numpy as np
from PIL import Image

import retouche
from retouche.apps.cli import main
from retouche.weights.store import weights_folder

LIMIT_BYTES = 500_000_000


def address_space() -> int:
    """Bytes that this process has mapped by now."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def by_load(path: Path) -> int:
    retouche.load(path)
    return 0


def by_models(path: Path) -> int:
    """With the file where a download would be, and as the record of accepted hashes."""
    place = weights_folder() / "aot-gan" / "places2" / "pytorch_model.bin"
    record = weights_folder() / "accepted-hashes.json"
    for link in (place, record):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        if path.is_file():
            link.symlink_to(path)
    return main(["models", "--json"])


DOORS: dict[str, Callable[[Path], int]] = {
    "load": by_load,
    "convert": lambda path: main(["convert", str(path), str(path.parent / "out.safetensors")]),
    "models": by_models,
    "run": lambda path: main(["run", "--image=i.png", "--mask=m.png", "--output=o.png", f"--model={path}"]),
}


def through(door: Callable[[Path], int], path: Path) -> tuple[int, str]:
    """Exit code and what was said on stderr."""
    said = io.StringIO()
    size = path.stat().st_size if path.is_file() else 0
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + LIMIT_BYTES + size, hard))
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = door(path)
    except retouche.RetoucheError as error:
        code = 2
        said.write(f"retouche: {error}\n")
    except BaseException as error:  # what a user would see as a traceback
        code = 1
        said.write(f"Traceback: {type(error).__name__}: {error}"[:500])
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    return code, said.getvalue()


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    os.environ["RETOUCHE_HOME"] = str(Path.cwd() / "home")
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save("i.png")
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save("m.png")
    # what is imported and built once is nobody's file's
    through(DOORS["convert"], hostile_files.saved({"nothing.known": hostile_files.torch.ones(1)})(Path.cwd()))
    through(DOORS["models"], Path("i.png"))
    for name, write in hostile_files.FILES.items():
        folder = Path(f"{list(hostile_files.FILES).index(name)}")
        folder.mkdir()
        path = write(folder)
        for door, function in DOORS.items():
            start = time.process_time()
            code, said = through(function, path)
            seconds = time.process_time() - start
            print(json.dumps({"file": name, "door": door, "code": code, "seconds": seconds, "said": said}), flush=True)
