"""Writes docs/presets.md: what each publication trains with, and what the preset of its name does.

`python scripts/presets_page.py > docs/presets.md`. The published values stand here, read in the papers' codes and
configurations; ours are read off the recipes. Where they differ a reason must stand beside them, and where a reason
stands they must differ: tests/unit/test_presets_page.py sees to both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from retouche.methods import find


@dataclass(frozen=True)
class Row:
    """One setting of a publication.

    Attributes:
        field: where it is in the training preset
        value: the published one, in the preset's unit
        said: how the publication says it, where that is something else
        why: of a difference
    """

    field: str
    value: Any
    said: str = ""
    why: str = ""


Table = tuple[Row, ...]


def changed(table: Table, *rows: Row) -> Table:
    """The table with some rows in other form, further ones at its end."""
    new = {row.field: row for row in rows}
    kept = tuple(new.pop(row.field, row) for row in table)
    return kept + tuple(new.values())


MADE = "the set cannot be shipped: drawn in its look, or --masks DIR with the files"
IRREGULAR = Row("data.masks", "NVIDIA's irregular set", why=MADE)
CENTRE = Row("data.masks", "centre(0.4375)", "56 of 128 in the middle")

AOT: Table = (
    Row("data.size", 512),
    Row("data.batch", 8),
    IRREGULAR,
    Row("data.mask_files", "flip=x,rotate=45", "mirrored by chance, turned by 0 to 45 degrees, nearest"),
    Row("data.crop", "area", "RandomResizedCrop: 0.08 to 1 of the area, aspect 3/4 to 4/3"),
    Row("data.flip", True),
    Row("data.jitter", 0.05),
    Row("steps", 1_000_000),
    Row("learning_rate", 1e-4),
    Row("critic_learning_rate", 1e-4),
    Row("betas", (0.5, 0.999)),
    Row("epsilon", 1e-8),
    Row("objective.adversarial", 0.01),
    Row("objective.reconstruction", 1.0),
    Row("objective.perceptual", 0.1),
    Row("objective.style", 250.0),
    Row(
        "objective.labels",
        "code",
        "originals 0, filled pixels 1",
        "the paper's labels; the code's mirror image is `aot-code`",
    ),
    Row("objective.region", "whole", "its mask cancels out", "the paper's hole; the code's whole is `aot-code`"),
    Row("objective.feature_target", "prediction"),
)
AS_CODED = (Row("objective.labels", "code", "originals 0, filled pixels 1"), Row("objective.region", "whole"))
SII_CODE = changed(
    AOT,
    Row("data.batch", 1),
    Row("epsilon", 1e-5),
    Row("objective.labels", "code", "", "the consistent labels; the code's are `siigan-code-labels`"),
    Row("objective.region", "whole", "", "as the paper of AOT-GAN; the code's is `siigan-code-labels`"),
)
V1: Table = (
    Row("data.size", 256),
    Row("data.batch", 16),
    Row(
        "data.masks",
        "box",
        "128 of 256 anywhere, shrunk by 0 to 16 on opposite sides; one for a batch, here one a picture",
    ),
    Row("data.local_box", 0.5, "128 of 256"),
    Row("data.crop", "random"),
    Row("data.flip", False),
    Row("steps", 1_000_000, "up to so many turns of the generator"),
    Row("learning_rate", 1e-4),
    Row("betas", (0.5, 0.9)),
    Row("critic_turns", 5),
    Row("own_batch", True),
    Row("hole", 1.2),
    Row("known", 1.2),
    Row("coarse", 1.2),
    Row("hole_rule", "box"),
    Row("known_rule", "region", "divided by the known share"),
    Row("gamma", 0.9, "0.99 in the paper"),
    Row("adversarial", 0.001),
    Row("penalty", 10.0),
    Row("penalty_rule", "masked"),
    Row("shift", 0.0),
    Row("clip", 0.0),
)
V1_DAA233 = changed(
    V1,
    Row("data.batch", 48, "on three GPUs"),
    Row("steps", 86_000, "430,000 iterations, every fifth with the generator"),
    Row("own_batch", False),
    Row("hole_rule", "composite"),
    Row("known_rule", "whole"),
    Row("penalty_rule", "plain"),
)
V1_MMAGIC = changed(
    V1,
    Row("data.masks", "mmagic-box", "128 of 256, 20 from the border, up to 20 off at the top and at the left"),
    Row("data.crop_scale", 1.5, "crops of 384"),
    Row("steps", 1_000_000, "5,000,003 iterations, every fifth with the generator", "the released file's 3,500,000"),
    Row("betas", (0.9, 0.999)),
    Row("own_batch", False),
    Row("hole", 1.0),
    Row("known", 1.0),
    Row("coarse", 1.0),
    Row("hole_rule", "region"),
    Row("adversarial", 0.0001),
    Row("penalty_rule", "mmagic"),
    Row("shift", 0.001),
)
V2: Table = (
    Row("data.size", 256),
    Row("data.batch", 16),
    Row("data.masks", "strokes+box", "one for a batch, here one a picture"),
    Row("data.crop", "random"),
    Row("data.flip", False),
    Row("steps", 100_000_000, "a limit that nobody reaches", "the limit of nipponjo's port"),
    Row("learning_rate", 1e-4),
    Row("betas", (0.5, 0.999)),
    Row("own_batch", True),
    Row("loss", "hinge"),
    Row("critic", 0.5),
    Row("adversarial", 1.0),
    Row("l1_rule", "whole"),
)
V2_NIPPONJO = changed(V2, Row("steps", 1_000_000), Row("own_batch", False))
V2_MMAGIC = changed(
    V2,
    Row("data.masks", "mmagic", "4 to 9 chains that may leave the picture, redrawn until 15 to 65 %"),
    Row("data.crop_scale", 1.5, "crops of 384"),
    Row("steps", 1_000_003, "its configuration; 100,000 for the released file by its README"),
    Row("betas", (0.9, 0.999)),
    Row("own_batch", False),
    Row("critic", 1.0),
    Row("adversarial", 0.1),
    Row("l1_rule", "regions"),
)
FLOW: Table = (
    Row("data.size", 256),
    Row("data.batch", 8),
    IRREGULAR,
    Row("data.mask_files", "flip=xy,above=zero", "mirrored both ways by chance, bilinear, hole above 0"),
    Row("data.crop", "resize"),
    Row("data.flip", False),
    Row("data.structure", "script", "strength 0.015, sharpness 0.001, 3 rounds, of the whole picture"),
    Row("steps", 8_000_000, "a ceiling"),
    Row("learning_rate", 1e-4),
    Row("betas", (0.0, 0.999)),
    Row("reconstruction", 4.0),
    Row("adversarial", 1.0),
    Row("correctness", 0.0),
    Row("content", 0.0),
    Row("style", 0.0),
)
TEXTURE = changed(FLOW, Row("reconstruction", 5.0), Row("correctness", 0.25))
JOINT = changed(TEXTURE, Row("content", 0.1, "in the code only"), Row("style", 250.0, "in the code only"))
EXAMPLE = Row("data.structure", "example", "sharpness 0.02, 4 rounds, as its CelebA examples were made")
STRUCTURAL: Table = (
    Row("data.size", 128),
    Row("data.batch", 64),
    CENTRE,
    Row("data.crop", "short", "shorter sides above 200 to 128 to 200, a random 128 of it"),
    Row("data.flip", False),
    Row("steps", 158_250, "50 epochs of CelebA"),
    Row("learning_rate", 2e-4),
    Row("betas", (0.5, 0.999)),
    Row("overlap", 10.0),
    Row("features", 1.0),
    Row("adversarial", 0.1),
    Row("critic", 0.1),
)
STRUCTURAL_JOINT = changed(STRUCTURAL, Row("steps", 31_650, "10 epochs"), Row("learning_rate", 2e-5))
ENCODER: Table = (
    Row("data.size", 128),
    Row("data.batch", 64),
    CENTRE,
    Row("data.crop", "short"),
    Row("data.crop_scale", 350 / 128, "shorter side 350, a random 128 of it"),
    Row("data.flip", True),
    Row("steps", 116_000, "500 epochs of Paris StreetView"),
    Row("learning_rate", 2e-3),
    Row("critic_learning_rate", 2e-4),
    Row("betas", (0.5, 0.999)),
    Row("reconstruction", 0.999),
    Row("adversarial", 0.001),
    Row("overlap", 10.0),
)
BLOTS = Row("data.masks", "blots", "smoothed noise over 20 to 30 %; one for a batch, here one a picture")
WHOLE = Row("judged", "whole", "", "the paper's hole; the code's whole is the preset with -code")
ANY = changed(ENCODER, BLOTS, WHOLE)
ANY_64 = changed(ANY, Row("data.size", 64), Row("data.crop_scale", 350 / 64, "shorter side 350"))
PORT = changed(
    ENCODER,
    Row("data.crop", "centre", "shorter side to 128, the middle 128"),
    Row("data.crop_scale", 1.0),
    Row("data.flip", False),
    Row("steps", 46_400, "200 epochs"),
    Row("learning_rate", 2e-4),
    Row("reconstruction", 0.999**2, "0.999 applied twice"),
)


NAOTO: Table = (
    Row("data.size", 256),
    Row("data.batch", 16),
    Row("data.masks", "random walks", "of 512 x 512 steps, kept as JPEG", "irregular ones, as the paper's"),
    Row("data.crop", "resize"),
    Row("data.flip", False),
    Row("steps", 500_000),
    Row("learning_rate", 2e-4),
    Row("betas", (0.9, 0.999)),
    Row("frozen", "nothing"),
    Row("objective.valid", 1.0),
    Row("objective.hole", 6.0),
    Row("objective.perceptual", 0.05),
    Row("objective.style", 120.0),
    Row("objective.variation", 0.1),
    Row("objective.share", "all", "divided by all values"),
    Row("objective.neighbours", "whole"),
    Row("objective.features", "rgb"),
)
PCONV_MMAGIC = changed(
    NAOTO,
    Row("data.batch", 96, "8 x 12"),
    Row("data.masks", "mmagic"),
    Row("data.crop", "random"),
    Row("data.crop_scale", 1.5, "crops of 384"),
    Row("steps", 800_002),
    Row("objective.share", "region", "hole and known pixels each by their number"),
    Row("objective.neighbours", "hole"),
    Row("objective.features", "bgr"),
)
LAMA: Table = (
    Row("data.size", 256),
    Row("data.batch", 120, "8 GPUs x 15, by the name of its run"),
    Row("data.masks", "wide", "one to six lines, or one to four boxes, evenly"),
    Row("data.crop", "random"),
    Row("data.flip", True),
    Row(
        "data.jitter",
        "brightness and contrast 0.2, hue 5, saturation 30, value 5 of 255, each half of the time; CLAHE",
        why="one small jitter; nor are pictures turned, sheared or bent",
    ),
    Row("steps", 1_000_000, "40 epochs of 25,000"),
    Row("learning_rate", 1e-3),
    Row("critic_learning_rate", 1e-4),
    Row("betas", (0.9, 0.999)),
    Row("clip", 1.0),
    Row("objective.known", 10.0),
    Row("objective.adversarial", 10.0),
    Row("objective.penalty", 0.001),
    Row("objective.matching", 100.0),
    Row("objective.perceptual", 30.0),
)
LAMA_FOURIER = changed(LAMA, Row("data.batch", 30, "in all, by the paper; 10 a GPU in the configuration"))
STATISTICS = Row("frozen", "statistics", "of the encoder's norms")
SLOWER, NORMS = Row("learning_rate", 5e-5), Row("frozen", "norms", "of the encoder, weights too")


def judged(table: Table) -> Table:
    """With the code's own choice of what counts."""
    return changed(table, replace(WHOLE, why=""))


OFFICIAL: Mapping[tuple[str, str], tuple[str, Table]] = {
    ("aot-gan", "aot"): ("researchmm/AOT-GAN-for-Inpainting", AOT),
    ("aot-gan", "aot-code"): ("researchmm/AOT-GAN-for-Inpainting", changed(AOT, *AS_CODED)),
    ("aot-gan", "mmagic"): (
        "mmagic, aot-gan_smpgan_4xb4_places-512x512.py",
        changed(
            AOT,
            *AS_CODED,
            Row("objective.labels", "mmagic", "originals 1, filled pixels 1"),
            Row("data.batch", 16, "4 on each of 4 GPUs", "its released file, 4x12, was trained with 48"),
            Row("data.jitter", 0.5),
            Row("steps", 500_002),
            Row("betas", (0.0, 0.9)),
        ),
    ),
    ("sii-gan", "siigan-code"): ("lazy-cat-y/SII-GAN-for-Image-Inpainting", SII_CODE),
    ("sii-gan", "siigan-code-labels"): (
        "lazy-cat-y/SII-GAN-for-Image-Inpainting",
        changed(SII_CODE, *AS_CODED),
    ),
    ("deepfill-v1", "places2"): ("JiahuiYu/generative_inpainting v1.0.0", V1),
    ("deepfill-v1", "celeba-hq"): ("JiahuiYu/generative_inpainting v1.0.0", changed(V1, Row("data.crop", "resize"))),
    ("deepfill-v1", "daa233"): ("daa233/generative-inpainting-pytorch", V1_DAA233),
    ("deepfill-v1", "paddle"): (
        "JennyVanessa/Paddle-GI",
        changed(
            V1_DAA233,
            Row("data.batch", 32),
            Row("steps", 100_000, "500,000 iterations, every fifth with the generator"),
            Row("clip", 0.1, "the generator's norm, and one norm of both critics"),
        ),
    ),
    ("deepfill-v1", "mmagic-places"): ("mmagic, deepfillv1_8xb2_places-256x256.py", V1_MMAGIC),
    ("deepfill-v1", "mmagic-celeba"): (
        "mmagic, deepfillv1_4xb4_celeba-256x256.py",
        changed(V1_MMAGIC, Row("critic_turns", 2), Row("steps", 750_000, "1,500,003 iterations, every second")),
    ),
    ("deepfill-v2", "places2"): ("JiahuiYu/generative_inpainting", V2),
    ("deepfill-v2", "celeba-hq"): ("JiahuiYu/generative_inpainting", changed(V2, Row("data.crop", "resize"))),
    ("deepfill-v2", "sketch"): (
        "JiahuiYu/generative_inpainting, guided",
        changed(
            V2,
            Row("data.sketch", True, "HED edges above 0.6; here Canny's of the whole picture unless files are given"),
        ),
    ),
    ("deepfill-v2", "nipponjo"): ("nipponjo/deepfillv2-pytorch", V2_NIPPONJO),
    ("deepfill-v2", "ls"): ("nipponjo/deepfillv2-pytorch", changed(V2_NIPPONJO, Row("loss", "ls"))),
    ("deepfill-v2", "mmagic-places"): ("mmagic, deepfillv2_8xb2_places-256x256.py", V2_MMAGIC),
    ("deepfill-v2", "mmagic-celeba"): (
        "mmagic, deepfillv2_8xb2_celeba-256x256.py",
        changed(V2_MMAGIC, Row("steps", 500_003, "its configuration; 20,000 for the released file")),
    ),
    **{
        ("structure-flow", f"{stage}{suffix}"): ("RenYurui/StructureFlow", changed(table, *more))
        for stage, table in (("structure", FLOW), ("texture", TEXTURE), ("joint", JOINT))
        for suffix, more in (("", ()), ("-celeba", (EXAMPLE,)))
    },
    ("structural", "structural"): ("jonzhaocn/structural_inpainting", STRUCTURAL),
    ("structural", "joint"): ("jonzhaocn/structural_inpainting", STRUCTURAL_JOINT),
    ("structural", "joint-relu"): ("jonzhaocn/structural_inpainting", STRUCTURAL_JOINT),
    ("context-encoder", "centre"): ("pathak22/context-encoder", ENCODER),
    ("context-encoder", "port"): ("BoyuanJiang/context_encoder_pytorch", PORT),
    ("context-encoder", "any-128"): ("pathak22/context-encoder", ANY),
    ("context-encoder", "any-64"): ("pathak22/context-encoder", ANY_64),
    ("context-encoder", "any-128-code"): ("pathak22/context-encoder", judged(ANY)),
    ("context-encoder", "any-64-code"): ("pathak22/context-encoder", judged(ANY_64)),
    ("lama", "big-lama"): ("advimman/lama, big-lama", LAMA),
    ("lama", "lama-fourier"): ("advimman/lama, lama-fourier.yaml", LAMA_FOURIER),
    ("lama", "lama-fourier-narrow"): (
        "advimman/lama, thin masks of the paper's ablation",
        changed(LAMA_FOURIER, Row("data.masks", "narrow", "four to thirteen lines, or one box, evenly")),
    ),
    ("partial-conv", "naoto"): ("naoto0804/pytorch-inpainting-with-partial-conv", NAOTO),
    ("partial-conv", "naoto-second"): (
        "naoto0804/pytorch-inpainting-with-partial-conv",
        changed(NAOTO, SLOWER, STATISTICS),
    ),
    ("partial-conv", "mmagic-places"): ("mmagic, pconv stage 1, Places", PCONV_MMAGIC),
    ("partial-conv", "mmagic-places-second"): (
        "mmagic, pconv stage 2, Places",
        changed(PCONV_MMAGIC, SLOWER, NORMS, Row("data.batch", 8, "4 x 2"), Row("steps", 500_000)),
    ),
    ("partial-conv", "mmagic-celeba"): (
        "mmagic, pconv stage 1, CelebA",
        changed(PCONV_MMAGIC, Row("data.batch", 8, "8 x 1")),
    ),
    ("partial-conv", "mmagic-celeba-second"): (
        "mmagic, pconv stage 2, CelebA",
        changed(PCONV_MMAGIC, SLOWER, NORMS, Row("data.batch", 8, "4 x 2"), Row("steps", 300_002)),
    ),
}
"""Training preset -> the publication and its settings."""

TEXT_ONLY = {
    ("sii-gan", "siigan"): "a text without code; what it leaves open is AOT-GAN's",
    **{
        ("partial-conv", name): "the paper without its code; its numbers as recalled, not checked against it"
        for name in ("first", "second", "first-512", "second-512")
    },
    **{
        ("deepfill-v2", name): "the paper's rivals of gated convolution, which no code has; trained as `places2`"
        for name in ("partial", "plain", "partial-wide", "plain-wide")
    },
    ("deepfill-v1", "brief"): "a description without code: Adam 1e-4, batch 48, the paper's discount of 0.99",
}
"""Presets that follow a text, and which."""

BEYOND = """\
Beyond the numbers, on purpose:

- One mask for each picture where a code draws one for a whole batch.
- The official AOT-GAN and SII-GAN clear gradients once for both steps, so that the discriminator also follows a share
  of the generator's loss. Not reproduced.
- Paddle-GI leaves out the critics' turn at a loss of 30 or more and the generator's at 0.5 or more, and reloads at 1.
  Its last run went on from iteration 144,000; fresh networks begin above 0.5 and would never learn. Not reproduced.
- Structural inpainting's code trains every thousandth step twice. Not reproduced.
- The Lua context encoder takes the discriminator's judgement from before its step; ours is fresh, as its port's.
"""

HEAD = """\
# Training presets beside what they are named after

This page is written by `scripts/presets_page.py` from the recipes in `src/retouche/methods`; do not edit it by hand. It
compares numbers and rules of training; that the losses compute what the published formulas do is the business of
`tests/golden` and `tests/unit/test_recipes.py`.

"""


def ours(method: str, preset: str, field: str) -> Any:
    """The value of a field such as "data.size" in a training preset."""
    value: Any = find(method).recipes[preset]
    for name in field.split("."):
        value = getattr(value, name)
    return value


def verdict(row: Row, own: Any) -> str:
    """ "equal", or why not."""
    if own == row.value:
        return "equal"
    return f"deliberate: {row.why}" if row.why else "different"


def shown(value: Any) -> str:
    """A value in a cell."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(shown(one) for one in value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value) or "none"


def lines() -> Iterator[str]:
    """The page."""
    yield HEAD
    yield BEYOND
    for (method, preset), (source, table) in OFFICIAL.items():
        yield f"\n## {method} {preset}\n\n{source}\n\n| setting | published | ours | |\n|---|---|---|---|\n"
        for row in table:
            own = ours(method, preset, row.field)
            said = f"{shown(row.value)} ({row.said})" if row.said else shown(row.value)
            yield f"| `{row.field}` | {said} | {shown(own)} | {verdict(row, own)} |\n"
    yield "\n## Presets of a text\n\n"
    for (method, preset), words in TEXT_ONLY.items():
        yield f"- `{method} {preset}`: {words}\n"


if __name__ == "__main__":
    print("".join(lines()), end="")
