"""The fills that need no weights: what they promise for every size, and what each is good at."""

import numpy as np
import pytest
import torch
from torch import Tensor

from retouche.methods import WITHOUT_WEIGHTS, find
from retouche.numerics.laplace import membrane
from retouche.numerics.patchmatch import (
    components,
    describe,
    describe_targets,
    distances,
    least,
    patches_of,
    pick,
    rows_of,
    search_around,
    search_everywhere,
    vote,
)

SIZES = ((1, 1), (1, 2), (7, 5), (1, 400), (300, 1), (16, 16), (33, 64), (90, 71))


def fill_of(name: str):
    fill = find(name).fill
    assert fill is not None
    return fill


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def box_mask(h: int, w: int) -> Tensor:
    """The middle third; nothing at all in a picture of one pixel."""
    mask = torch.zeros(1, 1, h, w)
    mask[..., h // 3 : max(2 * h // 3, h // 3 + 1), w // 3 : max(2 * w // 3, w // 3 + 1)] = h * w > 1
    return mask


def bricks(side: int) -> Tensor:
    """(1, 3, side, side): courses of bricks 16 by 8 with mortar between, every second course shifted by half."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    shifted = x + 8 * (y // 8 % 2)
    mortar = ((y % 8 == 0) | (shifted % 16 == 0)).float()
    return torch.stack([0.3 - 0.1 * mortar, -0.3 + 0.6 * mortar, -0.5 + 0.9 * mortar])[None]


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size_gives_finite_colours_and_never_reads_the_hole(name: str, size: tuple[int, int]) -> None:
    image, mask = noise(1, 3, *size), box_mask(*size)
    first = fill_of(name)(image, mask, 3)
    other = fill_of(name)(torch.where(mask > 0, 0.5, image), mask, 3)
    poisoned = fill_of(name)(torch.where(mask > 0, torch.nan, image), mask, 3)
    assert first.shape == image.shape and first.dtype == image.dtype
    assert first.isfinite().all() and first.abs().max() <= 1.0001
    assert torch.equal(first, other) and torch.equal(first, poisoned)


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
@pytest.mark.parametrize("size", ((7, 5), (1, 300), (40, 64)), ids=str)
def test_one_known_pixel_is_enough(name: str, size: tuple[int, int]) -> None:
    mask = torch.ones(1, 1, *size)
    mask[0, 0, size[0] // 2, 1] = 0
    image = noise(1, 3, *size)
    colour = image[..., size[0] // 2, 1][..., None, None].expand_as(image)
    torch.testing.assert_close(fill_of(name)(image, mask, 0), colour, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_samples_are_filled_one_by_one_and_alike(name: str) -> None:
    images = torch.cat([noise(1, 3, 48, 40), bricks(48)[..., :40]])
    masks = torch.cat([box_mask(48, 40), box_mask(48, 40).flip(3)])
    both = fill_of(name)(images, masks, 7)
    for i in range(2):
        assert torch.equal(both[i : i + 1], fill_of(name)(images[i : i + 1], masks[i : i + 1], 7))
    assert torch.equal(both, fill_of(name)(images, masks, 7))
    shared = fill_of(name)(images, masks[:1], 7)
    assert torch.equal(shared[:1], both[:1]) and shared.shape == both.shape


@pytest.mark.parametrize("name", ["telea", "navier-stokes"])
@pytest.mark.parametrize("size", [(1, 12), (40, 1)], ids=str)
def test_opencv_does_not_read_past_narrow_pictures(name: str, size: tuple[int, int]) -> None:
    """What lay there made other bytes of the same call."""
    for seed in range(12):
        image = noise(1, 3, *size, seed=seed)
        mask = (noise(1, 1, *size, seed=seed + 99) > 0.3).float()
        first = fill_of(name)(image, mask, 0)
        for other in range(4):
            noise(1, 3, *size, seed=other)  # other content where the first one's was
            assert torch.equal(fill_of(name)(image, mask, 0), first)


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
@pytest.mark.parametrize("dtype", (torch.float64, torch.bfloat16), ids=str)
def test_other_precisions(name: str, dtype: torch.dtype) -> None:
    image, mask = bricks(40), box_mask(40, 40)
    filled = fill_of(name)(image.to(dtype), mask.to(dtype), 0)
    assert filled.dtype == dtype and filled.isfinite().all()


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_an_empty_hole_is_no_trouble(name: str) -> None:
    image = noise(1, 3, 20, 30)
    assert fill_of(name)(image, torch.zeros(1, 1, 20, 30), 0).isfinite().all()


def test_mean_by_hand() -> None:
    image = torch.tensor([0.0, 0.5, 1.0, -1.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    mask = torch.tensor([0.0, 0.0, 0.0, 1.0]).view(1, 1, 2, 2)
    assert torch.equal(fill_of("mean")(image, mask, 0), torch.full((1, 3, 2, 2), 0.5))


def direct_solution(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Laplace's equation by a sparse factorisation: values (C, H, W), hole (H, W)."""
    sparse = pytest.importorskip("scipy.sparse")
    linalg = pytest.importorskip("scipy.sparse.linalg")
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(hole.sum())
    matrix = sparse.lil_matrix((hole.sum(), hole.sum()))
    right = np.zeros((hole.sum(), len(values)))
    for y, x in zip(*np.nonzero(hole), strict=True):
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if not (0 <= v < hole.shape[0] and 0 <= u < hole.shape[1]):
                continue  # a mirror: the neighbour is the pixel itself
            matrix[number[y, x], number[y, x]] += 1
            if hole[v, u]:
                matrix[number[y, x], number[v, u]] -= 1
            else:
                right[number[y, x]] += values[:, v, u]
    solution = values.copy()
    solution[:, hole] = linalg.spsolve(matrix.tocsc(), right).reshape(-1, len(values)).T
    return solution


def holes() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    scattered = generator.random((61, 48)) < 0.8
    corner = np.zeros((64, 50), bool)
    corner[30:, 20:] = True
    rim = np.ones((45, 45), bool)
    rim[20:25, 20:25] = False
    lone = np.ones((37, 64), bool)
    lone[5, 60] = lone[30, 2] = False
    stroke = np.abs(np.subtract.outer(np.arange(70), 0.7 * np.arange(90) + 3)) < 3
    line = generator.random((1, 200)) < 0.9
    return {"scattered": scattered, "corner": corner, "rim": rim, "lone": lone, "stroke": stroke, "line": line}


@pytest.mark.parametrize("name", holes())
def test_membrane_is_the_direct_solution(name: str) -> None:
    hole = holes()[name]
    values = noise(1, 3, *hole.shape, seed=2)
    mask = torch.from_numpy(hole)[None, None].float()
    filled = fill_of("harmonic")(values, mask, 0)
    expected = torch.from_numpy(direct_solution(values[0].double().numpy(), hole))[None]
    assert (filled.double() - expected).abs().max() < 1e-3  # an eighth of a grey level
    assert torch.equal(filled[:, :, ~mask[0, 0].bool()], values[:, :, ~mask[0, 0].bool()])


def test_membrane_continues_a_ramp_and_takes_any_number_of_channels() -> None:
    ramp = torch.linspace(-1, 1, 40).expand(1, 5, 30, 40)
    filled = membrane(ramp, box_mask(30, 40))
    torch.testing.assert_close(filled, ramp.clone(), atol=1e-3, rtol=0)


def test_patches_are_sources_or_targets() -> None:
    hole = box_mask(30, 26)[0, 0] > 0
    patches = patches_of(hole, 7)
    assert patches.grid == (24, 20) and len(patches.sources) + len(patches.targets) == 480
    y, x = patches.rows_columns(patches.sources)
    assert not any(hole[v : v + 7, u : u + 7].any() for v, u in zip(y.tolist(), x.tolist(), strict=True))
    assert patches_of(torch.zeros(3, 40, dtype=torch.bool), 7).size == (3, 7)


def test_components_keep_distances_and_targets_are_described_as_the_whole_picture_is() -> None:
    picture, hole = noise(1, 2, 40, 70), torch.zeros(40, 70, dtype=torch.bool)
    hole[5:7, 60:], hole[39, 0] = True, True
    patches = patches_of(hole, 3)
    kernels = components(picture, patches, 18)  # all of them: a rotation
    described = torch.cat(describe(picture, kernels, patches, 2.0), 1)
    a, b = (picture[0, :, v : v + 3, u : u + 3] for v, u in ((0, 0), (15, 16)))
    expected = (a - b).square().sum() + 4 * (15**2 + 16**2) / (38**2 + 68**2)
    difference = described[0] - described[15 * 68 + 16]
    torch.testing.assert_close(difference.square().sum(), expected, atol=1e-4, rtol=1e-4)
    assert bool((described[patches.targets] == torch.inf).any(1).all()), "a target is never found"
    assert bool(described[patches.sources].isfinite().all())
    wanted = torch.cat(describe_targets(picture, kernels, patches, 2.0), 1)
    seen = patches_of(torch.zeros_like(hole), 3)
    whole = torch.cat(describe(picture, kernels, seen, 2.0), 1)
    torch.testing.assert_close(wanted, whole[patches.targets], atol=1e-5, rtol=0)


def test_components_of_many_dimensions_hold_nearly_all_that_the_exact_ones_hold() -> None:
    picture = torch.nn.functional.avg_pool2d(noise(1, 8, 66, 72), 3, 1)
    patches = patches_of(box_mask(64, 70)[0, 0] > 0, 7)
    kernels = components(picture, patches, 24).flatten(1).double()
    rows = rows_of(picture, patches, patches.sources).movedim(3, 1).flatten(1).double()
    torch.testing.assert_close(rows[5], picture[0, :, :7, 5:12].flatten().double())
    rows -= rows.mean(0)
    held = (rows @ kernels.T).square().sum(0)
    torch.testing.assert_close(kernels @ kernels.T, torch.eye(24, dtype=torch.float64), atol=1e-5, rtol=0)
    assert float(held.sum()) > 0.97 * float(torch.linalg.eigvalsh(rows.T @ rows)[-24:].sum())
    assert bool((held[:-1] > 0.9 * held[1:]).all())  # those of the greatest variance first


@pytest.mark.parametrize("shape", [(20, 9), (12, 12)])
def test_votes_and_picks_as_loops_say(shape: tuple[int, int]) -> None:
    picture, hole = noise(1, 2, *shape), torch.zeros(shape, dtype=torch.bool)
    hole[:3, -2:] = True  # in a corner, where some patches would leave the picture
    hole[6, 4] = True
    patches = patches_of(hole, 3)
    random = np.random.default_rng(0)
    match = patches.sources[torch.from_numpy(random.integers(0, len(patches.sources), len(patches.targets)))]
    weights = torch.from_numpy(random.uniform(0.1, 1, len(match))).float()
    total, count = torch.zeros(2, *shape), torch.zeros(shape)
    cheapest, taken = torch.full(shape, torch.inf), torch.zeros(2, *shape)
    places = zip(patches.targets.tolist(), match.tolist(), weights.tolist(), strict=True)
    for target, source, weight in places:
        (y, x), (v, u) = (divmod(corner, patches.grid[1]) for corner in (target, source))
        total[:, y : y + 3, x : x + 3] += weight * picture[0, :, v : v + 3, u : u + 3]
        count[y : y + 3, x : x + 3] += weight
        for down in range(3):
            for right in range(3):
                price = weight * (1 + 0.1 * ((down - 1) ** 2 + (right - 1) ** 2))
                if price < cheapest[y + down, x + right]:
                    cheapest[y + down, x + right] = price
                    taken[:, y + down, x + right] = picture[0, :, v + down, u + right]
    expected = torch.where(hole, total / count.clamp_min(1e-9), picture)
    torch.testing.assert_close(vote(picture, patches, match, weights), expected)
    torch.testing.assert_close(pick(picture, patches, match, weights), torch.where(hole, taken, picture))


def test_patchmatch_comes_close_to_the_exhaustive_search() -> None:
    picture = torch.nn.functional.avg_pool2d(noise(1, 3, 70, 70), 7, 1)
    patches = patches_of(box_mask(64, 64)[0, 0] > 0, 7)
    kernels = components(picture, patches, 24)
    described = describe(picture, kernels, patches, 0.0)
    wanted = describe_targets(picture, kernels, patches, 0.0)
    nearest = search_everywhere(described, wanted, patches)
    exact = distances(described, wanted, nearest)
    pairs = torch.cdist(torch.cat(wanted, 1), torch.cat(described.of(patches.sources), 1))
    torch.testing.assert_close(exact, pairs.amin(1).square(), atol=1e-4, rtol=1e-4)
    start = patches.sources[torch.arange(len(patches.targets)) % len(patches.sources)]
    found = search_around(described, wanted, patches, start, 16, 64, torch.Generator().manual_seed(0))
    assert bool((patches.slot[found] < 0).all())
    reached = distances(described, wanted, found)
    assert (reached >= exact - 1e-4).all()
    assert reached.mean() < 1.15 * exact.mean()
    assert distances(described, wanted, start).mean() > 3 * exact.mean()


def test_votes_and_picks_of_true_copies_restore_the_picture() -> None:
    picture = bricks(80)
    hole = torch.zeros(80, 80, dtype=torch.bool)
    hole[24:36, 24:36] = True
    patches = patches_of(hole, 7)
    match, possible = patches.moved(patches.targets, 0, 32)  # bricks repeat every 16 rows and columns
    assert bool(possible.all())
    blanked = picture.masked_fill(hole, 0)
    weights = torch.linspace(0.1, 1, len(match))
    torch.testing.assert_close(vote(blanked, patches, match, weights)[..., hole], picture[..., hole])
    assert torch.equal(pick(blanked, patches, match, weights)[..., hole], picture[..., hole])


def test_exemplar_continues_bricks_where_the_membrane_is_fog() -> None:
    picture, errors = bricks(128), dict.fromkeys(("exemplar", "harmonic", "mean"), 0.0)
    for top, left in ((42, 40), (30, 42), (50, 40)):  # of one hole alone the error depends on a brick or two
        mask = torch.zeros(1, 1, 128, 128)
        mask[..., top : top + 42, left : left + 40] = 1
        hole = mask[0, 0] > 0
        for name in errors:
            errors[name] += (fill_of(name)(picture, mask, 0) - picture)[..., hole].square().mean().item()
    assert errors["exemplar"] < 0.25 * min(errors["harmonic"], errors["mean"])


@pytest.mark.parametrize("kind", ["box", "strokes"])
def test_exemplar_gives_the_same_bytes_on_any_number_of_threads(kind: str) -> None:
    picture, mask = torch.nn.functional.avg_pool2d(noise(1, 3, 196, 204), 5, 1), box_mask(192, 200)
    if kind == "strokes":
        mask = torch.zeros(1, 1, 192, 200)
        mask[..., 30:42, 10:190] = mask[..., 60:190, 100:109] = 1
    threads = torch.get_num_threads()
    try:
        fills = []
        for number in (1, 3):
            torch.set_num_threads(number)
            fills.append(fill_of("exemplar")(picture, mask, 0))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*fills)


def test_least_is_the_first_of_the_least() -> None:
    values = torch.randint(0, 9, (40, 130), generator=torch.Generator().manual_seed(0)).float()
    assert torch.equal(least(values), values.argmin(1))


def test_exemplar_keeps_the_strength_of_noise() -> None:
    picture = 0.5 * noise(1, 3, 80, 80, seed=9)
    mask = box_mask(80, 80)
    filled = fill_of("exemplar")(picture, mask, 0)[..., mask[0, 0] > 0]
    assert 0.6 < (filled.std() / picture.std()).item() < 1.2


def test_exemplar_depends_on_its_seed_alone() -> None:
    """Large enough for the random search; the host's random state is neither read nor moved."""
    picture = noise(1, 3, 150, 150)
    mask = torch.zeros(1, 1, 150, 150)
    mask[..., 45:105, 45:105] = 1
    torch.manual_seed(1)
    first, state = fill_of("exemplar")(picture, mask, 0), torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, fill_of("exemplar")(picture, mask, 0))
    assert not torch.equal(first, fill_of("exemplar")(picture, mask, 1))
