"""How good the generator is on pictures it does not learn from: mean absolute error and, where an EfficientNet-Lite is
at hand, feature distance inside the hole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from retouche.backbones.efficientnet import feature_distances
from retouche.data.datasets import Sample, stacked
from retouche.image import composite
from retouche.methods.method import Prediction
from retouche.training.engine import Engine

AT_ONCE = 4  # pictures


class Score(NamedTuple):
    """Means over pictures, on a scale where black to white is 1.

    Attributes:
        hole_l1: the generator's
        mean_fill: what the mean colour of the known pixels gets, to compare with
        psnr: of the filled pictures, dB
        features: feature distance of the filled pictures; None without a backbone
    """

    hole_l1: float
    mean_fill: float
    psnr: float
    features: float | None = None

    def by(self, metric: str) -> float:
        """One of these by its word ("l1", "psnr", "features"), turned so that lower is better."""
        value = {"l1": self.hole_l1, "psnr": -self.psnr, "features": self.features}[metric]
        assert value is not None
        return value


def here() -> list[int]:
    """The GPU that this process draws random numbers on, if any: the others' streams are none of its business."""
    return [torch.cuda.current_device()] if torch.cuda.is_available() else []


@contextmanager
def still(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, without gradients; afterwards all is as it was, random numbers too."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=here()):
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def predict(
    generator: nn.Module, weights: Mapping[str, Tensor], samples: Sequence[Sample], device: torch.device
) -> Prediction:
    """What the generator makes of a batch; call it inside `still`.

    Args:
        weights: averaged weights to use instead of its own; empty = its own
    """
    image = torch.cat([sample.image for sample in samples]).to(device)
    mask = torch.cat([sample.mask for sample in samples]).to(device)
    guides = {
        name: guide.to(device)
        for name in ("sketch", "structure")
        if (guide := stacked([getattr(sample, name) for sample in samples])) is not None
    }
    result = (
        functional_call(generator, dict(weights), (image, mask), guides)
        if weights
        else generator(image, mask, **guides)
    )
    assert isinstance(result, Prediction)
    return result


def validate(
    generator: nn.Module,
    weights: Mapping[str, Tensor],
    samples: Sequence[Sample],
    engine: Engine,
    backbone: nn.Module | None = None,
) -> Score:
    """The score over all samples; each process judges its share.

    Args:
        backbone: an EfficientNet-Lite for the feature distance
    """
    mine = samples[engine.process :: engine.processes]
    sums = torch.zeros(5, dtype=torch.float64)
    with still(generator):
        for start in range(0, len(mine), AT_ONCE):
            part = mine[start : start + AT_ONCE]
            result = predict(generator, weights, part, engine.device)
            output = result.refined if result.refined is not None else result.structure
            assert output is not None, "a generator makes a picture"
            for sample, one in zip(part, output.cpu(), strict=True):
                truth = sample.image if result.refined is not None or sample.structure is None else sample.structure
                error, mean_fill = _hole_l1(one[None], truth, sample.mask), _mean_fill(truth, sample.mask)
                apart, whole = 0.0, composite(truth, one[None].float().clamp(-1, 1), sample.mask)
                if backbone is not None:
                    filled, original, hole = (each.to(engine.device) for each in (whole, truth, sample.mask))
                    apart = float(feature_distances(backbone, filled, original, hole).mean())
                sums += torch.tensor([error, mean_fill, _psnr(whole, truth), apart, 1.0])
    sums = engine.total(sums.to(engine.device, torch.float32)).cpu().double()
    means = (sums[:4] / sums[4]).tolist()
    return Score(means[0], means[1], means[2], None if backbone is None else means[3])


def _hole_l1(prediction: Tensor, image: Tensor, mask: Tensor) -> float:
    hole = mask.expand_as(image) > 0
    return float((prediction.float().clamp(-1, 1) - image)[hole].abs().double().mean() / 2)


def _psnr(filled: Tensor, truth: Tensor) -> float:
    """dB of the whole picture on a scale of 1; at most 100, for a fill without error."""
    error = float((filled - truth).double().square().mean() / 4)
    return min(100.0, -10 * math.log10(max(error, 1e-12)))


def _mean_fill(image: Tensor, mask: Tensor) -> float:
    known = 1 - mask
    mean = (image * known).sum((2, 3), keepdim=True) / known.sum().clamp_min(1)
    return _hole_l1(mean.expand_as(image), image, mask)
