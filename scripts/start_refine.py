"""Makes what the training of `refine` starts from: `python scripts/start_refine.py thin.safetensors start.safetensors`.

The generator of `thin` with three more input channels, for the collage, whose weights are 0: at first it fills as
`thin` does. The critic starts fresh.
"""

from __future__ import annotations

import sys

import torch

import retouche


def main(thin: str, out: str) -> None:
    given, made = retouche.load(thin).generator, retouche.create("refine")
    assert given is not None and made.generator is not None
    tensors = given.state_dict()
    tensors["enter.weight"] = torch.cat([tensors["enter.weight"], torch.zeros_like(tensors["enter.weight"][:, :3])], 1)
    made.generator.load_state_dict(tensors)
    made.critics.clear()
    made.save(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
