"""What a training needs before its first step: networks, recipe, optimisers, pictures and log, fresh or resumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import nn

from retouche.data.datasets import Sample, fixed_samples
from retouche.data.sampler import sample_key
from retouche.errors import InputError
from retouche.methods.method import Generator, Method
from retouche.methods.recipe_protocol import DataConfig, PresetOptions, Recipe, RecipeContext, RecipeOptions, options_of
from retouche.training import checkpoint, loop, validation
from retouche.training.checkpoint import Training
from retouche.training.engine import Engine
from retouche.training.health import Health
from retouche.training.log import RunLog
from retouche.training.loss_backbones import LossBackbones
from retouche.training.pictures import Pictures
from retouche.training.process import seed_all
from retouche.training.scaler import Scaler
from retouche.training.schedules import base_rates, schedule, set_rates
from retouche.training.settings import Run
from retouche.training.start import Start, fill, read_start, see

VALIDATION_SAMPLES = 100
"""Validation pictures at most."""
GENERATOR = "generator"


class Progress(NamedTuple):
    """What a listener gets after each step."""

    step: int
    steps: int
    losses: Mapping[str, float]
    pictures_per_second: float
    pictures_per_step: int


@dataclass(frozen=True)
class Listener:
    """Who watches a training; only the first process reports.

    Attributes:
        progress: called after each step
        note: called with what is good to know
        warn: called with what may not be as the user expects
    """

    progress: Callable[[Progress], None] = lambda progress: None
    note: Callable[[str], None] = lambda text: None
    warn: Callable[[str], None] = lambda text: None


@dataclass
class Session:
    """One process's part of a running training.

    Attributes:
        recipe: how the networks learn; its networks are set up for device, precision and processes
        training: what a checkpoint holds
        ema: decay of the generator's averaged weights, 0 = none
        backbones: what losses and validation compare features with
        metric, feature_backbone: what the best weights are chosen by
        base_rates: of each network, before schedules
        channels_last: whether a pixel's channels lie together in memory
        log: of the first process; None in the others
        since: when the clock of `seconds` was last read into the state
    """

    run: Run
    record: Method
    engine: Engine
    listener: Listener
    pictures: Pictures
    recipe: Recipe
    training: Training
    ema: float
    backbones: LossBackbones
    metric: str
    feature_backbone: nn.Module | None
    base_rates: Mapping[str, list[float]]
    channels_last: bool
    health: Health
    scaler: Scaler
    validation_samples: list[Sample]
    log: RunLog | None
    since: float = field(default_factory=time.monotonic)

    @property
    def data(self) -> DataConfig:
        """What is learned from."""
        data: DataConfig = self.run.preset.data
        return data

    @property
    def generator(self) -> nn.Module:
        """The network that fills, as checkpoints and validation see it."""
        return self.training.networks[GENERATOR]

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.training.step >= int(self.run.preset.steps)

    def set_rates(self) -> dict[str, float]:
        """Give the optimisers this step's learning rates. Returns: those of each network's first weights."""
        step = self.training.step
        factor = schedule(self.run.schedule, self.run.preset.steps, self.run.warm_up)(step)
        factor *= options_of(self.recipe, RecipeOptions).rate(step)
        set_rates(self.training.optimizers, self.base_rates, factor)
        return {name: rates[0] * factor for name, rates in self.base_rates.items()}

    def seconds(self) -> float:
        """How long the run has trained, over all its starts."""
        return float(self.training.state.get("seconds", 0.0)) + time.monotonic() - self.since

    def note(self, text: str) -> None:
        """Give listener and log a note."""
        self.listener.note(text)
        if self.log is not None:
            self.log.write(self.training.step, "note", words=text)

    def warn(self, text: str) -> None:
        """Give listener and log a warning."""
        self.listener.warn(text)
        if self.log is not None:
            self.log.write(self.training.step, "warning", words=text)

    def close(self) -> None:
        """Write out the log."""
        if self.log is not None:
            self.log.close()


def open_session(run: Run, record: Method, pictures: Pictures, engine: Engine, listener: Listener) -> Session:
    """Networks and recipe, fresh or from the newest checkpoint.

    Raises: InputError, DataError, WeightsError
    """
    resumed = checkpoint.newest(run.folder)
    state = {} if resumed is None else checkpoint.read_state(resumed)
    networks = _networks(run, record)
    _check_size(run, networks[GENERATOR])
    start = Start() if resumed is not None else read_start(run.start, run.method, networks)
    warnings = start.remarks
    started = frozenset(start.tensors) if resumed is None else frozenset(state["started"])
    order = start.order if resumed is None else state.get("order", "rgb")
    see(networks, order)
    channels_last = options_of(run.preset, PresetOptions).channels_last
    for network in networks.values():
        network.to(engine.device)
        if channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    backbones = LossBackbones(run, engine)
    recipe = _recipe(run, record, networks, backbones, engine, started)
    fill(networks, start.tensors)
    metric, feature_backbone = backbones.chosen()
    optimizers = {name: recipe.optimizer(name) for name in recipe.networks}
    rates = base_rates(optimizers)
    full_precision = options_of(recipe, RecipeOptions).full_precision
    for name, network in recipe.networks.items():
        recipe.networks[name] = engine.prepare(network, full_precision=name in full_precision)
    ema = recipe.ema if run.ema is None else run.ema
    names = f"{len(pictures.train.names)} pictures {sample_key(*pictures.train.names):016x}"
    fresh = {
        "started": sorted(started),
        "order": order,
        "best": None,
        "bad": {},
        "health": Health().as_json(),
        "names": names,
    }
    training = Training(networks, optimizers, loop.average_of(networks[GENERATOR]) if ema else {}, 0, fresh)
    seed_all(sample_key("process", run.seed, engine.process))
    if resumed is not None:
        warnings += checkpoint.load(resumed, training, engine)
        if training.state["names"] != names:
            raise InputError(
                f"{run.folder} was trained on other pictures than {run.data} holds now: bring them back, or give "
                "another --run"
            )
    session = Session(
        run=run,
        record=record,
        engine=engine,
        listener=listener,
        pictures=pictures,
        recipe=recipe,
        training=training,
        ema=ema,
        backbones=backbones,
        metric=metric,
        feature_backbone=feature_backbone,
        base_rates=rates,
        channels_last=channels_last,
        validation_samples=fixed_samples(pictures.validation, pictures.maker, run.seed, VALIDATION_SAMPLES),
        health=Health.from_json(training.state["health"]),
        scaler=Scaler.of(run.precision, training.state.get("scaler")),
        log=RunLog(run.folder, training.step, run.wandb, run.as_json()) if engine.first else None,
    )
    if resumed is not None:
        listener.note(f"resumed at step {training.step}")
    for words in warnings:
        session.warn(words)
    return session


def _networks(run: Run, record: Method) -> dict[str, nn.Module]:
    """Fresh networks, the same in every process."""
    assert record.build is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sample_key("weights", run.seed))
        networks: dict[str, nn.Module] = {GENERATOR: record.build(run.preset.network)}
        networks |= record.critics(run.preset.network)
    for network in networks.values():
        network.train()
    return networks


def _recipe(
    run: Run,
    record: Method,
    networks: Mapping[str, nn.Module],
    backbones: LossBackbones,
    engine: Engine,
    started: frozenset[str],
) -> Recipe:
    assert record.recipe is not None
    context = RecipeContext(
        backbones.vgg, backbones.backbone, backbones.scene, engine.processes, engine.total, started, engine.device
    )
    with torch.random.fork_rng(devices=validation.here()):
        torch.manual_seed(sample_key("recipe", run.seed))  # it may draw initial weights of its own
        return record.recipe(run.preset, networks, context)


def _check_size(run: Run, generator: nn.Module) -> None:
    assert isinstance(generator, Generator)
    size, multiple, smallest = run.preset.data.size, generator.multiple, generator.smallest
    if size % multiple or size < smallest:
        fitting = max(size, smallest)
        raise InputError(
            f"{run.method} {run.preset_name} cannot be trained at size {size}: sides are multiples of {multiple}, at "
            f"least {smallest}; choose --size {fitting + -fitting % multiple}"
        )
