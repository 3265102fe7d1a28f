"""Makes what the network `refine` learns from: photographs cut to squares, a hole for each, and the hole's collage.

  python scripts/make_collages.py PHOTOS OUT [--size 256] [--rounds 1] [--seed 0]

PHOTOS is a folder or a list as `retouche train --data` takes it. OUT gets images/, masks/ and collages/ with the same
names; what is there already is left, so the same command again goes on. Every picture and hole follows from the seed
and the name; pictures that validation holds out are left out here too. Half of the collages are `guided`, half
`exemplar`, so that the network does not rely on either.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from retouche.data.augment import Crop, choose, cut
from retouche.data.mask_makers import parse_masks
from retouche.data.sampler import sample_key
from retouche.data.sources import UnreadableError, hold_out, open_source
from retouche.image import composite, to_uint8
from retouche.methods import find

MASKS = "wide:3,objects:1,box(0.4):1,box(0.25):1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos")
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=256, help="sides of the squares, pixels")
    parser.add_argument("--rounds", type=int, default=1, help="squares per photograph")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    source, masks = open_source(options.photos), parse_masks(MASKS)
    crop = Crop(options.size, "zoom", 0.5, flip=True)
    for folder in ("images", "masks", "collages"):
        (options.out / folder).mkdir(parents=True, exist_ok=True)
    kept, held = hold_out(source.names)
    for round_ in range(options.rounds):
        for index in kept + held if round_ == 0 else kept:
            name = source.names[index]
            key = sample_key("collage", options.seed, round_, Path(name).name)
            stem = f"{Path(name).stem}-{round_}"
            if (options.out / "collages" / f"{stem}.png").exists():
                continue
            try:
                picture = source.read(index)
            except UnreadableError as error:
                print(f"{name} is skipped: {error}")
                continue
            rng = np.random.default_rng([key & 0xFFFFFFFF, key >> 32])
            image = cut(picture, choose(rng, picture.height, picture.width, crop))
            hole = masks.draw(key, options.size, options.size).hole
            mask = torch.from_numpy(hole).float()[None, None]
            fill = find("guided" if rng.uniform() < 0.5 else "exemplar").fill
            assert fill is not None
            with torch.inference_mode():
                collage = composite(image, fill(image, mask, 0), mask)
            folders = {"images": to_uint8(image), "masks": hole.astype(np.uint8) * 255, "collages": to_uint8(collage)}
            for folder, pixels in folders.items():
                Image.fromarray(pixels).save(options.out / folder / f"{stem}.png", compress_level=1)


if __name__ == "__main__":
    main()
