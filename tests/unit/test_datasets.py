"""Pictures from folders, lists and shards; crops, guides, broken files."""

import io
import tarfile
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from retouche.data.augment import Crop, View, choose, cut, cut_plane, degraded, recoloured
from retouche.data.datasets import Failure, GuideConfig, SampleMaker, TrainingSet, fixed_samples
from retouche.data.mask_makers import parse_masks
from retouche.data.sampler import place
from retouche.data.sketches import edges
from retouche.data.sources import UnreadableError, hold_out, open_source
from retouche.errors import DataError
from retouche.pictures import Picture, encode, open_picture


def picture(number: int, height: int = 20, width: int = 30) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 8 % 256, y * 12 % 256, np.full_like(x, 40 * number)], -1).astype(np.uint8))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "all" / "deep").mkdir(parents=True)
    (tmp_path / "all" / ".cache").mkdir()
    for number, name in enumerate(["b.png", "a.jpg", "deep/c.png", ".cache/hidden.png"]):
        picture(number).save(tmp_path / "all" / name)
    (tmp_path / "all" / "notes.md").write_text("no picture")
    return tmp_path / "all"


def maker(**changes):
    crop = Crop(**{"size": 16, **{k: v for k, v in changes.items() if k in Crop._fields}})
    return SampleMaker(crop, parse_masks("box"), changes.get("guides", GuideConfig()))


def test_folder_tree(folder):
    source = open_source(folder)
    assert source.names == ("a.jpg", "b.png", "deep/c.png")
    assert source.read(2).width == 30
    assert source.subset([1]).names == ("b.png",)


def test_list(folder, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("# mine\nall/deep/c.png\n\nall/b.png\nall/b.png\n")
    source = open_source(listed)
    assert source.names == ("all/b.png", "all/deep/c.png")
    assert source.read(0).height == 20
    listed.write_text("gone.png\n")
    with pytest.raises(DataError, match="none of the 1 files"):
        open_source(listed)


def test_shards_hold_the_same_pictures(folder, tmp_path):
    plain = open_source(folder)
    (tmp_path / "shards").mkdir()
    for number in range(2):
        with tarfile.open(tmp_path / "shards" / f"part-{number}.tar", "w") as tar:
            for i in range(number, 3, 2):
                data = (folder / plain.names[i]).read_bytes()
                suffix = plain.names[i].rpartition(".")[2]
                for name, content in ((f"{i:04d}.{suffix}", data), (f"{i:04d}.json", b"{}")):
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    source = open_source(tmp_path / "shards")
    assert source.names == ("part-0.tar/0000", "part-0.tar/0002", "part-1.tar/0001")
    for mine, theirs in ((0, 0), (1, 2), (2, 1)):
        assert torch.equal(source.read(mine).rgb(), plain.read(theirs).rgb())
    assert open_source(f"{tmp_path}/shards/part-{{0..1}}.tar").names == source.names
    with pytest.raises(DataError, match=r"1 of 3 shards .* are not there"):
        open_source(f"{tmp_path}/shards/part-{{0..2}}.tar")
    (tmp_path / "broken.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(DataError, match="no readable tar"):
        open_source(tmp_path / "broken.tar")


def test_shards_keep_sixteen_bits_and_refuse_foreign_formats(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    icon = io.BytesIO()
    picture(0).save(icon, "GIF")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, content in (("a.png", encode(Picture(deep, "RGB"))), ("b.png", icon.getvalue()), ("c.png", b"RIFF")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    source = open_source(tmp_path / "a.tar")
    read = source.read(0)
    assert read.pixels.dtype == np.uint16 and np.array_equal(read.pixels, deep)
    for broken in (1, 2):
        with pytest.raises(UnreadableError, match=source.names[broken]):
            source.read(broken)


def test_held_out_by_name():
    names = [f"{i}.png" for i in range(1000)]
    kept, held = hold_out(names)
    assert sorted(kept + held) == list(range(1000)) and 8 < len(held) < 35
    fewer = [name for name in names if name != names[kept[0]]]
    assert {fewer[i] for i in hold_out(fewer)[1]} == {names[i] for i in held}
    assert [len(part) for part in hold_out(["a.png", "b.png"])] == [1, 1]
    assert hold_out(["a.png"]) == ([0], [0])


def test_samples_follow_from_their_place(folder):
    source = open_source(folder)
    places = [place(1, number, 3) for number in range(6)]
    one, other = TrainingSet(source, maker(flip=True), 1), TrainingSet(source, maker(flip=True), 1)
    samples: list[Any] = [one[each] for each in places]
    for each, sample in zip(reversed(places), reversed(samples), strict=True):
        again: Any = other[each]
        assert torch.equal(again.image, sample.image) and torch.equal(again.mask, sample.mask)
    assert samples[0].image.shape == (1, 3, 16, 16) and samples[0].mask.shape == (1, 1, 16, 16)
    assert samples[0].image.abs().max() <= 1
    assert len({sample.mask.numpy().tobytes() for sample in samples}) > 3


def test_broken_pictures_are_replaced_and_named(folder):
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:60])
    source = open_source(folder)
    made = TrainingSet(source, maker(), 0)
    samples: list[Any] = [made[place(0, number, 3)] for number in range(6)]
    replaced = [sample for sample in samples if sample.bad]
    assert len(replaced) == 2 and all(sample.bad[0][0] == "b.png" and sample.name != "b.png" for sample in replaced)
    for name in ("a.jpg", "deep/c.png"):
        (folder / name).write_text("no picture")
    made = TrainingSet(source, maker(), 0)
    failed = made[place(0, 0, 3)]
    assert isinstance(failed, Failure) and "none of the 3 pictures" in failed.words


@pytest.mark.parametrize("kind", ["random", "resize", "area", "short"])
@pytest.mark.parametrize("size", [(20, 30), (300, 200), (9, 400), (1, 1)])
def test_crops_lie_inside(kind, size):
    for seed in range(20):
        view = choose(np.random.default_rng(seed), size[0], size[1], Crop(16, kind, flip=True))
        left, top, right, bottom = view.box
        assert 0 <= left < right <= size[1] and 0 <= top < bottom <= size[0]
        if kind in ("random", "short"):
            assert right - left == bottom - top
        if kind == "random":
            assert right - left == min(16, *size)
    assert cut(open_picture(picture(1, *size)), view).shape == (1, 3, 16, 16)


def test_crops_as_their_papers():
    rng = np.random.default_rng(0)
    wide = [choose(rng, 400, 400, Crop(16, "random", scale=1.5)).box for _ in range(5)]
    assert all(right - left == 24 for left, _, right, _ in wide)
    short = [choose(rng, 300, 500, Crop(128, "short")).box for _ in range(200)]
    sides = {right - left for left, _, right, _ in short}  # 128 of 128..200 of 300 pixels
    assert 192 <= min(sides) < 200 and 290 < max(sides) <= 300
    areas = [choose(rng, 100, 100, Crop(16, "area")).box for _ in range(200)]
    shares = [(r - left) * (b - t) / 1e4 for left, t, r, b in areas]
    aspects = [(r - left) / (b - t) for left, t, r, b in areas]
    assert 0.07 < min(shares) < 0.2 and max(shares) > 0.8
    assert 0.72 < min(aspects) < 0.85 and 1.2 < max(aspects) < 1.4


def test_flip_and_colour():
    source = open_picture(picture(2))
    plain = cut(source, View((0, 0, 20, 20), 20))
    assert torch.equal(cut(source, View((0, 0, 20, 20), 20, flip=True)), plain.flip(-1))
    assert torch.equal(plain, source.rgb((0, 0, 20, 20)))
    darker = recoloured(plain, View((0, 0, 20, 20), 20, brightness=0.5))
    assert torch.allclose((darker + 1) / 2, (plain + 1) / 4, atol=1e-6)
    grey = recoloured(plain, View((0, 0, 20, 20), 20, saturation=0.0))
    assert torch.allclose(grey[:, 0], grey[:, 2], atol=1e-6)
    third = recoloured(plain, View((0, 0, 20, 20), 20, hue=1 / 3))
    assert torch.allclose(third, plain.roll(1, 1), atol=1e-5)  # red becomes green, green blue


def test_sixteen_bits_and_grey(tmp_path):
    Image.fromarray((np.arange(400).reshape(20, 20) * 160).astype(np.uint16)).save(tmp_path / "deep.png")
    image = cut(open_picture(tmp_path / "deep.png"), View((0, 0, 20, 20), 16))
    assert image.shape == (1, 3, 16, 16) and torch.equal(image[:, 0], image[:, 2])


def test_sketches_are_thin_lines():
    image = torch.full((1, 3, 64, 64), -0.8)
    image[..., 16:48, 20:50] = 0.8
    lines = edges(image)
    assert lines.shape == (1, 1, 64, 64) and set(lines.unique().tolist()) == {0.0, 1.0}
    assert 90 < lines.sum() < 150  # about the outline, one pixel wide
    assert lines[..., 24:40, 28:42].sum() == 0 and lines[..., :10, :].sum() == 0
    assert edges(torch.zeros(1, 3, 32, 32)).sum() == 0
    assert edges(torch.zeros(1, 3, 2, 2)).shape == (1, 1, 2, 2)


def test_guides_on_the_fly_and_from_files(folder, tmp_path):
    source = open_source(folder)
    guides = GuideConfig(structure="script", sketch=True, local_box=0.5)
    sample: Any = TrainingSet(source, maker(guides=guides), 0)[place(0, 0, 3)]
    assert sample.structure.shape == sample.image.shape and sample.structure.abs().max() <= 1
    assert sample.sketch.shape == sample.mask.shape
    left, top, right, bottom = sample.box[0].tolist()
    assert right - left == bottom - top == 8

    for name in ("structure", "sketch"):
        (tmp_path / name / "deep").mkdir(parents=True)
        for stem in ("a", "b", "deep/c"):
            made = Image.new("RGB", (30, 20), (255, 0, 0)) if name == "structure" else Image.new("L", (30, 20), 255)
            made.save(tmp_path / name / f"{stem}.png")
    ready = GuideConfig("script", tmp_path / "structure", True, tmp_path / "sketch")
    sample = TrainingSet(source, maker(guides=ready), 0)[place(0, 0, 3)]
    assert sample.structure[:, 0].min() == 1 and sample.structure[:, 1:].max() == -1 and sample.sketch.min() == 1
    (tmp_path / "structure" / "b.png").unlink()
    words = [
        failed.words
        for i in range(3)
        if isinstance(failed := TrainingSet(source, maker(guides=ready), 0)[place(0, i, 3)], Failure)
    ]
    assert len(words) == 1 and "holds no structure picture for b.png" in words[0]


def test_planes_keep_thin_strokes():
    plane = torch.zeros(1, 1, 64, 64)
    plane[..., 30, :] = 1
    small = cut_plane(plane, View((0, 0, 64, 64), 16))
    assert small.sum() == 16 and small[..., 7, :].min() == 1


def test_validation_samples_are_fixed(folder):
    source = open_source(folder)
    one, other = (fixed_samples(source, maker(), 0, 2) for _ in range(2))
    assert [sample.name for sample in one] == ["a.jpg", "b.png"]
    assert all(torch.equal(a.mask, b.mask) and torch.equal(a.image, b.image) for a, b in zip(one, other, strict=True))


def test_zoom_is_between_a_share_and_the_whole_of_the_shorter_side():
    sides = []
    for key in range(60):
        view = choose(np.random.default_rng(key), 300, 400, Crop(32, "zoom", 0.25))
        left, top, right, bottom = view.box
        assert right - left == bottom - top and left >= 0 and right <= 400 and top >= 0 and bottom <= 300
        sides.append(right - left)
    assert 75 <= min(sides) < 100 and 250 < max(sides) <= 300
    assert choose(np.random.default_rng(0), 20, 50, Crop(32, "zoom", 0.25)).box[3] == 20


def test_degraded_pictures_stay_themselves():
    image = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64).contiguous()
    changes = []
    for seed in range(12):
        made = degraded(np.random.default_rng(seed), image)
        assert made.shape == image.shape and made.abs().max() <= 1
        assert torch.equal(made, degraded(np.random.default_rng(seed), image))
        changes.append(float((made - image).abs().mean()))
    assert min(changes) > 0 and max(changes) < 0.15


def test_a_share_of_samples_is_degraded():
    plain, noisy = maker(kind="resize"), maker(kind="resize", degrade=0.5)
    opened = open_picture(picture(1, 40, 40))
    differ = [
        not torch.equal(plain.sample("a", opened, key).image, noisy.sample("a", opened, key).image) for key in range(40)
    ]
    assert 8 < sum(differ) < 32


def test_masks_paired_by_name_are_cut_like_their_pictures(tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    hole = np.zeros((40, 60), np.uint8)
    hole[:, :30] = 255
    Image.fromarray(hole).save(masks / "a.png")
    red = np.zeros((40, 60, 3), np.uint8)
    red[:, :30, 0] = 255  # red where the hole is
    paired = SampleMaker(Crop(16, "random", 1.0, flip=True), parse_masks(f"paired:{masks}"))
    seen = set()
    for key in range(12):
        sample = paired.sample("a.jpg", open_picture(Image.fromarray(red)), key)
        assert torch.equal(sample.mask[0, 0] > 0, sample.image[0, 0] > 0)
        seen.add(float(sample.mask.mean()))
    assert len(seen) > 2
    with pytest.raises(DataError, match=r"no mask for b\.jpg"):
        paired.sample("b.jpg", open_picture(Image.fromarray(red)), 0)
    with pytest.raises(DataError):
        parse_masks(f"paired:{tmp_path / 'nothing'}")


def write_photo(path, height=60, width=80):
    """Edges with texture on them."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.where((x - 40) ** 2 + (y - 30) ** 2 < 300, 190, 70)[..., None] + np.array([0, 10, 25])
    noise = np.random.default_rng(0).integers(-25, 26, (height, width, 3))
    Image.fromarray(np.clip(base + noise, 0, 255).astype(np.uint8)).save(path)


@pytest.mark.parametrize("size", [16, 40, 64])
def test_guides_made_while_training_are_those_made_before(tmp_path, size):
    """Structure pictures and sketches of `retouche structure` and `retouche sketch`, to the last bit."""
    from retouche.apps.cli import main

    (tmp_path / "photos").mkdir()
    write_photo(tmp_path / "photos" / "a.png")
    for verb in ("structure", "sketch"):
        assert main([verb, "--image", str(tmp_path / "photos"), "--output", str(tmp_path / verb)]) == 0
    crop = Crop(size=size, flip=True, jitter=0.2)
    made = SampleMaker(crop, parse_masks("box"), GuideConfig("script", None, True, None))
    ready = SampleMaker(
        crop, parse_masks("box"), GuideConfig("script", tmp_path / "structure", True, tmp_path / "sketch")
    )
    source = open_source(tmp_path / "photos")
    for key in range(4):
        one, other = (each.sample("a.png", source.read(0), key) for each in (made, ready))
        assert torch.equal(one.structure, other.structure)
        assert torch.equal(one.sketch, other.sketch)
        assert torch.equal(one.image, other.image)


def test_judged_pictures_are_among_those_that_can_be_read(tmp_path):
    for broken in range(4):  # whichever is the broken one
        folder = tmp_path / str(broken)
        folder.mkdir()
        for number in range(4):
            picture(number).save(folder / f"{number}.png")
        (folder / f"{broken}.png").write_bytes(b"no picture")
        source = open_source(folder)

        def readable(index, source=source, broken=broken):
            return source.names[index] != f"{broken}.png"

        kept, held = hold_out(source.names, readable)
        assert sorted(kept + held) == [0, 1, 2, 3] and len(held) == 1 and held[0] != broken
        assert len(fixed_samples(source.subset(held), maker(), 0, 100)) == 1
        # of several slots, each takes the first that can be read
        assert {one.name for one in fixed_samples(source, maker(), 0, 2)} == {
            f"{pair[0] if pair[0] != broken else pair[1]}.png" for pair in ((0, 1), (2, 3))
        }
    assert hold_out(["a", "b", "c"], lambda index: False)[1] == hold_out(["a", "b", "c"])[1]


def test_lists_of_the_published_codes(folder, tmp_path):
    (tmp_path / "train.flist").write_text("all/deep/c.png\nall/b.png\n")
    assert open_source(tmp_path / "train.flist").names == ("all/b.png", "all/deep/c.png")


def test_the_middle_square_of_the_port():
    """Shorter side to the size, then the middle, whatever the key: rows all, columns 5 to 25 of 30."""
    crop = Crop(size=16, kind="centre")
    assert {choose(np.random.default_rng(seed), 20, 30, crop).box for seed in range(9)} == {(5, 0, 25, 20)}
