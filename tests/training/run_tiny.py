"""A training in a process of its own, to be killed: run_tiny.py PICTURES RUN STEPS DEVICES PAUSE [FIELD=VALUE ...]"""

import dataclasses
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
warnings.simplefilter("ignore")

import torch  # noqa: E402

torch.set_num_threads(1)

import tiny  # noqa: E402

import retouche.methods as methods  # noqa: E402
from retouche.training.run import Listener, train  # noqa: E402
from retouche.training.settings import Run  # noqa: E402

if __name__ in {"__main__", "__mp_main__"}:  # imported by a test, the fixture of conftest.py does this and undoes it
    methods.METHODS["tiny"] = "tiny"


def preset(steps: int, words: list[str]) -> tiny.Training:
    """The tiny preset with changes such as dropout=0."""
    given = dict(word.split("=") for word in words)
    network = tiny.Network(
        dropout=float(given.get("dropout", 0.2)), norm=given.get("norm") == "1", spectral=given.get("spectral") != "0"
    )
    data = dataclasses.replace(tiny.Training().data, masks=given.get("masks", "box"))
    return dataclasses.replace(tiny.Training(), steps=steps, network=network, data=data)


def run(pictures: Path, folder: Path, steps: int, devices: int = 1, words: list[str] | None = None) -> Run:
    return Run(
        "tiny",
        "tiny",
        preset(steps, words or []),
        str(pictures),
        folder,
        device="cpu",
        devices=devices,
        save_every=3,
        log_every=1,
        best="l1",
        workers=int(dict(word.split("=") for word in words or []).get("workers", 0)),
    )


if __name__ == "__main__":
    pictures, folder, steps, devices, pause, *words = sys.argv[1:]
    listener = Listener(progress=lambda now: time.sleep(float(pause)))
    train(run(Path(pictures), Path(folder), int(steps), int(devices), words), listener)
