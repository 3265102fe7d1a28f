"""Fetch the published weights of a method or backbone into the cache; checked against their SHA-256, resumed where cut.

A file whose SHA-256 nobody has published is refused unless --accept-unknown-hash is given; its hash is then recorded,
and demanded whenever the file is used. Files behind a browser's page (Google Drive) cannot be fetched: the address
is printed, with the place where the file is to be saved. `retouche models` lists all names.

examples:
  retouche download aot-gan
  retouche download vgg19                     (then: retouche train aot-gan --perceptual-weights vgg19 ...)
  retouche download deepfill-v2:places2-mmagic --accept-unknown-hash
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from retouche.apps.cli import terminal


@dataclass(frozen=True)
class Options:
    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME[:TAG]")]
    """The method (and which of its published weights), or a backbone: vgg16, vgg19, alexnet, lpips-alex, lpips-vgg,
    inception."""
    accept_unknown_hash: terminal.Switch = False
    """Take a file without published SHA-256 on trust."""
    allow_http: terminal.Switch = False
    """Fetch from addresses without encryption, too, where the file's SHA-256 is known."""


def main(options: Options) -> int:
    """Fetch, say where it is."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from retouche.methods.catalogue import choose

    entry = choose(options.model)
    files = entry.files
    for licence in dict.fromkeys(weights.licence for weights in files):
        terminal.note(f"licence of {entry.name}: {licence}")
    columns = (TextColumn(files[0].file), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("fetch", total=None)
        path = entry.fetched(
            options.accept_unknown_hash,
            lambda done, total: bar.update(task, completed=done, total=total),
            options.allow_http,
        )
    print(path)
    return 0
