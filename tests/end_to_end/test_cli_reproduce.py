"""`retouche reproduce`: other data are refused, ours stands beside each published cell, and whose it is is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from retouche.apps.cli import main
from retouche.backbones.inception import FEATURES
from retouche.evaluation import papers, reproduction
from retouche.evaluation.measures import MEASURES, OF_A_SET
from retouche.evaluation.papers import PAPERS, Trial
from retouche.evaluation.protocol import list_sha256
from retouche.evaluation.published import PUBLISHED
from retouche.weights.store import sha256_of

RANDOM = np.random.default_rng(5)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(RANDOM.integers(0, 255, (70, 90, 3), dtype=np.uint8)).save(folder / name)
    return folder


def reproduce(paper: str, photos: Path, report: Path, *more: str) -> int:
    return main(["reproduce", paper, "--model", "mean", "--data", str(photos), "--report", str(report), *more])


def test_other_pictures_are_refused_and_measured_only_when_it_is_said(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce("mmagic-deepfill-v2", photos, tmp_path / "report") == 2
    said = capsys.readouterr().err
    assert "holds 3 pictures, but the paper's table is of 36500" in said and "--anyway" in said
    assert not (tmp_path / "report").exists()
    assert reproduce("mmagic-deepfill-v2", photos, tmp_path / "report", "--anyway") == 0
    out = capsys.readouterr().out
    assert "neither data nor weights are the paper's" in out and "crops and masks are drawn anew" in out
    assert "10d15793" in out
    rows = [line.split() for line in out.splitlines() if line.startswith("DeepFill v2")]
    assert [row[2] for row in rows] == ["places", "celeba"] and "8.635" in rows[0] and "5.411" in rows[1]
    assert rows[1].count("-") == 3  # another test's pictures
    told = json.loads((tmp_path / "report" / "reproduction.json").read_text())
    assert told["pictures"]["same"] is False and told["weights"]["same"] is False
    ours = {cell["metric"]: cell["ours"] for cell in told["cells"] if cell["model"] == "PConv U-Net" and cell["ours"]}
    table = json.loads((tmp_path / "report" / "table.json").read_text())
    row = {row["metric"]: row["value"] for row in table["rows"] if row["bin"] == "all"}
    assert ours["PSNR, dB"] == row["psnr"] and ours["SSIM"] == row["ssim"]
    assert next(value for name, value in ours.items() if "l1" in name) == pytest.approx(100 * row["hole_l1"], abs=1e-4)


def test_cells_by_class_of_hole(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reproduce("structure-flow", photos, tmp_path, "--anyway", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    cells = {(each["bin"], each["metric"]): each for each in told["cells"] if each["model"] == "StructureFlow"}
    lines = [json.loads(line) for line in (tmp_path / "pictures.jsonl").read_text().splitlines()]
    for name, low, high in (("0-20 %", -1, 0.2), ("20-40 %", 0.2, 0.4), ("40-60 %", 0.4, 0.6)):
        values = [line["psnr"] for line in lines if low < line["hole_ratio"] <= high]
        assert len(values) == 6 == cells[name, "PSNR, dB"]["count"]
        assert cells[name, "PSNR, dB"]["ours"] == pytest.approx(np.mean(values), abs=1e-5)
        assert cells[name, "FID"]["ours"] is None and "weights" in cells[name, "FID"]["why"]
    assert not any(each["checked"] for each in cells.values())


def test_figures_of_a_set_by_the_papers_own_classes(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """FID stands beside each class of the paper's table, though ours are half as wide."""

    class Colours(torch.nn.Module):
        kind, origin = "tensorflow-2015", "made up"

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            means = pictures.float().mean((2, 3)) / 255
            return torch.cat([means.sin(), means.cos(), torch.zeros(len(means), FEATURES - 6)], 1)

    monkeypatch.setattr("retouche.evaluation.backbones.inception", lambda weights: Colours())
    weights = tmp_path / "inception.pth"
    weights.touch()
    words = ("--anyway", "--json", "--inception-weights", str(weights))
    assert reproduce("structure-flow", photos, tmp_path / "report", *words) == 0
    told = json.loads(capsys.readouterr().out)
    cells = [each for each in told["cells"] if each["metric"] == "FID" and each["model"] == "StructureFlow"]
    assert [each["bin"] for each in cells] == ["0-20 %", "20-40 %", "40-60 %"]
    assert all(each["ours"] > 0 and each["count"] == 6 and not each["why"] for each in cells)
    assert any("both masks" in text for text in told["unknown"])


def test_without_a_table_and_with_masks_that_cannot_be_drawn(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce("structural", photos, tmp_path) == 0
    assert "no table of it is known" in capsys.readouterr().out
    assert reproduce("lama", photos, tmp_path, "--test", "mat-small", "--anyway") == 2
    assert "give --masks" in capsys.readouterr().err
    assert reproduce("lama", photos, tmp_path, "--test", "wide") == 2
    assert "celeba-hq-wide" in capsys.readouterr().err
    assert reproduce("deepfil", photos, tmp_path) == 2
    assert "deepfill-v1" in capsys.readouterr().err


def test_pictures_are_the_papers_by_number_and_hash(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = list_sha256([(name, sha256_of(photos / name)) for name in ("a.png", "b.png", "c.png")])
    for sha256, code in ((digest, 0), ("0" * 64, 2)):
        paper = replace(PAPERS["structural"], tests=(Trial("all", "three", 3, sha256),))
        monkeypatch.setitem(papers.PAPERS, "structural", paper)
        assert reproduce("structural", photos, tmp_path) == code
        said = capsys.readouterr()
        assert ("pictures: the paper's" in said.out) if code == 0 else ("hashes to" in said.err)


def test_weights_are_known_by_their_hash() -> None:
    paper = PAPERS["mmagic-deepfill-v1"]
    assert reproduction.whose_weights(paper, {"sha256": "c00a0e21" + "0" * 56}).same is True
    assert reproduction.whose_weights(paper, {"sha256": "1" * 64}).same is False
    assert reproduction.whose_weights(PAPERS["deepfill-v1"], {"sha256": "1" * 64}).same is None


def test_every_published_cell_is_answered_by_a_figure_of_ours() -> None:
    keys = {measure.key for measure in (*MEASURES, *OF_A_SET)} | {"lpips"}
    assert set(PUBLISHED) <= set(PAPERS)
    for name, cells in PUBLISHED.items():
        trials = {trial.name for trial in PAPERS[name].tests}
        for cell in cells:
            assert cell.measure in keys and cell.test in trials and cell.source and cell.value, cell
    assert PAPERS["deepfill-v1"].published == () and len(PAPERS["aot-gan"].published) == 36
