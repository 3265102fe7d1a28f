"""Prepare a folder of faces (CelebA, CelebA-HQ) for training and tests: lists by the official split, copies at a size.

CelebA's split is its file list_eval_partition.txt; CelebA-HQ's pictures, called 0.jpg to 29999.jpg, also need
CelebA-HQ-to-CelebA-mapping.txt, which comes with CelebAMask-HQ. Without them one list of all is written, and training
holds back 2 % by itself. Faces are for research only: see the data's own terms.

examples:
  retouche faces --data CelebA-HQ-img/ --output faces/ --size 256 \\
      --partition list_eval_partition.txt --mapping CelebA-HQ-to-CelebA-mapping.txt
  retouche faces --data img_align_celeba/ --output faces/ --partition list_eval_partition.txt
  retouche train deepfill-v2 celeba-hq --data faces/train.flist --validate faces/validate.flist --run runs/faces

writes: train.flist, validate.flist and test.flist (or all.flist); with --size also train/, validate/, test/ as PNG
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from retouche.apps.cli import terminal
from retouche.errors import DataError, InputError


@dataclass(frozen=True)
class Options:
    data: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The pictures."""
    output: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Where lists, and copies, go."""
    partition: Annotated[Path | None, terminal.without_default("FILE")] = None
    """CelebA's list_eval_partition.txt."""
    mapping: Annotated[Path | None, terminal.without_default("FILE")] = None
    """CelebA-HQ-to-CelebA-mapping.txt, where the pictures are CelebA-HQ's."""
    size: Annotated[int | None, terminal.without_default("N")] = None
    """Also write copies of NxN: the shorter side by Lanczos, then the middle. Those that are there already stay."""


def main(options: Options) -> int:
    """Read the lists, then write ours."""
    if options.size is not None and not 16 <= options.size <= 4096:
        raise InputError(f"--size is {options.size}: give 16 to 4096 pixels")
    if options.mapping is not None and options.partition is None:
        raise InputError("--mapping says what CelebA calls the pictures: give its --partition too")
    from retouche.data.faces import read_mapping, read_partition, split_faces
    from retouche.folders.finding import walk

    if not options.data.is_dir():
        raise DataError(f"--data {options.data} is no folder: give the folder of the pictures")
    found = [source.path for source in walk(options.data)[0]]
    inside = options.output.resolve()
    pictures = sorted((path for path in found if inside not in path.resolve().parents), key=_by_number)
    if not pictures:
        raise DataError(f"--data {options.data} holds no pictures")
    if options.partition is None:
        parts = {"all": pictures}
    else:
        mapping = None if options.mapping is None else read_mapping(options.mapping)
        parts = split_faces(pictures, read_partition(options.partition), mapping)
    options.output.mkdir(parents=True, exist_ok=True)
    if options.size is not None:
        parts = _copied(parts, options.output, options.size)
    from retouche.files import atomic_write

    for name, files in parts.items():
        with atomic_write(options.output / f"{name}.flist", overwrite=True) as temporary:
            temporary.write_text("".join(f"{path.resolve()}\n" for path in files), encoding="utf-8")
        print(f"{name}: {len(files)} pictures")
        terminal.print_line(options.output / f"{name}.flist")
    if options.size is None:
        _note_sizes(pictures)
    return 0


def _by_number(path: Path) -> tuple[str, int, str]:
    """0, 1, 2, ... 10 and not 0, 1, 10, 2."""
    return str(path.parent), int(path.stem) if path.stem.isdecimal() else -1, path.name


def _copied(parts: dict[str, list[Path]], output: Path, size: int) -> dict[str, list[Path]]:
    """Copies at the size, one folder a part."""
    from PIL import Image

    from retouche.evaluation.pictures import sized
    from retouche.files import atomic_write
    from retouche.inference.sheet import pixels_rgb
    from retouche.pictures import open_picture

    result: dict[str, list[Path]] = {}
    total, done = sum(map(len, parts.values())), 0
    with terminal.progress("copying", total) as on_progress:
        for name, files in parts.items():
            folder = output / name
            folder.mkdir(exist_ok=True)
            result[name] = [folder / f"{path.stem}.png" for path in files]
            if len(set(result[name])) < len(files):
                twice = Counter(result[name]).most_common(1)[0][0]
                raise DataError(f"two pictures would both be written to {twice}: give a folder without subfolders")
            for path, copy in zip(files, result[name], strict=True):
                if not _is_there(copy, size):
                    pixels = sized(pixels_rgb(open_picture(path)), size, "crop")
                    with atomic_write(copy, overwrite=True) as temporary, temporary.open("wb") as file:
                        Image.fromarray(pixels).save(file, "PNG")
                done += 1
                on_progress(done)
    return result


def _is_there(copy: Path, size: int) -> bool:
    """Whether an earlier run has written it at this size."""
    return copy.is_file() and _measured(copy) == (size, size)


def _measured(path: Path) -> tuple[int, int]:
    """Width and height."""
    from retouche.pictures import measure

    with path.open("rb") as file:
        return measure(file, path.name)


def _note_sizes(pictures: list[Path]) -> None:
    """What sizes a few of the pictures have."""
    looked = pictures[:: max(1, len(pictures) // 50)]
    sizes = Counter(_measured(path) for path in looked)
    common = ", ".join(f"{width}x{height}" for (width, height), _ in sizes.most_common(3))
    terminal.note(f"{common} by {len(looked)} of them: --size 256 writes copies that train many times as quickly")
