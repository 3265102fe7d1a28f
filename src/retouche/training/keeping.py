"""What a running training keeps: validation, weights that run alone, checkpoints, pictures to look at."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from retouche.data.datasets import stacked
from retouche.data.mask_makers import histogram, mask_key
from retouche.files import atomic_write
from retouche.masks import hole_ratio
from retouche.training import checkpoint, samples, validation
from retouche.training.session import GENERATOR, Session
from retouche.weights.native import save_networks

SHOWN = 512
"""Masks counted for the histogram."""


def save(session: Session, better: bool = False) -> None:
    """Write the weights that run alone, then the checkpoint.

    Args:
        better: whether these are the best weights so far
    """
    training, engine = session.training, session.engine
    training.state["health"] = session.health.as_json()
    training.state["scaler"] = session.scaler.as_json()
    training.state["seconds"], session.since = session.seconds(), time.monotonic()
    if engine.processes > 1:
        for bad in engine.gather(training.state["bad"]):
            training.state["bad"] |= bad
    checkpoint.agreed(engine, session.run.folder, lambda: _write_weights(session, better))
    checkpoint.save(session.run.folder, training, engine)


def _write_weights(session: Session, better: bool) -> None:
    training = session.training
    generator = session.generator
    if training.average:
        generator = copy.deepcopy(generator)
        generator.load_state_dict(training.average)
    config = session.run.preset.network
    critics = {name: network for name, network in training.networks.items() if name != GENERATOR}
    preset = next((name for name, known in session.record.presets.items() if known == config), None)
    names = ["last", "best"] if better else ["last"]
    if session.run.snapshots and training.step % session.run.snapshots == 0:
        (session.run.folder / "snapshots").mkdir(exist_ok=True)
        names.append(f"snapshots/step-{training.step}")
    for name in names:
        save_networks(
            session.run.folder / f"{name}.safetensors",
            session.run.method,
            None,
            config,
            generator,
            critics,
            preset=preset,
            step=training.step,
            ema=session.ema or None,
            perceptual=session.backbones.perceptual,
        )


def validate(session: Session) -> bool:
    """Score and sample sheet; whether the score is the best so far."""
    training = session.training
    score = validation.validate(
        session.generator, training.average, session.validation_samples, session.engine, session.feature_backbone
    )
    value = score.by(session.metric)
    best = training.state["best"] if training.state.get("best_by", "l1") == session.metric else None
    better = training.step > 0 and (best is None or value < best)
    if better:
        training.state |= {"best": value, "best_by": session.metric}
    if session.log is not None:
        session.log.write(training.step, "validation", pictures=len(session.validation_samples), **score._asdict())
        features = "" if score.features is None else f", feature distance {score.features:.4f}"
        session.listener.note(
            f"step {training.step}: error inside the hole {score.hole_l1:.4f} on {len(session.validation_samples)} "
            f"pictures (mean colour: {score.mean_fill:.4f}), {score.psnr:.2f} dB{features}"
        )
        _show_samples(session)
    return better


def _show_samples(session: Session) -> None:
    shown = session.validation_samples[: samples.ROWS]
    with validation.still(session.generator):
        result = validation.predict(session.generator, session.training.average, shown, session.engine.device)
    image = torch.cat([sample.image for sample in shown])
    mask = torch.cat([sample.mask for sample in shown])
    result = replace(result, **{k: v.float().cpu() for k, v in vars(result).items() if isinstance(v, Tensor)})
    pixels = samples.sheet(image, mask, result, stacked([sample.structure for sample in shown]))
    _write_picture(session, f"step-{session.training.step:07d}", "samples", pixels)


def show_masks(session: Session) -> None:
    """What the holes are like, before the first step."""
    if session.log is None:
        return
    size = session.data.size
    if session.pictures.maker.masks.paired is not None:
        return
    holes = [session.pictures.maker.masks.draw(mask_key(session.run.seed, i), size, size).hole for i in range(SHOWN)]
    ratios = [hole_ratio(hole) for hole in holes]
    pixels = samples.mask_sheet(holes[:6], histogram(ratios), session.data.masks)
    _write_picture(session, "masks", "masks", pixels)
    session.note(f"holes cover {sum(ratios) / SHOWN:.0%} of the picture on average ({session.data.masks})")


def _write_picture(session: Session, file: str, name: str, pixels: Any) -> None:
    assert session.log is not None
    folder = session.run.folder / "samples"
    folder.mkdir(exist_ok=True)
    with atomic_write(folder / f"{file}.png") as temporary, temporary.open("wb") as opened:
        Image.fromarray(pixels).save(opened, "PNG")
    session.log.picture(name, pixels, session.training.step)
