"""Measure a model by a paper's protocol and print the paper's table with our value beside each published cell.

The pictures are yours to give: nobody may hand out the papers' data. Where their number or hash is known, other
pictures are refused; --anyway measures them all the same and says so. Masks are drawn by the paper's rules as far as
these are known, unless --masks gives its files. What is not known of the protocol is named.

examples:
  retouche reproduce mmagic-deepfill-v2 --model deepfillv2.pth --data places365/val_256/
  retouche reproduce aot-gan --model aot-gan:places2 --data places2/val/ --masks irregular/test/
  retouche reproduce lama --test celeba-hq-wide --model big-lama.pt --data celeba/ --inception-weights inception
  retouche reproduce mmagic-deepfill-v2 --model mine.safetensors --data photos/ --anyway

papers: deepfill-v1 deepfill-v2 aot-gan sii-gan structure-flow partial-conv context-encoder structural lama
mmagic-deepfill-v1 mmagic-deepfill-v2

writes: reproduction.json, and what `retouche eval` writes

exit code: 0 done, 1 some pictures could not be used (listed), 2 wrong use, bad input, or other data than the paper's
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from retouche.apps.cli import eval as evaluation
from retouche.apps.cli import flags, terminal


@dataclass(frozen=True)
class Options:
    paper: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PACK")]
    """Whose protocol."""
    model: Annotated[str, tyro.conf.arg(metavar="M")]
    """Who is measured: a weight file or folder, a name, or a folder of another program's outputs."""
    data: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The paper's pictures."""
    masks: Annotated[str | None, terminal.without_default("FOLDER|SPEC")] = None
    """Its mask files (white is the hole). Default: drawn by its rules, as far as these are known."""
    test: Annotated[str | None, terminal.without_default("NAME")] = None
    """Which of its tests, where there are several: places, celeba, free-form, ... Default: the first."""
    report: Annotated[Path | None, terminal.without_default("DIR")] = None
    """Where table and report go. Default: reproduced-PACK in this folder."""
    anyway: terminal.Switch = False
    """Measure pictures that are not the paper's, and say so."""
    limit: flags.Limit = None
    invert_mask: flags.InvertMask = False
    large_holes: flags.LargeHoles = False
    inception_weights: Annotated[str | None, terminal.without_default("FILE|inception")] = None
    """Inception's weights, for FID, P-IDS and U-IDS."""
    lpips_weights: Annotated[tuple[str, str] | None, terminal.without_default("BACKBONE HEADS")] = None
    """AlexNet's or VGG16's weights and LPIPS' heads for it."""
    device: flags.Device = "auto"
    threads: flags.ThreadsBesideWorkers = None
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Processes that decode and score beside the model."""
    memory: flags.Memory = "2GiB"
    seed: flags.SeedOfMasks = 0
    json: terminal.Switch = False
    """reproduction.json on stdout instead of the table for people."""


def main(options: Options) -> int:
    """Refuse other data, then fill, score and print the table."""
    from retouche.evaluation.evaluate import write_text
    from retouche.evaluation.pack import pack_of
    from retouche.evaluation.reproduction import (
        as_json,
        as_text,
        cells,
        check_pictures,
        find_paper,
        verdict,
        whose_weights,
    )
    from retouche.folders.names import as_json as as_line

    paper, test = find_paper(options.paper, options.test)
    settings = evaluation.Options(
        model=(options.model,),
        report=options.report or Path(f"reproduced-{paper.name}"),
        data=options.data,
        masks=options.masks,
        limit=options.limit,
        pack=paper.name,
        invert_mask=options.invert_mask,
        large_holes=options.large_holes,
        inception_weights=options.inception_weights,
        lpips_weights=options.lpips_weights,
        device=options.device,
        threads=options.threads,
        workers=options.workers,
        memory=options.memory,
        seed=options.seed,
    )
    evaluation.check(settings)
    pack = pack_of(paper, test)
    items, preparation = evaluation.items_and_preparation(settings, pack)
    pictures = check_pictures(paper, test, items, masks_given=options.masks is not None, anyway=options.anyway)
    result = evaluation.run_evaluation(settings, pack, items, preparation)
    weights = whose_weights(paper, result.models[0])
    found = cells(paper, test, result)
    table = as_json(paper, test, found, pictures, weights)
    write_text(settings.report / "reproduction.json", as_line(table, indent=1) + "\n")
    evaluation.complain_of_skipped(result)
    if options.json:
        terminal.show_json(table)
    else:
        print(
            "\n".join([paper.title, *verdict(pictures, weights), "", *result.protocol.lines(), "", *as_text(found), ""])
        )
        terminal.print_line(settings.report / "index.html")
    return 1 if result.skipped else 0
