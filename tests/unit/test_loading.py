"""From files to networks: recognised, strict, put together from folders; our own format; refusals in words."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from helpers import HERE, about, filled
from published import PUBLISHED
from safetensors import safe_open
from safetensors.torch import load_file as load_safetensors
from safetensors.torch import save_file
from torch import Tensor, nn

from retouche.apps.cli import main
from retouche.errors import InputError, WeightsError
from retouche.methods import METHODS, find
from retouche.methods.catalogue import choose, installed
from retouche.methods.loading import identify, load_file
from retouche.methods.method import Generator, Method, Prediction, Weights, checked
from retouche.weights import store
from retouche.weights.layout import Layout, Part
from retouche.weights.native import config_as_json, config_from_json, save_networks, write_safetensors

# A method small enough to look at: two halves and two critics


@dataclass(frozen=True)
class Depths:
    rates: tuple[int, ...] = (1, 2)
    scale: float = 0.1


@dataclass(frozen=True)
class Network:
    width: int
    halves: tuple[str, ...] = ("stem", "texture")
    depths: Depths = field(default_factory=Depths)
    padding: Literal["same", "zeros"] = "same"
    limit: float | None = None


class Tiny(Generator):
    multiple = smallest = 1

    def __init__(self, config: Network) -> None:
        super().__init__()
        for half in config.halves:
            self.add_module(half, nn.Conv2d(3, config.width, 1))

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        image, mask = checked(self, image, mask)
        return Prediction(refined=self.get_submodule("stem")(image)[:, :3])


def _halves(parts: Any, semantics: str) -> Network:
    tensors = parts.get("generator", {})
    halves = tuple(half for half in ("stem", "texture") if f"{half}.weight" in tensors)
    width = len(tensors[f"{halves[0]}.bias"]) if halves else 4
    return Network(width=width, halves=halves or ("stem",), padding="zeros" if semantics == "port" else "same")


TINY = Method(
    title="Tiny",
    source="here",
    presets={"small": Network(4), "large": Network(8)},
    build=Tiny,
    critics=lambda config: {name: nn.Conv2d(3, 1, 1) for name in ("local", "global")},
    layouts=(
        Layout(
            name="tinylab",
            parts={
                "generator": Part(probe="tiny_stem.weight", prefixes=("", "G."), rename=((r"tiny_(.*)", r"\1"),)),
                "local": Part(probe="weight", prefixes=("localD.",)),
                "global": Part(probe="weight", prefixes=("globalD.",), optional=("bias",)),
            },
            config=_halves,
            ignore=(r"vgg\..*",),
        ),
        Layout(
            name="tinylab-texture",
            parts={"generator": Part(probe="tiny_texture.weight", rename=((r"tiny_(.*)", r"\1"),))},
            config=_halves,
            detects=lambda tensors: "tiny_stem.weight" not in tensors,
        ),
    ),
    weights=(
        Weights("page", "p.pth", "https://drive.google.com/uc?id=1", None, "CC BY-NC 4.0", "faces", "tinylab"),
        Weights("direct", "a.pth", "https://example.invalid/a.pth", "0" * 64, "MIT", "places", "tinylab"),
        Weights("pair", "s.pth", None, None, "MIT", "streets", "tinylab", "linked in its README"),
        Weights("pair", "t.pth", None, None, "MIT", "streets", "tinylab-texture", "linked in its README"),
    ),
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The method is known during these tests."""
    monkeypatch.setitem(METHODS, "tiny", f"{__name__}:TINY")
    yield
    find.cache_clear()


def half(name: str, width: int = 4, seed: int = 0) -> dict[str, Tensor]:
    """A half of the generator under published names."""
    draw = torch.Generator().manual_seed(seed)
    shapes = {"weight": (width, 3, 1, 1), "bias": (width,)}
    return {f"tiny_{name}.{key}": torch.randn(shape, generator=draw) for key, shape in shapes.items()}


def critic(seed: int = 0) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {"weight": torch.randn(1, 3, 1, 1, generator=draw), "bias": torch.randn(1, generator=draw)}


def saved(path: Path, tree: Any) -> Path:
    torch.save(tree, path)
    return path


# Recognition


GOLDEN = {file.golden: file.method for file in PUBLISHED}


def published_shapes(name: str) -> dict[str, Tensor]:
    """A published layout's names, with tensors that have shapes only."""
    parts = about(name)["params"]
    if isinstance(next(iter(parts.values())), list):
        parts = {"": parts}
    flat = {f"{part}.{key}".lstrip("."): shape for part, shapes in parts.items() for key, shape in shapes.items()}
    return {key: torch.empty(shape, device="meta") for key, shape in flat.items()}


@pytest.mark.parametrize("name", GOLDEN)
def test_every_published_layout_is_claimed_by_its_method_only(name: str) -> None:
    assert [method for method, _ in identify(published_shapes(name))] == [GOLDEN[name]]


def test_every_golden_network_is_in_the_list() -> None:
    networks = {path.stem for path in HERE.glob("*.json") if "params" in json.loads(path.read_text())}
    others = {name for name in networks if any(word in name for word in ("losses", "correctness", "gradients"))}
    others |= {name for name in networks if name.startswith("mi-gan") and "mi-gan" not in METHODS}
    assert networks - others <= GOLDEN.keys() | {
        "contextual-attention",
        "partial-conv",
        "structureflow-resample",
        "structureflow-rtv",
        "ffc-spectral",
    }


# Loading


def test_a_foreign_file_becomes_networks_in_eval_mode(tmp_path: Path) -> None:
    tensors = half("stem") | half("texture", seed=1)
    path = saved(tmp_path / "a.pth", {"state_dict": {f"module.{name}": value for name, value in tensors.items()}})
    state = torch.random.get_rng_state()
    loaded = load_file(path)
    assert torch.equal(state, torch.random.get_rng_state()), "the host's random numbers go on as before"
    assert (loaded.method, loaded.layout, loaded.preset, loaded.config) == ("tiny", "tinylab", "small", Network(4))
    assert loaded.generator is not None
    assert not loaded.generator.training
    assert torch.equal(loaded.generator.state_dict()["texture.bias"], tensors["tiny_texture.bias"])
    assert (loaded.critics, loaded.header) == ({}, {})
    assert loaded.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_critics_alone_and_whole_trainers(tmp_path: Path) -> None:
    both = {"localD": critic(), "globalD": {"weight": critic()["weight"]}}
    alone = load_file(saved(tmp_path / "dis.pt", both))
    assert alone.generator is None
    assert alone.critics.keys() == {"local", "global"}
    whole = load_file(saved(tmp_path / "all.p", {"G": half("stem"), "localD": critic(), "vgg": {"a": torch.ones(1)}}))
    assert whole.generator is not None
    assert whole.critics.keys() == {"local"}
    assert not whole.critics["local"].training
    assert whole.config.halves == ("stem",)


def test_half_precision_files_fill_float32_networks(tmp_path: Path) -> None:
    loaded = load_file(saved(tmp_path / "a.pth", {name: value.half() for name, value in half("stem").items()}))
    assert loaded.generator is not None
    assert {tensor.dtype for tensor in loaded.generator.state_dict().values()} == {torch.float32}


def test_semantics_reach_the_layout(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", half("stem"))
    assert load_file(path).config.padding == "same"
    assert load_file(path, semantics="port").config.padding == "zeros"
    with pytest.raises(InputError, match='semantics is "tf": give one of original, port'):
        load_file(path, semantics="tf")


def test_another_methods_file_is_named_as_what_it_is(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", half("stem"))
    assert load_file(path, method="tiny").method == "tiny"
    with pytest.raises(WeightsError, match=r"a.pth holds tiny \(tinylab\), not deepfill-v2: give it as tiny"):
        load_file(path, method="deepfill-v2")


def test_everything_that_does_not_fit_is_said_at_once(tmp_path: Path) -> None:
    tensors = half("stem")
    del tensors["tiny_stem.bias"]
    tree: dict[str, Any] = {
        **tensors,
        "tiny_stem.extra": torch.ones(1),
        "localD": {"weight": torch.ones(2, 3, 1, 1), "bias": torch.ones(1)},
    }
    with pytest.raises(WeightsError, match=r"lacks what its settings follow from \('stem.bias'\): fetch it anew"):
        load_file(saved(tmp_path / "a.pth", tree))
    tree = half("texture") | half("stem") | {"tiny_stem.extra": torch.ones(1), "tiny_texture.bias": torch.ones(3)}
    del tree["tiny_texture.weight"]
    said = r"the generator of tiny .* does not fit its network of 2 tensors: 2 unexpected \(first: \S+\); the local of"
    with pytest.raises(WeightsError, match=said):
        load_file(saved(tmp_path / "b.pth", {**tree, "localD": {"weight": torch.ones(2, 3, 1, 1)}}))


def test_nan_in_a_file_is_refused(tmp_path: Path) -> None:
    tensors = half("stem")
    tensors["tiny_stem.bias"][1] = math.nan
    with pytest.raises(WeightsError, match=r"1 tensors with NaN or infinity \(first:? stem.bias\)"):
        load_file(saved(tmp_path / "a.pth", tensors))


def test_tensors_of_no_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"is tiny \(tinylab\) but 1 tensors belong to no network of it \(first: other.x\)"
    ):
        load_file(saved(tmp_path / "a.pth", {"G": half("stem"), "other": {"x": torch.ones(1)}}))


def test_an_unknown_file_is_told_what_it_looks_like(tmp_path: Path) -> None:
    golden = about("deepfillv2-pt")
    tensors = filled(golden["params"], golden["about"]["seed"], golden["about"]["gain"])
    del tensors["stage1.conv1.conv.weight"]
    with pytest.raises(
        WeightsError, match=r"1 of \d+ tensors missing \(first: .*\); the keys look like deepfill-v2 \(pt\)"
    ):
        load_file(saved(tmp_path / "a.pth", tensors))
    with pytest.raises(WeightsError, match=r"its 1 names look like no method known here \(first: resnet.conv\)"):
        load_file(saved(tmp_path / "b.pth", {"resnet.conv": torch.ones(3)}))


COMPILER = """
import sys
import torch
before = set(sys.modules)
import retouche
from retouche.errors import WeightsError
from retouche.methods.loading import _names
try:
    retouche.load(sys.argv[1])
except WeightsError as refused:
    assert "no method known here" in str(refused)
else:
    raise AssertionError("an unknown file was loaded")
from retouche.methods import METHODS, find
for method in METHODS:
    record = find(method)
    if record.build is not None:
        for part in ("generator", *record.critics(next(iter(record.presets.values())))):
            assert _names(method, part), (method, part)
heavy = {name for name in set(sys.modules) - before if name.split(".")[0] == "sympy" or "._dynamo" in name}
assert not heavy | ({"torch._inductor"} & (set(sys.modules) - before)), sorted(heavy)[:3]
"""


def test_networks_without_memory_import_no_compiler(tmp_path: Path) -> None:
    """Numbers of the meta device, which are none, cost the import of PyTorch's compiler: 800 modules, 1.5 s."""
    file = saved(tmp_path / "a.pth", {"foo.weight": torch.ones(3)})
    subprocess.run([sys.executable, "-c", COMPILER, str(file)], check=True)


# Folders


def test_halves_in_two_files_make_one_generator(tmp_path: Path) -> None:
    saved(tmp_path / "latest_net_stem.pth", half("stem"))
    saved(tmp_path / "latest_net_texture.pth", half("texture"))
    saved(tmp_path / "latest_net_dis.pth", {"localD": critic()})
    (tmp_path / "config.yaml").write_text("a: 1")
    (tmp_path / "preview.png").write_bytes(b"")
    loaded = load_file(tmp_path)
    assert loaded.generator is not None
    assert (loaded.config, loaded.critics.keys()) == (Network(4), {"local"})
    assert len(loaded.source_sha256) == 64
    alone = load_file(tmp_path / "latest_net_texture.pth")
    assert (alone.layout, alone.config.halves) == ("tinylab-texture", ("texture",))


def test_files_without_networks_are_passed_over(tmp_path: Path) -> None:
    saved(tmp_path / "G.pt", half("stem"))
    saved(tmp_path / "O.pt", {"optimG": {"state": {}, "param_groups": []}})
    saved(tmp_path / "vgg19.pth", {"features.0.weight": torch.ones(1)})
    assert load_file(tmp_path).method == "tiny"


def test_several_iterations_ask_which(tmp_path: Path) -> None:
    for number in (10, 20, 30):
        saved(tmp_path / f"G{number:07d}.pt", half("stem"))
    with pytest.raises(
        InputError, match=r"generator of tiny twice \(G0000010.pt, G0000020.pt\): give one of these files"
    ):
        load_file(tmp_path)


def test_folders_of_two_methods_and_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no weight file"):
        load_file(tmp_path)
    saved(tmp_path / "x.pth", {"resnet.conv": torch.ones(3)})
    with pytest.raises(WeightsError, match=r"x\.pth fits no known layout"):
        load_file(tmp_path)
    saved(tmp_path / "a.pth", half("stem"))
    golden = about("deepfillv2-critic")
    saved(tmp_path / "b.pth", filled(golden["params"], golden["about"]["seed"], golden["about"]["gain"]))
    with pytest.raises(WeightsError, match="holds files of deepfill-v2 and tiny: give one method's files"):
        load_file(tmp_path)


# Our own format


def own_file(path: Path, config: Network | None = None, **words: Any) -> Path:
    config = config or Network(4)
    torch.manual_seed(0)
    save_networks(path, "tiny", "tinylab", config, Tiny(config), {"local": nn.Conv2d(3, 1, 1)}, **words)
    return path


def rewritten(path: Path, **words: str | None) -> Path:
    """The same file with other words in its header."""
    with safe_open(path, framework="pt") as file:
        header = dict(file.metadata())
    header |= words
    write_safetensors(path, load_safetensors(path), {key: word for key, word in header.items() if word is not None})
    return path


def test_own_files_come_back_as_they_were(tmp_path: Path) -> None:
    config = Network(5, depths=Depths((3, 4, 5), 0.1 + 0.2), padding="zeros", limit=1e-7)
    path = own_file(
        tmp_path / "a.safetensors", config, preset="x", step=7, ema=0.999, licence="MIT", source_sha256="ab"
    )
    loaded = load_file(path)
    assert (loaded.method, loaded.layout, loaded.preset, loaded.config) == ("tiny", "tinylab", None, config)
    assert loaded.generator is not None
    stored = load_safetensors(path)
    for name, tensor in loaded.generator.state_dict().items():
        assert torch.equal(tensor, stored[f"generator.{name}"])
    assert torch.equal(loaded.critics["local"].state_dict()["bias"], stored["critics.local.bias"])
    header = loaded.header
    assert {key: header[key] for key in ("format", "method", "layout", "preset", "step", "ema", "licence")} == {
        "format": "1",
        "method": "tiny",
        "layout": "tinylab",
        "preset": "x",
        "step": "7",
        "ema": "0.999",
        "licence": "MIT",
    }
    assert "perceptual" not in header


def test_own_files_are_the_same_bytes_twice(tmp_path: Path) -> None:
    first, second = own_file(tmp_path / "a.safetensors"), own_file(tmp_path / "b.safetensors")
    assert first.read_bytes() == second.read_bytes()


def test_every_type_survives_our_writer(tmp_path: Path) -> None:
    types = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
    tensors = {str(dtype): torch.tensor([[0, 1, 1]]).to(dtype) for dtype in types}
    tensors |= {"scalar": torch.tensor(2.5), "empty": torch.ones(0, 3), "strided": torch.arange(6.0).reshape(2, 3).t()}
    write_safetensors(tmp_path / "a.safetensors", tensors, {"ä": "ö"})
    again = load_safetensors(tmp_path / "a.safetensors")
    assert again.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert again[name].dtype == tensor.dtype
        assert torch.equal(again[name], tensor)


def test_nan_weights_are_not_written(tmp_path: Path) -> None:
    network = Tiny(Network(4))
    nn.init.constant_(network.get_parameter("stem.bias"), math.inf)
    with pytest.raises(WeightsError, match=r"1 tensors hold NaN or infinity \(first: generator.stem.bias\)"):
        save_networks(tmp_path / "a.safetensors", "tiny", None, Network(4), network, {})
    assert not list(tmp_path.iterdir())


HEADERS: dict[str, Any] = {
    "newer format": ({"format": "2", "retouche": "9.1"}, r"format 2, written by retouche 9.1.*update retouche"),
    "foreign format": ({"format": "x"}, "format x"),
    "no method": ({"method": None}, "its header lacks method"),
    "unknown method": ({"method": "lama-9"}, "is for the method lama-9, which is not installed"),
    "unknown order": ({"order": "gbr"}, 'its colours are "gbr": update retouche'),
    "no JSON": ({"config": "{"}, "its config is no JSON"),
    "newer field": ({"config": '{"width": 4, "depths": {"gates": 1}}'}, r"has the unknown field depths.gates; update"),
    "lost field": ({"config": "{}"}, "lacks the field width"),
    "another type": ({"config": '{"width": 4.5}'}, r"field width. is 4.5"),
    "no number": ({"config": '{"width": true}'}, r"field width. is True"),
    "another word": ({"config": '{"width": 4, "padding": "mirror"}'}, "is 'mirror'"),
    "no object": ({"config": "[]"}, r"field \(whole\) is \[\]"),
    "another shape": ({"config": '{"width": 5}'}, "of another shape"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_headers_that_do_not_fit_are_refused_in_words(tmp_path: Path, case: str) -> None:
    words, said = HEADERS[case]
    with pytest.raises(WeightsError, match=said):
        load_file(rewritten(own_file(tmp_path / "a.safetensors"), **words))


def test_older_files_without_a_field_take_its_default(tmp_path: Path) -> None:
    path = rewritten(own_file(tmp_path / "a.safetensors"), config='{"width": 4}')
    assert load_file(path).config == Network(4)


def test_own_files_with_foreign_tensors_are_refused(tmp_path: Path) -> None:
    path = own_file(tmp_path / "a.safetensors")
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    save_file(load_safetensors(path) | {"optimiser.x": torch.ones(1)}, path, header)
    with pytest.raises(WeightsError, match=r"optimiser\.x belongs to no network"):
        load_file(path)


@dataclass(frozen=True)
class Everything:
    number: float = 1.0
    numbers: tuple[float, ...] = (0.1, 1e-300, math.pi)
    pair: tuple[int, str] = (1, "ü")
    nested: tuple[tuple[int, ...], ...] = ((1,), (), (2, 3))
    layers: tuple[Depths, ...] = (Depths(), Depths((9,)))
    maybe: Depths | None = None
    either: int | float = 2.0
    flag: bool = True
    empty: tuple[int, ...] = ()


@pytest.mark.parametrize(
    "config", [Everything(), Everything(maybe=Depths(()), either=2, flag=False, number=-0.0, layers=())]
)
def test_settings_survive_json(config: Everything) -> None:
    again = config_from_json(Everything, config_as_json(config))
    assert again == config
    assert repr(again) == repr(config), "types and signs too"


@pytest.mark.parametrize("text", ['{"pair": [1]}', '{"nested": [1]}', '{"maybe": 3}', '{"empty": "ab"}', '{"flag": 0}'])
def test_settings_of_another_type_are_refused(text: str) -> None:
    with pytest.raises(WeightsError, match="was written by another version"):
        config_from_json(Everything, text)


# Published files by name


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RETOUCHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "weights" / "tiny"


def test_names_and_tags_of_published_files() -> None:
    assert [weights.file for weights in choose("tiny").files] == ["a.pth"], "the first without a browser's page"
    assert [weights.file for weights in choose("tiny:page").files] == ["p.pth"]
    assert [weights.file for weights in choose("tiny:pair").files] == ["s.pth", "t.pth"]
    with pytest.raises(InputError, match='has no weights "x"; known: page, direct, pair'):
        choose("tiny:x")
    with pytest.raises(InputError, match="fills without weights"):
        choose("harmonic")
    with pytest.raises(WeightsError, match='"sii-gan" has no published weights: train it'):
        choose("sii-gan")


def test_files_put_in_the_cache_by_hand_are_found(cache: Path) -> None:
    assert installed("tiny") is None
    with pytest.raises(WeightsError, match=f"no address is known for s.pth .*: save it as {cache}/pair/s.pth"):
        choose("tiny:pair").fetched()
    (cache / "pair").mkdir(parents=True)
    saved(cache / "pair" / "s.pth", half("stem"))
    saved(cache / "pair" / "t.pth", half("texture"))
    with pytest.raises(WeightsError, match="--accept-unknown-hash"):
        installed("tiny:pair")
    assert choose("tiny:pair").fetched(accept_unknown_hash=True) == cache / "pair"
    assert installed("tiny") == installed("tiny:pair") == cache / "pair"
    assert load_file(cache / "pair").config == Network(4)


def test_the_verb_download(cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["download", "tiny:page"]) == 2
    assert "https://drive.google.com/uc?id=1 opens in a browser only" in capsys.readouterr().err
    monkeypatch.setattr(store, "fetch", lambda url, sha256, name, *rest: cache / name)
    assert main(["download", "tiny"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(cache / "direct" / "a.pth")
    assert "licence of tiny:direct: MIT" in said.err


def test_the_verb_convert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = saved(tmp_path / "a.pth", half("stem") | half("texture"))
    out = tmp_path / "b.safetensors"
    assert main(["convert", str(source), str(out), "--semantics", "port"]) == 0
    assert f"{out}: tiny (tinylab), generator" in capsys.readouterr().out
    loaded = load_file(out)
    assert (loaded.layout, loaded.config.padding) == ("tinylab", "zeros")
    assert loaded.header["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert main(["convert", str(source), str(out)]) == 2, "nothing is overwritten"
    assert main(["convert", str(source), str(tmp_path / "b.pth")]) == 2
    capsys.readouterr()
    assert main(["convert", str(source), str(out), "--overwrite"]) == 0
    assert load_file(out).config.padding == "same"
