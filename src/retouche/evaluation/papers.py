"""How the papers measured, as far as it is known: a pack for each, its unknowns named.

What they printed is in `published`. All of it belongs to pictures and masks that are not yours: `eval --pack` prints
it beside your rows, `reproduce` asks for the paper's own pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from retouche.evaluation.pictures import Fit
from retouche.evaluation.published import PUBLISHED, Published
from retouche.evaluation.table import ALL, BINS


@dataclass(frozen=True)
class Trial:
    """One of a paper's tests: which pictures, which holes.

    Attributes:
        name: as `reproduce --test` takes it
        title: in words
        pictures: how many; None where it is not known
        sha256: of the list of names and hashes, as `Protocol.pictures_sha256`; None where nobody has published one
        masks: specification of drawn masks; None = the paper's
        size: side in pixels; None = the paper's
        files: what the mask files are, where drawn masks cannot stand for them
    """

    name: str
    title: str
    pictures: int | None = None
    sha256: str | None = None
    masks: str | None = None
    size: int | None = None
    files: str = ""


@dataclass(frozen=True)
class Paper:
    """One published protocol.

    Attributes:
        name: of the pack
        title: paper and data
        size: side in pixels
        masks: specification of our drawn masks that stand for the protocol's, unless --masks gives the files
        unknown: what is not known of the protocol, or differs here
        tests: at least one; the first unless another is asked for
        fit: how pictures come to the size
        each: masks for each picture
        files: published files of the paper's network: name and the beginning of its SHA-256
    """

    name: str
    title: str
    size: int
    masks: str
    unknown: tuple[str, ...]
    tests: tuple[Trial, ...]
    fit: Fit = "crop"
    each: int = 1
    files: tuple[tuple[str, str], ...] = ()

    @property
    def cells(self) -> tuple[Published, ...]:
        """All that is known to be printed of it."""
        return PUBLISHED.get(self.name, ())

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of hole ratios in its table that are not this table's bins but join them."""
        return tuple(dict.fromkeys(cell.bin for cell in self.cells if cell.bin not in (ALL, *BINS)))

    @property
    def published(self) -> tuple[Published, ...]:
        """What of it could be read at its source."""
        return tuple(cell for cell in self.cells if cell.checked)


_LIMITS = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
CLASSES = tuple(f"irregular({low}, {high})" for low, high in pairwise(_LIMITS))
"""Holes of the six classes of the irregular mask set that came with partial convolutions."""
NOT_CHECKED = "its table is known by citation alone: eval leaves it out, reproduce prints it with question marks"
_PLACES365 = 36500
"""Pictures of Places365's validation set: a hundred of each of 365 kinds."""
_MMAGIC_TESTS = (Trial("places", "Places365-val", _PLACES365), Trial("celeba", "CelebA-val, how many not known"))

_PAPERS = (
    Paper(
        "deepfill-v1",
        "Yu et al. 2018 (arXiv 1801.07892): Places2 validation, one box",
        256,
        "box",
        (
            "which validation pictures and how they came to 256x256",
            "where the boxes lay: drawn here as in training, 96 to 128 pixels wide and high",
            "the denominator of the paper's l1, l2 and TV in per cent: here l1 and l2 of values in 0..1",
            "whether the composite or the prediction was scored: here the composite",
            NOT_CHECKED,
        ),
        (Trial("places2", "Places2 validation, how many not known"),),
    ),
    Paper(
        "deepfill-v2",
        "Yu et al. 2019 (arXiv 1806.03589): Places2 validation, free-form strokes",
        256,
        "strokes",
        (
            "which validation pictures and how they came to 256x256",
            "the seed of the strokes: drawn here by the published generator's rules",
            "the denominator of the paper's l1 and l2 in per cent: here of values in 0..1",
            NOT_CHECKED,
        ),
        (
            Trial("free-form", "Places2 validation, strokes, how many not known"),
            Trial("rectangular", "Places2 validation, one box, how many not known", masks="box"),
        ),
    ),
    Paper(
        "aot-gan",
        "Zeng et al. 2021 (arXiv 2104.01431): Places2 validation at 512, irregular masks by hole ratio",
        512,
        "irregular",
        (
            "which validation pictures, and which mask file went with which picture",
            "the irregular mask files of Liu et al. 2018 are given by --masks; without it drawn masks stand for them",
            "theirs truncates to 8 bit where this table rounds; its SSIM is the one with window 7",
        ),
        (Trial("places", "Places2 / Places365 validation, how many not known"),),
        files=(("AOT-GAN_512x512_4x12_places_20220509-6641441b.pth", "6641441b"),),
    ),
    Paper(
        "sii-gan",
        "SII-GAN (github.com/lazy-cat-y/SII-GAN-for-Image-Inpainting): no results are published",
        512,
        "irregular",
        ("data, masks and figures: its repository prints none", "measured here as AOT-GAN, on whose code it is built"),
        (Trial("none", "no pictures are named"),),
    ),
    Paper(
        "structure-flow",
        "Ren et al. 2019 (arXiv 1908.03852): Places2, 10,000 pictures with six masks each, 0-60 % hole",
        256,
        ";".join(CLASSES),
        (
            "which 10,000 pictures, and the pairing with masks",
            "theirs truncates to 8 bit where this table rounds; its SSIM is the one with window 51",
            'its "MAE" is the relative l1 of this table',
            "FID is computed here as the paper's table has its classes, all originals beside all fills of both masks; "
            "theirs leaves out the last incomplete batch of 64, and which Inception weights it took is not known",
            NOT_CHECKED,
        ),
        (Trial("places2", "10,000 pictures of Places2", 10000),),
        fit="squash",
        each=len(CLASSES),
    ),
    Paper(
        "partial-conv",
        "Liu et al. 2018 (arXiv 1804.07723): 512, six classes of irregular masks",
        512,
        ";".join(CLASSES),
        (
            "which pictures, and the pairing with masks",
            "the 12,000 mask files are given by --masks; without it drawn masks of the same six classes stand for them",
            "half of the published masks keep 50 pixels off the border: drawn masks do not look at the border",
            "its table could not be read: none is printed here",
        ),
        (Trial("places2", "Places2, how many not known"),),
        each=len(CLASSES),
        files=(
            ("pconv_256x256_stage2_4x2_places_20200619-1ffed0e8.pth", "1ffed0e8"),
            ("pconv_256x256_stage2_4x2_celeba_20200619-860f8b95.pth", "860f8b95"),
        ),
    ),
    Paper(
        "context-encoder",
        "Pathak et al. 2016 (arXiv 1604.07379): Paris StreetView, the middle of 128, 56 of it unknown",
        128,
        "centre(0.4375)",
        (
            "how test pictures came to 128 pixels: here the shorter side, then the middle",
            "the denominator of its L1 and L2 in per cent: here of values in 0..1, in the hole and whole",
            "the published pictures are for research and not given away here: --data has yours",
            NOT_CHECKED,
        ),
        (Trial("paris", "the 100 test pictures of Paris StreetView", 100),),
    ),
    Paper(
        "structural",
        "Vo et al. 2018 (arXiv 1803.10348): the middle of 128, 56 of it unknown",
        128,
        "centre(0.4375)",
        (
            "which pictures, and how they came to 128 pixels: here the shorter side, then the middle",
            "whether the known ring that is predicted again was scored: here only the hole is filled",
            "its tables could not be read: none is printed here",
        ),
        (Trial("all", "Paris StreetView, ImageNet and LFW, how many not known"),),
    ),
    Paper(
        "lama",
        "Suvorov et al. 2021 (arXiv 2109.07161): Places at 512 and CelebA-HQ at 256; Big-LaMa in MAT's protocol",
        512,
        "lama-wide-512",
        (
            "which pictures; its seeds of masks are not fixed",
            "holes are drawn here on the middle square; there on the whole picture, of which a random square that "
            "shows some of the hole is then cut",
            "theirs brings pictures to size bicubically, here by Lanczos",
            "FID and LPIPS need --inception-weights and --lpips-weights",
            NOT_CHECKED,
        ),
        (
            Trial("places-wide", "Places at 512, wide masks, how many not known"),
            Trial("places-narrow", "Places at 512, narrow masks, how many not known", masks="lama-narrow-512"),
            Trial("places-segmentation", "Places at 512, masks of segments", files="the masks of segments"),
            Trial("celeba-hq-wide", "CelebA-HQ at 256, wide masks", masks="lama-wide", size=256),
            Trial("celeba-hq-narrow", "CelebA-HQ at 256, narrow masks", masks="lama-narrow", size=256),
            Trial("mat-small", "Places at 512, MAT's small masks", _PLACES365, files="MAT's small masks"),
            Trial("mat-large", "Places at 512, MAT's large masks", _PLACES365, files="MAT's large masks"),
        ),
        files=(
            ("best.ckpt (big-lama)", "fccb7adffd53ec0974ee5503c3731c2c2f1e7e07856fd9228cdcc0b46fd5d423"),
            ("big-lama.pt", "344c77bbcb158f17dd143070d1e789f38a66c04202311ae3a258ef66667a9ea9"),
        ),
    ),
    Paper(
        "mmagic-deepfill-v1",
        "mmagic's validation of DeepFill v1: Places365 at 256, one box of at most 128 pixels",
        256,
        "mmagic-box",
        (
            "crops and boxes are drawn anew at each of their runs (crop 384, scaled to 256)",
            "its SSIM is taken for the one with a Gaussian window of 11",
        ),
        _MMAGIC_TESTS,
        files=(
            ("deepfillv1_256x256_8x2_places_20200619-c00a0e21.pth", "c00a0e21"),
            ("deepfillv1_256x256_4x4_celeba_20200619-dd51a855.pth", "dd51a855"),
        ),
    ),
    Paper(
        "mmagic-deepfill-v2",
        "mmagic's validation of DeepFill v2: Places365 at 256, irregular masks of 15 to 65 %",
        256,
        "mmagic",
        (
            "crops and masks are drawn anew at each of their runs",
            "its SSIM is taken for the one with a Gaussian window of 11",
        ),
        _MMAGIC_TESTS,
        files=(
            ("deepfillv2_256x256_8x2_places_20200619-10d15793.pth", "10d15793"),
            ("deepfillv2_256x256_8x2_celeba_20200619-c96e5f12.pth", "c96e5f12"),
            ("pconv_256x256_stage2_4x2_places_20200619-1ffed0e8.pth", "1ffed0e8"),
            ("pconv_256x256_stage2_4x2_celeba_20200619-860f8b95.pth", "860f8b95"),
        ),
    ),
)
PAPERS = {paper.name: paper for paper in _PAPERS}
"""By the name that `--pack` and `reproduce` take."""
