"""A whole training: from a data folder and a preset to weights that run, resumed where it stopped.

The run folder holds `config.json`, `log.jsonl`, `tensorboard/`, `samples/`, `checkpoints/step-N/` (the newest two),
`last.safetensors`, `best.safetensors` and, if asked for, `snapshots/step-N.safetensors`.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from retouche.data.datasets import Failure, Sample, TrainingSet, fixed_samples, keep_list, stacked
from retouche.data.mask_makers import histogram, mask_key
from retouche.data.sampler import Sampler, sample_key
from retouche.errors import DataError, InputError
from retouche.files import atomic_write
from retouche.masks import hole_ratio
from retouche.methods import find
from retouche.methods.method import Batch, DataConfig, Generator, Method, Recipe, RecipeContext
from retouche.training import checkpoint, loop, samples, validation
from retouche.training.checkpoint import Training
from retouche.training.engine import Engine
from retouche.training.health import Health
from retouche.training.log import RunLog
from retouche.training.loss_backbones import LossBackbones
from retouche.training.pace import Clock, most_memory
from retouche.training.pictures import Pictures
from retouche.training.process import held, own_randomness, seed_all, start_worker, stoppable
from retouche.training.scaler import Scaler
from retouche.training.schedules import base_rates, schedule, set_rates
from retouche.training.settings import Run, remember
from retouche.training.start import Start, fill, read_start, see
from retouche.weights.native import save_networks

VALIDATION_SAMPLES = 100
"""Validation pictures at most."""
SHOWN = 512
"""Masks counted for the histogram."""
GENERATOR = "generator"


class Progress(NamedTuple):
    """What a listener is told after each step."""

    step: int
    steps: int
    losses: Mapping[str, float]
    pictures_per_second: float
    pictures_per_step: int


@dataclass(frozen=True)
class Listener:
    """Who watches a training; only the first process tells.

    Attributes:
        progress: called after each step
        note: called with what is good to know
        warn: called with what may not be as the user expects
    """

    progress: Callable[[Progress], None] = lambda progress: None
    note: Callable[[str], None] = lambda text: None
    warn: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        step: steps done
        finished: whether these are all; otherwise it was interrupted and can be resumed
        best: the best validation figure, if there was any; lower is better (PSNR is negative)
        first: whether this process is the one that speaks
    """

    step: int
    finished: bool
    best: float | None
    first: bool


def train(run: Run, listener: Listener | None = None) -> Outcome:
    """Train, or go on training, until the preset's number of steps.

    Ctrl-C (or SIGTERM) ends the step, saves, and returns an outcome that is not finished.

    Raises: InputError for settings that cannot be, DataError if pictures or disk fail or nothing is finite any more;
        the last checkpoint is then whole
    """
    listener = listener or Listener()
    run.check()
    record = find(run.method)
    if record.recipe is None or record.build is None:
        raise InputError(f'"{run.method}" cannot be trained: it fills without weights, or has no recipe')
    if hasattr(run.preset, "for_size"):
        run = replace(run, preset=run.preset.for_size())
    pictures = Pictures.of(run)
    engine = Engine(run)
    if run.preset.data.batch % (engine.processes * run.accumulate):
        raise InputError(
            f"--batch {run.preset.data.batch} cannot be shared by {engine.processes} processes in {run.accumulate} "
            f"parts each: give a multiple of {engine.processes * run.accumulate}"
        )
    with held(run.folder, engine), own_randomness(), stoppable() as stop:
        said = remember(run, checkpoint.newest(run.folder) is not None) if engine.first else []
        engine.barrier()
        for words in said:
            listener.note(words)
        session = _Session(run, record, pictures, engine, listener if engine.first else Listener())
        try:
            return session.go(stop)
        finally:
            session.close()


class _Session:
    """One process's part of a running training."""

    def __init__(self, run: Run, record: Method, pictures: Pictures, engine: Engine, listener: Listener) -> None:
        self.run, self.record, self.engine, self.listener = run, record, engine, listener
        self.pictures = pictures
        self.data: DataConfig = run.preset.data
        resumed = checkpoint.newest(run.folder)
        state = {} if resumed is None else checkpoint.read_state(resumed)
        networks = self._networks()
        _check_size(run, networks[GENERATOR])
        start = Start() if resumed is not None else read_start(run.start, run.method, networks)
        remarks = start.remarks
        started = frozenset(start.tensors) if resumed is None else frozenset(state["started"])
        order = start.order if resumed is None else state.get("order", "rgb")
        see(networks, order)
        for network in networks.values():
            network.to(engine.device)
            if getattr(run.preset, "channels_last", False):
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.backbones = backbones = LossBackbones(run, engine)
        tools = RecipeContext(
            backbones.vgg, backbones.backbone, backbones.scene, engine.processes, engine.total, started, engine.device
        )
        assert record.recipe is not None
        with torch.random.fork_rng(devices=validation.here()):
            torch.manual_seed(sample_key("recipe", run.seed))  # it may draw initial weights of its own
            self.recipe: Recipe = record.recipe(run.preset, networks, tools)
        fill(networks, start.tensors)
        self.ema = self.recipe.ema if run.ema is None else run.ema
        self.metric, self.feature_backbone = backbones.chosen()
        optimizers = {name: self.recipe.optimizer(name) for name in self.recipe.networks}
        self.rates = base_rates(optimizers)
        self.factor = schedule(run.schedule, run.preset.steps, run.warm_up)
        for name, network in self.recipe.networks.items():
            full = name in getattr(self.recipe, "full_precision", ())
            self.recipe.networks[name] = engine.prepare(network, full_precision=full)
        average = loop.average_of(networks[GENERATOR]) if self.ema else {}
        fresh = {
            "started": sorted(started),
            "order": order,
            "best": None,
            "bad": {},
            "health": Health().as_json(),
            "names": self._names(),
        }
        self.training = Training(networks, optimizers, average, 0, fresh)
        seed_all(sample_key("process", run.seed, engine.process))
        if resumed is not None:
            remarks += checkpoint.load(resumed, self.training, engine)
            if self.training.state["names"] != self._names():
                raise InputError(
                    f"{run.folder} was trained on other pictures than {run.data} holds now: bring them back, or give "
                    "another --run"
                )
        self.validation_samples = fixed_samples(pictures.validation, pictures.maker, run.seed, VALIDATION_SAMPLES)
        self.health = Health.from_json(self.training.state["health"])
        self.scaler = Scaler.of(run.precision, self.training.state.get("scaler"))
        self.log = RunLog(run.folder, self.training.step, run.wandb, run.as_json()) if engine.first else None
        self.since = time.monotonic()
        if resumed is not None:
            listener.note(f"resumed at step {self.training.step}")
        for words in remarks:
            self._warn(words)

    # Preparation

    def _networks(self) -> dict[str, nn.Module]:
        """Fresh networks, the same in every process."""
        assert self.record.build is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sample_key("weights", self.run.seed))
            networks: dict[str, nn.Module] = {GENERATOR: self.record.build(self.run.preset.network)}
            networks |= self.record.critics(self.run.preset.network)
        for network in networks.values():
            network.train()
        return networks

    def _names(self) -> str:
        """What identifies the pictures and their order."""
        names = self.pictures.train.names
        return f"{len(names)} pictures {sample_key(*names):016x}"

    def _batches(self) -> Iterator[list[Batch]]:
        """For each step, its batches' parts one after another, from the present step on."""
        run, recipe, engine = self.run, self.recipe, self.engine
        each = run.accumulate * recipe.batches
        sampler = Sampler(
            count=len(self.pictures.train.names),
            batch=self.data.batch // run.accumulate,
            seed=run.seed,
            first=self.training.step * each,
            process=engine.process,
            processes=engine.processes,
        )
        loader: DataLoader[Any] = DataLoader(
            TrainingSet(self.pictures.train, self.pictures.maker, run.seed),
            batch_sampler=sampler,  # places, not whole numbers
            collate_fn=keep_list,
            num_workers=run.workers,
            worker_init_fn=start_worker,
            generator=torch.Generator(),  # so that starting workers draws nothing from the run's random numbers
            pin_memory=False,
        )
        step: list[Batch] = []
        for made in loader:
            if isinstance(made, Failure):
                raise DataError(made.words)
            step.append(self._batch(made))
            if len(step) == each:
                yield step
                step = []

    def _batch(self, made: list[Sample]) -> Batch:
        for sample in made:
            for name, reason in sample.bad:
                if name not in self.training.state["bad"]:
                    self.training.state["bad"][name] = reason
                    self._warn(f"{name} is skipped: {reason}")
            if sample.enlarged and not self.training.state.get("enlarged"):
                self.training.state["enlarged"] = True
                self._warn(
                    f"{sample.name} is smaller than what is cut from it at --size {self.data.size} and is enlarged, "
                    "as are others like it"
                )
        device = self.engine.device
        layout = torch.channels_last if getattr(self.run.preset, "channels_last", False) else torch.contiguous_format

        def moved(tensor: Tensor) -> Tensor:
            """To the device, which goes on computing meanwhile."""
            return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)

        structure, sketch = (stacked([getattr(sample, guide) for sample in made]) for guide in ("structure", "sketch"))
        return Batch(
            image=moved(torch.cat([sample.image for sample in made])).contiguous(memory_format=layout),
            mask=moved(torch.cat([sample.mask for sample in made])),
            structure=None if structure is None else moved(structure),
            sketch=None if sketch is None else moved(sketch),
            # read by the program itself, number by number: they stay here
            keys=torch.tensor([sample.key for sample in made]),
            box=stacked([sample.box for sample in made]),
        )

    # Training

    def go(self, stop: Callable[[], bool]) -> Outcome:
        """Steps until the end, an interruption, or an error."""
        run, training = self.run, self.training
        if training.step >= run.preset.steps:
            return Outcome(training.step, True, training.state["best"], self.engine.first)
        if training.step == 0:
            self._show_masks()
            self._validate()
        clock = Clock(self.data.batch)
        saved = training.step
        stopped = False
        batches = self._batches()
        while training.step < run.preset.steps and not stopped:
            self._step(next(batches), clock)
            stopped = self.engine.any(stop())
            kept = run.snapshots and training.step % run.snapshots == 0
            if kept or training.step % run.save_every == 0 or training.step == run.preset.steps:
                self._save(validate=True)
                saved = training.step
                clock.restart()
        if saved != training.step:
            self._save(validate=False)
        finished = training.step >= run.preset.steps
        return Outcome(training.step, finished, training.state["best"], self.engine.first)

    def _step(self, batches: list[Batch], clock: Clock) -> None:
        run, training, recipe = self.run, self.training, self.recipe
        if run.accumulate > 1:
            wholes = [batches[i : i + run.accumulate] for i in range(0, len(batches), run.accumulate)]
            batches = [replace(part, parts=tuple(whole)) for whole in wholes for part in whole]
        parts = [batches[i :: run.accumulate] for i in range(run.accumulate)]
        factor = self.factor(training.step) * getattr(recipe, "rate", lambda step: 1.0)(training.step)
        set_rates(training.optimizers, self.rates, factor)
        taken = loop.take_step(recipe, training.optimizers, parts, training.step, self.engine, self.scaler)
        if self.ema and taken.finite:
            loop.follow(training.average, training.networks[GENERATOR], self.ema)
        training.step += 1
        clock.tick(recipe.batches)
        losses = loop.as_numbers(taken.losses, self.engine)
        norms = loop.as_numbers(taken.norms, self.engine)
        totals: dict[str, float] = {}
        for name, value in losses.items():
            role = name.partition("/")[0]
            totals[role] = totals.get(role, 0.0) + value
        if not taken.overflowed:
            for words in self.health.note(totals, norms, taken.finite):
                self._warn(words)
        speed = clock.pictures_per_second
        due = training.step % run.log_every == 0 or training.step == run.preset.steps or not taken.finite
        if due and self.log is not None:
            self.log.write(
                training.step,
                "train",
                losses={name: loop.json_number(value) for name, value in losses.items()},
                gradients={name: loop.json_number(value) for name, value in norms.items()},
                rates={name: base[0] * factor for name, base in self.rates.items()},
                pictures_per_second=round(speed, 2),
                memory_bytes=most_memory(self.engine.device),
                seconds=round(self._seconds(), 1),
            )
        self.listener.progress(
            Progress(training.step, run.preset.steps, losses, speed, self.data.batch * recipe.batches)
        )
        if self.health.lost:
            self._save(validate=False)
            raise DataError(
                f"gradients were not finite {self.health.in_a_row} times in a row: stopped at step {training.step}, "
                "all is saved; a lower learning rate, gradient clipping or --precision 32 may help"
            )

    # What is kept

    def _save(self, validate: bool) -> None:
        """Validate, write the weights that run alone, then the checkpoint."""
        training, engine = self.training, self.engine
        better = self._validate() if validate else False
        training.state["health"] = self.health.as_json()
        training.state["scaler"] = self.scaler.as_json()
        training.state["seconds"], self.since = self._seconds(), time.monotonic()
        if engine.processes > 1:
            for bad in engine.gather(training.state["bad"]):
                training.state["bad"] |= bad
        checkpoint.agreed(engine, self.run.folder, lambda: self._write_weights(better))
        checkpoint.save(self.run.folder, training, engine)

    def _write_weights(self, better: bool) -> None:
        training = self.training
        generator = training.networks[GENERATOR]
        if training.average:
            generator = copy.deepcopy(generator)
            generator.load_state_dict(training.average)
        config = self.run.preset.network
        critics = {name: network for name, network in training.networks.items() if name != GENERATOR}
        preset = next((name for name, known in self.record.presets.items() if known == config), None)
        names = ["last", "best"] if better else ["last"]
        if self.run.snapshots and training.step % self.run.snapshots == 0:
            (self.run.folder / "snapshots").mkdir(exist_ok=True)
            names.append(f"snapshots/step-{training.step}")
        for name in names:
            save_networks(
                self.run.folder / f"{name}.safetensors",
                self.run.method,
                None,
                config,
                generator,
                critics,
                preset=preset,
                step=training.step,
                ema=self.ema or None,
                perceptual=self.backbones.perceptual,
            )

    def _validate(self) -> bool:
        """Score and sample sheet; whether the score is the best so far."""
        training = self.training
        generator = training.networks[GENERATOR]
        score = validation.validate(
            generator, training.average, self.validation_samples, self.engine, self.feature_backbone
        )
        value = score.by(self.metric)
        best = training.state["best"] if training.state.get("best_by", "l1") == self.metric else None
        better = training.step > 0 and (best is None or value < best)
        if better:
            training.state |= {"best": value, "best_by": self.metric}
        if self.log is not None:
            self.log.write(training.step, "validation", pictures=len(self.validation_samples), **score._asdict())
            features = "" if score.features is None else f", feature distance {score.features:.4f}"
            self.listener.note(
                f"step {training.step}: error inside the hole {score.hole_l1:.4f} on {len(self.validation_samples)} "
                f"pictures (mean colour: {score.mean_fill:.4f}), {score.psnr:.2f} dB{features}"
            )
            self._show_samples(generator)
        return better

    def _show_samples(self, generator: nn.Module) -> None:
        shown = self.validation_samples[: samples.ROWS]
        with validation.still(generator):
            made = validation.predict(generator, self.training.average, shown, self.engine.device)
        image = torch.cat([sample.image for sample in shown])
        mask = torch.cat([sample.mask for sample in shown])
        made = replace(made, **{k: v.float().cpu() for k, v in vars(made).items() if isinstance(v, Tensor)})
        pixels = samples.sheet(image, mask, made, stacked([sample.structure for sample in shown]))
        self._picture(f"step-{self.training.step:07d}", "samples", pixels)

    def _show_masks(self) -> None:
        """What the holes are like, before the first step."""
        if self.log is None:
            return
        size = self.data.size
        if self.pictures.maker.masks.paired is not None:
            return
        holes = [self.pictures.maker.masks.draw(mask_key(self.run.seed, i), size, size).hole for i in range(SHOWN)]
        ratios = [hole_ratio(hole) for hole in holes]
        pixels = samples.mask_sheet(holes[:6], histogram(ratios), self.data.masks)
        self._picture("masks", "masks", pixels)
        self._note(f"holes cover {sum(ratios) / SHOWN:.0%} of the picture on average ({self.data.masks})")

    def _picture(self, file: str, name: str, pixels: Any) -> None:
        assert self.log is not None
        folder = self.run.folder / "samples"
        folder.mkdir(exist_ok=True)
        with atomic_write(folder / f"{file}.png") as temporary, temporary.open("wb") as opened:
            Image.fromarray(pixels).save(opened, "PNG")
        self.log.picture(name, pixels, self.training.step)

    def _seconds(self) -> float:
        """How long the run has trained, over all its starts."""
        return float(self.training.state.get("seconds", 0.0)) + time.monotonic() - self.since

    def _note(self, text: str) -> None:
        self.listener.note(text)
        if self.log is not None:
            self.log.write(self.training.step, "note", words=text)

    def _warn(self, text: str) -> None:
        self.listener.warn(text)
        if self.log is not None:
            self.log.write(self.training.step, "warning", words=text)

    def close(self) -> None:
        """Write out the log."""
        if self.log is not None:
            self.log.close()


def _check_size(run: Run, generator: nn.Module) -> None:
    assert isinstance(generator, Generator)
    size, multiple, smallest = run.preset.data.size, generator.multiple, generator.smallest
    if size % multiple or size < smallest:
        fitting = max(size, smallest)
        raise InputError(
            f"{run.method} {run.preset_name} cannot be trained at size {size}: sides are multiples of {multiple}, at "
            f"least {smallest}; choose --size {fitting + -fitting % multiple}"
        )
