"""A whole training: from a data folder and a preset to weights that run, resumed where it stopped.

The run folder holds `config.json`, `log.jsonl`, `tensorboard/`, `samples/`, `checkpoints/step-N/` (the newest two),
`last.safetensors`, `best.safetensors` and, if asked for, `snapshots/step-N.safetensors`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from retouche.errors import DataError, InputError
from retouche.methods import find
from retouche.methods.recipe_protocol import Batch, PresetOptions, options_of
from retouche.training import checkpoint, keeping, loop
from retouche.training.engine import Engine
from retouche.training.feed import batches
from retouche.training.pace import Clock, most_memory
from retouche.training.pictures import Pictures
from retouche.training.process import held, own_randomness, stoppable
from retouche.training.session import Listener as Listener
from retouche.training.session import Progress as Progress
from retouche.training.session import Session, open_session
from retouche.training.settings import Run, remember


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended.

    Attributes:
        step: steps done
        finished: whether these are all; otherwise it was interrupted and can be resumed
        best: the best validation metric, if there was any; lower is better (PSNR is negative)
        first: whether this process writes the output
    """

    step: int
    finished: bool
    best: float | None
    first: bool


def train(run: Run, listener: Listener | None = None) -> TrainingResult:
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
    for_size = options_of(run.preset, PresetOptions).for_size
    if for_size is not None:
        run = replace(run, preset=for_size())
    pictures = Pictures.of(run)
    engine = Engine(run)
    if run.preset.data.batch % (engine.processes * run.accumulate):
        raise InputError(
            f"--batch {run.preset.data.batch} cannot be shared by {engine.processes} processes in {run.accumulate} "
            f"parts each: give a multiple of {engine.processes * run.accumulate}"
        )
    with held(run.folder, engine), own_randomness(), stoppable() as stop:
        changes = remember(run, checkpoint.newest(run.folder) is not None) if engine.first else []
        engine.barrier()
        for words in changes:
            listener.note(words)
        session = open_session(run, record, pictures, engine, listener if engine.first else Listener())
        try:
            _train(session, stop)
            return TrainingResult(session.training.step, session.finished, session.training.state["best"], engine.first)
        finally:
            session.close()


def _train(session: Session, stop: Callable[[], bool]) -> None:
    """Steps until the end, an interruption, or an error."""
    run, training = session.run, session.training
    if session.finished:
        return
    if training.step == 0:
        keeping.show_masks(session)
        keeping.validate(session)
    clock = Clock(session.data.batch)
    saved = training.step
    stopped = False
    given = batches(session)
    while not (session.finished or stopped):
        rates = session.set_rates()
        result = loop.take_step(
            session.recipe,
            training.optimizers,
            _in_parts(next(given), run.accumulate),
            training.step,
            session.engine,
            session.scaler,
        )
        if session.ema and result.finite:
            loop.follow(training.average, session.generator, session.ema)
        training.step += 1
        clock.tick(session.recipe.batches)
        _report(session, result, rates, clock.pictures_per_second)
        stopped = session.engine.any(stop())
        kept = run.snapshots and training.step % run.snapshots == 0
        if kept or training.step % run.save_every == 0 or session.finished:
            keeping.save(session, better=keeping.validate(session))
            saved = training.step
            clock.restart()
    if saved != training.step:
        keeping.save(session)


def _in_parts(batches: list[Batch], parts: int) -> list[list[Batch]]:
    """A step's batches, for each part that they are split into; each part knows the others."""
    if parts > 1:
        wholes = [batches[i : i + parts] for i in range(0, len(batches), parts)]
        batches = [replace(part, parts=tuple(whole)) for whole in wholes for part in whole]
    return [batches[i::parts] for i in range(parts)]


def _report(session: Session, result: loop.StepResult, rates: Mapping[str, float], speed: float) -> None:
    """Report what a step did to log and listener.

    Raises: DataError, after saving, where nothing has been finite for long
    """
    run, training, health = session.run, session.training, session.health
    losses, norms = result.losses, result.norms
    totals: dict[str, float] = {}
    for name, value in losses.items():
        role = name.partition("/")[0]
        totals[role] = totals.get(role, 0.0) + value
    if not result.overflowed:
        for words in health.note(totals, norms, result.finite):
            session.warn(words)
    if session.log is not None and (training.step % run.log_every == 0 or session.finished or not result.finite):
        session.log.write(
            training.step,
            "train",
            losses={name: loop.json_number(value) for name, value in losses.items()},
            gradients={name: loop.json_number(value) for name, value in norms.items()},
            rates=rates,
            pictures_per_second=round(speed, 2),
            memory_bytes=most_memory(session.engine.device),
            seconds=round(session.seconds(), 1),
        )
    per_step = session.data.batch * session.recipe.batches
    session.listener.progress(Progress(training.step, run.preset.steps, losses, speed, per_step))
    if health.lost:
        keeping.save(session)
        raise DataError(
            f"gradients were not finite {health.in_a_row} times in a row: stopped at step {training.step}, "
            "all is saved; a lower learning rate, gradient clipping or --precision 32 may help"
        )
