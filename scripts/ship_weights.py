"""Puts a trained network into the package: `python scripts/ship_weights.py runs/thin/best.safetensors`.

Writes `src/retouche/weights/shipped/METHOD.safetensors` (the generator alone, half precision, licence in the header),
and size and hash into the method's record; then write docs/models.md anew (`scripts/models_page.py`).
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

import retouche
from retouche.methods import METHODS
from retouche.weights.native import save_networks
from retouche.weights.store import packaged


def main(file: str) -> None:
    model = retouche.load(file)
    assert model.generator is not None, f"{file} holds no generator"
    target = packaged(f"{model.method}.safetensors")
    words = {word: model.header.get(word) for word in ("step", "ema", "perceptual")}
    generator = model.generator.half()
    save_networks(target, model.method, None, model.config, generator, {}, preset=model.preset, licence="MIT", **words)
    data = target.read_bytes()
    record = Path(__file__).parents[1] / "src" / (METHODS[model.method].replace(".", "/") + ".py")
    text, changed = re.subn(
        r'packaged\(\s*"[\w-]+\.safetensors",\s*size_bytes=[\d_]+,\s*sha256="\w*",?\s*\)',
        f'packaged(\n            "{target.name}",\n            size_bytes={len(data):_},\n'
        f'            sha256="{hashlib.sha256(data).hexdigest()}",\n        )',
        record.read_text(encoding="utf-8"),
    )
    assert changed == 1, f"{record} has no record of packaged weights"
    record.write_text(text, encoding="utf-8")
    print(f"{target}: {len(data):,} bytes, step {model.header.get('step')}")


if __name__ == "__main__":
    main(sys.argv[1])
