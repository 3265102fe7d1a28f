"""From a name, a file or a folder to a model."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from pathlib import Path

import torch

from retouche.ambient import plain_torch
from retouche.engines.onnx_file import is_onnx
from retouche.errors import InputError, WeightsError
from retouche.inference.engine import chosen_engine, exported, open_networks
from retouche.inference.model import Model
from retouche.inference.names import resolve
from retouche.methods import DEFAULT, find
from retouche.methods.catalogue import choose, installed
from retouche.methods.loading import Networks, load_file, ready
from retouche.methods.method import Method
from retouche.weights.layout import Order


def load(
    model: str | Path,
    *,
    semantics: str = "original",
    device: str | torch.device = "cpu",
    order: Order | None = None,
    engine: str | None = None,
) -> Model:
    """A model ready to fill.

    Args:
        model: NAME ("deepfill-v2"), NAME:TAG ("deepfill-v2:places2"), or a FILE or FOLDER, recognised by content;
            "default" is the shipped choice. Names come before files: `./name` means the file. A FILE.onnx is one that
            `retouche export` wrote
        semantics: "original", or "port" for a port's own numbers where a converted file has two targets
        device: where the networks go
        order: "rgb" or "bgr", the order of the colours that the networks were trained on, where you know better than
            docs/models.md; pictures go in and come out as they are either way
        engine: "torch", "onnx" (ONNX Runtime) or "openvino"; None = torch, for exported files ONNX Runtime. Weights are
            exported for an engine once and kept in the cache folder; the shipped default is then the network that
            stands for it in exported files

    Raises: InputError for an unknown name, WeightsError for a file that cannot be used or a method without weights
    """
    meant = resolve(model)
    chosen = chosen_engine(engine, meant if isinstance(meant, Path) else None)
    if isinstance(meant, Path) and is_onnx(meant):
        return _in_engine(open_networks(meant, chosen), str(model))
    if chosen != "torch":
        from retouche.export.write import network_of  # only here: writing files is much to import

        result = load(model, semantics=semantics, order=order)
        network = network_of(result)
        if network.generator is None:
            raise InputError(f'"{model}" is no network: the engine {chosen} cannot run it, choose a model that is one')
        run = open_networks(exported(network), chosen)
        return _in_engine(replace(network, generator=run.generator, critics={}), str(model))
    if isinstance(meant, str):
        name = meant.partition(":")[0]
        record = find(name)
        if record.fill is not None:
            if order is not None:
                raise InputError(f'"{name}" has no network of its own: it sees no order of colours, leave order out')
            paths = {path: load(path, device=device) for path in record.paths}
            method = DEFAULT if name == "default" else name
            output = Model(name=str(model), method=method, paths=paths, source_sha256=_networks_sha256(record))
            return output.to(device)
        path = installed(meant)
        if path is None:
            needed = choose(meant).name
            raise WeightsError(f'the weights of "{name}" are not here: retouche download {needed}, or give a file')
    else:
        path = meant
    result = load_file(path, semantics, order=order, kind=Model)
    result.name = str(model)
    return result.to(device)


def _in_engine(networks: Networks, name: str) -> Model:
    """A model of what another engine runs."""
    held = {each.name: getattr(networks, each.name) for each in fields(Networks)}
    return Model(**{**held, "name": name})


def _networks_sha256(record: Method) -> str | None:
    """One hash of the shipped networks that a fill asks, so that manifests and tables distinguish weights."""
    hashes = [weights.sha256 or "" for name in record.networks for weights in find(name).weights]
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest() if hashes else None


def create(method: str, preset: str | None = None, seed: int = 0) -> Model:
    """A freshly initialised network, the same kind of object as a loaded one.

    Args:
        method: a trainable method's name
        preset: one of its presets; None = the first
        seed: of the initial weights; the global random state is left as it was
    """
    record = find(method)
    if record.build is None:
        raise InputError(f'"{method}" fills without weights: there is no network to create')
    preset = next(iter(record.presets)) if preset is None else preset
    if preset not in record.presets:
        raise InputError(f'"{method}" has no preset "{preset}"; known: {", ".join(record.presets)}')
    config = record.presets[preset]
    with plain_torch(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = ready(record, record.build(config))
        critics = {name: ready(record, critic) for name, critic in record.critics(config).items()}
    return Model(name=method, method=method, config=config, generator=generator, critics=critics, preset=preset)
