"""What an evaluation says of itself: pairing, sizes, hashes, packs, intervals; it holds few pictures at a time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import retouche
import retouche.evaluation.evaluate as evaluation
from retouche.backbones.inception import FEATURES
from retouche.data.mask_makers import parse_masks
from retouche.errors import DataError, InputError
from retouche.evaluation.backbones import Backbones
from retouche.evaluation.evaluate import AHEAD, evaluate, file_name
from retouche.evaluation.evaluated import LoadedModel, Outputs, open_models
from retouche.evaluation.measures import MEASURES, Measure
from retouche.evaluation.pack import items_of, pack_of, read_pack, write_pack
from retouche.evaluation.papers import PAPERS
from retouche.evaluation.pictures import (
    Item,
    Preparation,
    Sample,
    Skipped,
    check_items,
    find_items,
    prepare,
    several,
    sha256_of_hole,
    sized,
    sized_mask,
)
from retouche.evaluation.plots import ticks
from retouche.evaluation.protocol import list_sha256
from retouche.evaluation.published import own_figures, published_lines
from retouche.evaluation.table import BINS, RESAMPLES, Row, as_csv, bin_of, rows_and_differences
from retouche.inference.load import load

CPU = torch.device("cpu")
NOTHING = Backbones(None, None, CPU)


def picture(seed: int, height: int = 60, width: int = 48) -> np.ndarray:
    """Soft random colours."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def hole(seed: int, height: int = 60, width: int = 48) -> np.ndarray:
    made = np.zeros((height, width), bool)
    made[10 + seed : 30 + seed, 8:30] = True
    return made


def save_mask(path: Path, mask: np.ndarray) -> None:
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures with masks, in images/ and masks/."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for seed in range(3):
        Image.fromarray(picture(seed)).save(tmp_path / "images" / f"{seed}.png")
        save_mask(tmp_path / "masks" / f"{seed}.png", hole(seed))
    return tmp_path


# Pairing --------------------------------------------------------------------------------------------------------------


def test_pairs_by_stem_by_suffix_and_in_subfolders(folder: Path) -> None:
    items, spec = find_items(folder, None)
    assert [item.name for item in items] == ["0.png", "1.png", "2.png"] and spec is None
    assert [item.mask.name for item in items if item.mask] == ["0.png", "1.png", "2.png"]
    (folder / "masks" / "1.png").rename(folder / "masks" / "1_mask.png")
    items, _ = find_items(folder / "images", str(folder / "masks"), limit=2)
    assert [item.mask.name for item in items if item.mask] == ["0.png", "1_mask.png"]
    items, _ = find_items(folder / "images", str(folder / "masks" / "0.png"))
    assert {item.mask for item in items} == {folder / "masks" / "0.png"}
    items, spec = find_items(folder / "images", "box:1,strokes:2")
    assert spec == "box:1,strokes:2" and items[0].mask is None


def remove_a_mask(folder: Path) -> None:
    (folder / "masks" / "1.png").unlink()


def add_a_mask(folder: Path) -> None:
    save_mask(folder / "masks" / "7.png", hole(0))


def rename_all(folder: Path) -> None:
    for path in list((folder / "masks").iterdir()):
        path.rename(path.with_stem(f"m{path.stem}"))


def double_a_name(folder: Path) -> None:
    Image.fromarray(picture(5)).save(folder / "images" / "1.jpg")


def double_a_mask(folder: Path) -> None:
    save_mask(folder / "masks" / "1_mask.png", hole(0))


def empty_the_pictures(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.unlink()


def empty_the_masks(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (remove_a_mask, r"3 pictures, 2 masks: 1 pictures have no mask \(first: 1\)"),
        (add_a_mask, r"3 pictures, 4 masks: 1 masks belong to no picture \(first: 7\)"),
        (rename_all, r"3 pictures have no mask \(first: 0\)"),
        (double_a_name, "have one name"),
        (double_a_mask, "two masks"),
        (empty_the_pictures, "holds no pictures"),
        (empty_the_masks, "masks holds no pictures"),
    ],
)
def test_what_does_not_pair_is_named(folder: Path, harm: Callable[[Path], None], words: str) -> None:
    harm(folder)
    with pytest.raises(DataError, match=words):
        find_items(folder, None)


def test_missing_folders_and_makers_are_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        find_items(tmp_path / "nowhere", None)
    with pytest.raises(DataError, match="--masks is missing"):
        find_items(folder / "images", None)
    with pytest.raises(DataError, match="is not there"):
        find_items(folder / "images", "no/such/folder")
    with pytest.raises(InputError, match="no maker"):
        find_items(folder / "images", "cloud:2")
    with pytest.raises(InputError, match="--limit"):
        find_items(folder, None, limit=0)


def checked(folder: Path, **options: bool) -> None:
    check_items(find_items(folder, None)[0], **{"large_holes": False, "invert": False, **options})


def test_sizes_that_differ_are_named(folder: Path) -> None:
    save_mask(folder / "masks" / "1.png", hole(0, 61, 48))
    with pytest.raises(DataError, match=r"1 of 3 masks.*first: 1.png is 48x61, 1.png is 48x60"):
        checked(folder)


def test_inverted_and_empty_masks_are_named(folder: Path) -> None:
    checked(folder)
    for seed in range(3):
        save_mask(folder / "masks" / f"{seed}.png", ~hole(seed))
    with pytest.raises(DataError, match=r"3 of 3 masks.*as if inverted: say --invert-mask"):
        checked(folder)
    checked(folder, large_holes=True)
    checked(folder, invert=True)
    for seed in range(3):
        save_mask(folder / "masks" / f"{seed}.png", hole(seed) & False)
    with pytest.raises(DataError, match="all masks are empty"):
        checked(folder)


# Sizes and hashes -----------------------------------------------------------------------------------------------------


def test_the_middle_square_is_cut_after_lanczos() -> None:
    wide = picture(0, 64, 100)
    got = sized(wide, 32)
    expected = Image.fromarray(wide).resize((50, 32), Image.Resampling.LANCZOS).crop((9, 0, 41, 32))
    assert got.shape == (32, 32, 3) and np.array_equal(got, np.asarray(expected))
    assert sized(wide, None) is wide and sized(wide, 32, "squash").shape == (32, 32, 3)


def test_a_pixel_is_hole_where_a_quarter_of_it_is() -> None:
    mask = np.zeros((8, 8), bool)
    mask[0, 0] = mask[2:4, 2:4] = mask[5, 0:2] = True
    got = sized_mask(mask, 4)
    assert got.tolist() == [
        [True, False, False, False],
        [False, True, False, False],
        [True, False, False, False],
        [False] * 4,
    ]
    assert not sized_mask(mask, 2)[1, 1] and sized_mask(mask, 2)[0, 0]


def test_hashes_are_of_names_files_and_bits(folder: Path) -> None:
    assert sha256_of_hole(hole(0)) != sha256_of_hole(hole(1))
    assert sha256_of_hole(np.zeros((2, 3), bool)) != sha256_of_hole(np.zeros((3, 2), bool))
    assert list_sha256([("a", "1")]) != list_sha256([("b", "1")])
    items, _ = find_items(folder, None)
    first = prepare(items[0], Preparation(size=32))
    assert isinstance(first, Sample) and first.truth.shape == (32, 32, 3) and first.hole.shape == (32, 32)
    broken = Item(0, "0.png", items[0].image, items[0].mask, picture_sha256="0" * 64)
    with pytest.raises(DataError, match="not the picture of the pack"):
        prepare(broken, Preparation())
    with pytest.raises(DataError, match="not the pack's"):
        prepare(Item(0, "0.png", items[0].image, items[0].mask, mask_sha256="0" * 64), Preparation())


def test_drawn_masks_depend_on_seed_and_number_alone(folder: Path) -> None:
    items, spec = find_items(folder / "images", "strokes")
    same = [prepare(items[1], Preparation(size=64, masks=spec, mask_seed=3)) for _ in range(2)]
    other = prepare(items[1], Preparation(size=64, masks=spec, mask_seed=4))
    assert isinstance(same[0], Sample) and isinstance(same[1], Sample) and isinstance(other, Sample)
    assert same[0].mask_sha256 == same[1].mask_sha256 != other.mask_sha256


def test_unusable_pictures_are_skipped_with_a_reason_without_paths(folder: Path) -> None:
    items, _ = find_items(folder, None)
    whole = items[0].image.read_bytes()
    items[0].image.write_bytes(whole[: len(whole) // 2])
    save_mask(folder / "masks" / "1.png", hole(0) & False)
    save_mask(folder / "masks" / "2.png", hole(0) | True)
    found = [prepare(item, Preparation()) for item in items]
    assert all(isinstance(one, Skipped) for one in found)
    reasons = [one.reason for one in found if isinstance(one, Skipped)]
    assert str(folder) not in reasons[0] and reasons[1:] == ["its mask is empty", "its mask leaves nothing known"]


# Table ----------------------------------------------------------------------------------------------------------------


def test_bins_hold_their_upper_limit() -> None:
    ratios = [0.0, 0.009, 0.01, 0.1, 0.1001, 0.2, 0.6, 0.61, 1.0]
    places = [BINS.index(bin_of(ratio)) for ratio in ratios]
    assert places == [0, 0, 1, 1, 2, 2, 6, 7, 7]


def test_means_intervals_and_differences_by_an_independent_bootstrap() -> None:
    random = np.random.default_rng(5)
    values = random.normal(20, 3, (40, 2, 2))
    values[3, :, 1] = np.nan
    ratios = np.linspace(0.02, 0.35, 40)
    measures = (MEASURES[0], MEASURES[2])
    rows, differences = rows_and_differences(ratios, values, ("a", "b"), measures)
    draws = np.random.default_rng(0)
    drawn = np.array([np.nanmean(values[draws.integers(0, 40, 40)], 0) for _ in range(RESAMPLES)])
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    top = [row for row in rows if row.bin == "all"]
    assert [(row.model, row.metric, row.count) for row in top] == [
        ("a", "hole_psnr", 40),
        ("a", "band_error", 39),
        ("b", "hole_psnr", 40),
        ("b", "band_error", 39),
    ]
    for row, m, k in zip(top, (0, 0, 1, 1), (0, 1, 0, 1), strict=True):
        assert row.value == pytest.approx(np.nanmean(values[:, m, k]))
        assert row.interval == pytest.approx((low[m, k], high[m, k]))
    assert {row.bin for row in rows} == {"all", "1-10 %", "10-20 %", "20-30 %", "30-40 %"}
    gap = values[:, 0] - values[:, 1]
    assert differences[0].models == ("a", "b") and differences[0].value == pytest.approx(gap[:, 0].mean())
    draws = np.random.default_rng(0)
    drawn = np.array([gap[draws.integers(0, 40, 40), 0].mean() for _ in range(RESAMPLES)])
    assert differences[0].interval == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))))


def test_perfect_pictures_are_counted_and_nothing_is_said_of_one_picture() -> None:
    rows, _ = rows_and_differences(np.array([0.1]), np.full((1, 1, 1), 100.0), ("a",), MEASURES[:1])
    assert rows[0].perfect == 1 and rows[0].interval is None and rows[0].as_json()["interval"] is None


def test_csv_has_units_and_quotes_names() -> None:
    rows, _ = rows_and_differences(np.array([0.1, 0.2]), np.array([[[1.0]], [[3.0]]]), ('a, "b"',), MEASURES[:1])
    read = list(csv.DictReader(io.StringIO(as_csv(rows, MEASURES))))
    assert read[0]["model"] == 'a, "b"' and read[0]["unit"] == "dB" and read[0]["value"] == "2.0"


def test_ticks_cover_the_range() -> None:
    for low, high in ((0.0, 1.0), (12.3, 12.4), (-3.0, 400.0), (2.0, 2.0)):
        found = ticks(low, high)
        assert found[0] <= low and found[-1] >= high - 1e-9 and len(found) < 12


def test_measures_have_distinct_keys() -> None:
    assert len({measure.key for measure in MEASURES}) == len(MEASURES)
    assert all(isinstance(measure, Measure) and measure.words for measure in MEASURES)


# The run --------------------------------------------------------------------------------------------------------------


def run(folder: Path, into: Path, **options: object) -> dict[str, object]:
    into.mkdir()
    items, _ = find_items(folder, None)
    models = [LoadedModel(name, load(name)) for name in ("harmonic", "mean")]
    evaluate(items, Preparation(size=48), models, into, backbones=NOTHING, **options)  # type: ignore[arg-type]
    return json.loads((into / "table.json").read_text())


def test_the_table_is_the_same_twice_and_with_workers(folder: Path, tmp_path: Path) -> None:
    first = run(folder, tmp_path / "a")
    run(folder, tmp_path / "b", workers=2)
    for name in ("table.json", "table.csv", "pictures.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert str(tmp_path) not in json.dumps(first)
    lines = [json.loads(line) for line in (tmp_path / "a" / "pictures.jsonl").read_text().splitlines()]
    assert [(line["picture"], line["model"]) for line in lines][:3] == [
        ("0.png", "harmonic"),
        ("0.png", "mean"),
        ("1.png", "harmonic"),
    ]
    assert first["protocol"]["dilate"] == first["protocol"]["feather"] == 0  # type: ignore[index]


def test_kept_outputs_give_the_same_figures(folder: Path, tmp_path: Path) -> None:
    first = run(folder, tmp_path / "a", keep=True)
    items, _ = find_items(folder, None)
    models = open_models([f"harmonic={tmp_path / 'a' / 'filled' / 'harmonic'}"], items, CPU, 0, None)
    assert isinstance(models[0], Outputs)
    (tmp_path / "c").mkdir()
    made = evaluate(items, Preparation(size=48), models, tmp_path / "c", backbones=NOTHING)
    ours = [row for row in first["rows"] if row["model"] == "harmonic"]  # type: ignore[union-attr,attr-defined]
    assert [row.as_json() for row in made.rows] == ours and models[0].changed == 0
    assert (tmp_path / "a" / "inputs" / "0.png").is_file() and (tmp_path / "a" / "masks" / "0.png").is_file()


def test_few_pictures_wait_for_their_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, no more than asked for are under way, and they come in order."""
    under_way: list[int] = []
    most = 0

    class Score:
        def __init__(self, number: int) -> None:
            nonlocal most
            self.number = number
            under_way.append(number)
            most = max(most, len(under_way))

        def result(self) -> int:
            under_way.remove(self.number)
            return self.number

    class Judging:
        def jobs(self) -> range:
            return range(1000)

        def run(self, jobs: range) -> Iterator[Score]:
            yield from map(Score, jobs)

    monkeypatch.setattr(evaluation, "Inline", lambda judging: judging)
    monkeypatch.setattr(evaluation, "_ended", lambda judging, outcome: outcome)
    told: list[float] = []
    results = evaluation._in_order(Judging(), 2 * AHEAD, [], told.append)  # type: ignore[arg-type]
    assert next(results) == 0 and len(told) == 2 * AHEAD  # type: ignore[comparison-overlap]
    assert list(results) == list(range(1, 1000)) and most == 2 * AHEAD and told[-1] == 1000


def test_the_network_never_sees_the_hole(folder: Path) -> None:
    truth, mask = picture(0), hole(0)
    other = truth.copy()
    other[mask] = 255 - other[mask]
    evaluated = LoadedModel("harmonic", load("harmonic"))
    item = Item(0, "0.png", folder, None)
    a, b = evaluated.fill(item, truth, mask), evaluated.fill(item, other, mask)
    assert np.array_equal(a, b) and np.array_equal(a[~mask], truth[~mask])


def test_foreign_outputs_are_checked_and_their_known_pixels_put_back(folder: Path, tmp_path: Path) -> None:
    items, _ = find_items(folder, None)
    outputs = tmp_path / "theirs"
    outputs.mkdir()
    with pytest.raises(DataError, match="neither weights nor pictures"):
        open_models([str(outputs)], items, CPU, 0, None)
    for seed in range(2):
        Image.fromarray(picture(9)).save(outputs / f"{seed}.png")
    with pytest.raises(DataError, match=r"1 of 3 pictures have no output.*2.png"):
        open_models([str(outputs)], items, CPU, 0, None)
    Image.fromarray(picture(9, 50, 50)).save(outputs / "2.png")
    (evaluated,) = open_models([f"lama={outputs}"], items, CPU, 0, None)
    assert evaluated.name == "lama"
    filled = evaluated.fill(items[0], picture(0), hole(0))
    assert np.array_equal(filled[~hole(0)], picture(0)[~hole(0)]) and np.array_equal(
        filled[hole(0)], picture(9)[hole(0)]
    )
    assert evaluated.about()["known_pixels_changed"] == 1
    with pytest.raises(DataError, match="50x50 but the evaluation is at 48x60"):
        evaluated.fill(items[2], picture(2), hole(2))


def test_names_in_a_table_are_honest() -> None:
    with pytest.raises(InputError, match="--model zits=FOLDER"):
        open_models(["zits"], [], CPU, 0, None)
    with pytest.raises(InputError, match="would be called"):
        open_models(["mean", "mean"], [], CPU, 0, None)
    assert [evaluated.name for evaluated in open_models(["mean", "grey=mean"], [], CPU, 0, None)] == ["mean", "grey"]
    assert file_name("a/b: c") == "a-b--c"


# Packs ----------------------------------------------------------------------------------------------------------------


def test_a_pack_repeats_an_evaluation_and_refuses_other_bits(folder: Path, tmp_path: Path) -> None:
    items, _ = find_items(folder, None)
    preparation = Preparation(size=48)
    samples = [prepare(item, preparation) for item in items]
    done = [(one.item, one.picture_sha256, one.mask_sha256) for one in samples if isinstance(one, Sample)]
    write_pack(tmp_path / "pack.json", "mine", preparation, done)
    pack = read_pack(str(tmp_path / "pack.json"))
    again, how = items_of(pack, None, None, None)
    assert pack.name == "mine" and how == preparation and len(again) == 3
    for one in again:
        assert isinstance(prepare(one, how), Sample)
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


# Classical baselines --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["telea", "navier-stokes", "fsr"])
def test_classical_fills_fill_the_hole_alone(name: str) -> None:
    pytest.importorskip("cv2", reason="the extra `classical` is not installed")
    smooth = np.repeat(np.linspace(40, 200, 80).round().astype(np.uint8)[None, :, None], 72, 0).repeat(3, 2)
    smooth = np.ascontiguousarray(smooth * np.array([1.0, 0.6, 0.3])).round().astype(np.uint8)
    mask = np.zeros(smooth.shape[:2], bool)
    mask[30:42, 30:44] = True
    blank = np.where(mask[..., None], 0, smooth).astype(np.uint8)
    filled = retouche.load(name)(blank, mask, dilate=0, feather=0)
    assert np.array_equal(filled[~mask], smooth[~mask])
    assert np.abs(filled[mask].astype(int) - smooth[mask]).mean() < 12
    tiny = retouche.load(name)(blank[:5, :7], mask[29:34, 29:36], dilate=0)
    assert tiny.shape == (5, 7, 3)


# Several masks, and figures of sets by bin ---------------------------------------------------------------------------


def test_several_masks_for_each_picture(folder: Path, tmp_path: Path) -> None:
    items, spec = find_items(folder / "images", "box(0.2);box(0.6)")
    assert spec == "box(0.2);box(0.6)"
    again = several(items, 4)
    assert [item.number for item in again] == list(range(12))
    assert [item.label for item in again[:5]] == ["0.png", "0-mask2.png", "0-mask3.png", "0-mask4.png", "1.png"]
    preparation = Preparation(48, "crop", spec, 0, False, 4)
    samples = [prepare(item, preparation) for item in again]
    assert all(isinstance(one, Sample) for one in samples)
    ratios = [float(one.hole.mean()) for one in samples if isinstance(one, Sample)]
    assert max(ratios[::2]) < 0.06 < 0.2 < min(ratios[1::2])  # the two specifications take turns
    assert len({one.mask_sha256 for one in samples if isinstance(one, Sample)}) == 12
    done = [(one.item, one.picture_sha256, one.mask_sha256) for one in samples if isinstance(one, Sample)]
    write_pack(tmp_path / "pack.json", "several", preparation, done)
    repeated, how = items_of(read_pack(str(tmp_path / "pack.json")), None, None, None)
    assert [item.label for item in repeated] == [item.label for item in again] and how == preparation
    for one, item in zip(samples, repeated, strict=True):
        other = prepare(item, how)
        assert isinstance(one, Sample) and isinstance(other, Sample) and np.array_equal(one.hole, other.hole)
    with pytest.raises(InputError, match="give 1 or more"):
        several(items, 0)
    with pytest.raises(InputError, match="give a specification"):
        several(find_items(folder, None)[0], 2)
    drawn, spec = find_items(folder / "images", f"{folder / 'masks'}(flip=xy)")
    assert spec is not None and drawn[0].mask is None  # files drawn from, not paired


def test_masks_of_one_picture_count_as_one_picture() -> None:
    """Four masks of each of ten pictures: intervals by drawing pictures, worked out anew."""
    random = np.random.default_rng(1)
    names = [f"{i // 4}.png" for i in range(40)]
    values = (np.repeat(random.normal(20, 5, 10), 4) + random.normal(0, 0.1, 40))[:, None, None]
    ratios = np.full(40, 0.15)
    (row, same), _ = rows_and_differences(ratios, values, ("a",), MEASURES[:1], names)
    draws = np.random.default_rng(0)
    by_picture = values[:, 0, 0].reshape(10, 4).mean(1)
    drawn = [by_picture[draws.integers(0, 10, 10)].mean() for _ in range(RESAMPLES)]
    assert row.interval == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))))
    assert same.interval == row.interval and row.count == 40
    (alone, _), _ = rows_and_differences(ratios, values, ("a",), MEASURES[:1])
    assert alone.interval is not None and row.interval is not None
    assert row.interval[1] - row.interval[0] > 1.5 * (alone.interval[1] - alone.interval[0])


class Colours(torch.nn.Module):
    """Stands for Inception: a picture's features are its mean colours, many times."""

    kind, origin = "tensorflow-2015", "made up"

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        means = pictures.float().mean((2, 3)) / 255  # (N, 3)
        return torch.cat([means.sin(), means.cos(), (3 * means).sin(), torch.zeros(len(means), FEATURES - 9)], 1)


def test_distances_of_a_bin_are_those_of_the_bin_alone(tmp_path: Path) -> None:
    """Pictures of two bins judged together and apart: the same FID, KID, P-IDS and U-IDS in each bin."""
    random = np.random.default_rng(3)
    truths = [random.integers(0, 256, (8, 8, 3), np.uint8) for _ in range(24)]
    fills = [np.clip(one.astype(int) + random.integers(-30, 60, one.shape), 0, 255).astype(np.uint8) for one in truths]
    ratios = np.array([0.05, 0.25] * 12)

    def rows(chosen: list[int]) -> dict[tuple[str, str], Row]:
        backbones = Backbones(None, None, CPU)
        backbones.inception = Colours()  # type: ignore[assignment]
        for i in chosen:
            backbones.add(truths[i], np.ones((8, 8), bool), [fills[i]])
        found = backbones.rows(["a"], ratios[chosen])
        backbones.close()
        return {(row.bin, row.metric): row for row in found}

    both = rows(list(range(24)))
    assert {name for name, _ in both} == {"all", "1-10 %", "20-30 %"}
    for start, name in ((0, "1-10 %"), (1, "20-30 %")):
        alone = rows(list(range(start, 24, 2)))
        for metric in ("fid", "kid", "p_ids", "u_ids"):
            assert alone["all", metric].value == both[name, metric].value == alone[name, metric].value
            assert both[name, metric].count == 12
        assert both[name, "p_ids"].interval is not None and both[name, "fid"].interval is None
    assert both["all", "fid"].value != both["1-10 %", "fid"].value


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


def test_distances_of_joined_classes_are_those_of_their_pictures_alone() -> None:
    """A paper's class that joins two of ours: figures of all its pictures together, its upper limit included."""
    random = np.random.default_rng(4)
    truths = [random.integers(0, 256, (8, 8, 3), np.uint8) for _ in range(30)]
    fills = [np.clip(one.astype(int) + random.integers(-30, 60, one.shape), 0, 255).astype(np.uint8) for one in truths]
    ratios = np.resize([0.15, 0.2, 0.25, 0.3, 0.4, 0.5], 30)

    def rows(chosen: list[int], classes: tuple[str, ...]) -> dict[tuple[str, str], Row]:
        backbones = Backbones(None, None, CPU)
        backbones.inception = Colours()  # type: ignore[assignment]
        for i in chosen:
            backbones.add(truths[i], np.ones((8, 8), bool), [fills[i]])
        found = backbones.rows(["a"], ratios[chosen], classes)
        backbones.close()
        return {(row.bin, row.metric): row for row in found}

    classes = PAPERS["structure-flow"].classes
    assert classes == ("0-20 %", "20-40 %", "40-60 %")
    all_rows = rows(list(range(30)), classes)
    for name, held in (("0-20 %", (0.15, 0.2)), ("20-40 %", (0.25, 0.3, 0.4)), ("40-60 %", (0.5,))):
        alone = rows([i for i in range(30) if ratios[i] in held], ())
        for metric in ("fid", "kid", "p_ids", "u_ids"):
            assert all_rows[name, metric].value == alone["all", metric].value
            assert all_rows[name, metric].count == 5 * len(held)
    assert all(PAPERS[name].classes == () for name in PAPERS if name != "structure-flow")


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
