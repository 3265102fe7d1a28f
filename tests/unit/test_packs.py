"""Evaluation packs and the protocols of papers: repeated bit for bit, refused where they do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evaluated_pictures import hole, save_mask, three_pictures

from retouche.data.mask_makers import parse_masks
from retouche.errors import DataError, InputError
from retouche.evaluation.pack import items_of, pack_of, read_pack, write_pack
from retouche.evaluation.papers import PAPERS
from retouche.evaluation.pictures import Preparation, PreparedItem, find_items, prepare
from retouche.evaluation.published import own_figures, published_lines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return three_pictures(tmp_path)


def test_a_pack_repeats_an_evaluation_and_refuses_other_bits(folder: Path, tmp_path: Path) -> None:
    items, _ = find_items(folder, None)
    preparation = Preparation(size=48)
    samples = [prepare(item, preparation) for item in items]
    done = [(one.item, one.picture_sha256, one.mask_sha256) for one in samples if isinstance(one, PreparedItem)]
    write_pack(tmp_path / "pack.json", "mine", preparation, done)
    pack = read_pack(str(tmp_path / "pack.json"))
    again, how = items_of(pack, None, None, None)
    assert pack.name == "mine" and how == preparation and len(again) == 3
    for one in again:
        assert isinstance(prepare(one, how), PreparedItem)
    moved = folder.rename(tmp_path.parent / f"{tmp_path.name}-moved") / "images"
    pack = read_pack(str(moved.parent / "pack.json"))
    assert len(items_of(pack, moved, str(moved.parent / "masks"), 2)[0]) == 2
    save_mask(moved.parent / "masks" / "0.png", hole(4))
    with pytest.raises(DataError, match="bits differ"):
        prepare(items_of(pack, moved, str(moved.parent / "masks"), None)[0][0], how)
    (moved / "2.png").unlink()
    with pytest.raises(DataError, match="the pack names it"):
        items_of(pack, None, None, None)


def test_packs_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no protocol known here: deepfill-v1"):
        read_pack("deepfil")
    for content in ("{}", "[]", "nonsense", '{"format": "else"}'):
        (tmp_path / "pack.json").write_text(content)
        with pytest.raises(DataError, match="no evaluation pack"):
            read_pack(str(tmp_path / "pack.json"))
    (tmp_path / "pack.json").write_text('{"format": "retouche evaluation pack", "version": 99}')
    with pytest.raises(DataError, match="newer"):
        read_pack(str(tmp_path / "pack.json"))


@pytest.mark.parametrize("name", PAPERS)
def test_papers_draw_masks_and_name_their_unknowns(name: str, folder: Path) -> None:
    pack = read_pack(name)
    items, preparation = items_of(pack, folder / "images", None, None)
    assert preparation.masks == PAPERS[name].masks and pack.unknown
    for spec in PAPERS[name].masks.split(";"):
        assert 0 < parse_masks(spec).draw(7, 128, 128).hole.mean() < 0.95
    assert items[0].mask is None and len(items) == 3 * PAPERS[name].each
    assert all(row.source and row.value for row in pack.published)
    with_files, preparation = items_of(pack, folder / "images", str(folder / "masks"), None)
    assert preparation.masks is None and with_files[0].mask is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [("size", -4), ("size", "big"), ("size", True), ("fit", "stretch"), ("each", 0), ("invert", 1), ("masks", 3),
     ("mask_seed", -1)],
)  # fmt: skip
def test_packs_that_fit_no_evaluation_are_refused(tmp_path: Path, field: str, value: Any) -> None:
    pack = {
        "format": "retouche evaluation pack",
        "version": 1,
        "name": "a",
        "preparation": {"size": 64, "masks": "box", field: value},
        "data": None,
        "masks": None,
        "pictures": [],
    }
    (tmp_path / "pack.json").write_text(json.dumps(pack))
    with pytest.raises(DataError, match=f'pack.json says "{field}": '):
        read_pack(str(tmp_path / "pack.json"))


@pytest.mark.parametrize("name", ["../a.png", "deep/../../a.png", "/a.png", "a\0.png"])
@pytest.mark.parametrize("kind", ["name", "mask"])
def test_packs_stay_in_their_folders(tmp_path: Path, name: str, kind: str) -> None:
    row = {"name": "a.png", "sha256": "0", "mask": None, "mask_sha256": "0", kind: name}
    pack = {"format": "retouche evaluation pack", "version": 1, "name": "a", "preparation": {}, "pictures": [row]}
    (tmp_path / "pack.json").write_text(json.dumps({**pack, "data": "in", "masks": None}))
    with pytest.raises(DataError, match="lies outside its folders"):
        read_pack(str(tmp_path / "pack.json"))


def test_lamas_tests_draw_its_test_sets_at_their_size() -> None:
    """By size and set, as its configurations for 256 and 512 pixels have them; none is more than half hole."""
    drawn = {test.name: pack_of(PAPERS["lama"], test).preparation for test in PAPERS["lama"].tests if not test.files}
    assert {name: (one.size, one.masks) for name, one in drawn.items()} == {
        "places-wide": (512, "lama-wide-512"),
        "places-narrow": (512, "lama-narrow-512"),
        "celeba-hq-wide": (256, "lama-wide"),
        "celeba-hq-narrow": (256, "lama-narrow"),
    }
    for one in drawn.values():
        assert one.masks is not None and one.size is not None
        for key in range(8):
            hole = parse_masks(one.masks).draw(key, one.size, one.size).hole
            assert hole.shape == (one.size, one.size) and 0 < hole.mean() <= 0.5


def test_published_rows_are_short_and_ours_answer() -> None:
    aot = read_pack("aot-gan").published
    assert own_figures(aot) == ("relative_l1", "ssim_7", "hole_l1")
    assert own_figures(read_pack("mmagic-deepfill-v2").published) == ("hole_l1",)
    lines = published_lines(aot)
    assert len(lines) == 12 + 2 and sum("1-10 %" in line for line in lines) == 2
    assert lines[0] == "published: AOT-GAN (paper), 1-10 %: l1 (relative, %) 0.55; PSNR, dB 34.79; SSIM 0.976 [1]"
    assert lines[12].startswith("  [1] ") and max(len(line) for line in lines[:12]) < 120
    assert published_lines(()) == [] and own_figures(()) == ()
