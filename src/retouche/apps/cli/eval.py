"""Evaluate models on pictures whose holes were cut on purpose: a table with intervals, plots and pictures.

Pictures and masks pair by name (photos/a.jpg with masks/a.png or masks/a_mask.png); a folder that holds images/ and
masks/ needs no --masks. A mask may also be drawn: --masks wide:2,box:1. The hole is exactly the mask, known pixels are
put back, and metrics in the hole and of the whole picture are kept apart. The protocol, with hashes of pictures and
masks, is printed and saved with the table, so that another lab gets the same digits.

Models are names (harmonic, exemplar, mean; telea, navier-stokes, fsr with OpenCV), weight files, or folders with the
pictures another program made; LABEL=MODEL calls one as you like.

examples:
  retouche eval --data photos/ --masks masks/ --model harmonic mine.safetensors --report table/ --size 256
  retouche eval --data photos/ --masks wide:2,box:1 --model default telea lama=outputs/ --report table/ --size 512
  retouche eval --data set/ --model harmonic --report table/ --size 256 --write-pack pack.json
  retouche eval --pack pack.json --model mine.safetensors --report mine/
  retouche eval --pack aot-gan --data places/ --masks irregular/ --model aot-gan --report aot/

writes: index.html (the report), table.json, table.csv, pictures.jsonl (one row per picture and model)

exit code: 0 done, 1 some pictures could not be used (listed; the table has the others), 2 wrong use or bad input
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from retouche.apps.batch.pairing import check_writable
from retouche.apps.cli import flags, terminal
from retouche.errors import InputError

if TYPE_CHECKING:
    from retouche.evaluation.evaluate import Evaluation
    from retouche.evaluation.pack import Pack
    from retouche.evaluation.pictures import Item, Preparation

REPORT_FILES = ("index.html", "table.json", "table.csv", "pictures.jsonl")
FEATURES = tuple(f"feature_distance_lite{variant}" for variant in range(3))
COLUMNS = ("hole_psnr", "psnr", "ssim", "band_error", "seam", "lpips", *FEATURES, "fid", "kid", "p_ids", "u_ids")


@dataclass(frozen=True)
class Options:
    model: Annotated[tuple[str, ...], tyro.conf.arg(metavar="M [M ...]")]
    """Models to evaluate: names, weight files or folders; LABEL=M gives a name for the table."""
    report: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Where table and report go."""
    data: Annotated[Path | None, terminal.without_default("DIR")] = None
    """The pictures: a folder, or one that holds images/ and masks/. May be left out with --pack FILE."""
    masks: Annotated[str | None, terminal.without_default("FOLDER|SPEC")] = None
    """The holes: a folder of masks (white is the hole), one mask for all, or makers such as wide:2,box:1."""
    size: Annotated[int | None, terminal.without_default("N")] = None
    """Bring pictures to NxN: the shorter side by Lanczos, then the middle; masks by area, hole where at least a quarter
    is. Default: whole pictures as they are."""
    masks_per_picture: Annotated[int | None, terminal.without_default("N")] = None
    """Draw N masks for each picture; specifications between semicolons take turns. Default: 1, or the pack's."""
    limit: flags.Limit = None
    pack: Annotated[str | None, terminal.without_default("FILE|NAME")] = None
    """Repeat a protocol: a pack's file, or a paper's by name (deepfill-v1, deepfill-v2, aot-gan, sii-gan,
    structure-flow, partial-conv, context-encoder, structural, lama, mmagic-deepfill-v1, mmagic-deepfill-v2)."""
    write_pack: Annotated[Path | None, terminal.without_default("FILE")] = None
    """Write a pack of this evaluation: list, hashes, size and masks."""
    invert_mask: flags.InvertMask = False
    large_holes: flags.LargeHoles = False
    inception_weights: Annotated[str | None, terminal.without_default("FILE|inception")] = None
    """Inception's weights; FID, KID, P-IDS and U-IDS are computed with them."""
    lpips_weights: Annotated[tuple[str, str] | None, terminal.without_default("BACKBONE HEADS")] = None
    """AlexNet's or VGG16's weights and LPIPS' heads for it; LPIPS is computed with them."""
    features: Annotated[str | None, terminal.without_default("NAME")] = None
    """efficientnet-lite0, -lite1 or -lite2: compare its features inside the hole (extra: perceptual). A network trained
    with one variant is evaluated by another."""
    keep: terminal.Switch = False
    """Also write what was filled: inputs/, masks/ and filled/MODEL/ in the report's folder."""
    device: flags.Device = "auto"
    engine: flags.EngineName = None
    precision: flags.Precision = "32"
    compile: flags.Compile = False
    threads: flags.ThreadsBesideWorkers = None
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Processes that decode and score beside the models."""
    memory: flags.MemoryOfEach = "2GiB"
    seed: flags.SeedOfMasks = 0
    json: terminal.Switch = False
    """table.json on stdout instead of the table for people."""


def main(options: Options) -> int:
    """Settle what can be settled, then fill and score."""
    check(options)
    from retouche.evaluation.pack import read_pack

    pack = None if options.pack is None else read_pack(options.pack)
    evaluation = run_evaluation(options, pack, *items_and_preparation(options, pack))
    _show(evaluation, options)
    return 1 if evaluation.skipped else 0


def run_evaluation(
    options: Options, pack: Pack | None, items: tuple[Item, ...], preparation: Preparation
) -> Evaluation:
    """Fill and score, and write all files.

    Raises: InputError, DataError, WeightsError
    """
    memory = terminal.parse_bytes(options.memory)
    from retouche.arithmetic import Computing
    from retouche.evaluation.backbones import Backbones
    from retouche.evaluation.evaluate import evaluate
    from retouche.evaluation.evaluated import Outputs, open_models
    from retouche.evaluation.pack import write_pack
    from retouche.evaluation.pictures import check_items
    from retouche.evaluation.report import Cache, Remembering, write_report
    from retouche.inference.devices import choose_device

    check_items(items, large_holes=options.large_holes, invert=preparation.invert)
    terminal.set_threads(options.threads)
    if options.threads is None and options.workers > 1:
        terminal.set_threads(max(1, (os.cpu_count() or 1) - options.workers))
    device = choose_device(options.device).device
    computing = Computing(options.precision, options.compile)
    models = open_models(options.model, items, device, options.seed, memory, options.engine, computing)
    backbones = Backbones(options.inception_weights, options.lpips_weights, device, options.features)
    options.report.mkdir(parents=True, exist_ok=True)
    cache = Cache()
    try:
        remembering = [Remembering(evaluated, cache) for evaluated in models]
        with terminal.progress("evaluating", len(items)) as on_progress:
            evaluation = evaluate(
                items,
                preparation,
                remembering,
                options.report,
                backbones=backbones,
                name="own" if pack is None else pack.name,
                seed=options.seed,
                workers=options.workers,
                keep=options.keep,
                unknown=() if pack is None else pack.unknown,
                published=() if pack is None else pack.published,
                classes=() if pack is None else pack.classes,
                advance=on_progress,
            )
        write_report(options.report / "index.html", evaluation, preparation, remembering)
    finally:
        cache.close()
    if options.write_pack is not None:
        write_pack(options.write_pack, options.write_pack.stem, preparation, evaluation.items)
    for evaluated in models:
        if isinstance(evaluated, Outputs) and evaluated.changed:
            terminal.warn(
                f"{evaluated.name}: {evaluated.changed} outputs differ outside the hole; it was put back there"
            )
    return evaluation


def check(options: Options) -> None:
    """Check the options before anything is loaded. Raises: InputError"""
    if not options.model:
        raise InputError("--model names none: give one or more")
    if options.workers < 1:
        raise InputError(f"--workers is {options.workers}: give 1 or more")
    if options.size is not None and options.size < 16:
        raise InputError(f"--size is {options.size}: give 16 or more pixels")
    if options.data is None and options.pack is None:
        raise InputError("--data is missing: give a folder of pictures")
    if options.report.exists() and not options.report.is_dir():
        raise InputError(f"--report {options.report} is a file: give a folder")
    there = [name for name in REPORT_FILES if (options.report / name).exists()]
    if there and not _is_ours(options.report / "table.json"):
        raise InputError(f"--report {options.report} holds a {there[0]} that is no evaluation's: give another folder")
    check_writable(options.report)
    from retouche.backbones import PUBLISHED

    for given, flag in (
        (options.inception_weights, "--inception-weights"),
        *((given, "--lpips-weights") for given in options.lpips_weights or ()),
    ):
        if given is not None and given not in PUBLISHED and not Path(given).exists():
            raise InputError(f"{flag} {given} is not there: give a weight file, or a name of {', '.join(PUBLISHED)}")


def _is_ours(table: Path) -> bool:
    """Whether an earlier evaluation wrote it: then its folder may be written anew."""
    from retouche.evaluation.table import FORMAT

    try:
        return bool(json.loads(table.read_text(encoding="utf-8"))["format"] == FORMAT)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def items_and_preparation(options: Options, pack: Pack | None) -> tuple[tuple[Item, ...], Preparation]:
    """The pictures and how they come to size. Raises: InputError, DataError"""
    from retouche.evaluation.pack import items_of
    from retouche.evaluation.pictures import Preparation, find_items, several

    if pack is not None:
        if options.size is not None:
            raise InputError(f"--size: the pack fixes it ({pack.preparation.size}): leave it out")
        if pack.pictures is not None and options.invert_mask:
            raise InputError("--invert-mask: the pack fixes it: leave it out")
        if options.masks_per_picture is not None:
            raise InputError("--masks-per-picture: the pack fixes it: leave it out")
        items, preparation = items_of(pack, options.data, options.masks, options.limit)
        if pack.pictures is None:
            preparation = replace(preparation, mask_seed=options.seed, invert=options.invert_mask)
        return items, preparation
    assert options.data is not None
    items, spec = find_items(options.data, options.masks, options.limit)
    each = 1 if options.masks_per_picture is None else options.masks_per_picture
    return several(items, each), Preparation(options.size, "crop", spec, options.seed, options.invert_mask, each)


def complain_of_skipped(evaluation: Evaluation) -> None:
    """Pictures that could not be used, on stderr."""
    for each in evaluation.skipped:
        terminal.complain(f"skipped: {each.name}: {each.reason}")
    if evaluation.skipped:
        total = len(evaluation.skipped) + evaluation.protocol.pictures
        print(f"{len(evaluation.skipped)} of {total} pictures could not be used", file=sys.stderr)


def _show(evaluation: Evaluation, options: Options) -> None:
    from retouche.evaluation.published import own_figures, published_lines
    from retouche.evaluation.table import as_text

    complain_of_skipped(evaluation)
    if options.json:
        terminal.show_json(evaluation.as_json())
        return
    print("\n".join(evaluation.protocol.lines()))
    print()
    print(
        as_text(evaluation.rows, evaluation.measures, evaluation.names, (*COLUMNS, *own_figures(evaluation.published)))
    )
    print("\n".join(published_lines(evaluation.published)))
    print()
    terminal.print_line(options.report / "index.html")
