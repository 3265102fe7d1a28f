"""A run's settings beside its preset, and their copy in `config.json`."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import retouche
from retouche.arithmetic import Precision
from retouche.errors import InputError
from retouche.files import atomic_write
from retouche.training.schedules import schedule


@dataclass(frozen=True)
class Run:
    """One training: where it reads and writes, and how it is carried out.

    Attributes:
        method: name of the method
        preset_name: name of the training preset that `preset` started from
        preset: the training preset with all changes
        data: pictures: a folder, a list (.txt) or shards (.tar)
        folder: the run folder
        seed: of initial weights, order, holes and all other chance
        device: "auto", "cpu", "cuda", "cuda:1" or "mps"
        devices: processes to start on this machine; torchrun's own number counts where it started us
        precision: "32", "tf32" for products of 10 bits on GPUs that have them, "bf16" or "fp16" for networks in
            half precision beside float32 weights
        save_every: steps between checkpoints
        accumulate: parts that each batch is split into, one after another, to save memory
        validate: pictures to validate on; None = 2 % of `data`
        start: weight files to start from
        perceptual: a VGG file, "random", or None
        structures: folder with ready structure pictures
        sketches: folder with ready sketches
        workers: processes that read pictures, for each training process
        log_every: steps between lines of the log
        schedule: of the learning rates, in the words of `retouche.training.schedules`
        warm_up: steps over which the learning rates rise
        ema: decay of the generator's averaged weights; 0 = none, None = the recipe's own
        snapshots: steps between weights that are kept for good; 0 = none
        best: what the best weights are chosen by: "auto" is the feature distance where an EfficientNet-Lite is at hand,
            else "l1"
        invert: whether black is the hole in mask files: "ask" refuses folders that look the wrong way round
        compile: whether networks are compiled by torch.compile
        wandb: project to log to beside the run folder's own log; "" = none
    """

    method: str
    preset_name: str
    preset: Any
    data: str
    folder: Path
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    precision: Precision = "32"
    save_every: int = 1000
    accumulate: int = 1
    validate: str | None = None
    start: tuple[Path, ...] = ()
    perceptual: str | None = None
    structures: Path | None = None
    sketches: Path | None = None
    workers: int = 0
    log_every: int = 10
    schedule: str = "constant"
    warm_up: int = 0
    ema: float | None = None
    snapshots: int = 0
    best: Literal["auto", "l1", "psnr", "features"] = "auto"
    invert: Literal["ask", "yes", "no"] = "ask"
    compile: bool = False
    wandb: str = ""

    def check(self) -> None:
        """That the numbers make sense.

        Raises: InputError naming the flag
        """
        for flag, value in (
            ("--steps", self.preset.steps),
            ("--size", self.preset.data.size),
            ("--batch", self.preset.data.batch),
            ("--devices", self.devices),
            ("--save-every", self.save_every),
            ("--accumulate", self.accumulate),
        ):
            if value < 1:
                raise InputError(f"{flag} is {value}: give 1 or more")
        if self.workers < 0:
            raise InputError(f"--workers is {self.workers}: give 0 or more")
        if self.snapshots < 0:
            raise InputError(f"--snapshots is {self.snapshots}: give 0 or more")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise InputError(f"--ema-decay is {self.ema:g}: give a decay such as 0.999, or 0 for none")
        for name, value in vars(self.preset).items():
            if name.endswith(RATE) and not (math.isfinite(value) and value > 0):
                raise InputError(f"--{name.replace('_', '-')} is {value:g}: give a number above 0")
        schedule(self.schedule, self.preset.steps, self.warm_up)

    def as_json(self) -> dict[str, Any]:
        """What `config.json` holds; a resumed run must agree on it but for the words of `FREE`."""
        return {
            "retouche": retouche.__version__,
            "method": self.method,
            "preset": self.preset_name,
            "training": dataclasses.asdict(self.preset),
            "data": self.data,
            "seed": self.seed,
            "device": self.device,
            "devices": self.devices,
            "precision": self.precision,
            "save_every": self.save_every,
            "accumulate": self.accumulate,
            "validate": self.validate,
            "from": [str(path) for path in self.start],
            "perceptual": self.perceptual,
            "structures": None if self.structures is None else str(self.structures),
            "sketches": None if self.sketches is None else str(self.sketches),
            "workers": self.workers,
            "log_every": self.log_every,
            "schedule": self.schedule,
            "warm_up": self.warm_up,
            "ema": self.ema,
            "snapshots": self.snapshots,
            "best": self.best,
            "invert": self.invert,
            "compile": self.compile,
            "wandb": self.wandb,
        }


FREE = frozenset({"retouche", "training.steps", "device", "devices", "save_every", "workers", "log_every", "data"})
FREE |= {"schedule", "warm_up", "snapshots", "best", "wandb"}
"""What may differ when a run is resumed: how long, where and how fast, not what is learned. The pictures are compared
by name."""
RATE = "learning_rate"
"""Ends the names of the preset's learning rates, which may differ, too: the optimisers keep their moments."""
LATER = {"schedule": "constant", "warm_up": 0, "ema": None, "snapshots": 0, "best": "auto", "invert": "ask"}
LATER |= {"compile": False, "wandb": "", "training.data.mask_files": ""}
"""What a run folder of an earlier version does not say, and what held there."""

CONFIG = "config.json"


def free(key: str) -> bool:
    """Whether a setting, by its place in `config.json`, may differ when a run is resumed."""
    return key in FREE or (key.startswith("training.") and key.endswith(RATE))


def remember(run: Run, resumed: bool) -> list[str]:
    """Write `config.json`; where a run is resumed, check that the earlier one agrees.

    Returns: remarks on what goes on otherwise than before
    Raises: InputError naming the first difference
    """
    path = run.folder / CONFIG
    now = json.loads(json.dumps(run.as_json()))
    if resumed and path.is_file():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise InputError(f"{path} is damaged: give another --run") from None
        was, is_ = LATER | _flat(before), _flat(now)
        differing = [key for key in sorted(was.keys() | is_.keys()) if was.get(key) != is_.get(key)]
        if changed := [key for key in differing if not free(key)]:
            key = changed[0]
            more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
            raise InputError(
                f"{run.folder} holds a training with {_word(key)} = {_value(was, key)}, now {_value(is_, key)}{more}: "
                "give the same options to resume it, or another --run"
            )
        if not differing:
            return []
        differing_keys = [key for key in differing if key in {"schedule", "warm_up"} or key.endswith(RATE)]
    else:
        differing_keys = []
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return [f"{_word(key)} was {_value(was, key)} and is {_value(is_, key)} from here on" for key in differing_keys]


def _flat(value: Any, place: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {key: one for name, inner in value.items() for key, one in _flat(inner, f"{place}{name}.").items()}
    return {place[:-1]: value}


def _word(key: str) -> str:
    return key.removeprefix("training.")


def _value(values: dict[str, Any], key: str) -> str:
    return json.dumps(values[key], ensure_ascii=False) if key in values else "nothing"
