"""Every recipe: its losses against formulas written anew, whose weights its gradients reach, and that it learns."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from recipe_formulas import HANDS
from tiny_recipes import DIFFERENT, LEARNERS, TRAINED, batch_of, built, part, tiny, tiny_vgg, updates
from torch import Tensor, nn
from torch.nn import functional as f

from retouche.errors import InputError
from retouche.layers.attention import VARIANTS
from retouche.methods import METHODS, find
from retouche.methods.method import RecipeContext
from retouche.methods.recipe import INITIAL


@pytest.mark.parametrize(("name", "preset"), DIFFERENT)
def test_losses_are_the_formulas(name: str, preset: str) -> None:
    training = tiny(name, preset)
    recipe, networks = built(name, training)
    batches = [batch_of(training, seed) for seed in range(recipe.batches)]
    ours, theirs = updates(recipe, batches), list(HANDS[name](training, networks, batches))
    assert [role for role, _ in ours] == [role for role, _ in theirs]
    for (role, terms), (_, values) in zip(ours, theirs, strict=True):
        assert terms.keys() == values.keys(), role
        for key, value in values.items():
            assert terms[key].shape == (), key
            torch.testing.assert_close(terms[key], torch.as_tensor(value), atol=1e-12, rtol=1e-6, msg=f"{role}/{key}")


# What every recipe keeps


@pytest.mark.parametrize(("name", "preset"), DIFFERENT)
def test_gradients_reach_the_updated_network_alone(name: str, preset: str) -> None:
    """Critics see no graph of the generator; every weight that a role trains gets a gradient in its turn."""
    training = tiny(name, preset)
    recipe, networks = built(name, training, torch.float32)
    for network in networks.values():
        network.train()
    batches = [batch_of(training, seed, torch.float32) for seed in range(recipe.batches)]
    played = set()
    for role, terms in recipe.updates(batches, 0):
        assert role in recipe.networks and all(torch.isfinite(term) for term in terms.values())
        weights = [weight for weight in recipe.networks[role].parameters() if weight.requires_grad]
        others = [
            w
            for other, network in networks.items()
            if network is not recipe.networks[role]
            for w in network.parameters()
        ]
        total = torch.stack(list(terms.values())).sum()
        if role != "generator":  # even an unrestrained backward pass stays within the critic
            total.backward()
            assert all(weight.grad is None for weight in others)
        else:
            total.backward(inputs=weights)
            assert all(weight.grad is None for weight in others)
        assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in weights), role
        assert any(weight.grad.abs().sum() > 0 for weight in weights if weight.grad is not None)
        for weight in weights:
            weight.grad = None
        played.add(role)
    assert played == recipe.networks.keys()


class Recorder:
    """Stands for the sum over two processes: first keeps what each would add, then tells both the sum."""

    def __init__(self) -> None:
        self.rows: list[list[Tensor]] = []
        self.sums: list[Tensor] | None = None

    def begin(self) -> None:
        self.rows.append([])

    def __call__(self, x: Tensor) -> Tensor:
        row = self.rows[-1]
        row.append(x.detach())
        return row[-1] if self.sums is None else self.sums[len(row) - 1]


@pytest.mark.parametrize(("name", "preset"), DIFFERENT)
def test_two_processes_with_halves_are_one_with_all(name: str, preset: str) -> None:
    training = tiny(name, preset)
    recipe, _ = built(name, training)
    batches = [batch_of(training, seed) for seed in range(recipe.batches)]
    whole = updates(recipe, batches)
    total = Recorder()
    recipe, _ = built(name, training, processes=2, total=total)
    halves = [[part(batch, slice(i, i + 1)) for batch in batches] for i in (0, 1)]
    for half in halves:
        total.begin()
        updates(recipe, half)
    total.sums = [a + b for a, b in zip(*total.rows, strict=True)]
    shares = []
    for half in halves:
        total.begin()
        shares.append(updates(recipe, half))
    for (role, terms), (_, one), (_, two) in zip(whole, *shares, strict=True):
        for key, value in terms.items():
            torch.testing.assert_close((one[key] + two[key]) / 2, value, atol=1e-12, rtol=1e-9, msg=f"{role}/{key}")


def test_the_critic_of_lama_meets_the_generator_as_it_has_become() -> None:
    recipe, networks = built("lama", tiny("lama", "big-lama"))
    batch = batch_of(tiny("lama", "big-lama"), 0)
    before = updates(recipe, [batch])[1][1]["logistic"]
    for role, terms in recipe.updates([batch], 0):
        if role == "generator":
            with torch.no_grad():
                for weight in networks["generator"].parameters():
                    weight.add_(0.1)
        else:
            assert not torch.isclose(terms["logistic"], before, rtol=1e-9)


@pytest.mark.parametrize(
    "name", [name for name in METHODS if find(name).recipes and name not in {"partial-conv", "lama"}]
)
def test_the_generator_meets_the_critic_as_it_has_become(name: str) -> None:
    preset = "joint" if name in {"structural", "structure-flow"} else next(iter(find(name).recipes))
    training = tiny(name, preset)
    recipe, _ = built(name, training)
    batches = [batch_of(training, seed) for seed in range(recipe.batches)]
    (before,) = (terms["adversarial"] for role, terms in updates(recipe, batches) if role == "generator")
    for role, terms in recipe.updates(batches, 0):
        if role == "generator":
            assert not torch.isclose(terms["adversarial"], before, rtol=1e-3)
        else:
            with torch.no_grad():
                for weight in recipe.networks[role].parameters():
                    weight.add_(0.05)


@pytest.mark.parametrize(("name", "preset", "steps"), LEARNERS)
def test_one_batch_is_learned(name: str, preset: str, steps: int) -> None:
    """The generator comes closer to the originals, the critics learning more slowly than it."""
    rate = 1e-2 if name in {"aot-gan", "sii-gan"} else 1e-3
    recipe, networks = built(name, replace(tiny(name, preset), learning_rate=rate), torch.float32)
    for network in networks.values():
        network.train()
    batches = [batch_of(tiny(name, preset), 0, torch.float32)] * recipe.batches
    optimizers = {role: recipe.optimizer(role) for role in recipe.networks}
    for role in recipe.networks.keys() - {"generator"}:
        optimizers[role].param_groups[0]["lr"] = 1e-4
    errors = []
    for step in range(steps):
        for role, terms in recipe.updates(batches, step):
            weights = [weight for group in optimizers[role].param_groups for weight in group["params"]]
            optimizers[role].zero_grad()
            torch.stack(list(terms.values())).sum().backward(inputs=weights)
            optimizers[role].step()
        errors.append(sum(term.item() for key, term in terms.items() if key != "adversarial"))
    assert min(errors[-2:]) < 0.98 * errors[0], errors


# Presets


@pytest.mark.parametrize(("name", "preset"), TRAINED)
def test_presets_are_plain_and_belong_to_the_method(name: str, preset: str) -> None:
    training = find(name).recipes[preset]
    assert json.loads(json.dumps(asdict(training))) == json.loads(json.dumps(asdict(replace(training))))
    assert type(training.network) is type(next(iter(find(name).presets.values())))
    assert training.steps > 0 and training.data.batch > 0
    assert training.data.sketch == ("sketch" in find(name).conditioning(training.network))
    assert bool(training.data.structure) == (name in {"structure-flow", "refine"})


def test_published_numbers() -> None:
    """What each publication says of its own training: rate, decays, batch, size."""

    def numbers(name: str, preset: str) -> tuple[Any, ...]:
        t = find(name).recipes[preset]
        return t.learning_rate, t.betas, t.data.batch, t.data.size

    assert numbers("aot-gan", "aot") == (1e-4, (0.5, 0.999), 8, 512)
    assert numbers("aot-gan", "mmagic") == (1e-4, (0.0, 0.9), 48, 512)
    assert numbers("sii-gan", "siigan-code") == (1e-4, (0.5, 0.999), 1, 512)
    assert numbers("deepfill-v1", "places2") == (1e-4, (0.5, 0.9), 16, 256)
    assert numbers("deepfill-v1", "brief") == (1e-4, (0.5, 0.9), 48, 256)
    assert numbers("deepfill-v1", "mmagic-places") == (1e-4, (0.9, 0.999), 16, 256)
    assert numbers("deepfill-v2", "places2") == (1e-4, (0.5, 0.999), 16, 256)
    assert numbers("deepfill-v2", "mmagic-places") == (1e-4, (0.9, 0.999), 16, 256)
    assert numbers("structure-flow", "joint") == (1e-4, (0.0, 0.999), 8, 256)
    assert numbers("structural", "structural") == (2e-4, (0.5, 0.999), 64, 128)
    assert numbers("structural", "joint") == (2e-5, (0.5, 0.999), 64, 128)
    assert numbers("context-encoder", "centre") == (2e-3, (0.5, 0.999), 64, 128)
    assert numbers("partial-conv", "mmagic-places") == (2e-4, (0.9, 0.999), 96, 256)
    assert numbers("partial-conv", "mmagic-celeba-second") == (5e-5, (0.9, 0.999), 8, 256)
    assert numbers("partial-conv", "naoto") == (2e-4, (0.9, 0.999), 16, 256)
    objective = find("partial-conv").recipes["first"].objective
    weights = (objective.valid, objective.hole, objective.perceptual, objective.style, objective.variation)
    assert weights == (1, 6, 0.05, 120, 0.1)
    brief = find("deepfill-v1").recipes["brief"]
    assert (brief.gamma, brief.hole_rule, brief.network.local_size, brief.critic_turns) == (0.99, "nearest", 128, 5)
    assert find("deepfill-v1").recipes["paddle"].clip == 0.1
    joint = find("structure-flow").recipes["joint"]
    assert (joint.reconstruction, joint.correctness, joint.content, joint.style) == (5, 0.25, 0.1, 250)


def test_parameters_with_and_without_gates() -> None:
    """What is said of them in the documents and beside the presets."""
    method = find("deepfill-v2")
    assert method.build is not None
    counts = {"places2": 4_052_478, "partial": 2_026_566, "partial-wide": 4_061_306}
    counts |= {"plain": counts["partial"], "plain-wide": counts["partial-wide"]}
    for preset, count in counts.items():
        with torch.device("meta"):
            network = method.build(method.recipes[preset].network)
        assert sum(weight.numel() for weight in network.parameters()) == count


def test_critics_fit_the_pictures() -> None:
    training = find("deepfill-v1").recipes["brief"]
    small = replace(training, data=replace(training.data, size=64)).for_size()
    assert (small.network.global_size, small.network.local_size) == (64, 32)
    assert training.for_size() == training


@pytest.mark.parametrize(("name", "preset"), [("structural", "joint"), ("context-encoder", "centre")])
def test_networks_of_one_size_say_so(name: str, preset: str) -> None:
    training = find(name).recipes[preset]
    with pytest.raises(InputError, match="cannot be trained at size 64: choose 128"):
        replace(training, data=replace(training.data, size=64)).for_size()


def test_context_encoder_follows_the_size() -> None:
    training = find("context-encoder").recipes["any-128"]
    assert replace(training, data=replace(training.data, size=64)).for_size().network.side == 64


def test_the_joint_stage_refuses_to_start_from_nothing() -> None:
    method = find("structure-flow")
    training = tiny("structure-flow", "joint")
    assert method.build is not None and method.recipe is not None
    generator = method.build(training.network)
    networks = {"generator": generator, **method.critics(training.network)}
    names = {f"generator.{key}" for key in generator.state_dict()}
    only_structure = frozenset(key for key in names if ".structure." in key)
    for started in (frozenset[str](), only_structure, frozenset(names) - only_structure):
        with pytest.raises(InputError, match="both earlier networks"):
            method.recipe(
                training, networks, RecipeContext(lambda *a, **k: tiny_vgg(19, "none", False), started=started)
            )
    method.recipe(
        training, networks, RecipeContext(lambda *a, **k: tiny_vgg(19, "none", False), started=frozenset(names))
    )


def test_the_joint_stage_leaves_the_structure_network_alone() -> None:
    recipe, _ = built("structure-flow", tiny("structure-flow", "joint"))
    generator = recipe.networks["generator"]
    assert not any(w.requires_grad for key, w in generator.named_parameters() if key.startswith("structure."))
    assert all(w.requires_grad for key, w in generator.named_parameters() if key.startswith("texture."))
    trained = {id(w) for group in recipe.optimizer("generator").param_groups for w in group["params"]}
    assert trained == {id(w) for w in generator.parameters() if w.requires_grad}


@pytest.mark.parametrize("preset", ["second", "mmagic-places-second", "naoto-second"])
def test_the_second_stage_of_partial_convolutions_goes_on_from_the_first(preset: str) -> None:
    method, training = find("partial-conv"), tiny("partial-conv", preset)
    assert method.build is not None and method.recipe is not None
    networks: dict[str, nn.Module] = {"generator": method.build(training.network)}
    with pytest.raises(InputError, match="goes on from the first: give --from"):
        method.recipe(training, networks, RecipeContext(lambda *a, **k: tiny_vgg(16, None, False)))
    generator = networks["generator"].train()
    tools = RecipeContext(
        lambda *a, **k: tiny_vgg(16, None, False), started=frozenset({"generator.encoder.0.conv.weight"})
    )
    recipe = method.recipe(training, networks, tools)
    trained = {weight for group in recipe.optimizer("generator").param_groups for weight in group["params"]}
    norms = [layer for layer in generator.modules() if isinstance(layer, nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    list(recipe.updates([batch_of(training, 0, torch.float32)], 0))
    moved = [not torch.equal(one, norm.running_mean) for one, norm in zip(before, norms, strict=True)]
    assert moved == [False, False, True, True]  # the encoder's are frozen, the decoder's are not
    weights = [norm.weight in trained for norm in norms]
    assert weights == [training.frozen == "statistics"] * 2 + [True, True]


def test_no_backbone_is_asked_for_without_a_weight_for_it() -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise InputError("no weights")

    training = tiny("aot-gan", "aot")
    method = find("aot-gan")
    assert method.build is not None and method.recipe is not None
    networks = {"generator": method.build(training.network), **method.critics(training.network)}
    with pytest.raises(InputError):
        method.recipe(training, networks, RecipeContext(refuse))
    plain = replace(training, objective=replace(training.objective, perceptual=0.0, style=0.0))
    recipe = method.recipe(plain, networks, RecipeContext(refuse))
    *_, (_, terms) = recipe.updates([batch_of(plain, 0, torch.float32)], 0)
    assert set(terms) == {"adversarial", "reconstruction"}


def test_local_boxes_are_asked_for() -> None:
    training = tiny("deepfill-v1", "places2")
    recipe, _ = built("deepfill-v1", training)
    batch = replace(batch_of(training, 0), box=None)
    with pytest.raises(InputError, match=r"local_box"):
        next(recipe.updates([batch] * recipe.batches, 0))


def test_batch_statistics_are_taken_apart() -> None:
    """A discriminator with batch normalisation never sees originals and fillings in one batch."""
    training = tiny("context-encoder", "centre")
    recipe, networks = built("context-encoder", training)
    networks["discriminator"].train()
    batch = batch_of(training, 0)
    (_, terms), _ = updates(recipe, [batch])
    with torch.no_grad():
        filled = networks["generator"](batch.image, batch.mask).refined
        both = networks["discriminator"](torch.cat([batch.image, filled]), batch.mask, logits=True)
        mixed = f.softplus(-both[:2]).mean() + f.softplus(both[2:]).mean()
    assert not torch.isclose(terms["binary"], mixed, rtol=1e-4)


@pytest.mark.parametrize("initial", INITIAL)
def test_initial_weights(initial: str) -> None:
    """Kernels have the spread that each code gives them, biases are 0 but for PyTorch's own."""
    for name in ("deepfill-v1", "deepfill-v2"):
        method = find(name)
        config = next(iter(method.presets.values()))
        extra = {} if name == "deepfill-v1" else {"critic_initial": initial}
        config = replace(config, initial=initial, **extra)
        assert method.build is not None
        for network in (method.build(config), *method.critics(config).values()):
            layers: list[Any] = [
                x for x in network.modules() if hasattr(x, "bias") and isinstance(x.bias, nn.Parameter)
            ]
            layer = max(layers, key=lambda x: getattr(x, "weight_orig", x.weight).numel())
            kernel = getattr(layer, "weight_orig", None)
            kernel = (layer.weight if kernel is None else kernel).detach()
            inputs, outputs = kernel[0].numel(), kernel.transpose(0, 1)[0].numel()
            spread = {
                "glorot": (2 / (inputs + outputs)) ** 0.5,
                "normal": 0.02,
                "kaiming": (2 / outputs) ** 0.5,
                "he-in": (2 / inputs) ** 0.5,
                "he-out": (2 / outputs) ** 0.5,
                "torch": (1 / (3 * inputs)) ** 0.5,
            }[initial]
            assert kernel.std().item() == pytest.approx(spread, rel=0.05)
            assert bool(layer.bias.abs().sum() > 0) == (initial == "torch")
    with pytest.raises(InputError, match="no initial weights"):
        find("deepfill-v1").critics(replace(find("deepfill-v1").presets["official"], initial="no"))


def test_recipes_only_name_known_attention() -> None:
    assert {find(n).recipes[p].network.attention for n, p in TRAINED if n.startswith("deepfill")} <= set(VARIANTS)
