"""Names of other programs' models that people type, and what happens then: the shipped default, with a remark."""

from __future__ import annotations

import re
from pathlib import Path

from retouche.methods import CLASSICAL, METHODS, methods

FOREIGN = (
    (r"lama|big-?lama|lama-.*", "LaMa is not part of this version"),
    (r"mi-?gan", "MI-GAN is not part of this version"),
    (r"mat", "MAT is not part of retouche"),
    (r"ldm", "latent diffusion is not part of retouche"),
    (r"zits", "ZITS is not part of retouche"),
    (r"fcf", "FcF is not part of retouche"),
    (r"manga", "the manga model is not part of retouche"),
    (r"cv2|opencv|ns", "OpenCV's fills are not part of retouche's own"),
    (
        r"sd\d?(\.\d)?(xl)?|sdxl|stable-diffusion.*|anything4|realisticvision.*|dreamshaper.*|kandinsky.*|flux.*"
        r"|powerpaint.*|paint_by_example|instruct_pix2pix|anytext"
        # hub names, as IOPaint spells its diffusion models
        r"|(runwayml|sanster|diffusers|stabilityai|kandinsky-community|timbrooks|fantasy-studio|lykon|sg161222"
        r"|redstonewill|fantasyai|xiaolxl|black-forest-labs)/.+",
        "diffusion models are not part of retouche",
    ),
)
"""(pattern of lower-case names, why it is not here)."""


def resolve_name(name: str) -> tuple[str, str | None]:
    """The name to load for a name that was typed, and a remark where they differ.

    A known method, a file or folder of this name, and whatever nobody else uses as a name stay as they are:
    `retouche.load` knows them or says the nearest known name.

    Args:
        name: NAME, NAME:TAG, FILE or FOLDER

    Returns: (name, remark): the remark is None unless the shipped default stands in for a foreign model
    """
    if name.partition(":")[0] in {*METHODS, *CLASSICAL, "default"} or Path(name).exists() or name in methods():
        return name, None
    for pattern, why in FOREIGN:
        if re.fullmatch(pattern, name.lower()):
            return "default", f'model "{name}": {why}; the shipped default fills instead'
    return name, None
