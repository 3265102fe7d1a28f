"""Say what is installed, which device --device auto picks and why, where weights are kept; fill a small test picture.

examples:
  retouche doctor
  retouche doctor --json

exit code: 0 all well, 1 the test fill failed
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from typing import Any

from retouche.apps.cli import flags, terminal

CORE = ("torch", "numpy", "pillow", "safetensors", "tyro", "rich", "tifffile")
EXTRAS = {  # extra -> the modules it brings
    "train": ("lightning_fabric", "tensorboard", "webdataset"),
    "serve": ("fastapi", "uvicorn", "python_multipart"),
    "eval": ("torchmetrics",),
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("openvino",),
    "batch": ("ray",),
    "classical": ("cv2", "patchmatch", "scipy"),
}


@dataclass(frozen=True)
class Options:
    json: flags.Json = False


def main(options: Options) -> int:
    """Look around, test, print."""
    found = look()
    if options.json:
        terminal.show_json(found)
    else:
        device, cache, test = found["device"], found["cache"], found["test"]
        versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        extras = [f"{name} ({'installed' if not missing else 'lacks ' + ', '.join(missing)})"
                  for name, missing in found["extras"].items()]  # fmt: skip
        lines = {
            "retouche": f"{found['retouche']} in {found['folder']}",
            "system": f"{found['system']}, Python {found['python']}",
            "versions": versions,
            "extras": ", ".join(extras),
            "device": f"--device auto is {device['auto']} ({device['why']})",
            "GPUs": ", ".join(device["gpus"]) or "none",
            "threads": f"{found['threads']} of {found['cores']} cores",
            "memory": " of ".join(terminal.show_bytes(found[key]) for key in ("memory_free_bytes", "memory_bytes"))
            + " free",
            "weights": f"{cache['weights']} ({terminal.show_bytes(cache['bytes'])} used, "
            f"{terminal.show_bytes(cache['disk_free_bytes'])} free on the disk)",
            "test fill": f"{test['model']}, {test['seconds']:.2f} s: {test['verdict']}",
        }
        for name, text in lines.items():
            print(f"{name:10} {text}")
    return 0 if found["test"]["ok"] else 1


def look() -> dict[str, Any]:
    """All findings as plain values."""
    import torch

    import retouche
    from retouche.inference.devices import choose_device

    choice = choose_device("auto")
    total, free = memory_bytes()
    return {
        "retouche": retouche.__version__,
        "folder": os.path.dirname(retouche.__file__),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: importlib.metadata.version(name) for name in CORE},
        "extras": {
            extra: [name for name in modules if importlib.util.find_spec(name) is None]
            for extra, modules in EXTRAS.items()
        },
        "device": {
            "auto": str(choice.device),
            "why": choice.why,
            "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        },
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count() or 1,
        "memory_bytes": total,
        "memory_free_bytes": free,
        "cache": _cache(),
        "test": test_fill(),
    }


def memory_bytes() -> tuple[int | None, int | None]:
    """All of the machine's memory, and what is free now; None where the system does not say it this way."""
    if sys.platform == "win32":
        return None, None
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total = page * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None, None
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":", 1) for line in file)
        return total, int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return total, None


def _cache() -> dict[str, Any]:
    from retouche.weights.store import weights_folder

    folder = weights_folder()
    there = folder
    while not there.exists():
        there = there.parent
    files = [file for file in folder.rglob("*") if file.is_file()] if folder.exists() else []
    return {
        "weights": str(folder),
        "bytes": sum(file.stat().st_size for file in files),
        "disk_free_bytes": shutil.disk_usage(there).free,
    }


def test_fill() -> dict[str, Any]:
    """Fill a hole in a small ramp with the default; known pixels must stay and the hole must change."""
    import numpy as np

    from retouche.inference.load import load

    ramp = np.linspace(16, 239, 96).astype(np.uint8)
    picture = np.stack([np.tile(ramp, (96, 1)), np.tile(ramp[:, None], (1, 96)), np.full((96, 96), 128, np.uint8)], -1)
    hole = np.zeros((96, 96), bool)
    hole[36:60, 36:60] = True
    marked = picture.copy()
    marked[hole] = (255, 0, 0)
    model = load("default")
    filled, report = model(marked, hole, dilate=0, report=True)
    kept = bool((filled[~hole] == marked[~hole]).all())
    changed = bool((filled[hole] != marked[hole]).any(axis=1).all())
    verdict = "works" if kept and changed else "known pixels changed" if not kept else "the hole was not filled"
    return {"model": model.method, "seconds": report.seconds, "ok": kept and changed, "verdict": verdict}
