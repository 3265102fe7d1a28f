"""Figures against scikit-image, torchmetrics, SciPy, and values worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy.linalg import sqrtm
from scipy.ndimage import gaussian_filter as scipy_gaussian
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
    total_variation,
)

from retouche import metrics
from retouche.backbones.inception import FEATURES, Inception, graph_names, inception, tensorflow_resize
from retouche.backbones.lpips import LPIPS, WIDTHS, lpips
from retouche.errors import InputError, WeightsError
from retouche.metrics.features import _of_few
from retouche.metrics.filters import gaussian_filter
from retouche.metrics.similarity import ssim_uniform

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]


def pictures() -> list[NDArray[np.uint8]]:
    """Twenty real crops of the pictures that come with scikit-image."""
    sources = [data.astronaut(), data.chelsea(), data.rocket(), data.coffee(), data.hubble_deep_field()]
    crops = []
    for source in sources:
        for top, left in ((0, 0), (40, 90), (100, 30), (90, 200)):
            crops.append(np.ascontiguousarray(source[top : top + 176, left : left + 180, :3]))
    return crops


def filled(truth: NDArray[np.uint8], seed: int) -> Pair:
    """A fill of every kind: noisy, blurred or shifted."""
    random = np.random.default_rng(seed)
    hole = np.zeros(truth.shape[:2], bool)
    hole[20 + seed : 120, 30:100] = True
    hole[130:150, :] = True
    kinds = [
        np.clip(truth + random.normal(0, 4 + 2 * seed, truth.shape), 0, 255),
        np.stack([scipy_gaussian(truth[..., c].astype(float), 3) for c in range(3)], 2),
        np.roll(truth, 7, 1),
    ]
    return np.where(hole[..., None], kinds[seed % 3].round().astype(np.uint8), truth), truth, hole


PAIRS = [filled(truth, seed) for seed, truth in enumerate(pictures())]


def tensors(pair: Pair) -> tuple[torch.Tensor, torch.Tensor]:
    made = [torch.from_numpy(each).permute(2, 0, 1)[None].float() / 255 for each in pair[:2]]
    return made[0], made[1]


def test_psnr_equals_scikit_image() -> None:
    for fill, truth, hole in PAIRS:
        assert metrics.psnr(fill, truth) == pytest.approx(peak_signal_noise_ratio(truth, fill), abs=1e-4)
        inside = peak_signal_noise_ratio(truth[hole], fill[hole])
        assert metrics.psnr(fill, truth, hole) == pytest.approx(inside, abs=1e-4)


def test_ssim_equals_scikit_image_and_torchmetrics() -> None:
    for fill, truth, _ in PAIRS:
        ours = metrics.ssim(fill, truth)
        theirs = structural_similarity(
            truth,
            fill,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=2,
            data_range=255,
        )
        assert ours == pytest.approx(theirs, abs=1e-4)
        _, plane = structural_similarity_index_measure(
            *tensors((fill, truth, _)), data_range=1.0, return_full_image=True
        )
        assert ours == pytest.approx(float(plane[..., 5:-5, 5:-5].mean()), abs=1e-4)


def test_ms_ssim_and_tv_equal_torchmetrics() -> None:
    for pair in PAIRS:
        a, b = tensors(pair)
        theirs = multiscale_structural_similarity_index_measure(a, b, data_range=1.0, normalize="relu")
        assert metrics.ms_ssim(*pair[:2]) == pytest.approx(float(theirs), abs=1e-4)
        assert metrics.total_variation(pair[0]) == pytest.approx(float(total_variation(a)) / pair[0].size, rel=1e-5)


def test_ms_ssim_needs_room() -> None:
    small = pictures()[0][:175, :180]
    assert math.isnan(metrics.ms_ssim(small, small))
    assert metrics.ms_ssim(*(pictures()[0][:176, :176],) * 2) == pytest.approx(1)


@pytest.mark.parametrize("sigma", [1, 2, 4])
@pytest.mark.parametrize("shape", [(40, 57), (5, 3), (1, 30)])
def test_gaussian_filter_equals_scipy(sigma: float, shape: tuple[int, int]) -> None:
    plane = np.random.default_rng(0).random(shape)
    assert np.abs(gaussian_filter(plane, sigma) - scipy_gaussian(plane, sigma)).max() < 1e-12


def test_band_error_equals_its_definition_with_scipy() -> None:
    for fill, truth, hole in PAIRS:
        energies = []
        cells = [
            (slice(y, y + 32), slice(x, x + 32))
            for y in range(0, hole.shape[0], 32)
            for x in range(0, hole.shape[1], 32)
            if hole[y : y + 32, x : x + 32].sum() > 40
        ]
        for picture in (fill, truth):
            plane = picture / 255 @ np.array([0.299, 0.587, 0.114])
            blurred = [scipy_gaussian(plane, sigma) if sigma else plane for sigma in (0, 1, 2, 4)]
            bands = [(blurred[i] - blurred[i + 1]) ** 2 for i in range(3)]
            energies.append([[band[cell][hole[cell]].mean() + 2e-6 for cell in cells] for band in bands])
        octaves = np.abs(np.log2(np.array(energies[0]) / np.array(energies[1]))).mean(0) / 2
        expected = np.average(octaves, weights=[hole[cell].sum() for cell in cells])
        assert metrics.band_error(fill, truth, hole) == pytest.approx(expected, abs=1e-9)


def test_band_error_without_enough_hole_is_nan() -> None:
    truth = pictures()[0]
    hole = np.zeros(truth.shape[:2], bool)
    hole[:6, :6] = True
    assert math.isnan(metrics.band_error(truth, truth, hole))
    hole[:8, :8] = True
    assert metrics.band_error(truth, truth, hole) == 0


def test_errors_by_hand() -> None:
    truth = np.zeros((4, 4, 3), np.uint8)
    fill = truth.copy()
    fill[0, 0] = 51  # a fifth
    hole = np.zeros((4, 4), bool)
    hole[0, :2] = True
    assert metrics.l1(fill, truth, hole) == pytest.approx(0.1) and metrics.l1(fill, truth) == pytest.approx(0.2 / 16)
    assert metrics.l2(fill, truth, hole) == pytest.approx(0.02) and metrics.psnr(fill, truth, hole) == pytest.approx(
        16.99, abs=0.01
    )
    assert metrics.relative_l1(fill, truth) == pytest.approx(1)
    assert metrics.total_variation(fill) == pytest.approx(2 * 0.2 / 16)
    assert metrics.l1(fill / 255, truth / 255) == metrics.l1(fill, truth)


def test_psnr_is_capped() -> None:
    truth = pictures()[0]
    assert metrics.psnr(truth, truth) == metrics.PSNR_CAP == 100
    assert math.isnan(metrics.psnr(truth, truth, np.zeros(truth.shape[:2], bool)))


def test_wrong_inputs_are_named() -> None:
    truth = pictures()[0]
    with pytest.raises(InputError, match="one size"):
        metrics.psnr(truth, truth[:-1])
    with pytest.raises(InputError, match="give uint8"):
        metrics.l1(truth.astype(np.uint16), truth.astype(np.uint16))
    with pytest.raises(InputError, match="one size"):
        metrics.band_error(truth, truth, np.zeros((3, 3), bool))
    with pytest.raises(InputError, match="at least 11x11"):
        metrics.ssim(truth[:8], truth[:8])


def test_seam_score_sees_edges_and_not_ramps() -> None:
    y, x = np.indices((96, 96))
    ramp = np.repeat(((x + y) / 190)[..., None], 3, 2)
    noise = np.random.default_rng(0).normal(0, 0.02, ramp.shape)
    hole = np.zeros((96, 96), bool)
    hole[30:60, 30:60] = True
    assert metrics.seam_score(ramp, hole) == pytest.approx(0, abs=1e-9)
    textured = np.clip(ramp + noise, 0, 1)
    assert metrics.seam_score(textured, hole) < 2
    stepped = np.where(hole[..., None], np.clip(textured + 0.2, 0, 1), textured)
    assert 20 < metrics.seam_score(stepped, hole) < 60  # a step of 51 levels
    fog = np.where(hole[..., None], ramp, textured)
    assert metrics.seam_score(fog, hole) > 3
    line = np.zeros((96, 96), bool)
    line[40] = True
    assert metrics.seam_score(textured, line) < 2
    assert math.isnan(metrics.seam_score(ramp, np.ones((96, 96), bool)))


# Features -------------------------------------------------------------------------------------------------------------


def features(count: int, shift: float, seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).normal(size=(12, 12))
    return (random.normal(size=(count, 12)) @ mixing + shift).astype(np.float32)


def test_frechet_distance_equals_an_independent_computation() -> None:
    a, b = features(60, 0.0, 0), features(45, 0.4, 1)
    mean = ((a.mean(0, dtype=np.float64) - b.mean(0, dtype=np.float64)) ** 2).sum()
    spread_a, spread_b = (np.cov(each.astype(np.float64), rowvar=False) for each in (a, b))
    root = sqrtm(spread_a @ spread_b).real
    expected = mean + np.trace(spread_a + spread_b - 2 * root)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_with_fewer_pictures_than_features() -> None:
    a, b = features(5, 0.0, 0), features(7, 0.4, 1)
    spread_a, spread_b = (np.cov(each.astype(np.float64), rowvar=False) for each in (a, b))
    values = np.linalg.eigvals(spread_a @ spread_b).real.clip(min=0)
    mean = ((a.mean(0, dtype=np.float64) - b.mean(0, dtype=np.float64)) ** 2).sum()
    expected = mean + np.trace(spread_a) + np.trace(spread_b) - 2 * np.sqrt(values).sum()
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)


def test_both_ways_to_the_frechet_distance_agree() -> None:
    a, b = features(13, 0.0, 0), features(12, 0.4, 1)  # 13 * 12 pictures are more than 12 * 12 features, 11 * 12 fewer
    assert metrics.frechet_distance(a, b) == pytest.approx(_of_few(a.astype(float), b.astype(float)), rel=1e-9)
    with pytest.raises(InputError, match="at least 2"):
        metrics.frechet_distance(a[:1], b)


def test_kernel_distance_equals_sums_over_pairs() -> None:
    a, b = features(9, 0.0, 0).astype(np.float64), features(9, 0.4, 1).astype(np.float64)

    def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        return float((x @ y / 12 + 1) ** 3)

    n = 9
    inside = sum(kernel(x[i], x[j]) for x in (a, b) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    across = sum(kernel(a[i], b[j]) for i in range(n) for j in range(n)) / n**2
    mean, deviation = metrics.kernel_distance(a, b, subsets=3, size=1000)
    assert mean == pytest.approx(inside - 2 * across, rel=1e-10) and deviation == pytest.approx(0, abs=1e-9)
    assert metrics.kernel_distance(a, b, subsets=5, size=4, seed=1) == metrics.kernel_distance(
        a, b, subsets=5, size=4, seed=1
    )


def randomised(network: torch.nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """Every number of a network by rule, variances positive."""
    random = torch.Generator().manual_seed(seed)
    made = {}
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        values = torch.randn(tensor.shape, generator=random)
        if name.endswith("running_var"):
            values = values.abs() + 0.5
        made[name] = values * 0.05 if tensor.ndim == 4 else values
    return made


def test_inception_reads_both_networks_and_the_graphs_names(tmp_path: Path) -> None:
    own = randomised(Inception(), 0)
    assert set(graph_names().values()) == set(own)
    pictures = torch.randint(0, 256, (1, 3, 80, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))

    save_file({**own, "fc.weight": torch.zeros(1008, 8), "fc.bias": torch.zeros(1008)}, tmp_path / "fid.safetensors")
    network = inception(tmp_path / "fid.safetensors")
    expected = network(pictures)
    assert network.kind == "tensorflow-2015" and expected.shape == (1, FEATURES) and "fid.safetensors" in network.origin

    back = {mine: node for node, mine in graph_names().items()}
    graph = {back[name]: t.permute(2, 3, 1, 0).contiguous() if t.ndim == 4 else t for name, t in own.items()}
    save_file({**graph, "softmax/weights": torch.zeros(2048, 1008)}, tmp_path / "graph.safetensors")
    assert torch.equal(inception(tmp_path / "graph.safetensors")(pictures), expected)

    torch.save({**own, "fc.weight": torch.zeros(1000, 8), "AuxLogits.fc.weight": torch.zeros(3)}, tmp_path / "tv.pth")
    other = inception(tmp_path / "tv.pth")
    assert other.kind == "torchvision" and not torch.allclose(other(pictures), expected)


def test_inception_refuses_what_does_not_fit() -> None:
    own = randomised(Inception(), 0)
    with pytest.raises(WeightsError, match="which network"):
        inception(own)
    del own["Mixed_7c.branch1x1.bn.bias"]
    with pytest.raises(WeightsError, match=r"1 missing \(first: Mixed_7c"):
        inception({**own, "fc.weight": torch.zeros(1008, 8)})


def test_tensorflow_resize_samples_from_the_corner() -> None:
    values = torch.arange(4.0).view(1, 1, 1, 4)
    assert tensorflow_resize(values, 8)[0, 0, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]


@pytest.mark.parametrize("backbone", ["alex", "vgg"])
def test_lpips_equals_its_formula(backbone: str, tmp_path: Path) -> None:
    network = LPIPS("alex" if backbone == "alex" else "vgg")
    own = {name: tensor for name, tensor in randomised(network, 3).items() if name.startswith("features")}
    heads = {
        f"lin{i}.model.1.weight": torch.full((1, width, 1, 1), 0.01 * (i + 1))
        for i, width in enumerate(WIDTHS[backbone])
    }
    save_file({**own, "classifier.6.bias": torch.zeros(2)}, tmp_path / "backbone.safetensors")
    save_file(heads, tmp_path / "heads.safetensors")
    made = lpips(tmp_path / "backbone.safetensors", tmp_path / "heads.safetensors")
    random = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 3, 64, 64, generator=random) * 2 - 1 for _ in range(2))
    got = made(a, b)
    shift, scale = (
        torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1),
        torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1),
    )
    x, y = (a - shift) / scale, (b - shift) / scale
    expected = torch.zeros(2)
    relu = 0
    last_of_block = {"alex": (0, 1, 2, 3, 4), "vgg": (1, 3, 6, 9, 12)}[backbone]
    for layer in made.features:
        x, y = layer(x), layer(y)
        if isinstance(layer, torch.nn.ReLU):
            if relu in last_of_block:
                weight = 0.01 * (last_of_block.index(relu) + 1)
                u, v = (z / (z.norm(dim=1, keepdim=True) + 1e-10) for z in (x, y))
                expected += weight * ((u - v) ** 2).sum(1).mean((1, 2))
            relu += 1
    assert torch.allclose(got, expected, rtol=1e-5) and torch.allclose(made(a, a), torch.zeros(2))
    with pytest.raises(WeightsError, match="heads"):
        lpips(own, {**heads, "lin0.model.1.weight": -heads["lin0.model.1.weight"]})
    with pytest.raises(WeightsError, match="no AlexNet or VGG16"):
        lpips(heads, heads)


@pytest.mark.parametrize("window", [7, 51])
def test_uniform_windows_as_scikit_image(window):
    truth = data.astronaut()[100:190, 60:170]
    random = np.random.default_rng(0)
    filled = np.clip(truth.astype(int) + random.integers(-40, 41, truth.shape), 0, 255).astype(np.uint8)
    theirs = structural_similarity(filled / 255, truth / 255, win_size=window, data_range=1.0, channel_axis=-1)
    assert ssim_uniform(filled, truth, window) == pytest.approx(theirs, abs=1e-10)
    assert ssim_uniform(truth, truth, window) == pytest.approx(1)
    assert np.isnan(ssim_uniform(truth[:5], filled[:5], window))
