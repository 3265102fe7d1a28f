"""What a word after `--model` means: a name that is known, or a path. Names come before folders.

A folder called `default` or `exemplar` in the working directory does not capture the name; `./exemplar` means it.
"""

from __future__ import annotations

import re
from pathlib import Path

from retouche.errors import InputError
from retouche.methods import CLASSICAL, DEFAULT, find, methods
from retouche.weights.tensorflow import find_prefix

ALIASES = ((r"big-?lama", "lama"), (r"migan", "mi-gan"))
"""(pattern of lower-case names that people type, ours)."""

FOREIGN = (
    (r"(big-?)?lama|lama-.*|.*-big-lama|manga", "LaMa is not part of this version", ("lama",)),
    (r"mi-?gan", "MI-GAN is not part of this version", ("mi-gan",)),
    (r"mat", "MAT is not part of retouche", ("lama", "mi-gan")),
    (r"zits", "ZITS is not part of retouche", ("lama", "structure-flow")),
    (r"fcf", "FcF is not part of retouche", ("lama",)),
    (r"ldm", "latent diffusion is not part of retouche", ("lama",)),
    (r"cv2|opencv|ns", "OpenCV's fills have names of their own here", ("telea", "navier-stokes")),
    (
        r"sd\d?(\.\d)?(xl)?|sdxl|stable-diffusion.*|anything4|realisticvision.*|dreamshaper.*|kandinsky.*|flux.*"
        r"|powerpaint.*|paint_by_example|instruct_pix2pix|anytext"
        # hub names, as IOPaint spells its diffusion models
        r"|(runwayml|sanster|diffusers|stabilityai|kandinsky-community|timbrooks|fantasy-studio|lykon|sg161222"
        r"|redstonewill|fantasyai|xiaolxl|black-forest-labs)/.+",
        "diffusion models are not part of retouche",
        (),
    ),
)
"""(pattern of lower-case names of other programs' models, why they are not here, what comes near, nearest first)."""


def resolve(word: str | Path) -> str | Path:
    """The method that a word names ("aot-gan", "deepfill-v2:places2", "default"), else the path that it is.

    Args:
        word: NAME, NAME:TAG, or a FILE or FOLDER; a path object, and text that begins with `./`, is never a name

    Raises: InputError naming what is nearest, for a name that is not known and no path
    """
    if isinstance(word, Path):
        return word
    if ours := known(word):
        return ours
    if _is_there(word):
        return Path(word)
    if message := foreign(word):
        raise InputError(message)
    if "/" in word or "\\" in word or (Path(word).suffix and ":" not in word):
        return Path(word)  # not there, which is reported with its name
    find(word.partition(":")[0])  # says the nearest known name
    return word


def known(word: str) -> str | None:
    """NAME or NAME:TAG as the method is called here, whether or not its weights are; None for all other words."""
    name, colon, tag = word.partition(":")
    ours = next((ours for pattern, ours in ALIASES if re.fullmatch(pattern, name.lower())), name)
    return f"{ours}{colon}{tag}" if ours in {"default", DEFAULT, *CLASSICAL} or ours in methods() else None


def foreign(name: str) -> str | None:
    """Why another program's model is not here, and what is nearest; None for all other names."""
    for pattern, why, near in FOREIGN:
        if re.fullmatch(pattern, name.partition(":")[0].lower()):
            nearest = " or ".join(f'"{each}"' for each in near if known(each))
            default = (
                f'nearest is {nearest}, and "default" needs no download' if nearest else '"default" needs no download'
            )
            return f'no model "{name[:80]}": {why}; {default}'
    return None


def _is_there(word: str) -> bool:
    try:
        return word != "" and (Path(word).exists() or find_prefix(Path(word)) is not None)
    except (ValueError, OSError):  # a zero byte, a name of five thousand letters
        return False
