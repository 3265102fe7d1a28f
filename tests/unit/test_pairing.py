"""Which picture goes with which mask and output, and what is refused before anything is filled."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from retouche.apps.batch.pairing import Plan, plan
from retouche.errors import DataError, InputError
from retouche.evaluation.pictures import find_items
from retouche.folders.finding import find
from retouche.folders.pairing import companion


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def pairs(planned: Plan, root: Path) -> dict[str, str | None]:
    return {
        job.image.relative_to(root).as_posix(): None if job.mask is None else job.mask.relative_to(root).as_posix()
        for job in planned.jobs
    }


def outputs(planned: Plan, folder: Path) -> list[str]:
    return [job.output.relative_to(folder).as_posix() for job in planned.jobs]


def test_masks_pair_by_stem_and_by_suffix_and_subfolder(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.jpg", "in/b.png", "in/sub/a.jpg", "m/a.png", "m/b_mask.png", "m/sub/a_mask001.png")
    planned = plan([str(tmp_path / "in")], [str(tmp_path / "m")], str(tmp_path / "out"))
    assert pairs(planned, tmp_path) == {
        "in/a.jpg": "m/a.png",
        "in/b.png": "m/b_mask.png",
        "in/sub/a.jpg": "m/sub/a_mask001.png",
    }
    assert outputs(planned, tmp_path / "out") == ["a.jpg", "b.png", "sub/a.jpg"]
    assert planned.folder == tmp_path / "out"


def test_masks_of_subfolders_may_lie_flat(tmp_path: Path) -> None:
    touch(tmp_path, "in/x/a.jpg", "m/a.png")
    planned = plan([str(tmp_path / "in")], [str(tmp_path / "m")], str(tmp_path / "out"))
    assert pairs(planned, tmp_path) == {"in/x/a.jpg": "m/a.png"}


def test_pictures_and_masks_in_one_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "a_mask.png", "b.jpg", "b_mask.png")
    planned = plan([str(tmp_path)], [str(tmp_path)], str(tmp_path / "out"))
    assert pairs(planned, tmp_path) == {"a.jpg": "a_mask.png", "b.jpg": "b_mask.png"}
    assert planned.remarks


def test_a_picture_is_not_its_own_mask(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png")
    with pytest.raises(InputError, match="2 of 2 pictures have no mask"):
        plan([str(tmp_path)], [str(tmp_path)], str(tmp_path / "out"))


def test_mask_and_output_folders_inside_the_input_are_not_filled(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "masks/a.png", "out/old.png")
    planned = plan([str(tmp_path)], [str(tmp_path / "masks")], str(tmp_path / "out"))
    assert pairs(planned, tmp_path) == {"a.png": "masks/a.png"}


def test_one_mask_for_all_even_from_the_same_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png", "hole.png")
    planned = plan([str(tmp_path)], [str(tmp_path / "hole.png")], str(tmp_path / "out/"))
    assert pairs(planned, tmp_path) == {"a.png": "hole.png", "b.png": "hole.png"}


def test_alpha_is_meant_without_a_mask(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    for words in ([], ["alpha"]):
        assert plan([str(tmp_path / "a.png")], words, str(tmp_path / "o.png")).jobs[0].mask is None


def test_globs_keep_the_path_below_their_fixed_part(tmp_path: Path) -> None:
    touch(tmp_path, "in/x/a.png", "in/y/b.png", "in/y/c.txt", "m.png")
    planned = plan([str(tmp_path / "in/**/*")], [str(tmp_path / "m.png")], str(tmp_path / "out"))
    assert outputs(planned, tmp_path / "out") == ["x/a.png", "y/b.png"]


def test_a_name_with_brackets_is_a_file_first(tmp_path: Path) -> None:
    touch(tmp_path, "a[1].png", "m.png")
    planned = plan([str(tmp_path / "a[1].png")], [str(tmp_path / "m.png")], str(tmp_path / "o.png"))
    assert planned.jobs[0].image.name == "a[1].png" and planned.folder is None


def test_a_list_file_is_read_beside_itself_and_pairs_line_by_line_where_no_name_fits(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.png", "in/b.png", "m/1.png", "m/2.png")
    (tmp_path / "in.txt").write_text("# pictures\nin/b.png\nin/a.png\n\n")
    (tmp_path / "m.txt").write_text("m/1.png\nm/2.png\n")
    planned = plan([str(tmp_path / "in.txt")], [str(tmp_path / "m.txt")], str(tmp_path / "out"))
    assert pairs(planned, tmp_path) == {"in/b.png": "m/1.png", "in/a.png": "m/2.png"}
    assert outputs(planned, tmp_path / "out") == ["in/b.png", "in/a.png"]


def test_several_words_as_a_shell_expands_them(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.png", "in/s/b.png", "m.png")
    words = [str(tmp_path / "in/a.png"), str(tmp_path / "in/s/b.png")]
    planned = plan(words, [str(tmp_path / "m.png")], str(tmp_path / "out"))
    assert outputs(planned, tmp_path / "out") == ["a.png", "s/b.png"]


def test_output_is_a_folder_or_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "m.png")
    (tmp_path / "there.png").mkdir()
    image, mask = [str(tmp_path / "a.png")], [str(tmp_path / "m.png")]
    for given, written in (
        ("o.png", "o.png"),
        ("new/", "new/a.png"),
        ("there.png", "there.png/a.png"),
        ("bare", "bare/a.png"),
    ):
        job = plan(image, mask, f"{tmp_path}/{given}").jobs[0]
        assert job.output == tmp_path / written


def test_guides_pair_and_may_be_missing_for_some(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.png", "in/b.png", "m.png", "s/a_sketch.png")
    planned = plan([str(tmp_path / "in")], [str(tmp_path / "m.png")], str(tmp_path / "out"), sketch=str(tmp_path / "s"))
    assert [job.sketch and job.sketch.name for job in planned.jobs] == ["a_sketch.png", None]
    assert any("1 of 2" in text for text in planned.remarks)


def test_kinds_that_are_not_read_are_left_out_with_a_remark(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.png", "in/b.gif", "m.png")
    planned = plan([str(tmp_path / "in")], [str(tmp_path / "m.png")], str(tmp_path / "out"))
    assert len(planned.jobs) == 1 and "b.gif" in planned.remarks[0]


@pytest.mark.parametrize(
    ("image", "mask", "output", "words"),
    [
        ("none.png", "m.png", "o.png", "--image .*none.png is not there"),
        ("a.png", "none.png", "o.png", "--mask .*none.png is not there"),
        ("a.png", "folder", "o.png", "is a folder but --image is one picture"),
        ("empty", "m.png", "out/", "holds no pictures"),
        ("*.nothing", "m.png", "out/", "matches no pictures"),
        ("folder", "m.png", "a.png", "is a file but --image is many"),
        ("a.png", "m.png", "a.png", "is its own input: say --overwrite"),
        ("a.png", "m.png", "m.png", "is an input"),
        ("a.png", "m.png", "old.png", "would be overwritten"),
        ("a.png", "m.png", "o.xyz", "no suffix of a picture"),
        ("a.png", "m.png", "a.png/o.png", "a.png is a file"),
        ("folder", "other", "out/", "1 of 1 pictures have no mask"),
        ("bad.txt", "m.png", "out/", "gone.png .entry 1. is not there"),
    ],
)
def test_refusals_write_nothing(tmp_path: Path, image: str, mask: str, output: str, words: str) -> None:
    touch(tmp_path, "a.png", "m.png", "old.png", "folder/c.png", "other/d.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.txt").write_text("gone.png\n")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=words):
        plan([f"{tmp_path}/{image}"], [f"{tmp_path}/{mask}"], f"{tmp_path}/{output}")
    assert sorted(tmp_path.rglob("*")) == before


def test_overwriting_when_asked(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "m.png")
    image, mask = [str(tmp_path / "a.png")], [str(tmp_path / "m.png")]
    assert plan(image, mask, image[0], overwrite=True).jobs[0].output == tmp_path / "a.png"
    with pytest.raises(InputError, match="is an input"):
        plan(image, mask, mask[0], overwrite=True)


def test_two_pictures_never_share_an_output(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.png", "y/a.png", "m.png")
    (tmp_path / "l.txt").write_text("../x/a.png\n../x/a.png\n")
    (tmp_path / "x" / "l.txt").write_text("a.png\na.png\n")
    assert len(find([str(tmp_path / "x" / "l.txt")], "--image").pictures) == 1  # the same file twice is one
    words = [str(tmp_path / "x"), str(tmp_path / "y")]
    with pytest.raises(InputError, match="both be written"):
        plan(words, [str(tmp_path / "m.png")], str(tmp_path / "out"))


def test_two_masks_for_one_picture_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.png", "m/a.png", "m/a.jpg")
    with pytest.raises(InputError, match="2 masks"):
        plan([str(tmp_path / "in")], [str(tmp_path / "m")], str(tmp_path / "out"))


# Never a guess. "Before" is what the pairing did until it had these rules. --------------------------------------------


def plan_folders(folder: Path, **options: Any) -> Plan:
    return plan([str(folder / "in")], [str(folder / "m")], str(folder / "out"), **options)


def test_another_folders_mask_is_not_taken(tmp_path: Path) -> None:
    """Cameras reuse numbers. Before: day2/DSC0001 was filled with day1's mask, without a word."""
    touch(tmp_path, "in/day1/DSC0001.jpg", "in/day2/DSC0001.jpg", "m/day1/DSC0001.png", "m/day2/DSC0002.png")
    with pytest.raises(InputError, match=r"1 of 2 pictures have no mask .*day2/DSC0001.jpg; .*day1/DSC0001.png is of"):
        plan_folders(tmp_path)
    touch(tmp_path, "m/day2/DSC0001_mask.png")
    assert pairs(plan_folders(tmp_path), tmp_path) == {
        "in/day1/DSC0001.jpg": "m/day1/DSC0001.png",
        "in/day2/DSC0001.jpg": "m/day2/DSC0001_mask.png",
    }


def test_one_flat_mask_is_not_for_two_pictures(tmp_path: Path) -> None:
    """Before: both days' pictures were filled with the one mask."""
    touch(tmp_path, "in/day1/DSC0001.jpg", "in/day2/DSC0001.jpg", "m/DSC0001.png")
    with pytest.raises(InputError, match=r"could be the mask of .*day1/DSC0001.jpg and of .*day2/DSC0001.jpg"):
        plan_folders(tmp_path)


def test_a_flat_mask_that_mirrors_one_picture_is_not_lent_to_another(tmp_path: Path) -> None:
    """Before: in/day1/a.jpg took the mask of in/a.jpg."""
    touch(tmp_path, "in/a.jpg", "in/day1/a.jpg", "m/a.png")
    with pytest.raises(InputError, match=r"1 of 2 pictures have no mask \(first: .*day1/a.jpg"):
        plan_folders(tmp_path)


@pytest.mark.parametrize(
    ("image", "mask", "side"),
    [("in/x/a.jpg", "m/a.png", "the masks lie flat"), ("in/a.jpg", "m/x/a.png", "the pictures lie flat")],
)
def test_crossing_folders_is_said(tmp_path: Path, image: str, mask: str, side: str) -> None:
    """Before: silent."""
    touch(tmp_path, image, mask)
    planned = plan_folders(tmp_path)
    assert pairs(planned, tmp_path) == {image: mask}
    assert [side in text for text in planned.remarks] == [True]


def test_the_name_of_a_flat_folder_speaks_against_another_subfolder(tmp_path: Path) -> None:
    """Before: the pictures of day2 took day1's masks, since one side was flat."""
    touch(tmp_path, "in/day2/DSC1.jpg", "m/day1/DSC1.png", "m/day2/DSC2.png")
    with pytest.raises(InputError, match="1 of 1 pictures have no mask"):
        plan([str(tmp_path / "in" / "day2")], [str(tmp_path / "m")], str(tmp_path / "out"))
    touch(tmp_path, "m/day2/DSC1.png")
    planned = plan([str(tmp_path / "in" / "day2")], [str(tmp_path / "m")], str(tmp_path / "out"))
    assert pairs(planned, tmp_path) == {"in/day2/DSC1.jpg": "m/day2/DSC1.png"}


@pytest.mark.parametrize(
    ("image", "mask"),
    [("caf\u00e9.jpg", "cafe\u0301.png"), ("IMG_1.JPG", "img_1.png"), ("Stra\u00dfe.jpg", "STRASSE_Mask.PNG")],
)
def test_names_compare_after_normalisation_and_without_case(tmp_path: Path, image: str, mask: str) -> None:
    """Before: "have no mask", though a Mac writes the one form and Linux the other."""
    touch(tmp_path, f"in/sub/{image}", f"m/Sub/{mask}")
    assert pairs(plan_folders(tmp_path), tmp_path) == {f"in/sub/{image}": f"m/Sub/{mask}"}


def test_case_pairs_only_where_that_is_unique(tmp_path: Path) -> None:
    touch(tmp_path, "in/A.jpg", "in/a.jpg", "m/a.png", "m/b.png")
    with pytest.raises(InputError, match=r"1 of 2 pictures have no mask .*A\.jpg"):
        plan_folders(tmp_path)
    (tmp_path / "in" / "a.jpg").unlink()
    touch(tmp_path, "m/ä.png", "in/Ä.jpg", "m/B.png", "in/b.jpg")
    paired = pairs(plan_folders(tmp_path), tmp_path)
    assert paired == {"in/A.jpg": "m/a.png", "in/Ä.jpg": "m/ä.png", "in/b.jpg": "m/b.png"}
    touch(tmp_path, "m/Á.png", "m/á.png", "in/A\u0301.jpg")
    assert pairs(plan_folders(tmp_path), tmp_path)["in/A\u0301.jpg"] == "m/Á.png"  # the letters go before the case


def test_a_name_and_a_suffixed_name_are_two_masks(tmp_path: Path) -> None:
    """Before: a.png won, which may well be a copy of the picture."""
    touch(tmp_path, "in/a.jpg", "m/a.png", "m/a_mask.png")
    with pytest.raises(InputError, match="2 masks"):
        plan_folders(tmp_path)
    touch(tmp_path, "in/a_mask.jpg")  # then a_mask.png bears a picture's very name
    assert pairs(plan_folders(tmp_path), tmp_path) == {"in/a.jpg": "m/a.png", "in/a_mask.jpg": "m/a_mask.png"}


def test_masks_without_a_picture_are_counted(tmp_path: Path) -> None:
    """Before: silent."""
    touch(tmp_path, "in/a.jpg", "m/a.png", "m/b.png", "m/c.png")
    assert any("2 masks belong to no picture" in text for text in plan_folders(tmp_path).remarks)


def test_a_line_that_names_a_file_is_a_path_and_comments_are_counted(tmp_path: Path) -> None:
    """Before: `#1.png` was taken as a comment, and the picture left out without a word."""
    touch(tmp_path, "#1.png", " a.png", "b.png", "m.png")
    (tmp_path / "l.txt").write_bytes(b"\xef\xbb\xbf#1.png\r\n# a remark\n a.png\n\n\t# another\n  b.png\n")
    planned = plan([str(tmp_path / "l.txt")], [str(tmp_path / "m.png")], str(tmp_path / "out"))
    assert [job.image.name for job in planned.jobs] == ["#1.png", " a.png", "b.png"]
    assert any("2 lines taken as comment" in text for text in planned.remarks)


def test_a_list_may_name_a_mask_twice(tmp_path: Path) -> None:
    """Before: the second naming was dropped, so that the counts differed and nothing was filled."""
    touch(tmp_path, "a.png", "b.png", "c.png", "1.png", "2.png")
    (tmp_path / "in.txt").write_text("a.png\nb.png\nc.png\n")
    (tmp_path / "m.txt").write_text("1.png\n2.png\n1.png\n")
    planned = plan([str(tmp_path / "in.txt")], [str(tmp_path / "m.txt")], str(tmp_path / "out"))
    assert pairs(planned, tmp_path) == {"a.png": "1.png", "b.png": "2.png", "c.png": "1.png"}
    assert any("line by line" in text for text in planned.remarks)
    (tmp_path / "in.txt").write_text("a.png\nb.png\na.png\n")
    (tmp_path / "m.txt").write_text("1.png\n2.png\n2.png\n")
    with pytest.raises(InputError, match="twice, beside two masks"):
        plan([str(tmp_path / "in.txt")], [str(tmp_path / "m.txt")], str(tmp_path / "out"))


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of another kind")
def test_linked_folders_are_followed_once_and_all_left_out_is_counted(tmp_path: Path) -> None:
    """Before: linked folders, dangling links and pipes were passed over in silence."""
    touch(tmp_path, "far/c.png", "in/a.png", "in/sub/b.png", "in/x.gif", "in/notes.txt", "in/.hidden.png", "m.png")
    (tmp_path / "in" / "far").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "sub" / "again").symlink_to(tmp_path / "in" / "sub")
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "in" / "pipe.png")
    for word in (str(tmp_path / "in"), str(tmp_path / "in" / "**" / "*.png")):
        planned = plan([word], [str(tmp_path / "m.png")], str(tmp_path / "out"))
        assert outputs(planned, tmp_path / "out") == ["a.png", "far/c.png", "sub/b.png"]
        (said,) = [text for text in planned.remarks if "left out" in text]
        assert "1 dangling link (first: gone.png)" in said and "1 pipe or device (first: pipe.png)" in said
    said = plan([str(tmp_path / "in")], [str(tmp_path / "m.png")], str(tmp_path / "out")).remarks[0]
    for words in ("1 picture of a kind not read (first: x.gif)", "1 other file (first: notes.txt)"):
        assert words in said
    assert "1 hidden entry (first: .hidden.png)" in said and "2 linked folders that are met elsewhere" in said


@pytest.mark.skipif(sys.platform == "win32", reason="links of another kind")
def test_linked_masks_inside_the_input_are_no_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.png", "m/a.png")
    (tmp_path / "in" / "masks").symlink_to(tmp_path / "m")
    assert pairs(plan_folders(tmp_path), tmp_path) == {"in/a.png": "m/a.png"}


def test_every_verb_pairs_by_the_same_rules(tmp_path: Path) -> None:
    """Evaluation and training had pairings of their own."""
    touch(tmp_path, "in/day1/A.jpg", "in/day2/A.jpg", "m/day1/a.png", "m/day1/b.png")
    with pytest.raises(DataError, match=r"1 pictures have no mask \(first: day2/A\)"):
        find_items(tmp_path / "in", str(tmp_path / "m"))
    assert companion(tmp_path / "m", "day1/A.jpg", "sketch") == tmp_path / "m" / "day1" / "a.png"
    with pytest.raises(DataError, match=r"holds no sketch for day2/A\.jpg"):
        companion(tmp_path / "m", "day2/A.jpg", "sketch")
