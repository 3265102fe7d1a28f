"""Which picture goes with which mask and output, and what is refused before anything is filled."""

from pathlib import Path

import pytest

from retouche.apps.batch.pairing import Plan, find, plan
from retouche.errors import InputError


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
